/** The pages Report, Compare and the wall display, against the API's answers. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { assertAccessible, assertFits, closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

/** An id with characters that must be percent-encoded, and an `@` as in a comparison. */
const STAGE = "arn:aws:ivs:us-east-1:1:stage/a%2Fb@c#d";
/** Two beats of a viewer prove the time between them, unless more than a ttl is between them. */
const QUICK = { HOUSECOUNT_TTL: "3s", HOUSECOUNT_BROADCAST_GAP: "3s" };
const server = new Server([], QUICK);
const encoded = encodeURIComponent(STAGE);
/** Both broadcasts, newest first. @type {any[]} */
let broadcasts = [];

before(async () => {
  await server.start();
  await server.post("/v1/stages", { stage: STAGE, name: "The final" });
  await broadcast("ann", "bob", "cleo");
  await broadcast("ann", "dan");
  const now = Date.now();
  await until("the ledger has both", async () => {
    const answer = await server.get(`/v1/stages/${encoded}/broadcasts?to=${now}`);
    broadcasts = answer.broadcasts;
    return answer.complete && broadcasts.length === 2;
  });
});
after(async () => {
  await closeBrowser();
  await server.end();
});

/**
 * Lets viewers watch the stage for a second, and resolves when the broadcast is over.
 * @param {string[]} viewers
 */
async function broadcast(...viewers) {
  const read = () => server.get(`/v1/stages/${encoded}/broadcasts`);
  const count = (await read()).broadcasts.length;
  const started = Date.now();
  await until("watched", async () => {
    await server.beat(STAGE, ...viewers);
    return Date.now() - started > 1_200;
  });
  for (const viewer of viewers) await server.post("/v1/leave", { stage: STAGE, viewer });
  await until("the broadcast is over", async () => {
    const { broadcasts } = await read();
    return broadcasts.length === count + 1 && !broadcasts[0].ongoing;
  });
}

/** @param {string} rest of the address, after the stage */
const address = (rest = "") => `${server.url}/#/report?stage=${encoded}${rest}`;
/** @param {{from: number, to: number}} range */
const range = ({ from, to }) => `&from=${from}&to=${to}`;

/** @param {import("playwright-core").Page} page */
const hashOf = async (page) => new URL(page.url()).hash;

/**
 * Returns the range in a page's address, as the API takes it.
 * @param {import("playwright-core").Page} page
 */
async function rangeOf(page) {
  const query = new URLSearchParams((await hashOf(page)).split("?")[1]);
  const ms = (/** @type {string} */ name) => Date.parse(query.get(name) ?? "");
  return { from: ms("from"), to: ms("to") };
}

/**
 * Waits for a figure's text.
 * @param {import("playwright-core").Page} page
 * @param {string} key
 * @param {string} text
 */
const figure = (page, key, text) =>
  page
    .locator(`dl [data-figure="${key}"] .figure-value`)
    .getByText(text, { exact: true })
    .waitFor();

