import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";

import { closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

/** An id as on IVS, with characters that must be percent-encoded. */
const STAGE = "arn:aws:ivs:us-east-1:1:stage/a%2Fb?c#d";
const server = new Server(["--demo", "40"]);
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;
const address = (/** @type {string} */ stage) => `${server.url}/#/stage/${encodeURIComponent(stage)}`;

before(async () => {
  await server.start();
  // Two heartbeats, a while apart, prove the time between them.
  await server.beat(STAGE, "ann", 'b"o,b');
  await until("proven", async () => {
    await server.beat(STAGE, "ann", 'b"o,b');
    const { watch } = await server.get(`/v1/stages/${encodeURIComponent(STAGE)}/watch`);
    const { watch: demo } = await server.get("/v1/stages/demo-0000/watch");
    return demo.length > 0 && watch.length === 2 && watch.every((/** @type {any} */ row) => row.watchMs > 1_000);
  });
});
after(async () => {
  await closeBrowser();
  await server.end();
});
afterEach(async () => {
  assert.deepEqual(opened.complaints, []);
  await opened.close();
});

/**
 * Counts the chart's pixels with a colour of the style sheet.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
const pixels = (page, name) =>
  page.evaluate((name) => {
    const canvas = document.querySelector("canvas");
    if (!canvas?.width) return 0;
    // Read from a copy: reading the page's own canvas would slow it down.
    const context = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    if (!context) return 0;
    context.drawImage(canvas, 0, 0);
    const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).match(/\d+/g)?.map(Number) ?? [];
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
      if (wanted.every((value, c) => Math.abs(data[i + c] - value) < 4) && data[i + 3] > 200) found++;
    return found;
  }, name);

test("figures, the live curve, and the watch time of viewers", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(address("demo-0000"));
  const now = page.locator(".figure", { hasText: "Viewers now" }).locator(".figure-value");
  await until("the demo is counted", async () => Number(await now.textContent()) > 5);
  await until("a curve is drawn", async () => (await pixels(page, "--live")) > 50);

  await page.getByRole("button", { name: "As a table" }).click();
  await until("history has rows", async () => (await page.locator(".chart-table tbody tr").count()) > 10);

  const first = page.locator(".tabs tbody:not([aria-hidden]) tr").first();
  assert.match((await first.locator(".col-watched").textContent()) ?? "", /^0:\d\d:\d\d$/);
  await page.getByRole("button", { name: "6h" }).click();
  assert.match(page.url(), /range=6h/);
  assert.equal(await page.locator(".labels").isVisible(), false, "this node has no labels");
  await page.reload();
  assert.equal(await page.getByRole("button", { name: "6h" }).getAttribute("aria-pressed"), "true");
});

test("the billable curve ends one ttl, as the server sets it, before now", async () => {
  opened = await openPage();
  const { page } = opened;
  const answered = page.waitForResponse(/\/history\?/);
  await page.goto(address("demo-0000"));
  const { history, stepMs, to, ttlMs } = await (await answered).json();
  assert.equal(ttlMs, 20_000);
  const ends = (/** @type {number} */ at) => at - (at % stepMs) + stepMs;
  const isProven = (/** @type {{at: number}} */ { at }) => ends(at) <= to - ttlMs;
  const expected = history.filter(isProven).length;
  // The default ttl is 100 s longer, which leaves fewer steps.
  assert.ok(history.length - expected < 100_000 / stepMs, `${expected} of ${history.length} steps`);
  await page.getByRole("button", { name: "As a table" }).click();
  // A newer response may have come. Its steps are aligned, so it has up to one row more or less.
  const rows = await page.locator(".chart-table tbody tr").count();
  assert.ok(Math.abs(rows - expected) <= 1, `${rows} rows, ${expected} proven steps`);
});

test("a late response for a previous range is ignored", async () => {
  await server.beat("ranges", "ann", "bob");
  opened = await openPage();
  const { page } = opened;
  /** @type {() => void} */
  let leave = () => {};
  const left = new Promise((resolve) => (leave = () => resolve(undefined)));
  await page.route("**/history?**step=15s**", async (route) => {
    await left;
    // The page has cancelled the request.
    await route.continue().catch(() => {});
  });
  await page.goto(address("ranges"));
  const hours = page.locator(".figure", { hasText: "Watch-hours" }).locator(".figure-note");
  await page.getByRole("button", { name: "6h" }).click();
  await hours.getByText(/^in 6 hours/).waitFor();
  leave();
  await page.unrouteAll({ behavior: "wait" });
  // A later figure of the same page is shown by then, so an applied late response would be visible.
  const now = page.locator(".figure", { hasText: "Viewers now" }).locator(".figure-value");
  await until("three are shown, as long as they are here", async () => {
    await server.beat("ranges", "ann", "bob", "late");
    return (await now.textContent()) === "3";
  });
  assert.match((await hours.textContent()) ?? "", /^in 6 hours/);
});

test("viewers are searched; those online and the snapshots are listed", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(address(STAGE));
  await page.getByRole("heading", { level: 1, name: STAGE }).waitFor();
  await page.getByRole("searchbox", { name: "Search viewers" }).fill("ANN");
  await page.getByText("1 of 2 viewers").waitFor();
  await page.getByRole("searchbox", { name: "Search viewers" }).fill("zoe");
  await page.getByText("No viewer with “zoe”").waitFor();

  await page.getByRole("tab", { name: "Watch time" }).focus();
  await page.keyboard.press("ArrowRight");
  await server.beat(STAGE, "ann");
  await page.getByRole("cell", { name: "ann", exact: true }).waitFor();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("cell", { name: "exact" }).first().waitFor();
  assert.match(page.url(), /tab=snapshots/);
});

