/** Panels of a comparison: figures with their differences, and charts with both ranges. */

import { barTable, className, minutes } from "./bar-table.js";
import { createElement } from "./dom.js";
import * as format from "./format.js";
import { panel } from "./parts.js";
import { colour, fromZero, join, plotFrame } from "./plot.js";
import { dataTable, shareStyle, sinceLabels, stepEnd } from "./report-charts.js";
import { FIGURES } from "./report-figures.js";
import { usedClasses } from "./report-panels.js";

/** @typedef {import("./scope.js").Scope} Scope */
/** @typedef {import("./report-figures.js").Report} Report */
/** @typedef {{a: Report, b: Report}} Two */
/** @typedef {{a: string, b: string}} Labels */

/**
 * @param {Scope} scope
 * @param {Two} two
 * @param {Labels} labels
 */
export const comparePanels = (scope, two, labels) => [
  createElement(
    "div",
    { class: "split compare-head" },
    figuresPanel(two),
    panel("Viewers at once, since the start", {}, viewersChart(scope, two, labels)),
  ),
  createElement(
    "div",
    { class: "split" },
    panel("Who stayed, since they came", {}, cohortNote(two), retentionTable(two)),
    panel("Who stayed, by minute", {}, cohortNote(two), minutesChart(scope, two, labels)),
  ),
  panel("Viewers by watch time", {}, histogramTable(two)),
];

/** @param {Two} two */
function figuresPanel({ a, b }) {
  const rows = FIGURES.filter(({ key }) => a[key] !== undefined).map(({ key, title, hint, text }) =>
    createElement(
      "tr",
      { "data-figure": key },
      createElement("th", { scope: "row", title: hint }, title),
      createElement("td", { class: "num" }, text(a[key] ?? 0)),
      createElement("td", { class: "num" }, text(b[key] ?? 0)),
      createElement("td", { class: "num difference" }, difference(a[key] ?? 0, b[key] ?? 0)),
    ),
  );
  const titles = ["A", "B", "A against B"].map((title) =>
    createElement(
      "th",
      { scope: "col", class: `num ${title.length === 1 ? `side-${title.toLowerCase()}` : ""}` },
      title,
    ),
  );
  const head = createElement("tr", null, createElement("th", { scope: "col" }, "Figure"), titles);
  return panel(
    "Figures",
    {},
    createElement(
      "table",
      { class: "plain compare-table" },
      createElement("caption", { class: "sr" }, "Figures of both ranges"),
      createElement("thead", null, head),
      createElement("tbody", null, rows),
    ),
  );
}

const signed = new Intl.NumberFormat(undefined, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});

/**
 * Returns by how many per cent a figure is larger than another one.
 * @param {number} a
 * @param {number} b
 */
export const difference = (a, b) => {
  if (a === b) return "same";
  return b === 0 ? format.NONE : `${signed.format((100 * (a - b)) / b)} %`;
};

/**
 * Returns a report's steps by seconds since its start.
 * @param {Report} report
 * @returns {import("./plot.js").Columns}
 */
const sinceStart = (report) => [
  report.steps.map((step) => ((step.at + stepEnd(step, report)) / 2 - report.from) / 1000),
  report.steps.map((step) => step.avg),
];

/** @type {(labels: Labels) => [string, string][]} */
const keysOf = (labels) => [
  ["key-report", labels.a],
  ["key-other", labels.b],
];

const lines = (/** @type {number} */ px) => [
  { stroke: colour("--live"), width: px / 8, spanGaps: true, points: { show: false } },
  {
    stroke: colour("--leave"),
    width: px / 8,
    dash: [px / 2.5, px / 5],
    spanGaps: true,
    points: { show: false },
  },
];

/**
 * @param {Scope} scope
 * @param {Two} two
 * @param {Labels} labels
 */
function viewersChart(scope, { a, b }, labels) {
  const columns = join([sinceStart(a), sinceStart(b)]);
  const longest = Math.max(a.to - a.from, b.to - b.from) / 1000;
  const rows = () => {
    const [at, first, second] = columns;
    return Array.from(at, (s, i) => [afterText(s), valueText(first[i]), valueText(second[i])]);
  };
  const frame = plotFrame(scope, {
    label: "Viewers at once, since the start",
    keys: keysOf(labels),
    style: {
      x: { time: false, range: [0, longest] },
      y: fromZero,
      xLabels: sinceLabels(1000),
      xStep: [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400],
      yLabel: format.countShort,
      series: lines,
    },
    columns,
    readout: (plot, i) => {
      const [at, ...two] = plot.data;
      const [first, second] = two.map((column) => valueText(near(column, i)));
      return `${afterText(at[i])} · A ${first}, B ${second}`;
    },
    table: () => dataTable("Average viewers at once, since the start", ["After", "A", "B"], rows()),
  });
  frame.describe(
    `A at most ${format.count(a.peakViewers)}, B at most ${format.count(b.peakViewers)}`,
  );
  return frame.element;
}