const oneDigit = new Intl.NumberFormat("en-GB", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
/** Durations of these audiences are below a minute. @param {number} ms */
const duration = (ms) =>
  ms < 10_000 ? `${oneDigit.format(ms / 1000)} s` : `${Math.floor(ms / 1000)} s`;

test("a stage's report opens on its newest broadcast, with the API's figures", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(address());
  await page.getByRole("heading", { level: 1, name: "Report: The final" }).waitFor();
  await figure(page, "uniqueViewers", "2");
  assert.deepEqual(await rangeOf(page), { from: broadcasts[0].from, to: broadcasts[0].to });
  const found = await server.get(`/v1/stages/${encoded}/report?${range(broadcasts[0])}`);
  assert.equal(found.uniqueViewers, 2);
  for (const key of ["peakViewers", "views", "joins", "leaves"])
    await figure(page, key, `${found[key]}`);
  for (const key of ["watchMs", "averageWatchMs", "medianWatchMs", "p90WatchMs"])
    await figure(page, key, duration(found[key]));
  await figure(page, "averageViewers", oneDigit.format(found.averageViewers));
  assert.equal(await page.locator("[data-figure=newViewers]").count(), 0);
  await page.getByText("Final: all of it is in the ledger.").waitFor();

  const chart = page.getByRole("region", { name: "Viewers at once" });
  await chart.getByRole("button", { name: "As a table" }).click();
  const cells = await chart.locator(".chart-table tbody tr td:last-child").allTextContents();
  assert.deepEqual(
    cells,
    found.steps.map((/** @type {any} */ step) => `${step.max}`),
  );
  const moves = page.getByRole("region", { name: "Joins and leaves per minute" });
  await moves.getByRole("button", { name: "As a table" }).click();
  const joins = await moves.locator(".chart-table tbody tr td:nth-child(2)").allTextContents();
  assert.deepEqual(
    joins,
    found.steps.map((/** @type {any} */ step) => `${step.joins}`),
  );
  const histogram = page.getByRole("region", { name: "Viewers by watch time" });
  assert.deepEqual(await histogram.locator("tbody tr").allTextContents(), ["under 1 min2100 %"]);
  assert.deepEqual(complaints, []);
  await close();
});

test("a broadcast is selected; back, forward and a link show the ranges again", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(address());
  await figure(page, "uniqueViewers", "2");
  const newest = await hashOf(page);
  const list = page.getByRole("region", { name: "Broadcasts" });
  const rows = list.locator("tbody tr");
  assert.equal(await rows.count(), 2);
  assert.deepEqual(await rows.nth(1).locator("td").allTextContents(), [
    "3",
    `${broadcasts[1].peakViewers}`,
    duration(broadcasts[1].watchMs),
    "",
  ]);
  await rows.nth(1).getByRole("button").click();
  await figure(page, "uniqueViewers", "3");
  assert.deepEqual(await rangeOf(page), { from: broadcasts[1].from, to: broadcasts[1].to });
  assert.equal(await rows.nth(1).getByRole("button").getAttribute("aria-pressed"), "true");
  assert.equal(
    await rows
      .nth(1)
      .getByRole("button")
      .evaluate((one) => one.matches(":focus")),
    true,
  );
  const oldest = await hashOf(page);
  await page.goBack();
  await figure(page, "uniqueViewers", "2");
  assert.equal(await hashOf(page), newest);
  await page.goForward();
  await figure(page, "uniqueViewers", "3");
  const other = await openPage();
  await other.page.goto(`${server.url}/${oldest}`);
  await figure(other.page, "uniqueViewers", "3");
  assert.equal(await hashOf(other.page), oldest);
  assert.deepEqual([...complaints, ...other.complaints], []);
  await other.close();
  await close();
});

test("a part of a chart is selected by dragging; there is a way back", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(address(range(broadcasts[1])));
  await figure(page, "uniqueViewers", "3");
  const before = await hashOf(page);
  const { from, to } = await rangeOf(page);
  /** Drags over a part of the first chart. */
  const drag = async (/** @type {number} */ start, /** @type {number} */ end) => {
    const over = page.getByRole("region", { name: "Viewers at once" }).locator(".u-over");
    await over.scrollIntoViewIfNeeded();
    const box = await over.boundingBox();
    assert.ok(box);
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + start * box.width, y);
    await page.mouse.down();
    await page.mouse.move(box.x + end * box.width, y, { steps: 5 });
    await page.mouse.up();
  };
  await drag(0.5, 0.503);
  assert.equal(await hashOf(page), before, "a click selects nothing");
  await drag(0.02, 0.98);
  const end = (/** @type {number} */ ms) => new Date(ms).toISOString().replace(".000Z", "Z");
  await until("the part is in the address", async () =>
    (await hashOf(page)).endsWith(`&within=${end(from)}..${end(to)}`),
  );
  const part = await rangeOf(page);
  assert.ok(part.from >= from && part.to <= to && part.from < part.to, JSON.stringify(part));
  assert.ok(part.to - part.from < to - from);
  await page.getByRole("link", { name: /^Back to / }).waitFor();
  await page.reload();
  await page.getByRole("link", { name: "Zoom out" }).first().click();
  await until("the whole range", async () => (await hashOf(page)) === before);
  await figure(page, "uniqueViewers", "3");
  await page.goBack();
  await until("the part again", async () => (await hashOf(page)).includes("&within="));
  // Another selection ends the zoom.
  await page.getByRole("button", { name: "Last hour" }).click();
  await until("an hour", async () => !(await hashOf(page)).includes("&within="));
  assert.deepEqual(complaints, []);
  await close();
});

