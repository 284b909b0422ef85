/** Panels of a report: figures, charts, retention and the distribution of watch times. */

import { barTable, className, minutes } from "./bar-table.js";
import { createElement } from "./dom.js";
import * as format from "./format.js";
import { panel } from "./parts.js";
import { minutesChart, movesChart, viewersChart } from "./report-charts.js";
import { reportFigures } from "./report-figures.js";

/** @typedef {import("./report-figures.js").Report} Report */
/** @typedef {import("./report-figures.js").Retention} Retention */
/** @typedef {import("./report-figures.js").WatchTimeClass} WatchTimeClass */

/**
 * @param {import("./scope.js").Scope} scope
 * @param {Report} report
 * @param {import("./zone.js").Zone} zone
 * @param {number} now
 * @param {import("./plot.js").Zoom} zoom
 */
export function reportPanels(scope, report, zone, now, zoom) {
  const { retention } = report;
  return [
    createElement(
      "section",
      { class: "panel", "aria-label": "Figures" },
      reportFigures(report, zone),
    ),
    panel("Viewers at once", {}, viewersChart(scope, report, zone, now, zoom)),
    panel("Joins and leaves per minute", {}, movesChart(scope, report, zone, zoom)),
    ...(retention ? retentionPanels(scope, retention, zone) : [noRetention(report)]),
    panel("Viewers by watch time", {}, histogramTable(report)),
  ];
}

/**
 * @param {import("./scope.js").Scope} scope
 * @param {Retention} retention
 * @param {import("./zone.js").Zone} zone
 */
function retentionPanels(scope, retention, zone) {
  const at = zone.when(retention.startedAt);
  const first = `${minutes(retention.cohortMs)} of the first one, at ${at}`;
  const who = createElement(
    "p",
    { class: "hint panel-note" },
    `Of the ${format.plural(retention.viewers, "viewer")} who came within ${first}.`,
  );
  return [
    createElement(
      "div",
      { class: "split" },
      panel("Who stayed, since they came", {}, who, retentionTable(retention)),
      panel(
        "Who stayed, by minute of the broadcast",
        {},
        who.cloneNode(true),
        retention.minutes.length > 1
          ? minutesChart(scope, retention)
          : createElement("p", null, "The range has less than two minutes with viewers."),
      ),
    ),
  ];
}

/** @param {Report} report */
const noRetention = ({ stage }) =>
  panel(
    "Who stayed",
    {},
    createElement(
      "p",
      { class: "hint" },
      stage
        ? "No viewer came in this range."
        : "Select a stage to see how many of its first viewers stayed.",
    ),
  );

/** @param {Retention} retention */
function retentionTable({ after }) {
  const points = after.filter(({ viewers }) => viewers > 0);
  if (!points.length)
    return createElement("p", null, "No viewer came a minute or more before the end of the range.");
  return barTable(
    "First viewers who are still watching",
    ["After", "Watching", "Share"],
    points.map(({ afterMs, viewers, watching, share }) => [
      minutes(afterMs),
      [
        {
          text: `${format.count(watching)} of ${format.count(viewers)}`,
          part: share,
          isDetail: true,
        },
        { text: format.percent(share) },
      ],
    ]),
  );
}

/** @param {Report} report */
function histogramTable({ histogram, uniqueViewers }) {
  const classes = usedClasses(histogram);
  const most = Math.max(1, ...classes.map(({ viewers }) => viewers));
  return barTable(
    "Viewers by watch time",
    ["Watch time", "Viewers", "Share"],
    classes.map((one) => [
      className(one),
      [
        { text: format.count(one.viewers), part: one.viewers / most },
        { text: format.percent(one.viewers / uniqueViewers), isDetail: true },
      ],
    ]),
  );
}

/**
 * Leaves out the longest classes without a viewer.
 * @param {WatchTimeClass[]} histogram
 */
export const usedClasses = (histogram) =>
  histogram.slice(0, histogram.findLastIndex(({ viewers }) => viewers > 0) + 1);
