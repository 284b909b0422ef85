/** Limits of streams: a tab after a crash takes the place of the crashed one. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { chromiumOnly, counted, launch, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";
import { SECRET, mint } from "./support/tokens.js";

/** Starts a browser and a server on which a viewer may watch one stream. */
async function start(t, transport, policy = "refuse") {
  const limits = ["limits.streams_per_viewer=1", `limits.streams_policy=${policy}`];
  const server = await startServer("interval=1s", "ttl=180s", "auth.viewer=required", `auth.viewer_keys=secret:${SECRET}`, ...limits);
  t.after(() => server.end());
  const site = await startSite(server.url);
  t.after(() => site.end());
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const open = (options = {}) => openTab(context, site, { stage: "s", viewer: "ann", token: mint(3_600), transport, ...options });
  return { server, open };
}

/** Waits until a tab is refused. */
const refusal = (tab) => until("an error", async () => (await recorded(tab)).errors[0]);

/** Keeps a tab from sending its leave when it closes, as a crash does. */
const muteLeave = (tab) => tab.evaluate(`void addEventListener("pagehide", (event) => event.stopImmediatePropagation(), true)`);

for (const transport of ["ws", "http"]) {
  test(`a tab takes the place of the one that ended without its leave, and another player does not (${transport})`, async (t) => {
    const { server, open } = await start(t, transport);
    const crashed = await open();
    await counted(crashed);
    await muteLeave(crashed);
    const other = await open({ session: "other" });
    const { code, active } = await refusal(other);
    assert.deepEqual([code, active.length, active[0].stage], ["too_many_streams", 1, "s"]);
    await crashed.reload();
    await counted(crashed);
    await muteLeave(crashed);
    await crashed.close();
    const next = await open();
    await counted(next);
    assert.deepEqual((await recorded(next)).errors, []);
    await until("one session, long before the ttl", async () => (await server.count("s")).sessions === 1);
  });

  test(`a displaced tab stops for good (${transport})`, async (t) => {
    const { server, open } = await start(t, transport, "displace");
    const first = await open({ session: "first" });
    await counted(first);
    const second = await open({ session: "second" });
    await counted(second);
    assert.equal((await refusal(first)).code, "displaced");
    const { counts } = await recorded(second);
    await until("more heartbeats", async () => (await recorded(second)).counts.length > counts.length + 2);
    const { errors, statuses } = await recorded(first);
    assert.deepEqual([errors.length, statuses.at(-1)[0]], [1, "refused"]);
    assert.equal((await server.count("s")).sessions, 1);
  });
}

test("a crashed tab's place is taken by the next one", chromiumOnly, async (t) => {
  const { server, open } = await start(t, "ws");
  const crashed = await open();
  await counted(crashed);
  const hasCrashed = new Promise((resolve) => crashed.once("crash", resolve));
  await Promise.all([hasCrashed, crashed.goto("chrome://crash").catch(() => {})]);
  const next = await open();
  await counted(next);
  assert.deepEqual((await recorded(next)).errors, []);
  await until("one session, long before the ttl", async () => (await server.count("s")).sessions === 1);
});
