/**
 * Calls to housecount's API. Owns the operator's key, and turns each failure into a `Problem`.
 *
 * The key is stored in sessionStorage: it ends with the tab, and is sent to this origin only.
 */

const KEY = "housecount.key";
const TIMEOUT_MS = 60_000;
/** Wait for calls that read a long range of the ledger. */
export const LONG_READ_MS = 300_000;

/** Failure of a call: an RFC 9457 problem, or its equivalent if no response came. */
export class Problem extends Error {
  /**
   * @param {number} status 0 without a response
   * @param {string} code stable; `unreachable` if there was no answer
   * @param {string} detail text for operators
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
    return keyWithoutStorage;
  }
}

/** @type {string | null} */
let keyWithoutStorage = null;

/** @param {string | null} value */
export function setKey(value) {
  keyWithoutStorage = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Storage is blocked: the key lasts as long as the page.
  }
}

/** Dispatches `unauthorized` when a call needs a key, or another one. */
export const authEvents = new EventTarget();

/**
 * Builds a path with percent-encoded ids.
 * @param {TemplateStringsArray} parts
 * @param {...string} ids
 */
export const path = (parts, ...ids) => parts.reduce((whole, part, i) => whole + encodeURIComponent(ids[i - 1]) + part);

/**
 * @typedef {object} RequestOptions
 * @property {string} [method]
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string | number | boolean | undefined>} [query]
 * @property {AbortSignal} [signal]
 * @property {number} [waitMs] longest wait for the response; a minute if not given
 */

/**
 * Sends a request and returns its response, whatever the status.
 * @param {string} where
 * @param {RequestOptions & {accept?: string}} options without `waitMs` the wait has no end
 * @returns {Promise<Response>}
 */
export async function request(where, { method = "GET", body, query, signal, accept, waitMs }) {
  const url = new URL(where, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const headers = new Headers({ accept: accept ?? "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  const operatorKey = key();
  if (operatorKey !== null) headers.set("authorization", `Bearer ${operatorKey}`);
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
    throw unreachableProblem(error, waitMs);
  }
}

/**
 * @param {unknown} error
 * @param {number} [waitMs]
 */
function unreachableProblem(error, waitMs = TIMEOUT_MS) {
  const isSlow = error instanceof DOMException && error.name === "TimeoutError";
  const why = isSlow ? `sent no response within ${waitMs / 1000} s` : "can't be reached";
  return new Problem(0, "unreachable", `${location.host} ${why}.`);
}

/**
 * Reads the problem from an error response.
 * @param {Response} response
 */
export async function toProblem(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    body = {};
  }
  const problem = new Problem(
    response.status,
    typeof body.code === "string" ? body.code : "unknown",
    typeof body.detail === "string" ? body.detail : `The response was ${response.status} ${response.statusText}`.trim(),
  );
  if (problem.status === 401) authEvents.dispatchEvent(new Event("unauthorized"));
  return problem;
}

/**
 * Sends a request and returns the JSON of its response.
 * @param {string} where
 * @param {RequestOptions} [options]
 * @returns {Promise<any>}
 */
export async function call(where, options = {}) {
  const response = await request(where, { waitMs: TIMEOUT_MS, ...options });
  if (!response.ok) throw await toProblem(response);
  if (response.status === 204) return null;
  return readBody(() => response.json(), options);
}

/**
 * Sends a request and returns the text of its response.
 * @param {string} where
 * @param {RequestOptions} [options]
 */
export async function callText(where, options = {}) {
  const response = await request(where, { waitMs: TIMEOUT_MS, ...options, accept: "text/plain, */*" });
  if (!response.ok) throw await toProblem(response);
  return readBody(() => response.text(), options);
}

/**
 * Reads a body, and turns a lost connection into a `Problem`.
 *
 * @template T
 * @param {() => Promise<T>} body
 * @param {RequestOptions} options
 */
async function readBody(body, { signal, waitMs }) {
  try {
    return await body();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachableProblem(error, waitMs);
  }
}

/**
 * Iterates over the pages of a list.
 * @param {string} where
 * @param {RequestOptions & {pages?: number, limit?: number}} options
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
