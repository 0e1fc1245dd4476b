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
