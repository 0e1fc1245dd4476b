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
