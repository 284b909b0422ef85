/** housecount's browser library: `watch` to be counted, `subscribe` to look on. See index.d.ts. */

import { ivsPlayer, ivsStage, mediaElement } from "./media.js";
import { subscribeIn } from "./subscribe.js";
import { watchIn } from "./watch.js";

/** @typedef {import("./page.js").Page} Page */

const page = /** @type {Page} */ (globalThis);

/** @type {typeof import("../index.d.ts").watch} */
export const watch = (options) => watchIn(page, options, options.media === undefined ? null : mediaElement(options.media));

/** @type {typeof import("../index.d.ts").watchPlayer} */
export const watchPlayer = (player, options) => watchIn(page, options, ivsPlayer(player));

/** @type {typeof import("../index.d.ts").watchStage} */
export const watchStage = (stage, options) => watchIn(page, options, ivsStage(stage));

/** @type {typeof import("../index.d.ts").subscribe} */
export const subscribe = (...how) => subscribeIn(page, ...how);