test("the watch table is exported as CSV, with the API's rows", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(address(STAGE));
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export CSV" }).click();
  const download = await waiting;
  assert.match(download.suggestedFilename(), /^watch-.*\.csv$/);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
  assert.equal(lines[0], "stage,viewer,watch_ms,first_at_ms,last_at_ms");
  const { watch } = await server.get(`/v1/stages/${encodeURIComponent(STAGE)}/watch`);
  assert.equal(lines.length - 1, watch.length);
  assert.ok(lines[1].startsWith(`${STAGE},ann,`), lines[1]);
  assert.ok(lines[2].startsWith(`${STAGE},"b""o,b",`), lines[2]);
  await page.getByText(/^2 rows saved\./).waitFor();

  await page.getByText("For large ranges: the command").click();
  await page.getByText(`--stage '${STAGE}' --format csv`).waitFor();
});

test("ids that a spreadsheet would run as formulas are exported as text", async () => {
  const stage = "-guarded/stage";
  const viewers = ["+49 30 1", "-1", "=1+1", "@SUM(A1)", "a=b"];
  await until("all are proven", async () => {
    await server.beat(stage, ...viewers);
    const { watch } = await server.get(`/v1/stages/${encodeURIComponent(stage)}/watch`);
    return watch.length === viewers.length && watch.every((/** @type {any} */ row) => row.watchMs > 100);
  });
  opened = await openPage();
  const { page } = opened;
  await page.goto(address(stage));
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export CSV" }).click();
  const lines = (await readFile(await (await waiting).path(), "utf8")).trimEnd().split("\r\n").slice(1);
  const fields = lines.map((line) => line.split(","));
  assert.deepEqual(
    fields.map(([stage, viewer]) => [stage, viewer]),
    ["'+49 30 1", "'-1", "'=1+1", "'@SUM(A1)", "a=b"].map((viewer) => ["'-guarded/stage", viewer]),
  );
  for (const [, , ...numbers] of fields)
    assert.ok(
      numbers.every((number) => /^\d+$/.test(number)),
      `${numbers}`,
    );
});

test("a stage is configured, changed, and its configuration deleted after a confirmation", async () => {
  const stage = "to be/configured".replace(" ", "-");
  opened = await openPage();
  const { page } = opened;
  await server.beat(stage, "ann");
  const read = () => server.get(`/v1/stages/${encodeURIComponent(stage)}`);
  await page.goto(`${address(stage)}?tab=configuration`);
  await page.getByLabel("Name").fill("The final");
  await page.getByLabel("Customer").fill("ACME");
  await page.getByRole("button", { name: "Add a tag" }).click();
  await page.getByLabel("Tag", { exact: true }).fill("sport");
  await page.getByLabel("Value").fill("chess");
  await page.getByRole("button", { name: "Configure this stage" }).click();
  await page.getByText(/^Saved\. Applies to watch time from .* on\.$/).waitFor();
  const made = await read();
  assert.deepEqual(
    [made.configured, made.name, made.customer, made.tags],
    [true, "The final", "ACME", { sport: "chess" }],
  );
  await page.getByRole("heading", { level: 1, name: "The final" }).waitFor();

  await page.getByLabel("Customer").fill("");
  await page.getByRole("button", { name: "Remove tag sport" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  const changed = await read();
  assert.deepEqual([changed.name, changed.customer, changed.tags], ["The final", undefined, undefined]);

  await page.getByRole("button", { name: "Delete configuration" }).click();
  await page.getByRole("button", { name: "Keep it" }).click();
  assert.equal((await read()).configured, true);
  await page.getByRole("button", { name: "Delete configuration" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete configuration" }).click();
  await page.getByText(/^Deleted\. Applies to watch time from .* on\./).waitFor();
  assert.equal((await read()).configured, false);
});

test("a rejected configuration shows the reason", async () => {
  opened = await openPage();
  const { page, complaints } = opened;
  await page.goto(`${address("refused")}?tab=configuration`);
  await page.getByText("This stage has no viewers yet").waitFor();
  await page.getByLabel("Name").fill("ü".repeat(200));
  await page.getByRole("button", { name: "Configure this stage" }).click();
  await page.getByRole("alert").getByText("name has 400 bytes; at most 256 are allowed").waitFor();
  // The browser logs the 404 and the 400.
  assert.ok(complaints.splice(0).every((text) => text.includes("Failed to load resource")));
});

test("pages release their streams and canvases when left", async () => {
  opened = await openPage();
  const { page } = opened;
  const open = new Set();
  const isLive = (/** @type {import("playwright-core").Request} */ request) => request.url().includes("/v1/live");
  page.on("request", (request) => isLive(request) && open.add(request));
  page.on("requestfinished", (request) => open.delete(request));
  page.on("requestfailed", (request) => open.delete(request));
  await page.goto(server.url);
  for (let turn = 0; turn < 10; turn++) {
    for (const hash of ["#/stage/demo-0000", "#/health", "#/cost", "#/stage/demo-0001", "#/"]) {
      await page.evaluate((hash) => (location.hash = hash), hash);
    }
  }
  await until("one stream is left", async () => open.size === 1);
  assert.equal(await page.locator("canvas").count(), 1);
  await page.evaluate(() => (location.hash = "#/health"));
  await until("none is left", async () => open.size === 0);
});
