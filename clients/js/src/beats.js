/** The heartbeats of one session, from the first one to the leave. */

import { SLOW_MS, backoffMs, createTimer, jitter } from "./page.js";
import { connect } from "./transport.js";

/** @typedef {import("./page.js").RequestError} RequestError */

/**
 * Delay of the second heartbeat of a named session. The server applies a leave after 3 s, so this heartbeat outlives a late leave
 * from before the first one.
 */
const CONFIRM_MS = 2_000;
/** Shortest time between two heartbeats, whatever the server asks for: an audience must not become a busy loop. */
const WAIT_MS_MIN = 250;
/** Longest time between two heartbeats. A timer of more than three weeks would fire at once. */
const WAIT_MS_MAX = 3_600_000;

/**
 * Sends heartbeats until the session ends, or the server rejects it for good.
 *
 * A session id is never used again. So a late leave, however late, ends only its own session. Where the caller gives the id, a second
 * heartbeat soon follows the first.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").WatchOptions} options
 * @param {import("./token.js").TokenSource} tokens
 * @param {object} callbacks
 * @param {(nextMs: number, update?: import("./watch.js").BeatUpdate) => void} callbacks.onUpdate a heartbeat succeeded or failed, or
 *   needs no answer; the next one is due in `nextMs`
 * @param {(error: RequestError) => void} callbacks.onRejected the server rejected the session for good; no more heartbeats follow
 */
export function startBeats(page, options, tokens, { onUpdate, onRejected }) {
  const { stage, viewer } = options;
  const beat = { stage, viewer, session: options.session ?? newSession(page) };
  const connection = connect(
    page,
    options,
    tokens,
    beat,
    (response) => pending || onSuccess(response),
    (error) => pending || onFailure(error),
  );
  const setTimer = createTimer(page);
  let failures = 0;
  /** The server's wish at the last answer, which holds until the next one. */
  let nextMs = 0;
  let hasEnded = false;
  /** Time of the next heartbeat; 0 before the first one. */
  let dueAt = 0;
  /** The heartbeat that waits for its response. @type {Promise<void> | null} */
  let pending = null;

  function schedule(/** @type {number} */ ms) {
    const wait = Math.min(Math.max(ms, WAIT_MS_MIN), WAIT_MS_MAX);
    dueAt = page.Date.now() + wait;
    setTimer(wait, send);
    return wait;
  }

  function send() {
    setTimer(SLOW_MS, () => onUpdate(SLOW_MS, { why: "no answer yet" }));
    const isFirst = !dueAt;
    dueAt = Infinity;
    const own = connection.send().then(
      (response) => onSuccess(response, isFirst),
      (error) => {
        // A newer heartbeat may have replaced this one.
        if (pending === own) onFailure(error);
      },
    );
    pending = own;
  }

  /**
   * @param {import("./transport.js").HeartbeatResponse | undefined} response
   * @param {boolean} [isFirst]
   */
  function onSuccess(response, isFirst) {
    pending = null;
    if (hasEnded) return;
    failures = 0;
    tokens.accept();
    if (response) ({ nextMs } = response);
    const isConfirmed = !isFirst || !options.session;
    const wait = schedule(isConfirmed ? jitter(page, nextMs, 0.95, 1.05) : Math.min(CONFIRM_MS, nextMs));
    onUpdate(wait, response && { count: { ...response.count, stage } });
  }

  function onFailure(/** @type {RequestError} */ error) {
    pending = null;
    if (hasEnded) return;
    if (error.isFinal) {
      connection.close();
      // Another token continues the session.
      if (tokens.renew(error)) return void schedule(0);
      // No leave: the server would reject it as well.
      hasEnded = true;
      setTimer();
      return onRejected(error);
    }
    failures += 1;
    onUpdate(schedule(backoffMs(page, failures, error)), { why: error.message || error.name });
  }

  send();

  return {
    /** Sends a heartbeat if one is due: a browser may fire timers late. */
    wake() {
      if (page.Date.now() >= dueAt) send();
    },

    /** Sends a heartbeat on a new connection: after a network change the old one may hang. */
    reconnect() {
      connection.close();
      failures = 0;
      send();
    },

    /**
     * Ends the session with a leave.
     *
     * @param {boolean} isPageHidden closes the connection at once: an open one keeps the page out of the back/forward cache
     */
    end(isPageHidden) {
      if (hasEnded) return;
      hasEnded = true;
      setTimer();
      connection.end(pending, isPageHidden);
    },
  };
}

/** Creates a random session id of 64 bits: a viewer has few sessions per stage. (Plain HTTP lacks `crypto.randomUUID`.) */
function newSession(/** @type {import("./page.js").Page} */ page) {
  const number = page.crypto?.getRandomValues(new BigUint64Array(1))[0] ?? page.Math.random() * 2 ** 53;
  return number.toString(36);
}
