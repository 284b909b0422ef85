import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { assertAccessible, closeBrowser, openPage } from "../support/browser.js";
import { Server, run, until } from "../support/server.js";

const server = new Server();
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;
const viewersNow = (/** @type {import("playwright-core").Page} */ page) =>
  page.locator(".figure", { hasText: "Viewers now" }).locator(".figure-value");

before(() => server.start());
after(async () => {
  await closeBrowser();
  await server.end();
});
afterEach(() => opened.close());

test("a stopped server is reported, and old data look old; the page recovers when the server returns", async () => {
  opened = await openPage();
  const { page } = opened;
  await server.beat("match-1", "ann", "bob");
  await page.goto(server.url);
  await viewersNow(page).getByText("2", { exact: true }).waitFor();
  const fresh = await viewersNow(page).evaluate((value) => getComputedStyle(value).color);

  await server.stop();
  const stoppedAt = Date.now();
  await page.getByRole("alert").getByText("Not connected.").waitFor();
  await page.getByRole("alert").getByText("The data shown is from").waitFor();
  await page.locator("#connection").getByText("Reconnecting").waitFor();
  assert.equal(await viewersNow(page).textContent(), "2", "the last known figure stays");
  assert.notEqual(await viewersNow(page).evaluate((value) => getComputedStyle(value).color), fresh, "but looks old");
  await assertAccessible(page, "not connected");

  // Players send a heartbeat every second here, so an outage of two seconds is longer than an interval.
  await until("an outage longer than an interval", async () => Date.now() - stoppedAt > 2_000);
  await server.start();
  await page
    .getByRole("button", { name: "Try now" })
    .click({ timeout: 1_000 })
    .catch(() => {
      // The page has reconnected meanwhile.
    });
  await page.locator("#connection").getByText("Live", { exact: true }).waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);

  // Counts are bridged for a ttl then, and the page shows it.
  await page.locator(".count-status").getByText("Recovering.").waitFor();
  await page.locator(".figure", { hasText: "Viewers now" }).locator(".badge").waitFor();
  assert.match((await viewersNow(page).textContent()) ?? "", /^≈ /);
  await assertAccessible(page, "recovering");

  await server.beat("match-1", "ann", "bob", "cid");
  await page.locator(".count-status").waitFor({ state: "hidden", timeout: 40_000 });
  await server.beat("match-1", "ann", "bob", "cid");
  await viewersNow(page).getByText("3", { exact: true }).waitFor();
});

test("health shows that a server has stopped, and that it is back", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(`${server.url}/#/health`);
  await page.locator(".verdict").getByText("Ready", { exact: true }).waitFor();
  await server.stop();
  await page.locator(".verdict").getByText("Not reachable").waitFor();
  await page.getByText("These figures are old").waitFor();
  await server.start();
  await page.locator(".verdict").getByText("Ready", { exact: true }).waitFor();
});

test("the page asks for a required key, and keeps it in the tab", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "housecount-keys-"));
  const keys = join(folder, "keys.toml");
  const entry = run("key", "new", "--name", "dashboard", "--scope", "read");
  await writeFile(keys, entry);
  const key = /hck_[0-9a-f]+/.exec(entry)?.[0] ?? "";
  const guarded = await new Server([], { HOUSECOUNT_AUTH_OPERATOR_KEYS: keys }).start();
  t.after(() => guarded.end());
  opened = await openPage();
  const { page } = opened;
  // A batch of heartbeats would need a key.
  await guarded.post("/v1/heartbeat", { stage: "match-3", viewer: "ann" });
  await page.goto(guarded.url);
  const form = page.getByRole("dialog", { name: "Operator's key" });
  await form.getByText("This server shows its counts to operators only.").waitFor();
  await assertAccessible(page, "asked for a key");
  await page.keyboard.press("Escape");
  await form.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Enter the key" }).click();
  await form.getByLabel("Key").fill("wrong");
  await page.keyboard.press("Enter");
  await form.getByText("The server rejected the key.").waitFor();
  await form.getByLabel("Key").fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "match-3" }).waitFor();
  await page.locator("#connection").getByText("Live", { exact: true }).waitFor();
  await page.reload();
  await page.getByRole("link", { name: "match-3" }).click();
  await page.getByRole("tab", { name: "Configuration" }).click();
  await page.getByLabel("Name").fill("The final");
  await page.getByRole("button", { name: "Configure this stage" }).click();
  // The key has the scope `read` only.
  await page.getByRole("alert").getByText("stages").waitFor();
  await page.evaluate(() => (location.hash = "#/health"));
  await page.locator(".fact", { hasText: "Heartbeats" }).waitFor();
  assert.equal(await form.count(), 0);
  await rm(folder, { recursive: true });
});

