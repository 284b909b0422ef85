/**
 * What time it is on the log's clock, as far as this browser can tell. All of housecount's times are on that clock; a
 * browser's own may be wrong by minutes, and "12 s ago" must not be.
 */

/** How much the log's clock is ahead of ours, at least: an answer is never from the future. */
let ahead = -Infinity;

/** @param {number} asOf a moment on the log's clock that has just been heard of */
export function hear(asOf) {
  ahead = Math.max(ahead, asOf - Date.now());
}

/** Unix ms on the log's clock. */
export const now = () => Date.now() + (ahead === -Infinity ? 0 : Math.round(ahead));
