/** Viewers by label on the pages of a stage and Report, against the API's answers. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";

import { assertAccessible, assertFits, closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

const STAGE = "match-1";
/** A stage with more values than a table has rows. */
const MANY = "match-2";
/** A value of the greatest length. */
const LONG = "a-value-of-thirty-two-bytes-long";
/** The audience stays while a test reads two pages. */
const server = new Server(["--set", "labels=country,device"], { HOUSECOUNT_TTL: "60s" });
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

/**
 * Sends a heartbeat of each session.
 * @param {{stage: string, viewer: string, session?: string, labels?: object}[]} beats
 */
const beat = (beats) => server.post("/v1/heartbeats", beats);
const AUDIENCE = [
  { stage: STAGE, viewer: "ann", session: "phone", labels: { country: "NO", device: "phone" } },
  // The same viewer, in both values.
  { stage: STAGE, viewer: "ann", session: "tv", labels: { country: "SE", device: "tv" } },
  { stage: STAGE, viewer: "bob", labels: { country: "NO" } },
  { stage: STAGE, viewer: "cleo", labels: { country: "NO", device: "tv" } },
  { stage: STAGE, viewer: "dan" },
  ...Array.from({ length: 23 }, (_, i) => ({
    stage: MANY,
    viewer: `viewer-${i}`,
    labels: { country: i > 1 ? `X${i}` : LONG },
  })),
];

