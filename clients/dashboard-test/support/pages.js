/** Each page, with the selector of an element that a loaded page has. */

import { until } from "./server.js";

/** Rows of the selected tab. */
const ROWS = ".tabs [role=tabpanel]:not([hidden]) tbody:not([aria-hidden]) tr";

/** @type {Record<string, {path: string, whole: string, isEmpty?: boolean}>} `isEmpty`: of a server without an audience */
export const PAGES = {
  overview: { path: "/#/", whole: ".stages tbody:not([aria-hidden]) tr" },
  "the first run": { path: "/#/", whole: ".first-run", isEmpty: true },
  "a stage's watch time": { path: "/#/stage/demo-0000", whole: ROWS },
  "a stage's viewers": { path: "/#/stage/demo-0000?tab=online", whole: ROWS },
  "a stage's snapshots": { path: "/#/stage/demo-0000?tab=snapshots", whole: ROWS },
  "a stage's configuration": { path: "/#/stage/demo-0000?tab=configuration", whole: ".form" },
  health: { path: "/#/health", whole: ".facts" },
  cost: { path: "/#/cost", whole: ".ours" },
  "no page": { path: "/#/nowhere", whole: "h1" },
  "the API": { path: "/docs/", whole: ".entry" },
  "an operation of the API": { path: "/docs/#sendHeartbeat", whole: "#sendHeartbeat .try" },
  "a schema of the API": { path: "/docs/#schema-CostResponse", whole: "#schema-CostResponse .property" },
};

/**
 * Resolves when a server with `--demo` has watch time and a snapshot of its first stage.
 * @param {import("./server.js").Server} server
 */
export async function isWatched(server) {
  const stage = "/v1/stages/demo-0000";
  await until("the demo has been watched", async () => (await server.get(`${stage}/watch`)).watch.length > 0);
  await until("a snapshot was taken", async () => (await server.get(`${stage}/snapshots`)).snapshots.length > 0);
}
