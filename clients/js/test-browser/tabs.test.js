/** Tabs of a real browser, against a real housecount with its default grace for leaves. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { chromiumOnly, counted, launch, pollCount, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

let server, site, browser;
before(async () => {
  server = await startServer("interval=2s", "ttl=60s");
  site = await startSite(server.url);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.end();
  await server?.end();
});

/** Launches a browser for one test, with its own stage. */
async function scene(t, stage = t.name.replaceAll(/[^a-z]+/gi, "-")) {
  const context = await browser.newContext();
  t.after(() => context.close());
  return { stage, open: (options = {}) => openTab(context, site, { stage, viewer: "ann", ...options }), context };
}

for (const transport of ["auto", "http"]) {
  test(`two tabs are one viewer with one session, and both get counts (${transport})`, async (t) => {
    const { stage, open } = await scene(t);
    const looking = pollCount(server, stage);
    const [first, second] = [await open({ transport, hasSessions: "yes" }), await open({ transport, hasSessions: "yes" })];
    await until("counts in both", async () => (await recorded(first)).counts.length > 2 && (await recorded(second)).counts.length > 2);
    assert.equal((await looking.end()).sessionsMax, 1);
    const { viewers, sessions } = (await recorded(second)).counts.at(-1);
    assert.deepEqual({ viewers, sessions }, { viewers: 1, sessions: 1 });
  });

  test(`closing one tab doesn't end the viewer, closing both does (${transport})`, async (t) => {
    const { stage, open } = await scene(t);
    const tabs = [await open({ transport }), await open({ transport }), await open({ transport })];
    for (const tab of tabs) await counted(tab);
    const looking = pollCount(server, stage);
    await until("polls", () => looking.seen.viewersMin === 1);
    const before = (await recorded(tabs[1])).counts.length;
    await tabs[0].close();
    await looking.changed();
    await until("counts in the others", async () => (await recorded(tabs[1])).counts.length > before + 1);
    await tabs[2].close();
    await until("and still", async () => (await recorded(tabs[1])).counts.length > before + 3);
    assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 2, sessions: 1 });
    // Long before the ttl: the server got its leave.
    await tabs[1].close();
    await until("a count of 0", async () => (await server.count(stage)).viewers === 0);
  });

  test(`a reload doesn't flap (${transport})`, async (t) => {
    const { stage, open } = await scene(t);
    const tab = await open({ transport });
    await counted(tab);
    const looking = pollCount(server, stage);
    await until("polls", () => looking.seen.viewersMin === 1);
    for (let n = 0; n < 3; n += 1) {
      looking.seen.sessionsMax = 0;
      await tab.reload();
      await counted(tab);
      await looking.changed();
    }
    assert.equal((await looking.end()).viewersMin, 1);
  });
}

test("a reload of one tab among two doesn't flap", async (t) => {
  const { stage, open } = await scene(t);
  const [first, second] = [await open(), await open()];
  await counted(second);
  const looking = pollCount(server, stage);
  await until("polls", () => looking.seen.viewersMin === 1);
  await first.reload();
  await counted(first);
  await looking.changed();
  assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 2, sessions: 1 });
});

test("a named session outlives its reload", async (t) => {
  const { stage, open } = await scene(t);
  const tab = await open({ session: "participant-1" });
  await counted(tab);
  const looking = pollCount(server, stage);
  await until("polls", () => looking.seen.viewersMin === 1);
  for (let n = 0; n < 3; n += 1) {
    await tab.reload();
    await until("three counts", async () => (await recorded(tab)).counts.length > 2);
  }
  assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 1, sessions: 1 });
});

/** Requests of leaves from now on. */
function requestedLeaves() {
  const before = site.received.length;
  return () => site.received.slice(before).filter(({ path }) => path === "/v1/leave");
}

