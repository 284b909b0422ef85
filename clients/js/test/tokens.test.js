/** Tokens from a function, replaced without a leave. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { alone } from "./support/watching.js";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Mints tokens by a world's clock; `given` has all of them. */
function backend(seconds, { claims = {}, hasIat = true } = {}) {
  const given = [];
  const token = async () => {
    const now = Math.floor(backend.world.now / 1_000);
    const text = `${part({ alg: "HS256" })}.${part({ sub: "änn", ...claims, exp: now + seconds, ...(hasIat && { iat: now }) })}.${given.length}`;
    given.push(text);
    return text;
  };
  return { token, given };
}

for (const transport of ["auto", "http"]) {
  test(`a token is replaced before it ends, on the same session, without a leave (${transport})`, async () => {
    const { token, given } = backend(600);
    const { world, server, page, recorded } = await alone({ transport, token }, (world) => (backend.world = world));
    await world.pass(440_000);
    assert.equal(given.length, 1);
    await world.pass(60_000);
    assert.equal(given.length, 2, "after three quarters of its lifetime");
    await world.pass(1_000_000);
    assert.ok(given.length <= 4, `${given.length}`);
    const tokens = new Set(server.beats().map((event) => event.token?.replace("Bearer ", "")));
    assert.deepEqual([...tokens], given);
    assert.equal(new Set(server.beats().map(({ session }) => session)).size, 1);
    assert.deepEqual(server.leaves(), []);
    assert.deepEqual(recorded.errors, []);
    if (transport === "auto") assert.equal(page.sockets.size, 1, "the old connection is closed");
  });
}

test("a clock that is wrong by hours has no effect, if the token has `iat`", async () => {
  const { token, given } = backend(600);
  const { world } = await alone({ token }, (world) => (backend.world = { get now() { return world.now - 7_200_000; } }));
  await world.pass(440_000);
  assert.equal(given.length, 1);
});

for (const when of ["between two heartbeats", "when a heartbeat is due"]) {
  test(`token_expired ${when}: another one, without a leave or an error`, async () => {
    const { token, given } = backend(3_600);
    const { world, server, statuses, recorded } = await alone({ transport: "auto", token }, (world) => (backend.world = world));
    await world.pass(10_000);
    const [socket] = server.sockets;
    const end = () => {
      socket.onmessage({ data: JSON.stringify({ code: "token_expired", detail: "ended" }) });
      socket.drop();
    };
    if (when === "between two heartbeats") {
      end();
    } else {
      const { onSocketMessage } = server;
      server.onSocketMessage = (from, text) => (from === socket ? (end(), null) : onSocketMessage.call(server, from, text));
      await world.pass(20_100);
    }
    await world.pass(1_000);
    assert.equal(given.length, 2);
    assert.equal(server.sockets.length, 2);
    assert.equal(server.beats().at(-1).token, given[1]);
    assert.equal(new Set(server.beats().map(({ session }) => session)).size, 1);
    assert.deepEqual([server.leaves(), recorded.errors, statuses.map(([status]) => status)], [[], [], ["connecting", "counted"]]);
  });
}

test("a WebSocket handshake rejected for its token: fetch reports the reason, and another token opens one", async () => {
  const { token, given } = backend(3_600);
  const { world, server, recorded } = await alone({ transport: "auto", token }, (world) => {
    backend.world = world;
    world.server.takesSockets = false;
    world.server.answer = ({ token }) => (token.endsWith(".0") ? { status: 401, body: { code: "token_expired" } } : world.server.ok());
  });
  server.takesSockets = false;
  await world.pass(150);
  server.takesSockets = true;
  await world.pass(1_000);
  assert.equal(given.length, 2);
  assert.deepEqual(server.beats().map(({ by, status }) => [by, status]), [["fetch", 401], ["ws", 200]]);
  assert.deepEqual(recorded.errors, []);
});

test("a second rejected token ends the watch", async () => {
  const { token, given } = backend(3_600);
  const { world, server, recorded, statuses } = await alone({ token }, (world) => {
    backend.world = world;
    world.server.answer = () => ({ status: 401, body: { code: "token_invalid", detail: "why" } });
  });
  await world.pass(600_000);
  assert.equal(given.length, 2);
  assert.equal(server.beats().length, 2);
  assert.deepEqual(recorded.errors.map(({ code }) => code), ["token_invalid"]);
  assert.deepEqual(statuses.at(-1), ["refused", "why"]);
});

test("the token function is not called again after a token for another viewer", async () => {
  const { token, given } = backend(3_600);
  const { world, recorded } = await alone({ token }, (world) => {
    backend.world = world;
    world.server.answer = () => ({ status: 403, body: { code: "token_mismatch" } });
  });
  await world.pass(10_000);
  assert.equal(given.length, 1);
  assert.equal(recorded.errors.length, 1);
});

test("a failed token function is called again, and the failure is reported", async () => {
  let isDown = true;
  const token = async () => (isDown ? Promise.reject(new Error("the backend is down")) : "t");
  const { world, statuses, server, recorded } = await alone({ token });
  await world.pass(5_000);
  assert.deepEqual(statuses, [["connecting", ""], ["retrying", "the backend is down"]]);
  assert.deepEqual(server.received, []);
  isDown = false;
  await world.pass(10_000);
  assert.equal(recorded.counts.length, 1);
  assert.equal(server.beats()[0].token, "Bearer t");
});

test("leave() during the token function sends nothing", async () => {
  let give;
  const { world, server, leave } = await alone({ token: () => new Promise((resolve) => (give = resolve)) });
  await world.pass(100);
  leave();
  give("t");
  await world.pass(60_000);
  assert.deepEqual(server.beats(), []);
  assert.deepEqual(world.timers, []);
});

test("the leave carries the last token", async () => {
  const { token, given } = backend(3_600);
  const { world, server, leave } = await alone({ token }, (world) => (backend.world = world));
  await world.pass(1_000);
  leave();
  await world.pass(1_000);
  assert.equal(server.leaves()[0].token, given[0]);
});
