/** How a heartbeat reaches the server and what it is answered: over a WebSocket while that works, else by fetch. */

import { ANSWER_MS_MAX, address, ask, refusal } from "./page.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Failure} Failure */
/** @typedef {{ stage: string, viewer: string, session: string }} Beat */
/** @typedef {Omit<import("../index.d.ts").Count, "stage"> & { nextMs: number, coalesced?: true }} Answer */

/** Some proxies neither let a WebSocket through nor say so. */
const OPEN_MS_MAX = 4_000;

/**
 * @param {any} answer
 * @returns {answer is Answer} whether it is one, and not for example a hotel's login page
 */
const isAnswer = (answer) => answer?.nextMs > 0 && answer.viewers >= 0;

/**
 * Sends one heartbeat, again and again, one at a time.
 *
 * @param {Page} page
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "transport">} options
 * @param {import("./token.js").Tokens} tokens
 * @param {Beat} beat
 * @param {(why: Failure) => void} onEnd the server has ended the connection for good, and no heartbeat waits: a token has expired
 */
export function sender(page, { url, transport = "auto" }, tokens, beat, onEnd) {
  const text = JSON.stringify(beat);
  let isSocketTried = transport !== "http";
  /** Something was heard over a WebSocket: they get through. */
  let isHeard = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** What the socket was opened with. @type {string | undefined} */
  let socketToken;
  /** The server has this connection's heartbeat, and `{}` repeats it. */
  let isKnown = false;
  /** Gives up what is under way. @type {() => void} */
  let giveUp = () => {};
  /** Another number once it was given up. */
  let turn = 0;

  /**
   * One try. However it ends, no timer is left.
   *
   * @template T
   * @param {(done: (answer: T | PromiseLike<T>) => void, fail: (why: Failure) => void, within: (ms: number) => void) => void} start
   * @returns {Promise<T>}
   */
  function attempt(start) {
    /** @type {number | undefined} */
    let timer;
    return /** @type {Promise<T>} */ (
      new Promise((done, fail) => {
        giveUp = () => fail(new Error("closed"));
        start(done, fail, (ms) => {
          page.clearTimeout(timer);
          timer = page.setTimeout(() => fail(new Error("no answer")), ms);
        });
      })
    ).finally(() => page.clearTimeout(timer));
  }

  function byFetch(/** @type {string | undefined} */ token) {
    const controller = new page.AbortController();
    return /** @type {Promise<Answer>} */ (
      attempt((done, fail, within) => {
        within(ANSWER_MS_MAX);
        ask(page, address(page, url, "/v1/heartbeat"), token, { method: "POST", body: text, signal: controller.signal })
          .then((response) => response.json())
          .then((answer) => (isAnswer(answer) ? done(answer) : fail(new Error("no housecount answered"))))
          .catch(fail);
      })
    ).finally(() => controller.abort());
  }

  function bySocket(/** @type {string | undefined} */ token) {
    return /** @type {Promise<Answer>} */ (
      attempt((done, fail, within) => {
        // Another token takes another connection.
        if (token !== socketToken) hangUp();
        const mine = (socket ??= open(token));
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
          fail(new Error("no WebSocket"));
        };
        if (mine.readyState === 1) return say();
        // A policy of the page may have closed it before it was open.
        if (mine.readyState) return fail(new Error("no WebSocket"));
        within(OPEN_MS_MAX);
        mine.onopen = say;
      })
    );
  }

  function open(/** @type {string | undefined} */ token) {
    isKnown = false;
    socketToken = token;
    // A token is no part of the address, which proxies log.
    const offered = token ? ["housecount.1", `housecount.token.${token}`] : [];
    return new page.WebSocket(address(page, url, "/v1/ws").replace(/^http/, "ws"), offered);
  }

  function hangUp() {
    socket?.close();
    socket = null;
  }

  const self = {
    /** Nothing is to be sent any more, but for what is on its way. */
    isEnding: false,

    /**
     * @returns {Promise<Answer>} rejects with a {@link Failure}
     */
    async send() {
      const mine = (turn += 1);
      const token = await attempt((/** @type {(token: string | undefined) => void} */ done, fail, within) => {
        within(ANSWER_MS_MAX);
        tokens.get().then(done, fail);
      });
      if (mine !== turn || self.isEnding) throw new Error("closed");
      if (!isSocketTried) return byFetch(token);
      try {
        return await bySocket(token);
      } catch (error) {
        // The connection is as good as ever if it was the server that refused. And if it was given up, another may be under way.
        if (/** @type {Failure} */ (error).isFinal !== undefined || mine !== turn) throw error;
        hangUp();
        if (transport === "ws") throw error;
        // Where the first one failed all will: a proxy, or a policy of the page.
        isSocketTried = isHeard;
        return byFetch(token);
      }
    },

    /** Gives up what is under way, and closes the connection. It may be sent again, and all ways are tried then. */
    close() {
      turn += 1;
      isSocketTried = transport !== "http";
      giveUp();
      hangUp();
    },
  };
  return self;
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
 * Tells the server that a session has stopped, also while the page goes away. It is a hint: if it is lost, the session runs out.
 *
 * @param {Page} page
 * @param {string} url
 * @param {string | undefined} token
 * @param {Beat} beat
 */
export function sayLeave(page, url, token, beat) {
  const body = JSON.stringify({ ...beat, token });
  const to = address(page, url, "/v1/leave");
  if (!page.navigator?.sendBeacon?.(to, body)) ask(page, to, undefined, { method: "POST", body }).catch(() => {});
}
