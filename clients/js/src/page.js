/**
 * What this library needs of a browser. All of it is asked of the page that is passed in and never of globals, so that tests can
 * play whole browsers with clocks of their own. A worker, Node and React Native have less of it.
 *
 * @typedef {Window & typeof globalThis} Page
 * @typedef {Error & { code?: string, status?: number, retryAfterMs?: number, isFinal?: boolean }} Failure `isFinal` only if a server said it
 */

/** A server answers within about 5 s, if only that it can't. */
export const ANSWER_MS_MAX = 10_000;
/** Time after which a page is told that there is no answer yet. */
export const SLOW_MS = 2_500;

/**
 * A route's address.
 *
 * @param {Page} page
 * @param {string} url the server's
 * @param {string} route from its slash on
 */
export const address = (page, url, route) => new URL(url.replace(/\/+$/, "") + route, page.location?.href).href;

/**
 * Listens to events where there are any.
 *
 * @param {EventTarget | undefined} target
 * @param {string[]} names
 * @param {(event: any) => void} listener
 * @param {AbortSignal} signal ends it
 */
export function listen(target, names, listener, signal) {
  for (const name of names) target?.addEventListener?.(name, listener, { signal });
}

/**
 * A time somewhat before or after, so that pages which start together don't stay together.
 *
 * @param {Page} page
 * @param {number} ms
 * @param {number} least how much of it at least, such as 0.95
 * @param {number} most how much of it at most
 */
export function spread(page, ms, least, most) {
  return ms * (least + (most - least) * page.Math.random());
}

/**
 * How long to stay away after so many failures in a row: a second, doubled each time up to half a minute, and by chance up to half
 * less; and somewhat longer than the server has asked for. A session that can't be told of for two minutes runs out; so there are
 * always several tries before.
 *
 * @param {Page} page
 * @param {number} failures at least 1
 * @param {Failure} why the last one
 */
export function backOffMs(page, failures, { retryAfterMs = 0 }) {
  return Math.max(spread(page, Math.min(1_000 * 2 ** (failures - 1), 30_000), 0.5, 1), spread(page, retryAfterMs, 1, 1.25));
}

/** These say that the same request will never be taken. */
const FINAL = [400, 401, 403, 404];

/**
 * What the server has said against a request.
 *
 * @param {any} problem what it has sent
 * @param {{ status?: number, retryAfterMs?: number, isFinal?: boolean }} fields
 * @returns {Failure}
 */
export function refusal(problem, fields) {
  const { code, detail } = problem ?? {};
  const error = new Error(detail ?? `housecount answered ${fields.status}`);
  return Object.assign(error, { name: "HousecountError", code: code ?? "" }, fields);
}

/**
 * Asks the server by fetch.
 *
 * @param {Page} page
 * @param {string} url
 * @param {string | undefined} token
 * @param {RequestInit} init
 * @returns {Promise<Response>} a good one; rejects with a {@link Failure} otherwise
 */
export async function ask(page, url, token, init) {
  // No content type: text it is, which needs no question beforehand (a CORS preflight). The server takes it as JSON.
  /** @type {Record<string, string>} */
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await page.fetch(url, { headers, credentials: "omit", ...init });
  const { ok, status } = response;
  if (ok) return response;
  const retryAfterMs = 1_000 * Number(response.headers.get("retry-after")) || undefined;
  throw refusal(await response.json().catch(() => null), { status, retryAfterMs, isFinal: FINAL.includes(status) });
}
