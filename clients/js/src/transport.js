/** Transport of heartbeats and their responses: a WebSocket while that works, `fetch` otherwise. */

import { RESPONSE_MS_MAX, createTimer, fetchOk, problemError, routeUrl } from "./page.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").RequestError} RequestError */
/** @typedef {{ stage: string, viewer: string, session: string }} Beat */
/** @typedef {{ nextMs: number, count: Omit<import("../index.d.ts").Count, "stage"> }} HeartbeatResponse */

/** Timeout of opening a WebSocket. Some proxies neither forward nor reject one. */
const OPEN_MS_MAX = 4_000;
/**
 * Timeout of the answer to a leave on a WebSocket, after which a request repeats it. A named session that is watched again by then
 * outlives the repetition: its second heartbeat follows 2 s after the first.
 */
const LEFT_MS_MAX = 1_500;
/** Subprotocols for both kinds of answers. A server takes the first one that it knows. */
const PROTOCOLS = ["housecount.2", "housecount.1"];

/**
 * Reads a response of any kind: an object, a short one without the fields that have their usual values, or `[viewers, next]`, which
 * counts in steps of 100 ms.
 *
 * @param {any} response
 * @returns {HeartbeatResponse | undefined} `undefined` if it has another shape: a captive portal may have sent it
 */
function readResponse(response) {
  const { nextMs, coalesced, ...count } = Array.isArray(response) ? { viewers: response[0], nextMs: 100 * response[1] } : (response ?? {});
  if (nextMs > 0 && count.viewers >= 0) return { nextMs, count: { complete: true, recovering: false, ...count } };
}

/**
 * Creates the connection of one session. It sends the same heartbeat again and again, one at a time.
 *
 * @param {Page} page
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "transport" | "sessions" | "quiet">} options
 * @param {import("./token.js").TokenSource} tokens
 * @param {Beat} beat
 * @param {(response: HeartbeatResponse) => void} onResponse the server answered a heartbeat, perhaps one that was not waited for
 * @param {(error: RequestError) => void} onError the server rejected such a heartbeat, or the connection: a token expired
 */
export function connect(page, { url, transport = "auto", sessions, quiet }, tokens, beat, onResponse, onError) {
  let mayUseSocket = transport !== "http";
  /** True once a message came over a WebSocket. */
  let hasSocketWorked = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** Token of the open socket. @type {string | undefined} */
  let socketToken;
  /** True if the server has this connection's heartbeat, so that `{}` repeats it. */
  let isIdentified = false;
  /** True if the last heartbeat of this connection was answered with a count, so that the next one may stay without an answer. */
  let isAnswered = false;
  /** Rejects the current attempt. @type {() => void} */
  let cancelAttempt = () => {};
  /** Changes when the current attempt is cancelled. */
  let generation = 0;
  /** True from the leave on: no new heartbeats, and the pending one is completed. */
  let isEnding = false;

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
    // Short answers have no sessions here.
    const body = JSON.stringify(sessions ? beat : { ...beat, answer: "short" });
    return /** @type {Promise<HeartbeatResponse>} */ (
      attempt(RESPONSE_MS_MAX, (done, fail) => {
        fetchOk(page, routeUrl(page, url, "/v1/heartbeat"), token, { method: "POST", body, signal: controller.signal })
          .then((response) => response.json())
          .then((json) => {
            const response = readResponse(json);
            if (response) done(response);
            else fail(new Error("no housecount answered"));
          })
          .catch(fail);
      })
    ).finally(() => controller.abort());
  }

  function sendBySocket(/** @type {string | undefined} */ token) {
    return /** @type {Promise<HeartbeatResponse | undefined>} */ (
      attempt(OPEN_MS_MAX, (done, fail, setDeadline) => {
        // Another token needs another connection.
        if (token !== socketToken) closeSocket();
        const own = (socket ??= openSocket(token));
        const transmit = () => {
          setDeadline(RESPONSE_MS_MAX);
          own.send(JSON.stringify(isIdentified ? {} : { ...beat, sessions, quiet }));
          if (quiet && isAnswered && own.protocol === PROTOCOLS[0]) done(undefined);
          isAnswered = false;
        };
        own.onmessage = ({ data }) => {
          hasSocketWorked = true;
          const message = parseJson(data);
          const response = readResponse(message);
          if (response) {
            isIdentified = isAnswered = true;
            done(response);
            onResponse(response);
          } else if (message?.code) {
            // The server sends `retryAfterMs` unless no retry can succeed.
            const { retryAfterMs } = message;
            const error = problemError(message, { retryAfterMs, isFinal: !(retryAfterMs > 0) });
            fail(error);
            onError(error);
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
    isIdentified = isAnswered = false;
    socketToken = token;
    // The token is a subprotocol, because proxies log URLs.
    const protocols = token ? [...PROTOCOLS, `housecount.token.${token}`] : PROTOCOLS;
    return new page.WebSocket(routeUrl(page, url, "/v1/ws").replace(/^http/, "ws"), protocols);
  }

  function closeSocket() {
    socket?.close();
    socket = null;
  }

  /** Cancels the pending heartbeat. */
  function cancel() {
    generation += 1;
    cancelAttempt();
  }

  /** Sends the leave as a request, also while the page unloads. If the leave is lost, the session expires. */
  function sendLeave() {
    const to = routeUrl(page, url, "/v1/leave");
    const body = JSON.stringify({ ...beat, token: tokens.latest });
    // A beacon carries credentials, unlike a heartbeat, so the browser opens another connection for it.
    if (!("keepalive" in (page.Request?.prototype ?? {})) && page.navigator?.sendBeacon?.(to, body)) return;
    fetchOk(page, to, undefined, { method: "POST", body, keepalive: true }).catch(() => {});
  }

  const self = {
    /**
     * @returns {Promise<HeartbeatResponse | undefined>} nothing if the server may leave out the answer; rejects with a {@link RequestError}
     */
    async send() {
      const own = (generation += 1);
      const token = await attempt(RESPONSE_MS_MAX, (/** @type {(token: string | undefined) => void} */ done, fail) => {
        tokens.get().then(done, fail);
      });
      if (own !== generation || isEnding) throw new Error("closed");
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
      mayUseSocket = transport !== "http";
      cancel();
      closeSocket();
    },

    /**
     * Ends the session with a leave, and the connection.
     *
     * @param {Promise<void> | null} pending the heartbeat that waits for its response
     * @param {boolean} isPageHidden closes the connection at once: an open one keeps the page out of the back/forward cache
     */
    end(pending, isPageHidden) {
      const own = socket;
      if (own?.readyState === 1) {
        // On this connection the leave arrives behind all heartbeats.
        own.send('{"leave":true}');
        socket = null;
        cancel();
        const setTimer = createTimer(page);
        const finish = (/** @type {unknown} */ isLost) => {
          setTimer();
          own.onclose = null;
          own.close();
          if (isLost) sendLeave();
        };
        own.onmessage = ({ data }) => parseJson(data)?.left && finish(false);
        own.onclose = () => finish(true);
        setTimer(LEFT_MS_MAX, () => finish(true));
        // If a heartbeat waits for its response, the connection may be dead.
        if (isPageHidden) finish(pending);
        return;
      }
      sendLeave();
      if (isPageHidden || !pending || own) return self.close();
      isEnding = true;
      // The pending heartbeat may reach the server after the leave, and would count the viewer again.
      pending.then(() => self.end(null, true));
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
