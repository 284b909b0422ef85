/** The script that nodes serve, and the element in it, in a page of another site. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { SERVED } from "../build.mjs";
import { launch } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

test("a script tag with a hash counts a viewer, and the element shows the count", async (t) => {
  const server = await startServer("interval=1s", "ttl=60s", "leave_grace=100ms");
  t.after(() => server.end());
  const hash = createHash("sha384").update(await readFile(`${SERVED}/housecount.js`)).digest("base64");
  const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script src="${server.url}/housecount-0.1.0.js" integrity="sha384-${hash}" crossorigin></script>
<p><housecount-viewers server="${server.url}" stage="s"></housecount-viewers> watch</p>
<script>handle = housecount.watch({ url: "${server.url}", stage: "s", viewer: "ann" });</script>`;
  const site = await startSite(server.url, { "/script": page });
  t.after(() => site.end());
  const browser = await launch();
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(`${site.url}/script`);
  const shows = (text) => until(text, async () => (await tab.textContent("p")) === text);
  await shows("1 watch");
  assert.equal((await server.count("s")).viewers, 1);
  await tab.evaluate(() => document.querySelector("housecount-viewers").setAttribute("stage", "t"));
  await shows("0 watch");
  await tab.evaluate(() => globalThis.handle.leave());
  await until("a count of 0", async () => (await server.count("s")).viewers === 0);
  await tab.evaluate(() => document.querySelector("housecount-viewers").remove());
});
