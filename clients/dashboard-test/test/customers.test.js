/** The page Customers, against the API's answers and the command `export`. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { assertAccessible, assertFits, closeBrowser, openPage } from "../support/browser.js";
import { Server, run, until } from "../support/server.js";

const server = new Server([], { HOUSECOUNT_TTL: "3s" });
/** A name that a spreadsheet would run, and that has characters of a query. */
const EVIL = '=1+1 & "Ltd"';
/** The current month, in UTC as the tests' browser has it. */
const MONTH = new Date().toISOString().slice(0, 7);
const START = `${MONTH}-01T00:00:00Z`;
const END = new Date(Date.UTC(+MONTH.slice(0, 4), +MONTH.slice(5))).toISOString().replace(".000Z", "Z");
const title = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" }).format(new Date());
const options = { timezoneId: "UTC" };
/** @type {any[]} */
let usage = [];

before(async () => {
  await server.start();
  for (const [stage, customer] of [
    ["a", "ACME"],
    ["b", EVIL],
    ["c", "ACME"],
  ])
    await server.post("/v1/stages", { stage, customer, name: `Stage ${stage}` });
  const stages = { a: ["ann", "bob"], b: ["ann"], c: ["cleo"], bare: ["dan"] };
  const started = Date.now();
  await until("watched", async () => {
    for (const [stage, viewers] of Object.entries(stages)) await server.beat(stage, ...viewers);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return Date.now() - started > 3_000;
  });
  for (const [stage, viewers] of Object.entries(stages))
    for (const viewer of viewers) await server.post("/v1/leave", { stage, viewer });
  const left = Date.now();
  await until("committed", async () => {
    const answer = await server.get(`/v1/usage?from=${START}&to=${END}`);
    usage = answer.usage;
    return answer.committedTo > left && usage.length === 3;
  });
});
after(async () => {
  await closeBrowser();
  await server.end();
});

/** @param {import("playwright-core").Page} page */
const hashOf = (page) => new URL(page.url()).hash;

/** Formats a watch time of less than an hour. @param {number} ms */
const watched = (ms) => `0:${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(14, 19)}`;

/** @param {import("playwright-core").Page} page */
const rowsOf = (page) =>
  page
    .locator(".usage-table tbody tr")
    .evaluateAll((rows) =>
      rows.map((row) => [
        /** @type {HTMLTableRowElement} */ (row).cells[0].querySelector("a")?.textContent,
        /** @type {HTMLTableRowElement} */ (row).cells[3].textContent,
      ]),
    );