before(async () => {
  await server.start();
  await until("each viewer has watch time", async () => {
    await beat(AUDIENCE);
    const { uniqueViewers } = await server.get(`/v1/stages/${STAGE}/report`);
    const { uniqueViewers: many } = await server.get(`/v1/stages/${MANY}/report`);
    return uniqueViewers === 4 && many === 23;
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

/** @param {import("playwright-core").Page} page */
const panelOf = (page) => page.getByRole("region", { name: "Viewers by", exact: true });
/** @param {import("playwright-core").Page} page */
const choiceOf = (page) => page.getByRole("combobox", { name: "Viewers by" });

/**
 * Waits until a table has these rows. Empty cells are those of bars.
 * @param {import("playwright-core").Page} page
 * @param {string} label
 * @param {string[][]} expected
 */
async function rowsAre(page, label, expected) {
  const rows = page.getByRole("table", { name: label, exact: true }).locator("tbody tr");
  const read = () =>
    rows.evaluateAll((all) =>
      all.map((row) => [...row.children].map((cell) => cell.textContent).filter(Boolean)),
    );
  const isSo = async () => JSON.stringify(await read()) === JSON.stringify(expected);
  await until(`${label} is ${JSON.stringify(expected)}`, isSo);
}

test("a stage shows its viewers by each label, as they change", async () => {
  opened = await openPage();
  const { page } = opened;
  await beat(AUDIENCE);
  await page.goto(`${server.url}/#/stage/${STAGE}`);
  const country = [
    ["NO", "3", "75 %"],
    ["not set", "1", "25 %"],
    ["SE", "1", "25 %"],
  ];
  const { by } = await server.get(`/v1/stages/${STAGE}?by=country`);
  const values = by.values.map((/** @type {any} */ { value }) => value ?? "not set");
  country.sort((a, b) => values.indexOf(a[0]) - values.indexOf(b[0]));
  await rowsAre(page, "Viewers by country", country);
  await page.getByText("A viewer with two values counts in both.").waitFor();

  await choiceOf(page).selectOption("device");
  assert.match(page.url(), /by=device/);
  const tv = page.getByRole("row", { name: "tv" });
  await tv.getByText("2", { exact: true }).waitFor();
  await page.reload();
  await tv.getByText("2", { exact: true }).waitFor();
  assert.equal(await choiceOf(page).inputValue(), "device");

  const eve = { stage: STAGE, viewer: "eve", labels: { device: "tv" } };
  await beat([...AUDIENCE, eve]);
  await tv.getByText("3", { exact: true }).waitFor();
  await server.post("/v1/leave", { stage: STAGE, viewer: "eve" });
  await tv.getByText("2", { exact: true }).waitFor();
});

test("a stage with many values has a note of the others", async () => {
  opened = await openPage();
  const { page } = opened;
  await beat(AUDIENCE);
  await page.goto(`${server.url}/#/stage/${MANY}`);
  await panelOf(page).getByText("and 2 more", { exact: true }).waitFor();
  assert.equal(await panelOf(page).locator("tbody tr").count(), 20);
});

test("a report has the API's figures by label, and their CSV", async () => {
  opened = await openPage();
  const { page } = opened;
  const to = Date.now();
  const address = `${server.url}/#/report?stage=${STAGE}&from=${to - 3_600_000}&to=${to}`;
  await page.goto(address);
  await panelOf(page).getByText("Select a label to compare its values.").waitFor();
  await choiceOf(page).focus();
  await choiceOf(page).selectOption("country");
  const table = page.getByRole("table", { name: "Viewers by country" });
  await table.waitFor();
  assert.match(page.url(), /by=country/);
  assert.ok(await choiceOf(page).evaluate((select) => select === document.activeElement));

  const query = `from=${to - 3_600_000}&to=${to}&by=country`;
  const { by } = await server.get(`/v1/stages/${STAGE}/report?${query}`);
  const cells = await table.locator("tbody tr").evaluateAll((rows) =>
    rows.map((row) => [0, 1, 4].map((i) => row.children[i].textContent)),
  );
  assert.deepEqual(
    cells,
    by.values.map((/** @type {any} */ { value, uniqueViewers, peakViewers }) => [
      value ?? "not set",
      `${uniqueViewers}`,
      `${peakViewers}`,
    ]),
  );
  assert.deepEqual(await table.getByRole("columnheader").allTextContents(), [
    "Value",
    "Unique viewers",
    "Watch time",
    "Average",
    "Peak",
  ]);

  const downloaded = page.waitForEvent("download");
  await panelOf(page).getByRole("button", { name: "Export CSV" }).click();
  const file = await downloaded;
  const day = new Date(to - 3_600_000).toISOString().slice(0, 10);
  assert.equal(file.suggestedFilename(), `report-${STAGE}-${day}-country.csv`);
  const [head, ...lines] = (await readFile(await file.path(), "utf8")).trimEnd().split("\r\n");
  assert.equal(head, "country,unique_viewers,watch_ms,average_watch_ms,peak_viewers");
  assert.deepEqual(
    lines.map((line) => line.split(",").slice(0, 2)),
    by.values.map((/** @type {any} */ one) => [one.value ?? "", `${one.uniqueViewers}`]),
  );
});

test("the report of all stages has labels, and says which keys are unknown", async () => {
  opened = await openPage();
  const { page, complaints } = opened;
  await page.goto(`${server.url}/#/report?by=planet`);
  await panelOf(page).getByRole("alert").getByText(/^by=planet is not a label/).waitFor();
  await choiceOf(page).selectOption("device");
  await page.getByRole("table", { name: "Viewers by device" }).waitFor();
  // The browser logs the 400.
  assert.ok(complaints.splice(0).every((text) => text.includes("Failed to load resource")));
});

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`both pages are accessible, and fit narrow windows, ${colorScheme}`, async () => {
    opened = await openPage({ colorScheme });
    const { page } = opened;
    await beat(AUDIENCE);
    for (const path of [`stage/${MANY}?by=country`, `report?stage=${MANY}&by=country`]) {
      await page.goto(`${server.url}/#/${path}`);
      await panelOf(page).getByText(LONG).waitFor();
      await assertAccessible(page, `${path}, ${colorScheme}`);
      for (const width of [320, 360, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        await assertFits(page, `${path} at ${width} px`);
      }
    }
  });
}
