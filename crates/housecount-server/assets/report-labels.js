/** Panel of a report by label: the choice of a key, a table of its values, and their CSV. */

import { csvText, fileWord, saveCsv } from "./csv.js";
import { createElement, icon, setChildren } from "./dom.js";
import * as format from "./format.js";
import { OVERLAP, ROWS_MAX, keySelect, restText, valueName } from "./labels.js";
import { panel, responsiveTable } from "./parts.js";

/** @typedef {import("./report-figures.js").Head} Head */
/** @typedef {import("./labels.js").ByLabel<Head>} LabelReport */

/** @type {[string, (head: Head) => string][]} */
const COLUMNS = [
  ["Unique viewers", ({ uniqueViewers }) => format.count(uniqueViewers)],
  ["Watch time", ({ watchMs }) => format.duration(watchMs)],
  ["Average", ({ averageWatchMs }) => format.duration(averageWatchMs)],
  ["Peak", ({ peakViewers }) => format.count(peakViewers)],
];

const SELECT = "Select a label to compare its values.";

/** @param {(key: string) => void} onKey the key; "" for none */
export function reportLabels(onKey) {
  const select = keySelect(onKey, "no label");
  const body = createElement("div");
  const element = panel("Viewers by", { class: "labels", end: [select.element] }, body);
  element.hidden = true;
  /** @type {string[]} */
  let known = [];
  let chosen = "";
  const showKeys = () => {
    // A key in the address is shown at once. An unknown one is rejected by the node.
    const keys = chosen && !known.includes(chosen) ? [...known, chosen] : known;
    element.hidden = keys.length === 0;
    select.show(keys, chosen);
  };

  return {
    element,
    /** @param {string[]} keys of the node's labels */
    setKeys(keys) {
      known = keys;
      showKeys();
    },
    /**
     * @param {string} key the chosen one; "" for none
     * @param {LabelReport | undefined} by
     * @param {string} problem reason why there are no values; "" if there is none
     * @param {string} fileName of the CSV, without its ending
     */
    show(key, by, problem, fileName) {
      chosen = key;
      showKeys();
      if (problem) setChildren(body, createElement("p", { role: "alert" }, `${problem}.`));
      else if (by) setChildren(body, valueRows(by, fileName));
      else setChildren(body, createElement("p", { class: "hint" }, SELECT));
    },
  };
}

/**
 * @param {LabelReport} by
 * @param {string} fileName
 */
function valueRows(by, fileName) {
  const note = createElement("p", { class: "hint panel-note" }, OVERLAP);
  const left = restText(by);
  const save = () => saveCsv(csvLines(by), fileWord(`${fileName}-${by.key}`) + ".csv");
  const head = ["Value", ...COLUMNS.map(([title]) => title)].map((title, i) =>
    createElement("th", { scope: "col", class: i ? "num" : null }, title),
  );
  const rows = by.values
    .slice(0, ROWS_MAX)
    .map((one) =>
      createElement(
        "tr",
        null,
        createElement("th", { scope: "row" }, valueName(one.value)),
        COLUMNS.map(([, text]) => createElement("td", { class: "num" }, text(one))),
      ),
    );
  return [
    note,
    responsiveTable(
      `Viewers by ${by.key}`,
      createElement("thead", null, createElement("tr", null, head)),
      createElement("tbody", null, rows),
    ),
    createElement(
      "div",
      { class: "tools label-tools" },
      createElement("button", { type: "button", onclick: save }, icon("down"), "Export CSV"),
      left && createElement("span", { class: "hint" }, left),
    ),
  ];
}

/**
 * Returns all values as CSV. The field of the value null is empty.
 * @param {LabelReport} by
 */
const csvLines = ({ key, values }) => [
  [csvText(key), "unique_viewers,watch_ms,average_watch_ms,peak_viewers"].join(","),
  ...values.map(({ value, uniqueViewers, watchMs, averageWatchMs, peakViewers }) =>
    [csvText(value ?? ""), uniqueViewers, watchMs, averageWatchMs, peakViewers].join(","),
  ),
];
