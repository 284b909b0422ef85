/** Every call against a real node. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "housecount-node";

import { URL_OPEN, all, makeNode, newStage, refused, until } from "./support/nodes.mjs";

const client = new Client(URL_OPEN);

test("a heartbeat and a leave", async () => {
  const stage = newStage();
  const one = await client.sendHeartbeat({ stage, viewer: "ann", session: "tab 1" });
  const { viewers, sessions, complete, recovering, coalesced, nextMs } = one;
  assert.deepEqual({ viewers, sessions, complete, recovering, coalesced }, { viewers: 1, sessions: 1, complete: true, recovering: false, coalesced: undefined });
  assert.ok(nextMs > 0 && nextMs < 4_000);
  assert.equal((await client.sendHeartbeat({ stage, viewer: "zoë" })).viewers, 2);
  const { online, stages } = await client.showViewer("zoë");
  assert.deepEqual([online, stages.filter((each) => each.stage === stage).map(({ sessions }) => sessions)], [true, [[""]]]);
  assert.equal(await client.sendLeave({ stage, viewer: "ann", session: "tab 1" }), undefined);
  // zoë's ttl is 4 s: she must be there still when ann has gone.
  await client.sendHeartbeat({ stage, viewer: "zoë" });
  await until(async () => (await client.showStage(stage)).viewers === 1);
});

test("batches of more than a call takes", async () => {
  const stage = newStage();
  async function* beats() {
    for (let index = 0; index < 20_003; index += 1) {
      if (index === 3) yield { stage: "a stage with spaces", viewer: "ann" };
      else yield { stage, viewer: index === 10_007 ? "" : `viewer-${index}` };
    }
  }
  const { accepted, rejected, coalesced } = await client.sendHeartbeats(beats());
  assert.deepEqual([accepted, coalesced], [20_001, undefined]);
  assert.deepEqual(rejected.map(({ index, code }) => [index, code]), [[3, "invalid_stage"], [10_007, "invalid_viewer"]]);
  assert.equal((await client.showStage(stage)).viewers, 20_001);
});

test("batches of more bytes than a call takes", async () => {
  const stage = newStage();
  const beats = Array.from({ length: 9_000 }, (_, index) => ({ stage, viewer: `${index}${"ü".repeat(60)}`, session: "s".repeat(128) }));
  assert.equal((await client.sendHeartbeats(beats)).accepted, 9_000);
  assert.equal((await client.showStage(stage)).viewers, 9_000);
});

test("a batch that is refused whole names each", async () => {
  const { accepted, rejected } = await client.sendHeartbeats([{ stage: newStage(), viewer: "a\nb" }, { stage: "ü", viewer: "ann" }]);
  assert.equal(accepted, 0);
  assert.deepEqual(rejected.map(({ index, code }) => [index, code]), [[0, "invalid_viewer"], [1, "invalid_stage"]]);
  assert.equal((await client.sendHeartbeats([])).accepted, 0);
});

test("coalesced heartbeats are reported", async () => {
  const { accepted, coalesced } = await client.sendHeartbeats(Array(30).fill({ stage: newStage(), viewer: "ann", session: "tab" }));
  assert.equal(accepted, 30);
  assert.ok(coalesced > 0 && coalesced < 30);
});

test("lists are read page by page", async () => {
  const stage = newStage();
  const viewers = Array.from({ length: 7 }, (_, index) => `viewer-${index}`);
  await client.sendHeartbeats(viewers.map((viewer) => ({ stage, viewer })));
  await client.sendHeartbeats(viewers.slice(0, 5).map((viewer, index) => ({ stage: `${stage}-${index}`, viewer })));
  const stages = (await all(client.listStages({ limit: 2 }))).map(({ stage }) => stage).filter((each) => each.startsWith(`${stage}-`));
  assert.deepEqual(stages, [0, 1, 2, 3, 4].map((index) => `${stage}-${index}`));
  const pages = await all(client.listStageViewers(stage, { limit: 3 }).pages());
  assert.ok(pages.length >= 3 && pages.every(({ complete }) => complete));
  assert.deepEqual((await all(client.listStageViewers(stage, { limit: 3 }))).map(({ viewer }) => viewer).sort(), viewers);
});

test("watch time", async () => {
  const stage = newStage();
  const from = new Date();
  await client.sendHeartbeat({ stage, viewer: "ann" });
  await sleep(1_100); // The time that is watched.
  await client.sendHeartbeat({ stage, viewer: "ann" });
  await client.sendHeartbeat({ stage, viewer: "bob" });
  const rows = await all(client.listStageWatch(stage, { from, intervals: true, limit: 1 }));
  assert.deepEqual(rows.map(({ viewer }) => viewer), ["ann"], "bob's one heartbeat proves nothing");
  const [{ watchMs, intervals }] = rows;
  assert.ok(watchMs >= 1_000);
  assert.deepEqual(intervals.map(({ from, to }) => to - from), [watchMs]);
  const ofAnn = (await all(client.listViewerWatch("ann", { from: from.toISOString() }))).filter((row) => row.stage === stage);
  assert.deepEqual(ofAnn.map((row) => [row.watchMs, row.intervals]), [[watchMs, undefined]]);
  const totals = (await all(client.listWatch({ from: Number(from), limit: 1, step: "1s" }))).filter((row) => row.stage === stage);
  assert.deepEqual(totals.map((row) => row.watchMs), [watchMs]);
  assert.ok(totals[0].history.length > 0);
  const history = await client.showStageHistory(stage, { from, to: new Date(), step: "1s" });
  assert.deepEqual([history.stepMs, history.stage, history.ttlMs], [1_000, stage, 4_000]);
  assert.equal(Math.max(...history.history.map(({ max }) => max)), 1);
  assert.ok((await client.showHistory({ from: Date.now() - 60_000 })).history.length > 0);
});

test("snapshots", async (t) => {
  // A node of its own, since a restore makes all counts of a node provisional for a while.
  const node = await makeNode(t);
  await node.start();
  const mine = new Client(node.url);
  const stage = newStage();
  await mine.sendHeartbeat({ stage, viewer: "ann" });
  assert.equal((await mine.saveSnapshots()).outcome, "saved");
  assert.deepEqual((await all(mine.listStageSnapshots(stage))).map(({ viewers }) => viewers), [1]);
  assert.equal((await mine.restoreCounts()).restored, true);
});

test("configuration", async () => {
  const stage = newStage();
  const made = await client.createStage(stage, { name: "The final", customer: "acme", tags: { sport: "judo" } });
  assert.deepEqual([made.name, made.customer, made.tags, made.configured], ["The final", "acme", { sport: "judo" }, true]);
  await refused(client.createStage(stage), { status: 409, code: "stage_exists" });
  const changed = await client.changeStage(stage, { customer: null, tags: { sport: null, hall: "2" } });
  assert.deepEqual([changed.name, changed.customer ?? null, changed.tags], ["The final", null, { hall: "2" }]);
  assert.equal((await client.deleteStage(stage)).stage, stage);
  await refused(client.showStage(stage), { status: 404, code: "stage_not_found" });
});

test("ids with slashes and pluses", async () => {
  const arn = "arn:aws:ivs:eu-central-1:1:stage/a+b%2Fc?d&e";
  const viewer = "ann/bob +1&x=%";
  await client.sendHeartbeat({ stage: arn, viewer });
  assert.equal((await client.showStage(arn)).stage, arn);
  assert.deepEqual((await all(client.listStageViewers(arn))).map(({ viewer }) => viewer), [viewer]);
  assert.equal((await client.showViewer(viewer)).online, true);
});

test("totals and cost", async () => {
  await client.sendHeartbeat({ stage: newStage(), viewer: "ann" });
  assert.ok((await client.showStats()).viewers >= 1);
  const { total, plans } = await client.showCost();
  assert.ok(total.usd >= 0 && plans[0].name);
});

test("live counts", async () => {
  const stage = newStage();
  const seen = [];
  for await (const event of client.streamCounts(stage, { totals: true })) {
    seen.push(event);
    const counts = seen.filter(({ type }) => type === "count").map(({ viewers }) => viewers);
    if (counts.join() === "0") await client.sendHeartbeat({ stage, viewer: "ann" });
    if (counts.at(-1) === 1) break;
  }
  assert.ok(seen.some(({ type }) => type === "totals"));
  assert.ok(seen.filter(({ type }) => type === "count").every((count) => count.complete && count.stage === stage));
});

test("refusals are not repeated", async () => {
  const began = performance.now();
  await refused(client.sendHeartbeat({ stage: "a b", viewer: "ann" }), { status: 400, code: "invalid_stage" });
  await refused(client.sendLeave({ stage: "a", viewer: "" }), { status: 400, code: "invalid_viewer" });
  const error = await refused(client.showHistory({ from: 1_795_948_578 }), { status: 400, code: "invalid_query" });
  assert.match(error.message, /second/);
  assert.ok(performance.now() - began < 10_000, "a call is tried again for 30 s");
});

test("an address without a scheme is refused", () => {
  assert.throws(() => new Client("count.example.org"), /is not an address/);
});

test("a call is given up by its signal", async () => {
  const away = new Client("http://127.0.0.1:1", { retryForMs: 60_000 });
  const controller = new AbortController();
  const call = away.showStats({ signal: controller.signal });
  const why = new Error("enough");
  controller.abort(why);
  await assert.rejects(call, why);
  const later = away.showStats({ signal: AbortSignal.timeout(700) });
  await assert.rejects(later, { name: "TimeoutError" });
});
