/**
 * How far a count can be trusted, in words. Every count that is shown goes through here: one that isn't whole is never
 * shown like one that is.
 */

import { h, icon, say } from "./dom.js";
import * as format from "./format.js";

/** @typedef {{asOf?: number, complete: boolean, recovering: boolean}} Standing */

/** @param {Standing} standing */
export const isWhole = (standing) => standing.complete && !standing.recovering;

/** @param {Standing} standing */
export function inWords(standing) {
  if (standing.recovering) {
    return {
      label: "Recovering",
      detail:
        "Counts are bridged from what was known before a loss, so they may be too high. They are real again within one ttl (two minutes by default).",
    };
  }
  return {
    label: "Incomplete",
    detail:
      "Not everybody is counted for sure, so counts may be too low. This passes when the node hears its log again; Health says what it waits for.",
  };
}

/**
 * A count that says when it isn't whole: with an "about" before it.
 * @param {Element} element
 * @param {number} value
 * @param {Standing} standing
 */
export function sayCount(element, value, standing) {
  const whole = isWhole(standing);
  say(element, (whole ? "" : "≈ ") + format.count(value));
  element.classList.toggle("unsure", !whole);
}

/**
 * A small mark beside a headline, hidden while all is well.
 * @param {string} [className]
 */
export function badge(className = "") {
  const label = h("span");
  const element = h("span", { class: `badge warn ${className}`, hidden: true }, icon("warn"), label);
  return {
    element,
    /** @param {Standing | null} standing */
    show(standing) {
      element.hidden = !standing || isWhole(standing);
      if (standing && !isWhole(standing)) {
        const { label: text, detail } = inWords(standing);
        say(label, text);
        element.title = detail;
      }
    },
  };
}

/**
 * What the cover of watch time or history says.
 * @param {{to: number, committedTo: number, complete: boolean}} cover
 * @param {number} nowMs
 */
export function coverInWords(cover, nowMs) {
  if (cover.complete) return "In the ledger for good.";
  if (cover.committedTo === 0) return "Nothing is in the ledger yet: all of it may still grow.";
  return `In the ledger up to ${format.when(cover.committedTo, nowMs)}; what came after may still grow.`;
}
