/** Failures between a page and its server: the page reports them soon, and falls back where it can. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { after, before, test } from "node:test";

import { counted, launch, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

let browser, server, site;
before(async () => {
  browser = await launch();
  server = await startServer("interval=2s", "ttl=6s");
  const page = await readFile(new URL("support/page.html", import.meta.url), "utf8");
  const policy = (sources) => page.replace("<title>", `<meta http-equiv="Content-Security-Policy" content="connect-src ${sources}"><title>`);
  // `'self'` covers WebSockets of the same host in some browsers, so the server has another host than the page.
  site = await startSite(server.url, { "/without-ws": policy(server.url), "/without-anything": policy("'none'") });
});
after(async () => {
  await browser?.close();
  await site?.end();
  await server?.end();
});

async function scene(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  return context;
}

test("a policy without ws: costs no time, and fetch is used", async (t) => {
  const tab = await (await scene(t)).newPage();
  await tab.goto(`${site.url}/without-ws?${new URLSearchParams({ stage: "csp", viewer: "ann", url: server.url })}`);
  await counted(tab);
  // A slow WebSocket would have been reported before.
  assert.deepEqual((await recorded(tab)).statuses.map(([status]) => status), ["connecting", "counted"]);
});

/** A port without a listener, and one that accepts connections and never responds. */
async function ports(t) {
  const hole = createServer((socket) => socket.on("error", () => {}));
  await new Promise((resolve) => hole.listen(0, "127.0.0.1", resolve));
  const gone = createServer();
  await new Promise((resolve) => gone.listen(0, "127.0.0.1", resolve));
  const { port } = gone.address();
  await new Promise((resolve) => gone.close(resolve));
  t.after(() => hole.close());
  return { silent: `http://127.0.0.1:${hole.address().port}`, wrong: `http://127.0.0.1:${port}` };
}

for (const transport of ["auto", "http", "ws"]) {
  test(`a wrong port, a silent server, and a policy are reported (${transport})`, async (t) => {
    const { silent, wrong } = await ports(t);
    const context = await scene(t);
    for (const [what, page, url] of [["wrong port", "", wrong], ["silence", "", silent], ["policy", "without-anything", server.url]]) {
      const tab = await context.newPage();
      await tab.goto(`${site.url}/${page}?${new URLSearchParams({ stage: "s", viewer: "ann", transport, url, looksAt: "s" })}`);
      const found = await until(what, async () => {
        const { statuses, liveStatuses } = await recorded(tab);
        const of = (all) => all.find(([status]) => status === "retrying");
        return of(statuses) && of(liveStatuses) && [of(statuses), of(liveStatuses)];
      });
      // Unit tests check the exact time, with a simulated clock.
      if (what === "silence") assert.deepEqual(found.map(([, why]) => why), ["no answer", "no answer"]);
      t.diagnostic(`${what}: ${found.map(([, why, at]) => `${why} (${at} ms)`)}`);
      await tab.close();
    }
  });
}

test("a server whose responses the page may not read (CORS) is reported", async (t) => {
  const strict = await startServer("cors.origins=https://elsewhere.example");
  t.after(() => strict.end());
  const tab = await openTab(await scene(t), site, { stage: "s", viewer: "ann", url: strict.url, transport: "http", looksAt: "s" });
  await until("a report", async () => {
    const { statuses, liveStatuses } = await recorded(tab);
    return [statuses, liveStatuses].every((all) => all.some(([status]) => status === "retrying"));
  });
});

test("a rejected subscription is reported once, and sends no more requests", async (t) => {
  const strict = await startServer("auth.viewer=required", "auth.viewer_keys=secret:a secret for this test suite and no other");
  t.after(() => strict.end());
  const tab = await openTab(await scene(t), site, { looksAt: "s", url: strict.url });
  await until("an error", async () => (await recorded(tab)).liveErrors.length);
  const { liveErrors, liveStatuses } = await recorded(tab);
  assert.deepEqual(liveErrors, [{ code: "token_missing", status: 401 }]);
  assert.deepEqual(liveStatuses.map(([status]) => status), ["connecting", "refused"]);
});

test("twenty quick pairs of watch and leave: a later watch is counted after the grace", async (t) => {
  const tab = await openTab(await scene(t), site, { stage: "first", viewer: "cat", transport: "http" });
  await counted(tab);
  await tab.evaluate(async (url) => {
    globalThis.handle.leave();
    const { watch } = await import("/src/index.js");
    // Each has its own session, as in tabs without locks.
    for (let n = 0; n < 20; n += 1) {
      await new Promise((done) => {
        const { leave } = watch({ url, stage: "pairs", viewer: "cat", session: `${n}`, transport: "http", onCount: () => (leave(), done()) });
      });
    }
    globalThis.recorded.statuses.length = 0;
    const onStatus = (...status) => globalThis.recorded.statuses.push(status);
    globalThis.handle = watch({ url, stage: "pairs", viewer: "cat", session: "last", transport: "http", onStatus });
  }, site.url);
  await until("counted", async () => (await recorded(tab)).statuses.some(([status]) => status === "counted"));
  const { statuses } = await recorded(tab);
  assert.deepEqual(statuses.map(([status]) => status), ["connecting", "retrying", "counted"], "it was refused once, and taken next");
});

test("seven dashboards of eight subscriptions each share one stream, and an eighth tab loads", async (t) => {
  const context = await scene(t);
  const before = site.streams;
  const tabs = [];
  for (let n = 0; n < 8; n += 1) {
    const tab = await openTab(context, site, { looksAt: "a" });
    await tab.evaluate(async (n) => {
      const { subscribe } = await import("/src/index.js");
      for (let of = 0; of < 7; of += 1) subscribe({ url: "" }, `tab-${n}-${of}`, (count) => globalThis.recorded.live.push(count));
    }, n);
    tabs.push(tab);
  }
  for (const [n, tab] of tabs.entries()) {
    await until(`all counts of tab ${n}`, async () => new Set((await recorded(tab)).live.map(({ stage }) => stage)).size === 8);
  }
  assert.equal(site.streams - before, 1);
  // The leader closes, and the others get later changes.
  await tabs[0].close();
  await fetch(`${server.url}/v1/heartbeat`, { method: "POST", body: JSON.stringify({ stage: "a", viewer: "dan" }) });
  for (const tab of tabs.slice(1)) await until("a change", async () => (await recorded(tab)).live.some(({ stage, viewers }) => stage === "a" && viewers === 1));
  assert.equal(site.streams - before, 1);
});
