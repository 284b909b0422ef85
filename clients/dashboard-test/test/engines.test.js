/**
 * Each page in each engine: loaded, accessible in both themes, and not wider than a phone. `ENGINES=chromium,firefox,webkit`; WebKit
 * runs under LANG=C, where its language is not a language tag.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import axe from "axe-core";

import { ENGINES, start } from "../../js/test-browser/support/engines.js";
import { TOO_WIDE, VIOLATIONS } from "../support/judge.js";
import { PAGES, isWatched } from "../support/pages.js";
import { Server, until } from "../support/server.js";

const server = new Server(["--demo", "40"]);
const empty = new Server();

before(async () => {
  await Promise.all([server.start(), empty.start()]);
  await isWatched(server);
});
after(() => Promise.all([server.end(), empty.end()]));

for (const engine of ENGINES) {
  describe(engine, () => {
    /** @type {Awaited<ReturnType<typeof start>>} */
    let browser;
    before(async () => {
      browser = await start(engine, { LANG: "C.UTF-8", LC_ALL: "C.UTF-8" });
    });
    after(() => browser.end());

    for (const [name, { path, whole, isEmpty }] of Object.entries(PAGES)) {
      test(name, async () => {
        const tab = await browser.open(`${(isEmpty ? empty : server).url}${path}`);
        const isWhole = () =>
          until(`${name} in ${engine}`, () => tab.evaluate(`!!document.querySelector(${JSON.stringify(whole)})`));
        const isLight = () => tab.evaluate(`housecountTheme.shown() === "light"`);
        await isWhole();
        await tab.evaluate(`(() => {${axe.source}})()`);
        const first = await isLight();
        assert.equal(await tab.evaluate(VIOLATIONS), "", `${name} in ${engine}`);
        await tab.evaluate("document.getElementById('theme').click()");
        assert.notEqual(await isLight(), first, "the other theme");
        assert.equal(await tab.evaluate(VIOLATIONS), "", `${name} in ${engine}, the other theme`);
        await tab.evaluate("document.getElementById('theme').click()");
        // WebKitGTK's window has a larger minimum width.
        await tab.resize(360, 800);
        await isWhole();
        assert.deepEqual(await tab.evaluate(TOO_WIDE), [], `${name} in ${engine} on a phone`);
        await tab.close();
      });
    }
  });
}
