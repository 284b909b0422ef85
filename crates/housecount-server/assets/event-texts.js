/** Events in an operator's words. Pure. */

import * as format from "./format.js";

/**
 * @typedef {object} AudienceEvent
 * @property {string} id
 * @property {number} seq
 * @property {string} type
 * @property {number} at
 * @property {string} [stage]
 * @property {number} [viewers]
 * @property {boolean} [recovering]
 * @property {number} [threshold]
 * @property {"up" | "down"} [direction]
 * @property {number} [peakViewers]
 * @property {number} [peakAt]
 * @property {number} [monthUsd]
 * @property {number} [limitUsd]
 */

/** @typedef {"" | "warn" | "bad"} Tone */

/** Types of events, with their titles. @type {[string, string][]} */
export const EVENT_TYPES = [
  ["stage.opened", "First viewers"],
  ["stage.emptied", "Last viewers left"],
  ["stage.threshold", "Number of viewers crossed"],
  ["stage.drop", "Many viewers lost"],
  ["count.incomplete", "Counts incomplete"],
  ["count.complete", "Counts complete again"],
  ["budget.exceeded", "Budget exceeded"],
];

/**
 * @param {AudienceEvent} event
 * @returns {{title: string, detail: string, tone: Tone}}
 */
export function describe(event) {
  const title = EVENT_TYPES.find(([type]) => type === event.type)?.[1] ?? event.type;
  const {
    threshold = 0,
    peakViewers = 0,
    peakAt,
    at,
    viewers = 0,
    monthUsd = 0,
    limitUsd = 0,
  } = event;
  switch (event.type) {
    case "stage.threshold": {
      const number = format.plural(threshold, "viewer");
      return {
        title: event.direction === "up" ? `Reached ${number}` : `Fell below ${number}`,
        detail: "",
        tone: "",
      };
    }
    case "stage.drop": {
      const lost = peakViewers ? format.percent((peakViewers - viewers) / peakViewers) : "";
      const within =
        peakAt === undefined ? "" : ` within ${format.span(Math.max(1_000, at - peakAt))}`;
      return {
        title: `Lost ${lost} of ${format.plural(peakViewers, "viewer")}${within}`,
        detail: "",
        tone: "warn",
      };
    }
    case "count.incomplete":
      return {
        title,
        detail: event.recovering
          ? "Counts were restored after a data loss, and may be too high for a while."
          : "A node could not read or write the log. Counts were right until this time.",
        tone: "bad",
      };
    case "budget.exceeded":
      return {
        title,
        detail: `A month would cost ${format.money(monthUsd)}; the limit is ${format.money(limitUsd)}.`,
        tone: "warn",
      };
    default:
      return { title, detail: "", tone: "" };
  }
}
