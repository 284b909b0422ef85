/**
 * Live counts, for who only looks on.
 *
 * All of a page's subscriptions to a server with the same rights share a feed, and the feeds of a browser's pages share one stream
 * of counts: see share.js for how.
 */

import { SLOW_MS, address, ask, backOffMs, listen, refusal } from "./page.js";
import { share } from "./share.js";
import { claims, tokens } from "./token.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Failure} Failure */
/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ stages: string[], onCount: (count: Count) => void, refuse: (error: Failure) => void, say: Say }} Member a subscription */
/** @typedef {(status: import("../index.d.ts").Status, why?: string) => void} Say */
/** @typedef {{ until?: number, counts?: Count[], why?: string }} News */

/** The server names no more on one stream. */
const STAGES_MAX = 100;
/** Components that come and go together make one change. */
const TUNE_MS = 50;
/** The server sends something each 15 s. */
const SILENCE_MS_MAX = 40_000;
/** Another page says this often that it is there. */
const ASK_MS = 30_000;
/** After this long without a word it is gone: a hidden page's timers go off once a minute. */
const GONE_MS = 150_000;

/** Each page's feeds, by server and rights. @type {WeakMap<Page, Map<string, ReturnType<typeof feed>>>} */
const feeds = new WeakMap();

/**
 * {@link import("../index.d.ts").subscribe} in a given page.
 *
 * @param {Page} page
 * @param {import("../index.d.ts").LiveServer} server
 * @param {string | readonly string[]} stages
 * @param {(count: Count) => void} onCount
 * @param {(error: import("../index.d.ts").HousecountError) => void} [onError]
 * @returns {() => void}
 */
export function subscribeIn(page, { url, token, onStatus, debug }, stages, onCount, onError) {
  const live = address(page, url, "/v1/live");
  const source = tokens(page, token);
  let failures = 0;
  let status = "";
  let hasEnded = false;
  /** @type {number | undefined} */
  let timer;
  /** @type {ReturnType<typeof feed> | undefined} */
  let mine;

  /** @type {Member} */
  const member = {
    stages: [stages].flat(),
    onCount,
    refuse(error) {
      end();
      say("refused", error.message);
      onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
    },
    say,
  };

  function say(/** @type {import("../index.d.ts").Status} */ next, why = "") {
    if (status === next + why) return;
    status = next + why;
    if (debug) page.console.log("housecount", ...member.stages, next, why);
    onStatus?.(next, why);
  }

  function start() {
    source.get().then(join, (error) => {
      if (hasEnded) return;
      say("retrying", error.message);
      timer = page.setTimeout(start, backOffMs(page, (failures += 1), error));
    });
  }

  function join(/** @type {string | undefined} */ value) {
    if (hasEnded) return;
    let all = feeds.get(page);
    if (!all) feeds.set(page, (all = new Map()));
    // Tokens with the same rights are alike, whenever they end.
    const { exp, iat, nbf, jti, ...rights } = claims(page, value);
    const key = JSON.stringify([live, value && (rights.sub ? rights : value), !member.stages.length]);
    mine = all.get(key) ?? feed(page, live, `housecount ${key}`, source, () => all.delete(key));
    all.set(key, mine);
    mine.add(member);
  }

  function end() {
    hasEnded = true;
    page.clearTimeout(timer);
    mine?.remove(member);
  }

  say("connecting");
  start();
  return () => {
    if (hasEnded) return;
    end();
    say("stopped", "left");
  };
}

/**
 * @param {Page} page
 * @param {string} live the stream's address
 * @param {string} name of what is shared
 * @param {import("./token.js").Tokens} source
 * @param {() => void} onEmpty called when the last member has left
 */
