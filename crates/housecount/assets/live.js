/**
 * The live counts: one stream of Server-Sent Events while a page wants them, made anew when it breaks, and polling where
 * it can't be had at all (a proxy that holds events back).
 *
 * Always by `fetch`, never by EventSource: with a key and without there is one way.
 */

import { Problem, call, isAbort, path, problemOf, request } from "./api.js";
import { hear, now } from "./clock.js";
import { Ring } from "./ring.js";
import { Scope } from "./scope.js";
import { SseParser } from "./sse.js";

/**
 * @typedef {{asOf: number, complete: boolean, recovering: boolean}} Standing
 * @typedef {{stage: string, viewers: number, sessions: number} & Standing} Count
 * @typedef {{viewers: number, sessions: number, stages: number} & Standing} Totals
 */

/**
 * @typedef {object} Wishes
 * @property {string} [stage] only this one; all if missing
 * @property {(count: Count) => void} onCount
 * @property {(totals: Totals) => void} [onTotals]
 * @property {() => void} [onFresh] the stream begins anew, or news came by polling: what was known may be out of date
 */

/** Waits between two tries, doubled each time, up to the other one. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 10_000;
/** Tries that bring nothing before polling begins. */
const TRIES_BEFORE_POLLING = 2;
const POLL_MS = 2_000;
/** While polling, the stream is tried again only this often. */
const STREAM_RETRY_MS = 30_000;
/** Every how many polls `onFresh` is called: lists are larger than totals. */
const POLLS_A_LIST = 5;
/** A stream that brings nothing for this long, not even a comment, is dead. */
const SILENCE_MS_MAX = 30_000;
const OPEN_MS_MAX = 10_000;

/**
 * How the page is connected: `off` no page wants counts, `opening`, `live`, `polling`, `broken` (tries again; what is
 * shown is old), `refused` (a key is needed).
 * @typedef {"off" | "opening" | "live" | "polling" | "broken" | "refused"} LinkState
 */

class Link extends EventTarget {
  /** @type {LinkState} */
  state = "off";
  /** When something was last heard, on this browser's clock. */
  heardAt = 0;
  /** Why it is broken. */
  why = "";

  /**
   * @param {LinkState} state
   * @param {string} [why]
   */
  turn(state, why = "") {
    const changed = state !== this.state || why !== this.why;
    this.state = state;
    this.why = why;
    if (changed) this.dispatchEvent(new Event("change"));
  }

  /** Tries again at once. */
  retry() {
    this.dispatchEvent(new Event("retry"));
  }
}

/** The state of the connection, for the whole page. */
export const link = new Link();

/** The totals since the page was loaded. */
export const totalsRing = new Ring();

/**
 * Follows live counts while the scope lasts.
 * @param {Scope} scope
 * @param {Wishes} wishes
 */
export function follow(scope, wishes) {
  link.turn("opening");
  scope.defer(() => {
    totalsRing.gap(now());
    link.turn("off");
  });
  void keepUp(scope, wishes);
}

/**
 * @param {Scope} scope
 * @param {Wishes} wishes
 */
async function keepUp(scope, wishes) {
  /** @type {Scope | null} */
  let polling = null;
  let tries = 0;
  while (!scope.isOver) {
    const ended = await stream(scope, wishes, () => {
      tries = 0;
      polling?.end();
      polling = null;
    });
    if (scope.isOver) return;
    totalsRing.gap(now());
    if (ended.problem?.status === 401) return link.turn("refused");
    tries += 1;
    if (!polling) {
      link.turn("broken", ended.why);
      if (tries >= TRIES_BEFORE_POLLING) polling = poll(scope, wishes);
    }
    const ms = link.state === "polling" ? STREAM_RETRY_MS : Math.min(RETRY_MS * 2 ** (tries - 1), RETRY_MS_MAX);
    await pause(scope, ms * (0.75 + Math.random() / 2));
  }
}

/**
 * One stream, until it ends.
 * @param {Scope} scope
 * @param {Wishes} wishes
 * @param {() => void} onOpen
 * @returns {Promise<{why: string, problem?: Problem}>}
 */