/** @param {number} s seconds since the start */
const afterText = (s) => format.duration(s * 1000);

/**
 * Returns the value of a column here or before: the columns' times interleave.
 * @param {ArrayLike<number | null | undefined>} column
 * @param {number} index
 */
function near(column, index) {
  for (let i = index; i >= Math.max(0, index - 4); i--)
    if (typeof column[i] === "number") return column[i];
  return null;
}

/** @param {number | null | undefined} value */
const valueText = (value) => (typeof value === "number" ? format.average(value) : format.NONE);

/**
 * @param {Scope} scope
 * @param {Two} two
 * @param {Labels} labels
 */
function minutesChart(scope, { a, b }, labels) {
  const [first, second] = [a, b].map(({ retention }) => retention?.minutes ?? []);
  const count = Math.max(first.length, second.length);
  if (count < 2)
    return createElement("p", null, "The ranges have less than two minutes with viewers.");
  const share = (/** @type {typeof first} */ minutes) =>
    Array.from({ length: count }, (_, i) => minutes[i]?.share ?? null);
  const columns = /** @type {import("./plot.js").Columns} */ ([
    Array.from({ length: count }, (_, i) => i),
    share(first),
    share(second),
  ]);
  const text = (/** @type {typeof first} */ minutes, /** @type {number} */ i) =>
    minutes[i] ? format.percent(minutes[i].share) : format.NONE;
  const frame = plotFrame(scope, {
    label: "First viewers who are watching, by minute",
    keys: keysOf(labels),
    style: { ...shareStyle(count), series: lines },
    columns,
    readout: (_, i) => `Minute ${i + 1} · A ${text(first, i)}, B ${text(second, i)}`,
    table: () =>
      dataTable(
        "First viewers who are watching, by minute",
        ["Minute", "A", "B"],
        Array.from(columns[0], (_, i) => [format.count(i + 1), text(first, i), text(second, i)]),
      ),
  });
  return frame.element;
}

/** @param {Two} two */
function cohortNote({ a, b }) {
  const ms = a.retention?.cohortMs ?? b.retention?.cohortMs;
  if (ms === undefined) return null;
  const [first, second] = [a, b].map(({ retention }) => format.count(retention?.viewers ?? 0));
  const who = `who came within ${minutes(ms)} of the first viewer`;
  const text = `Of the viewers ${who}: A ${first}, B ${second}.`;
  return createElement("p", { class: "hint panel-note" }, text);
}

/** @param {Two} two */
function retentionTable({ a, b }) {
  const points = (/** @type {Report} */ { retention }) =>
    (retention?.after ?? []).filter(({ viewers }) => viewers > 0);
  const [first, second] = [points(a), points(b)];
  const longest = first.length > second.length ? first : second;
  if (!longest.length)
    return createElement("p", null, "No viewer came a minute or more before the end of the ranges.");
  return barTable(
    "First viewers who are still watching",
    ["After", "A", "B"],
    longest.map(({ afterMs }, i) => [
      minutes(afterMs),
      [shareBar(first[i]?.share, "a"), shareBar(second[i]?.share, "b")],
    ]),
  );
}

/** @param {Two} two */
function histogramTable({ a, b }) {
  const [first, second] = [usedClasses(a.histogram), usedClasses(b.histogram)];
  const longest = first.length > second.length ? first : second;
  const share = (/** @type {Report} */ report, /** @type {number} */ i) =>
    (report.histogram[i]?.viewers ?? 0) / Math.max(1, report.uniqueViewers);
  const most = Math.max(...longest.map((_, i) => Math.max(share(a, i), share(b, i))));
  return barTable(
    "Share of the viewers by watch time",
    ["Watch time", "A", "B"],
    longest.map((one, i) => [
      className(one),
      [shareBar(share(a, i), "a", most), shareBar(share(b, i), "b", most)],
    ]),
  );
}

/**
 * @param {number | undefined} share
 * @param {"a" | "b"} side
 * @param {number} [most] share of the longest bar
 */
const shareBar = (share, side, most = 1) => ({
  text: share === undefined ? format.NONE : format.percent(share),
  part: (share ?? 0) / most,
  class: side === "b" ? "other" : "",
});
