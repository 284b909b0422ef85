/** housecount's browser library: `watch` counts a viewer, `subscribe` shows live counts. See index.d.ts. */

import { bindIvsPlayer, bindIvsStage, bindMediaElement } from "./media.js";
import { subscribeOnPage } from "./subscribe.js";
import { watchOnPage } from "./watch.js";

/** @typedef {import("./page.js").Page} Page */

const page = /** @type {Page} */ (globalThis);

/** @type {typeof import("../index.d.ts").watch} */
export const watch = (options) => watchOnPage(page, options, options.media === undefined ? null : bindMediaElement(options.media));

/** @type {typeof import("../index.d.ts").watchPlayer} */
export const watchPlayer = (player, options) => watchOnPage(page, options, bindIvsPlayer(player));

/** @type {typeof import("../index.d.ts").watchStage} */
export const watchStage = (stage, options) => watchOnPage(page, options, bindIvsStage(stage));

/** @type {typeof import("../index.d.ts").subscribe} */
export const subscribe = (...options) => subscribeOnPage(page, ...options);
