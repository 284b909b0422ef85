/** The watch time tab of a stage with more viewers than a page of the API has. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, openPage } from "../support/browser.js";
import { Server, until } from "../support/server.js";

const STAGE = "crowded";
const VIEWERS = Array.from({ length: 1_100 }, (_, i) => `viewer-${String(i).padStart(4, "0")}`);
/** The last one by name, who comes first. */
const LONGEST = "zoe";
const server = new Server();

before(async () => {
  await server.start();
  await server.beat(STAGE, LONGEST);
  await until("the others are counted", async () => {
    await server.beat(STAGE, LONGEST, ...VIEWERS);
    return (await server.get(`/v1/stages/${STAGE}`)).viewers > VIEWERS.length;
  });
  await until("all have watch time", async () => {
    await server.beat(STAGE, LONGEST, ...VIEWERS);
    const from = `/v1/stages/${STAGE}/watch?limit=1000`;
    const { watch, cursor } = await server.get(from);
    const rest = await server.get(`${from}&cursor=${encodeURIComponent(cursor)}`);
    return watch.length + rest.watch.length > VIEWERS.length;
  });
});
after(async () => {
  await closeBrowser();
  await server.end();
});

test("the longest watch time is first, also of more viewers than a page has", async () => {
  const { page, complaints, close } = await openPage();
  await page.goto(`${server.url}/#/stage/${STAGE}`);
  const rows = page.locator(".tabs [role=tabpanel]:not([hidden]) tbody:not([aria-hidden]) tr");
  await rows.first().getByText(LONGEST, { exact: true }).waitFor();
  await page.getByText(/^The 1,000 viewers with the longest watch time, as of /).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByText(/^1,101 viewers, as of /).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});
