/**
 * The curve: what is proven (from the ledger) joined to what is counted live. The only file that knows uPlot.
 *
 * Two different things are never drawn as one line. Proven time lags behind: a viewer's last ttl isn't proven yet, so the
 * newest stretch of history is too low and is drawn dashed, and only where no live count is there to show instead.
 */

import { fill, freshId, h, say } from "./dom.js";
import * as format from "./format.js";
import uPlot from "./uplot.js";

/** @typedef {import("./scope.js").Scope} Scope */
/** @typedef {import("./ring.js").Ring} Ring */
/** @typedef {{at: number, avg: number, min: number, max: number}} Step */
/**
 * `ttlMs`: how long it takes until time is proven for sure.
 * @typedef {{history: Step[], stepMs: number, to: number, committedTo: number, complete: boolean, ttlMs: number}} History
 */

/** This part of a ttl is enough for most: by default a minute, as hidden tabs beat. What is newer says nothing yet, and isn't drawn. */
const MOSTLY_PROVEN = 0.5;
/** Rows of the table that stands in for the picture. */
const TABLE_ROWS_MAX = 500;

const PROVEN = 1;
const LOW = 2;
const HIGH = 3;
const DASHED = 4;
const LIVE = 5;

/**
 * What can be chosen to look at.
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
 * @param {{label: string, provenLabel: string, ring: Ring, end: Node[]}} options `provenLabel`: what the proven curve is called; `end`:
 *   what stands above the curve, on the right
 */
export function chart(scope, { label, provenLabel, ring, end }) {
  const canvas = h("div", { class: "chart-canvas", role: "img", "aria-label": label });
  const readout = h("span", { class: "chart-readout" });
  const keys = h(
    "ul",
    { class: "chart-keys", "aria-label": "Key" },
    h("li", { class: "key-live" }, "Live count"),
    h("li", { class: "key-proven" }, `${provenLabel}: average, and from least to most`),
    h("li", { class: "key-dashed" }, "Being proven"),
  );
  const table = h("div", {
    class: "chart-table",
    id: freshId(),
    tabindex: 0,
    role: "region",
    "aria-label": `${label}, as a table`,
    hidden: true,
  });
  const toggle = h(
    "button",
    {
      type: "button",
      class: "plain-button",
      "aria-controls": table.id,
      "aria-expanded": "false",
      onclick: () => {
        table.hidden = !table.hidden;
        toggle.setAttribute("aria-expanded", String(!table.hidden));
        fillTable();
      },
    },
    "As a table",
  );
  const head = h("div", { class: "chart-head" }, readout, h("div", { class: "panel-end" }, end));
  const element = h("div", { class: "chart" }, head, canvas, h("div", { class: "chart-foot" }, keys, toggle), table);
  const fillTable = () => table.hidden || fill(table, tableOf(history));

  let rangeMs = RANGES["1h"].ms;
  let nowMs = Date.now();
  /** @type {History | null} */
  let history = null;
  const plot = new uPlot(
    options(() => [(nowMs - rangeMs) / 1000, nowMs / 1000]),
    [[], [], [], [], [], []],
    canvas,
  );
  plot.hooks.setCursor?.push(() => say(readout, atCursor(plot)));
  scope.defer(() => plot.destroy());

  const resize = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width && height) plot.setSize({ width, height });
  });
  resize.observe(canvas);
  scope.defer(() => resize.disconnect());
  scope.on(document.documentElement, "themechange", () => plot.redraw(false));

  return {
    element,
    /** @param {History | null} found */
    setHistory(found) {
      history = found;
      fillTable();
    },
    /** @param {number} ms */
    setRange(ms) {
      rangeMs = ms;
    },
    /**
     * @param {number} now on the log's clock
     * @param {number | null} current the live count now, or null if it isn't known
     */
    draw(now, current) {
      nowMs = now;
      plot.setData(joined(history, ring, now, current, now - rangeMs));
      const most = history?.history.reduce((max, step) => Math.max(max, step.max), 0);
      const told = [
        current === null ? "" : `${format.count(current)} now`,
        most === undefined ? "" : `at most ${format.count(most)} proven at once`,
      ];
      canvas.setAttribute("aria-label", `${label}: ${told.filter(Boolean).join(", ") || "nothing known yet"}`);
    },
  };
}

