/**
 * One page beats for all pages of a browser that show the same stage to the same viewer.
 *
 * A Web Lock says which: the browser gives it to one page, and to the next one when that page goes, however it goes. The page that
 * has it tells the others what it hears over a BroadcastChannel. Where a browser lacks either, each page beats for itself: the
 * viewer is still one, with more sessions.
 */

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ until: number, count?: Count }} News what the beating page tells the others, and when they are to hear of it again */

/** A page that lives answers at once, also if it is hidden. */
const ANSWER_MS_MAX = 5_000;
/** A heartbeat may be tried for this long until there is news of it. */
const TRY_MS_MAX = 15_000;

/**
 * @param {import("./page.js").Page} page
 * @param {string | null} name of what is shared: the same for all pages that share it; `null`: nothing is
 * @param {object} calls
 * @param {() => void} calls.begin this page is to beat. It may be called again after `cease`
 * @param {() => void} calls.cease another page beats
 * @param {() => void} calls.nudge somebody waits for news: a heartbeat that is due goes now
 * @param {(count: Count) => void} calls.hear what another page was told
 */
export function share(page, name, { begin, cease, nudge, hear }) {
  const { locks } = page.navigator;
  let isBeating = false;
  let hasEnded = false;
  /** @type {BroadcastChannel | null} */
  let channel = null;
  /** @type {News} */
  let latest;
  /** @type {number | undefined} */
  let timer;
  /** Gives the lock back. @type {() => void} */
  let release = () => {};
  /** Stops waiting for the lock. @type {AbortController | undefined} */
  let waiting;

  function start() {
    isBeating = true;
    page.clearTimeout(timer);
    tell(0);
    begin();
  }

  function tell(/** @type {number} */ nextMs, /** @type {Count | undefined} */ count = undefined) {
    // Twice as long: a hidden page's timers go off once a minute.
    latest = { until: page.Date.now() + 2 * nextMs + TRY_MS_MAX, count };
    channel?.postMessage(latest);
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

  /**
   * Asks whether somebody beats, and if nobody says so beats itself. The browser keeps the lock for a page that it has frozen, and
   * some frozen pages still answer: so an answer counts only if the news in it is fresh.
   */
  function ask() {
    page.clearTimeout(timer);
    channel?.postMessage(null);
    timer = page.setTimeout(() => request(true), ANSWER_MS_MAX);
  }

  function onMessage(/** @type {{ data: News | null }} */ { data }) {
    if (isBeating) {
      if (data) return;
      nudge();
      return channel?.postMessage(latest);
    }
    const ms = data ? data.until - page.Date.now() : 0;
    if (!data || ms <= 0) return;
    page.clearTimeout(timer);
    timer = page.setTimeout(ask, ms);
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
    /** Tells the other pages what was heard, and when this one beats next. */
    tell,

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
