// Copies the text beside a button. The buttons are hidden until this script is there to serve them.
(() => {
  "use strict";

  const reveal = (root) => root.querySelectorAll("[data-copy][hidden]").forEach((button) => { button.hidden = false; });

  async function copy(source) {
    if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent);
    // Browsers give the clipboard to secure addresses only; a gateway in a private network may have none.
    getSelection().selectAllChildren(source);
    const copied = document.execCommand("copy");
    getSelection().removeAllRanges();
    if (!copied) throw new Error("not copied");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = button.closest(".copyable").querySelector("code");
    const label = button.querySelector("span");
    const text = button.dataset.label || (button.dataset.label = label.textContent);
    try {
      await copy(source);
      label.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      label.textContent = "Selected";
    }
    setTimeout(() => { label.textContent = text; }, 2000);
  });

  document.addEventListener("htmx:load", (event) => reveal(event.target));
  reveal(document);
})();

// Makes dialogs modal, fills #modal, and closes menus. Without this script dialogs open as popovers, links lead to pages.
(() => {
  "use strict";

  function open(dialog) {
    dialog.removeAttribute("popover");
    if (!dialog.open) dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[popovertarget]");
    const dialog = button && document.getElementById(button.getAttribute("popovertarget"));
    if (dialog && dialog.tagName === "DIALOG") {
      event.preventDefault();
      if (button.getAttribute("popovertargetaction") === "hide") dialog.close();
      else open(dialog);
      return;
    }
    if (event.target.tagName === "DIALOG" && event.target.matches(":modal") && outside(event)) event.target.close();
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });

  function outside(event) {
    const box = event.target.getBoundingClientRect();
    return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  // Typing the name frees the button.
  const weigh = (input) => {
    input.form.querySelector("button[type=submit]").disabled = input.value.trim() !== input.dataset.expects;
  };
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-expects]")) weigh(event.target);
  });

  function prepare(root) {
    root.querySelectorAll("[data-expects]").forEach(weigh);
    root.querySelectorAll("dialog[data-open]").forEach(open);
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "modal-body") return;
    const title = event.detail.target.querySelector("h1, h2");
    document.getElementById("modal").setAttribute("aria-label", title ? title.textContent.trim() : "Dialog");
    open(document.getElementById("modal"));
  });
  document.addEventListener("htmx:load", (event) => prepare(event.target));
  document.getElementById("modal").addEventListener("close", () => document.getElementById("modal-body").replaceChildren());
  prepare(document);
})();

// What happens around htmx's requests: failures are said, places that wait are filled, forms are sent once.
(() => {
  "use strict";

  const say = (text, id) => document.dispatchEvent(
    new CustomEvent("toast", { detail: { text, tone: "error", request_id: id } }));

  let running = 0;
  let bar;
  let timer;

  function count(change) {
    running = Math.max(0, running + change);
    clearTimeout(timer);
    if (running === 0) {
      if (bar) bar.remove();
      bar = undefined;
    } else if (!bar) {
      timer = setTimeout(() => {
        bar = document.createElement("div");
        bar.className = "busy-bar";
        document.body.append(bar);
      }, 250);
    }
  }

  document.addEventListener("htmx:beforeRequest", () => count(1));
  document.addEventListener("htmx:afterRequest", () => count(-1));

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    const waits = target && target.getAttribute("aria-busy") === "true";
    const says = (xhr.getResponseHeader("Content-Type") || "").startsWith("text/html");
    if (xhr.status >= 400 && waits && says) event.detail.shouldSwap = true;
  });

  document.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (xhr.getResponseHeader("HX-Trigger")) return;
    say(`That did not work (${xhr.status}). Nothing was changed here.`, xhr.getResponseHeader("X-Request-Id"));
  });
  document.addEventListener("htmx:sendError", () => say("The gateway cannot be reached."));
  document.addEventListener("htmx:timeout", () => say("The gateway does not answer."));

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    setTimeout(() => form.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = true; }));
  });
  // A page that comes back from the browser's memory must not keep its buttons disabled.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    document.querySelectorAll("form button[type=submit]:disabled").forEach((button) => { button.disabled = false; });
  });
})();

// Changes the colours on the spot: as the system, light, dark, and round again. Without this script the form does it.
(() => {
  "use strict";

  const NEXT = { light: "dark", dark: "auto", auto: "light" };

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-theme-toggle]");
    if (!form) return;
    event.preventDefault();
    const button = form.querySelector("button");
    const chosen = button.value;
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${chosen}; path=/; max-age=31536000; samesite=lax${secure}`;
    button.value = NEXT[chosen];
    button.title = `Colours: ${chosen === "auto" ? "as the system" : chosen}`;
    document.dispatchEvent(new CustomEvent("themechange"));
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("themechange"));
  });
})();

// Shows messages: those that an answer carries in HX-Trigger, those that the page came with, and those of other scripts.
(() => {
  "use strict";

  const STAYS_MS = 6000;

  const region = () => document.getElementById("toasts");

  function dismissLater(toast) {
    if (toast.matches(".toast-error, .toast-warning")) return;
    let timer;
    const start = () => { timer = setTimeout(() => toast.remove(), STAYS_MS); };
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", start);
    start();
  }

  function show({ text, tone = "info", request_id: id }) {
    const toast = document.getElementById("toast-shape").content.firstElementChild.cloneNode(true);
    toast.classList.add(`toast-${tone}`);
    toast.querySelector("[data-text]").textContent = text;
    if (id && (tone === "error" || tone === "warning")) {
      toast.querySelector("[data-id]").hidden = false;
      toast.querySelector("[data-id] code").textContent = id;
    }
    // Outside an open modal dialog nothing can be seen or clicked.
    const place = [...document.querySelectorAll("dialog:modal")].pop() || document.body;
    if (region().parentElement !== place) place.append(region());
    region().append(toast);
    dismissLater(toast);
  }

  document.addEventListener("toast", (event) => show(event.detail));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dismiss]");
    if (button) button.closest("[data-toast]").remove();
  });
  // Once closed, a dialog takes what lies in it out of sight. The event does not bubble.
  document.addEventListener("close", () => document.body.append(region()), true);
  region().querySelectorAll("[data-toast]").forEach(dismissLater);
})();

// Asks before typed text is lost: forms with data-guard.
(() => {
  "use strict";

  const touched = new Set();

  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form && form.hasAttribute("data-guard")) touched.add(form);
  });
  document.addEventListener("submit", (event) => touched.delete(event.target));
  document.addEventListener("reset", (event) => touched.delete(event.target));
  addEventListener("beforeunload", (event) => {
    if ([...touched].some((form) => form.isConnected)) event.preventDefault();
  });
})();
