/** Components that several pages share. */

import { Problem, isAbort } from "./api.js";
import { setChildren, uniqueId, createElement, icon, setText } from "./dom.js";
import { statusBadge } from "./count-status.js";

/**
 * Creates a figure with its title.
 * @param {string} title
 * @param {{hint?: string, class?: string}} [options]
 */
export function figure(title, { hint, class: className = "" } = {}) {
  const value = createElement("dd", { class: "figure-value" }, "–");
  const note = createElement("dd", { class: "figure-note" });
  const mark = statusBadge();
  const element = createElement(
    "div",
    { class: `figure ${className}` },
    createElement("dt", { title: hint }, title, mark.element),
    value,
    note,
  );
  return { element, value, note, mark };
}

/**
 * Creates a section with a heading.
 * @param {string} title
 * @param {{class?: string, end?: import("./dom.js").Child[]}} options
 * @param {...(import("./dom.js").Child | import("./dom.js").Child[])} children
 */
export function panel(title, { class: className = "", end = [] }, ...children) {
  const id = uniqueId();
  const head = createElement(
    "div",
    { class: "panel-head" },
    createElement("h2", { id }, title),
    createElement("div", { class: "panel-end" }, end),
  );
  return createElement("section", { class: `panel ${className}`, "aria-labelledby": id }, head, ...children);
}

/**
 * Creates the placeholder of missing content: loading, empty, or an error with its remedy.
 */
export function statusBox() {
  const element = createElement("div", { class: "state", role: "status", hidden: true });
  return {
    element,
    clear() {
      element.hidden = true;
      setChildren(element);
    },
    /** @param {string} text */
    showLoading(text) {
      element.hidden = false;
      setChildren(element, createElement("span", { class: "spinner", "aria-hidden": "true" }), text);
    },
    /** @param {...import("./dom.js").Child} children */
    show(...children) {
      element.hidden = false;
      setChildren(element, ...children);
    },
    /**
     * @param {unknown} error
     * @param {() => void} [retry]
     */
    showError(error, retry) {
      if (isAbort(error)) return;
      element.hidden = false;
      setChildren(
        element,
        icon("warn"),
        createElement("span", null, problemHint(error)),
        retry && createElement("button", { type: "button", onclick: retry }, "Try again"),
      );
    },
  };
}

/**
 * Describes an error, with its remedy if one is known.
 * @param {unknown} error
 */
export function problemHint(error) {
  if (!(error instanceof Problem)) return `Error on this page: ${String(error)}`;
  switch (error.code) {
    case "no_cold_tier":
      return "This node has no cold tier (cold = none), so there is no history. Start it with a cold tier.";
    case "cold_tier_unavailable":
      return `The cold tier is unavailable: ${error.message} Live counts don't need it.`;
    case "unauthorized":
      return "An operator's key is required.";
    case "unreachable":
      return `${error.message} Is housecount running, and is this machine connected?`;
    default:
      return error.message;
  }
}

/**
 * Creates a segmented control: a group of buttons, one of which is pressed.
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} choices
 * @param {T} selected
 * @param {(choice: T) => void} onSelect
 */
export function segmentedControl(label, choices, selected, onSelect) {
  const buttons = choices.map(([value, title]) =>
    createElement(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === selected),
        onclick: () => {
          for (const [i, [other]] of choices.entries())
            buttons[i].setAttribute("aria-pressed", String(other === value));
          onSelect(value);
        },
      },
      title,
    ),
  );
  return createElement("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/**
 * Creates a search field that filters while the operator types.
 * @param {string} label
 * @param {(query: string) => void} onQuery lower case, trimmed
 */
export function searchField(label, onQuery) {
  return createElement("input", {
    type: "search",
    class: "search",
    placeholder: label,
    "aria-label": label,
    spellcheck: "false",
    autocomplete: "off",
    oninput: (/** @type {{target: HTMLInputElement}} */ { target }) => onQuery(target.value.trim().toLowerCase()),
  });
}

/**
 * Creates a table whose rows become blocks on narrow screens.
 * @param {string} label
 * @param {HTMLTableSectionElement} head one row of titles
 * @param {...HTMLTableSectionElement} bodies
 */
export function responsiveTable(label, head, ...bodies) {
  const titles = [...head.rows[0].cells].map((cell) => cell.textContent ?? "");
  // Blocks lose the table roles unless they are set.
  for (const section of [head, ...bodies]) {
    section.setAttribute("role", "rowgroup");
    for (const row of section.rows) {
      row.setAttribute("role", "row");
      for (const [i, cell] of [...row.cells].entries()) {
        cell.setAttribute("role", { col: "columnheader", row: "rowheader" }[cell.scope] ?? "cell");
        if (i > 0) cell.dataset.label = titles[i];
      }
    }
  }
  const table = createElement(
    "table",
    { class: "plain", role: "table" },
    createElement("caption", { class: "sr" }, label),
    head,
    ...bodies,
  );
  return createElement("div", { class: "stacks" }, table);
}

/**
 * Creates a code block with a button that copies it.
 * @param {string} text
 * @param {string} label name of the text
 */
export function copyableCode(text, label) {
  const done = createElement("span", { class: "sr", role: "status" });
  const title = createElement("span", null, "Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setText(title, "Copied");
      setText(done, `${label} copied`);
    } catch {
      // Only pages from localhost or over https may use the clipboard. The operator can copy the selection.
      getSelection()?.selectAllChildren(shown);
      setText(title, "Selected");
      setText(done, `${label} selected: copy it with your keyboard`);
    }
  };
  const shown = createElement("code", null, text);
  const box = createElement("pre", { tabindex: 0, role: "group", "aria-label": label }, shown);
  return createElement(
    "div",
    { class: "code" },
    box,
    createElement("button", { type: "button", class: "copy", onclick: copy }, icon("copy"), title),
    done,
  );
}
