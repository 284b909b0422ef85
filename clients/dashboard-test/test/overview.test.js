import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { SseParser } from "../../../crates/housecount-server/assets/sse.js";
import { closeBrowser, openPage } from "../support/browser.js";
import { Server } from "../support/server.js";

const server = new Server();
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;
const viewersNow = (/** @type {import("playwright-core").Page} */ page) =>
  page.locator(".figure", { hasText: "Viewers now" }).locator(".figure-value");
const rows = (/** @type {import("playwright-core").Page} */ page) =>
  page.locator(".stages tbody:not([aria-hidden]) tr");

before(() => server.start());
after(async () => {
  await closeBrowser();
  await server.end();
});
afterEach(async () => {
  assert.deepEqual(opened.complaints, []);
  await opened.close();
});

test("the first run shows how to begin; the first viewer appears without a reload, and leaves", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(server.url);
  await page.getByRole("heading", { name: "No viewers yet" }).waitFor();
  await page.getByText(`curl ${server.url}/v1/heartbeat`).waitFor();
  await page.getByText("housecount serve --demo 500").waitFor();

  await server.beat("match-1", "ann", "bob");
  await viewersNow(page).getByText("2", { exact: true }).waitFor();
  await page.getByRole("link", { name: "match-1" }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "No viewers yet" }).isVisible(), false);

  await server.post("/v1/leave", { stage: "match-1", viewer: "bob" });
  await viewersNow(page).getByText("1", { exact: true }).waitFor();
  await rows(page).filter({ hasText: "match-1" }).locator(".col-viewers").getByText("1", { exact: true }).waitFor();
});

test("rows show names and customers, and ids are never markup", async () => {
  opened = await openPage();
  const { page } = opened;
  const nasty = "<img/src=x/onerror=alert(1)>";
  await server.post("/v1/stages", {
    stage: nasty,
    name: `The "${nasty}"`,
    customer: "<b>ACME</b>",
    tags: { "<i>": "</script>" },
  });
  await server.beat(nasty, "<script>alert(1)</script>");
  let dialogs = 0;
  page.on("dialog", (dialog) => {
    dialogs += 1;
    void dialog.dismiss();
  });
  await page.goto(server.url);
  await rows(page).filter({ hasText: "<b>ACME</b>" }).waitFor();
  await page.getByRole("link", { name: `The "${nasty}"` }).click();
  await page.getByRole("heading", { level: 1, name: `The "${nasty}"` }).waitFor();
  await page.getByRole("tab", { name: "Online now" }).click();
  await page.getByRole("cell", { name: "<script>alert(1)</script>" }).waitFor();
  assert.equal(await page.locator("main img, main script, main b").count(), 0);
  assert.equal(dialogs, 0);
});

test("stages are searched and sorted with the keyboard", async () => {
  await server.beat("match-2", "cid", "dan", "eve");
  await server.beat("concert", "fay", "gus");
  opened = await openPage();
  const { page } = opened;
  await page.goto(server.url);
  await rows(page).filter({ hasText: "concert" }).waitFor();

  await page.keyboard.press("/");
  await page.keyboard.type("MATCH");
  await page.getByText(/^2 of \d+ stages$/).waitFor();
  assert.deepEqual(await rows(page).locator("a").allTextContents(), ["match-2", "match-1"]);

  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const head = page.getByRole("columnheader", { name: "Stage" });
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  await rows(page).first().getByText("match-1").waitFor();
  await page.keyboard.press("Enter");
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  await rows(page).first().getByText("match-2").waitFor();

  await rows(page).first().getByRole("link").focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "match-1");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "match-1" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1", "the new page has the focus");
  assert.match(await page.title(), /^match-1 · housecount$/);

  await page.goBack();
  await page.getByRole("searchbox", { name: "Search stages" }).fill("no such stage");
  await page.getByText("No stage has “no such stage”").waitFor();
});

test("the theme is the system's until one is selected; the selection is stored", async () => {
  opened = await openPage({ colorScheme: "dark" });
  const { page } = opened;
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.goto(server.url);
  const dark = await background();
  await page.getByRole("button", { name: "Use the light theme" }).click();
  const light = await background();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await background(), light);
  await page.getByRole("button", { name: "Use the dark theme" }).click();
  assert.equal(await background(), dark);
});

test("print is light, without controls, also with a dark screen", async () => {
  opened = await openPage({ colorScheme: "dark" });
  const { page } = opened;
  await page.goto(server.url);
  await page.emulateMedia({ media: "print" });
  const colors = await page.evaluate(() => {
    const { backgroundColor, color } = getComputedStyle(document.body);
    return [backgroundColor, color];
  });
  assert.deepEqual(colors, ["rgb(255, 255, 255)", "rgb(20, 32, 30)"]);
  assert.equal(await page.locator("nav").isVisible(), false);
  assert.equal(await page.locator("#theme").isVisible(), false);
});

test("events are the same across any chunks", () => {
  const text =
    ': hello\r\n\r\nevent: count\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:x\n\nevent: lost\n\nretry: 5\nid\ndata: last\n\ndata: half';
  const wanted = [
    { event: "count", data: '{"a":\n1}' },
    { event: "message", data: "x" },
    { event: "message", data: "last" },
  ];
  for (let size = 1; size <= text.length; size++) {
    const parser = new SseParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, wanted, `in pieces of ${size}`);
  }
  assert.throws(() => new SseParser().push("x".repeat(70_000)), "a line without end is not kept");
});
