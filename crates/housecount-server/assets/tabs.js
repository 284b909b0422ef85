/** Tabs by the ARIA Authoring Practices: one stop for Tab, arrow keys between them. */

import { uniqueId, createElement } from "./dom.js";

/** @typedef {{key: string, title: string, element: Element, onShow?: () => void, onHide?: () => void}} Tab */

/**
 * @param {string} label
 * @param {Tab[]} all
 * @param {string} chosen key of the tab to open; the first tab if it is unknown
 * @param {(key: string) => void} onChoice
 */
export function tabs(label, all, chosen, onChoice) {
  const ids = all.map(() => uniqueId());
  const panels = all.map((tab, i) =>
    createElement(
      "div",
      { role: "tabpanel", id: `${ids[i]}p`, "aria-labelledby": ids[i], class: "panel" },
      tab.element,
    ),
  );
  const buttons = all.map((tab, i) =>
    createElement(
      "button",
      {
        type: "button",
        role: "tab",
        id: ids[i],
        "aria-controls": `${ids[i]}p`,
        onclick: () => {
          choose(i);
          onChoice(tab.key);
        },
      },
      tab.title,
    ),
  );
  const choose = (/** @type {number} */ chosenIndex) => {
    all.forEach((tab, i) => {
      const isChosen = i === chosenIndex;
      if (!isChosen && !panels[i].hidden) tab.onHide?.();
      buttons[i].setAttribute("aria-selected", String(isChosen));
      buttons[i].tabIndex = isChosen ? 0 : -1;
      panels[i].hidden = !isChosen;
      if (isChosen) tab.onShow?.();
    });
  };
  const onkeydown = (/** @type {KeyboardEvent} */ event) => {
    const at = buttons.findIndex((button) => button === document.activeElement);
    const last = buttons.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[
      event.key
    ];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[to].focus();
    buttons[to].click();
  };
  choose(
    Math.max(
      0,
      all.findIndex(({ key }) => key === chosen),
    ),
  );
  return createElement(
    "div",
    { class: "tabs" },
    createElement("div", { role: "tablist", "aria-label": label, onkeydown }, buttons),
    panels,
  );
}
