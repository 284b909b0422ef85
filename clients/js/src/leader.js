/**
 * Leader election among the pages of a browser: one page sends for all pages that show the same stage to the same viewer.
 *
 * The leader holds a Web Lock. The browser passes the lock to the next page when the leader closes or crashes. The leader broadcasts
 * to the other pages over a BroadcastChannel. Where a browser lacks either, each page leads itself: still one viewer, more sessions.
 */

import { createTimer, ignoreErrors } from "./page.js";

/**
 * A message from the leader. From `until` on, other pages query the leader again; without it their last deadline stays.
 *
 * @template Message
 * @typedef {Message & { until?: number }} LeaderMessage
 */
/**
 * This page's part in the election.
 *
 * @template Message
 * @typedef {object} Election
 * @property {(nextMs: number, message?: Message) => void} send sends a message, also to later queries, or that the last one still
 *   holds; the next is due in `nextMs`
 * @property {(message: Message) => void} post sends a message to the pages that are open now
 * @property {() => boolean | void} query true if this page leads; otherwise it queries the leader
 * @property {() => void} close leaves the election
 */

/** Timeout of a query. A live page responds at once, even a hidden one. */
const QUERY_MS_MAX = 5_000;
/** Longest time between the start of a heartbeat and its outcome. */
const BEAT_MS_MAX = 15_000;

/**
 * Takes part in the election of a leader.
 *
 * @template Message
 * @param {string | null | undefined | false} name of the lock and the channel: the same for all pages that share a leader; otherwise
 *   this page leads itself
 * @param {(name?: string) => void} onElected this page leads now, all pages of the name if there is one. May be called again after
 *   `onReplaced`
 * @param {() => void} onReplaced another page leads now
 * @param {(message: Message) => void} onMessage receives a message from the leader
 * @param {(query: any) => Message | void} onQuery answers another page's query; by default with the latest message
 * @param {() => unknown} [buildQuery] builds the query that is sent to the leader
 * @returns {Election<Message>}
 */
export function joinElection(name, onElected, onReplaced, onMessage, onQuery, buildQuery) {
  const locks = globalThis.navigator?.locks;
  const setTimer = createTimer();
  let isLeader = false;
  /** @type {BroadcastChannel | undefined} */
  let channel;
  /** @type {LeaderMessage<Message> | undefined} */
  let latest;
  /** Releases the lock. @type {(() => void) | undefined} */
  let release;
  /** Aborted when this page leaves the election or requests the lock again. @type {AbortController | undefined} */
  let request;

  const post = (/** @type {any} */ message) => channel?.postMessage(message);

  function lead() {
    isLeader = true;
    setTimer();
    send(0);
    onElected(channel?.name);
  }

  /**
   * @param {number} nextMs
   * @param {Message} [message]
   */
  function send(nextMs, message) {
    // Doubled, because a hidden page's timers fire once per minute.
    const until = Date.now() + 2 * nextMs + BEAT_MS_MAX;
    latest = /** @type {LeaderMessage<Message>} */ ({ ...(message ?? latest), until });
    post({ ...message, until });
  }

  /** @param {boolean} steal takes the lock from its holder */
  function requestLock(steal) {
    request?.abort();
    const { signal } = (request = new AbortController());
    locks
      .request(/** @type {string} */ (name), steal ? { steal } : { signal }, () => {
        if (signal.aborted) return;
        lead();
        return new Promise((/** @type {(value: void) => void} */ done) => (release = done));
      })
      .catch(() => {
        if (signal.aborted) return;
        // The page may not use locks, as in a sandboxed frame.
        if (!isLeader) return lead();
        isLeader = false;
        onReplaced();
        follow();
      });
  }

  function follow() {
    requestLock(false);
    queryLeader();
  }

  /**
   * Queries the leader, and takes the lock if no fresh message arrives. The browser leaves the lock with a frozen page, and some
   * frozen pages still respond, with an old message.
   */
  function queryLeader() {
    post({ query: buildQuery?.() ?? 0 });
    setTimer(QUERY_MS_MAX, () => requestLock(true));
  }

  function onChannelMessage(/** @type {{ data: LeaderMessage<Message> & { query?: unknown } }} */ { data }) {
    const isQuery = "query" in data;
    if (isLeader) return isQuery && post(onQuery(data.query) ?? latest);
    if (isQuery) return;
    if (data.until) {
      const ms = data.until - Date.now();
      if (ms <= 0) return;
      setTimer(ms, queryLeader);
    }
    onMessage(data);
  }

  // The browser may lack it, or the page may not use storage.
  if (name && locks) channel = ignoreErrors(() => new BroadcastChannel(name));
  if (channel) {
    channel.onmessage = onChannelMessage;
    follow();
  } else {
    lead();
  }

  return {
    send,
    post,
    query: () => isLeader || queryLeader(),
    close() {
      setTimer();
      request?.abort();
      channel?.close();
      release?.();
    },
  };
}
