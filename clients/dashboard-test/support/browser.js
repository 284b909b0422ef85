/** A real browser, and the checks of each page. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import { chromium } from "playwright-core";

import { TOO_WIDE, VIOLATIONS } from "./judge.js";

/** Sources, which replace the binary's files if `FRESH_ASSETS` is set: no `cargo build` is needed while working. */
const ASSETS = new URL("../../../crates/housecount-server/assets/", import.meta.url);
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
 * Opens a page in its own window. `complaints` collects its errors and warnings.
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(options = {}) {
  const window = await (
    await openBrowser()
  ).newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  if (process.env.FRESH_ASSETS) await serveFreshAssets(window);
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

/** @param {import("playwright-core").BrowserContext} window */
export async function serveFreshAssets(window) {
  await window.route(
    (url) => url.pathname === "/",
    async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: await readFile(new URL("index.html", ASSETS), "utf8") });
    },
  );
  await window.route(/\/assets\/(app|docs|theme)(-\w+)?\.(js|css)$/, (route) => {
    const [, stem, ending] = /(\w+?)(?:-\w+)?\.(\w+)$/.exec(route.request().url()) ?? [];
    return route.fulfill({ path: fileURLToPath(new URL(`../dashboard/${stem}.${ending}`, ASSETS)) });
  });
}

/**
 * Asserts that axe-core finds no violation on the page.
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
export async function assertAccessible(page, what) {
  await page.evaluate(axe.source);
  assert.equal(await page.evaluate(VIOLATIONS), "", what);
}

/**
 * Asserts that no element is wider than the window.
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
export async function assertFits(page, what) {
  assert.deepEqual(await page.evaluate(TOO_WIDE), [], what);
}
