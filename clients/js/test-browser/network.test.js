/** Networks that fail, return and filter, in front of a real housecount. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { chromiumOnly, counted, launch, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function scene(t, ...settings) {
  const server = await startServer(...settings);
  t.after(() => server.end());
  const site = await startSite(server.url);
  t.after(() => site.end());
  const context = await browser.newContext();
  t.after(() => context.close());
  return { server, site, context, open: (options = {}) => openTab(context, site, { stage: "s", viewer: "ann", ...options }) };
}

for (const transport of ["auto", "http"]) {
  test(`offline for 20 s, expired on the server, and counted again at once (${transport})`, chromiumOnly, async (t) => {
    const { server, site, context, open } = await scene(t, "interval=5s", "ttl=20s");
    const tab = await open({ transport });
    await counted(tab);
    await context.setOffline(true);
    site.cut();
    await until("a count of 0", async () => (await server.count("s")).viewers === 0);
    site.isCut = false;
    await context.setOffline(false);
    await until("there", async () => (await server.count("s")).viewers === 1);
    assert.deepEqual((await recorded(tab)).errors, []);
  });
}

test("heartbeats go over one WebSocket", async (t) => {
  const { site, open } = await scene(t, "interval=2s", "ttl=6s");
  const tab = await open();
  await until("three counts", async () => (await recorded(tab)).counts.length > 2);
  assert.equal(site.upgrades, 1);
  assert.deepEqual(site.received, []);
});

test("with WebSockets blocked, heartbeats use fetch, as text", async (t) => {
  const { server, site, open } = await scene(t, "interval=2s", "ttl=6s");
  site.blocksSockets = true;
  const tab = await open();
  await until("three counts", async () => (await recorded(tab)).counts.length > 2);
  assert.equal(site.upgrades, 1, "and no other is tried");
  assert.ok(site.received.every(({ path, contentType }) => path === "/v1/heartbeat" && contentType.startsWith("text/plain")));
  assert.deepEqual(await server.count("s").then(({ viewers, sessions }) => ({ viewers, sessions })), { viewers: 1, sessions: 1 });
});

test("a broken connection is reopened", async (t) => {
  const { site, open } = await scene(t, "interval=2s", "ttl=6s");
  const tab = await open();
  await counted(tab);
  site.cut();
  site.isCut = false;
  await until("another", () => site.upgrades === 2);
  const { length } = (await recorded(tab)).counts;
  await until("counts", async () => (await recorded(tab)).counts.length > length + 1);
});

test("subscribe reports counts at once and with each change, also after an outage of the server", async (t) => {
  const { site, context, open } = await scene(t, "interval=2s", "ttl=6s", "leave_grace=100ms");
  const looking = await openTab(context, site, { looksAt: "s,t", hasSessions: "yes", every: "1s" });
  const live = async () => (await recorded(looking)).live;
  const viewers = async (stage) => (await live()).filter((count) => count.stage === stage).at(-1)?.viewers;
  await until("a count of 0 on both", async () => (await viewers("s")) === 0 && (await viewers("t")) === 0);
  const tab = await open();
  await until("ann", async () => (await viewers("s")) === 1);
  assert.deepEqual(Object.keys((await live()).at(-1)).sort(), ["asOf", "complete", "recovering", "sessions", "stage", "viewers"]);
  site.cut();
  await tab.close();
  site.isCut = false;
  await until("a count of 0 again", async () => (await viewers("s")) === 0);
  await looking.evaluate(() => globalThis.end());
});

test("from a page of another site", async (t) => {
  const { server, site, context } = await scene(t, "interval=2s", "ttl=6s");
  for (const transport of ["http", "auto"]) {
    const options = { stage: transport, viewer: "ann", transport, url: server.url };
    const tab = await openTab(context, site, { ...options, looksAt: "" });
    await until("two counts", async () => (await recorded(tab)).counts.length > 1);
    await tab.close();
    await until("a count of 0", async () => (await server.count(transport)).viewers === 0);
  }
  // `Authorization` needs a preflight.
  const tab = await openTab(context, site, { stage: "token", viewer: "ann", transport: "http", url: server.url, token: "t" });
  await counted(tab);
});