function feed(page, live, name, source, onEmpty) {
  /** @type {Set<Member>} */
  const members = new Set();
  /** What was last heard of each stage. @type {Map<string, Count>} */
  const known = new Map();
  /** What other pages want, by their names. @type {Map<string, { stages: string[], until: number }>} */
  const wants = new Map();
  const me = `${page.Math.random()}`;
  const listening = new page.AbortController();
  /** @type {import("./share.js").Shared<News> | null} */
  let shared = null;
  let isLeading = false;
  /** The stages of the streams that are open, sorted. */
  let opened = "";
  /** Ends the streams. @type {AbortController | null} */
  let streams = null;
  /** @type {number | undefined} */
  let timer;
  /** @type {Parameters<Say>} */
  let status = ["connecting"];

  const wanted = () => [...new Set([...members].flatMap(({ stages }) => stages))];

  function say(/** @type {Parameters<Say>} */ ...next) {
    status = next;
    for (const member of [...members]) member.say(...next);
  }

  function hear(/** @type {News} */ { counts, why }) {
    if (why) say("retrying", why);
    if (!counts) return;
    say("counted");
    for (const count of counts) {
      known.set(count.stage, count);
      for (const { stages, onCount } of [...members]) if (!stages.length || stages.includes(count.stage)) onCount(count);
    }
  }

  function told(/** @type {News} */ news) {
    shared?.post(news);
    hear(news);
  }

  function tune(ms = TUNE_MS) {
    page.clearTimeout(timer);
    timer = page.setTimeout(() => {
      if (!isLeading) return shared?.ask();
      const now = page.Date.now();
      for (const [each, { until }] of wants) if (until < now) wants.delete(each);
      const stages = [...new Set([...wanted(), ...[...wants.values()].flatMap((want) => want.stages)])].sort();
      for (const stage of known.keys()) if (stages.length && !stages.includes(stage)) known.delete(stage);
      if (streams && opened === `${stages}`) return;
      close();
      opened = `${stages}`;
      streams = new page.AbortController();
      do run(stages.splice(0, STAGES_MAX), streams.signal);
      while (stages.length);
    }, ms);
  }

  /** Keeps a stream open until it is ended, or refused for good. */
  async function run(/** @type {string[]} */ stages, /** @type {AbortSignal} */ signal) {
    const query = stages.map((stage) => `stage=${encodeURIComponent(stage)}`).join("&");
    for (let failures = 1; !signal.aborted; failures += 1) {
      const one = new page.AbortController();
      listen(signal, ["abort"], () => one.abort(), one.signal);
      /** @type {number | undefined} */
      let silence;
      const within = (/** @type {number} */ ms, /** @type {() => void} */ then) => {
        page.clearTimeout(silence);
        silence = page.setTimeout(then, ms);
      };
      /** @type {Failure} */
      let why;
      try {
        within(SLOW_MS, () => {
          told({ why: "no answer yet" });
          within(SILENCE_MS_MAX, () => one.abort());
        });
        const { body } = await ask(page, query ? `${live}?${query}` : live, await source.get(), { signal: one.signal });
        source.accept();
        const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
        const decoder = new page.TextDecoder();
        for (let text = "", end = -1; ; ) {
          within(SILENCE_MS_MAX, () => one.abort());
          const { value, done } = await reader.read();
          if (done) throw new Error("the stream has ended");
          text += decoder.decode(value, { stream: true });
          const counts = [];
          while ((end = text.indexOf("\n\n")) >= 0) {
            const [, event, data] = /^event: (.*)\n(?:.*\n)*?data: (.*)/m.exec(text.slice(0, end)) ?? [];
            text = text.slice(end + 2);
            // The token is no longer good.
            if (event === "end") throw refusal(JSON.parse(data), { isFinal: true });
            if (event === "count") counts.push(JSON.parse(data));
          }
          if (!counts.length) continue;
          failures = 0;
          told({ counts });
        }
      } catch (error) {
        why = /** @type {Failure} */ (error);
      } finally {
        page.clearTimeout(silence);
        one.abort();
      }
      if (signal.aborted) return;
      if (why.isFinal) {
        if (!source.renew(why)) {
          for (const { refuse } of [...members]) refuse(why);
          return;
        }
      } else {
        told({ why: why.message });
      }
      await new Promise((done) => {
        const wait = page.setTimeout(done, backOffMs(page, failures || 1, why));
        listen(signal, ["abort"], () => done(page.clearTimeout(wait)), signal);
      });
    }
  }

  function close() {
    streams?.abort();
    streams = null;
  }

  function show() {
    shared ??= share(page, name, /** @type {Parameters<typeof share<News>>[2]} */ ({
      begin() {
        isLeading = true;
        tune();
      },
      cease() {
        isLeading = false;
        close();
      },
      nudge([from, ...stages]) {
        wants.set(from, { stages, until: page.Date.now() + GONE_MS });
        tune();
        return { until: page.Date.now() + ASK_MS, counts: [...known.values()].filter(({ stage }) => !stages.length || stages.includes(stage)) };
      },
      hear,
      question: () => [me, ...wanted()],
    }));
  }

  function hide() {
    page.clearTimeout(timer);
    close();
    isLeading = false;
    shared?.end();
    shared = null;
  }

  // A page with an open connection doesn't get into the browser's cache.
  listen(page, ["pagehide"], hide, listening.signal);
  listen(page, ["pageshow"], show, listening.signal);
  // The connection may be gone without the browser's knowing.
  listen(page, ["online"], () => (close(), tune()), listening.signal);

  return {
    add(/** @type {Member} */ member) {
      members.add(member);
      show();
      tune();
      member.say(...status);
      for (const count of [...known.values()]) if (!member.stages.length || member.stages.includes(count.stage)) member.onCount(count);
    },

    remove(/** @type {Member} */ member) {
      members.delete(member);
      if (members.size) return tune();
      listening.abort();
      hide();
      onEmpty();
    },
  };
}