/**
 * When a step ends: steps are aligned to the epoch, and the first one is cut off.
 * @param {Step} step
 * @param {number} stepMs
 */
const endOf = ({ at }, stepMs) => at - (at % stepMs) + stepMs;

/**
 * The steps of a history that are proven: what came after them is still too low.
 * @param {History} history
 */
const proven = ({ history, stepMs, to, ttlMs }) => history.filter((step) => endOf(step, stepMs) <= to - ttlMs);

/**
 * How many of the averages of an answer of `/v1/watch` are proven.
 * @param {{from: number, to: number, stepMs: number, ttlMs: number}} range
 */
export const provenSteps = ({ from, to, stepMs, ttlMs }) =>
  Math.max(0, Math.floor((to - ttlMs) / stepMs) - Math.floor(from / stepMs));

/**
 * Watch time in a history: the integral of how many watched at once is the sum of all viewers' watch time.
 * @param {History} history
 */
export const integral = ({ history, stepMs, to }) =>
  history.reduce((sum, step) => sum + step.avg * (Math.min(endOf(step, stepMs), to) - step.at), 0);

/**
 * Whether the live count is known all through a time. It is what is drawn there then, and nothing else.
 * @param {Ring} ring
 * @param {number} fromMs
 * @param {number} toMs
 */
function isHeard({ at, count }, fromMs, toMs) {
  if (!at.length || at[0] * 1000 > fromMs) return false;
  const isSilent = (/** @type {number | null} */ value, /** @type {number} */ i) =>
    value === null && at[i] * 1000 < toMs && (at[i + 1] ?? Infinity) * 1000 > fromMs;
  return !count.some(isSilent);
}

/**
 * The aligned columns of the plot.
 * @param {History | null} history
 * @param {Ring} ring
 * @param {number} now
 * @param {number | null} current
 * @param {number} from
 * @returns {uPlot.AlignedData}
 */
