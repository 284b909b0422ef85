// Stores and applies the theme. A classic script in the head, so that the browser never draws the page in the wrong theme first.
(() => {
  "use strict";
  const KEY = "housecount.theme";
  const root = document.documentElement;
  const media = matchMedia("(prefers-color-scheme: dark)");

  /** Reads the stored theme. If storage is blocked, the choice lasts as long as the page. */
  const read = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };

  const apply = (/** @type {string | null} */ chosen) => {
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    else delete root.dataset.theme;
    root.dispatchEvent(new Event("themechange"));
  };

  /** @returns {"light" | "dark"} */
  const shown = () => {
    const chosen = root.dataset.theme;
    if (chosen === "light" || chosen === "dark") return chosen;
    return media.matches ? "dark" : "light";
  };

  /** Switches to the other theme. If that is the system's, the stored choice is removed, so that the page follows the system again. */
  const toggle = () => {
    const next = shown() === "dark" ? "light" : "dark";
    const follows = next === (media.matches ? "dark" : "light");
    try {
      if (follows) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // See `read`.
    }
    apply(follows ? null : next);
  };

  /** Redraws the chart in the print colours before printing: it is a canvas, which style sheets don't reach. */
  const print = (/** @type {boolean} */ isPrinting) => {
    root.toggleAttribute("data-printing", isPrinting);
    root.dispatchEvent(new Event("themechange"));
  };

  media.addEventListener("change", () => root.dispatchEvent(new Event("themechange")));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  apply(read());
  Object.assign(window, { housecountTheme: { shown, toggle } });
})();
