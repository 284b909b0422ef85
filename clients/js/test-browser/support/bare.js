/**
 * A browser without emulation. Playwright keeps every tab visible and awake, and these tests need hidden and frozen ones.
 * Controlled over Chrome's DevTools protocol, on a pipe.
 */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ARGS, CHROMIUM } from "./browser.js";

/** @param {string[]} args more switches */
export async function launchBare(...args) {
  const profile = await mkdtemp(join(tmpdir(), "housecount-js-"));
  const child = spawn(CHROMIUM, [...ARGS, "--headless", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-first-run", ...args], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const [, , , to, from] = child.stdio;
  const waiting = new Map();
  let ids = 0;
  let rest = "";
  from.setEncoding("utf8");
  from.on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    }
  });
  // Reject calls that wait for a closed browser.
  child.once("close", () => waiting.forEach(({ reject }) => reject(new Error("the browser has ended"))));
  const send = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      const id = (ids += 1);
      waiting.set(id, { resolve, reject });
      to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });

  return {
    /** Opens a tab in front of all others, which become hidden. */
    async open(url) {
      const { targetId } = await send("Target.createTarget", { url });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      return {
        send: (method, params) => send(method, params, sessionId),
        toFront: () => send("Target.activateTarget", { targetId }),
        async evaluate(expression) {
          const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true }, sessionId);
          if (exceptionDetails) throw new Error(exceptionDetails.text);
          return result.value;
        },
      };
    },
    async end() {
      await send("Browser.close").catch(() => {});
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
