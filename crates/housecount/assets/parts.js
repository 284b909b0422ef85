/** Pieces that several pages are made of. */

import { Problem, isAbort } from "./api.js";
import { fill, freshId, h, icon, say } from "./dom.js";
import { badge } from "./standing.js";

/**
 * A figure with its title.
 * @param {string} title
 * @param {{hint?: string, class?: string}} [options]
 */
export function figure(title, { hint, class: className = "" } = {}) {
  const value = h("dd", { class: "figure-value" }, "–");
  const note = h("dd", { class: "figure-note" });
  const mark = badge();
  const element = h(
    "div",
    { class: `figure ${className}` },
    h("dt", { title: hint }, title, mark.element),
    value,
    note,
  );
  return { element, value, note, mark };
}

/**
 * A part of a page with a heading of its own.
 * @param {string} title
 * @param {{class?: string, end?: import("./dom.js").Child[]}} options
 * @param {...(import("./dom.js").Child | import("./dom.js").Child[])} children
 */
export function panel(title, { class: className = "", end = [] }, ...children) {
  const id = freshId();
  const head = h("div", { class: "panel-head" }, h("h2", { id }, title), h("div", { class: "panel-end" }, end));
  return h("section", { class: `panel ${className}`, "aria-labelledby": id }, head, ...children);
}

/**
 * Says what is going on where something would be: that it is being loaded, that there is nothing, or what went wrong and
 * what can be done.
 */
export function state() {
  const element = h("div", { class: "state", role: "status", hidden: true });
  return {
    element,
    clear() {
      element.hidden = true;
      fill(element);
    },
    /** @param {string} text */
    loading(text) {
      element.hidden = false;
      fill(element, h("span", { class: "spinner", "aria-hidden": "true" }), text);
    },
    /** @param {...import("./dom.js").Child} children */
    say(...children) {
      element.hidden = false;
      fill(element, ...children);
    },
    /**
     * @param {unknown} error
     * @param {() => void} [again]
     */
    failed(error, again) {
      if (isAbort(error)) return;
      element.hidden = false;
      fill(
        element,
        icon("warn"),
        h("span", null, adviceOn(error)),
        again && h("button", { type: "button", onclick: again }, "Try again"),
      );
    },
  };
}

/**
 * What went wrong, and the way out where we know one.
 * @param {unknown} error
 */
export function adviceOn(error) {
  if (!(error instanceof Problem)) return `Something went wrong on this page: ${String(error)}`;
  switch (error.code) {
    case "no_cold_tier":
      return "This node keeps nothing for good (cold = none), so there is no history. Start it with a cold tier to have one.";
    case "cold_tier_unavailable":
      return `The cold tier can't be read just now: ${error.message} Live counts don't need it.`;
    case "unauthorized":
      return "This needs an operator's key.";
    case "unreachable":
      return `${error.message} Is housecount running, and is this machine connected?`;
    default:
      return error.message;
  }
}

/**
 * A choice of few.
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} choices
 * @param {T} chosen
 * @param {(choice: T) => void} onChoice
 */
export function choice(label, choices, chosen, onChoice) {
  const buttons = choices.map(([value, title]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        onclick: () => {
          for (const [i, [other]] of choices.entries())
            buttons[i].setAttribute("aria-pressed", String(other === value));
          onChoice(value);
        },
      },
      title,
    ),
  );
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/**
 * A field that searches as one types.
 * @param {string} label
 * @param {(words: string) => void} onWords lower case, without spaces at the ends
 */
export function search(label, onWords) {
  return h("input", {
    type: "search",
    class: "search",
    placeholder: label,
    "aria-label": label,
    spellcheck: "false",
    autocomplete: "off",
    oninput: (/** @type {{target: HTMLInputElement}} */ { target }) => onWords(target.value.trim().toLowerCase()),
  });
}

/**
 * A table whose rows become blocks where there is no room for columns.
 * @param {string} label
 * @param {HTMLTableSectionElement} head one row of titles
 * @param {...HTMLTableSectionElement} bodies
 */
export function stackingTable(label, head, ...bodies) {
  const titles = [...head.rows[0].cells].map((cell) => cell.textContent ?? "");
  // Blocks have no roles of a table unless they are given.
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
  const table = h("table", { class: "plain", role: "table" }, h("caption", { class: "sr" }, label), head, ...bodies);
  return h("div", { class: "stacks" }, table);
}

/**
 * A line to copy.
 * @param {string} text
 * @param {string} label what it is
 */
export function code(text, label) {
  const done = h("span", { class: "sr", role: "status" });
  const title = h("span", null, "Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(title, "Copied");
      say(done, `${label} copied`);
    } catch {
      // Only pages from localhost or over https may write there; the text can be selected.
      getSelection()?.selectAllChildren(shown);
      say(title, "Selected");
      say(done, `${label} selected: copy it with your keyboard`);
    }
  };
  const shown = h("code", null, text);
  const box = h("pre", { tabindex: 0, role: "group", "aria-label": label }, shown);
  return h(
    "div",
    { class: "code" },
    box,
    h("button", { type: "button", class: "copy", onclick: copy }, icon("copy"), title),
    done,
  );
}
