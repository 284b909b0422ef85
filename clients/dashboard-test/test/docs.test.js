import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { closeBrowser, openPage } from "../support/browser.js";
import { Server } from "../support/server.js";

const server = new Server();
/** @type {Awaited<ReturnType<typeof openPage>>} */
let opened;

before(() => server.start());
after(async () => {
  await closeBrowser();
  await server.end();
});
afterEach(async () => {
  assert.deepEqual(opened.complaints, []);
  await opened.close();
});

test("every operation and schema is on the page, and the search finds it", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(`${server.url}/docs/`);
  await page.locator(".entry").first().waitFor();
  const { paths, components } = await server.get("/openapi.json");
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  const ids = [
    ...operations.map((each) => each.operationId),
    ...Object.keys(components.schemas).map((each) => `schema-${each}`),
  ];
  assert.deepEqual(await page.locator(".entry").evaluateAll((all) => all.map(({ id }) => id).sort()), ids.sort());

  await page.getByRole("searchbox").fill("post leave");
  assert.deepEqual(await page.locator(".entry:visible code").allTextContents(), ["/v1/leave", "/api/viewer/leave"]);
  // The URL's entry is shown, also if the search hides it.
  await page.evaluate(() => (location.hash = "#schema-Problem"));
  await page.locator("#schema-Problem .property").first().waitFor();
});

test("an operation is called with the values of its form", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(`${server.url}/docs/#sendHeartbeat`);
  const heartbeat = page.locator("#sendHeartbeat");
  await heartbeat.getByLabel("Body").fill('{"stage":"a/b","viewer":"it\'s ann"}');
  await heartbeat.getByRole("button", { name: "Send" }).click();
  await heartbeat.getByText("200 OK").waitFor();
  await heartbeat.getByText(`-d '{"stage":"a/b","viewer":"it'\\''s ann"}'`).waitFor();

  await page.locator("#showStage summary").click();
  const stage = page.locator("#showStage");
  await stage.getByLabel("stage").fill("a/b");
  const [asked] = await Promise.all([
    page.waitForRequest("**/v1/stages/**"),
    stage.getByRole("button", { name: "Send" }).click(),
  ]);
  assert.equal(new URL(asked.url()).pathname, "/v1/stages/a%2Fb");
  await stage.getByLabel("Response").getByText('"viewers": 1').waitFor();
});

test("calls send the key of the field, and a stream is shown until it is stopped", async () => {
  opened = await openPage();
  const { page } = opened;
  await server.beat("match-1", "ann");
  await page.goto(`${server.url}/docs/#streamCounts`);
  await page.getByLabel("Key or token for calls").fill("hck_1");
  const live = page.locator("#streamCounts");
  const [asked] = await Promise.all([
    page.waitForRequest("**/v1/live**"),
    live.getByRole("button", { name: "Send" }).click(),
  ]);
  assert.equal(asked.headers().authorization, "Bearer hck_1");
  await live.getByLabel("Response").getByText("event: count").waitFor();
  await live.getByRole("button", { name: "Stop" }).click();
  await live.getByText("Stopped.").waitFor();
});

test("the dashboard and the API page link to each other", async () => {
  opened = await openPage();
  const { page } = opened;
  await page.goto(server.url);
  await page.getByRole("link", { name: "API", exact: true }).click();
  await page.getByRole("heading", { name: "API" }).waitFor();
  await page.getByRole("link", { name: "Cost" }).click();
  await page.getByRole("heading", { name: "Cost" }).waitFor();
});
