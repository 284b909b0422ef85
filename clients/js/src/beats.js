/** The heartbeats of one session, from the first one to the leave. */

import { SLOW_MS, backoffMs, createTimer, ignoreErrors, jitter } from "./page.js";
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
 * @param {string} [name] where the browser stores the session until its leave; without it the session is not stored
 */
export function startBeats(options, tokens, onUpdate, onRejected, name = "") {
  const { stage, viewer, labels, session = newSession() } = options;
  /** Stored sessions, where pages may store. @type {Record<string, string>} */
  const store = (name && ignoreErrors(() => localStorage)) || {};
  // A page that has crashed, or was frozen, has left its session. This one takes its place.
  const replaces = store[name];
  const setTimer = createTimer();
  let failures = 0;
  /** The server's wish at the last answer, which holds until the next one. */
  let nextMs = 0;
  /** Time of the next heartbeat. */
  let dueAt = 0;
  /** Only the first heartbeat of a named session is confirmed. */
  let mustConfirm = options.session;

  const connection = connect(options, tokens, { stage, viewer, session, labels, replaces }, (error, response) => {
    const isConfirmation = mustConfirm;
    mustConfirm = "";
    if (!error) {
      failures = 0;
      tokens.accept();
      ignoreErrors(() => (store[name] = session));
      if (response) ({ nextMs } = response);
      const wait = schedule(isConfirmation ? Math.min(CONFIRM_MS, nextMs) : jitter(nextMs, 0.95, 0.1));
      onUpdate(wait, response && { count: { ...response.count, stage } });
    } else if (!error.isFinal) {
      onUpdate(schedule(backoffMs((failures += 1), error)), { why: error.message || error.name });
    } else {
      connection.close();
      stop();
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

  function stop() {
    setTimer();
    // A frozen page may find the session of the page that took its place.
    if (store[name] === session) delete store[name];
  }

  function send() {
    setTimer(SLOW_MS, () => onUpdate(SLOW_MS, { why: "no answer" }));
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
      stop();
      connection.end(isPageHidden);
    },
  };
}

/** Creates a random session id of 52 bits: a viewer has few sessions per stage, and they are no secret. */
const newSession = () => (Math.random() * 2 ** 53).toString(36);
