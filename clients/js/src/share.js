/**
 * One page beats for all pages of a browser that show the same stage to the same viewer.
 *
 * A Web Lock says which: the browser gives it to one page, and to the next one when that page goes, however it goes. The page that
 * has it tells the others what it hears over a BroadcastChannel. Where a browser lacks either, each page beats for itself: the
 * viewer is still one, with more sessions.
 */

/**
 * What the beating page tells the others. `until`: they ask again then. Without it the answer to an earlier question holds.
 *
 * @template News
 * @typedef {News & { until?: number }} Told
 */
/**
 * @template News
 * @typedef {object} Shared
 * @property {(nextMs: number, news?: News) => void} tell tells the other pages what was heard, and when this one beats next
 * @property {(news: News) => void} post tells them something beside it
 * @property {() => void} ask asks the page that beats, if that is another one
 * @property {() => void} end this page takes no part any more
 */

/** A page that lives answers at once, also if it is hidden. */
const ANSWER_MS_MAX = 5_000;
/** A heartbeat may be tried for this long until there is news of it. */
const TRY_MS_MAX = 15_000;

/**
 * @template News
 * @param {import("./page.js").Page} page
 * @param {string | null} name of what is shared: the same for all pages that share it; `null`: nothing is
 * @param {object} calls
 * @param {() => void} calls.begin this page is to beat. It may be called again after `cease`
 * @param {() => void} calls.cease another page beats
 * @param {(question: any) => News | void} calls.nudge another page asks; what it is told, unless it is the last news once more
 * @param {(news: News) => void} calls.hear what another page was told
 * @param {() => unknown} [calls.question] what the page that beats is asked
 * @returns {Shared<News>}
 */
export function share(page, name, { begin, cease, nudge, hear, question }) {
  const locks = page.navigator?.locks;
  let isBeating = false;
  let hasEnded = false;
  /** @type {BroadcastChannel | null} */
  let channel = null;
  /** @type {Told<News> | undefined} */
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

  function tell(/** @type {number} */ nextMs, /** @type {News | undefined} */ news = undefined) {
    // Twice as long: a hidden page's timers go off once a minute.
    latest = /** @type {Told<News>} */ ({ until: page.Date.now() + 2 * nextMs + TRY_MS_MAX, ...news });
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
    channel?.postMessage({ question: question?.() ?? 0 });
    timer = page.setTimeout(() => request(true), ANSWER_MS_MAX);
  }

  function onMessage(/** @type {{ data: Told<News> & { question?: unknown } }} */ { data }) {
    const isQuestion = "question" in data;
    if (isBeating) {
      if (isQuestion) channel?.postMessage(nudge(data.question) ?? latest);
      return;
    }
    if (isQuestion) return;
    if (data.until) {
      const ms = data.until - page.Date.now();
      if (ms <= 0) return;
      page.clearTimeout(timer);
      timer = page.setTimeout(ask, ms);
    }
    hear(data);
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
    tell,
    post: (news) => channel?.postMessage(news),
    ask: () => isBeating || ask(),
    end() {
      hasEnded = true;
      page.clearTimeout(timer);
      waiting?.abort();
      channel?.close();
      release();
    },
  };
}
