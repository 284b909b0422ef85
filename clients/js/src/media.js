/** What plays: a media element, the IVS player, an IVS stage. */

import { listen } from "./page.js";

/** @typedef {import("./watch.js").Gate} Gate */

/**
 * A media element plays while its time goes on.
 *
 * @param {HTMLMediaElement | null} media
 */
export const mediaElement = (media) => (/** @type {Gate} */ { open, close, stall, signal }) => {
  // An element that isn't there must not be taken for a watch without one.
  if (!media) return close("no media");
  /** @type {number | undefined} */
  let at;
  const look = (/** @type {{ type?: string }} */ { type }, whyNot = "") => {
    const why = media.error ? "error" : media.ended ? "ended" : media.paused ? "paused" : "";
    if (why) return close(why);
    // Players that wait for data may nudge the time.
    if (type === "playing" || (media.readyState > 2 && media.currentTime !== at)) {
      at = media.currentTime;
      open();
      stall(() => look({}, "stalled"));
    } else if (whyNot) {
      close(whyNot);
    }
  };
  listen(media, ["playing", "timeupdate", "pause", "ended", "error"], look, signal);
  look({}, "waiting");
};

/**
 * The IVS player (low latency) says which state it is in.
 *
 * @param {import("../index.d.ts").IvsPlayer} player
 */
export const ivsPlayer = (player) => (/** @type {Gate} */ { open, close, stall, signal }) => {
  function look(/** @type {string} */ state) {
    if (state === "Playing") open();
    else if (state === "Buffering") stall(() => close("stalled"));
    else close(state);
  }
  for (const state of ["Playing", "Buffering", "Ready", "Idle", "Ended", "PlayerError"]) {
    const heard = () => look(state);
    player.addEventListener(state, heard);
    signal.addEventListener("abort", () => player.removeEventListener(state, heard));
  }
  look(player.getState());
};

/**
 * On an IVS stage (real time) there is something to watch while it is connected, and another participant's media are there.
 *
 * @param {import("../index.d.ts").IvsStage} stage
 */
export const ivsStage = (stage) => (/** @type {Gate} */ { open, close, signal }) => {
  let isConnected = false;
  /** Remote media, by participant and stream. @type {Set<string>} */
  const streams = new Set();
  const look = () => (isConnected ? (streams.size ? open() : close("no media")) : close("disconnected"));
  function on(/** @type {string} */ name, /** @type {(subject: any, streams: any[]) => void} */ change) {
    const heard = (/** @type {any} */ subject, /** @type {any} */ all) => {
      change(subject, all);
      look();
    };
    stage.on(`stage${name}`, heard);
    signal.addEventListener("abort", () => stage.off(`stage${name}`, heard));
  }
  // While a connection is made again, media may go on.
  on("ConnectionStateChanged", (state) => (isConnected = state === "connected" || (isConnected && state === "connecting")));
  on("ParticipantStreamsAdded", ({ id, isLocal }, all) => isLocal || all.forEach((each) => streams.add(`${id} ${each.id}`)));
  on("ParticipantStreamsRemoved", ({ id }, all) => all.forEach((each) => streams.delete(`${id} ${each.id}`)));
  on("ParticipantLeft", ({ id }) => streams.forEach((each) => each.startsWith(`${id} `) && streams.delete(each)));
  look();
};
