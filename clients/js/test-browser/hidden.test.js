/** Hidden, throttled and frozen tabs, as in a viewer's browser, against a real housecount. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launchBare } from "./support/bare.js";
import { chromiumOnly, pollCount } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

const STAGE = "hidden";

let server, site;
before(async () => {
  // The shortest ttl for this interval.
  server = await startServer("interval=10s", "ttl=30s");
  site = await startSite(server.url);
});
after(async () => {
  await site?.end();
  await server?.end();
});

/** A browser that throttles hidden tabs after ten seconds instead of five minutes. */
async function launch(t) {
  site.received.length = 0;
  const browser = await launchBare("--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/10");
  t.after(() => browser.end());
  const address = `${site.url}/?${new URLSearchParams({ stage: STAGE, viewer: "ann", transport: "http" })}`;
  return { browser, openTab: () => browser.open(address) };
}

const isHidden = (tab) => tab.evaluate("document.visibilityState === 'hidden'");
const beats = () => site.received.filter(({ path }) => path === "/v1/heartbeat");

test("a hidden tab's viewer is counted for longer than a ttl", chromiumOnly, async (t) => {
  const { browser, openTab } = await launch(t);
  const tab = await openTab();
  await until("counted", async () => (await server.count(STAGE)).viewers === 1);
  await browser.open(`${site.url}/?other`);
  await until("hidden", () => isHidden(tab));
  const looking = pollCount(server, STAGE);
  // The ttl would have expired after three.
  await until("five more heartbeats", () => beats().length > 5);
  assert.deepEqual(await looking.end(), { viewersMin: 1, sessionsMax: 1, sessions: 1 });
});

test("the leader of two tabs is frozen: the other takes over, and continues when the first one thaws", chromiumOnly, async (t) => {
  const { openTab } = await launch(t);
  const first = await openTab();
  const { session } = await until("a heartbeat", () => beats()[0]);
  const second = await openTab();
  await until("hidden", () => isHidden(first));
  await until("a count", () => second.evaluate("recorded.counts.length > 0"));
  await first.send("Page.setWebLifecycleState", { state: "frozen" });
  const before = beats().length;
  await until("the other beats", () => beats().slice(before).some((event) => event.session !== session));
  await first.send("Page.setWebLifecycleState", { state: "active" });
  await first.toFront();
  await until("the first one's session is left", () => site.received.some((event) => event.path === "/v1/leave" && event.session === session));
  await until("one session", async () => (await server.count(STAGE)).sessions === 1);
  const count = await first.evaluate("recorded.counts.length");
  await until("counts from the other page", async () => (await first.evaluate("recorded.counts.length")) > count + 1);
  assert.notEqual(beats().at(-1).session, session);
  assert.equal((await server.count(STAGE)).viewers, 1);
});
