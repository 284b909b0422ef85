/** The page Events, with a chain of events that the test makes: real ones would take days. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { assertAccessible, assertFits, closeBrowser, openPage } from "../support/browser.js";
import { Server } from "../support/server.js";

const server = new Server();
const STAGE = "arn:aws:ivs:us-east-1:1:stage/a#b";
const NOON = Date.parse("2026-11-30T12:00:00Z");

before(async () => {
  await server.start();
  await server.post("/v1/stages", { stage: STAGE, name: "The final" });
});
after(async () => {
  await closeBrowser();
  await server.end();
});

/**
 * Serves events and webhooks as the API does.
 * @param {import("playwright-core").Page} page
 * @param {{events: any[], webhooks?: any[]}} chain
 */
async function serve(page, chain) {
  await page.route("**/v1/webhooks", (route) => route.fulfill({ json: { webhooks: chain.webhooks ?? [] } }));
  await page.route("**/v1/events**", (route) => {
    const query = new URL(route.request().url()).searchParams;
    const last = chain.events.length;
    if (query.get("after") === "latest") return route.fulfill({ json: { events: [], next: `${last}`, atEnd: true } });
    const start = Number(query.get("after") ?? 0);
    const limit = Number(query.get("limit"));
    const [stage, type] = [query.get("stage"), query.get("type")];
    const events = [];
    let reached = start;
    for (const event of chain.events.slice(start)) {
      if (events.length === limit) break;
      reached = event.seq;
      if ((!stage || event.stage === stage) && (!type || event.type === type)) events.push(event);
    }
    return route.fulfill({ json: { events, next: `${reached}`, atEnd: reached === last } });
  });
}

/** @param {Record<string, unknown>[]} events */
const chainOf = (events) =>
  events.map((event, i) => ({ id: `evt_${i + 1}`, seq: i + 1, at: NOON + i * 1_000, complete: true, ...event }));

const EVENTS = chainOf([
  { type: "stage.opened", stage: STAGE, viewers: 2 },
  { type: "stage.threshold", stage: STAGE, viewers: 104, threshold: 100, direction: "up" },
  { type: "stage.drop", stage: STAGE, viewers: 60, peakViewers: 240, peakAt: NOON - 58_000 },
  { type: "stage.threshold", stage: STAGE, viewers: 90, threshold: 100, direction: "down" },
  { type: "count.incomplete", recovering: false },
  { type: "count.complete", viewers: 12 },
  { type: "budget.exceeded", monthUsd: 12.5, limitUsd: 10 },
  { type: "stage.emptied", stage: "other", viewers: 0 },
]);

/** @param {import("playwright-core").Page} page */
const titles = (page) => page.locator(".event-rows .event-title").allTextContents();

