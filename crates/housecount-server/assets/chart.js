/**
 * Chart of viewers over time: billable viewers from the history, joined to the live count.
 *
 * The two are separate lines. Billable time lags: a viewer's last ttl isn't proven yet, so the newest part of the history is too low.
 * It is drawn dashed, and only where no live count is known.
 */

import { createElement } from "./dom.js";
import * as format from "./format.js";
import { colour, fromZero, join, plotFrame, stepped, timeLabels } from "./plot.js";

/** @typedef {import("./scope.js").Scope} Scope */
/** @typedef {import("./ring.js").Ring} Ring */
/** @typedef {{at: number, avg: number, min: number, max: number}} Step */
/**
 * Response of a history call. `ttlMs`: time after which a step's proof is final.
 * @typedef {{history: Step[], stepMs: number, to: number, committedTo: number, complete: boolean, ttlMs: number}} History
 */

/** Part of a ttl after which most time is proven: by default a minute, the interval of hidden tabs. Newer steps are not drawn. */
const MOSTLY_PROVEN = 0.5;
/** Rows of the table that replaces the chart for screen readers. */
const TABLE_ROWS_MAX = 500;

const PROVEN = 1;
const MIN = 2;
const MAX = 3;
const DASHED = 4;
const LIVE = 5;

/**
 * Time ranges of the chart.
 * @type {Record<string, {ms: number, step: string, refreshMs: number, title: string}>}
 */
export const RANGES = {
  "1h": { ms: 3_600_000, step: "15s", refreshMs: 30_000, title: "1 hour" },
  "6h": { ms: 6 * 3_600_000, step: "1m", refreshMs: 60_000, title: "6 hours" },
  "24h": { ms: 24 * 3_600_000, step: "5m", refreshMs: 120_000, title: "24 hours" },
  "7d": { ms: 7 * 24 * 3_600_000, step: "30m", refreshMs: 600_000, title: "7 days" },
};

/**
 * @param {Scope} scope
 * @param {{label: string, provenLabel: string, ring: Ring, end: Node[]}} options `provenLabel`: legend of the billable
 *   curve; `end`: elements above the chart, on the right
 */
export function chart(scope, { label, provenLabel, ring, end }) {
  let rangeMs = RANGES["1h"].ms;
  let nowMs = Date.now();
  /** @type {History | null} */
  let history = null;
  const frame = plotFrame(scope, {
    label,
    keys: [
      ["key-live", "Live count"],
      ["key-proven", `${provenLabel}: average, minimum to maximum`],
      ["key-dashed", "Billable, not final yet"],
    ],
    end,
    style: plotStyle(() => [(nowMs - rangeMs) / 1000, nowMs / 1000]),
    columns: [[], [], [], [], [], []],
    readout: cursorText,
    table: () => historyTable(history),
  });

  return {
    element: frame.element,
    /** @param {History | null} response */
    setHistory(response) {
      history = response;
      frame.fillTable();
    },
    /** @param {number} ms */
    setRange(ms) {
      rangeMs = ms;
    },
    /**
     * @param {number} now on the log's clock
     * @param {number | null} current the live count now; null: unknown
     */
    draw(now, current) {
      nowMs = now;
      frame.plot.setData(alignedColumns(history, ring, now, current, now - rangeMs));
      const most = history?.history.reduce((max, step) => Math.max(max, step.max), 0);
      const parts = [
        current === null ? "" : `${format.count(current)} now`,
        most === undefined ? "" : `at most ${format.count(most)} billable at once`,
      ];
      frame.describe(parts.filter(Boolean).join(", ") || "no data yet");
    },
  };
}

/**
 * Computes the end of a step. Steps are aligned to the epoch, and the first one starts late.
 * @param {Step} step
 * @param {number} stepMs
 */
const stepEnd = ({ at }, stepMs) => at - (at % stepMs) + stepMs;

/**
 * Selects the steps whose proof is final; later ones are still too low.
 * @param {History} history
 */
export const provenHistory = ({ history, stepMs, to, ttlMs }) => history.filter((step) => stepEnd(step, stepMs) <= to - ttlMs);

/**
 * Counts the averages in a response of `/v1/watch` whose proof is final.
 * @param {{from: number, to: number, stepMs: number, ttlMs: number}} range
 */
export const provenStepCount = ({ from, to, stepMs, ttlMs }) =>
  Math.max(0, Math.floor((to - ttlMs) / stepMs) - Math.floor(from / stepMs));

/**
 * Computes the watch time in a history: the integral of concurrent viewers over time.
 * @param {History} history
 */
export const integral = ({ history, stepMs, to }) =>
  history.reduce((sum, step) => sum + step.avg * (Math.min(stepEnd(step, stepMs), to) - step.at), 0);

/**
 * Checks whether the live count is known throughout a time. If so, the chart draws only the live count there.
 * @param {Ring} ring
 * @param {number} fromMs
 * @param {number} toMs
 */
function isLiveKnown({ at, count }, fromMs, toMs) {
  if (!at.length || at[0] * 1000 > fromMs) return false;
  const isGap = (/** @type {number | null} */ value, /** @type {number} */ i) =>
    value === null && at[i] * 1000 < toMs && (at[i + 1] ?? Infinity) * 1000 > fromMs;
  return !count.some(isGap);
}

/**
 * Builds the aligned columns of the plot.
 * @param {History | null} history
 * @param {Ring} ring
 * @param {number} now
 * @param {number | null} current
 * @param {number} from
 * @returns {import("./plot.js").Columns}
 */
