/** Charts of a report: viewers at once, joins and leaves, and how long the first viewers stay. */

import { createElement } from "./dom.js";
import * as format from "./format.js";
import { bars, colour, fromZero, plotFrame, timeLabels } from "./plot.js";

/** @typedef {import("./scope.js").Scope} Scope */
/** @typedef {import("./zone.js").Zone} Zone */
/** @typedef {import("./report-figures.js").Report} Report */
/** @typedef {import("./report-figures.js").Step} Step */
/** @typedef {import("./report-figures.js").Retention} Retention */

const MINUTE_MS = 60_000;
/** Rows of the table that replaces a chart. */
const TABLE_ROWS_MAX = 1_500;

/**
 * Returns the end of a step. Steps are aligned to the epoch; the first and the last may be shorter.
 * @param {Step} step
 * @param {Report} report
 */
export const stepEnd = ({ at }, { stepMs, to }) => Math.min(at - (at % stepMs) + stepMs, to);

/**
 * Returns the steps that are certain: one `ttl` later it is known who was watching.
 * @param {Report} report
 * @param {number} now
 */
export const finalSteps = (report, now) =>
  report.steps.filter((step) => stepEnd(step, report) <= now - report.ttlMs);

/** @param {Report} report */
const middles = (report) => report.steps.map((step) => (step.at + stepEnd(step, report)) / 2000);

/**
 * Creates the chart of viewers at once.
 * @param {Scope} scope
 * @param {Report} report
 * @param {Zone} zone
 * @param {number} now
 * @param {import("./plot.js").Zoom} zoom
 */
export function viewersChart(scope, report, zone, now, zoom) {
  const { steps, from, to } = report;
  const ends = finalSteps(report, now).length;
  const isOpen = ends < steps.length;
  const certain = (/** @type {"avg" | "min" | "max"} */ key) =>
    steps.map((step, i) => (i < ends ? step[key] : null));
  const open = steps.map((step, i) => {
    const isShown = isOpen && i >= ends - 1 && step.at < now;
    return isShown ? step.avg : null;
  });
  const frame = plotFrame(scope, {
    label: "Viewers at once",
    keys: [
      ["key-report", "Average"],
      ["key-band", "Minimum to maximum"],
      ...(isOpen ? /** @type {[string, string][]} */ ([["key-open", "Not final yet"]]) : []),
    ],
    style: {
      x: { time: true, range: [from / 1000, to / 1000] },
      y: fromZero,
      zone: zone.name,
      xLabels: timeLabels(zone),
      yLabel: format.countShort,
      bands: [{ series: [3, 2], fill: colour("--live-band") }],
      series: (px) => [
        {
          stroke: colour("--live"),
          fill: colour("--live-area"),
          width: px / 8,
          points: { show: false },
        },
        { width: 0, points: { show: false } },
        { width: 0, points: { show: false } },
        {
          stroke: colour("--live"),
          width: px / 10,
          dash: [px / 5, px / 4],
          points: { show: false },
        },
      ],
    },
    zoom,
    columns: [middles(report), certain("avg"), certain("min"), certain("max"), open],
    readout: (_, i) => {
      const { at, avg, min, max } = steps[i];
      const range = `${format.count(min)} to ${format.count(max)}`;
      return `${zone.when(at)} · average ${format.average(avg)} · ${range}`;
    },
    table: () =>
      dataTable(
        `Viewers at once, in steps of ${format.span(report.stepMs)}`,
        ["From", "Average", "Minimum", "Maximum"],
        steps.map((step) => [
          zone.when(step.at),
          format.average(step.avg),
          format.count(step.min),
          format.count(step.max),
        ]),
      ),
  });
  frame.describe(
    [
      `${format.count(report.peakViewers)} at most`,
      `${format.average(report.averageViewers)} on average`,
    ].join(", "),
  );
  return frame.element;
}

/**
 * Creates the chart of joins and leaves: joins above the axis, leaves below it.
 * @param {Scope} scope
 * @param {Report} report
 * @param {Zone} zone
 * @param {import("./plot.js").Zoom} zoom
 */
