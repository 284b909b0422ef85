/** The button that changes the theme, on every page. */

import { byId, fill, icon } from "./dom.js";

/** @returns {{shown: () => "light" | "dark", toggle: () => void}} see theme.js */
const theme = () => Reflect.get(window, "housecountTheme");

function showTheme() {
  const button = byId("theme");
  const next = theme().shown() === "dark" ? "light" : "dark";
  fill(button, icon(next === "dark" ? "moon" : "sun"));
  button.setAttribute("aria-label", `Use the ${next} theme`);
  button.title = `Use the ${next} theme`;
}

/** Shows the button's icon, now and after each change of the theme. */
export function startThemeButton() {
  document.documentElement.addEventListener("themechange", showTheme);
  byId("theme").addEventListener("click", () => theme().toggle());
  showTheme();
}