test("on a phone the figures come first, and the form is a line", async () => {
  const { page, close } = await openPage({ viewport: { width: 360, height: 780 } });
  await page.goto(address(range(broadcasts[0])));
  await figure(page, "uniqueViewers", "2");
  const value = page.locator("[data-figure=uniqueViewers] .figure-value");
  const box = await value.boundingBox();
  assert.ok(box && box.y + box.height < 780, JSON.stringify(box));
  assert.equal(await page.getByLabel("From", { exact: true }).isVisible(), false);
  await page.getByText("Another stage, range or broadcast").click();
  await page.getByRole("region", { name: "Broadcasts" }).getByRole("button").nth(1).waitFor();
  await page.getByRole("button", { name: "Last hour" }).click();
  await page.getByLabel("From", { exact: true }).waitFor({ state: "hidden" });
  assert.equal(
    await page.locator(".report-controls summary").evaluate((one) => one.matches(":focus")),
    true,
  );
  await close();
});

test("times are shown and read in the selected zone", async () => {
  const { page, close } = await openPage({ timezoneId: "America/New_York" });
  const from = Date.parse("2026-07-01T12:00:00Z");
  await page.goto(address(range({ from, to: from + 3_600_000 })));
  const start = page.getByLabel("From");
  const isStart = (/** @type {string} */ value) =>
    until(`From is ${value}`, async () => (await start.inputValue()).startsWith(value));
  await isStart("2026-07-01T08:00");
  assert.match(await hashOf(page), /&tz=America\/New_York/);
  await page.getByLabel("Time zone").selectOption("Asia/Tokyo");
  await isStart("2026-07-01T21:00");
  assert.match(
    await hashOf(page),
    /from=2026-07-01T12:00:00Z&to=2026-07-01T13:00:00Z&tz=Asia\/Tokyo/,
  );
  // The clocks of Paris are set back at 01:00 UTC, and have this time in winter only.
  await page.getByLabel("Time zone").selectOption("Europe/Paris");
  await isStart("2026-07-01T14:00");
  await start.fill("2026-10-25T12:00");
  await page.getByLabel("To", { exact: true }).fill("2026-10-25T11:00");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("The end must be after the start.").waitFor();
  await page.getByLabel("To", { exact: true }).fill("2026-10-25T13:30");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await until("the range is read", async () => (await rangeOf(page)).from > from);
  assert.deepEqual(await rangeOf(page), {
    from: Date.parse("2026-10-25T11:00:00Z"),
    to: Date.parse("2026-10-25T12:30:00Z"),
  });
  await close();
});

test("all stages, a preset, and viewers who come back", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(`${server.url}/#/`);
  await page.getByRole("link", { name: "Report" }).click();
  await page.getByRole("heading", { level: 1, name: "Report: all stages" }).waitFor();
  await figure(page, "uniqueViewers", "4");
  await page.getByText("Select a stage to see how many of its first viewers stayed.").waitFor();
  await page.getByRole("button", { name: "Last hour" }).click();
  await until("an hour", async () => {
    const { from, to } = await rangeOf(page);
    return to - from === 3_600_000;
  });
  await figure(page, "uniqueViewers", "4");

  await page.goto(address(range(broadcasts[0])));
  await page.getByLabel("New viewers are those not seen for").selectOption("1 day");
  await figure(page, "newViewers", "1");
  await figure(page, "returningViewers", "1");
  assert.match(await hashOf(page), /&before=1d$/);
  assert.deepEqual(complaints, []);
  await close();
});

