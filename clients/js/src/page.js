/**
 * Browser globals, passed in as `page` and never read from `globalThis`, so that tests can simulate whole browsers with their own
 * clocks. A worker, Node and React Native have only some of them.
 *
 * @typedef {Window & typeof globalThis} Page
 */
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
 * @param {Page} page
 * @param {string} url of the server
 * @param {string} route from its slash on
 */
export const routeUrl = (page, url, route) => new URL(url.replace(/\/+$/, "") + route, page.location?.href).href;

/**
 * Adds event listeners, where the target has events.
 *
 * @param {EventTarget | undefined} target
 * @param {string} names separated by spaces
 * @param {(event: any) => void} listener
 * @param {AbortSignal} signal removes them
 */
export function listen(target, names, listener, signal) {
  for (const name of names.split(" ")) target?.addEventListener?.(name, listener, { signal });
}

/**
 * Creates a timer that can be set again. Each call replaces the last one; a call without arguments only cancels it.
 *
 * @param {Page} page
 * @returns {(ms?: number, callback?: () => void) => void}
 */
export function createTimer(page) {
  /** @type {number | undefined} */
  let id;
  return (ms, callback) => {
    page.clearTimeout(id);
    if (callback) id = page.setTimeout(callback, ms);
  };
}

/**
 * Creates the function that reports each change of status once.
 *
 * @param {Page} page
 * @param {readonly string[]} stages named in the console
 * @param {import("../index.d.ts").Reports} reports
 */
export function statusReporter(page, stages, { onStatus, debug }) {
  let last = "";
  return (/** @type {import("../index.d.ts").Status} */ status, why = "") => {
    if (last === status + why) return;
    last = status + why;
    if (debug) page.console.log("housecount", ...stages, status, why);
    onStatus?.(status, why);
  };
}

/**
 * Multiplies a time by a random factor, so that pages that start together spread out.
 *
 * @param {Page} page
 * @param {number} ms
 * @param {number} least smallest factor, such as 0.95
 * @param {number} most largest factor
 */
export function jitter(page, ms, least, most) {
  return ms * (least + (most - least) * page.Math.random());
}

/**
 * Exponential backoff: 1 s, doubled with each failure up to 30 s, minus up to half at random, but longer than `Retry-After`.
 *
 * A session without a heartbeat for two minutes expires, so a page retries several times before that.
 *
 * @param {Page} page
 * @param {number} failures consecutive ones, at least 1
 * @param {RequestError} error of the last one
 */
export function backoffMs(page, failures, { retryAfterMs = 0 }) {
  return Math.max(jitter(page, Math.min(1_000 * 2 ** (failures - 1), 30_000), 0.5, 1), jitter(page, retryAfterMs, 1, 1.25));
}

/** Statuses after which the same request can never succeed. */
const FINAL_STATUSES = [400, 401, 403, 404];

/**
 * Builds the error for a server's RFC 9457 problem.
 *
 * @param {any} problem body of the response
 * @param {{ status?: number, retryAfterMs?: number, isFinal?: boolean }} fields
 * @returns {RequestError}
 */
export function problemError(problem, fields) {
  const { code = "", detail } = problem ?? {};
  const error = new Error(detail ?? `housecount answered ${fields.status}`);
  return Object.assign(error, { name: "HousecountError", code }, fields);
}

/**
 * Sends a request by `fetch`.
 *
 * @param {Page} page
 * @param {string} url
 * @param {string | undefined} token
 * @param {RequestInit} init
 * @returns {Promise<Response>} with a status of success; rejects with a {@link RequestError} otherwise
 */
export async function fetchOk(page, url, token, init) {
  // Without a content type the body is text, which needs no CORS preflight. The server reads it as JSON.
  /** @type {Record<string, string>} */
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await page.fetch(url, { headers, credentials: "omit", ...init });
  const { ok, status } = response;
  if (ok) return response;
  const retryAfterMs = 1_000 * Number(response.headers.get("retry-after")) || 0;
  throw problemError(await response.json().catch(() => null), { status, retryAfterMs, isFinal: FINAL_STATUSES.includes(status) });
}
