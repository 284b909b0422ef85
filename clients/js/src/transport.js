/** Transport of heartbeats and their responses: a WebSocket while that works, `fetch` otherwise. */

import { RESPONSE_MS_MAX, createTimer, fetchOk, ignoreErrors, problemError, routeUrl } from "./page.js";

/** @typedef {import("./page.js").RequestError} RequestError */
/**
 * A heartbeat.
 *
 * @typedef {object} Beat
 * @property {string} stage
 * @property {string} viewer
 * @property {string} session
 * @property {Readonly<Record<string, string | null | undefined>> | undefined} labels
 * @property {string | undefined} replaces session whose place this one takes
 */
/** @typedef {{ nextMs: number, count: Omit<import("../index.d.ts").Count, "stage"> }} HeartbeatResponse */

/** Timeout of opening a WebSocket. Some proxies neither forward nor reject one. */
const OPEN_MS_MAX = 4_000;
/**
 * Timeout of the answer to a leave on a WebSocket, after which a request repeats it. A named session that is watched again by then
 * outlives the repetition: its second heartbeat follows 2 s after the first.
 */
const LEFT_MS_MAX = 1_500;
/** Subprotocol of short answers. */
const SHORT_PROTOCOL = "housecount.2";

/**
 * Reads a response of any kind: an object, a short one without the fields that have their usual values, or `[viewers, next]`, which
 * counts in steps of 100 ms.
 *
 * @param {any} response
 * @returns {HeartbeatResponse | undefined} `undefined` if it has another shape: a captive portal may have sent it
 */
function readResponse(response) {
  const { nextMs, coalesced, ...count } = response?.[1] ? { viewers: response[0], nextMs: 100 * response[1] } : (response ?? {});
  // A stage may hide its viewers.
  if (nextMs > 0) return { nextMs, count: { complete: true, recovering: false, ...count } };
}

/**
 * Creates the connection of one session. It sends the same heartbeat again and again, one at a time.
 *
 * @param {Pick<import("../index.d.ts").WatchOptions, "url" | "transport" | "sessions" | "quiet">} options
 * @param {import("./token.js").TokenSource} tokens
 * @param {Beat} beat
 * @param {(error?: RequestError, response?: HeartbeatResponse) => void} onSettled called once per heartbeat: it failed, was answered,
 *   or needs no answer. Called again for a late answer, or if the server ends the connection: a token expired
 */
