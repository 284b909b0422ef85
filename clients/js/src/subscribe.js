/** Live counts, for who only looks on. */

import { address, backOffMs } from "./page.js";

/**
 * {@link import("../index.d.ts").subscribe} in a given page.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").Server} server
 * @param {string | string[]} stages
 * @param {(count: import("../index.d.ts").Count) => void} onCount
 * @returns {() => void}
 */
export function subscribeIn(page, { url, token }, stages, onCount) {
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
    mine.onerror = () => {
      // It connects again by itself, but not after an answer such as 503.
      if (mine.readyState !== mine.CLOSED) return;
      failures += 1;
      page.clearTimeout(timer);
      timer = page.setTimeout(open, backOffMs(page, failures));
    };
  }

  function close() {
    page.clearTimeout(timer);
    source?.close();
    source = null;
  }

  const listening = new page.AbortController();
  const { signal } = listening;
  // A page with an open connection doesn't get into the browser's cache.
  page.addEventListener("pagehide", close, { signal });
  page.addEventListener("pageshow", () => source ?? open(), { signal });
  // The connection may be gone without the browser's knowing.
  page.addEventListener("online", open, { signal });
  open();
  return () => {
    listening.abort();
    close();
  };
}
