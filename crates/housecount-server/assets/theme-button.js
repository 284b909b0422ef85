/** Button that switches the theme, on every page. */

import { byId, setChildren, icon } from "./dom.js";

/** @returns {{shown: () => "light" | "dark", toggle: () => void}} see theme.js */
const theme = () => Reflect.get(window, "housecountTheme");

function showTheme() {
  const button = byId("theme");
  const next = theme().shown() === "dark" ? "light" : "dark";
  setChildren(button, icon(next === "dark" ? "moon" : "sun"));
  button.setAttribute("aria-label", `Use the ${next} theme`);
  button.title = `Use the ${next} theme`;
}

/** Connects the button, and updates its icon with each change of the theme. */
export function startThemeButton() {
  document.documentElement.addEventListener("themechange", showTheme);
  byId("theme").addEventListener("click", () => theme().toggle());
  showTheme();
}
