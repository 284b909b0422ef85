/**
 * What a count has been since this page began to listen: at most an hour of it, a point a second. Older than that, the
 * ledger knows better.
 */

const POINTS_MAX = 3_600;

export class Ring {
  /** @type {number[]} when, in seconds, rising */
  at = [];
  /** @type {(number | null)[]} how many; null where nothing was heard for a while */
  count = [];

  /**
   * @param {number} atMs
   * @param {number | null} count
   */
  push(atMs, count) {
    const at = atMs / 1000;
    const last = this.at.at(-1);
    if (last !== undefined && at <= last) {
      // The same moment told again, or a node that is behind: the newest word stands.
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
   * Nothing is known from here until the next point.
   * @param {number} atMs
   */
  gap(atMs) {
    if (this.count.length && this.count.at(-1) !== null) this.push(atMs, null);
  }

  get isEmpty() {
    return this.at.length === 0;
  }
}
