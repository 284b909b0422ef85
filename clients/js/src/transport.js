/** How a heartbeat reaches the server and what it is answered: over a WebSocket while that works, else by fetch. */

import { address } from "./page.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {{ stage: string, viewer: string, session: string }} Beat */
/** @typedef {Omit<import("../index.d.ts").Count, "stage"> & { nextMs: number, coalesced?: true }} Answer */
/** @typedef {Error & { code?: string, status?: number, retryAfterMs?: number, isFinal?: boolean }} Failure `isFinal` only if a server said it */

/** A server answers within about 5 s, if only that it can't. */
const ANSWER_MS_MAX = 10_000;
/** Some proxies neither let a WebSocket through nor say so. */
const OPEN_MS_MAX = 4_000;
/** These say that the same heartbeat will never be taken. */
const FINAL = [400, 401, 403, 404];

/**
 * What the server has said against a heartbeat.
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
 * @param {any} answer
 * @returns {answer is Answer} whether it is one, and not for example a hotel's login page
 */
const isAnswer = (answer) => answer?.nextMs > 0 && answer.viewers >= 0;

/**
 * Sends one heartbeat, again and again, one at a time.
 *
 * @param {Page} page
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "token" | "transport">} options
 * @param {Beat} beat
 * @param {(why: Failure) => void} onEnd the server has ended the connection for good, and no heartbeat waits: a token has expired
 */
export function sender(page, { url, token, transport = "auto" }, beat, onEnd) {
  const text = JSON.stringify(beat);
  let isSocketTried = transport !== "http";
  /** Something was heard over a WebSocket: they get through. */
  let isHeard = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** The server has this connection's heartbeat, and `{}` repeats it. */
  let isKnown = false;
  /** Gives up what is under way. @type {(() => void) | null} */
  let giveUp = null;

  /**
   * One try. However it ends, no timer is left.
   *
   * @param {(done: (answer: Answer) => void, fail: (why: Failure) => void, within: (ms: number) => void) => void} start
   * @returns {Promise<Answer>}
   */
  function attempt(start) {
    /** @type {number | undefined} */
    let timer;
    return /** @type {Promise<Answer>} */ (
      new Promise((done, fail) => {
        giveUp = () => fail(new Error("closed"));
        start(done, fail, (ms) => {
          page.clearTimeout(timer);
          timer = page.setTimeout(() => fail(new Error("timeout")), ms);
        });
      })
    ).finally(() => page.clearTimeout(timer));
  }

  function byFetch() {
    const controller = new page.AbortController();
    return attempt((done, fail, within) => {
      within(ANSWER_MS_MAX);
      post(page, url, token, text, controller.signal).then(done, fail);
    }).finally(() => controller.abort());
  }

  function bySocket() {
    return attempt((done, fail, within) => {
      const mine = (socket ??= open());
      const say = () => {
        within(ANSWER_MS_MAX);
        mine.send(isKnown ? "{}" : text);
      };
      mine.onmessage = ({ data }) => {
        isHeard = true;
        const answer = parse(data);
        if (isAnswer(answer)) {
          isKnown = true;
          done(answer);
        } else if (answer?.code) {
          // The server says when to come back if that may help, and nothing if it can't.
          const { retryAfterMs } = answer;
          const why = refusal(answer, { retryAfterMs, isFinal: !(retryAfterMs > 0) });
          fail(why);
          if (why.isFinal) onEnd(why);
        }
      };
      // An error is always followed by a close.
      mine.onclose = () => {
        if (socket === mine) socket = null;
        fail(new Error("closed"));
      };
      if (mine.readyState) return say();
      within(OPEN_MS_MAX);
      mine.onopen = say;
    });
  }

  function open() {
    isKnown = false;
    return new page.WebSocket(address(page, url, "/v1/ws", { token }).replace(/^http/, "ws"));
  }

  function hangUp() {
    socket?.close();
    socket = null;
  }

  return {
    /**
     * @returns {Promise<Answer>} rejects with a {@link Failure}
     */
    async send() {
      if (!isSocketTried) return byFetch();
      const trying = bySocket();
      const mine = giveUp;
      try {
        return await trying;
      } catch (error) {
        // The connection is as good as ever if it was the server that refused. And if it was given up, another may be under way.
        if (/** @type {Failure} */ (error).isFinal !== undefined || giveUp !== mine) throw error;
        hangUp();
        if (transport === "ws") throw error;
        // Where the first one failed all will: a proxy, or a policy of the page.
        isSocketTried = isHeard;
        return byFetch();
      }
    },

    /** Gives up what is under way, and closes the connection. It may be sent again. */
    close() {
      giveUp?.();
      giveUp = null;
      hangUp();
    },
  };
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {Page} page
 * @param {string} url
 * @param {string | undefined} token
 * @param {string} body
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function post(page, url, token, body, signal) {
  const response = await page.fetch(address(page, url, "/v1/heartbeat"), {
    method: "POST",
    // No content type: text it is, which needs no question beforehand (a CORS preflight). The server takes it as JSON.
    headers: token ? { authorization: `Bearer ${token}` } : {},
    body,
    credentials: "omit",
    signal,
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && isAnswer(answer)) return answer;
  const { status } = response;
  const retryAfterMs = 1_000 * Number(response.headers.get("retry-after")) || undefined;
  throw refusal(answer, { status, retryAfterMs, isFinal: FINAL.includes(status) });
}

/**
 * Tells the server that a session has stopped, also while the page goes away. It is a hint: if it is lost, the session runs out.
 *
 * @param {Page} page
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "token">} options
 * @param {Beat} beat
 */
export function sayLeave(page, { url, token }, beat) {
  page.navigator.sendBeacon?.(address(page, url, "/v1/leave"), JSON.stringify({ ...beat, token }));
}
