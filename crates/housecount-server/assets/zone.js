/**
 * Time zones by their IANA name: formats of a moment, and the value of a date and time field. Pure.
 */

/** Returns the name of the browser's zone. */
export const browserZone = () => new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Returns the names of all zones that the browser knows, with its own and UTC first. */
export const zoneNames = () => [
  ...new Set([browserZone(), "UTC", ...Intl.supportedValuesOf("timeZone")]),
];

export class Zone {
  #clock;
  #clockSeconds;
  #day;
  #dayClock;
  #full;
  #month;
  #fields;

  /** @param {string} name of a zone; an unknown one is replaced by the browser's */
  constructor(name) {
    this.name = isZone(name) ? name : browserZone();
    const format = (
      /** @type {Intl.DateTimeFormatOptions} */ options,
      language = /** @type {string | undefined} */ (undefined),
    ) => new Intl.DateTimeFormat(language, { timeZone: this.name, ...options });
    const clock = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit" });
    const day = /** @type {const} */ ({ month: "short", day: "numeric" });
    this.#clock = format(clock);
    this.#clockSeconds = format({ ...clock, second: "2-digit" });
    this.#day = format(day);
    this.#dayClock = format({ ...day, ...clock });
    this.#full = format({ dateStyle: "medium", timeStyle: "short" });
    this.#month = format({ month: "long", year: "numeric" });
    this.#fields = format(
      {
        hourCycle: "h23",
        year: "numeric",
        month: "2-digit",
        day: "2-digit",
        ...clock,
        second: "2-digit",
      },
      "en-US",
    );
  }

  /** @param {number} ms */
  timeOfDay = (ms) => this.#clock.format(ms);

  /** @param {number} ms */
  timeOfDaySeconds = (ms) => this.#clockSeconds.format(ms);

  /** @param {number} ms */
  date = (ms) => this.#day.format(ms);

  /** @param {number} ms day and time of day */
  when = (ms) => this.#dayClock.format(ms);

  /** @param {number} ms month and year */
  month = (ms) => this.#month.format(ms);

  /** @param {number} ms the month as the API names it: `2026-11` */
  monthOf = (ms) => this.toField(ms).slice(0, 7);

  /** @param {number} ms */
  isMidnight = (ms) => this.toField(ms).endsWith("T00:00:00");

  /**
   * Formats a range, with the parts that both ends share once.
   * @param {number} from
   * @param {number} to
   */
  range = (from, to) => this.#full.formatRange(from, to);

  /**
   * Returns a moment as the value of a date and time field: `2026-11-30T19:56:03`.
   * @param {number} ms
   */
  toField(ms) {
    const part = Object.fromEntries(
      this.#fields.formatToParts(ms).map(({ type, value }) => [type, value]),
    );
    const year = part.year.padStart(4, "0");
    return `${year}-${part.month}-${part.day}T${part.hour}:${part.minute}:${part.second}`;
  }

  /**
   * Returns the moment of a field's value, in Unix ms; null without one. A time that the clocks
   * skip in spring is taken as if they were put forward later.
   * @param {string} field
   */
  fromField(field) {
    const wall = Date.parse(`${field}Z`);
    if (Number.isNaN(wall)) return null;
    const offset = (/** @type {number} */ ms) =>
      Date.parse(`${this.toField(ms)}Z`) - Math.floor(ms / 1000) * 1000;
    return wall - offset(wall - offset(wall));
  }
}

/** @param {string} name */
function isZone(name) {
  try {
    return Boolean(name && new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}