export function movesChart(scope, report, zone, zoom) {
  const { steps, from, to } = report;
  const frame = plotFrame(scope, {
    label: "Joins and leaves per minute",
    keys: [
      ["key-joins", "Joins"],
      ["key-leaves", "Leaves"],
    ],
    style: {
      x: { time: true, range: [from / 1000, to / 1000] },
      y: {
        range: (_, min, max) => [Math.min(-1, (min ?? 0) * 1.12), Math.max(1, (max ?? 0) * 1.12)],
      },
      zone: zone.name,
      xLabels: timeLabels(zone),
      yLabel: (value) => format.countShort(Math.abs(value)),
      series: (px) => [
        {
          stroke: colour("--live"),
          fill: colour("--live"),
          width: 0,
          paths: bars,
          points: { show: false },
        },
        {
          stroke: colour("--leave"),
          fill: colour("--leave"),
          width: 0,
          paths: bars,
          points: { show: false },
        },
      ],
    },
    zoom,
    columns: [
      middles(report),
      steps.map((step) => step.joinsPerMinute || null),
      steps.map((step) => -step.leavesPerMinute || null),
    ],
    readout: (_, i) => {
      const { at, joinsPerMinute, leavesPerMinute } = steps[i];
      const [joins, leaves] = [joinsPerMinute, leavesPerMinute].map(format.average);
      return `${zone.when(at)} · ${joins} joins, ${leaves} leaves per minute`;
    },
    table: () =>
      dataTable(
        `Joins and leaves, in steps of ${format.span(report.stepMs)}`,
        ["From", "Joins", "Leaves", "Joins per minute", "Leaves per minute"],
        steps.map((step) => [
          zone.when(step.at),
          format.count(step.joins),
          format.count(step.leaves),
          format.average(step.joinsPerMinute),
          format.average(step.leavesPerMinute),
        ]),
      ),
  });
  frame.describe(`${format.count(report.joins)} joins, ${format.count(report.leaves)} leaves`);
  return frame.element;
}

/**
 * Creates the chart of the first viewers who are watching, by minute of the broadcast.
 * @param {Scope} scope
 * @param {Retention} retention
 */
export function minutesChart(scope, { minutes, viewers }) {
  const frame = plotFrame(scope, {
    label: "First viewers who are watching, by minute",
    keys: [["key-report", "Share of the first viewers"]],
    style: {
      ...shareStyle(minutes.length),
      series: (px) => [
        {
          stroke: colour("--live"),
          fill: colour("--live-area"),
          width: px / 8,
          points: { show: false },
        },
      ],
    },
    columns: [minutes.map((_, i) => i), minutes.map(({ share }) => share)],
    readout: (_, i) => {
      const { share, watching } = minutes[i];
      const part = `${format.count(watching)} of ${format.count(viewers)}`;
      return `Minute ${i + 1} · ${format.percent(share)}, ${part}`;
    },
    table: () =>
      dataTable(
        "First viewers who are watching, by minute",
        ["Minute", "Watching", "Share"],
        minutes.map(({ watching, share }, i) => [
          format.count(i + 1),
          format.count(watching),
          format.percent(share),
        ]),
      ),
  });
  frame.describe(`${format.percent(minutes.at(-1)?.share ?? 0)} in the last minute`);
  return frame.element;
}

/**
 * Returns axes of a share by minute.
 * @param {number} count of the minutes
 */
export const shareStyle = (count) => ({
  x: { time: false, range: /** @type {[number, number]} */ ([0, Math.max(1, count - 1)]) },
  y: { range: /** @type {[number, number]} */ ([0, 1.04]) },
  yStep: [0.1, 0.25, 0.5],
  xLabels: sinceLabels(MINUTE_MS),
  xStep: [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720],
  yLabel: (/** @type {number} */ value) => format.percent(value),
});

/**
 * Creates labels of an axis of time since a start.
 * @param {number} unitMs length of the axis's unit
 */
export const sinceLabels = (unitMs) => (/** @type {number[]} */ splits) =>
  splits.map((value) => {
    const minutes = Math.round((value * unitMs) / MINUTE_MS);
    if (minutes < 60) return `${minutes} min`;
    const rest = minutes % 60;
    return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${minutes / 60} h`;
  });

/**
 * Creates the table that replaces a chart.
 * @param {string} caption
 * @param {string[]} titles
 * @param {string[][]} rows
 */
export function dataTable(caption, titles, rows) {
  const cut = rows.length - TABLE_ROWS_MAX;
  return createElement(
    "table",
    { class: "plain" },
    createElement("caption", null, cut > 0 ? `${caption}, without the last ${cut} rows` : caption),
    createElement(
      "thead",
      null,
      createElement(
        "tr",
        null,
        titles.map((title) => createElement("th", { scope: "col" }, title)),
      ),
    ),
    createElement(
      "tbody",
      null,
      rows.slice(0, TABLE_ROWS_MAX).map((cells) =>
        createElement(
          "tr",
          null,
          cells.map((cell) => createElement("td", null, cell)),
        ),
      ),
    ),
  );
}
