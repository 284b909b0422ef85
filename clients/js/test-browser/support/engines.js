/**
 * Three engines, all from Debian: Chromium over Playwright, Firefox over WebDriver BiDi, WebKitGTK over WebDriver. Tests
 * open, evaluate, reload and close pages.
 *
 * @typedef {object} Tab
 * @property {(expression: string) => Promise<any>} evaluate result as JSON
 * @property {() => Promise<void>} reload
 * @property {(width: number, height: number) => Promise<void>} resize the page, in CSS pixels
 * @property {() => Promise<void>} close
 */

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import WebSocket from "ws";

import { launchChromium } from "./browser.js";

export { ENGINES } from "./browser.js";

/**
 * @param {string} name
 * @param {Record<string, string>} env more of its environment, such as LANG; not for Chromium
 * @returns {Promise<{ open: (url: string) => Promise<Tab>, end: () => Promise<void> }>}
 */
export function start(name, env = {}) {
  return { chromium, firefox, webkit }[name](env);
}

async function chromium() {
  const browser = await launchChromium("--autoplay-policy=no-user-gesture-required");
  const context = await browser.newContext();
  return {
    async open(url) {
      const page = await context.newPage();
      await page.goto(url);
      return {
        evaluate: (expression) => page.evaluate(expression),
        reload: async () => void (await page.reload()),
        resize: (width, height) => page.setViewportSize({ width, height }),
        close: () => page.close({ runBeforeUnload: false }),
      };
    },
    end: () => browser.close(),
  };
}

/** Waits for a line of a process's output. */
function line(child, pattern) {
  return new Promise((resolve, reject) => {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (text) => {
        output += `${text}\n`;
        const found = pattern.exec(text);
        if (found) resolve(found[1]);
      });
    }
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`it ended with ${code}:\n${output}`)));
  });
}

async function stopped(child) {
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGTERM");
  await ended;
}

async function firefox(env) {
  const profile = await mkdtemp(join(tmpdir(), "housecount-firefox-"));
  const prefs = { "media.autoplay.default": 0, "media.autoplay.blocking_policy": 0, "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false, "app.update.enabled": false, "network.captive-portal-service.enabled": false };
  await writeFile(join(profile, "user.js"), Object.entries(prefs).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`).join(""));
  const child = spawn(process.env.FIREFOX ?? "firefox-esr", ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank"], { env: { ...process.env, ...env, HOME: profile }, stdio: ["ignore", "pipe", "pipe"] });
  const url = await line(child, /WebDriver BiDi listening on (ws:\S+)/);
  const socket = new WebSocket(`${url}/session`);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const waiting = new Map();
  let ids = 0;
  socket.on("message", (text) => {
    const { id, result, error, message } = JSON.parse(text);
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) reject?.(new Error(`${error}: ${message}`));
    else resolve?.(result);
  });
  const send = (method, params) =>
    new Promise((resolve, reject) => {
      waiting.set((ids += 1), { resolve, reject });
      socket.send(JSON.stringify({ id: ids, method, params }));
    });
  await send("session.new", { capabilities: {} });
  return {
    async open(address) {
      const { context } = await send("browsingContext.create", { type: "tab" });
      await send("browsingContext.navigate", { context, url: address, wait: "complete" });
      return {
        async evaluate(expression) {
          const answer = await send("script.evaluate", { expression: `(async () => JSON.stringify(await (${expression})))()`, target: { context }, awaitPromise: true });
          if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
          return answer.result.value === undefined ? undefined : JSON.parse(answer.result.value);
        },
        reload: async () => void (await send("browsingContext.reload", { context, wait: "complete" })),
        resize: async (width, height) => void (await send("browsingContext.setViewport", { context, viewport: { width, height } })),
        close: async () => void (await send("browsingContext.close", { context })),
      };
    },
    async end() {
      socket.close();
      await stopped(child);
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function webkit(more) {
  const port = await freePort();
  // WebKitGTK has no headless mode.
  const display = process.env.DISPLAY ? null : spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], { stdio: ["ignore", "pipe", "pipe"] });
  const DISPLAY = display ? `:${await line(display, /^(\d+)$/)}` : process.env.DISPLAY;
  const env = { ...process.env, ...more, DISPLAY, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" };
  const child = spawn(process.env.WEBKIT_DRIVER ?? "WebKitWebDriver", [`--port=${port}`], { env, stdio: ["ignore", "pipe", "pipe"] });
  const call = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (value?.error) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  for (let isUp = false; !isUp; ) isUp = await call("GET", "/status").then(({ ready }) => ready, () => false);
  const browser = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";
  const options = { binary: process.env.WEBKIT_BROWSER ?? browser, args: ["--automation"] };
  const { sessionId } = await call("POST", "/session", { capabilities: { alwaysMatch: { browserName: "MiniBrowser", "webkitgtk:browserOptions": options } } });
  const session = `/session/${sessionId}`;
  const first = await call("GET", `${session}/window`);
  return {
    async open(url) {
      // A tab would be behind the first one, and so hidden.
      const { handle } = await call("POST", `${session}/window/new`, { type: "window" });
      const inIt = () => call("POST", `${session}/window`, { handle });
      await inIt();
      await call("POST", `${session}/url`, { url });
      return {
        async evaluate(expression) {
          await inIt();
          const script = `const done = arguments[0]; Promise.resolve().then(() => (${expression})).then((value) => done({ text: JSON.stringify(value) }), (error) => done({ failure: String(error) }));`;
          const { text, failure } = await call("POST", `${session}/execute/async`, { script, args: [] });
          if (failure) throw new Error(failure);
          return text ? JSON.parse(text) : undefined;
        },
        async reload() {
          await inIt();
          await call("POST", `${session}/refresh`, {});
        },
        // The page is smaller than the window by its frame.
        async resize(width, height) {
          await inIt();
          const [innerWidth, innerHeight] = await call("POST", `${session}/execute/sync`, { script: "return [innerWidth, innerHeight]", args: [] });
          const rect = await call("GET", `${session}/window/rect`);
          await call("POST", `${session}/window/rect`, { ...rect, width: rect.width + width - innerWidth, height: rect.height + height - innerHeight });
        },
        async close() {
          await inIt();
          await call("DELETE", `${session}/window`);
          await call("POST", `${session}/window`, { handle: first });
        },
      };
    },
    async end() {
      await call("DELETE", session).catch(() => {});
      await stopped(child);
      if (display) await stopped(display);
    },
  };
}
