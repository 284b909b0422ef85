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
  "a stage's report": { path: "/#/report?stage=demo-0000", whole: "[data-figure=uniqueViewers]" },
  "the report of all stages": { path: "/#/report", whole: "[data-figure=uniqueViewers]" },
  "a comparison": { path: "/#/compare?a=demo-0000@..&b=demo-0001@..", whole: "tr[data-figure]" },
  "a comparison of nothing": { path: "/#/compare", whole: ".state" },
  "the wall display": { path: "/#/wall?stage=demo-0000", whole: ".wall-status:not(:empty)" },
  "the wall display of all stages": { path: "/#/wall", whole: ".wall-status:not(:empty)" },
  customers: { path: "/#/customers", whole: ".usage-table tbody tr" },
  "a customer": { path: "/#/customers?customer=Northern+League", whole: ".usage-table tbody tr" },
  "stages without a customer": { path: "/#/customers?customer=", whole: ".usage-table tbody tr" },
  "no customers": { path: "/#/customers", whole: ".state strong", isEmpty: true },
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
  await until("each customer has usage", async () => (await server.get("/v1/usage")).usage.length === 4);
  await until("a snapshot was taken", async () => (await server.get(`${stage}/snapshots`)).snapshots.length > 0);
}
