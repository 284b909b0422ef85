/** Status reports of a watch, with a page and without one. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./support/load.js";
import { STAGE, VIEWER, alone, watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

test("connecting, counted, stopped", async () => {
  const { world, statuses, leave } = await alone();
  assert.deepEqual(statuses, [["connecting", ""]]);
  await world.pass(100_000);
  leave();
  leave();
  assert.deepEqual(statuses, [["connecting", ""], ["counted", ""], ["stopped", "left"]]);
});

test("retrying with the reason, until counted again", async () => {
  const { world, statuses, server } = await alone({}, (world) => (world.server.answer = () => ({ status: 503, body: { code: "x", detail: "the log is away" } })));
  await world.pass(10_000);
  assert.deepEqual(statuses, [["connecting", ""], ["retrying", "the log is away"]]);
  server.answer = null;
  await world.pass(30_000);
  assert.deepEqual(statuses.slice(2), [["counted", ""]]);
});

test("a rejection is reported once, with onError", async () => {
  const { world, statuses, recorded, leave } = await alone({}, (world) => (world.server.answer = () => ({ status: 403, body: { code: "x", detail: "not you" } })));
  await world.pass(10_000);
  leave();
  assert.deepEqual(statuses, [["connecting", ""], ["refused", "not you"]]);
  assert.equal(recorded.errors.length, 1);
});

for (const transport of ["auto", "http", "ws"]) {
  test(`a server that accepts connections and never responds is reported within 3 s (${transport})`, async () => {
    const { world, statuses } = await alone({ transport }, (world) => {
      world.server.answer = () => null;
      world.server.socketsHang = true;
    });
    await world.pass(3_000);
    assert.deepEqual(statuses.at(-1), ["retrying", "no answer"]);
  });
}

test("a WebSocket that a policy closes before it opens costs no time", async () => {
  for (const readyState of [2, 3]) {
    const world = new World();
    const page = new Browser(world).open();
    page.WebSocket = class {
      readyState = readyState;
      send() {}
      close() {}
    };
    const { recorded } = watching(page, { transport: "auto" });
    await world.pass(100);
    assert.equal(recorded.counts.length, 1, `${readyState}`);
  }
});

test("a tab that is not the leader gets status reports too", async () => {
  const world = new World();
  const browser = new Browser(world);
  watching(browser.open());
  await world.pass(1_000);
  const { statuses } = watching(browser.open());
  await world.pass(1_000);
  assert.deepEqual(statuses, [["connecting", ""], ["counted", ""]]);
  world.server.answer = () => ({ status: 500, body: { detail: "why" } });
  await world.pass(40_000);
  assert.deepEqual(statuses.at(-1), ["retrying", "why"]);
});

test("debug writes each change to the console", async () => {
  const { world, page } = await alone({ debug: true });
  await world.pass(1_000);
  assert.deepEqual(page.logged, [["housecount", STAGE, "connecting", ""], ["housecount", STAGE, "counted", ""]]);
});

/** Globals missing in Node, a worker or React Native: window, document, beacons, locks; in the worst case crypto. */
for (const lacks of [[], ["WebSocket"], ["WebSocket", "crypto", "navigator", "BroadcastChannel"]]) {
  test(`without a window, heartbeats use timers and fetch (lacks ${lacks.join(", ") || "nothing else"})`, async () => {
    const world = new World();
    const full = new Browser(world).open();
    const bare = { navigator: {} };
    for (const name of ["setTimeout", "clearTimeout", "fetch", "Date", "Math", "AbortController", "WebSocket", "crypto", "BroadcastChannel", "atob"]) bare[name] = full[name];
    for (const name of lacks) delete bare[name];
    const recorded = [];
    const { leave } = load(bare).watch({ url: "https://count.example", stage: STAGE, viewer: VIEWER, onCount: (count) => recorded.push(count) });
    await world.pass(100_000);
    assert.equal(recorded.length, 4);
    assert.equal(new Set(world.server.beats().map(({ session }) => session)).size, 1);
    leave();
    await world.pass(10_000);
    assert.equal(world.server.count().viewers, 0);
    assert.equal(world.server.leaves()[0].by, lacks.length ? "fetch" : "ws");
    assert.deepEqual(world.timers, []);
  });
}

test("twenty quick pairs of watch and leave: a later watch is counted after the grace", async () => {
  const world = new World();
  const page = new Browser(world, { lacks: ["locks"] }).open();
  // Like the real server: a session stays online for the grace of its leave.
  world.server.answer = () => (world.server.count().sessions < 20 ? world.server.ok() : { status: 429, body: { code: "too_many_sessions" }, headers: { "retry-after": "3" } });
  for (let n = 0; n < 20; n += 1) {
    const { leave } = watching(page);
    await world.pass(50);
    leave();
  }
  const { recorded } = watching(page);
  await world.pass(100);
  assert.equal(recorded.counts.length, 0);
  await world.pass(4_000);
  assert.equal(recorded.counts.length, 1);
});
