/** Bindings of the playback gate: a media element, the IVS player, an IVS stage. */

import { listen } from "./page.js";

/** @typedef {import("./watch.js").PlaybackGate} PlaybackGate */

/**
 * Opens the gate while a media element's time advances.
 *
 * @param {HTMLMediaElement | null} media
 */
export const bindMediaElement = (media) => (/** @type {PlaybackGate} */ { open, close, stall, signal }) => {
  // A missing element differs from a watch without `media`.
  if (!media) return close("no media");
  /** @type {number | undefined} */
  let lastTime;
  const update = (/** @type {{ type?: string }} */ { type }, idleReason = "") => {
    const why = /** @type {const} */ (["error", "ended", "paused"]).find((state) => media[state]);
    if (why) return close(why);
    // A player that waits for data may move the time a little.
    if (type === "playing" || (media.readyState > 2 && media.currentTime !== lastTime)) {
      lastTime = media.currentTime;
      open();
      stall(() => update({}, "stalled"));
    } else if (idleReason) {
      close(idleReason);
    }
  };
  listen(media, "playing timeupdate pause ended error", update, signal);
  update({}, "waiting");
};

/**
 * Opens the gate while the IVS player (low latency) is in the state `Playing`.
 *
 * @param {import("../index.d.ts").IvsPlayer} player
 */
export const bindIvsPlayer = (player) => (/** @type {PlaybackGate} */ { open, close, stall, signal }) => {
  function update(/** @type {string} */ state) {
    if (state === "Playing") open();
    else if (state === "Buffering") stall(() => close("stalled"));
    else close(state);
  }
  for (const state of ["Playing", "Buffering", "Ready", "Idle", "Ended", "PlayerError"]) {
    const listener = () => update(state);
    player.addEventListener(state, listener);
    signal.addEventListener("abort", () => player.removeEventListener(state, listener));
  }
  update(player.getState());
};

/**
 * Opens the gate while an IVS stage (real time) is connected and has streams of another participant.
 *
 * @param {import("../index.d.ts").IvsStage} stage
 */
export const bindIvsStage = (stage) => (/** @type {PlaybackGate} */ { open, close, signal }) => {
  let isConnected = false;
  /** Remote streams, as participant and stream. @type {Set<string>} */
  const streams = new Set();
  const update = () => (isConnected ? (streams.size ? open() : close("no media")) : close("disconnected"));
  function on(/** @type {string} */ name, /** @type {(subject: any, streams: any[]) => void} */ change) {
    const listener = (/** @type {any} */ subject, /** @type {any} */ all) => {
      change(subject, all);
      update();
    };
    stage.on(`stage${name}`, listener);
    signal.addEventListener("abort", () => stage.off(`stage${name}`, listener));
  }
  // Media may continue while the stage reconnects.
  on("ConnectionStateChanged", (state) => (isConnected = state === "connected" || (isConnected && state === "connecting")));
  on("ParticipantStreamsAdded", ({ id, isLocal }, all) => isLocal || all.forEach((each) => streams.add(`${id} ${each.id}`)));
  on("ParticipantStreamsRemoved", ({ id }, all) => all.forEach((each) => streams.delete(`${id} ${each.id}`)));
  on("ParticipantLeft", ({ id }) => streams.forEach((each) => each.startsWith(`${id} `) && streams.delete(each)));
  update();
};
