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
 * @param {import("../index.d.ts").WatchOptions} options
 * @param {import("./token.js").TokenSource} tokens
 * @param {(nextMs: number, update?: import("./watch.js").BeatUpdate) => void} onUpdate a heartbeat succeeded or failed, or needs no
 *   answer; the next one is due in `nextMs`
 * @param {(error: RequestError) => void} onRejected the server rejected the session for good; no more heartbeats follow
 */
export function startBeats(options, tokens, onUpdate, onRejected) {
  const { stage, viewer, session = newSession() } = options;
  const setTimer = createTimer();
  let failures = 0;
  /** The server's wish at the last answer, which holds until the next one. */
  let nextMs = 0;
  /** Time of the next heartbeat. */
  let dueAt = 0;
  /** Only the first heartbeat of a named session is confirmed. */
  let mustConfirm = options.session;

  const connection = connect(options, tokens, { stage, viewer, session }, (error, response) => {
    const isConfirmation = mustConfirm;
    mustConfirm = "";
    if (!error) {
      failures = 0;
      tokens.accept();
      if (response) ({ nextMs } = response);
      const wait = schedule(isConfirmation ? Math.min(CONFIRM_MS, nextMs) : jitter(nextMs, 0.95, 0.1));
      onUpdate(wait, response && { count: { ...response.count, stage } });
    } else if (!error.isFinal) {
      onUpdate(schedule(backoffMs((failures += 1), error)), { why: error.message || error.name });
    } else {
      connection.close();
      setTimer();
      // Another token continues the session. Otherwise there is no leave: the server would reject it as well.
      if (tokens.renew(error)) schedule(0);
      else onRejected(error);
    }
  });

  function schedule(/** @type {number} */ ms) {
    const wait = Math.min(Math.max(ms, WAIT_MS_MIN), WAIT_MS_MAX);
    dueAt = Date.now() + wait;
    setTimer(wait, send);
    return wait;
  }

  function send() {
    setTimer(SLOW_MS, () => onUpdate(SLOW_MS, { why: "no answer yet" }));
    dueAt = Infinity;
    connection.send();
  }

  send();

  return {
    /** Sends a heartbeat if one is due: a browser may fire timers late. */
    wake() {
      if (Date.now() >= dueAt) send();
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
     * @param {boolean} [isPageHidden]
     */
    end(isPageHidden) {
      setTimer();
      connection.end(isPageHidden);
    },
  };
}

/** Creates a random session id of 64 bits: a viewer has few sessions per stage. (Plain HTTP lacks `crypto.randomUUID`.) */
const newSession = () => (globalThis.crypto?.getRandomValues(new BigUint64Array(1))[0] ?? Math.random() * 2 ** 53).toString(36);
