/** Viewers' tokens, over each transport. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { counted, launch, pollCount, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";
import { SECRET, mint } from "./support/tokens.js";

test("a token is sent over each transport, and a rejection is reported", async (t) => {
  const server = await startServer("interval=2s", "ttl=60s", "auth.viewer=required", `auth.viewer_keys=secret:${SECRET}`, "auth.leeway=0s");
  t.after(() => server.end());
  const site = await startSite(server.url);
  t.after(() => site.end());
  const browser = await launch();
  t.after(() => browser.close());
  const open = async (options) => openTab(await browser.newContext(), site, { stage: "s", viewer: "ann", ...options });

  for (const transport of ["ws", "http"]) {
    const tab = await open({ transport, token: mint(3_600), looksAt: "s" });
    await counted(tab);
    await until("live", async () => (await recorded(tab)).live.at(-1)?.viewers === 1);
    // Long before the ttl: the server accepted the leave's token.
    await tab.close();
    await until("a count of 0", async () => (await server.count("s")).viewers === 0);
  }
  for (const transport of ["auto", "http"]) {
    const why = async (options) => {
      const tab = await open({ transport, ...options });
      const { code, status } = await until("an error", async () => (await recorded(tab)).errors[0]);
      await tab.close();
      return [code, status];
    };
    assert.deepEqual(await why({}), ["token_missing", 401]);
    assert.deepEqual(await why({ token: mint(3_600, "another secret for this test suite alone") }), ["token_invalid", 401]);
    assert.deepEqual(await why({ token: mint(3_600), viewer: "bob" }), ["token_mismatch", transport === "auto" ? undefined : 403]);
    const tab = await open({ transport, token: mint(5) });
    await counted(tab);
    const { code } = await until("its end", async () => (await recorded(tab)).errors[0]);
    assert.equal(code, "token_expired");
    await tab.close();
  }
});

for (const transport of ["auto", "http"]) {
  test(`tokens of four seconds: the viewer is counted without a gap, in one session, and no address has a token (${transport})`, async (t) => {
    const server = await startServer("interval=1s", "ttl=60s", "leave_grace=100ms", "auth.viewer=required", `auth.viewer_keys=secret:${SECRET}`, "auth.leeway=0s");
    t.after(() => server.end());
    let minted = 0;
    const site = await startSite(server.url, { "/mint/": async () => ((minted += 1), [200, "text/plain", mint(4)]) });
    t.after(() => site.end());
    const browser = await launch();
    t.after(() => browser.close());
    const tab = await browser.newPage();
    await tab.goto(`${site.url}/?other`);
    await tab.evaluate(async (transport) => {
      const { subscribe, watch } = await import("/src/index.js");
      const { recorded } = globalThis;
      const mint = async () => (await fetch("/mint/token")).text();
      const onStatus = (...status) => recorded.statuses.push(status);
      globalThis.handle = watch({ url: "", stage: "s", viewer: "ann", transport, token: mint, onStatus, onCount: (count) => recorded.counts.push(count), onError: ({ code }) => recorded.errors.push(code) });
      subscribe({ url: "", token: mint }, "s", (count) => recorded.live.push(count), ({ code }) => recorded.liveErrors.push(code));
    }, transport);
    await until("counted", async () => (await server.count("s")).viewers === 1);
    const looking = pollCount(server, "s");
    await until("many tokens", () => minted > 8);
    const { counts, live } = await recorded(tab);
    await until("more counts", async () => (await recorded(tab)).counts.length > counts.length + 1);
    assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 1, sessions: 1 });
    const { errors, liveErrors } = await recorded(tab);
    assert.deepEqual([errors, liveErrors, live.length > 0], [[], [], true]);
    assert.deepEqual([...site.addresses].filter((address) => /token|ey/.test(address)), []);
    await tab.evaluate(() => globalThis.handle.leave());
    await until("a count of 0", async () => (await server.count("s")).viewers === 0);
  });
}