export function connect({ url, transport = "auto", sessions, quiet }, tokens, beat, onSettled) {
  const setDeadline = createTimer();
  /** A WebSocket may be used. */
  let mayUseSocket = transport !== "http";
  /** A message came over a WebSocket. */
  let hasSocketWorked = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** Token of the last heartbeat. @type {string | undefined} */
  let token;
  /** Token of the open socket. @type {string | undefined} */
  let socketToken;
  /** 0: a new connection. 1: the server has this connection's heartbeat, so that `{}` repeats it. 2: and it answered the last one. */
  let answerState = 0;
  /** The heartbeat under way; aborted when it is settled or cancelled. @type {AbortController | null} */
  let attempt = null;
  /** From the leave on: the heartbeat under way is completed, and then left again. */
  let isEnding = false;

  function cancel() {
    setDeadline();
    attempt?.abort();
    attempt = null;
  }

  /**
   * @param {RequestError} [error]
   * @param {HeartbeatResponse} [response]
   */
  function settle(error, response) {
    cancel();
    if (isEnding) sendLeave();
    else onSettled(error, response);
  }

  function closeSocket() {
    socket?.close();
    socket = null;
  }

  function send() {
    cancel();
    const own = (attempt = new AbortController());
    /** Settles this heartbeat, unless it was cancelled. @type {typeof settle} */
    const finish = (error, response) => void (own === attempt && settle(error, response));
    const setLimit = (/** @type {number} */ ms, /** @type {(error: RequestError) => void} */ onTimeout = finish) => setDeadline(ms, () => onTimeout(new Error("no answer")));
    function sendByFetch(/** @type {RequestError | undefined} */ error) {
      if (own !== attempt) return;
      closeSocket();
      if (transport === "ws") return settle(error);
      // If the first socket failed, a proxy or a policy of the page blocks all of them.
      mayUseSocket = hasSocketWorked;
      setLimit(RESPONSE_MS_MAX);
      // Short answers have no sessions here.
      const body = JSON.stringify(sessions ? beat : { ...beat, answer: "short" });
      fetchOk(routeUrl(url, "/v1/heartbeat"), token, { method: "POST", body, signal: own.signal })
        .then((answer) => answer.json())
        .then((answer) => {
          const response = readResponse(answer);
          if (!response) throw new Error("no housecount answered");
          finish(undefined, response);
        })
        .catch(finish);
    }

    function sendBySocket() {
      // Another token needs another connection.
      if (token !== socketToken) closeSocket();
      const open = (socket ??= openSocket());
      const transmit = () => {
        setLimit(RESPONSE_MS_MAX, sendByFetch);
        open.send(JSON.stringify(answerState ? {} : { ...beat, sessions, quiet }));
        // The server may leave out every second answer.
        const needsNoAnswer = quiet && answerState > 1 && open.protocol === SHORT_PROTOCOL;
        answerState &&= 1;
        if (needsNoAnswer) settle();
      };
      setLimit(OPEN_MS_MAX, sendByFetch);
      open.onmessage = ({ data }) => {
        hasSocketWorked = true;
        const message = ignoreErrors(() => JSON.parse(data));
        const response = readResponse(message);
        if (response) {
          answerState = 2;
          settle(undefined, response);
        } else if (message?.code) {
          // The server sends `retryAfterMs` unless no retry can succeed.
          settle(problemError(message, !(message.retryAfterMs > 0), message.retryAfterMs));
        }
      };
      // A close event follows each error event.
      open.onclose = () => {
        if (socket !== open) return;
        socket = null;
        sendByFetch(new Error("no WebSocket"));
      };
      open.onopen = transmit;
      if (open.readyState === 1) transmit();
      // A policy of the page may have closed it before it opened.
      else if (open.readyState) open.onclose(/** @type {any} */ (0));
    }

    setLimit(RESPONSE_MS_MAX);
    tokens.get().then((latest) => {
      if (own !== attempt) return;
      token = latest;
      if (isEnding) return settle();
      if (!mayUseSocket) return sendByFetch(undefined);
      try {
        sendBySocket();
      } catch (error) {
        // The browser lacks it, or a policy of the page forbids it.
        sendByFetch(/** @type {RequestError} */ (error));
      }
    }, finish);
  }

  function openSocket() {
    answerState = 0;
    socketToken = token;
    // A server takes the first one that it knows. The token is a subprotocol, because proxies log URLs.
    const protocols = [SHORT_PROTOCOL, "housecount.1"].concat(token ? `housecount.token.${token}` : []);
    return new WebSocket(routeUrl(url, "/v1/ws").replace(/^http/, "ws"), protocols);
  }

  /** Sends the leave as a request, also while the page unloads. If the leave is lost, the session expires. */
  function sendLeave() {
    const to = routeUrl(url, "/v1/leave");
    const body = JSON.stringify({ ...beat, token });
    // A beacon carries credentials, unlike a heartbeat, so the browser opens another connection for it.
    const mayUseBeacon = !("keepalive" in (globalThis.Request?.prototype ?? beat));
    if (mayUseBeacon && globalThis.navigator?.sendBeacon?.(to, body)) return;
    fetchOk(to, undefined, { method: "POST", body, keepalive: true }).catch(() => {});
  }

  /** Cancels the heartbeat under way and closes the connection. A later `send` tries all transports again. */
  function close() {
    mayUseSocket = transport !== "http";
    cancel();
    closeSocket();
  }

  return {
    /** Sends the heartbeat. */
    send,
    close,

    /**
     * Ends the session with a leave, and the connection.
     *
     * @param {boolean} [isPageHidden] closes the connection at once: an open one keeps the page out of the back/forward cache
     */
    end(isPageHidden) {
      const own = socket;
      const pending = attempt;
      if (own?.readyState === 1) {
        // On this connection the leave arrives behind all heartbeats.
        own.send('{"leave":true}');
        socket = null;
        cancel();
        const finish = (/** @type {boolean | void} */ isReceived) => {
          setDeadline();
          own.onclose = null;
          own.close();
          if (!isReceived) sendLeave();
        };
        own.onmessage = ({ data }) => ignoreErrors(() => JSON.parse(data))?.left && finish(true);
        own.onclose = () => finish();
        setDeadline(LEFT_MS_MAX, finish);
        // If a heartbeat waits for its response, the connection may be dead.
        if (isPageHidden) finish(!pending);
        return;
      }
      sendLeave();
      if (isPageHidden || !pending || own) return close();
      // The heartbeat under way may reach the server after the leave, and would count the viewer again.
      isEnding = true;
    },
  };
}
