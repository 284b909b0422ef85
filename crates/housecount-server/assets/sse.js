/**
 * Incremental parser of Server-Sent Events, by the HTML standard
 * (html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event stream").
 *
 * EventSource can't send a key, so this replaces it. Pure: text in, events out.
 */

/** @typedef {{event: string, data: string}} SseEvent */

/** Longest line: housecount's events are shorter, and the buffer must stay bounded. */
const LINE_CHARS_MAX = 64 * 1024;

export class SseParser {
  #rest = "";
  #event = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text
   * @returns {SseEvent[]} the events that are complete
   */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LINE_CHARS_MAX) throw new RangeError("a line of the event stream is too long");
    /** @type {SseEvent[]} */
    const events = [];
    for (const line of lines) this.#line(line, events);
    return events;
  }

  /**
   * @param {string} line
   * @param {SseEvent[]} events
   */
  #line(line, events) {
    if (line === "") {
      if (this.#data.length) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
      this.#event = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
  }
}