test("customers have the API's watch times and a total; an empty last month is skipped", async () => {
  const { page, complaints, close } = await openPage(options);
  await page.goto(`${server.url}/#/`);
  await page.getByRole("link", { name: "Customers" }).click();
  await page.getByRole("heading", { level: 1, name: `Customers: ${title}` }).waitFor();
  await page.locator(".usage-table tbody tr").first().waitFor();
  assert.equal(hashOf(page), `#/customers?month=${MONTH}&tz=UTC`);
  const of = (/** @type {string} */ customer) => usage.find((row) => row.customer === customer);
  const total = usage.reduce((sum, row) => sum + row.watchMs, 0);
  assert.deepEqual(await rowsOf(page), [
    ["ACME", watched(of("ACME").watchMs)],
    [EVIL, watched(of(EVIL).watchMs)],
    ["No customer", watched(of("").watchMs)],
  ]);
  const foot = page.locator(".usage-table tfoot tr");
  assert.equal(await foot.locator("td").nth(2).textContent(), watched(total));
  assert.equal(await foot.locator("td").nth(4).textContent(), "100 %");
  const figure = page.locator(".figure", { hasText: "Customers" }).locator(".figure-value");
  assert.equal(await figure.textContent(), "2");
  await page.getByText("Not final.").waitFor();
  await page.getByText("The month is not over.").waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("a customer's stages and days, by a link that opens the same view", async () => {
  const { page, complaints, close } = await openPage(options);
  await page.goto(`${server.url}/#/customers?month=${MONTH}&tz=UTC`);
  await page.getByRole("link", { name: EVIL }).click();
  await page.getByRole("heading", { level: 1, name: `${EVIL}: ${title}` }).waitFor();
  await page.locator(".usage-table", { hasText: "Stage b" }).waitFor();
  const ofEvil = usage.find((row) => row.customer === EVIL);
  assert.deepEqual(await rowsOf(page), [["Stage b", watched(ofEvil.watchMs)]]);
  const chart = page.getByRole("region", { name: "Viewer-hours by day" });
  await chart.getByRole("button", { name: "As a table" }).click();
  const days = await chart.locator(".chart-table tbody tr").allTextContents();
  assert.equal(days.length, new Date(Date.parse(END) - 1).getUTCDate());
  assert.equal(days.filter((text) => text.includes(watched(ofEvil.watchMs))).length, 1);

  const link = hashOf(page);
  await page.goBack();
  await page.locator(".usage-table", { hasText: "ACME" }).waitFor();
  await page.goForward();
  await page.locator(".usage-table", { hasText: "Stage b" }).waitFor();
  const other = await openPage(options);
  await other.page.goto(`${server.url}/${link}`);
  await other.page.locator(".usage-table", { hasText: "Stage b" }).waitFor();
  await other.page.getByRole("link", { name: "Report of Stage b" }).click();
  await other.page.getByRole("heading", { level: 1, name: "Report: Stage b" }).waitFor();
  assert.match(hashOf(other.page), new RegExp(`^#/report\\?stage=b&from=${START}&to=`));
  assert.deepEqual([...complaints, ...other.complaints], []);
  await other.close();

  await page.getByRole("link", { name: "All customers" }).click();
  await page.getByRole("link", { name: "No customer" }).click();
  await page.getByRole("heading", { level: 1, name: `No customer: ${title}` }).waitFor();
  await page.locator(".usage-table", { hasText: "bare" }).waitFor();
  assert.match(hashOf(page), /&customer=$/);
  await close();
});

test("a month without watch time says so; months change in the address", async () => {
  const { page, complaints, close } = await openPage(options);
  await page.goto(`${server.url}/#/customers?month=2025-03&tz=UTC`);
  await page.getByText("No watch time in March 2025.").waitFor();
  await page.getByText("Final: all of this month is in the ledger").waitFor();
  assert.equal(await page.getByRole("button", { name: "Download CSV" }).isDisabled(), true);
  await page.getByRole("button", { name: "Month before" }).click();
  await page.getByText("No watch time in February 2025.").waitFor();
  assert.equal(hashOf(page), "#/customers?month=2025-02&tz=UTC");
  await page.getByLabel("Month", { exact: true }).selectOption("2025-04");
  await page.getByText("No watch time in April 2025.").waitFor();
  await page.getByLabel("Time zone").selectOption("America/New_York");
  await page.getByText("1 Apr 2025, 00:00").first().waitFor();
  assert.equal(hashOf(page), "#/customers?month=2025-04&tz=America/New_York");
  await page.goBack();
  await page.goBack();
  await page.getByText("No watch time in February 2025.").waitFor();
  await page.getByRole("button", { name: `Show ${title}` }).click();
  await page.locator(".usage-table tbody tr").first().waitFor();
  assert.equal(await page.getByRole("button", { name: "Month after" }).isDisabled(), true);
  assert.deepEqual(complaints, []);
  await close();
});

test("the CSV has the API's columns and rows, safe in a spreadsheet", async () => {
  const { page, close } = await openPage({ ...options, acceptDownloads: true });
  await page.goto(`${server.url}/#/customers?month=${MONTH}&tz=UTC`);
  const save = async () => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download CSV" }).click(),
    ]);
    return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
  };
  await page.locator(".usage-table tbody tr").first().waitFor();
  const { name, text } = await save();
  assert.equal(name, `usage-customers-${MONTH}.csv`);
  const accept = { accept: "text/csv" };
  const served = await (await fetch(`${server.url}/v1/usage?from=${START}&to=${END}`, { headers: accept })).text();
  assert.equal(text.replaceAll("\r\n", "\n"), served);
  assert.ok(text.includes(`"'=1+1 & ""Ltd""",`), text);
  await page.getByRole("link", { name: "ACME" }).click();
  await page.locator(".usage-table", { hasText: "Stage a" }).waitFor();
  const stages = await save();
  assert.equal(stages.name, `usage-ACME-${MONTH}.csv`);
  const query = `from=${START}&to=${END}&customer=ACME&group=stage`;
  const ofStages = await (await fetch(`${server.url}/v1/usage?${query}`, { headers: accept })).text();
  assert.equal(stages.text.replaceAll("\r\n", "\n"), ofStages);
  await close();
});