test("two broadcasts are compared, with the API's figures and their differences", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(address());
  const list = page.getByRole("region", { name: "Broadcasts" });
  const compare = list.getByRole("button", { name: "Compare", exact: true });
  const boxes = list.getByRole("checkbox");
  await boxes.nth(1).check();
  assert.equal(await compare.isDisabled(), true);
  await boxes.nth(0).check();
  await compare.click();
  await page.getByRole("heading", { level: 1, name: "Compare two ranges" }).waitFor();
  const row = (/** @type {string} */ key) =>
    page.locator(`tr[data-figure="${key}"] td`).allTextContents();
  await page.locator('tr[data-figure="uniqueViewers"]').waitFor();
  const side = (/** @type {any} */ { from, to }) => encodeURIComponent(`${STAGE}@${from}..${to}`);
  const { a, b } = await server.get(
    `/v1/compare?a=${side(broadcasts[0])}&b=${side(broadcasts[1])}`,
  );
  assert.deepEqual(await row("uniqueViewers"), ["2", "3", "-33.3 %"]);
  assert.deepEqual(await row("joins"), [`${a.joins}`, `${b.joins}`, "-33.3 %"]);
  const [first, second, difference] = await row("watchMs");
  assert.deepEqual([first, second], [duration(a.watchMs), duration(b.watchMs)]);
  const expected = (100 * (a.watchMs - b.watchMs)) / b.watchMs;
  assert.ok(
    Math.abs(parseFloat(difference) - expected) <= 0.051,
    `${difference}, not ${expected} %`,
  );

  await page.reload();
  await page.locator('tr[data-figure="uniqueViewers"]').waitFor();
  assert.equal((await row("uniqueViewers"))[0], "2");
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: "Report: The final" }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("a range without viewers says so, and offers the newest broadcast", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(
    address(range({ from: broadcasts[0].from - 3_600_000, to: broadcasts[0].from - 3_500_000 })),
  );
  await page.getByText("No viewers in this range.").waitFor();
  assert.equal(await page.locator(".figure-value").count(), 0);
  await page.getByRole("button", { name: "Show the newest broadcast" }).click();
  await figure(page, "uniqueViewers", "2");
  assert.deepEqual(complaints, []);
  await close();
});

test("a rejected range shows the server's reason, and a smaller range", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(address("&from=1999-01-01T00:00:00Z&to=1999-01-03T00:00:00Z"));
  const { message } = await server
    .get(`/v1/stages/${encoded}/report?from=1999-01-01&to=1999-01-03`)
    .then(
      () => ({ message: "" }),
      (error) => error,
    );
  const { detail } = JSON.parse(message.slice(message.indexOf("{")));
  await page.locator(".state", { hasText: "No report of this range" }).waitFor();
  // The server names the time as the page has sent it.
  const shown = (await page.locator(".state", { hasText: "No report" }).textContent()) ?? "";
  assert.ok(shown.includes(detail.slice(detail.indexOf(" is "))), `${shown}, without ${detail}`);

  const tooMany = "the range has more than 1000000 viewers; choose a shorter range, or one stage";
  // A million viewers are too many for a test: only the server's words are replaced.
  await page.route("**/report?**", async (route) => {
    const response = await route.fetch();
    const problem = {
      type: "about:blank",
      title: "Bad Request",
      status: 400,
      code: "invalid_query",
      detail: tooMany,
    };
    await route.fulfill({ response, status: 400, json: problem });
  });
  await page.goto(address(range(broadcasts[1])));
  await page.getByText(`${tooMany}.`).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await page.getByRole("button", { name: "Show the second half" }).click();
  await figure(page, "uniqueViewers", "3");
  const { from, to } = await rangeOf(page);
  assert.equal(to, broadcasts[1].to);
  assert.ok(from > broadcasts[1].from);
  // The browser logs each 400.
  assert.ok(
    complaints.every((text) => text.includes("Failed to load resource")),
    `${complaints}`,
  );
  await close();
});

