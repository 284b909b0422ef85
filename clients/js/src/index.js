/** housecount's browser library: `watch` counts a viewer, `subscribe` shows live counts. See index.d.ts. */

import { bindIvsPlayer, bindIvsStage, bindMediaElement } from "./media.js";
import { startWatch } from "./watch.js";

export { subscribe } from "./subscribe.js";

/** @type {typeof import("../index.d.ts").watch} */
export const watch = (options) => startWatch(options, options.media !== undefined && bindMediaElement, options.media);

/** @type {typeof import("../index.d.ts").watchPlayer} */
export const watchPlayer = (player, options) => startWatch(options, bindIvsPlayer, player);

/** @type {typeof import("../index.d.ts").watchStage} */
export const watchStage = (stage, options) => startWatch(options, bindIvsStage, stage);