test("the command for a billing system runs, and is that of the month", async () => {
  const { page, close } = await openPage(options);
  await page.goto(`${server.url}/#/customers?month=${MONTH}&tz=UTC`);
  const code = page.locator("[aria-label='export command'] code");
  const folder = await mkdtemp(join(tmpdir(), "housecount-customers-"));
  for (const [format, button] of [
    ["stripe", "Stripe"],
    ["openmeter", "OpenMeter"],
    ["aws-marketplace", "AWS Marketplace"],
  ]) {
    await page.getByRole("button", { name: button }).click();
    await code.getByText(`--format ${format}`).waitFor();
    const text = ((await code.textContent()) ?? "").replaceAll("\\\n", " ");
    const [program, ...args] = text.split(/\s+/);
    assert.equal(program, "housecount");
    const rest = `--from ${START} --to ${END} --out ${format}-${MONTH}.jsonl --partial`;
    assert.equal(args.join(" "), `export --group customer --format ${format} ${rest}`);
    const out = args.indexOf("--out") + 1;
    args[out] = join(folder, args[out]);
    run(...args, "--data", server.data);
    await readFile(args[out]);
  }
  await rm(folder, { recursive: true });
  assert.match(hashOf(page), /&format=aws-marketplace$/);
  await page.reload();
  await code.getByText("--format aws-marketplace").waitFor();
  await page.getByLabel("Time zone").selectOption("Australia/Adelaide");
  await page.getByText("midnight in Australia/Adelaide is not one").waitFor();
  assert.equal(await code.count(), 0);
  await close();
});

test("a month is final once no hour of it can grow", async () => {
  const { page, close } = await openPage(options);
  // A month takes a month: only the server's times are changed.
  let finalTo = Date.parse(END);
  let committedTo = finalTo;
  await page.route("**/v1/usage?**", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), finalTo, committedTo } });
  });
  await page.goto(`${server.url}/#/customers?month=${MONTH}&tz=UTC`);
  await page.getByText("Final: all of this month is in the ledger").waitFor();
  const code = page.locator("[aria-label='export command'] code");
  assert.doesNotMatch((await code.textContent()) ?? "", /--partial/);
  finalTo = Date.parse(START) + 3_600_000;
  committedTo = finalTo + 1_000;
  await page.reload();
  await page.getByText(/The hours before 1 \w+, 01:00 are final; later ones may still grow\./).waitFor();
  await page.getByText(/It writes the hours before 1 \w+, 01:00: later ones may still grow\./).waitFor();
  assert.match((await code.textContent()) ?? "", /--partial/);
  await close();
});

test("a thousand customers with long names are listed on request, on any screen", async () => {
  const row = (/** @type {number} */ n) => ({
    customer: `${n}-${"ü".repeat(120)}`,
    period: MONTH,
    from: Date.parse(START),
    to: Date.parse(END),
    stages: 1_000,
    watchMs: 40_000_000_000 - n,
  });
  const rows = Array.from({ length: 1_000 }, (_, n) => row(n));
  for (const width of [320, 768, 3840]) {
    const { page, complaints, close } = await openPage({ ...options, viewport: { width, height: 800 } });
    await page.route("**/v1/usage?**", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), usage: rows } });
    });
    await page.goto(`${server.url}/#/customers?month=${MONTH}&tz=UTC`);
    await page.locator(".usage-table tbody tr").first().waitFor();
    assert.equal(await page.locator(".usage-table tbody tr").count(), 200);
    await assertFits(page, `${width} px`);
    await page.getByRole("button", { name: "Show all 1,000 customers" }).click();
    assert.equal(await page.locator(".usage-table tbody tr").count(), 1_000);
    await assertFits(page, `${width} px, all`);
    if (width === 768) await assertAccessible(page, "all customers");
    assert.deepEqual(complaints, []);
    await close();
  }
});
