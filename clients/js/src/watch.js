/** A viewer's watch of a stage, from `watch` to `leave`, across the events of a page: hidden, cached, offline. */

import { joinElection } from "./leader.js";
import { startBeats } from "./beats.js";
import { createTimer, listen, routeUrl, statusReporter } from "./page.js";
import { tokenSource } from "./token.js";

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {{ count?: Count, why?: string }} BeatUpdate outcome of a heartbeat: its count, or why it failed */
/**
 * Reports whether media play: the viewer is counted meanwhile.
 *
 * @template Media
 * @callback BindMedia
 * @param {Media} media
 * @param {(why: string) => void} setIdle why the media don't play; `""`: they play
 * @param {(callback: () => void) => void} stall calls back after `stallMs`, unless `setIdle` is called before
 * @param {AbortSignal} signal the watch has ended
 * @returns {void}
 */

/** Default of `stallMs`: how long media may wait for data before the viewer leaves. */
const STALL_MS = 10_000;

/**
 * Implements {@link import("../index.d.ts").watch}.
 *
 * @template Media
 * @param {Omit<import("../index.d.ts").WatchOptions, "media">} options
 * @param {BindMedia<Media> | false} bindMedia without it the viewer watches until `leave`
 * @param {Media} media
 * @returns {import("../index.d.ts").Watch}
 */
export function startWatch(options, bindMedia, media) {
  const { url, stage, viewer, session, onCount, onError } = options;
  const areStrings = [stage, viewer, session ?? viewer].every((id) => id && id.trim);
  if (!areStrings) throw new TypeError("housecount: stage, viewer, session must be strings");
  const name = `housecount ${JSON.stringify([routeUrl(url, "/"), stage, viewer])}`;
  const tokens = tokenSource(options.token);
  const setStatus = statusReporter([stage], options);
  const setStallTimer = createTimer();
  const controller = new AbortController();
  const { signal } = controller;

  /** @type {ReturnType<typeof startBeats> | null} */
  let beats = null;
  /** @type {import("./leader.js").Election<BeatUpdate> | null} */
  let election = null;
  let isPlaying = !bindMedia;

  function onUpdate(/** @type {BeatUpdate} */ { count, why }) {
    if (why) setStatus("retrying", why);
    if (!count) return;
    setStatus("counted");
    onCount?.(count);
  }

  const wake = () => beats?.wake();

  function start() {
    if (election || !isPlaying) return;
    setStatus("connecting");
    election = joinElection(
      !session && name,
      (sharedName) => {
        beats = startBeats(
          options,
          tokens,
          (nextMs, update) => {
            election?.send(nextMs, update);
            if (update) onUpdate(update);
          },
          (error) => {
            beats = null;
            end("refused", error.message);
            onError?.(/** @type {import("../index.d.ts").HousecountError} */ (error));
          },
          sharedName,
        );
      },
      endBeats,
      onUpdate,
      wake,
    );
  }

  function setIdle(/** @type {string} */ why) {
    setStallTimer();
    isPlaying = !why;
    if (why) {
      stop();
      setStatus("stopped", why);
    } else {
      start();
    }
  }

  /** @param {boolean} [isPageHidden] */
  function endBeats(isPageHidden) {
    beats?.end(isPageHidden);
    beats = null;
  }

  /** @param {boolean} [isPageHidden] */
  function stop(isPageHidden) {
    endBeats(isPageHidden);
    election?.close();
    election = null;
  }

  /**
   * @param {import("../index.d.ts").Status} status
   * @param {string} why
   */
  function end(status, why) {
    if (signal.aborted) return;
    setStallTimer();
    controller.abort();
    stop();
    setStatus(status, why);
  }

  // A page that unloads may be restored from the back/forward cache, or not. So it leaves. A restored or reloaded page is counted again
  // within the server's grace of 3 s.
  listen(globalThis, "pagehide", () => stop(true), signal);
  // Firefox may cancel the running script of a page that closes. The next listener runs nevertheless, and completes the first one.
  listen(globalThis, "pagehide", () => stop(true), signal);
  listen(globalThis, "pageshow", start, signal);
  listen(globalThis, "online", () => beats?.reconnect(), signal);
  listen(globalThis.document, "visibilitychange", wake, signal);
  if (!bindMedia) start();
  else bindMedia(media, setIdle, (callback) => setStallTimer(options.stallMs ?? STALL_MS, callback), signal);
  const leave = () => end("stopped", "left");
  return { leave, stop: leave };
}
