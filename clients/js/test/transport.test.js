/** Transport of heartbeats: WebSocket and fetch. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { alone, watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

const by = (server) => server.beats().map((event) => event.by);

/** Messages sent over the sockets. */
function listen(server) {
  const sent = [];
  const { onSocketMessage } = server;
  server.onSocketMessage = function (socket, text) {
    sent.push(text);
    return onSocketMessage.call(this, socket, text);
  };
  return sent;
}

test("a WebSocket is opened, gets the ids once, and is used again", async () => {
  let sent;
  const { world, server, recorded } = await alone({ transport: "auto", token: "a.b" }, (world) => (sent = listen(world.server)));
  await world.pass(70_000);
  assert.deepEqual(by(server), ["ws", "ws", "ws"]);
  assert.equal(server.sockets.length, 1);
  assert.equal(server.sockets[0].url, "wss://count.example/v1/ws", "without the token");
  assert.deepEqual(server.sockets[0].protocols, ["housecount.2", "housecount.1", "housecount.token.a.b"]);
  assert.equal(server.beats()[0].token, "a.b");
  assert.deepEqual(sent.slice(1), ["{}", "{}"]);
  assert.deepEqual(JSON.parse(sent[0]), { stage: "match-1", viewer: "ann", session: server.beats()[0].session });
  assert.equal(recorded.counts.length, 3);
  assert.ok(!("nextMs" in recorded.counts[0]));
});

test("a WebSocket that fails: fetch is used, and no other is tried", async () => {
  const { world, server, recorded } = await alone({ transport: "auto" }, (world) => (world.server.takesSockets = false));
  await world.pass(50);
  assert.equal(recorded.counts.length, 1);
  await world.pass(100_000);
  assert.deepEqual(new Set(by(server)), new Set(["fetch"]));
  assert.equal(server.sockets.length, 1);
});

test("a WebSocket that neither opens nor fails: fetch is used four seconds later", async () => {
  const { world, server, page } = await alone({ transport: "auto" }, (world) => (world.server.socketsHang = true));
  await world.pass(3_900);
  assert.deepEqual(by(server), []);
  await world.pass(200);
  assert.deepEqual(by(server), ["fetch"]);
  assert.equal(page.sockets.size, 0);
});

class Forbidden {
  constructor() {
    throw new DOMException("the page's policy forbids it", "SecurityError");
  }
}

for (const WebSocket of [undefined, Forbidden]) {
  test(`where WebSockets are ${WebSocket ? "forbidden" : "missing"}, fetch is used`, async () => {
    const world = new World();
    const page = new Browser(world).open();
    page.WebSocket = WebSocket;
    watching(page, { transport: "auto" });
    await world.pass(70_000);
    assert.deepEqual(by(world.server), ["fetch", "fetch", "fetch"]);
  });
}

test("a lost connection is reopened by the next heartbeat, not before: a restarting server gets no burst", async () => {
  const { world, server } = await alone({ transport: "auto" });
  await world.pass(10_000);
  server.sockets[0].drop();
  await world.pass(15_000);
  assert.equal(server.sockets.length, 1);
  await world.pass(10_000);
  assert.deepEqual(by(server), ["ws", "ws"]);
  assert.equal(server.sockets.length, 2);
  server.takesSockets = false;
  server.sockets[1].drop();
  await world.pass(30_000);
  assert.deepEqual(by(server), ["ws", "ws", "fetch"], "the heartbeat is sent though no connection can be had");
  server.takesSockets = true;
  await world.pass(30_000);
  assert.deepEqual(by(server), ["ws", "ws", "fetch", "ws"], "and it is tried again, since it worked once");
});

test("a dead connection is closed after ten seconds", async () => {
  const { world, server, page } = await alone({ transport: "auto" });
  await world.pass(10_000);
  server.onSocketMessage = () => null;
  await world.pass(30_100);
  assert.deepEqual(by(server), ["ws", "fetch"]);
  assert.equal(page.sockets.size, 0);
});

test("a WebSocket that is closing when a heartbeat is due: fetch carries it", async () => {
  const { world, server } = await alone({ transport: "auto" });
  await world.pass(10_000);
  const [socket] = server.sockets;
  socket.readyState = 2;
  world.after(20_500, () => socket.drop());
  await world.pass(21_000);
  assert.deepEqual(by(server), ["ws", "fetch"]);
});

test("`ws` uses nothing else, and tries again", async () => {
  const { world, server } = await alone({ transport: "ws" }, (world) => (world.server.takesSockets = false));
  await world.pass(100_000);
  assert.deepEqual(by(server), []);
  assert.ok(server.sockets.length >= 6 && server.sockets.length < 12, `${server.sockets.length} tries`);
  server.takesSockets = true;
  await world.pass(60_000);
  assert.ok(by(server).length >= 1);
  assert.deepEqual(new Set(by(server)), new Set(["ws"]));
});

