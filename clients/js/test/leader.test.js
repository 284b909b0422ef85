/** Leader election: several pages of one viewer stay one viewer, whichever page closes, crashes or freezes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { watching } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

/** Two pages of one viewer on one stage; the first one is the leader. */
async function two(options = {}, lacks = []) {
  const world = new World();
  const browser = new Browser(world, { lacks });
  const first = watching(browser.open(), options);
  await world.pass(5_000);
  const second = watching(browser.open(), options);
  await world.pass(1_000);
  return { world, browser, server: world.server, first, second };
}

const sessionsOf = (events) => [...new Set(events.map(({ session }) => session))];

/** Maximum of the server's session count. */
function sessionsMax({ server, world }) {
  let most = 0;
  for (let at = server.beats()[0].at; at <= world.now; at += 100) most = Math.max(most, server.count(at).sessions);
  return most;
}

test("two tabs: one sends heartbeats, both get counts", async () => {
  const { world, server, first, second } = await two();
  assert.equal(second.recorded.counts.length, 1, "a new tab gets the latest count");
  await world.pass(300_000);
  assert.equal(sessionsOf(server.beats()).length, 1);
  assert.deepEqual(second.recorded.counts.slice(1), first.recorded.counts.slice(1));
  assert.equal(first.recorded.counts.length, 11);
  assert.equal(server.leaves().length, 0);
});

test("a server at the page's own origin: pages at any address share a leader", async () => {
  const world = new World();
  const browser = new Browser(world);
  for (const path of ["a?token=secret", "b/c#d", ""]) {
    const page = browser.open();
    page.location = { href: `https://site.example/${path}` };
    watching(page, { url: "" });
    await world.pass(1_000);
  }
  assert.equal(sessionsOf(world.server.beats()).length, 1);
  assert.deepEqual(Object.keys(browser.storage), [`housecount ${JSON.stringify(["https://site.example/", "match-1", "ann"])}`]);
});

test("the leader closes: the other continues at once", async () => {
  const all = await two();
  const { world, server, first, second } = all;
  await world.pass(40_000);
  first.page.close();
  await world.pass(20);
  const [one, other, ...more] = sessionsOf(server.beats());
  assert.ok(one && other && !more.length, "the other page has its own session");
  assert.deepEqual(sessionsOf(server.leaves()), [one]);
  await world.pass(120_000);
  assert.deepEqual(server.gaps(), []);
  assert.equal(sessionsMax(all), 2);
  assert.equal(server.count().sessions, 1);
  second.page.close();
  await world.pass(3_100);
  assert.equal(server.count().viewers, 0);
});

for (const lateMs of [0, 500, 5_000, 60_000]) {
  test(`a leave that is ${lateMs} ms late ends no other session, also after a reload`, async () => {
    const { world, server, browser, first, second } = await two();
    await world.pass(40_000);
    const travelMs = world.travelMs;
    world.travelMs = lateMs + 1;
    first.page.close();
    world.travelMs = travelMs;
    await world.pass(100_000);
    assert.deepEqual(server.gaps(), []);
    // A reload: the last page closes, and the new one opens a second later.
    world.travelMs = lateMs + 1;
    second.page.close();
    world.travelMs = travelMs;
    await world.pass(1_000);
    watching(browser.open());
    await world.pass(200_000);
    assert.deepEqual(server.gaps(), []);
    assert.equal(server.count().sessions, 1);
  });
}

test("a follower closes or leaves: no leave is sent", async () => {
  const { world, server, browser, second } = await two();
  const third = watching(browser.open());
  await world.pass(1_000);
  third.leave();
  await world.pass(1_000);
  assert.equal(browser.locks.held(), 2);
  second.page.close();
  await world.pass(100_000);
  assert.deepEqual(server.leaves(), []);
  assert.deepEqual(server.gaps(), []);
});

test("leave() in one tab: the other continues", async () => {
  const { world, server, first, second, browser } = await two();
  await world.pass(40_000);
  first.leave();
  await world.pass(100_000);
  assert.deepEqual(server.gaps(), []);
  const recorded = first.recorded.counts.length;
  second.leave();
  await world.pass(3_100);
  assert.equal(server.count().viewers, 0);
  assert.equal(first.recorded.counts.length, recorded, "no count is reported after leave()");
  assert.equal(browser.locks.held(), 0);
});

test("the leader crashes: the other continues at once", async () => {
  const { world, server, first } = await two();
  await world.pass(40_000);
  const before = server.beats().length;
  first.page.crash();
  await world.pass(20);
  assert.equal(server.beats().length, before + 1);
  await world.pass(100_000);
  assert.deepEqual(server.gaps(), []);
});

test("the tab after a crash names the crashed session, the one after a leave names none", async () => {
  const { world, server, browser, first, second } = await two();
  const [crashed] = sessionsOf(server.beats());
  first.page.crash();
  await world.pass(1_000);
  const [, heir] = sessionsOf(server.beats());
  assert.equal(server.beats().at(-1).replaces, crashed);
  assert.deepEqual(Object.values(browser.storage), [heir]);
  second.page.crash();
  const third = watching(browser.open());
  await world.pass(1_000);
  assert.equal(server.beats().at(-1).replaces, heir);
  third.leave();
  assert.deepEqual(browser.storage, {});
  watching(browser.open());
  await world.pass(1_000);
  assert.equal(server.beats().at(-1).replaces, undefined);
});