test("without a cold tier, the page says what is missing", async () => {
  const without = new Server(["--cold", "none"]);
  await without.start();
  const { page, close } = await openPage();
  await page.goto(`${without.url}/#/report`);
  await page
    .getByText("This node has no cold tier (cold = none), so there is no history.")
    .first()
    .waitFor();
  await close();
  await without.end();
});

test("the wall display shows the live count, and that it is old when the node stops", async () => {
  const node = new Server([], QUICK);
  await node.start();
  await node.post("/v1/stages", { stage: STAGE, name: "The final" });
  const { page, close } = await openPage();
  await page.goto(`${node.url}/#/stage/${encoded}`);
  await page.getByRole("link", { name: "Wall display" }).first().click();
  await page.getByRole("heading", { level: 1, name: "The final" }).waitFor();
  const count = page.locator(".wall-count");
  await until("both are counted", async () => {
    await node.beat(STAGE, "ann", "bob");
    return (await count.textContent()) === "2";
  });
  await page.getByText(/^Exact · /).waitFor();
  assert.equal(await page.locator("header.bar").isVisible(), false);
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  assert.equal(await scheme(), "dark");
  await node.stop();
  await page.getByText(/^Not connected\. The count is from /).waitFor();
  assert.equal(await count.textContent(), "2");
  await page.getByRole("link", { name: "Leave the wall display" }).click();
  await page.locator("header.bar").waitFor();
  assert.equal(await scheme(), "light dark");
  await close();
  await node.end();
});

/** Each view, with the selector of an element that it has when it is loaded. */
const VIEWS = {
  "a report": {
    hash: () => address(range(broadcasts[0])),
    whole: "dl [data-figure] .figure-value",
  },
  "a report with returning viewers": {
    hash: () => address(`${range(broadcasts[0])}&before=7d`),
    whole: "[data-figure=newViewers]",
  },
  "a report of all stages": { hash: () => `${server.url}/#/report`, whole: "dl [data-figure]" },
  "an empty range": {
    hash: () => address("&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"),
    whole: ".state strong",
  },
  "a comparison": {
    hash: () => {
      const [a, b] = broadcasts.map(({ from, to }) =>
        encodeURIComponent(`${STAGE}@${from}..${to}`),
      );
      return `${server.url}/#/compare?a=${a}&b=${b}`;
    },
    whole: "tr[data-figure]",
  },
  "a comparison of nothing": { hash: () => `${server.url}/#/compare`, whole: ".state" },
  "the wall display": {
    hash: () => `${server.url}/#/wall?stage=${encoded}`,
    whole: ".wall-status:not(:empty)",
  },
};

for (const [name, { hash, whole }] of Object.entries(VIEWS)) {
  describe(name, () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      test(`is accessible and without complaints, ${colorScheme}`, async () => {
        const { page, complaints, close } = await openPage({ colorScheme });
        await page.goto(hash());
        await page.locator(whole).first().waitFor();
        for (const button of await page.getByRole("button", { name: "As a table" }).all())
          await button.click();
        await assertAccessible(page, `${name}, ${colorScheme}`);
        assert.deepEqual(complaints, []);
        await close();
      });
    }
    for (const width of [320, 360, 768, 1280, 3840]) {
      test(`fits ${width} px`, async () => {
        const { page, close } = await openPage({ viewport: { width, height: 800 } });
        await page.goto(hash());
        await page.locator(whole).first().waitFor();
        for (const summary of await page.locator(".report-controls:not([open]) summary").all())
          await summary.click();
        for (const button of await page.getByRole("button", { name: "As a table" }).all())
          await button.click();
        await assertFits(page, `${name} at ${width} px`);
        await close();
      });
    }
  });
}
