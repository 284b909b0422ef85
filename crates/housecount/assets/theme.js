// Owns the remembered theme. A classic script in the head, so that the page is never drawn in the other one first.
(() => {
  "use strict";
  const KEY = "housecount.theme";
  const root = document.documentElement;
  const media = matchMedia("(prefers-color-scheme: dark)");

  /** Storage may be forbidden; then the choice lasts as long as the page. */
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

  /** The other theme than is shown. Where that is what the system asks for, nothing is remembered: it follows again. */
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

  /** The chart is a picture: it is drawn in the paper's colours before the page is printed. */
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
