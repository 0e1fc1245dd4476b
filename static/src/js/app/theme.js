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
