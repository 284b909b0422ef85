/** `watch`, in real time, against real nodes. */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";

import { Client, signToken } from "housecount-node";

import { KEY, SECRET, URL_KEYED, URL_OPEN, all, makeNode, newStage, until } from "./support/nodes.mjs";

/** Watches, and keeps its reports. `reported.wait(holds)` waits until that is true. */
function watching(test, url, options) {
  const reported = new EventEmitter();
  Object.assign(reported, { counts: [], retries: [], errors: [] });
  const add = (them, it) => {
    them.push(it);
    reported.emit("reported");
  };
  reported.wait = async (holds) => {
    const signal = AbortSignal.timeout(20_000);
    while (!holds()) await once(reported, "reported", { signal });
  };
  const watch = new Client(url).watch({
    viewer: "ann",
    onCount: (count) => add(reported.counts, count),
    onRetry: (error, waitMs) => add(reported.retries, { error, waitMs }),
    onError: (error) => add(reported.errors, error),
    ...options,
  });
  test.after(() => watch.leave());
  return { watch, reported };
}

const sessionsOf = async (url, stage) => (await all(new Client(url).listStageViewers(stage))).flatMap(({ sessions }) => sessions);

test("a viewer is counted until the leave", async (t) => {
  const stage = newStage();
  const { watch, reported } = watching(t, URL_OPEN, { stage });
  await reported.wait(() => reported.counts.length >= 6); // Longer than the ttl of 4 s: heartbeats keep ann online.
  assert.deepEqual(new Set(reported.counts.map(({ viewers }) => viewers)), new Set([1]));
  const [session] = await sessionsOf(URL_OPEN, stage);
  await watch.leave();
  await until(async () => (await sessionsOf(URL_OPEN, stage)).length === 0);
  assert.deepEqual([reported.retries, reported.errors], [[], []]);
  watch.resume();
  const count = reported.counts.length;
  await reported.wait(() => reported.counts.length > count);
  const [other] = await sessionsOf(URL_OPEN, stage);
  assert.ok(other && other !== session, "a session's name is not used again");
});

test("a named session confirms soon", async (t) => {
  const stage = newStage();
  const { reported } = watching(t, URL_OPEN, { stage, session: "tv" });
  await reported.wait(() => reported.counts.length >= 2);
  assert.deepEqual(await sessionsOf(URL_OPEN, stage), ["tv"]);
});

test("a viewer outlives a killed node", async (t) => {
  const stage = newStage();
  const node = await makeNode(t);
  await node.start();
  const { reported } = watching(t, node.url, { stage });
  await reported.wait(() => reported.counts.length > 0);
  await node.kill();
  await reported.wait(() => reported.retries.length > 0);
  const counted = reported.counts.length;
  await node.start();
  await reported.wait(() => reported.counts.length > counted);
  assert.equal((await sessionsOf(node.url, stage)).length, 1);
  assert.deepEqual(reported.errors, []);
  const [{ error, waitMs }] = reported.retries;
  assert.match(error.message, /no answer/);
  assert.ok(waitMs >= 500 && waitMs <= 1_000);
});

test("the network is back", async (t) => {
  const node = await makeNode(t);
  const { watch, reported } = watching(t, node.url, { stage: newStage() });
  await reported.wait(() => reported.retries.length >= 4); // The next try is 4 to 8 s away.
  await node.start();
  watch.online();
  await reported.wait(() => reported.counts.length > 0);
  assert.equal(reported.retries.length, 4);
});

test("a refusal is reported and is the end", async (t) => {
  const stage = newStage();
  const token = signToken(SECRET, { viewer: "bob", stage, ttlSeconds: 60 });
  const { watch, reported } = watching(t, URL_KEYED, { stage, token });
  await reported.wait(() => reported.errors.length > 0);
  const [{ status, code }] = reported.errors;
  assert.deepEqual([status, code], [403, "token_mismatch"]);
  await watch.leave();
  assert.deepEqual([reported.counts, reported.retries], [[], []]);
});

test("tokens are renewed without a leave", async (t) => {
  const stage = newStage();
  let asked = 0;
  const token = () => {
    asked += 1;
    return signToken(SECRET, { viewer: "ann", stage, ttlSeconds: 2 });
  };
  const { reported } = watching(t, URL_KEYED, { stage, token });
  await reported.wait(() => reported.counts.length >= 6);
  assert.ok(asked >= 3 && reported.errors.length === 0, "each holds for 2 s, and is replaced after three quarters of them");
  const [{ intervals, watchMs }] = await all(new Client(URL_KEYED, { key: KEY }).listStageWatch(stage, { intervals: true }));
  assert.equal(intervals.length, 1, "no gap");
  assert.ok(watchMs > 4_000);
});

test("a token source that fails is asked again", async (t) => {
  const stage = newStage();
  let asked = 0;
  const token = async () => {
    asked += 1;
    if (asked === 1) throw new Error("the backend is away");
    return signToken(SECRET, { viewer: "ann", stage, ttlSeconds: 60 });
  };
  const { reported } = watching(t, URL_KEYED, { stage, token });
  await reported.wait(() => reported.counts.length > 0);
  assert.match(reported.retries[0].error.message, /the backend is away/);
});

test("a displaced watch ends", async (t) => {
  const stage = newStage();
  const viewer = `viewer of ${stage}`;
  const token = signToken(SECRET, { viewer, stage, ttlSeconds: 60, streams: 1 });
  const { reported } = watching(t, URL_KEYED, { stage, viewer, session: "phone", token });
  await reported.wait(() => reported.counts.length > 0);
  watching(t, URL_KEYED, { stage, viewer, session: "tv", replaces: "phone", token });
  await reported.wait(() => reported.errors.length > 0);
  assert.deepEqual([reported.errors.map(({ status, code }) => [status, code]), reported.retries], [[[409, "displaced"]], []]);
  const { reported: refused } = watching(t, URL_KEYED, { stage, viewer, session: "laptop", token });
  await refused.wait(() => refused.errors.length > 0);
  const [{ code, active }] = refused.errors;
  assert.deepEqual([code, active.map(({ session }) => session)], ["too_many_streams", ["tv"]]);
});
