/**
 * Estimate of the log's clock. All of housecount's times are on that clock. A browser's own clock may be wrong by minutes, and
 * "12 s ago" must be right.
 */

/** Lower bound of the log's clock minus the browser's: a response is never from the future. */
let offsetMs = -Infinity;

/**
 * Adjusts the estimate.
 *
 * @param {number} asOf time of a response that has just come, on the log's clock
 */
export function syncClock(asOf) {
  offsetMs = Math.max(offsetMs, asOf - Date.now());
}

/** Returns the time on the log's clock, in Unix ms. */
export const now = () => Date.now() + (offsetMs === -Infinity ? 0 : Math.round(offsetMs));
