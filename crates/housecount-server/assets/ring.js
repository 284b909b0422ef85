/**
 * Recent values of a live count: at most one hour, one point per second. The ledger has older values, and exact ones.
 */

const POINTS_MAX = 3_600;

export class Ring {
  /** @type {number[]} times in seconds, ascending */
  at = [];
  /** @type {(number | null)[]} counts; null starts a gap */
  count = [];

  /**
   * @param {number} atMs
   * @param {number | null} count
   */
  push(atMs, count) {
    const at = atMs / 1000;
    const last = this.at.at(-1);
    if (last !== undefined && at <= last) {
      // The same time again, or a node that lags: the newest value wins.
      this.count[this.count.length - 1] = count;
      return;
    }
    this.at.push(at);
    this.count.push(count);
    if (this.at.length > POINTS_MAX) {
      this.at.shift();
      this.count.shift();
    }
  }

  /**
   * Starts a gap until the next point.
   * @param {number} atMs
   */
  gap(atMs) {
    if (this.count.length && this.count.at(-1) !== null) this.push(atMs, null);
  }

  get isEmpty() {
    return this.at.length === 0;
  }
}