test("`http` opens no WebSocket", async () => {
  const { world, server } = await alone({ transport: "http" });
  await world.pass(70_000);
  assert.equal(server.sockets.length, 0);
  assert.deepEqual(by(server), ["fetch", "fetch", "fetch"]);
});

test("an error message with `retryAfterMs` delays the heartbeat, on the same connection and with all ids", async () => {
  let sent;
  const { world, server, recorded } = await alone({ transport: "auto" }, (world) => {
    sent = listen(world.server);
    world.server.answer = () => ({ status: 503, body: { code: "overloaded", detail: "later" }, headers: { "retry-after": "20" } });
  });
  await world.pass(20_000);
  server.answer = null;
  await world.pass(3_000);
  assert.equal(server.sockets.length, 1);
  assert.equal(sent.length, 2);
  assert.equal(sent[1], sent[0]);
  assert.equal(recorded.counts.length, 1);
  assert.deepEqual(recorded.errors, []);
});

test("an error message without `retryAfterMs` ends the watch", async () => {
  const { world, server, recorded, page } = await alone({ transport: "auto" }, (world) => {
    world.server.answer = () => ({ status: 400, body: { code: "invalid_stage", detail: "why" } });
  });
  await world.pass(100_000);
  assert.deepEqual(recorded.errors.map(({ code, message, status }) => ({ code, message, status })), [{ code: "invalid_stage", message: "why", status: undefined }]);
  assert.equal(server.received.length, 1);
  assert.equal(page.sockets.size, 0);
});

test("an invalid `retryAfterMs` causes no busy loop", async () => {
  const { world, server, recorded } = await alone({ transport: "auto" });
  await world.pass(1_000);
  server.onSocketMessage = () => ({ code: "overloaded", retryAfterMs: "soon" });
  await world.pass(60_000);
  assert.equal(recorded.errors.length, 1);
});

test("invalid messages are ignored", async () => {
  const { world, server, recorded } = await alone({ transport: "auto" });
  await world.pass(1_000);
  for (const data of ["", "[]", "null", "7", '{"left":true}', "<html>", '{"nextMs":-1,"viewers":2}']) server.sockets[0].onmessage({ data });
  await world.pass(70_000);
  assert.equal(recorded.counts.length, 3);
  assert.deepEqual(recorded.errors, []);
});

test("after being offline a new connection is opened at once", async () => {
  const { world, server, browser, page } = await alone({ transport: "auto" });
  await world.pass(10_000);
  browser.goOffline();
  await world.pass(20_000);
  browser.goOnline();
  await world.pass(30);
  assert.deepEqual(by(server), ["ws", "ws"]);
  assert.equal(server.sockets.length, 2);
  assert.equal(page.sockets.size, 1);
});

test("leave() while a WebSocket opens: no heartbeat follows it", async () => {
  const { world, server, leave, page } = await alone({ transport: "auto" });
  leave();
  await world.pass(60_000);
  const kinds = server.received.map(({ kind }) => kind);
  assert.equal(kinds.at(-1), "leave");
  assert.equal(server.count().viewers, 0);
  assert.equal(page.sockets.size, 0);
});

test("a page that closes while a WebSocket opens sends no heartbeat after its leave", async () => {
  const { world, server, page } = await alone({ transport: "auto" });
  await page.store();
  await world.pass(60_000);
  assert.deepEqual(server.received.map(({ kind }) => kind), ["leave"]);
  assert.equal(page.sockets.size, 0);
});

for (const when of ["between two heartbeats", "while a heartbeat waits"]) {
  test(`a WebSocket that the server ends ${when}: the reason is reported at once, and no heartbeat follows`, async () => {
    const { world, server, page, recorded } = await alone({ transport: "auto", token: "t" });
    await world.pass(10_000);
    const [socket] = server.sockets;
    if (when === "while a heartbeat waits") {
      server.onSocketMessage = () => null;
      await world.pass(20_000);
    }
    const beats = server.beats().length;
    const why = { code: "key_removed", detail: "the key that signed the token was removed; get another one" };
    socket.onmessage({ data: JSON.stringify(why) });
    socket.drop();
    await world.pass(1);
    assert.deepEqual(recorded.errors.map(({ code, message }) => ({ code, detail: message })), [why]);
    await world.pass(600_000);
    assert.equal(recorded.errors.length, 1);
    assert.equal(server.beats().length, beats);
    assert.equal(server.sockets.length, 1);
    assert.equal(page.sockets.size, 0);
    assert.deepEqual(world.timers, []);
  });
}

for (const transport of ["auto", "http"]) {
  test(`the first heartbeat of a session has its labels (${transport})`, async () => {
    let sent;
    const { world, server } = await alone({ transport, labels: { country: "TW", device: undefined } }, (world) => (sent = listen(world.server)));
    await world.pass(70_000);
    assert.deepEqual(server.beats().map(({ labels }) => labels), Array(3).fill({ country: "TW" }), "a WebSocket repeats them by `{}`");
    assert.deepEqual(sent.slice(1), transport === "http" ? [] : ["{}", "{}"]);
  });
}
