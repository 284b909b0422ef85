/** Tables of the customers page, their CSV, and the chart of a customer's days. */

import { csvText } from "./csv.js";
import { daysOf } from "./customers-address.js";
import { createElement } from "./dom.js";
import * as format from "./format.js";
import { bars, colour, plotFrame, timeLabels } from "./plot.js";
import { dataTable } from "./report-charts.js";

/** @typedef {import("./zone.js").Zone} Zone */
/** @typedef {{customer: string, stage?: string, period: string, from: number, to: number, stages: number, watchMs: number}} UsageRow */

/** Rows before the button that shows all. */
const ROWS = 200;
/** Name of the stages that have no customer. */
export const NO_CUSTOMER = "No customer";

/** @param {string} customer */
export const customerName = (customer) => customer || NO_CUSTOMER;

/** @param {{watchMs: number}[]} rows */
export const totalOf = (rows) => rows.reduce((sum, { watchMs }) => sum + watchMs, 0);

/** @param {number} ms viewer-hours, as invoices have them */
export const viewerHours = (ms) => format.ratio(ms / 3_600_000);

/**
 * Sorts rows by watch time, the longest first. Stages without a customer come last.
 * @param {UsageRow[]} rows
 */
export const byWatchTime = (rows) =>
  [...rows].sort(
    (a, b) =>
      Number(!a.customer) - Number(!b.customer) ||
      b.watchMs - a.watchMs ||
      (a.customer < b.customer ? -1 : 1),
  );

/**
 * Creates the table of customers, with their total.
 * @param {UsageRow[]} rows in order
 * @param {(customer: string) => string} href
 */
export const customersTable = (rows, href) =>
  usageTable({
    label: "Watch time of customers",
    titles: ["Customer", "Stages"],
    rows: rows.map((row) => ({
      name: [
        createElement("a", { href: href(row.customer) }, customerName(row.customer)),
        !row.customer &&
          createElement(
            "span",
            { class: "sub" },
            "Stages that had no customer when they were watched",
          ),
      ],
      detail: format.count(row.stages),
      watchMs: row.watchMs,
    })),
    all: (count) => `Show all ${format.count(count)} customers`,
  });

/**
 * Creates the table of a customer's stages.
 * @param {UsageRow[]} rows in order
 * @param {(stage: string) => {name: string, live: string, report: string}} linksOf
 */
export const stagesTable = (rows, linksOf) =>
  usageTable({
    label: "Watch time of stages",
    titles: ["Stage", ""],
    rows: rows.map(({ stage = "", watchMs }) => {
      const { name, live, report } = linksOf(stage);
      return {
        name: [
          createElement("a", { href: live }, name || stage),
          name && createElement("span", { class: "sub" }, stage),
        ],
        detail: createElement(
          "a",
          { class: "no-print", href: report, "aria-label": `Report of ${name || stage}` },
          "Report",
        ),
        watchMs,
      };
    }),
    all: (count) => `Show all ${format.count(count)} stages`,
  });

/**
 * @param {object} options
 * @param {string} options.label
 * @param {[string, string]} options.titles of a row's name and of its detail
 * @param {{name: import("./dom.js").Child[], detail: import("./dom.js").Child, watchMs: number}[]} options.rows
 * @param {(count: number) => string} options.all text of the button that shows all rows
 */
