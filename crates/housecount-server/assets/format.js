/**
 * Number and time formats in the browser's language and time zone. Pure otherwise.
 */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const oneDigit = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const twoDigits = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const dollars = new Intl.NumberFormat(undefined, {
  style: "currency",
  currency: "USD",
  currencyDisplay: "narrowSymbol",
});
const cents = new Intl.NumberFormat(undefined, {
  style: "currency",
  currency: "USD",
  currencyDisplay: "narrowSymbol",
  maximumSignificantDigits: 3,
});
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dayClock = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Placeholder of a missing value. */
export const NONE = "–";

/** @param {number} n */
export const count = (n) => whole.format(n);

/** @param {number} n a count, shortened for narrow space */
export const countShort = (n) => (n < 10_000 ? whole.format(n) : short.format(n));

/** @param {number} n an average */
export const average = (n) => (n < 100 ? oneDigit.format(n) : whole.format(n));

/** @param {number} n capacity units: some calls use half a unit */
export const units = (n) => (Number.isInteger(n) ? whole.format(n) : oneDigit.format(n));

/** @param {number} n a ratio */
export const ratio = (n) => twoDigits.format(n);

/** @param {number} ms duration in hours, with one digit below 100 h */
export const hours = (ms) => {
  const n = ms / 3_600_000;
  return n < 100 ? oneDigit.format(n) : whole.format(n);
};

/** @param {number} ms a watch time: `1:02:03` */
export function watched(ms) {
  const s = Math.floor(ms / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${count(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** @param {number} ms a duration in its largest unit: `3 min` */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${oneDigit.format(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** @param {number} ms a duration in its two largest units: `24 min 31 s` */
export function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (ms > 0 && ms < 10_000) return `${oneDigit.format(ms / 1000)} s`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 100 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${whole.format(ms / 3_600_000)} h`;
}

/** @param {number} part of 1 */
export const percent = (part) => `${part > 0 && part < 0.1 ? oneDigit.format(part * 100) : whole.format(part * 100)} %`;

/** @param {number} s a short duration in seconds: `1.2 ms` */
export function latency(s) {
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? oneDigit.format(s * 1000) : Math.round(s * 1000)} ms`;
  return `${oneDigit.format(s)} s`;
}

/** @param {number} usd dollars and cents; three significant digits below 0.10 */
export function money(usd) {
  return usd !== 0 && Math.abs(usd) < 0.1 ? cents.format(usd) : dollars.format(usd);
}

/** @param {number} n bytes */
export function bytes(n) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let power = 0;
  let size = n;
  while (size >= 1000 && power < units.length - 1) {
    size /= 1000;
    power++;
  }
  return `${power === 0 || size >= 100 ? Math.round(size) : oneDigit.format(size)} ${units[power]}`;
}

/** @param {number} ms */
export const timeOfDay = (ms) => clock.format(ms);

/** @param {number} ms */
export const timeOfDaySeconds = (ms) => clockSeconds.format(ms);

/** @param {number} ms */
export const date = (ms) => day.format(ms);

/** @param {number} ms */
export const isMidnight = (ms) => new Date(ms).getHours() + new Date(ms).getMinutes() === 0;

/** @param {number} ms full date and time, for titles */
export const moment = (ms) => full.format(ms);

/**
 * Formats a time, with the day unless it is today.
 * @param {number} ms
 * @param {number} nowMs
 */
export const when = (ms, nowMs) =>
  new Date(ms).toDateString() === new Date(nowMs).toDateString() ? clockSeconds.format(ms) : dayClock.format(ms);

/**
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
