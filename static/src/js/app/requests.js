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
