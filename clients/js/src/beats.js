/** The heartbeats of one session, from its first one to its leave. */

import { SLOW_MS, backOffMs, spread } from "./page.js";
import { sayLeave, sender } from "./transport.js";

/** @typedef {import("./page.js").Failure} Failure */

/** A second heartbeat this soon outlives a leave that was said before the first one and is late; the server waits 3 s with leaves. */
const CONFIRM_MS = 2_000;
/** No answer makes a page beat more often. A stage's audience is no busy loop, whatever a server says. */
const WAIT_MS_MIN = 250;
/** Nor stay away for longer. Timers can't be set for much more than three weeks: they would go off at once. */
const WAIT_MS_MAX = 3_600_000;

/**
 * Beats until it is ended, or refused for good.
 *
 * A session's name is never used again: then a leave, however late it arrives, ends nothing but what it was said for. Where the name
 * is given from outside, a second heartbeat soon follows the first.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").WatchOptions} options
 * @param {import("./token.js").Tokens} tokens
 * @param {object} told
 * @param {(nextMs: number, news: import("./watch.js").News) => void} told.onBeat a heartbeat was answered, or wasn't; the next one's wait
 * @param {(error: Failure) => void} told.onRefused nothing more is sent
 */
export function beats(page, options, tokens, { onBeat, onRefused }) {
  const { url, stage, viewer } = options;
  const beat = { stage, viewer, session: options.session ?? newSession(page) };
  const to = sender(page, options, tokens, beat, (why) => underWay || failed(why));
  let failures = 0;
  let hasBeaten = false;
  let hasEnded = false;
  let dueAt = 0;
  /** @type {number | undefined} */
  let timer;
  /** The heartbeat that waits for its answer. @type {Promise<void> | null} */
  let underWay = null;

  function next(/** @type {number} */ ms) {
    page.clearTimeout(timer);
    const wait = Math.min(Math.max(ms, WAIT_MS_MIN), WAIT_MS_MAX);
    dueAt = page.Date.now() + wait;
    timer = page.setTimeout(send, wait);
    return wait;
  }

  function send() {
    page.clearTimeout(timer);
    timer = page.setTimeout(() => onBeat(SLOW_MS, { why: "no answer yet" }), SLOW_MS);
    const isFirst = !hasBeaten;
    hasBeaten = true;
    dueAt = Infinity;
    const mine = to.send().then(
      (answer) => taken(answer, isFirst),
      (error) => {
        // Unless it was given up for another one.
        if (underWay === mine) failed(error);
      },
    );
    underWay = mine;
  }

  function taken(/** @type {import("./transport.js").Answer} */ answer, /** @type {boolean} */ isFirst) {
    underWay = null;
    if (hasEnded) return;
    failures = 0;
    tokens.accept();
    const { nextMs, coalesced, ...count } = answer;
    const isConfirmed = !isFirst || !options.session;
    onBeat(next(isConfirmed ? spread(page, nextMs, 0.95, 1.05) : Math.min(CONFIRM_MS, nextMs)), { count: { ...count, stage } });
  }

  function failed(/** @type {Failure} */ error) {
    underWay = null;
    if (hasEnded) return;
    if (error.isFinal) {
      to.close();
      // The session goes on with another token.
      if (tokens.renew(error)) return void next(0);
      // Without a leave, which would be refused as well.
      hasEnded = true;
      page.clearTimeout(timer);
      return onRefused(error);
    }
    failures += 1;
    onBeat(next(backOffMs(page, failures, error)), { why: error.message || error.name });
  }

  send();

  return {
    /** Beats now if that is due: timers may be late. */
    wake() {
      if (page.Date.now() >= dueAt) send();
    },

    /** The network is there again: what is under way may hang in a connection that is gone. */
    reconnect() {
      to.close();
      failures = 0;
      send();
    },

    /**
     * Ends the session, and says so.
     *
     * @param {boolean} isPageGoing there may be no later, and nothing may stay open: else the page can't come back from the cache
     */
    end(isPageGoing) {
      if (hasEnded) return;
      hasEnded = true;
      page.clearTimeout(timer);
      const leave = () => sayLeave(page, url, tokens.last, beat);
      leave();
      if (isPageGoing || !underWay) return to.close();
      to.isEnding = true;
      // The heartbeat that is under way may reach the server after the leave, and would bring the viewer back.
      underWay.then(() => {
        leave();
        to.close();
      });
    },
  };
}

/** 64 bits by chance: a viewer's sessions on one stage are few. (`crypto.randomUUID` is not there on plain HTTP.) */
function newSession(/** @type {import("./page.js").Page} */ page) {
  const number = page.crypto?.getRandomValues(new BigUint64Array(1))[0] ?? page.Math.random() * 2 ** 53;
  return number.toString(36);
}
