/** Helpers: pages with a watch, in a simulated world. */

import { load } from "./load.js";
import { Browser, World, settle } from "./world.js";

export const URL = "https://count.example";
export const STAGE = "match-1";
export const VIEWER = "ann";

/** Starts a watch on a page; `recorded` has the arguments of its callbacks. */
export function watching(page, options = {}) {
  const recorded = { counts: [], errors: [] };
  const statuses = [];
  const handle = load(page).watch({
    url: URL,
    stage: STAGE,
    viewer: VIEWER,
    transport: "http",
    onCount: (count) => recorded.counts.push(count),
    onError: (error) => recorded.errors.push(error),
    onStatus: (...status) => statuses.push(status),
    ...options,
  });
  return { page, recorded, statuses, leave: handle.leave, stop: handle.stop };
}

/** Creates a world with one page that watches. */
export async function alone(options = {}, set = () => {}) {
  const world = new World();
  set(world);
  const browser = new Browser(world);
  const one = watching(browser.open(), options);
  await settle();
  return { world, browser, server: world.server, ...one };
}

/** Times between heartbeats, in ms. */
export function waits(server) {
  const times = server.beats().map(({ at }) => at);
  return times.slice(1).map((at, n) => at - times[n]);
}
