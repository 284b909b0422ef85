/** The curve of the wall display. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

const STAGE = "match-1";
const server = new Server([], { HOUSECOUNT_TTL: "60s" });

before(() => server.start());
after(async () => {
  await closeBrowser();
  await server.end();
});

test("the curve has no dip before the live count, where the history is too low", async () => {
  await server.beat(STAGE, "ann", "bob", "cleo");
  const { page, close } = await openPage();
  await page.route("**/history?*", async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    const { to, stepMs, ttlMs } = answer;
    const last = Math.floor(to / stepMs);
    const history = Array.from({ length: 60 }, (_, i) => (last - 59 + i) * stepMs).map((at) => {
      const avg = at + stepMs > to - ttlMs ? 1 : 3;
      return { at, avg, min: avg, max: avg };
    });
    assert.equal(history.at(-1)?.avg, 1);
    await route.fulfill({ response, json: { ...answer, history } });
  });
  await page.goto(`${server.url}/#/wall?stage=${STAGE}`);
  const label = () => page.locator(".wall-curve svg").getAttribute("aria-label");
  await until("a curve", async () => (await label()) === "last hour: 3.0 to 3.0 viewers at once");
  await close();
});
