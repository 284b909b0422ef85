/** housecount's browser library: `watch` to be counted, `subscribe` to look on. See index.d.ts. */

import { subscribeIn } from "./subscribe.js";
import { watchIn } from "./watch.js";

/** @typedef {import("./page.js").Page} Page */

/** @type {typeof import("../index.d.ts").watch} */
export const watch = (options) => watchIn(/** @type {Page} */ (globalThis), options);

/** @type {typeof import("../index.d.ts").subscribe} */
export const subscribe = (...how) => subscribeIn(/** @type {Page} */ (globalThis), ...how);