test("leave() is a message on the WebSocket, without a request", async (t) => {
  const { stage, open } = await scene(t);
  const tab = await open({ token: "secret" });
  await counted(tab);
  const [leaves, { upgrades }] = [requestedLeaves(), site];
  await tab.evaluate(() => globalThis.handle.leave());
  await until("a count of 0", async () => (await server.count(stage)).viewers === 0);
  assert.deepEqual(leaves(), []);
  assert.equal(site.upgrades, upgrades);
});

test("where heartbeats are requests, leave() is one too, as text", async (t) => {
  const { stage, open } = await scene(t);
  const tab = await open({ token: "secret", transport: "http" });
  await counted(tab);
  const leaves = requestedLeaves();
  await tab.evaluate(() => globalThis.handle.leave());
  await until("a count of 0", async () => (await server.count(stage)).viewers === 0);
  const [{ contentType, token }, ...more] = leaves();
  assert.deepEqual([token, more], ["secret", []]);
  assert.match(contentType, /^text\/plain/);
});

for (const transport of ["auto", "http"]) {
  test(`a viewer restored from the cache is counted at once (${transport})`, chromiumOnly, async (t) => {
    const { stage, open } = await scene(t);
    const tab = await open({ transport });
    await counted(tab);
    const leaves = requestedLeaves();
    await tab.goto(`${site.url}/?other`);
    await until("a count of 0", async () => (await server.count(stage)).viewers === 0);
    assert.equal(leaves().length, transport === "http" ? 1 : 0);
    // A restored page is not loaded again.
    await tab.goBack({ waitUntil: "commit" });
    assert.equal((await recorded(tab)).returns, 1, "the same page, restored from the cache");
    await until("there", async () => (await server.count(stage)).viewers === 1);
  });
}

test("without Web Locks (plain HTTP) each tab sends its own heartbeats, as one viewer", chromiumOnly, async (t) => {
  const plain = await launch("--host-resolver-rules=MAP site.test 127.0.0.1");
  t.after(() => plain.close());
  const { stage } = await scene(t);
  const context = await plain.newContext();
  const away = { url: site.url.replace("127.0.0.1", "site.test") };
  const [first, second] = [await openTab(context, away, { stage, viewer: "ann" }), await openTab(context, away, { stage, viewer: "ann" })];
  assert.equal(await first.evaluate(() => "locks" in navigator), false);
  await counted(first);
  await counted(second);
  const looking = pollCount(server, stage);
  await until("both", () => looking.seen.sessions === 2);
  await first.close();
  await until("one", () => looking.seen.sessions === 1);
  assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 2, sessions: 1 });
});

test("a sandboxed frame, without locks and channels, sends heartbeats too", async (t) => {
  const { stage, context } = await scene(t);
  const tab = await context.newPage();
  await tab.goto(`${site.url}/?other`);
  await tab.evaluate((address) => {
    const frame = document.createElement("iframe");
    frame.sandbox.add("allow-scripts");
    frame.src = address;
    document.body.append(frame);
  }, `${site.url}/?${new URLSearchParams({ stage, viewer: "ann", url: site.url, transport: "http" })}`);
  await until("there", async () => (await server.count(stage)).viewers === 1);
});

test("an exception in the page's onCount is reported, and the heartbeats continue", chromiumOnly, async (t) => {
  const { open, context } = await scene(t);
  const errors = [];
  context.on("weberror", (error) => errors.push(error.error().message));
  const tab = await open({ isThrowing: "yes" });
  await until("three counts", async () => (await recorded(tab)).counts.length > 2);
  assert.deepEqual([...new Set(errors)], ["the page's own mistake"]);
  assert.deepEqual((await recorded(tab)).errors, []);
});

test("a permanent rejection is reported once", async (t) => {
  const { open } = await scene(t, "no spaces allowed");
  const code = (transport) => open({ transport }).then((tab) => until("an error", async () => (await recorded(tab)).errors[0]));
  const [byFetch, bySocket] = [await code("http"), await code("ws")];
  assert.deepEqual([byFetch.code, byFetch.status], ["invalid_stage", 400]);
  assert.deepEqual([bySocket.code, bySocket.status], ["invalid_stage", undefined]);
});
