/** The React hooks, in a real page. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { launch } from "./support/browser.js";
import { startServer, startSite, until } from "./support/server.js";

const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/app.js"></script>`;

test("a mounted component watches, and an unmounted one has left", async (t) => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("support/app.js", import.meta.url))],
    bundle: true,
    format: "esm",
    write: false,
    define: { "process.env.NODE_ENV": '"development"' },
  });
  const server = await startServer("interval=2s", "ttl=60s", "leave_grace=100ms");
  t.after(() => server.end());
  const site = await startSite(server.url, { "/react": PAGE, "/app.js": outputFiles[0].text });
  t.after(() => site.end());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${site.url}/react`);

  const says = (text) => until(text, async () => (await page.textContent("#root")) === text);
  const render = (props) => page.evaluate((each) => globalThis.render(each), props);
  await render({ viewer: null, stage: "s" });
  await says("watching: unknown; live: 0; error: none");
  await render({ viewer: "ann", stage: "s" });
  await says("watching: 1; live: 1; error: none");
  assert.equal((await server.count("s")).sessions, 1, "one session, also in strict mode");
  // A new token or viewer does not reset the shown count.
  await page.evaluate(() => (globalThis.shown.length = 0));
  await render({ viewer: "ann", stage: "s", token: "t" });
  await render({ viewer: "bob", stage: "s", token: "u" });
  await until("bob", async () => (await server.count("s")).viewers === 1 && (await page.evaluate(() => globalThis.shown.length)) > 3);
  await render({ viewer: "ann", stage: "s" });
  const shown = await page.evaluate(() => globalThis.shown);
  assert.deepEqual(shown.filter(([, , viewers]) => viewers === null), [], "no flash of null");
  // In one task: a count of the old stage may come between two.
  await page.evaluate(() => {
    globalThis.shown.length = 0;
    globalThis.render({ viewer: "ann", stage: "t" });
  });
  await says("watching: 1; live: 1; error: none");
  const [first] = await page.evaluate(() => globalThis.shown);
  assert.deepEqual(first, ["t", "ann", null], "and no count of another stage");
  await until("gone from the other stage", async () => (await server.count("s")).viewers === 0);
  await render({ viewer: "ann", stage: "no spaces allowed" });
  await until("an error", async () => /error: invalid_stage$/.test(await page.textContent("#root")));
  await render({ viewer: "bob", stage: "s" });
  await says("watching: 1; live: 1; error: none");
  await render({ viewer: "bob", stage: "s", others: ["s", "t", "u"] });
  await until("all counts", () => page.evaluate(() => ["s", "t", "u"].every((stage) => globalThis.counts[stage]?.viewers >= 0)));
  await until("one stream", () => site.streams === 1);
  await render(null);
  await until("a count of 0", async () => (await server.count("s")).viewers === 0);
  assert.deepEqual(errors.filter((text) => !/status of 400|WebSocket|EventSource/.test(text)), []);
});
