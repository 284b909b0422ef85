/** A real browser, and the helpers of its tests. */

import { chromium } from "playwright-core";

import { until } from "./server.js";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
// Debian's chromium has no sandbox for root; pages here are our own. It must open no connection of its own.
export const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** Playwright's arguments that differ from a viewer's browser: no back/forward cache, no throttling of hidden tabs. */
const EXCLUDED_ARGS = [
  "--disable-back-forward-cache",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/** `ENGINES=chromium,firefox,webkit`; Chromium by default. */
export const ENGINES = (process.env.ENGINES ?? "chromium").split(",");
/** The engine of suites that run in one; run.sh runs them in each. */
export const isChromium = ENGINES[0] === "chromium";
/** Skips tests that need Chromium's driver. */
export const chromiumOnly = { skip: !isChromium && "needs Chromium's driver" };

/**
 * Launches the browser of this run. Other engines have only the methods that all tests need.
 *
 * @param {string[]} args more switches of Chromium
 */
export async function launch(...args) {
  return isChromium ? launchChromium(...args) : likePlaywright(await (await import("./engines.js")).start(ENGINES[0]));
}

/** @param {string[]} args more switches */
export function launchChromium(...args) {
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGS, ...args], ignoreDefaultArgs: EXCLUDED_ARGS });
}

/** An engine with Playwright's interface. Its contexts share one browser's state, so each test uses its own stage. */
function likePlaywright(engine) {
  const newPage = async () => {
    /** @type {import("./engines.js").Tab} */
    let tab;
    const page = {
      goto: async (url) => void (tab = await engine.open(url)),
      evaluate: (what, given) => tab.evaluate(typeof what === "function" ? `(${what})(${JSON.stringify(given) ?? ""})` : what),
      textContent: (selector) => page.evaluate((each) => document.querySelector(each).textContent, selector),
      reload: () => tab.reload(),
      close: async () => {
        const open = tab;
        tab = undefined;
        await open?.close();
      },
      // Only Chromium reports a page's console and errors.
      on() {},
    };
    return page;
  };
  const newContext = async () => {
    const pages = [];
    return {
      newPage: async () => (pages.push(await newPage()), pages.at(-1)),
      close: async () => {
        for (const page of pages) await page.close();
      },
    };
  };
  return { newPage, newContext, close: () => engine.end() };
}

/**
 * Opens a tab that watches.
 *
 * @param {import("playwright-core").BrowserContext} context tabs of one share what a browser's tabs share
 * @param {{ url: string }} site
 * @param {Record<string, string>} options in the page's address
 */
export async function openTab(context, site, options) {
  const tab = await context.newPage();
  await tab.goto(`${site.url}/?${new URLSearchParams(options)}`);
  return tab;
}

/** @param {import("playwright-core").Page} tab */
export const recorded = (tab) => tab.evaluate(() => globalThis.recorded);

/** Waits until a tab has a count. */
export const counted = (tab) => until("a count", async () => (await recorded(tab)).counts.length > 0);

/**
 * Polls a stage's count from now on, to assert that it never had a forbidden value.
 *
 * @param {{ count: (stage: string) => Promise<{ viewers: number, sessions: number }> }} server
 * @param {string} stage
 */
export function pollCount(server, stage) {
  const seen = { viewersMin: Infinity, sessionsMax: 0, sessions: 0 };
  let isPolling = true;
  const polling = (async () => {
    while (isPolling) {
      const { viewers, sessions } = await server.count(stage);
      seen.viewersMin = Math.min(seen.viewersMin, viewers);
      seen.sessionsMax = Math.max(seen.sessionsMax, sessions);
      seen.sessions = sessions;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return {
    seen,
    /** Waits until the new page is counted, and the leave has taken effect. */
    changed: () => until("two sessions, then one", () => seen.sessionsMax === 2 && seen.sessions === 1),
    async end() {
      isPolling = false;
      await polling;
      return seen;
    },
  };
}
