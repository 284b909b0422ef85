/** Labels of a session, over each transport. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { counted, launch, openTab, recorded } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

for (const transport of ["ws", "http"]) {
  test(`a viewer is counted by the labels of the first heartbeat (${transport})`, async (t) => {
    const server = await startServer("interval=1s", "ttl=60s", "labels=country,device");
    t.after(() => server.end());
    const site = await startSite(server.url);
    t.after(() => site.end());
    const browser = await launch();
    t.after(() => browser.close());
    const context = await browser.newContext();
    const open = (viewer, labels) => openTab(context, site, { stage: "s", viewer, transport, labels: JSON.stringify(labels) });
    const tabs = [await open("ann", { country: "TW", device: "tv" }), await open("bob", { country: "NO", device: null })];
    for (const tab of tabs) await counted(tab);
    await until("more heartbeats", async () => (await recorded(tabs[0])).counts.length > 2);
    const by = async (key) => (await server.get(`/v1/stages/s?by=${key}`)).by.values.map(({ value, viewers }) => [value, viewers]).sort();
    assert.deepEqual(await by("country"), [["NO", 1], ["TW", 1]]);
    assert.deepEqual(await by("device"), [[null, 1], ["tv", 1]]);
    const refused = await open("eve", { city: "Taipei" });
    const { code } = await until("an error", async () => (await recorded(refused)).errors[0]);
    assert.equal(code, "invalid_labels");
  });
}
