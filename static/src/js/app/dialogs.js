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
