/**
 * Live counts by Server-Sent Events. The stream reconnects when it breaks, and falls back to polling where a proxy buffers events.
 *
 * `fetch` reads the stream, because EventSource can't send the operator's key.
 */

import { Problem, call, isAbort, path, toProblem, request } from "./api.js";
import { syncClock, now } from "./clock.js";
import { Ring } from "./ring.js";
import { Scope } from "./scope.js";
import { sharedStage } from "./share.js";
import { SseParser } from "./sse.js";

/**
 * @typedef {{asOf: number, complete: boolean, recovering: boolean}} CountStatus
 * @typedef {{stage: string, viewers: number, sessions: number} & CountStatus} Count
 * @typedef {{viewers: number, sessions: number, stages: number} & CountStatus} Totals
 */

/**
 * @typedef {object} LiveOptions
 * @property {string} [stage] counts of this stage only; all stages by default
 * @property {(count: Count) => void} onCount
 * @property {(totals: Totals) => void} [onTotals]
 * @property {() => void} [onReset] the stream has started again, or polling brought data: reload the lists
 */

/** Backoff between two attempts: first and longest. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 10_000;
/** Failed attempts before polling begins. */
const ATTEMPTS_BEFORE_POLLING = 2;
const POLL_MS = 2_000;
/** Interval of attempts to open the stream while polling. */
const STREAM_RETRY_MS = 30_000;
/** Polls per call of `onReset`: lists are larger than totals. */
const POLLS_PER_RESET = 5;
/** Longest silence of a live stream, which carries at least comments. */
const SILENCE_MS_MAX = 30_000;
const OPEN_MS_MAX = 10_000;

/**
 * State of the connection: `off` (no page shows counts), `opening`, `live`, `polling`, `broken` (retrying; the counts are old),
 * `refused` (a key is needed).
 * @typedef {"off" | "opening" | "live" | "polling" | "broken" | "refused"} ConnectionState
 */

class Connection extends EventTarget {
  /** @type {ConnectionState} */
  state = "off";
  /** Time of the last message, on this browser's clock. */
  lastMessageAt = 0;
  /** Reason of the state `broken`. */
  why = "";

  /**
   * @param {ConnectionState} state
   * @param {string} [why]
   */
  setState(state, why = "") {
    const changed = state !== this.state || why !== this.why;
    this.state = state;
    this.why = why;
    if (changed) this.dispatchEvent(new Event("change"));
  }

  /** Reconnects at once. */
  retry() {
    this.dispatchEvent(new Event("retry"));
  }
}

/** Connection of the whole page. */
export const connection = new Connection();

/** Totals since the page was loaded. */
export const totalsRing = new Ring();

/**
 * Subscribes to live counts for the lifetime of the scope.
 * @param {Scope} scope
 * @param {LiveOptions} options
 */
export function followCounts(scope, options) {
  connection.setState("opening");
  scope.defer(() => {
    totalsRing.gap(now());
    connection.setState("off");
  });
  void stayConnected(scope, options);
}

/**
 * Reconnects until the scope ends, and polls after repeated failures.
 *
 * @param {Scope} scope
 * @param {LiveOptions} options
 */
async function stayConnected(scope, options) {
  /** @type {Scope | null} */
  let polling = null;
  let attempts = 0;
  while (!scope.isOver) {
    const ended = await readStream(scope, options, () => {
      attempts = 0;
      polling?.end();
      polling = null;
    });
    if (scope.isOver) return;
    totalsRing.gap(now());
    if (ended.problem?.status === 401) return connection.setState("refused");
    attempts += 1;
    if (!polling) {
      connection.setState("broken", ended.why);
      if (attempts >= ATTEMPTS_BEFORE_POLLING) polling = startPolling(scope, options);
    }
    const ms =
      connection.state === "polling" ? STREAM_RETRY_MS : Math.min(RETRY_MS * 2 ** (attempts - 1), RETRY_MS_MAX);
    await waitForRetry(scope, ms * (0.75 + Math.random() / 2));
  }
}

/**
 * Reads one stream until it ends.
 * @param {Scope} scope
 * @param {LiveOptions} options
 * @param {() => void} onOpen
 * @returns {Promise<{why: string, problem?: Problem}>}
 */