function alignedColumns(history, ring, now, current, from) {
  const { history: all, stepMs, to, ttlMs } = history ?? { history: [], stepMs: 1, to: now, ttlMs: 0 };
  const steps = all.filter((step) => step.at >= from - stepMs);
  const end = (/** @type {Step} */ step) => Math.min(stepEnd(step, stepMs), to);
  const middle = (/** @type {Step} */ step) => (step.at + end(step)) / 2000;
  const finalSteps = steps.filter((step) => end(step) <= to - ttlMs);
  const column = (/** @type {"avg" | "min" | "max"} */ key) =>
    finalSteps.map((step) => (isLiveKnown(ring, step.at, end(step)) ? null : step[key]));
  return join(
    /** @type {import("./plot.js").Columns[]} */ ([
      [finalSteps.map(middle), column("avg"), column("min"), column("max")],
      dashedColumns(),
      liveColumns(ring, now, current, from),
    ]),
  );

  /** Builds the dashed line, from the end of the billable curve to the start of the live count. */
  function dashedColumns() {
    const liveFrom = ring.isEmpty ? Infinity : ring.at[0] * 1000;
    const before = steps.filter((step) => end(step) <= Math.min(liveFrom, to - ttlMs * MOSTLY_PROVEN));
    const ends = finalSteps.filter((step) => end(step) <= liveFrom).length;
    const fresh = before.slice(Math.max(0, ends - 1));
    const at = fresh.map(middle);
    const count = fresh.map((step) => step.avg);
    if (fresh.length && ring.count[0] != null) {
      at.push(ring.at[0]);
      count.push(ring.count[0]);
    }
    return [at, count];
  }
}

/**
 * Builds the live curve, up to now.
 * @param {Ring} ring
 * @param {number} now
 * @param {number | null} current
 * @param {number} from
 */
function liveColumns(ring, now, current, from) {
  const at = [...ring.at];
  const count = [...ring.count];
  if (current !== null && at.length && now / 1000 > (at.at(-1) ?? 0)) {
    // The server sends changes only: the count is the same until now.
    at.push(now / 1000);
    count.push(current);
  }
  const first = at.findIndex((t) => t * 1000 >= from);
  const visible = first < 0 ? at.length : Math.max(0, first - 1);
  return [at.slice(visible), count.slice(visible)];
}

/**
 * @param {() => [number, number]} xRange
 * @returns {import("./plot.js").PlotStyle}
 */
const plotStyle = (xRange) => ({
  x: { time: true, range: xRange },
  y: fromZero,
  xLabels: timeLabels(format),
  yLabel: format.countShort,
  bands: [{ series: [MAX, MIN], fill: colour("--proven-band") }],
  series: (px) => [
    {
      stroke: colour("--proven"),
      fill: colour("--proven-area"),
      width: 1.5,
      points: { show: false },
    },
    { width: 0, points: { show: false } },
    { width: 0, points: { show: false } },
    { stroke: colour("--proven"), width: 1.5, dash: [3, 4], points: { show: false } },
    {
      stroke: colour("--live"),
      fill: colour("--live-area"),
      width: 2,
      paths: stepped,
      points: {
        show: true,
        size: px * 0.5,
        width: 0,
        fill: colour("--live"),
        filter: lastPoint,
      },
    },
  ],
});

/**
 * Selects the newest point of a series, which is marked.
 * @param {import("./plot.js").Plot} plot
 * @param {number} series
 */
function lastPoint(plot, series) {
  const values = plot.data[series];
  for (let i = values.length - 1; i >= 0; i--) {
    if (values[i] === null) return [];
    if (values[i] !== undefined) return [i];
  }
  return [];
}

/**
 * Describes the values under the pointer.
 * @param {import("./plot.js").Plot} plot
 * @param {number} idx
 */
function cursorText(plot, idx) {
  /** Finds the column's value here or before: the columns' times interleave. */
  const value = (/** @type {number} */ column) => {
    for (let i = idx; i >= Math.max(0, idx - 40); i--) {
      const found = plot.data[column][i];
      if (found !== undefined) return found;
    }
    return null;
  };
  const parts = [format.when(plot.data[0][idx] * 1000, Date.now())];
  const live = value(LIVE);
  const proven = value(PROVEN) ?? value(DASHED);
  if (live !== null) parts.push(`live ${format.count(live)}`);
  if (proven !== null && live === null) {
    const [low, high] = [value(MIN), value(MAX)];
    parts.push(`billable ${format.average(proven)}`);
    if (low !== null && high !== null) parts.push(`${format.count(low)} to ${format.count(high)}`);
  }
  return parts.join(" · ");
}

/**
 * Builds the chart's table for screen readers.
 * @param {History | null} history
 */
function historyTable(history) {
  if (!history || !provenHistory(history).length)
    return createElement("p", { class: "hint" }, "No history in this range.");
  const rows = provenHistory(history).slice(-TABLE_ROWS_MAX).reverse();
  const head = ["From", "Average", "Minimum", "Maximum"].map((title) => createElement("th", { scope: "col" }, title));
  return createElement(
    "table",
    { class: "plain" },
    createElement(
      "caption",
      null,
      `Billable concurrent viewers, in steps of ${format.span(history.stepMs)}, newest first`,
    ),
    createElement("thead", null, createElement("tr", null, head)),
    createElement(
      "tbody",
      null,
      rows.map((step) =>
        createElement(
          "tr",
          null,
          createElement("td", null, format.moment(step.at)),
          createElement("td", null, format.average(step.avg)),
          createElement("td", null, format.count(step.min)),
          createElement("td", null, format.count(step.max)),
        ),
      ),
    ),
  );
}
