/** A viewer's watching of a stage, from `watch` to `leave`, over all that happens to a page meanwhile. */

import { beats } from "./beats.js";
import { address, listen } from "./page.js";
import { share } from "./share.js";
import { tokens } from "./token.js";

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ count?: Count, why?: string }} News of a heartbeat: what was answered, or why nothing was */
/**
 * What decides when there is something to watch.
 *
 * @typedef {object} Gate
 * @property {() => void} open it plays
 * @property {(why: string) => void} close it doesn't
 * @property {(then: () => void) => void} stall `then` is called after the time that a stall may take, unless it opens or closes before
 * @property {AbortSignal} signal nothing more is asked
 */

/** Time that media may wait for data before the viewer counts as gone. */
const STALL_MS = 10_000;

/**
 * {@link import("../index.d.ts").watch} in a given page.
 *
 * @param {import("./page.js").Page} page
 * @param {Omit<import("../index.d.ts").WatchOptions, "media">} options
 * @param {((gate: Gate) => void) | null} [bind] to what plays; without it the viewer watches until `leave`
 * @returns {import("../index.d.ts").Watch}
 */
export function watchIn(page, options, bind) {
  const { url, stage, viewer, session, onCount, onError, onStatus, debug } = options;
  for (const id of [stage, viewer, session ?? viewer]) {
    if (!id || typeof id !== "string") throw new TypeError("housecount: stage, viewer and session must be texts");
  }
  const name = `housecount ${JSON.stringify([address(page, url, ""), stage, viewer])}`;
  const token = tokens(page, options.token);
  const listening = new page.AbortController();
  const { signal } = listening;

  /** @type {ReturnType<typeof beats> | null} */
  let beating = null;
  /** @type {import("./share.js").Shared<News> | null} */
  let shared = null;
  let isOpen = !bind;
  let status = "";
  /** @type {number | undefined} */
  let stalling;

  function say(/** @type {import("../index.d.ts").Status} */ next, why = "") {
    if (status === next + why) return;
    status = next + why;
    if (debug) page.console.log("housecount", stage, next, why);
    onStatus?.(next, why);
  }

  function hear(/** @type {News} */ { count, why }) {
    if (why) say("retrying", why);
    if (!count) return;
    say("counted");
    onCount?.(count);
  }

  const wake = () => beating?.wake();

  function show() {
    if (shared || !isOpen) return;
    say("connecting");
    shared = share(page, session ? null : name, {
      begin() {
        beating = beats(page, options, token, {
          onBeat(nextMs, news) {
            shared?.tell(nextMs, news);
            hear(news);
          },
          onRefused(error) {
            beating = null;
            end();
            say("refused", error.message);
            onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
          },
        });
      },
      cease: () => stop(false),
      nudge: wake,
      hear,
    });
  }

  function stop(/** @type {boolean} */ isPageGoing) {
    beating?.end(isPageGoing);
    beating = null;
  }

  function hide(isPageGoing = false) {
    stop(isPageGoing);
    shared?.end();
    shared = null;
  }

  function end() {
    page.clearTimeout(stalling);
    listening.abort();
    hide();
  }

  function leave() {
    if (signal.aborted) return;
    end();
    say("stopped", "left");
  }

  // A page that goes may come back from the browser's cache, or never: so it leaves, and whoever comes back is counted again within
  // the server's 3 s of grace, or as soon as it does.
  listen(page, ["pagehide"], () => hide(true), signal);
  listen(page, ["pageshow"], show, signal);
  listen(page, ["online"], () => beating?.reconnect(), signal);
  listen(page.document, ["visibilitychange"], wake, signal);
  bind?.({
    open() {
      page.clearTimeout(stalling);
      isOpen = true;
      show();
    },
    close(why) {
      page.clearTimeout(stalling);
      isOpen = false;
      hide();
      say("stopped", why);
    },
    stall(then) {
      page.clearTimeout(stalling);
      stalling = page.setTimeout(then, options.stallMs ?? STALL_MS);
    },
    signal,
  });
  show();
  return { leave, stop: leave };
}
