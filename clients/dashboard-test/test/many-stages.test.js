import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

const STAGES = 5_000;
/** Rows in a window of 900 px, with the overscan. */
const ROWS_MAX = 60;

const server = new Server([], { HOUSECOUNT_INTERVAL: "30s", HOUSECOUNT_TTL: "10m" });
const name = (/** @type {number} */ i) => `stage-${String(i).padStart(4, "0")}`;

before(async () => {
  await server.start();
  await server.post(
    "/v1/heartbeats",
    Array.from({ length: STAGES }, (_, i) => ({ stage: name(i), viewer: `viewer-${i}` })),
  );
});
after(async () => {
  await closeBrowser();
  await server.end();
});

test("thousands of stages need a few rows, at each scroll position", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(server.url);
  const rows = page.locator(".stages tbody:not([aria-hidden]) tr");
  const table = page.locator(".stages table");
  await until("all stages are known", async () => (await table.getAttribute("aria-rowcount")) === String(STAGES + 1));
  await rows.first().waitFor();
  assert.ok((await rows.count()) <= ROWS_MAX, `${await rows.count()} rows`);

  await page.getByRole("button", { name: "Stage", exact: true }).click();
  await rows.first().getByText(name(0)).waitFor();
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await rows
    .last()
    .getByText(name(STAGES - 1))
    .waitFor();
  assert.equal(await rows.last().getAttribute("aria-rowindex"), String(STAGES + 1));
  assert.ok((await rows.count()) <= ROWS_MAX, `${await rows.count()} rows at the end`);

  // A changed count is drawn into the same row element.
  const before = await rows.last().elementHandle();
  await server.beat(name(STAGES - 1), "bob");
  await rows.last().locator(".col-viewers").getByText("2", { exact: true }).waitFor();
  assert.ok(await rows.last().evaluate((row, before) => row === before, before));

  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight / 2));
  await until("the middle is shown", async () => /stage-2[45]\d\d/.test((await rows.nth(10).textContent()) ?? ""));

  // Print does not scroll.
  const printed = await page.evaluate(() => {
    dispatchEvent(new Event("beforeprint"));
    return document.querySelectorAll(".stages tbody:not([aria-hidden]) tr").length;
  });
  assert.equal(printed, 1_000);
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  await until("few rows again", async () => (await rows.count()) <= ROWS_MAX);

  await page.getByRole("searchbox", { name: "Search stages" }).fill("stage-314");
  await page.getByText(`10 of ${STAGES.toLocaleString("en-GB")} stages`).waitFor();
  assert.equal(await rows.count(), 10);
  assert.deepEqual(complaints, []);
  await close();
});
