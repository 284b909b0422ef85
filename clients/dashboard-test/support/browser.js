/** A real browser, and what every page that is opened in it is held to. */

import assert from "node:assert/strict";

import axe from "axe-core";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** @type {import("playwright-core").Browser | null} */
let browser = null;

export async function openBrowser() {
  // Debian's chromium has no sandbox for root; pages here are our own.
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  return browser;
}

export async function closeBrowser() {
  await browser?.close();
  browser = null;
}

/**
 * A page in a window of its own. Whatever it complains of is kept, and told by `complaints`.
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(options = {}) {
  const window = await (
    await openBrowser()
  ).newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  const page = await window.newPage();
  page.setDefaultTimeout(15_000);
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()))
      complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.stack}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  return { page, complaints, close: () => window.close() };
}

/**
 * That axe-core finds nothing wrong with the page as it is.
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
export async function assertAccessible(page, what) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => Reflect.get(window, "axe").run());
  const told = violations.map(
    (/** @type {any} */ v) =>
      `${v.id}: ${v.help}\n  ${v.nodes.map((/** @type {any} */ n) => `${n.html} ${n.failureSummary}`).join("\n  ")}`,
  );
  assert.equal(told.join("\n"), "", what);
}

/**
 * That nothing is wider than the window.
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
export async function assertFits(page, what) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${what} is ${wide} px wider than the window`);
  const uneven = await page.evaluate(() =>
    [...document.querySelectorAll(".virtual")]
      .filter((table) => table.getClientRects().length)
      .flatMap((table) => {
        const heads = [...table.querySelectorAll("th")].filter((head) => head.getClientRects().length);
        const sum = heads.reduce((px, head) => px + head.getBoundingClientRect().width, 0);
        const cut = heads
          .filter((head) => head.scrollWidth > head.clientWidth)
          .map((head) => `${head.textContent} is cut off`);
        return Math.abs(sum - table.clientWidth) > 2 ? [`columns have ${sum} px of ${table.clientWidth}`, ...cut] : cut;
      }),
  );
  assert.deepEqual(uneven, [], what);
}