function usageTable({ label, titles, rows, all }) {
  const total = totalOf(rows);
  const most = Math.max(1, ...rows.map(({ watchMs }) => watchMs));
  const cells = (/** @type {number} */ ms) => [
    createElement("td", { class: "num" }, format.watched(ms)),
    createElement("td", { class: "num narrow" }, viewerHours(ms)),
    createElement("td", { class: "num share" }, total ? format.percent(ms / total) : ""),
  ];
  const row = (/** @type {typeof rows[number]} */ { name, detail, watchMs }) => {
    const fill = createElement("span", { class: "bar-fill" });
    fill.style.width = `${Math.max(0.5, (100 * watchMs) / most)}%`;
    return createElement(
      "tr",
      null,
      createElement("th", { scope: "row" }, name),
      createElement("td", { class: "num narrow" }, detail),
      createElement(
        "td",
        { class: "bar-cell narrow", "aria-hidden": "true" },
        createElement("span", { class: "bar-line" }, fill),
      ),
      cells(watchMs),
    );
  };
  const body = createElement("tbody", null, rows.slice(0, ROWS).map(row));
  const more = createElement(
    "button",
    {
      type: "button",
      class: "plain-button",
      hidden: rows.length <= ROWS,
      onclick: () => {
        body.append(...rows.slice(ROWS).map(row));
        more.hidden = true;
      },
    },
    all(rows.length),
  );
  const head = (/** @type {string} */ title, /** @type {string} */ name) =>
    title
      ? createElement("th", { scope: "col", class: name }, title)
      : createElement("td", { class: name });
  const table = createElement(
    "table",
    { class: "plain usage-table" },
    createElement("caption", { class: "sr" }, label),
    createElement(
      "thead",
      null,
      createElement(
        "tr",
        null,
        head(titles[0], ""),
        head(titles[1], "num narrow"),
        createElement("td", { class: "narrow", "aria-hidden": "true" }),
        head("Watch time", "num"),
        head("Viewer-hours", "num narrow"),
        head("Share", "num"),
      ),
    ),
    body,
    createElement(
      "tfoot",
      null,
      createElement(
        "tr",
        null,
        createElement("th", { scope: "row" }, "Total"),
        createElement("td", { class: "narrow" }),
        createElement("td", { class: "narrow", "aria-hidden": "true" }),
        cells(total),
      ),
    ),
  );
  return createElement("div", { class: "table" }, table, more);
}

/**
 * Returns the lines of a CSV file, with the columns of `GET /v1/usage`.
 * @param {UsageRow[]} rows
 * @param {number} committedTo
 */
export function csvLines(rows, committedTo) {
  const isOfStages = rows.some(({ stage }) => stage !== undefined);
  const lines = rows.map(({ customer, stage, period, from, to, stages, watchMs }) =>
    [
      csvText(customer),
      period,
      from,
      to,
      stage === undefined ? stages : csvText(stage),
      watchMs,
      to <= committedTo,
    ].join(","),
  );
  return [
    `customer,month,from_ms,to_ms,${isOfStages ? "stage" : "stages"},watch_ms,complete`,
    ...lines,
  ];
}

/**
 * Creates the chart of a customer's viewer-hours by day.
 * @param {import("./scope.js").Scope} scope
 * @param {string} month
 * @param {Zone} zone
 * @param {UsageRow[]} rows by day
 */
export function daysChart(scope, month, zone, rows) {
  const watched = new Map(rows.map(({ period, watchMs }) => [period, watchMs]));
  const days = daysOf(month, zone).map((day) => ({ ...day, watchMs: watched.get(day.name) ?? 0 }));
  const frame = plotFrame(scope, {
    label: "Viewer-hours by day",
    keys: [["key-report", "Viewer-hours"]],
    style: {
      x: { time: true, range: [days[0].from / 1000, (days.at(-1)?.to ?? 0) / 1000] },
      y: { range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.12)] },
      zone: zone.name,
      xLabels: timeLabels(zone),
      yLabel: format.countShort,
      series: () => [
        {
          stroke: colour("--live"),
          fill: colour("--live"),
          width: 0,
          paths: bars,
          points: { show: false },
        },
      ],
    },
    columns: [
      days.map(({ from, to }) => (from + to) / 2000),
      days.map(({ watchMs }) => (watchMs ? watchMs / 3_600_000 : null)),
    ],
    readout: (_, i) => `${zone.date(days[i].from)} · ${viewerHours(days[i].watchMs)} viewer-hours`,
    table: () =>
      dataTable(
        "Watch time by day",
        ["Day", "Watch time", "Viewer-hours"],
        days.map(({ from, watchMs }) => [
          zone.date(from),
          format.watched(watchMs),
          viewerHours(watchMs),
        ]),
      ),
  });
  const watchedDays = rows.filter(({ watchMs }) => watchMs > 0).length;
  frame.describe(`${viewerHours(totalOf(days))} on ${format.plural(watchedDays, "day")}`);
  return frame.element;
}
