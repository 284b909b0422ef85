/** Kinds of answers: of `housecount.2`, of `housecount.1`, short ones to requests, and none in quiet mode. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { STAGE, alone, waits, watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

const COMPLETE = { stage: STAGE, viewers: 1, complete: true, recovering: false };

/** Records the bodies of heartbeats, and the answers to them. */
function listen({ server }) {
  const all = { sent: [], answered: [] };
  const { onSocketMessage, post } = server;
  server.onSocketMessage = function (socket, text) {
    all.sent.push(text);
    const answer = onSocketMessage.call(this, socket, text);
    all.answered.push(answer);
    return answer;
  };
  server.post = function (by, url, body, headers) {
    all.sent.push(body);
    const answer = post.call(this, by, url, body, headers);
    all.answered.push(answer?.body);
    return answer;
  };
  return all;
}

for (const transport of ["auto", "http"]) {
  test(`short answers are counts (${transport})`, async () => {
    let wire;
    const { world, server, recorded } = await alone({ transport }, (world) => {
      wire = listen(world);
      world.server.nextMs = 28_700;
    });
    await world.pass(70_000);
    assert.deepEqual(wire.answered, [[1, 287], [1, 287], [1, 287]]);
    assert.deepEqual(recorded, { counts: [COMPLETE, COMPLETE, COMPLETE], errors: [] });
    assert.deepEqual(new Set(waits(server).slice(1)), new Set([28_720]));
    assert.equal(JSON.parse(wire.sent[0]).answer, transport === "http" ? "short" : undefined);
  });

  test(`counts that are not exact say so (${transport})`, async () => {
    const states = [{ complete: false }, { recovering: true }, { coalesced: true }];
    const { world, recorded } = await alone({ transport }, ({ server }) => {
      server.answer = () => ({ status: 200, body: { ...server.ok().body, asOf: 7, ...states.shift() } });
    });
    await world.pass(100_000);
    assert.deepEqual(recorded.counts, [{ ...COMPLETE, complete: false, asOf: 7 }, { ...COMPLETE, recovering: true }, COMPLETE, COMPLETE]);
  });

  test(`an answer whose stage hides its count is one (${transport})`, async () => {
    const { world, server, recorded } = await alone({ transport }, ({ server }) => {
      server.answer = () => ({ status: 200, body: { nextMs: 28_700 } });
    });
    await world.pass(70_000);
    assert.deepEqual(recorded, { counts: recorded.counts.map(() => ({ stage: STAGE, complete: true, recovering: false })), errors: [] });
    assert.equal(recorded.counts.length, 3);
    assert.equal(server.beats().length, 3, "no heartbeat is repeated");
  });

  test(`sessions are asked for by an option (${transport})`, async () => {
    let wire;
    const { world, recorded } = await alone({ transport, sessions: true }, (world) => (wire = listen(world)));
    await world.pass(40_000);
    assert.deepEqual(recorded.counts.map(({ sessions }) => sessions), [1, 1]);
    const { sessions, answer } = JSON.parse(wire.sent[0]);
    assert.deepEqual([sessions, answer], [transport === "auto" ? true : undefined, undefined]);
  });

  test(`an older server's answers are read (${transport})`, async () => {
    const { world, server, recorded } = await alone({ transport, quiet: true }, ({ server }) => (server.protocols = ["housecount.1"]));
    await world.pass(70_000);
    assert.deepEqual(recorded.counts.map(({ asOf, ...count }) => count), Array(3).fill({ ...COMPLETE, sessions: 1 }));
    assert.deepEqual(waits(server), [30_020, 30_020]);
  });
}

test("quiet: every second heartbeat stays without an answer, and the next one is sent in time", async () => {
  let wire;
  const { world, server, recorded, statuses } = await alone({ transport: "auto", quiet: true }, (world) => (wire = listen(world)));
  await world.pass(190_000);
  assert.deepEqual(wire.answered.map((answer) => answer && JSON.stringify(answer)), ["[1,300]", null, "[1,300]", null, "[1,300]", null, "[1,300]"]);
  assert.equal(JSON.parse(wire.sent[0]).quiet, true);
  assert.equal(recorded.counts.length, 4);
  assert.deepEqual(new Set(waits(server)), new Set([30_000, 30_020]));
  assert.deepEqual(statuses, [["connecting", ""], ["counted", ""]]);
});

test("quiet: a late answer is taken, and a late rejection delays the next heartbeat or ends the watch", async () => {
  const { world, server, page, recorded, statuses } = await alone({ transport: "auto", quiet: true });
  const sending = () => ({ status: 503, body: { code: "overloaded", detail: "later" }, headers: { "retry-after": "20" } });
  await world.pass(20_000);
  server.answer = () => ({ status: 200, body: { ...server.ok().body, complete: false } });
  await world.pass(20_000);
  assert.deepEqual(recorded.counts.map(({ complete }) => complete), [true, false], "the second heartbeat was answered though it did not need to be");
  server.answer = sending;
  await world.pass(30_000);
  assert.deepEqual(statuses.at(-1), ["retrying", "later"]);
  server.answer = null;
  await world.pass(30_000);
  assert.deepEqual(statuses.at(-1), ["counted", ""]);
  server.answer = () => ({ status: 401, body: { code: "token_expired", detail: "ended" } });
  await world.pass(40_000);
  assert.deepEqual(recorded.errors.map(({ code }) => code), ["token_expired"]);
  assert.equal(page.sockets.size, 0);
  assert.deepEqual(world.timers, []);
});

test("quiet: a dead connection is found by the second heartbeat, long before the ttl", async () => {
  const { world, server, recorded } = await alone({ transport: "auto", quiet: true });
  await world.pass(10_000);
  server.onSocketMessage = () => null;
  await world.pass(65_000);
  assert.deepEqual(server.beats().map(({ by }) => by), ["ws", "fetch"]);
  assert.equal(recorded.counts.length, 2);
  assert.deepEqual(server.gaps(), []);
});

test("quiet: the first heartbeat of each connection needs an answer", async () => {
  const { world, server, recorded } = await alone({ transport: "auto", quiet: true });
  await world.pass(10_000);
  server.sockets[0].drop();
  await world.pass(25_000);
  assert.equal(server.sockets.length, 2);
  assert.equal(recorded.counts.length, 2);
});

test("quiet: another tab keeps its leader, shown or hidden, and gets each count once", async () => {
  const world = new World();
  const browser = new Browser(world);
  const tabs = [browser.open(), browser.open()].map((page) => watching(page, { transport: "auto", quiet: true }));
  await world.pass(300_000);
  tabs[0].page.show("hidden");
  await world.pass(600_000);
  assert.equal(new Set(world.server.beats().map(({ session }) => session)).size, 1);
  assert.equal(world.server.sockets.length, 1);
  const [own, other] = tabs.map(({ recorded }) => recorded.counts.length);
  assert.ok(own > 8 && other >= own - 1 && other <= own + 1, `${own} and ${other}`);
  assert.deepEqual(world.server.gaps(), []);
});