test("events are listed newest first, in words, with links to their stages", async () => {
  const { page, complaints, close } = await openPage();
  const chain = { events: [...EVENTS] };
  await serve(page, chain);
  await page.goto(`${server.url}/#/`);
  await page.getByRole("link", { name: "Events" }).click();
  await page.getByRole("heading", { level: 1, name: "Events" }).waitFor();
  await page.getByText("8 events. Events are kept for 30 days.").waitFor();
  assert.deepEqual(await titles(page), [
    "Last viewers left",
    "Budget exceeded",
    "Counts complete again",
    "Counts incomplete",
    "Fell below 100 viewers",
    "Lost 75 % of 240 viewers within 1 min",
    "Reached 100 viewers",
    "First viewers",
  ]);
  await page.getByText("A month would cost $12.50; the limit is $10.00.").waitFor();
  await page.getByLabel("Event", { exact: true }).selectOption("stage.drop");
  await page.getByText("1 matching event.").waitFor();
  assert.equal(new URL(page.url()).hash, "#/events?type=stage.drop");
  await page.goBack();
  await page.getByText("8 events.").waitFor();
  await page.getByLabel("Stage", { exact: true }).fill("other");
  await page.getByLabel("Stage", { exact: true }).press("Enter");
  await page.getByText("1 matching event.").waitFor();
  // A link opens the same view, which shows later events by itself.
  const { page: other, close: closeOther } = await openPage();
  await serve(other, chain);
  await other.goto(page.url());
  await other.getByText("1 matching event.").waitFor();
  chain.events = chainOf([...EVENTS, { type: "stage.opened", stage: "other", viewers: 1 }]);
  await other.getByText("2 matching events.").waitFor();
  assert.deepEqual(await titles(other), ["First viewers", "Last viewers left"]);
  await closeOther();
  await page.goto(`${server.url}/#/events?stage=${encodeURIComponent(STAGE)}`);
  await page.getByRole("link", { name: "The final" }).first().click();
  await page.getByRole("heading", { level: 1, name: "The final" }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("older events are looked at on request", async () => {
  const { page, close } = await openPage();
  const many = Array.from({ length: 2_500 }, (_, i) => ({
    type: i === 600 ? "stage.drop" : "stage.opened",
    stage: "s",
    viewers: 1,
    peakViewers: 4,
  }));
  await serve(page, { events: chainOf(many) });
  await page.goto(`${server.url}/#/events?type=stage.drop`);
  await page.getByText("0 matching events among the newest 1,000.").waitFor();
  await page.getByRole("button", { name: "Look further back" }).click();
  await page.getByText("1 matching event among the newest 2,000.").waitFor();
  await page.getByRole("button", { name: "Look further back" }).click();
  await page.getByText("1 matching event.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Look further back" }).isVisible(), false);
  await page.goto(`${server.url}/#/events`);
  await page.getByText("1,000 events among the newest 1,000, the newest 200 of them shown.").waitFor();
  await close();
});

test("a webhook that fails is shown with its error", async () => {
  const { page, close } = await openPage();
  const hook = { pending: 0, unread: 0, delivered: 0, givenUp: 0 };
  const webhooks = [
    {
      ...hook,
      name: "billing",
      url: "https://example.com",
      state: "failing",
      pending: 3,
      unread: 1,
      oldestAt: NOON,
      failingSince: NOON,
      error: "it answers 503",
    },
    { ...hook, name: "chat", url: "https://chat.example.com", state: "working", delivered: 41, acceptedAt: NOON },
    { ...hook, name: "new", url: "https://new.example.com", state: "new" },
  ];
  await serve(page, { events: EVENTS, webhooks });
  await page.goto(`${server.url}/#/events`);
  const rows = page.getByRole("region", { name: "Webhooks" }).locator("tbody tr");
  await rows.first().waitFor();
  const texts = await rows.allTextContents();
  for (const [i, words] of [
    /billing.*Fails since .*it answers 503.*4oldest/,
    /chat.*Accepts events.*41last/,
    /No event yet/,
  ].entries())
    assert.match(texts[i], words);
  await close();
});

test("without events the page says how to switch them on", async () => {
  const { page, close } = await openPage();
  for (const path of ["**/v1/events**", "**/v1/webhooks"])
    await page.route(path, (route) =>
      route.fulfill({ status: 501, json: { status: 501, code: "events_off", detail: "events are off" } }),
    );
  await page.goto(`${server.url}/#/events`);
  await page.getByText("Events are off.").waitFor();
  assert.equal(await page.getByRole("region", { name: "Webhooks" }).isVisible(), false);
  await close();
});

for (const width of [320, 360, 768, 1280, 3840]) {
  test(`events fit ${width} px, and are accessible`, async () => {
    const { page, complaints, close } = await openPage({
      viewport: { width, height: 800 },
      colorScheme: width > 700 ? "light" : "dark",
    });
    const error = "no connection within 10 s: ".repeat(5);
    const webhooks = [
      {
        name: "billing",
        url: `https://${"a".repeat(60)}.example.com`,
        state: "failing",
        pending: 3,
        unread: 0,
        oldestAt: NOON,
        delivered: 4_000,
        givenUp: 2,
        failingSince: NOON,
        error,
      },
    ];
    await serve(page, {
      events: chainOf([...EVENTS, { type: "stage.opened", stage: "x".repeat(256), viewers: 1_000_000 }]),
      webhooks,
    });
    await page.goto(`${server.url}/#/events`);
    await page.getByText("9 events.").waitFor();
    await page.getByRole("region", { name: "Webhooks" }).waitFor();
    await assertFits(page, `${width} px`);
    await assertAccessible(page, `${width} px`);
    assert.deepEqual(complaints, []);
    await close();
  });
}