test("a share link shows its stage only, and is not left in the address bar", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "housecount-share-"));
  const keys = join(folder, "keys.toml");
  const entry = run("key", "new", "--name", "dashboard", "--scope", "read");
  const secret = () => `share_secret = "${randomBytes(32).toString("hex")}"\n`;
  await writeFile(keys, secret() + entry);
  const guarded = await new Server([], { HOUSECOUNT_AUTH_OPERATOR_KEYS: keys }).start();
  t.after(() => guarded.end());
  opened = await openPage();
  const { page } = opened;
  await guarded.post("/v1/heartbeat", { stage: "cup/1", viewer: "ann" });
  await guarded.post("/v1/heartbeat", { stage: "other", viewer: "bob" });
  const link = run("key", "share", "--stage", "cup/1", "--keys", keys, "--server", guarded.url).trim();
  assert.ok(link.startsWith(`${guarded.url}/#share=hcs_`), link);
  const asked = /** @type {string[]} */ ([]);
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(link);
  await viewersNow(page).getByText("1", { exact: true }).waitFor();
  await page.locator("#connection").getByText("Live", { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => location.hash), "#/stage/cup%2F1");
  assert.equal(await page.getByRole("navigation").count(), 0, "no other page works with the link");
  assert.equal(await page.getByRole("tab", { name: "Configuration" }).count(), 0);
  await page.getByRole("tab", { name: "Online" }).click();
  await page.getByText("ann").waitFor();
  await assertAccessible(page, "shared");
  await page.evaluate(() => (location.hash = "#/cost"));
  await until("the stage's page is back", () => page.evaluate(() => location.hash === "#/stage/cup%2F1"));
  await page.reload();
  await viewersNow(page).waitFor();
  assert.ok(
    asked.every((url) => !url.includes("hcs_") && !url.includes("other")),
    asked.join("\n"),
  );
  // Another secret ends the link.
  await writeFile(keys, secret() + entry);
  const form = page.getByRole("dialog", { name: "Operator's key" });
  await form.getByText("The share link has expired or was withdrawn.").waitFor();
  await rm(folder, { recursive: true });
});

test("without a stream the page polls totals, and shows it", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.route("**/v1/live**", (route) => route.fulfill({ status: 502, body: "a proxy that can't stream" }));
  await server.beat("match-2", "ann");
  await page.goto(server.url);
  await page.locator("#connection").getByText("Every 2 s", { exact: true }).waitFor();
  await page.getByText("The live stream is unavailable").waitFor();
  await page.getByRole("link", { name: "match-2" }).waitFor();
  const row = page.locator(".stages tbody:not([aria-hidden]) tr", { hasText: "match-2" });
  await until("three are shown, as long as they are here", async () => {
    await server.beat("match-2", "ann", "dan", "eve");
    return (await row.locator(".col-viewers").textContent()) === "3";
  });
  await until("the server's totals", async () => {
    const { viewers } = await server.get("/v1/stats");
    return (await viewersNow(page).textContent()) === String(viewers);
  });
});
