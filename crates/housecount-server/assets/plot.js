/**
 * Frame that all charts share: canvas, readout, key, and the table that replaces the canvas for
 * screen readers. The only file that uses uPlot.
 */

import { setChildren, uniqueId, createElement, setText } from "./dom.js";
import * as format from "./format.js";
import uPlot from "./uplot.js";

/** @typedef {import("./scope.js").Scope} Scope */
/** @typedef {uPlot} Plot */
/** @typedef {uPlot.AlignedData} Columns */
/** @typedef {uPlot.Series} Series */
/** @typedef {uPlot.Scale} Scale */
/** Times of day as a chart shows them: `format.js`, or a `Zone`. */
/** @typedef {"isMidnight" | "date" | "timeOfDay" | "timeOfDaySeconds"} ClockFormat */
/** @typedef {Pick<typeof format, ClockFormat>} Clock */

/**
 * @typedef {object} PlotStyle
 * @property {Scale} x
 * @property {Scale} y
 * @property {(splits: number[], step: number) => string[]} xLabels
 * @property {(value: number) => string} yLabel
 * @property {number[]} [xStep] steps between two labels
 * @property {number[]} [yStep]
 * @property {string} [zone] time zone of the axis; the browser's by default
 * @property {(px: number) => Series[]} series `px`: size of the font
 * @property {uPlot.Band[]} [bands]
 */

/**
 * Zoom of a time axis by dragging. `outHref`: address of the outer range, if this is a part of it.
 * @typedef {{onZoom: (fromMs: number, toMs: number) => void, outHref: string | null}} Zoom
 */

/** Shorter drags are clicks. */
const ZOOM_PX_MIN = 8;
/** Steps between two labels of a count. */
const COUNT_STEPS = [1, 2, 5, 10, 20, 50]
  .concat([100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4])
  .concat([1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7]);

export const { join } = uPlot;

/** Draws each value as a step from its time on. */
export const stepped = uPlot.paths.stepped?.({ align: 1 });

/** Draws each value as a bar around its time. */
export const bars = uPlot.paths.bars?.({ size: [0.8, 48, 1] });

/** Draws a scale of counts from 0: another start would show a small change as a collapse. */
export const fromZero = /** @type {Scale} */ ({
  range: (_, __, max) => [0, Math.max(4, Math.ceil((max ?? 0) * 1.12))],
});

/**
 * @param {Scope} scope
 * @param {object} options
 * @param {string} options.label
 * @param {[string, string][]} options.keys class and text of each item of the key
 * @param {Node[]} [options.end] elements above the chart, on the right
 * @param {PlotStyle} options.style
 * @param {Columns} options.columns
 * @param {Zoom} [options.zoom]
 * @param {(plot: Plot, index: number) => string} options.readout of the pointer
 * @param {() => Element} options.table
 */
export function plotFrame(scope, { label, keys, end = [], style, columns, zoom, readout, table }) {
  const canvas = createElement("div", { class: "chart-canvas", role: "img", "aria-label": label });
  const values = createElement("span", { class: "chart-readout" });
  const legend = createElement(
    "ul",
    { class: "chart-legend", "aria-label": "Key" },
    keys.map(([name, text]) => createElement("li", { class: name }, text)),
  );
  const tableBox = createElement("div", {
    class: "chart-table",
    id: uniqueId(),
    tabindex: 0,
    role: "region",
    "aria-label": `${label}, as a table`,
    hidden: true,
  });
  const fillTable = () => tableBox.hidden || setChildren(tableBox, table());
  const toggle = createElement(
    "button",
    {
      type: "button",
      class: "plain-button",
      "aria-controls": tableBox.id,
      "aria-expanded": "false",
      onclick: () => {
        tableBox.hidden = !tableBox.hidden;
        toggle.setAttribute("aria-expanded", String(!tableBox.hidden));
        fillTable();
      },
    },
    "As a table",
  );
  const head = createElement(
    "div",
    { class: "chart-head" },
    values,
    createElement("div", { class: "panel-end" }, end),
  );
  const zoomNote = zoom?.outHref
    ? createElement("a", { class: "no-print", href: zoom.outHref }, "Zoom out")
    : zoom && createElement("span", { class: "zoom-hint no-print" }, "Drag to zoom");
  const foot = createElement("div", { class: "chart-foot" }, legend, zoomNote, toggle);
  const element = createElement("div", { class: "chart" }, head, canvas, foot, tableBox);

  const plot = new uPlot(plotOptions(style, Boolean(zoom)), columns, canvas);
  plot.hooks.setCursor?.push(() => {
    const { idx } = plot.cursor;
    setText(values, idx === null || idx === undefined ? "" : readout(plot, idx));
  });
  if (zoom) enableZoom(plot, zoom);
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
    plot,
    fillTable,
    /** @param {string} text values of the chart, for screen readers */
    describe: (text) => canvas.setAttribute("aria-label", `${label}: ${text}`),
  };
}

/**
 * Calls `onZoom` for a range that is dragged over. A double click shows the outer range again.
 * @param {Plot} plot
 * @param {Zoom} zoom
 */
function enableZoom(plot, { onZoom, outHref }) {
  plot.hooks.setSelect?.push(() => {
    const { left, width } = plot.select;
    if (width < ZOOM_PX_MIN) return;
    const [from, to] = [left, left + width].map((px) => plot.posToVal(px, "x") * 1000);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    onZoom(from, to);
  });
  if (outHref) plot.over.addEventListener("dblclick", () => (location.hash = outHref));
}

/**
 * Reads a colour of the style sheet for the canvas, at each draw, so that it follows the theme.
 * @param {string} name
 */
export const colour = (name) => () =>
  getComputedStyle(document.documentElement).getPropertyValue(name);

/**
 * Creates the labels of a time axis.
 * @param {Clock} clock
 */
export const timeLabels = (clock) => (/** @type {number[]} */ splits, /** @type {number} */ step) =>
  splits.map((s) => {
    const at = s * 1000;
    if (step >= 86_400 || clock.isMidnight(at)) return clock.date(at);
    return step < 60 ? clock.timeOfDaySeconds(at) : clock.timeOfDay(at);
  });

/**
 * @param {PlotStyle} style
 * @param {boolean} isZoomable
 * @returns {uPlot.Options}
 */
function plotOptions(
  { x, y, xLabels, xStep, yLabel, yStep = COUNT_STEPS, zone, series, bands = [] },
  isZoomable,
) {
  const px = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const axis = {
    font: `${Math.round(px * 0.75)}px ${getComputedStyle(document.body).fontFamily}`,
    stroke: colour("--ink-2"),
    ticks: { show: false },
    grid: { stroke: colour("--line"), width: 1 },
  };
  return {
    width: 300,
    height: 200,
    padding: [px / 2, px * 1.25, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: isZoomable, y: false, setScale: false },
      y: false,
      points: { show: false },
    },
    hooks: { setCursor: [], setSelect: [] },
    tzDate: (s) => (zone ? uPlot.tzDate(new Date(s * 1000), zone) : new Date(s * 1000)),
    scales: { x, y },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: px * 1.75,
        space: px * 5,
        ...(xStep && { incrs: xStep }),
        values: (_, splits, __, ___, step) => xLabels(splits, step),
      },
      {
        ...axis,
        size: px * 3,
        space: px * 2.5,
        incrs: yStep,
        values: (_, splits) => splits.map(yLabel),
      },
    ],
    bands,
    series: [{}, ...series(px)],
  };
}
