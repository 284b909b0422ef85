/**
 * Addresses of reports and comparisons. All that a page shows is in its address, so that a link
 * opens the same view.
 */

import { Zone } from "./zone.js";

/**
 * Part of an address that selects what is reported.
 * @typedef {object} Selection
 * @property {string} stage `""`: all stages
 * @property {number} from Unix ms, included
 * @property {number} to Unix ms, not included
 */

/**
 * @typedef {{from: number, to: number}} Range
 * @typedef {Selection & {zone: Zone, before: string, by: string, within?: Range}} ReportState
 *   `by`: key of a label, or ""; `within`: the range before a zoom
 * @typedef {{a: Selection, b: Selection, zone: Zone}} CompareState
 */

const DAY_MS = 86_400_000;

/** Times before a range in which a returning viewer has watched. */
export const BEFORE = ["", "1d", "7d", "30d"];

/**
 * @param {URLSearchParams} query
 * @param {number} now
 * @returns {ReportState}
 */
export function readReport(query, now) {
  const to = moment(query.get("to")) ?? now;
  const before = query.get("before") ?? "";
  return {
    stage: query.get("stage") ?? "",
    from: moment(query.get("from")) ?? to - DAY_MS,
    to,
    zone: new Zone(query.get("tz") ?? ""),
    before: BEFORE.includes(before) ? before : "",
    by: query.get("by") ?? "",
    within: readRange(query.get("within") ?? ""),
  };
}

/** @param {ReportState} state */
export const reportHash = ({ stage, from, to, zone, before, by, within }) =>
  hash("report", {
    stage: stage || undefined,
    from: text(from),
    to: text(to),
    tz: zone.name,
    before: before || undefined,
    by: by || undefined,
    within: within && rangeText(within),
  });

/**
 * @param {URLSearchParams} query
 * @param {number} now
 * @returns {CompareState}
 */
export const readCompare = (query, now) => ({
  a: readSide(query.get("a") ?? "", now),
  b: readSide(query.get("b") ?? "", now),
  zone: new Zone(query.get("tz") ?? ""),
});

/** @param {CompareState} state */
export const compareHash = ({ a, b, zone }) =>
  hash("compare", { a: sideText(a), b: sideText(b), tz: zone.name });

/**
 * Returns a side of a comparison as the API takes it. A stage may have an `@`, and times have none.
 * @param {Selection} side
 */
export const sideText = ({ stage, from, to }) => `${stage}@${rangeText({ from, to })}`;

/**
 * @param {string} side
 * @param {number} now
 * @returns {Selection}
 */
function readSide(side, now) {
  const [, stage = "", from = "", to = ""] = /^(.*)@([^@]*?)\.\.([^@]*)$/.exec(side) ?? [];
  const end = moment(to) ?? now;
  return { stage, from: moment(from) ?? end - DAY_MS, to: end };
}

/**
 * @param {string} range
 * @returns {Range | undefined}
 */
function readRange(range) {
  const [from, to] = range.split("..").map(moment);
  return from && to && from < to ? { from, to } : undefined;
}

/** @param {Range} range */
const rangeText = ({ from, to }) => `${text(from)}..${text(to)}`;

/** @param {string | null | undefined} found RFC 3339, or Unix ms as in the API */
function moment(found) {
  if (!found) return null;
  const ms = /^\d+$/.test(found) ? Number(found) : Date.parse(found);
  return Number.isNaN(ms) || Math.abs(ms) > 8.64e15 ? null : ms;
}

/** @param {number} ms */
const text = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/**
 * Returns the address of a page.
 * @param {string} page
 * @param {Record<string, string | undefined>} parts undefined ones are left out
 */
export function hash(page, parts) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parts))
    if (value !== undefined) query.set(name, value);
  // A fragment may have these characters, and is easier to read with them.
  return `#/${page}?${`${query}`.replace(/%(3A|2F|40)/g, (code) => decodeURIComponent(code))}`;
}