test("a rejected session is not stored", async () => {
  const { world, server, browser } = await two();
  assert.equal(Object.keys(browser.storage).length, 1);
  server.answer = () => ({ status: 409, body: { code: "displaced", detail: "why" } });
  await world.pass(40_000);
  assert.deepEqual(browser.storage, {});
});

test("tabs that don't share a session, and sessions of the caller, are not stored", async () => {
  const { world, browser, first } = await two({}, ["locks"]);
  const named = watching(browser.open(), { viewer: "bob", session: "phone" });
  await world.pass(1_000);
  assert.deepEqual(browser.storage, {});
  assert.equal(first.recorded.counts.length + named.recorded.counts.length, 2);
});

test("a browser that stores nothing: the viewer is counted all the same", async () => {
  const world = new World();
  const page = new Browser(world).open();
  const refuse = () => {
    throw new DOMException("the quota is used up", "QuotaExceededError");
  };
  for (const get of [refuse, () => new Proxy({}, { set: refuse })]) {
    Object.defineProperty(page, "localStorage", { get, configurable: true });
    const { recorded, leave } = watching(page);
    await world.pass(1_000);
    assert.equal(recorded.counts.length, 1);
    leave();
    await world.pass(1_000);
  }
});

for (const answers of [false, true]) {
  test(`the leader is frozen${answers ? " but answers others" : ""}: the other takes over in time, and continues when it thaws`, async () => {
    const { world, server, browser, first, second } = await two();
    first.page.show("hidden");
    await world.pass(40_000);
    first.page.freeze({ answers });
    await world.pass(600_000);
    assert.deepEqual(server.gaps(), []);
    const [frozen, awake, ...more] = sessionsOf(server.beats());
    assert.ok(frozen && awake && !more.length);
    assert.ok(second.recorded.counts.length > 15);
    const before = server.beats().length;
    first.page.thaw();
    first.page.show("visible");
    await world.pass(10_000);
    const after = server.beats().slice(before).filter(({ session }) => session === frozen);
    assert.ok(after.length <= 1, "its timer may fire before it learns that it lost the lock");
    assert.deepEqual(sessionsOf(server.leaves()), [frozen]);
    const recorded = first.recorded.counts.length;
    await world.pass(200_000);
    assert.deepEqual(sessionsOf(server.beats().slice(before + after.length)), [awake]);
    assert.ok(first.recorded.counts.length >= recorded + 6, "it gets counts again");
    assert.equal(browser.locks.held(), 2, "each page asks for the lock once");
    assert.equal(server.beats().find(({ session }) => session === awake).replaces, frozen);
    assert.deepEqual(Object.values(browser.storage), [awake], "the thawed page removes only its own session");
    second.page.close();
    await world.pass(100_000);
    assert.equal(sessionsOf(server.beats()).length, 3, "it is the leader again");
    assert.deepEqual(server.gaps(), []);
  });
}

test("a tab opened while the leader is frozen is counted within seconds", async () => {
  const { world, server, browser, first, second } = await two();
  second.page.close();
  await world.pass(10_000);
  first.page.freeze();
  await world.pass(300_000);
  assert.equal(server.count().viewers, 0, "no viewer was counted");
  const { recorded } = watching(browser.open());
  await world.pass(5_100);
  assert.equal(server.count().viewers, 1);
  assert.equal(recorded.counts.length, 1);
});

test("a live leader keeps the lock, though the server is unavailable or timers are slow", async () => {
  const { world, server, first } = await two();
  first.page.show("hidden");
  server.answer = () => ({ status: 503, body: {}, headers: { "retry-after": "30" } });
  await world.pass(600_000);
  server.answer = null;
  await world.pass(600_000);
  assert.equal(sessionsOf(server.beats()).length, 1);
  assert.deepEqual(server.leaves(), []);
});

test("a live tab without timers sends a heartbeat when another tab queries it", async () => {
  const { world, server, first } = await two();
  world.timers = world.timers.filter(({ page }) => page !== first.page);
  await world.pass(600_000);
  assert.deepEqual(server.gaps(), []);
  assert.equal(sessionsOf(server.beats()).length, 1);
});

test("a leader keeps the lock before the first response", async () => {
  const world = new World();
  const browser = new Browser(world);
  world.server.answer = () => null;
  watching(browser.open());
  await world.pass(1_000);
  watching(browser.open());
  await world.pass(9_000);
  assert.equal(world.server.beats().length, 1);
});

