/** Schedule of heartbeats, from the first one to the leave. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { STAGE, VIEWER, alone, waits, watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

const TRAVEL_MS = 20;

function assertNothingIsLeft({ world, page, browser }) {
  assert.deepEqual(world.timers.filter((timer) => timer.page === page), [], "timers");
  for (const [target, type] of [[page, "pagehide"], [page, "pageshow"], [page, "online"], [page.document, "visibilitychange"]]) {
    assert.equal(getEventListeners(target, type).length, 0, type);
  }
  for (const what of ["channels", "sockets", "fetches"]) assert.equal(page[what].size, 0, what);
  assert.equal(browser.locks.held(), 0, "locks");
}

test("the first heartbeat is sent at once, and its count is reported", async () => {
  const { world, server, recorded } = await alone();
  await world.pass(TRAVEL_MS);
  assert.equal(server.beats().length, 1);
  const [{ stage, viewer, session, by }] = server.beats();
  assert.deepEqual({ stage, viewer, by }, { stage: STAGE, viewer: VIEWER, by: "fetch" });
  assert.match(session, /^[0-9a-z]{2,14}$/);
  assert.deepEqual(recorded.counts, [{ stage: STAGE, viewers: 1, complete: true, recovering: false }]);
});

for (const [random, expected] of [[0, 28_500], [0.5, 30_000], [1, 31_500]]) {
  test(`the next one when the server asks, plus or minus 5 % (random ${random})`, async () => {
    const { world, server, page } = await alone();
    page.Math.random = () => random;
    await world.pass(100_000);
    assert.deepEqual(new Set(waits(server)), new Set([expected + TRAVEL_MS]));
  });
}

for (const [nextMs, expected] of [[1, 250], [1e12, 3_600_000]]) {
  test(`a wait of ${nextMs} ms is bounded to ${expected}`, async () => {
    const { world, server } = await alone({}, (world) => (world.server.nextMs = nextMs));
    await world.pass(2 * expected + 1_000);
    assert.ok(waits(server).length >= 1);
    assert.deepEqual(new Set(waits(server)), new Set([expected + TRAVEL_MS]));
  });
}

test("failures are retried with exponential backoff up to half a minute, until one succeeds", async () => {
  const { world, server, recorded } = await alone({}, (world) => (world.server.answer = () => ({ status: 500, body: {} })));
  await world.pass(150_000);
  // Random from half of it on; here the middle.
  const expected = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].map((ms) => ms * 0.75 + TRAVEL_MS);
  assert.deepEqual(waits(server).slice(0, 7), expected);
  assert.deepEqual(recorded, { counts: [], errors: [] });
  server.answer = null;
  await world.pass(30_000);
  assert.equal(recorded.counts.length, 1);
  server.answer = () => ({ status: 500, body: {} });
  server.received.length = 0;
  await world.pass(32_000);
  assert.deepEqual(waits(server).slice(0, 1), [770], "a success makes it forget");
});

for (const [random, expected] of [[0, 20_000], [1, 25_000]]) {
  test(`Retry-After is honoured, plus jitter (random ${random})`, async () => {
    const { world, server, page } = await alone({}, (world) => {
      world.server.answer = () => ({ status: 503, body: { code: "overloaded" }, headers: { "retry-after": "20" } });
    });
    page.Math.random = () => random;
    await world.pass(60_000);
    assert.deepEqual(new Set(waits(server)), new Set([expected + TRAVEL_MS]));
  });
}

test("a Retry-After longer than any timer causes no busy loop", async () => {
  const { world, server } = await alone({}, (world) => {
    world.server.answer = () => ({ status: 503, body: {}, headers: { "retry-after": "99999999999" } });
  });
  await world.pass(3_590_000);
  assert.equal(server.beats().length, 1);
  await world.pass(60_000);
  assert.equal(server.beats().length, 2);
});

for (const status of [400, 401, 403, 404, 409]) {
  test(`${status} ends the watch`, async () => {
    const all = await alone({}, (world) => (world.server.answer = () => ({ status, body: { code: "some_code", detail: "why" } })));
    const { world, server, recorded } = all;
    await world.pass(600_000);
    assert.equal(server.received.length, 1, "one heartbeat, no leave");
    assert.equal(recorded.errors.length, 1);
    const [error] = recorded.errors;
    assert.ok(error instanceof Error);
    const { name, message, code } = error;
    assert.deepEqual({ name, message, code, status: error.status }, { name: "HousecountError", message: "why", code: "some_code", status });
    assertNothingIsLeft(all);
    all.page.dispatchEvent(new Event("online"));
    all.page.dispatchEvent(new Event("pageshow"));
    all.page.show("visible");
    all.leave();
    await world.pass(60_000);
    assert.equal(server.received.length, 1);
  });
}

for (const answer of [
  { status: 408, body: {} },
  { status: 429, body: { code: "too_many" } },
  { status: 503, body: "<html>" },
  { status: 200, body: "<html>a hotel's login page</html>" },
  { status: 200, body: { ok: true } },
  { status: 200, body: { viewers: 1, nextMs: 0 } },
  { status: 204, body: "" },
]) {
  test(`${answer.status} ${JSON.stringify(answer.body)} is retried`, async () => {
    const { world, server, recorded } = await alone({}, (world) => (world.server.answer = () => answer));
    await world.pass(10_000);
    assert.ok(server.beats().length > 2);
    server.answer = null;
    await world.pass(31_000);
    assert.ok(recorded.counts.length >= 1);
    assert.deepEqual(recorded.errors, []);
  });
}

test("a heartbeat without a response is sent again after ten seconds", async () => {
  const { world, server, page, recorded } = await alone({}, (world) => (world.server.answer = () => null));
  await world.pass(10_600);
  assert.equal(server.beats().length, 1);
  assert.equal(page.fetches.size, 0, "the first one was aborted");
  server.answer = null;
  await world.pass(300);
  assert.equal(recorded.counts.length, 1);
});

test("after being offline a heartbeat is sent at once", async () => {
  const { world, server, browser } = await alone();
  await world.pass(40_000);
  browser.goOffline();
  await world.pass(300_000);
  const before = server.beats().length;
  browser.goOnline();
  await world.pass(20);
  assert.equal(server.beats().length, before + 1);
  await world.pass(60_000);
  assert.equal(server.beats().length, before + 2, "and continues as before");
  browser.goOffline();
  await world.pass(300_000);
  server.answer = () => ({ status: 500, body: {} });
  server.received.length = 0;
  browser.goOnline();
  await world.pass(1_000);
  assert.deepEqual(waits(server), [770], "what failed before is no reason to wait");
});

test("a request that hangs in a lost connection doesn't delay the next", async () => {
  const { world, server, browser, recorded } = await alone({}, (world) => (world.server.answer = () => null));
  await world.pass(1_000);
  server.answer = null;
  browser.goOnline();
  await world.pass(30);
  assert.equal(server.beats().length, 2);
  assert.equal(recorded.counts.length, 1);
  await world.pass(29_000);
  assert.equal(server.beats().length, 2, "one chain of heartbeats, not two");
  await world.pass(2_000);
  assert.equal(server.beats().length, 3);
});

test("a hidden page's viewer stays online, though timers fire once per minute", async () => {
  const { world, server, page } = await alone();
  await world.pass(5_000);
  page.show("hidden");
  await world.pass(3_600_000);
  assert.deepEqual(server.gaps(), []);
  assert.ok(server.beats().length >= 59);
});

test("a page that becomes visible sends a heartbeat at once if one is due", async () => {
  const { world, server, page } = await alone();
  await world.pass(10_000);
  page.show("hidden");
  page.show("visible");
  await world.pass(TRAVEL_MS);
  assert.equal(server.beats().length, 1);
  page.show("hidden");
  page.freeze();
  await world.pass(500_000);
  page.thaw();
  page.show("visible");
  await world.pass(TRAVEL_MS);
  assert.equal(server.beats().length, 2);
  await world.pass(29_000);
  assert.equal(server.beats().length, 2);
});

test("a page that becomes visible doesn't wait for a late timer", async () => {
  const { world, server, page } = await alone();
  await world.pass(10_000);
  world.timers = [];
  await world.pass(300_000);
  assert.equal(server.beats().length, 1);
  page.show("visible");
  await world.pass(TRAVEL_MS);
  assert.equal(server.beats().length, 2);
});

for (const end of ["leave", "stop"]) {
  test(`${end}() sends one leave, and leaves no resources`, async () => {
    const all = await alone({ token: "secret" });
    const { world, server } = all;
    await world.pass(40_000);
    all[end]();
    all[end]();
    assertNothingIsLeft({ ...all, browser: { locks: { held: () => 0 } } });
    await world.pass(300_000);
    assertNothingIsLeft(all);
    const [leave, ...more] = server.leaves();
    assert.deepEqual(more, []);
    const { by, stage, viewer, session, token } = leave;
    assert.deepEqual({ by, stage, viewer, token }, { by: "fetch", stage: STAGE, viewer: VIEWER, token: "secret" });
    assert.equal(session, server.beats()[0].session);
    assert.equal(server.beats().at(-1).token, "Bearer secret");
    assert.equal(server.beats().length, 2, "and no heartbeat after it");
  });
}

test("a heartbeat that arrives after the leave counts no viewer again", async () => {
  const { world, server, leave, recorded } = await alone();
  // The leave arrives before the heartbeat.
  world.travelMs = 1;
  leave();
  await world.pass(5);
  assert.deepEqual(server.received.map(({ kind }) => kind), ["leave"]);
  await world.pass(10_000);
  assert.deepEqual(server.received.map(({ kind }) => kind), ["leave", "beat", "leave"]);
  assert.equal(server.count().viewers, 0);
  assert.deepEqual(recorded.counts, [], "no count is reported after leave()");
});

test("after leave() a rejected heartbeat is not reported", async () => {
  const all = await alone({}, (world) => (world.server.answer = () => ({ status: 401, body: {} })));
  all.leave();
  await all.world.pass(10_000);
  assert.deepEqual(all.recorded, { counts: [], errors: [] });
  assertNothingIsLeft(all);
});

test("leave() before the first heartbeat sends no leave", async () => {
  const world = new World();
  const { leave } = watching(new Browser(world).open());
  leave();
  await world.pass(10_000);
  assert.deepEqual(world.server.received, []);
});

test("a coalesced heartbeat is like any other", async () => {
  const coalesced = (server) => () => ({ status: 200, body: { ...server.ok().body, coalesced: true } });
  const { world, server, recorded } = await alone({}, (world) => (world.server.answer = coalesced(world.server)));
  await world.pass(70_000);
  assert.equal(server.beats().length, 3);
  assert.equal(recorded.counts.length, 3);
  assert.ok(recorded.counts.every((count) => !("coalesced" in count) && count.viewers === 1));
});

test("invalid options are rejected before the first request", async () => {
  const { page } = await alone();
  for (const options of [{ stage: "" }, { viewer: undefined }, { viewer: 7 }, { session: "" }, { session: 7 }, { url: "http://[" }, { url: undefined }]) {
    assert.throws(() => watching(page, options), TypeError, JSON.stringify(options));
  }
});
