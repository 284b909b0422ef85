/**
 * Calls to housecount. Owns the operator's key, and turns everything that goes wrong into a `Problem`.
 *
 * The key lies in sessionStorage: it ends with the tab, and is sent to this origin only.
 */

const KEY = "housecount.key";
const WAIT_MS_MAX = 60_000;

/** What went wrong: an RFC 9457 problem, or what stands in for one. */
export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} code stable; `unreachable` if there was no answer
   * @param {string} detail for people
   */
  constructor(status, code, detail) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
  }
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/** The operator's key, or null. */
export function key() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return memory;
  }
}

/** @type {string | null} */
let memory = null;

/** @param {string | null} value */
export function setKey(value) {
  memory = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Storage is forbidden; the key lasts as long as the page.
  }
}

/** Told `unauthorized` when a call needs a key, or another one. */
export const access = new EventTarget();

/**
 * A path whose last parts come from outside.
 * @param {TemplateStringsArray} parts
 * @param {...string} ids
 */
export const path = (parts, ...ids) => parts.reduce((whole, part, i) => whole + encodeURIComponent(ids[i - 1]) + part);

/**
 * @typedef {object} Options
 * @property {string} [method]
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string | number | boolean | undefined>} [query]
 * @property {AbortSignal} [signal]
 */

/**
 * A response, whatever its status.
 * @param {string} where
 * @param {Options & {accept?: string, waitMs?: number}} options
 * @returns {Promise<Response>}
 */
export async function request(where, { method = "GET", body, query, signal, accept, waitMs }) {
  const url = new URL(where, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const headers = new Headers({ accept: accept ?? "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  const bearer = key();
  if (bearer !== null) headers.set("authorization", `Bearer ${bearer}`);
  const limits = [signal, waitMs === undefined ? undefined : AbortSignal.timeout(waitMs)];
  const options = {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.any(limits.filter((limit) => limit !== undefined)),
    cache: /** @type {RequestCache} */ ("no-store"),
  };
  try {
    return await fetch(url, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(error);
  }
}

/** @param {unknown} error */
function unreachable(error) {
  const isSlow = error instanceof DOMException && error.name === "TimeoutError";
  const why = isSlow ? `gave no answer within ${WAIT_MS_MAX / 1000} s` : "can't be reached";
  return new Problem(0, "unreachable", `${location.host} ${why}.`);
}

/**
 * The problem that an answer tells of.
 * @param {Response} response
 */
export async function problemOf(response) {
  let told;
  try {
    told = await response.json();
  } catch {
    told = {};
  }
  const problem = new Problem(
    response.status,
    typeof told.code === "string" ? told.code : "unknown",
    typeof told.detail === "string" ? told.detail : `The answer was ${response.status} ${response.statusText}`.trim(),
  );
  if (problem.status === 401) access.dispatchEvent(new Event("unauthorized"));
  return problem;
}

/**
 * The JSON that a call answers.
 * @param {string} where
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(where, options = {}) {
  const response = await request(where, { ...options, waitMs: WAIT_MS_MAX });
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return null;
  return read(() => response.json(), options.signal);
}

/**
 * The text that a call answers, for what is no JSON.
 * @param {string} where
 * @param {Options} [options]
 */
export async function callText(where, options = {}) {
  const response = await request(where, { ...options, accept: "text/plain, */*", waitMs: WAIT_MS_MAX });
  if (!response.ok) throw await problemOf(response);
  return read(() => response.text(), options.signal);
}

/**
 * @template T
 * @param {() => Promise<T>} body
 * @param {AbortSignal} [signal]
 */
async function read(body, signal) {
  try {
    return await body();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(error);
  }
}

/**
 * Page after page of a list.
 * @param {string} where
 * @param {Options & {pages?: number, limit?: number}} options
 * @returns {AsyncGenerator<any, void>}
 */
export async function* pages(where, { pages = Infinity, limit = 1_000, query, ...options }) {
  let cursor;
  for (let page = 0; page < pages; page++) {
    const answer = await call(where, { ...options, query: { ...query, limit, cursor } });
    yield answer;
    cursor = answer.cursor;
    if (cursor === undefined) return;
  }
}
