/**
 * One page beats for all pages of a browser that show the same stage to the same viewer.
 *
 * A Web Lock says which: the browser gives it to one page, and to the next one when that page goes, however it goes. The page that
 * has it tells the others what it hears over a BroadcastChannel. Where a browser lacks either, each page beats for itself: the
 * viewer is still one, with more sessions.
 */

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ nextMs?: number, count?: Count }} News what the beating page tells the others; `{}`: it lives */

/** A page that lives answers at once, also if it is hidden. One that doesn't is frozen, and the browser keeps its lock for it. */
const ANSWER_MS_MAX = 5_000;

/**
 * @param {import("./page.js").Page} page
 * @param {string | null} name of what is shared: the same for all pages that share it; `null`: nothing is
 * @param {object} calls
 * @param {() => void} calls.begin this page is to beat. It may be called again after `cease`
 * @param {() => void} calls.cease another page beats
 * @param {(count: Count) => void} calls.hear what another page was told
 */
export function share(page, name, { begin, cease, hear }) {
  const { locks } = page.navigator;
  let isBeating = false;
  let hasEnded = false;
  /** @type {BroadcastChannel | null} */
  let channel = null;
  /** What the others are told if they ask. @type {News} */
  let latest = {};
  /** @type {number | undefined} */
  let timer;
  /** Gives the lock back. @type {() => void} */
  let release = () => {};
  /** Stops waiting for the lock. @type {AbortController | undefined} */
  let waiting;

  function start() {
    isBeating = true;
    page.clearTimeout(timer);
    // The others know that somebody beats before there is anything to tell.
    latest = {};
    channel?.postMessage(latest);
    begin();
  }

  /** @param {boolean} isForced whether whoever has it loses it */
  function request(isForced) {
    waiting?.abort();
    const mine = (waiting = new page.AbortController());
    locks
      .request(/** @type {string} */ (name), isForced ? { steal: true } : { signal: mine.signal }, () => {
        if (hasEnded || mine.signal.aborted) return;
        start();
        return new Promise((/** @type {(value: void) => void} */ done) => (release = done));
      })
      .catch(() => {
        if (hasEnded || mine.signal.aborted) return;
        // No locks for this page, as in a sandboxed frame.
        if (!isBeating) return start();
        isBeating = false;
        cease();
        queue();
      });
  }

  function queue() {
    request(false);
    ask();
  }

  /** Whether somebody beats. */
  function ask() {
    page.clearTimeout(timer);
    channel?.postMessage(null);
    timer = page.setTimeout(() => request(true), ANSWER_MS_MAX);
  }

  function onMessage(/** @type {{ data: News | null }} */ { data }) {
    if (isBeating) {
      if (!data) channel?.postMessage(latest);
      return;
    }
    if (!data) return;
    page.clearTimeout(timer);
    timer = page.setTimeout(ask, 2 * (data.nextMs ?? ANSWER_MS_MAX));
    if (data.count) hear(data.count);
  }

  try {
    if (name && locks) channel = new page.BroadcastChannel(name);
  } catch {
    // It is missing, or a page that may store nothing may not talk either.
  }
  if (channel) {
    channel.onmessage = onMessage;
    queue();
  } else {
    start();
  }

  return {
    /** Tells the other pages. */
    tell(/** @type {News} */ news) {
      latest = news;
      channel?.postMessage(latest);
    },

    /** The page can be sure of its timers again. The page that beats may be frozen meanwhile. */
    wake() {
      if (!isBeating) ask();
    },

    /** This page takes no part any more. */
    end() {
      hasEnded = true;
      page.clearTimeout(timer);
      waiting?.abort();
      channel?.close();
      release();
    },
  };
}
