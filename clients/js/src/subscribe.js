/**
 * Live counts of stages.
 *
 * All of a page's subscriptions to a server with the same rights share one feed. The feeds of a browser's pages share one stream of
 * counts, which the leader reads: see leader.js.
 */

import { joinElection } from "./leader.js";
import { SLOW_MS, backoffMs, createTimer, fetchOk, listen, problemError, routeUrl, statusReporter } from "./page.js";
import { jwtClaims, tokenSource } from "./token.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").RequestError} RequestError */
/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {ReturnType<typeof statusReporter>} SetStatus */
/** @typedef {{ stages: string[], onCount: (count: Count) => void, onRejected: (error: RequestError) => void, setStatus: SetStatus }} Subscription */
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

/** Feeds of each page, by server and rights. @type {WeakMap<Page, Map<string, ReturnType<typeof createFeed>>>} */
const feedsByPage = new WeakMap();

/**
 * Implements {@link import("../index.d.ts").subscribe} on a given page.
 *
 * @param {Page} page
 * @param {import("../index.d.ts").LiveServer} server
 * @param {string | readonly string[]} stages
 * @param {(count: Count) => void} onCount
 * @param {(error: import("../index.d.ts").HousecountError) => void} [onError]
 * @returns {() => void}
 */
export function subscribeOnPage(page, { url, token: option, every = "5s", sessions, ...reports }, stages, onCount, onError) {
  const live = routeUrl(page, url, "/v1/live");
  const query = `every=${encodeURIComponent(every)}${sessions ? "" : "&fields=viewers"}`;
  const tokens = tokenSource(page, option);
  const setTimer = createTimer(page);
  let failures = 0;
  let hasEnded = false;
  /** @type {ReturnType<typeof createFeed> | undefined} */
  let feed;

  const stageList = [stages].flat();
  const setStatus = statusReporter(page, stageList, reports);
  /** @type {Subscription} */
  const subscription = {
    stages: stageList,
    onCount,
    onRejected(error) {
      end();
      setStatus("refused", error.message);
      onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
    },
    setStatus,
  };

  function start() {
    tokens.get().then(joinFeed, (error) => {
      if (hasEnded) return;
      setStatus("retrying", error.message);
      setTimer(backoffMs(page, (failures += 1), error), start);
    });
  }

  function joinFeed(/** @type {string | undefined} */ token) {
    if (hasEnded) return;
    let feeds = feedsByPage.get(page);
    if (!feeds) feedsByPage.set(page, (feeds = new Map()));
    // Tokens with the same rights share a feed, whenever they expire.
    const { exp, iat, nbf, jti, ...rights } = jwtClaims(page, token);
    const key = JSON.stringify([live, query, token && (rights.sub ? rights : token), !stageList.length]);
    feed = feeds.get(key) ?? createFeed(page, [live, query], `housecount ${key}`, tokens, () => feeds.delete(key));
    feeds.set(key, feed);
    feed.attach(subscription);
  }

  function end() {
    hasEnded = true;
    setTimer();
    feed?.detach(subscription);
  }

  setStatus("connecting");
  start();
  return () => {
    if (hasEnded) return;
    end();
    setStatus("stopped", "left");
  };
}

/**
 * Creates a feed: the subscriptions of one page that share a stream.
 *
 * @param {Page} page
 * @param {string[]} address URL of the stream, and the query that makes it cheap
 * @param {string} name of the lock and the channel
 * @param {import("./token.js").TokenSource} tokens
 * @param {() => void} onEmpty the last subscription was detached
 */
