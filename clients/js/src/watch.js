/** A viewer's watch of a stage, from `watch` to `leave`, across the events of a page: hidden, cached, offline. */

import { startBeats } from "./beats.js";
import { joinElection } from "./leader.js";
import { createTimer, listen, routeUrl, statusReporter } from "./page.js";
import { tokenSource } from "./token.js";

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ count?: Count, why?: string }} BeatUpdate outcome of a heartbeat: its count, or why it failed */
/**
 * Gate between the media and the heartbeats: the viewer is counted while it is open.
 *
 * @typedef {object} PlaybackGate
 * @property {() => void} open the media play
 * @property {(why: string) => void} close the media don't play
 * @property {(callback: () => void) => void} stall calls back after `stallMs`, unless the gate opens or closes before
 * @property {AbortSignal} signal the watch has ended
 */

/** Default of `stallMs`: how long media may wait for data before the viewer leaves. */
const STALL_MS = 10_000;

/**
 * Implements {@link import("../index.d.ts").watch} on a given page.
 *
 * @param {import("./page.js").Page} page
 * @param {Omit<import("../index.d.ts").WatchOptions, "media">} options
 * @param {((gate: PlaybackGate) => void) | null} [bindMedia] binds the gate to media; without it the viewer watches until `leave`
 * @returns {import("../index.d.ts").Watch}
 */
export function watchOnPage(page, options, bindMedia) {
  const { url, stage, viewer, session, onCount, onError } = options;
  for (const id of [stage, viewer, session ?? viewer]) {
    if (!id || typeof id !== "string") throw new TypeError("housecount: stage, viewer and session must be strings");
  }
  const name = `housecount ${JSON.stringify([routeUrl(page, url, ""), stage, viewer])}`;
  const tokens = tokenSource(page, options.token);
  const setStatus = statusReporter(page, [stage], options);
  const setStallTimer = createTimer(page);
  const controller = new page.AbortController();
  const { signal } = controller;

  /** @type {ReturnType<typeof startBeats> | null} */
  let beats = null;
  /** @type {import("./leader.js").Election<BeatUpdate> | null} */
  let election = null;
  let isOpen = !bindMedia;

  function onBeatUpdate(/** @type {BeatUpdate} */ { count, why }) {
    if (why) setStatus("retrying", why);
    if (!count) return;
    setStatus("counted");
    onCount?.(count);
  }

  const wake = () => beats?.wake();

  function start() {
    if (election || !isOpen) return;
    setStatus("connecting");
    election = joinElection(page, session ? null : name, {
      onElected() {
        beats = startBeats(page, options, tokens, {
          onUpdate(nextMs, update) {
            election?.broadcast(nextMs, update);
            if (update) onBeatUpdate(update);
          },
          onRejected(error) {
            beats = null;
            end();
            setStatus("refused", error.message);
            onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
          },
        });
      },
      onReplaced: endBeats,
      onQuery: wake,
      onMessage: onBeatUpdate,
    });
  }

  function endBeats(isPageHidden = false) {
    beats?.end(isPageHidden);
    beats = null;
  }

  function stop(isPageHidden = false) {
    endBeats(isPageHidden);
    election?.resign();
    election = null;
  }

  function end() {
    setStallTimer();
    controller.abort();
    stop();
  }

  function leave() {
    if (signal.aborted) return;
    end();
    setStatus("stopped", "left");
  }

  // A page that unloads may be restored from the back/forward cache, or not. So it leaves. A restored or reloaded page is counted again
  // within the server's grace of 3 s.
  listen(page, "pagehide", () => stop(true), signal);
  listen(page, "pageshow", start, signal);
  listen(page, "online", () => beats?.reconnect(), signal);
  listen(page.document, "visibilitychange", wake, signal);
  bindMedia?.({
    open() {
      setStallTimer();
      isOpen = true;
      start();
    },
    close(why) {
      setStallTimer();
      isOpen = false;
      stop();
      setStatus("stopped", why);
    },
    stall(callback) {
      setStallTimer(options.stallMs ?? STALL_MS, callback);
    },
    signal,
  });
  start();
  return { leave, stop: leave };
}
