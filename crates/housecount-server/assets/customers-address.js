/** Addresses of the customers page: a month in a time zone, and perhaps one customer. */

import { hash } from "./report-address.js";
import { Zone } from "./zone.js";

/** Formats of usage records. @typedef {"stripe" | "openmeter" | "aws-marketplace"} BillingFormat */

/**
 * @typedef {object} CustomersState
 * @property {string} month such as `2026-11`
 * @property {Zone} zone
 * @property {string | null} customer null: all customers; `""`: stages without one
 * @property {BillingFormat} format
 */

/** @type {BillingFormat[]} */
export const FORMATS = ["stripe", "openmeter", "aws-marketplace"];

/**
 * @param {URLSearchParams} query
 * @param {number} now
 * @returns {CustomersState}
 */
export function readCustomers(query, now) {
  const zone = new Zone(query.get("tz") ?? "");
  const month = query.get("month") ?? "";
  const format = FORMATS.find((one) => one === query.get("format"));
  return {
    month: isMonth(month) ? month : addMonths(zone.monthOf(now), -1),
    zone,
    customer: query.get("customer"),
    format: format ?? FORMATS[0],
  };
}

/** @param {CustomersState} state */
export const customersHash = ({ month, zone, customer, format }) =>
  hash("customers", {
    month,
    tz: zone.name,
    customer: customer ?? undefined,
    format: format === FORMATS[0] ? undefined : format,
  });

/** @param {string} text */
const isMonth = (text) => /^(20|21)\d\d-(0[1-9]|1[0-2])$/.test(text) && text > "2001-00";

/**
 * Returns the month so many months later.
 * @param {string} month
 * @param {number} count
 */
export function addMonths(month, count) {
  const [year, number] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number - 1 + count)).toISOString().slice(0, 7);
}

/**
 * Returns a month's range.
 * @param {string} month
 * @param {Zone} zone
 * @returns {{from: number, to: number}}
 */
export function monthRange(month, zone) {
  const start = (/** @type {string} */ of) => zone.fromField(`${of}-01T00:00:00`) ?? 0;
  return { from: start(month), to: start(addMonths(month, 1)) };
}

/**
 * Returns the days of a month.
 * @param {string} month
 * @param {Zone} zone
 * @returns {{name: string, from: number, to: number}[]} `name`: as of the API, such as `2026-11-01`
 */
export function daysOf(month, zone) {
  const { to } = monthRange(month, zone);
  const days = [];
  for (let day = 1; day <= 31; day++) {
    const name = `${month}-${String(day).padStart(2, "0")}`;
    const from = zone.fromField(`${name}T00:00:00`);
    if (from === null || from >= to) break;
    days.push({ name, from, to });
    if (day > 1) days[day - 2].to = from;
  }
  return days;
}