function createFeed(page, [live, query], name, tokens, onEmpty) {
  /** @type {Set<Subscription>} */
  const subscriptions = new Set();
  /** Latest count of each stage. @type {Map<string, Count>} */
  const counts = new Map();
  /** Stages of other pages, by page id. @type {Map<string, { stages: string[], until: number }>} */
  const otherPages = new Map();
  const pageId = `${page.Math.random()}`;
  const setTimer = createTimer(page);
  const controller = new page.AbortController();
  /** @type {import("./leader.js").Election<FeedUpdate> | null} */
  let election = null;
  let isLeader = false;
  /** Stages of the open streams, sorted. */
  let openStages = "";
  /** Ends the streams. @type {AbortController | null} */
  let streams = null;
  /** @type {Parameters<SetStatus>} */
  let status = ["connecting"];

  const ownStages = () => [...new Set([...subscriptions].flatMap(({ stages }) => stages))];
  // An empty list is all stages.
  const includes = (/** @type {string[]} */ stages, /** @type {string} */ stage) => !stages.length || stages.includes(stage);

  function setStatus(/** @type {Parameters<SetStatus>} */ ...next) {
    status = next;
    for (const subscription of [...subscriptions]) subscription.setStatus(...next);
  }

  function deliver(/** @type {FeedUpdate} */ { counts: fresh, why }) {
    if (why) setStatus("retrying", why);
    if (!fresh) return;
    setStatus("counted");
    for (const count of fresh) {
      counts.set(count.stage, count);
      for (const { stages, onCount } of [...subscriptions]) if (includes(stages, count.stage)) onCount(count);
    }
  }

  function publish(/** @type {FeedUpdate} */ update) {
    election?.post(update);
    deliver(update);
  }

  function updateStreamsSoon() {
    setTimer(DEBOUNCE_MS, () => {
      if (!isLeader) return election?.query();
      const now = page.Date.now();
      for (const [id, { until }] of otherPages) if (until < now) otherPages.delete(id);
      const stages = [...new Set([...ownStages(), ...[...otherPages.values()].flatMap((other) => other.stages)])].sort();
      for (const stage of counts.keys()) if (!includes(stages, stage)) counts.delete(stage);
      if (streams && openStages === `${stages}`) return;
      closeStreams();
      openStages = `${stages}`;
      streams = new page.AbortController();
      do readStream(stages.splice(0, STAGES_MAX), streams.signal);
      while (stages.length);
    });
  }

  /** Keeps a stream open until it is aborted, or the server rejects it for good. */
  async function readStream(/** @type {string[]} */ stages, /** @type {AbortSignal} */ signal) {
    const stageQuery = stages.map((stage) => `stage=${encodeURIComponent(stage)}`).join("&");
    const setDeadline = createTimer(page);
    for (let failures = 1; !signal.aborted; failures += 1) {
      const attempt = new page.AbortController();
      const ownQuery = query;
      const abort = () => attempt.abort();
      listen(signal, "abort", abort, attempt.signal);
      /** @type {RequestError} */
      let failure;
      try {
        setDeadline(SLOW_MS, () => {
          publish({ why: "no answer yet" });
          setDeadline(SILENCE_MS_MAX, abort);
        });
        const { body } = await fetchOk(page, `${live}?${[query, stageQuery].filter(Boolean).join("&")}`, await tokens.get(), { signal: attempt.signal });
        tokens.accept();
        const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
        const decoder = new page.TextDecoder();
        for (let text = "", end = -1; ; ) {
          setDeadline(SILENCE_MS_MAX, abort);
          const { value, done } = await reader.read();
          if (done) throw new Error("the stream has ended");
          text += decoder.decode(value, { stream: true });
          const fresh = [];
          while ((end = text.indexOf("\n\n")) >= 0) {
            const [, event, data] = /^event: (.*)\n(?:.*\n)*?data: (.*)/m.exec(text.slice(0, end)) ?? [];
            text = text.slice(end + 2);
            // The token has expired or was revoked.
            if (event === "end") throw problemError(JSON.parse(data), { isFinal: true });
            if (event === "count") fresh.push({ complete: true, recovering: false, ...JSON.parse(data) });
          }
          if (!fresh.length) continue;
          failures = 0;
          publish({ counts: fresh });
        }
      } catch (error) {
        failure = /** @type {RequestError} */ (error);
      } finally {
        setDeadline();
        abort();
      }
      if (signal.aborted) return;
      if (ownQuery && failure.code === "invalid_query") {
        // An older server does not know its parameters.
        query = "";
        continue;
      }
      if (failure.isFinal) {
        if (!tokens.renew(failure)) {
          for (const { onRejected } of [...subscriptions]) onRejected(failure);
          return;
        }
      } else {
        publish({ why: failure.message });
      }
      await new Promise((/** @type {(value: void) => void} */ done) => {
        setDeadline(backoffMs(page, failures || 1, failure), done);
        listen(signal, "abort", () => done(setDeadline()), signal);
      });
    }
  }

  function closeStreams() {
    streams?.abort();
    streams = null;
  }

  function start() {
    election ??= joinElection(page, name, /** @type {Parameters<typeof joinElection<FeedUpdate>>[2]} */ ({
      onElected() {
        isLeader = true;
        updateStreamsSoon();
      },
      onReplaced() {
        isLeader = false;
        closeStreams();
      },
      onQuery([id, ...stages]) {
        otherPages.set(id, { stages, until: page.Date.now() + STAGES_TTL_MS });
        updateStreamsSoon();
        return { until: page.Date.now() + QUERY_MS, counts: [...counts.values()].filter(({ stage }) => includes(stages, stage)) };
      },
      onMessage: deliver,
      query: () => [pageId, ...ownStages()],
    }));
  }

  function stop() {
    setTimer();
    closeStreams();
    isLeader = false;
    election?.resign();
    election = null;
  }

  // An open connection keeps a page out of the back/forward cache.
  listen(page, "pagehide", stop, controller.signal);
  listen(page, "pageshow", start, controller.signal);
  // The connection may be dead without the browser's knowledge.
  listen(page, "online", () => (closeStreams(), updateStreamsSoon()), controller.signal);

  return {
    attach(/** @type {Subscription} */ subscription) {
      const { stages, onCount, setStatus } = subscription;
      subscriptions.add(subscription);
      start();
      updateStreamsSoon();
      setStatus(...status);
      for (const count of [...counts.values()]) if (includes(stages, count.stage)) onCount(count);
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
