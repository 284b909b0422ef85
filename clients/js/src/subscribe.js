/**
 * Live counts of stages.
 *
 * All of a page's subscriptions to a server with the same rights share one feed. The feeds of a browser's pages share one stream of
 * counts, which the leader reads: see leader.js.
 */

import { joinElection } from "./leader.js";
import { SLOW_MS, backoffMs, createTimer, fetchOk, listen, problemError, routeUrl, statusReporter } from "./page.js";
import { jwtClaims, tokenSource } from "./token.js";

/** @typedef {import("./page.js").RequestError} RequestError */
/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {ReturnType<typeof statusReporter>} SetStatus */
/**
 * @typedef {object} Subscription
 * @property {string[]} stages
 * @property {(count: Count) => void} onCount receives the count of any stage
 * @property {(error: RequestError) => void} onRejected
 * @property {SetStatus} setStatus
 */
/** @typedef {{ until?: number, counts?: Count[], why?: string }} FeedUpdate new counts, or why there are none */

/** Stages per stream: a limit of the server. */
const STAGES_MAX = 100;
/** Debounce of changes: components mount and unmount together. */
const DEBOUNCE_MS = 50;
/** Longest silence of a stream. The server sends at least a comment every 15 s. */
const SILENCE_MS_MAX = 40_000;
/** Interval of other pages' queries, which name their stages. */
const QUERY_MS = 30_000;
/** Time without a query after which another page's stages are dropped: a hidden page's timers fire once per minute. */
const STAGES_TTL_MS = 150_000;

/**
 * An empty list is all stages.
 *
 * @param {string[]} stages
 * @param {string} stage
 */
const includes = (stages, stage) => !stages.length || stages.includes(stage);

/** Feeds of this page, by server and rights. @type {Map<string, ReturnType<typeof createFeed>>} */
const feeds = new Map();

/** @type {typeof import("../index.d.ts").subscribe} */
export function subscribe({ url, token: option, every = "5s", sessions, ...reports }, stages, onCount, onError) {
  const live = routeUrl(url, "/v1/live");
  const query = `every=${encodeURIComponent(every)}${sessions ? "" : "&fields=viewers"}`;
  const tokens = tokenSource(option);
  const setTimer = createTimer();
  let failures = 0;
  let hasEnded = false;
  /** @type {ReturnType<typeof createFeed> | undefined} */
  let feed;

  const stageList = [stages].flat();
  const setStatus = statusReporter(stageList, reports);
  /** @type {Subscription} */
  const subscription = {
    stages: stageList,
    onCount: (count) => includes(stageList, count.stage) && onCount(count),
    onRejected(error) {
      end("refused", error.message);
      onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
    },
    setStatus,
  };

  function start() {
    tokens.get().then(joinFeed, (error) => {
      if (hasEnded) return;
      setStatus("retrying", error.message);
      setTimer(backoffMs((failures += 1), error), start);
    });
  }

  function joinFeed(/** @type {string | undefined} */ token) {
    if (hasEnded) return;
    // Tokens with the same rights share a feed, whenever they expire.
    const { exp, iat, nbf, jti, ...rights } = jwtClaims(token);
    const key = JSON.stringify([live, query, token && (rights.sub ? rights : token), !stageList.length]);
    feed = feeds.get(key) ?? createFeed(live, query, `housecount ${key}`, tokens, () => feeds.delete(key));
    feeds.set(key, feed);
    feed.attach(subscription);
  }

  /**
   * @param {import("../index.d.ts").Status} status
   * @param {string} why
   */
  function end(status, why) {
    if (hasEnded) return;
    hasEnded = true;
    setTimer();
    feed?.detach(subscription);
    setStatus(status, why);
  }

  setStatus("connecting");
  start();
  return () => end("stopped", "left");
}

/**
 * Creates a feed: the subscriptions of one page that share a stream.
 *
 * @param {string} live URL of the stream
 * @param {string} query that makes it cheap
 * @param {string} name of the lock and the channel
 * @param {import("./token.js").TokenSource} tokens
 * @param {() => void} onEmpty the last subscription was detached
 */
