/**
 * Accuracy of counts, as text. Every shown count uses this file, so that an incomplete count always looks different from a complete
 * one.
 */

import { createElement, icon, setText } from "./dom.js";
import * as format from "./format.js";

/** @typedef {{asOf?: number, complete: boolean, recovering: boolean}} CountStatus */

/** @param {CountStatus} status */
export const isComplete = (status) => status.complete && !status.recovering;

/** @param {CountStatus} status */
export function statusText(status) {
  if (status.recovering) {
    return {
      label: "Recovering",
      detail:
        "Counts were restored after a data loss, and may be too high. They are exact again within one ttl (two minutes by default).",
    };
  }
  return {
    label: "Incomplete",
    detail:
      "The node can't read or write its log, so counts may be too low until it can. The Health page shows the cause.",
  };
}

/**
 * Sets an element's text to a count, with "≈" before an incomplete one.
 * @param {Element} element
 * @param {number} value
 * @param {CountStatus} status
 */
export function setCountText(element, value, status) {
  const whole = isComplete(status);
  setText(element, (whole ? "" : "≈ ") + format.count(value));
  element.classList.toggle("unsure", !whole);
}

/**
 * Creates the badge of an incomplete count, beside a headline.
 * @param {string} [className]
 */
export function statusBadge(className = "") {
  const label = createElement("span");
  const element = createElement("span", { class: `badge warn ${className}`, hidden: true }, icon("warn"), label);
  return {
    element,
    /** @param {CountStatus | null} status */
    show(status) {
      element.hidden = !status || isComplete(status);
      if (status && !isComplete(status)) {
        const { label: text, detail } = statusText(status);
        setText(label, text);
        element.title = detail;
      }
    },
  };
}

/**
 * Describes how much of a response's watch time or history is in the ledger.
 * @param {{to: number, committedTo: number, complete: boolean}} coverage
 * @param {number} nowMs
 * @param {(ms: number, nowMs: number) => string} [when] format of a moment
 */
export function coverageText(coverage, nowMs, when = format.when) {
  if (coverage.complete) return "Final: all of it is in the ledger.";
  if (coverage.committedTo === 0) return "Not in the ledger yet: the figures may still grow.";
  return `In the ledger up to ${when(coverage.committedTo, nowMs)}; later watch time may still grow.`;
}
