/** Bindings of a watch to media: a media element, the IVS player, an IVS stage. */

import { listen } from "./page.js";

/**
 * Counts while a media element's time advances.
 *
 * @type {import("./watch.js").BindMedia<HTMLMediaElement | null | undefined>}
 */
export function bindMediaElement(media, setIdle, stall, signal) {
  // A missing element differs from a watch without `media`.
  if (!media) return setIdle("no media");
  /** @type {number | undefined} */
  let lastTime;
  const update = (/** @type {{ type?: string }} */ { type }, idleReason = "") => {
    const why = /** @type {const} */ (["error", "ended", "paused"]).find((state) => media[state]);
    if (why) return setIdle(why);
    // A player that waits for data may move the time a little.
    if (type === "playing" || (media.readyState > 2 && media.currentTime !== lastTime)) {
      lastTime = media.currentTime;
      setIdle("");
      stall(() => update({}, "stalled"));
    } else if (idleReason) {
      setIdle(idleReason);
    }
  };
  listen(media, "playing timeupdate pause ended error", update, signal);
  update({}, "waiting");
}

/**
 * Counts while the IVS player (low latency) is in the state `Playing`.
 *
 * @type {import("./watch.js").BindMedia<import("../index.d.ts").IvsPlayer>}
 */
export function bindIvsPlayer(player, setIdle, stall, signal) {
  function update(/** @type {string} */ state) {
    if (state === "Buffering") stall(() => setIdle("stalled"));
    else setIdle(state === "Playing" ? "" : state);
  }
  for (const state of ["Playing", "Buffering", "Ready", "Idle", "Ended", "PlayerError"]) {
    const listener = () => update(state);
    player.addEventListener(state, listener);
    signal.addEventListener("abort", () => player.removeEventListener(state, listener));
  }
  update(player.getState());
}

/**
 * Counts while an IVS stage (real time) is connected and has streams of another participant.
 *
 * @type {import("./watch.js").BindMedia<import("../index.d.ts").IvsStage>}
 */
export function bindIvsStage(stage, setIdle, _, signal) {
  let isConnected = false;
  /** Remote streams, as participant and stream. @type {Set<string>} */
  const streams = new Set();
  const update = () => setIdle(isConnected ? (streams.size ? "" : "no media") : "disconnected");
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
}