async function readStream(scope, options, onOpen) {
  const attempt = scope.child();
  let watchdog = setTimeout(() => attempt.end(), OPEN_MS_MAX);
  attempt.defer(() => clearTimeout(watchdog));
  try {
    const query = { stage: options.stage, totals: sharedStage() === null };
    const response = await request("/v1/live", { query, accept: "text/event-stream", signal: attempt.signal });
    if (!response.ok) {
      const problem = await toProblem(response);
      return { why: problem.message, problem };
    }
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      return { why: "The response of /v1/live is not an event stream." };
    }
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let isFirst = true; ; isFirst = false) {
      const { done, value } = await reader.read();
      if (done) return { why: `${location.host} ended the connection.` };
      clearTimeout(watchdog);
      watchdog = setTimeout(() => attempt.end(), SILENCE_MS_MAX);
      if (isFirst) {
        onOpen();
        connection.setState("live");
        options.onReset?.();
      }
      connection.lastMessageAt = Date.now();
      for (const { event, data } of parser.push(value)) {
        // The key has expired: the next attempt is rejected, and the page asks for another key.
        if (event === "end") return { why: JSON.parse(data).detail };
        applyEvent(event, data, options);
      }
    }
  } catch (error) {
    if (scope.isOver) return { why: "" };
    if (error instanceof Problem) return { why: error.message, problem: error };
    if (error instanceof SyntaxError || error instanceof RangeError)
      return { why: "The stream of /v1/live has an invalid event." };
    return {
      why: isAbort(error) ? `${location.host} sent no data.` : `${location.host} can't be reached.`,
    };
  } finally {
    attempt.end();
  }
}

/**
 * @param {string} event
 * @param {string} data
 * @param {LiveOptions} options
 */
function applyEvent(event, data, options) {
  if (event === "count") {
    const count = /** @type {Count} */ (JSON.parse(data));
    syncClock(count.asOf);
    options.onCount(count);
  } else if (event === "totals") {
    applyTotals(JSON.parse(data), options);
  }
}

/**
 * @param {Totals} totals
 * @param {LiveOptions} options
 */
function applyTotals(totals, options) {
  syncClock(totals.asOf);
  totalsRing.push(totals.asOf, totals.viewers);
  options.onTotals?.(totals);
}

/**
 * Polls every two seconds, for the lifetime of the returned scope.
 * @param {Scope} scope
 * @param {LiveOptions} options
 */
function startPolling(scope, options) {
  const polling = scope.child();
  const { signal } = polling;
  let polls = 0;
  polling.every(POLL_MS, async () => {
    try {
      const totals = sharedStage() === null ? await call("/v1/stats", { signal }) : null;
      const stage = options.stage === undefined ? null : await stageOrNull(options.stage, signal);
      connection.lastMessageAt = Date.now();
      connection.setState("polling");
      if (totals) applyTotals(totals, options);
      if (stage) options.onCount(stage);
      if (polls++ % POLLS_PER_RESET === 0) options.onReset?.();
    } catch (error) {
      if (signal.aborted) return;
      polls = 0;
      totalsRing.gap(now());
      connection.setState("broken", error instanceof Error ? error.message : String(error));
    }
  });
  return polling;
}

/**
 * Fetches a stage's count; null if the stage has never had a viewer.
 * @param {string} stage
 * @param {AbortSignal} signal
 * @returns {Promise<Count | null>}
 */
async function stageOrNull(stage, signal) {
  try {
    return await call(path`/v1/stages/${stage}`, { signal });
  } catch (error) {
    if (error instanceof Problem && error.code === "stage_not_found") return null;
    throw error;
  }
}

/**
 * Waits for a time, a click on "Try now", or the network's return.
 * @param {Scope} scope
 * @param {number} ms
 * @returns {Promise<void>}
 */
function waitForRetry(scope, ms) {
  return new Promise((resolve) => {
    const waiting = scope.child();
    waiting.defer(resolve);
    const timer = setTimeout(() => waiting.end(), ms);
    waiting.defer(() => clearTimeout(timer));
    waiting.on(connection, "retry", () => waiting.end());
    waiting.on(window, "online", () => waiting.end());
  });
}
