/** Labels: sent in heartbeats and tokens, read by `by`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, signToken } from "housecount-node";

import { KEY, SECRET, URL_KEYED, URL_OPEN, newStage, refused, until } from "./support/nodes.mjs";

const client = new Client(URL_OPEN);
const figuresOf = ({ values }, figure = "viewers") => Object.fromEntries(values.map((row) => [row.value ?? "-", row[figure]]));

test("counts by label", async () => {
  const stage = newStage();
  await client.sendHeartbeat({ stage, viewer: "ann", session: "tv", labels: { country: "NO", device: "tv" } });
  await client.sendHeartbeats([
    { stage, viewer: "ann", session: "phone", labels: { country: "NO", device: "phone" } },
    { stage, viewer: "bob", labels: { country: "SE" } },
    { stage, viewer: "cid" },
  ]);
  const { viewers, by, labels } = await client.showStage(stage, { by: "country" });
  assert.deepEqual([viewers, by.key, figuresOf(by), labels], [3, "country", { NO: 1, SE: 1, "-": 1 }, ["country", "device"]]);
  const { by: devices } = await client.showStage(stage, { by: "device" });
  assert.deepEqual(figuresOf(devices), { tv: 1, phone: 1, "-": 2 }, "ann has two devices");
  assert.equal((await client.showStage(stage)).by, undefined);
  assert.ok(figuresOf((await client.showStats({ by: "country" })).by).NO >= 1);
});

test("wrong labels are refused", async () => {
  const stage = newStage();
  for (const labels of [{ colour: "red" }, { country: "x".repeat(33) }]) {
    await refused(client.sendHeartbeat({ stage, viewer: "ann", labels }), { status: 400, code: "invalid_labels" });
  }
  const { accepted, rejected } = await client.sendHeartbeats([{ stage, viewer: "ann", labels: { colour: "red" } }, { stage, viewer: "bob" }]);
  assert.deepEqual([accepted, rejected.map(({ code }) => code)], [1, ["invalid_labels"]]);
  assert.match((await refused(client.showStats({ by: "colour" }), { code: "invalid_query" })).message, /country/);
});

test("live counts by label", async () => {
  const stage = newStage();
  const seen = [];
  for await (const event of client.streamCounts(stage, { by: "country" })) {
    if (event.type !== "labels") continue;
    assert.deepEqual([event.stage, event.by.key], [stage, "country"]);
    seen.push(figuresOf(event.by));
    if (seen.length === 1) await client.sendHeartbeat({ stage, viewer: "ann", labels: { country: "NO" } });
    if (seen.at(-1).NO === 1) break;
  }
  assert.deepEqual(seen[0], {});
  for await (const event of client.streamCounts([], { totals: true, by: "country" })) {
    if (event.type !== "labels") continue;
    assert.ok(event.stage === undefined && figuresOf(event.by).NO >= 1);
    break;
  }
});

test("the past by label", async () => {
  const stage = newStage();
  const from = new Date();
  const beats = [{ stage, viewer: "ann", labels: { country: "NO" } }, { stage, viewer: "bob", labels: { country: "SE" } }, { stage, viewer: "cid" }];
  await client.sendHeartbeats(beats);
  await sleep(1_100); // The time that is watched.
  await client.sendHeartbeats(beats);
  const to = new Date();
  const expected = { NO: 1, SE: 1, "-": 1 };
  const watch = await client.showStageWatchByLabel(stage, "country", { from, to });
  assert.deepEqual([watch.stage, figuresOf(watch.by), figuresOf(watch.by, "peakViewers")], [stage, expected, expected]);
  assert.ok(watch.by.values.every(({ watchMs }) => watchMs >= 1_000));
  assert.ok(figuresOf((await client.showWatchByLabel("country", { from, to })).by).SE >= 1);
  const history = await client.showStageHistory(stage, { from, to, step: "1s", by: "country" });
  assert.deepEqual(figuresOf(history.by), expected);
  assert.ok(history.by.values[0].history.length > 0);
  assert.equal((await client.showHistory({ from, by: "country" })).by.key, "country");
  const report = await client.showStageReport(stage, { from, to, by: "country" });
  assert.deepEqual([report.uniqueViewers, figuresOf(report.by, "uniqueViewers")], [3, expected]);
  assert.ok((await client.showReport({ from, to })).uniqueViewers >= 3);
});

test("a token's labels win", async () => {
  const stage = newStage();
  const operator = new Client(URL_KEYED, { key: KEY });
  const token = signToken(SECRET, { viewer: "ann", stage, ttlSeconds: 60, labels: { country: "NO" } });
  await operator.sendHeartbeat({ stage, viewer: "ann", labels: { country: "SE", device: "tv" } }, { token });
  assert.deepEqual(figuresOf((await operator.showStage(stage, { by: "country" })).by), { NO: 1 });
  assert.deepEqual(figuresOf((await operator.showStage(stage, { by: "device" })).by), { tv: 1 });
});

test("a watch keeps its labels", async (t) => {
  const stage = newStage();
  const watch = client.watch({ stage, viewer: "ann", labels: { device: "tv" } });
  t.after(() => watch.leave());
  const isOnTv = async () => {
    const { stages } = await client.showViewer("ann");
    return stages.some((each) => each.stage === stage) && figuresOf((await client.showStage(stage, { by: "device" })).by).tv === 1;
  };
  await until(isOnTv);
  await watch.leave();
  watch.resume();
  await until(isOnTv);
});

test("a viewer has so many streams", async () => {
  const stage = newStage();
  const viewer = `viewer of ${stage}`;
  const player = new Client(URL_KEYED);
  const token = signToken(SECRET, { viewer, stage, ttlSeconds: 60, streams: 1 });
  await player.sendHeartbeat({ stage, viewer, session: "phone" }, { token });
  const { active } = await refused(player.sendHeartbeat({ stage, viewer, session: "tv" }, { token }), { status: 409, code: "too_many_streams" });
  assert.deepEqual(active.map(({ stage, session, since }) => [stage, session, since > 0]), [[stage, "phone", true]]);
  await player.sendHeartbeat({ stage, viewer, session: "tv", replaces: "phone" }, { token });
  await refused(player.sendHeartbeat({ stage, viewer, session: "phone" }, { token }), { status: 409, code: "displaced" });
});
