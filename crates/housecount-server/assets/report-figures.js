/** Figures of a report: their names, hints and formats. */

import { createElement, setText } from "./dom.js";
import * as format from "./format.js";
import { figure } from "./parts.js";

/**
 * @typedef {object} Head
 * @property {number} uniqueViewers
 * @property {number} watchMs
 * @property {number} averageWatchMs
 * @property {number} medianWatchMs
 * @property {number} p90WatchMs
 * @property {number} peakViewers
 * @property {number} [peakAt]
 * @property {number} averageViewers
 * @property {number} joins
 * @property {number} leaves
 * @property {number} views
 * @property {number} [newViewers]
 * @property {number} [returningViewers]
 */

/** @typedef {{at: number, avg: number, min: number, max: number}} Viewers */
/** @typedef {{joins: number, leaves: number}} Moves */
/** @typedef {{joinsPerMinute: number, leavesPerMinute: number}} Rates */
/** @typedef {Viewers & Moves & Rates} Step */
/** @typedef {{afterMs: number, viewers: number, watching: number, share: number}} RetentionPoint */
/** @typedef {{at: number, watching: number, share: number}} RetentionMinute */

/**
 * @typedef {object} Retention
 * @property {number} startedAt
 * @property {number} cohortMs
 * @property {number} viewers
 * @property {RetentionPoint[]} after
 * @property {RetentionMinute[]} minutes
 */

/** @typedef {{fromMs: number, toMs?: number, viewers: number}} WatchTimeClass */
/** @typedef {{from: number, to: number, committedTo: number, complete: boolean}} Coverage */

/**
 * @typedef {object} Body
 * @property {string} [stage] missing for all stages
 * @property {number} ttlMs
 * @property {number} stepMs
 * @property {Step[]} steps
 * @property {WatchTimeClass[]} histogram
 * @property {Retention} [retention]
 * @property {import("./labels.js").ByLabel<Head>} [by]
 */

/** @typedef {Head & Coverage & Body} Report */

/**
 * @typedef {object} Figure
 * @property {Exclude<keyof Head, "peakAt">} key
 * @property {string} title
 * @property {string} hint
 * @property {(value: number) => string} text
 */

/** @type {Figure[]} */
export const FIGURES = [
  {
    key: "uniqueViewers",
    title: "Unique viewers",
    hint: "Distinct viewers with watch time in the range",
    text: format.count,
  },
  {
    key: "watchMs",
    title: "Watch time",
    hint: "Sum of the watch times of all viewers",
    text: format.duration,
  },
  {
    key: "peakViewers",
    title: "Peak viewers",
    hint: "Most viewers at once; of all stages, a viewer of two counts on both",
    text: format.count,
  },
  {
    key: "averageViewers",
    title: "Average viewers",
    hint: "Average number of viewers at once, over the whole range",
    text: format.average,
  },
  {
    key: "averageWatchMs",
    title: "Average per viewer",
    hint: "Average watch time of a viewer",
    text: format.duration,
  },
  {
    key: "medianWatchMs",
    title: "Median per viewer",
    hint: "Half of the viewers watched at most so long",
    text: format.duration,
  },
  {
    key: "p90WatchMs",
    title: "90th percentile",
    hint: "Nine tenths of the viewers watched at most so long",
    text: format.duration,
  },
  {
    key: "views",
    title: "Views",
    hint: "Times that a viewer watched without a break; some began before the range",
    text: format.count,
  },
  { key: "joins", title: "Joins", hint: "Views that began in the range", text: format.count },
  { key: "leaves", title: "Leaves", hint: "Views that ended in the range", text: format.count },
  {
    key: "newViewers",
    title: "New viewers",
    hint: "Viewers who did not watch in the time before the range",
    text: format.count,
  },
  {
    key: "returningViewers",
    title: "Returning viewers",
    hint: "Viewers who also watched in the time before the range",
    text: format.count,
  },
];

/** Figures that are shown large. */
const MAIN = new Set(["uniqueViewers", "watchMs", "peakViewers", "averageViewers"]);

/**
 * Creates the figures of a report.
 * @param {Head} head
 * @param {import("./zone.js").Zone} zone
 */
export function reportFigures(head, zone) {
  /** @type {Partial<Record<Figure["key"], string>>} */
  const notes = {
    watchMs: format.watched(head.watchMs),
    peakViewers: head.peakAt === undefined ? "" : `at ${zone.when(head.peakAt)}`,
    newViewers: shareText(head.newViewers, head),
    returningViewers: shareText(head.returningViewers, head),
    uniqueViewers: head.uniqueViewers
      ? `${format.ratio(head.views / head.uniqueViewers)} views per viewer`
      : "",
  };
  const shown = FIGURES.filter(({ key }) => head[key] !== undefined);
  const elements = (/** @type {boolean} */ isMain) =>
    shown
      .filter(({ key }) => MAIN.has(key) === isMain)
      .map((one) => element(one, head, notes[one.key] ?? ""));
  return [
    createElement("dl", { class: "figures report-main" }, elements(true)),
    createElement("dl", { class: "figures report-more" }, elements(false)),
  ];
}

/**
 * @param {Figure} of
 * @param {Head} head
 * @param {string} note
 */
function element({ key, title, hint, text }, head, note) {
  const one = figure(title, { hint });
  setText(one.value, text(head[key] ?? 0));
  setText(one.note, note);
  one.element.dataset.figure = key;
  return one.element;
}

/**
 * @param {number | undefined} viewers
 * @param {Head} head
 */
const shareText = (viewers = 0, { uniqueViewers }) =>
  uniqueViewers ? `${format.percent(viewers / uniqueViewers)} of the viewers` : "";