function joined(history, ring, now, current, from) {
  const { history: all, stepMs, to, ttlMs } = history ?? { history: [], stepMs: 1, to: now, ttlMs: 0 };
  const steps = all.filter((step) => step.at >= from - stepMs);
  const end = (/** @type {Step} */ step) => Math.min(endOf(step, stepMs), to);
  const middle = (/** @type {Step} */ step) => (step.at + end(step)) / 2000;
  const sure = steps.filter((step) => end(step) <= to - ttlMs);
  const column = (/** @type {"avg" | "min" | "max"} */ key) =>
    sure.map((step) => (isHeard(ring, step.at, end(step)) ? null : step[key]));
  return uPlot.join(
    /** @type {uPlot.AlignedData[]} */ ([
      [sure.map(middle), column("avg"), column("min"), column("max")],
      dashes(),
      heard(ring, now, current, from),
    ]),
  );

  /** From where the line ends to where the live count begins. */
  function dashes() {
    const liveFrom = ring.isEmpty ? Infinity : ring.at[0] * 1000;
    const before = steps.filter((step) => end(step) <= Math.min(liveFrom, to - ttlMs * MOSTLY_PROVEN));
    const ends = sure.filter((step) => end(step) <= liveFrom).length;
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
 * The live count, up to now.
 * @param {Ring} ring
 * @param {number} now
 * @param {number | null} current
 * @param {number} from
 */
function heard(ring, now, current, from) {
  const at = [...ring.at];
  const count = [...ring.count];
  if (current !== null && at.length && now / 1000 > (at.at(-1) ?? 0)) {
    // Counts are told when they change: until now it has been the same.
    at.push(now / 1000);
    count.push(current);
  }
  const first = at.findIndex((t) => t * 1000 >= from);
  const visible = first < 0 ? at.length : Math.max(0, first - 1);
  return [at.slice(visible), count.slice(visible)];
}

/**
 * @param {() => [number, number]} xRange
 * @returns {uPlot.Options}
 */
function options(xRange) {
  const probe = document.documentElement;
  const colour = (/** @type {string} */ name) => () => resolve(name);
  const px = parseFloat(getComputedStyle(probe).fontSize);
  const font = `${Math.round(px * 0.75)}px ${getComputedStyle(document.body).fontFamily}`;
  const axis = {
    font,
    stroke: colour("--ink-2"),
    ticks: { show: false },
    grid: { stroke: colour("--line"), width: 1 },
  };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return {
    width: 300,
    height: 200,
    padding: [px / 2, px * 1.25, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
    hooks: { setCursor: [] },
    scales: {
      x: { time: true, range: xRange },
      // Always from 0: a curve that starts elsewhere shows a trickle as a collapse.
      y: { range: (_, __, max) => [0, Math.max(4, Math.ceil((max ?? 0) * 1.12))] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: px * 1.75, space: px * 5, values: timeLabels },
      {
        ...axis,
        size: px * 3,
        space: px * 2.5,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7],
        values: (_, splits) => splits.map(format.countShort),
      },
    ],
    bands: [{ series: [HIGH, LOW], fill: colour("--proven-band") }],
    series: [
      {},
      { stroke: colour("--proven"), fill: colour("--proven-area"), width: 1.5, points: { show: false } },
      { width: 0, points: { show: false } },
      { width: 0, points: { show: false } },
      { stroke: colour("--proven"), width: 1.5, dash: [3, 4], points: { show: false } },
      {
        stroke: colour("--live"),
        fill: colour("--live-area"),
        width: 2,
        paths: stepped,
        points: { show: true, size: px * 0.5, width: 0, fill: colour("--live"), filter: lastOnly },
      },
    ],
  };
}

/**
 * Only the newest point of a series is marked: where the curve is now.
 * @param {uPlot} plot
 * @param {number} series
 */
function lastOnly(plot, series) {
  const values = plot.data[series];
  for (let i = values.length - 1; i >= 0; i--) {
    if (values[i] === null) return [];
    if (values[i] !== undefined) return [i];
  }
  return [];
}

/**
 * A colour of the style sheet, as the canvas needs it. Read when it is drawn, so that it is the theme's.
 * @param {string} name
 */
function resolve(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

/**
 * @param {uPlot} _
 * @param {number[]} splits
 * @param {number} __
 * @param {number} ___
 * @param {number} incr
 */
function timeLabels(_, splits, __, ___, incr) {
  return splits.map((s) => {
    const at = new Date(s * 1000);
    const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
    if (incr >= 86_400 || isMidnight) return format.date(s * 1000);
    return incr < 60 ? format.timeOfDaySeconds(s * 1000) : format.timeOfDay(s * 1000);
  });
}

/**
 * What lies under the pointer, in words.
 * @param {uPlot} plot
 */
function atCursor(plot) {
  const { idx } = plot.cursor;
  if (idx === null || idx === undefined) return "";
  /** The column's value here, or the one before: the columns' times interleave. */
  const value = (/** @type {number} */ column) => {
    for (let i = idx; i >= Math.max(0, idx - 40); i--) {
      const found = plot.data[column][i];
      if (found !== undefined) return found;
    }
    return null;
  };
  const told = [format.when(plot.data[0][idx] * 1000, Date.now())];
  const live = value(LIVE);
  const proven = value(PROVEN) ?? value(DASHED);
  if (live !== null) told.push(`live ${format.count(live)}`);
  if (proven !== null && live === null) {
    const [low, high] = [value(LOW), value(HIGH)];
    told.push(`proven ${format.average(proven)}`);
    if (low !== null && high !== null) told.push(`${format.count(low)} to ${format.count(high)}`);
  }
  return told.join(" · ");
}

/**
 * The same for those who don't see it.
 * @param {History | null} history
 */
function tableOf(history) {
  if (!history || !proven(history).length) return h("p", { class: "hint" }, "There is no history in this range.");
  const rows = proven(history).slice(-TABLE_ROWS_MAX).reverse();
  const head = ["From", "Average", "Least", "Most"].map((title) => h("th", { scope: "col" }, title));
  return h(
    "table",
    { class: "plain" },
    h("caption", null, `Proven viewers at once, in steps of ${format.span(history.stepMs)}, newest first`),
    h("thead", null, h("tr", null, head)),
    h(
      "tbody",
      null,
      rows.map((step) =>
        h(
          "tr",
          null,
          h("td", null, format.moment(step.at)),
          h("td", null, format.average(step.avg)),
          h("td", null, format.count(step.min)),
          h("td", null, format.count(step.max)),
        ),
      ),
    ),
  );
}
