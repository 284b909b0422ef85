import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { assertAccessible, assertFits, closeBrowser, openPage } from "../support/browser.js";
import { PAGES, isWatched } from "../support/pages.js";
import { Server, until } from "../support/server.js";

const server = new Server(["--demo", "40"]);
const empty = new Server();

before(async () => {
  await Promise.all([server.start(), empty.start()]);
  await isWatched(server);
});
after(async () => {
  await closeBrowser();
  await Promise.all([server.end(), empty.end()]);
});

for (const [name, { path, whole, isEmpty }] of Object.entries(PAGES)) {
  describe(name, () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      test(`is accessible and without complaints, ${colorScheme}`, async () => {
        const { page, complaints, close } = await openPage({ colorScheme });
        await page.goto(`${(isEmpty ? empty : server).url}${path}`);
        await page.locator(whole).first().waitFor();
        await assertAccessible(page, `${name}, ${colorScheme}`);
        assert.deepEqual(complaints, []);
        await close();
      });
    }
    test("prints in light colours, without controls, on paper's width", async () => {
      const { page, close } = await openPage({ colorScheme: "dark", viewport: { width: 718, height: 1_000 } });
      await page.goto(`${(isEmpty ? empty : server).url}${path}`);
      await page.locator(whole).first().waitFor();
      await page.emulateMedia({ media: "print" });
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(await background(), "rgb(255, 255, 255)");
      assert.equal(await page.locator("header nav").isVisible(), false);
      for (const control of await page.locator(".no-print").all()) assert.equal(await control.isVisible(), false);
      await assertFits(page, `${name} on paper`);
      await close();
    });
    for (const width of [320, 360, 768, 3840]) {
      test(`fits ${width} px`, async () => {
        const { page, close } = await openPage({ viewport: { width, height: 800 } });
        await page.goto(`${(isEmpty ? empty : server).url}${path}`);
        await page.locator(whole).first().waitFor();
        await assertFits(page, `${name} at ${width} px`);
        await close();
      });
    }
  });
}

test("the bar fits any window, with the longest state of the connection", async () => {
  const { page, close } = await openPage();
  await page.goto(`${server.url}/#/`);
  await page.locator(".stages tbody:not([aria-hidden]) tr").first().waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  /** Width of the bar beyond the window, if the connection has that state. */
  const excess = (/** @type {string} */ state) => {
    const bar = /** @type {HTMLElement} */ (document.querySelector(".bar"));
    const copy = /** @type {HTMLElement} */ (bar.cloneNode(true));
    /** @type {HTMLElement} */ (copy.querySelector(".connection")).textContent = state;
    bar.before(copy);
    const px = copy.scrollWidth - copy.clientWidth;
    copy.remove();
    return px;
  };
  for (let width = 320; width <= 1_280; width += 16) {
    await page.setViewportSize({ width, height: 800 });
    for (const state of ["Live", "Reconnecting"]) assert.equal(await page.evaluate(excess, state), 0, `${state} at ${width} px`);
    const tops = await page.locator(".bar nav a:visible").evaluateAll((links) => links.map((link) => link.getBoundingClientRect().top));
    assert.equal(new Set(tops).size, 1, `the links are in one row at ${width} px`);
  }
  await close();
});

test("on a phone the button to copy covers no code", async () => {
  const { page, close } = await openPage({ viewport: { width: 360, height: 800 } });
  await page.goto(`${server.url}/#/customers`);
  const code = page.locator(".code").first();
  await code.locator("code").waitFor();
  const [button, text] = await Promise.all(["button", "code"].map((each) => code.locator(each).boundingBox()));
  assert.ok(button && text && button.y + button.height <= text.y, JSON.stringify({ button, text }));
  await close();
});

test("cost shows the server's figures, and marks a short measurement", async () => {
  const { page, close } = await openPage();
  await page.goto(`${server.url}/#/cost`);
  const row = page.locator(".plain tbody tr", { hasText: "snapshots" });
  await row.locator("td").nth(1).getByText(/[1-9]/).waitFor();
  const { plans, total } = await server.get("/v1/cost");
  assert.ok(total.usd > 0);
  assert.equal(await page.locator(".plain", { hasText: "Loss on failure" }).locator("tbody tr").count(), plans.length);
  await page.getByText("only: too short for a projection").waitFor();
  await close();
});

test("health shows readiness, and the facts behind it", async () => {
  const { page, close } = await openPage();
  await page.goto(`${server.url}/#/health`);
  await page.locator(".verdict").getByText("Ready", { exact: true }).waitFor();
  const fact = (/** @type {string} */ title) =>
    page.locator(".fact", { has: page.getByText(title, { exact: true }) }).locator(".fact-value");
  await fact("Counts").getByText("Complete").waitFor();
  await fact("Last commit").getByText(/ago$/).waitFor();
  await until("beats are counted", async () => parseFloat((await fact("Heartbeats").textContent()) ?? "") > 0);
  await close();
});

test("the budget describes the guard, and names players only where it slows them", async () => {
  const limit = { monthUsd: 5, guard: "stretch", isExceeded: true, isStretched: true, isSlowed: false };
  for (const [change, words] of /** @type {const} */ ([
    [{}, /Exceeded\. Snapshots, and appends to a log in DynamoDB, .* Heartbeats and counts are unchanged\./],
    [{ isStretched: false }, /Exceeded: a warning is logged\. Writes are not reduced yet\./],
    [{ isStretched: false, guard: "warn" }, /Exceeded: a warning is logged\. Writes are not reduced\./],
    [{ isExceeded: false }, /Within budget\. Snapshots, and appends to a log in DynamoDB, are less frequent/],
    [{ isExceeded: false, isStretched: false }, /used\. Within budget\.$/],
    [{ guard: "interval", isSlowed: true }, /Exceeded\. Players are asked for fewer heartbeats, .* stay exact\./],
  ])) {
    const { page, close } = await openPage();
    // Changes the node's response, because its guard needs a quarter of an hour of data.
    await page.route("**/v1/cost", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), limit: { ...limit, ...change } } });
    });
    await page.goto(`${server.url}/#/cost`);
    const budget = page.locator(".budget span").first();
    await budget.waitFor();
    assert.match((await budget.textContent()) ?? "", words);
    assert.equal(/asked|players/i.test((await budget.textContent()) ?? ""), "isSlowed" in change);
    await close();
  }
});
