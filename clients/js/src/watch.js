/** A viewer's watching of a stage, from `watch` to `leave`, over all that happens to a page meanwhile. */

import { beats } from "./beats.js";
import { address } from "./page.js";
import { share } from "./share.js";

/**
 * {@link import("../index.d.ts").watch} in a given page.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").WatchOptions} options
 * @returns {import("../index.d.ts").Watch}
 */
export function watchIn(page, options) {
  const { url, stage, viewer, session, onCount, onError } = options;
  for (const id of [stage, viewer, session ?? viewer]) {
    if (!id || typeof id !== "string") throw new TypeError("housecount: stage, viewer and session must be texts");
  }
  const name = `housecount ${JSON.stringify([address(page, url, ""), stage, viewer])}`;
  const tellCount = (/** @type {import("../index.d.ts").Count} */ count) => onCount?.(count);

  /** @type {ReturnType<typeof beats> | null} */
  let beating = null;
  /** @type {ReturnType<typeof share> | null} */
  let shared = null;

  const wake = () => beating?.wake();

  function show() {
    shared ??= share(page, session ? null : name, {
      begin() {
        beating = beats(page, options, {
          onBeat(nextMs, count) {
            shared?.tell(nextMs, count);
            if (count) tellCount(count);
          },
          onRefused(error) {
            beating = null;
            leave();
            onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
          },
        });
      },
      cease: () => stop(false),
      nudge: wake,
      hear: tellCount,
    });
  }

  function stop(/** @type {boolean} */ isPageGoing) {
    beating?.end(isPageGoing);
    beating = null;
  }

  function hide(/** @type {boolean} */ isPageGoing) {
    stop(isPageGoing);
    shared?.end();
    shared = null;
  }

  function leave() {
    listening.abort();
    hide(false);
  }

  const listening = new page.AbortController();
  const whileListening = { signal: listening.signal };
  // A page that goes may come back from the browser's cache, or never: so it leaves, and whoever comes back is counted again within
  // the server's 3 s of grace, or as soon as it does.
  page.addEventListener("pagehide", () => hide(true), whileListening);
  page.addEventListener("pageshow", show, whileListening);
  page.addEventListener("online", () => beating?.reconnect(), whileListening);
  page.document.addEventListener("visibilitychange", wake, whileListening);
  show();
  return { leave, stop: leave };
}
