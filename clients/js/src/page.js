/** Shared parts of the modules: addresses, events, timers, statuses, back-off and requests. */

/**
 * A failed request. Only an error that came from a server has `isFinal`; it is true if no retry can succeed.
 *
 * @typedef {Error & { code?: string, status?: number, retryAfterMs?: number, isFinal?: boolean }} RequestError
 */

/** Timeout of a response. A server responds within about 5 s, if only with an error. */
export const RESPONSE_MS_MAX = 10_000;
/** Time without a response after which the page's status becomes `retrying`. */
export const SLOW_MS = 2_500;

/**
 * Builds the absolute URL of a route.
 *
 * @param {string} url of the server
 * @param {string} route from its slash on
 */
export const routeUrl = (url, route) => new URL(url.replace(/\/+$/, "") + route, globalThis.location?.href).href;

/**
 * Adds event listeners, where the target has events. A worker, Node and React Native lack some targets.
 *
 * @param {EventTarget | undefined} target
 * @param {string} names separated by spaces
 * @param {(event: any) => void} listener
 * @param {AbortSignal} signal removes them
 */
export const listen = (target, names, listener, signal) =>
  names.split(" ").forEach((name) => target?.addEventListener?.(name, listener, { signal }));

/**
 * Creates a timer that can be set again. Each call replaces the last one; a call without arguments only cancels it.
 *
 * @returns {(ms?: number, callback?: () => void) => void}
 */
export function createTimer() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let id;
  return (ms, callback) => {
    clearTimeout(id);
    if (callback) id = setTimeout(callback, ms);
  };
}

/**
 * Creates the function that reports each change of status once.
 *
 * @param {readonly string[]} stages named in the console
 * @param {import("../index.d.ts").Reports} reports
 */
export function statusReporter(stages, { onStatus, debug }) {
  let last = "";
  return (/** @type {import("../index.d.ts").Status} */ status, why = "") => {
    if (last === status + why) return;
    last = status + why;
    if (debug) console.log("housecount", ...stages, status, why);
    onStatus?.(status, why);
  };
}

/**
 * Multiplies a time by a random factor, so that pages that start together spread out.
 *
 * @param {number} ms
 * @param {number} least smallest factor, such as 0.95
 * @param {number} range difference to the largest factor
 */
export const jitter = (ms, least, range) => ms * (least + range * Math.random());

/**
 * Exponential backoff: 1 s, doubled with each failure up to 30 s, minus up to half at random, but longer than `Retry-After`.
 *
 * A session without a heartbeat for two minutes expires, so a page retries several times before that.
 *
 * @param {number} failures consecutive ones, at least 1
 * @param {RequestError} error of the last one
 */
export const backoffMs = (failures, { retryAfterMs = 0 }) =>
  Math.max(jitter(Math.min(500 * 2 ** failures, 30_000), 0.5, 0.5), jitter(retryAfterMs, 1, 0.25));

/**
 * Calls a function that may throw: it parses JSON of any sender, or uses what a browser may lack.
 *
 * @template Value
 * @param {() => Value} callback
 * @returns {Value | undefined} `undefined` if it throws
 */
export function ignoreErrors(callback) {
  try {
    return callback();
  } catch {}
}

/**
 * Builds the error for a server's RFC 9457 problem.
 *
 * @param {any} problem body of the response
 * @param {boolean} isFinal
 * @param {number} [retryAfterMs]
 * @param {number} [status]
 * @returns {RequestError}
 */
export function problemError(problem, isFinal, retryAfterMs, status) {
  const { code = "", detail = `housecount answered ${status}`, active } = problem ?? {};
  return Object.assign(new Error(detail), { name: "HousecountError", code, active, isFinal, retryAfterMs, status });
}

/**
 * Sends a request by `fetch`.
 *
 * @param {string} url
 * @param {string | undefined} token
 * @param {RequestInit} init
 * @returns {Promise<Response>} with a status of success; rejects with a {@link RequestError} otherwise
 */
export async function fetchOk(url, token, init) {
  // Without a content type the body is text, which needs no CORS preflight. The server reads it as JSON.
  /** @type {Record<string, string>} */
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(url, { headers, credentials: "omit", ...init });
  const { ok, status } = response;
  if (ok) return response;
  // After these statuses the same request can never succeed.
  const isFinal = /40[01349]/.test(`${status}`);
  throw problemError(await response.json().catch(() => {}), isFinal, 1_000 * /** @type {any} */ (response.headers.get("retry-after")) || 0, status);
}
