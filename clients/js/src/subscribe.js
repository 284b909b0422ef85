/** Live counts, for who only looks on. */

import { address, backOffMs } from "./page.js";
import { refusal } from "./transport.js";

/**
 * {@link import("../index.d.ts").subscribe} in a given page.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").Server} server
 * @param {string | string[]} stages
 * @param {(count: import("../index.d.ts").Count) => void} onCount
 * @param {(error: import("../index.d.ts").HousecountError) => void} [onEnd]
 * @returns {() => void}
 */
export function subscribeIn(page, { url, token }, stages, onCount, onEnd) {
  const live = address(page, url, "/v1/live", { stage: stages, token });
  /** @type {EventSource | null} */
  let source = null;
  let failures = 0;
  /** @type {number | undefined} */
  let timer;

  function open() {
    close();
    const mine = (source = new page.EventSource(live));
    mine.addEventListener("count", ({ data }) => {
      failures = 0;
      onCount(JSON.parse(data));
    });
    // The token is no longer good: the browser would come back with it again and again.
    mine.addEventListener("end", ({ data }) => {
      end();
      onEnd?.(/** @type {import("../index.d.ts").HousecountError} */ (refusal(JSON.parse(data), {})));
    });
    mine.onerror = () => {
      // It connects again by itself, but not after an answer such as 503: then it is closed (2).
      if (mine.readyState < 2) return;
      failures += 1;
      timer = page.setTimeout(open, backOffMs(page, failures));
    };
  }

  function close() {
    page.clearTimeout(timer);
    source?.close();
    source = null;
  }

  function end() {
    listening.abort();
    close();
  }

  const listening = new page.AbortController();
  const whileListening = { signal: listening.signal };
  // A page with an open connection doesn't get into the browser's cache.
  page.addEventListener("pagehide", close, whileListening);
  page.addEventListener("pageshow", () => source ?? open(), whileListening);
  // The connection may be gone without the browser's knowing.
  page.addEventListener("online", open, whileListening);
  open();
  return end;
}