function createFeed(live, query, name, tokens, onEmpty) {
  /** @type {Set<Subscription>} */
  const subscriptions = new Set();
  /** Latest count of each stage. @type {Map<string, Count>} */
  const counts = new Map();
  /** Stages of other pages, by page id. @type {Map<string, { stages: string[], until: number }>} */
  const otherPages = new Map();
  const pageId = `${Math.random()}`;
  const setTimer = createTimer();
  const controller = new AbortController();
  /** @type {import("./leader.js").Election<FeedUpdate> | null} */
  let election = null;
  /** Stages of the open streams, sorted. */
  let openStages = "";
  /** Closes each open stream. @type {(() => void)[] | null} */
  let streams = null;
  /** @type {Parameters<SetStatus>} */
  let status = ["connecting"];

  const ownStages = () => [...subscriptions].flatMap(({ stages }) => stages);
  /** Calls each subscription, also if that changes the set. */
  const forEach = (/** @type {(subscription: Subscription) => void} */ callback) => [...subscriptions].forEach(callback);

  function setStatus(/** @type {Parameters<SetStatus>} */ ...next) {
    status = next;
    forEach(({ setStatus }) => setStatus(...next));
  }

  function deliver(/** @type {FeedUpdate} */ { counts: fresh, why }) {
    if (why) setStatus("retrying", why);
    if (!fresh) return;
    setStatus("counted");
    for (const count of fresh) {
      counts.set(count.stage, count);
      forEach(({ onCount }) => onCount(count));
    }
  }

  function publish(/** @type {FeedUpdate} */ update) {
    election?.post(update);
    deliver(update);
  }

  function updateStreamsSoon() {
    setTimer(DEBOUNCE_MS, () => {
      if (!election?.query()) return;
      const now = Date.now();
      for (const [id, { until }] of otherPages) if (until < now) otherPages.delete(id);
      const stages = [...new Set([...otherPages.values()].flatMap((other) => other.stages).concat(ownStages()))].sort();
      for (const stage of counts.keys()) if (!includes(stages, stage)) counts.delete(stage);
      if (streams && openStages === `${stages}`) return;
      closeStreams();
      openStages = `${stages}`;
      streams = [];
      do readStream(stages.splice(0, STAGES_MAX), streams);
      while (stages.length);
    });
  }

  /**
   * Keeps a stream open until it is closed, or the server rejects it for good.
   *
   * @param {string[]} stages
   * @param {(() => void)[]} own
   */
  async function readStream(stages, own) {
    const stageQuery = stages.map((stage) => `&stage=${encodeURIComponent(stage)}`).join("");
    const setDeadline = createTimer();
    let failures = 0;
    /** @type {AbortController} */
    let attempt;
    const abort = () => attempt.abort();
    const waitForBytes = () => setDeadline(SILENCE_MS_MAX, abort);
    const close = () => {
      setDeadline();
      abort();
    };
    own.push(close);
    while (streams === own) {
      const ownQuery = query;
      attempt = new AbortController();
      setDeadline(SLOW_MS, () => {
        publish({ why: "no answer" });
        waitForBytes();
      });
      try {
        const { signal } = attempt;
        const { body } = await fetchOk(`${live}?${query}${stageQuery}`.replace("?&", "?"), await tokens.get(), { signal });
        tokens.accept();
        const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
        const decoder = new TextDecoder();
        for (let text = ""; ; ) {
          waitForBytes();
          const { value, done } = await reader.read();
          if (done) throw new Error("the stream has ended");
          const events = (text + decoder.decode(value, { stream: true })).split("\n\n");
          text = /** @type {string} */ (events.pop());
          const fresh = [];
          for (const lines of events) {
            const [, event, data] = /^event: (.*)\n(?:.*\n)*?data: (.*)/m.exec(lines) ?? [];
            // The token has expired or was revoked.
            if (event === "end") throw problemError(JSON.parse(data), true);
            // An event of a stream of one stage does not name it.
            if (event === "count") fresh.push({ stage: stages[0], complete: true, recovering: false, ...JSON.parse(data) });
          }
          if (!fresh.length) continue;
          failures = 0;
          publish({ counts: fresh });
        }
      } catch (error) {
        close();
        if (streams !== own) return;
        const failure = /** @type {RequestError} */ (error);
        // An older server does not know its parameters.
        if (ownQuery && failure.code === "invalid_query") {
          query = "";
          continue;
        }
        if (!failure.isFinal) {
          publish({ why: failure.message });
        } else if (!tokens.renew(failure)) {
          return forEach(({ onRejected }) => onRejected(failure));
        }
        await new Promise((/** @type {(value: void) => void} */ done) => setDeadline(backoffMs((failures += 1), failure), done));
      }
    }
  }

  function closeStreams() {
    streams?.forEach((close) => close());
    streams = null;
  }

  function start() {
    election ??= joinElection(
      name,
      updateStreamsSoon,
      closeStreams,
      deliver,
      ([id, ...stages]) => {
        otherPages.set(id, { stages, until: Date.now() + STAGES_TTL_MS });
        updateStreamsSoon();
        return /** @type {FeedUpdate} */ ({ until: Date.now() + QUERY_MS, counts: [...counts.values()].filter(({ stage }) => includes(stages, stage)) });
      },
      () => [pageId, ...ownStages()],
    );
  }

  function stop() {
    setTimer();
    closeStreams();
    election?.close();
    election = null;
  }

  // An open connection keeps a page out of the back/forward cache.
  listen(globalThis, "pagehide", stop, controller.signal);
  listen(globalThis, "pageshow", start, controller.signal);
  // The connection may be dead without the browser's knowledge.
  listen(globalThis, "online", () => (closeStreams(), updateStreamsSoon()), controller.signal);

  return {
    attach(/** @type {Subscription} */ subscription) {
      subscriptions.add(subscription);
      start();
      updateStreamsSoon();
      subscription.setStatus(...status);
      for (const count of [...counts.values()]) subscription.onCount(count);
    },

    detach(/** @type {Subscription} */ subscription) {
      subscriptions.delete(subscription);
      if (subscriptions.size) return updateStreamsSoon();
      controller.abort();
      stop();
      onEmpty();
    },
  };
}
