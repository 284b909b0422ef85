/** Transport of heartbeats and their responses: a WebSocket while that works, `fetch` otherwise. */

import { RESPONSE_MS_MAX, createTimer, fetchOk, problemError, routeUrl } from "./page.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").RequestError} RequestError */
/** @typedef {{ stage: string, viewer: string, session: string }} Beat */
/** @typedef {Omit<import("../index.d.ts").Count, "stage"> & { nextMs: number, coalesced?: true }} HeartbeatResponse */

/** Timeout of opening a WebSocket. Some proxies neither forward nor reject one. */
const OPEN_MS_MAX = 4_000;

/**
 * Checks the shape of a response: a captive portal may have sent it.
 *
 * @param {any} response
 * @returns {response is HeartbeatResponse}
 */
const isHeartbeatResponse = (response) => response?.nextMs > 0 && response.viewers >= 0;

/**
 * Creates the connection of one session. It sends the same heartbeat again and again, one at a time.
 *
 * @param {Page} page
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "transport">} options
 * @param {import("./token.js").TokenSource} tokens
 * @param {Beat} beat
 * @param {(error: RequestError) => void} onClosed the server closed the connection for good between two heartbeats: a token expired
 */
export function connect(page, { url, transport = "auto" }, tokens, beat, onClosed) {
  const text = JSON.stringify(beat);
  let mayUseSocket = transport !== "http";
  /** True once a message came over a WebSocket. */
  let hasSocketWorked = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** Token of the open socket. @type {string | undefined} */
  let socketToken;
  /** True if the server has this connection's heartbeat, so that `{}` repeats it. */
  let isIdentified = false;
  /** Rejects the current attempt. @type {() => void} */
  let cancelAttempt = () => {};
  /** Changes when the current attempt is cancelled. */
  let generation = 0;

  /**
   * Runs one attempt, and clears its timer when it ends.
   *
   * @template T
   * @param {number} ms timeout
   * @param {(done: (result: T | PromiseLike<T>) => void, fail: (error: RequestError) => void, setDeadline: (ms: number) => void) => void} start
   * @returns {Promise<T>}
   */
  function attempt(ms, start) {
    const setTimer = createTimer(page);
    return /** @type {Promise<T>} */ (
      new Promise((done, fail) => {
        cancelAttempt = () => fail(new Error("closed"));
        const setDeadline = (/** @type {number} */ limit) => setTimer(limit, () => fail(new Error("no answer")));
        setDeadline(ms);
        start(done, fail, setDeadline);
      })
    ).finally(() => setTimer());
  }

  function sendByFetch(/** @type {string | undefined} */ token) {
    const controller = new page.AbortController();
    return /** @type {Promise<HeartbeatResponse>} */ (
      attempt(RESPONSE_MS_MAX, (done, fail) => {
        fetchOk(page, routeUrl(page, url, "/v1/heartbeat"), token, { method: "POST", body: text, signal: controller.signal })
          .then((response) => response.json())
          .then((response) => (isHeartbeatResponse(response) ? done(response) : fail(new Error("no housecount answered"))))
          .catch(fail);
      })
    ).finally(() => controller.abort());
  }

  function sendBySocket(/** @type {string | undefined} */ token) {
    return /** @type {Promise<HeartbeatResponse>} */ (
      attempt(OPEN_MS_MAX, (done, fail, setDeadline) => {
        // Another token needs another connection.
        if (token !== socketToken) closeSocket();
        const own = (socket ??= openSocket(token));
        const transmit = () => {
          setDeadline(RESPONSE_MS_MAX);
          own.send(isIdentified ? "{}" : text);
        };
        own.onmessage = ({ data }) => {
          hasSocketWorked = true;
          const response = parseJson(data);
          if (isHeartbeatResponse(response)) {
            isIdentified = true;
            done(response);
          } else if (response?.code) {
            // The server sends `retryAfterMs` unless no retry can succeed.
            const { retryAfterMs } = response;
            const error = problemError(response, { retryAfterMs, isFinal: !(retryAfterMs > 0) });
            fail(error);
            if (error.isFinal) onClosed(error);
          }
        };
        // A close event follows each error event.
        own.onclose = () => {
          if (socket === own) socket = null;
          fail(new Error("no WebSocket"));
        };
        if (own.readyState === 1) return transmit();
        // A policy of the page may have closed it before it opened.
        if (own.readyState) return fail(new Error("no WebSocket"));
        own.onopen = transmit;
      })
    );
  }

  function openSocket(/** @type {string | undefined} */ token) {
    isIdentified = false;
    socketToken = token;
    // The token is a subprotocol, because proxies log URLs.
    const protocols = token ? ["housecount.1", `housecount.token.${token}`] : [];
    return new page.WebSocket(routeUrl(page, url, "/v1/ws").replace(/^http/, "ws"), protocols);
  }

  function closeSocket() {
    socket?.close();
    socket = null;
  }

  const self = {
    /** Stops new heartbeats; the pending one is completed. */
    isEnding: false,

    /**
     * @returns {Promise<HeartbeatResponse>} rejects with a {@link RequestError}
     */
    async send() {
      const own = (generation += 1);
      const token = await attempt(RESPONSE_MS_MAX, (/** @type {(token: string | undefined) => void} */ done, fail) => {
        tokens.get().then(done, fail);
      });
      if (own !== generation || self.isEnding) throw new Error("closed");
      if (!mayUseSocket) return sendByFetch(token);
      try {
        return await sendBySocket(token);
      } catch (error) {
        // If the server rejected the heartbeat, the connection still works. If the attempt was cancelled, another may be pending.
        if (/** @type {RequestError} */ (error).isFinal !== undefined || own !== generation) throw error;
        closeSocket();
        if (transport === "ws") throw error;
        // If the first socket failed, a proxy or a policy of the page blocks all of them.
        mayUseSocket = hasSocketWorked;
        return sendByFetch(token);
      }
    },

    /** Cancels the pending heartbeat and closes the connection. A later `send` tries all transports again. */
    close() {
      generation += 1;
      mayUseSocket = transport !== "http";
      cancelAttempt();
      closeSocket();
    },
  };
  return self;
}

/** @param {string} text */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Tells the server that a session has ended, also while the page unloads. If the leave is lost, the session expires.
 *
 * @param {Page} page
 * @param {string} url
 * @param {string | undefined} token
 * @param {Beat} beat
 */
export function sendLeave(page, url, token, beat) {
  const body = JSON.stringify({ ...beat, token });
  const to = routeUrl(page, url, "/v1/leave");
  if (!page.navigator?.sendBeacon?.(to, body)) fetchOk(page, to, undefined, { method: "POST", body }).catch(() => {});
}