for (const lacks of [["locks"], ["BroadcastChannel"], ["locks", "BroadcastChannel", "WebSocket", "sendBeacon"]]) {
  test(`without ${lacks.join(" and ")} each tab sends its own heartbeats`, async () => {
    const { world, server, first, second } = await two({ transport: "auto" }, lacks);
    await world.pass(100_000);
    assert.deepEqual(server.count(), { viewers: 1, sessions: 2 });
    assert.ok(first.recorded.counts.length > 2 && second.recorded.counts.length > 2);
    first.page.close();
    await world.pass(200_000);
    assert.deepEqual(server.gaps(), []);
    assert.deepEqual(server.count(), { viewers: 1, sessions: 1 });
    second.leave();
    await world.pass(130_000);
    assert.equal(server.count().viewers, 0);
  });
}

for (const what of ["locks", "channels"]) {
  test(`a page that may use no ${what} sends its own heartbeats`, async () => {
    const world = new World();
    const page = new Browser(world).open();
    const refused = () => new DOMException("not here", "SecurityError");
    if (what === "locks") page.navigator.locks.request = () => Promise.reject(refused());
    else page.BroadcastChannel = class { constructor() { throw refused(); } };
    const { leave } = watching(page);
    await world.pass(100_000);
    assert.equal(sessionsOf(world.server.beats()).length, 1);
    assert.equal(world.server.beats().length, 4);
    leave();
    await world.pass(10_000);
    assert.equal(world.server.count().viewers, 0);
  });
}

test("into the back/forward cache and back", async () => {
  const world = new World();
  const browser = new Browser(world);
  const { page, leave } = watching(browser.open(), { transport: "auto" });
  const { server } = world;
  await world.pass(40_000);
  await page.store();
  assert.equal(page.sockets.size + page.channels.size + page.fetches.size + browser.locks.held(), 0, "no connection keeps it out of the cache");
  await world.pass(1_000);
  assert.equal(server.leaves().length, 1);
  page.restore();
  await world.pass(100_000);
  assert.deepEqual(server.gaps(), [], "back within the grace");
  assert.equal(sessionsOf(server.beats()).length, 2, "a session id is used once");
  await page.store();
  await world.pass(600_000);
  assert.equal(server.count().viewers, 0, "the page may never return");
  page.restore();
  await world.pass(50);
  assert.equal(server.count().viewers, 1);
  await page.store();
  leave();
  page.restore();
  await world.pass(300_000);
  assert.equal(server.count().viewers, 0, "a viewer who left is not counted again when the page returns");
});

test("into the cache with a pending heartbeat: it is aborted", async () => {
  const world = new World();
  const { page } = watching(new Browser(world).open());
  await world.pass(5);
  assert.equal(page.fetches.size, 1);
  await page.store();
  assert.equal(page.fetches.size, 0);
  await world.pass(60_000);
  assert.deepEqual(world.server.received.map(({ kind }) => kind), ["beat", "leave"]);
});

test("named sessions send their own heartbeats", async () => {
  const world = new World();
  const browser = new Browser(world);
  for (const session of ["one", "other"]) watching(browser.open(), { session });
  await world.pass(100_000);
  assert.deepEqual(world.server.count(), { viewers: 1, sessions: 2 });
});

test("a named session outlives the late leave of its reload", async () => {
  const { world, server, browser, first, second } = await two({ session: "participant-1" });
  second.page.crash();
  await world.pass(40_000);
  for (const lateMs of [100, 1_500]) {
    const travelMs = world.travelMs;
    world.travelMs = lateMs;
    browser.pages[0].close();
    world.travelMs = travelMs;
    watching(browser.open(), { session: "participant-1" });
    await world.pass(100_000);
  }
  assert.ok(first.recorded.counts.length);
  assert.deepEqual(sessionsOf(server.received), ["participant-1"]);
  assert.deepEqual(server.gaps(), []);
  assert.equal(server.leaves().length, 2);
});

test("other viewers, stages and servers have their own leader", async () => {
  const world = new World();
  const browser = new Browser(world);
  for (const options of [{}, { viewer: "bob" }, { stage: "match-2" }, { url: "https://other.example" }]) watching(browser.open(), options);
  await world.pass(1_000);
  assert.equal(world.server.beats().length, 4);
  watching(browser.open(), { url: "https://count.example/" });
  await world.pass(1_000);
  assert.equal(world.server.beats().length, 4, "a trailing slash is the same server");
});

test("two watches in one page share a leader, like two pages", async () => {
  const world = new World();
  const page = new Browser(world).open();
  const [one, other] = [watching(page), watching(page)];
  await world.pass(1_000);
  assert.equal(sessionsOf(world.server.beats()).length, 1);
  one.leave();
  await world.pass(100_000);
  assert.deepEqual(world.server.gaps(), []);
  assert.ok(other.recorded.counts.length > 2);
});

test("a rejected leader releases the lock, and each page reports the rejection", async () => {
  const { world, server, first, second, browser } = await two();
  server.answer = ({ token }) => (token ? { status: 401, body: { code: "token_expired" } } : server.ok());
  const third = watching(browser.open(), { token: "old" });
  first.leave();
  second.leave();
  await world.pass(1_000);
  assert.deepEqual(third.recorded.errors.map(({ code }) => code), ["token_expired"]);
  const fourth = watching(browser.open());
  await world.pass(1_000);
  assert.equal(fourth.recorded.counts.length, 1);
});
