/** Tabs, as the ARIA Authoring Practices have them: one stop for Tab, arrows between them. */

import { freshId, h } from "./dom.js";

/** @typedef {{key: string, title: string, element: Element, onShow?: () => void, onHide?: () => void}} Tab */

/**
 * @param {string} label
 * @param {Tab[]} all
 * @param {string} chosen the first if there is none of this key
 * @param {(key: string) => void} onChoice
 */
export function tabs(label, all, chosen, onChoice) {
  const ids = all.map(() => freshId());
  const panels = all.map((tab, i) =>
    h("div", { role: "tabpanel", id: `${ids[i]}p`, "aria-labelledby": ids[i], class: "panel" }, tab.element),
  );
  const buttons = all.map((tab, i) =>
    h(
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
  return h("div", { class: "tabs" }, h("div", { role: "tablist", "aria-label": label, onkeydown }, buttons), panels);
}
