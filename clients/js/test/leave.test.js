/** Leaves: on the WebSocket of the heartbeats, by a request that outlives the page, or as a beacon. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { alone, watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

const kinds = (server) => server.received.map(({ kind, by }) => `${kind} by ${by}`);
const sessions = (server) => new Set(server.received.map(({ session }) => session)).size;

/** Messages sent over the sockets. */
function listen(world) {
  const sent = [];
  const { server } = world;
  const { onSocketMessage } = server;
  server.onSocketMessage = function (socket, text) {
    sent.push(text);
    return onSocketMessage.call(this, socket, text);
  };
  return sent;
}

test("leave() is a message on the open WebSocket, which its answer closes", async () => {
  let sent;
  const { world, server, page, leave } = await alone({ transport: "auto" }, (world) => (sent = listen(world)));
  await world.pass(10_000);
  leave();
  assert.equal(page.sockets.size, 1, "it waits for the answer");
  await world.pass(100);
  assert.deepEqual(sent.slice(1), ['{"leave":true}']);
  assert.deepEqual(kinds(server), ["beat by ws", "leave by ws"]);
  assert.equal(page.sockets.size, 0);
  assert.deepEqual(world.timers, []);
});

test("leave() behind a heartbeat that waits: the same connection keeps their order, and one leave is enough", async () => {
  let sent;
  const { world, server, recorded, leave } = await alone({ transport: "auto" }, (world) => (sent = listen(world)));
  await world.pass(15);
  leave();
  await world.pass(10_000);
  assert.deepEqual(kinds(server), ["beat by ws", "leave by ws"]);
  assert.equal(sent[1], '{"leave":true}');
  assert.deepEqual(recorded.counts, [], "no count is reported after leave()");
  assert.deepEqual(world.timers, []);
});

for (const [what, fail] of [
  ["is not answered", ({ server }) => (server.answersLeaves = false)],
  ["is closed instead", ({ server }) => (server.onSocketMessage = (socket) => (socket.drop(), null))],
  ["rejects it", ({ server }) => (server.onSocketMessage = () => ({ code: "not_ready", detail: "not yet", retryAfterMs: 1_000 }))],
]) {
  test(`a leave on a WebSocket that ${what}: a request repeats it within two seconds`, async () => {
    const all = await alone({ transport: "auto", token: "t" });
    const { world, server, page, leave } = all;
    await world.pass(10_000);
    fail(all);
    leave();
    await world.pass(1_600);
    assert.deepEqual(kinds(server).at(-1), "leave by fetch");
    assert.equal(server.leaves().at(-1).token, "t");
    assert.equal(sessions(server), 1);
    assert.equal(page.sockets.size, 0);
    await world.pass(60_000);
    assert.equal(server.leaves().filter(({ by }) => by === "fetch").length, 1);
    assert.deepEqual(world.timers, []);
  });
}

test("a named session that is watched again outlives the repeated leave", async () => {
  const options = { transport: "auto", session: "participant-1" };
  const { world, server, page, leave } = await alone(options);
  await world.pass(10_000);
  server.answersLeaves = false;
  leave();
  watching(page, options);
  await world.pass(30_000);
  assert.equal(server.leaves().length, 2);
  assert.equal(server.count().viewers, 1);
  assert.deepEqual(server.gaps(), []);
});

test("a closing page sends its leave on the WebSocket, and closes that at once", async () => {
  let sent;
  const { world, server, page } = await alone({ transport: "auto" }, (world) => (sent = listen(world)));
  await world.pass(10_000);
  await page.store();
  assert.equal(page.sockets.size, 0, "so that the page can be cached");
  await world.pass(60_000);
  assert.deepEqual(sent.slice(1), ['{"leave":true}']);
  assert.deepEqual(kinds(server), ["beat by ws", "leave by ws"]);
});

test("a closing page whose heartbeat has no answer sends its leave by a request too", async () => {
  const { world, server, page } = await alone({ transport: "auto" });
  await world.pass(10_000);
  server.onSocketMessage = () => null;
  await world.pass(21_000);
  page.close();
  await world.pass(60_000);
  assert.deepEqual(kinds(server), ["beat by ws", "leave by fetch"]);
  assert.equal(server.count().viewers, 0);
});

test("a browser that closes its WebSockets before the page hears of it (Firefox): a request", async () => {
  const { world, server, page } = await alone({ transport: "auto" });
  await world.pass(10_000);
  server.sockets[0].readyState = 3;
  page.close();
  await world.pass(60_000);
  assert.deepEqual(kinds(server), ["beat by ws", "leave by fetch"]);
});

test("a request outlives the page, and has no credentials, like the heartbeats", async () => {
  const { world, server, page } = await alone({ token: "t" });
  const asked = [];
  const { fetch } = page;
  page.fetch = (url, init) => (asked.push(init), fetch(url, init));
  await world.pass(40_000);
  page.close();
  await world.pass(60_000);
  assert.deepEqual(kinds(server), ["beat by fetch", "beat by fetch", "leave by fetch"]);
  const [{ credentials }, leave] = asked;
  assert.deepEqual([credentials, leave.credentials, leave.keepalive, leave.headers], ["omit", "omit", true, {}]);
  assert.equal(server.leaves()[0].token, "t");
});

for (const Request of [undefined, class {}]) {
  test(`where requests end with the page (${Request ? "no keepalive" : "no Request"}), a beacon`, async () => {
    const world = new World();
    const page = new Browser(world).open();
    page.Request = Request;
    watching(page);
    await world.pass(10_000);
    page.close();
    await world.pass(60_000);
    assert.deepEqual(kinds(world.server), ["beat by fetch", "leave by beacon"]);
  });
}
