/** Tables whose rows have a bar each. They need no other text for screen readers. */

import { createElement } from "./dom.js";
import * as format from "./format.js";

/**
 * Value of a row, and the length of its bar as a part of 1. Without `part` it has no bar. A detail
 * is left out on narrow screens.
 * @typedef {{text: string, part?: number, class?: string, isDetail?: boolean}} Bar
 */

/**
 * @param {string} label
 * @param {string[]} titles of the columns: the row's name, then one for each bar of a row
 * @param {[import("./dom.js").Child, Bar[]][]} rows name and bars of each row
 */
export function barTable(label, titles, rows) {
  const [first, ...others] = titles;
  const cellClass = (/** @type {Bar | undefined} */ of) => `num${of?.isDetail ? " narrow" : ""}`;
  const body = rows.map(([name, values]) =>
    createElement(
      "tr",
      null,
      createElement("th", { scope: "row" }, name),
      createElement("td", { class: "bar-cell", "aria-hidden": "true" }, values.map(bar)),
      values.map((of) => createElement("td", { class: cellClass(of) }, of.text)),
    ),
  );
  const table = createElement(
    "table",
    { class: "plain bar-table" },
    createElement("caption", { class: "sr" }, label),
    createElement(
      "thead",
      null,
      createElement(
        "tr",
        null,
        createElement("th", { scope: "col" }, first),
        createElement("td", { "aria-hidden": "true" }),
        others.map((title, i) =>
          createElement("th", { scope: "col", class: cellClass(rows[0]?.[1][i]) }, title),
        ),
      ),
    ),
    createElement("tbody", null, body),
  );
  return createElement("div", { class: "table" }, table);
}

/** @param {Bar} bar */
function bar({ part, class: name = "" }) {
  if (part === undefined) return null;
  const fill = createElement("span", { class: `bar-fill ${name}` });
  fill.style.width = `${part > 0 ? Math.max(0.5, 100 * part) : 0}%`;
  return createElement("span", { class: "bar-line" }, fill);
}

/**
 * Names a class of watch times: `2 to 5 min`.
 * @param {{fromMs: number, toMs?: number}} range
 */
export function className({ fromMs, toMs }) {
  if (toMs === undefined) return `${minutes(fromMs)} or more`;
  if (fromMs === 0) return `under ${minutes(toMs)}`;
  const isHours = fromMs % 3_600_000 === 0 && toMs % 3_600_000 === 0;
  const start = isHours ? fromMs / 3_600_000 : fromMs / 60_000;
  return fromMs % 3_600_000 === 0 || toMs < 3_600_000
    ? `${start} to ${minutes(toMs)}`
    : `${minutes(fromMs)} to ${minutes(toMs)}`;
}

/** @param {number} ms a whole number of minutes or hours: `90 min`, `2 h` */
export const minutes = (ms) =>
  ms % 3_600_000 === 0 && ms > 0 ? `${ms / 3_600_000} h` : `${format.count(ms / 60_000)} min`;