async function stream(scope, wishes, onOpen) {
  const life = scope.child();
  let watchdog = setTimeout(() => life.end(), OPEN_MS_MAX);
  life.defer(() => clearTimeout(watchdog));
  try {
    const query = { stage: wishes.stage, totals: true };
    const response = await request("/v1/live", { query, accept: "text/event-stream", signal: life.signal });
    if (!response.ok) {
      const problem = await problemOf(response);
      return { why: problem.message, problem };
    }
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      return { why: "What answers at /v1/live is no stream of events." };
    }
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let isFirst = true; ; isFirst = false) {
      const { done, value } = await reader.read();
      if (done) return { why: `${location.host} ended the connection.` };
      clearTimeout(watchdog);
      watchdog = setTimeout(() => life.end(), SILENCE_MS_MAX);
      if (isFirst) {
        onOpen();
        link.turn("live");
        wishes.onFresh?.();
      }
      link.heardAt = Date.now();
      for (const { event, data } of parser.push(value)) {
        // The key is no longer good; the next try is refused, and then another one is asked for.
        if (event === "end") return { why: JSON.parse(data).detail };
        take(event, data, wishes);
      }
    }
  } catch (error) {
    if (scope.isOver) return { why: "" };
    if (error instanceof Problem) return { why: error.message, problem: error };
    if (error instanceof SyntaxError || error instanceof RangeError)
      return { why: "What answers at /v1/live sent something that is no count." };
    return {
      why: isAbort(error) ? `Nothing has been heard from ${location.host}.` : `${location.host} can't be reached.`,
    };
  } finally {
    life.end();
  }
}

/**
 * @param {string} event
 * @param {string} data
 * @param {Wishes} wishes
 */
function take(event, data, wishes) {
  if (event === "count") {
    const count = /** @type {Count} */ (JSON.parse(data));
    hear(count.asOf);
    wishes.onCount(count);
  } else if (event === "totals") {
    takeTotals(JSON.parse(data), wishes);
  }
}

/**
 * @param {Totals} totals
 * @param {Wishes} wishes
 */
function takeTotals(totals, wishes) {
  hear(totals.asOf);
  totalsRing.push(totals.asOf, totals.viewers);
  wishes.onTotals?.(totals);
}

/**
 * Asks every two seconds, while the scope that it returns lasts.
 * @param {Scope} scope
 * @param {Wishes} wishes
 */
function poll(scope, wishes) {
  const polling = scope.child();
  const { signal } = polling;
  let polls = 0;
  polling.every(POLL_MS, async () => {
    try {
      const totals = await call("/v1/stats", { signal });
      const stage = wishes.stage === undefined ? null : await stageOrNone(wishes.stage, signal);
      link.heardAt = Date.now();
      link.turn("polling");
      takeTotals(totals, wishes);
      if (stage) wishes.onCount(stage);
      if (polls++ % POLLS_A_LIST === 0) wishes.onFresh?.();
    } catch (error) {
      if (signal.aborted) return;
      polls = 0;
      totalsRing.gap(now());
      link.turn("broken", error instanceof Error ? error.message : String(error));
    }
  });
  return polling;
}

/**
 * A stage's count, or null if nobody has ever watched it.
 * @param {string} stage
 * @param {AbortSignal} signal
 * @returns {Promise<Count | null>}
 */
async function stageOrNone(stage, signal) {
  try {
    return await call(path`/v1/stages/${stage}`, { signal });
  } catch (error) {
    if (error instanceof Problem && error.code === "stage_not_found") return null;
    throw error;
  }
}

/**
 * Waits, but not when somebody asks to try at once, or the network has come back.
 * @param {Scope} scope
 * @param {number} ms
 * @returns {Promise<void>}
 */
function pause(scope, ms) {
  return new Promise((resolve) => {
    const waiting = scope.child();
    waiting.defer(resolve);
    const timer = setTimeout(() => waiting.end(), ms);
    waiting.defer(() => clearTimeout(timer));
    waiting.on(link, "retry", () => waiting.end());
    waiting.on(window, "online", () => waiting.end());
  });
}
