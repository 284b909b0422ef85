/** Real nodes. clients/with-nodes starts those of the environment. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const DEADLINE_MS = 20_000;

export const { CLIENTS_URL: URL_OPEN, CLIENTS_KEYED_URL: URL_KEYED, CLIENTS_KEY: KEY, CLIENTS_SECRET: SECRET } = process.env;

/** A stage that no other test knows. */
export const newStage = () => `stage-${randomBytes(4).toString("hex")}`;

/** Returns what `holds` returns, once that is true. */
export async function until(holds) {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const seen = await holds();
    if (seen) return seen;
    assert.ok(performance.now() < end, `did not come true within ${DEADLINE_MS} ms`);
    await sleep(50);
  }
}

export async function all(items) {
  const them = [];
  for await (const item of items) them.push(item);
  return them;
}

/** A node that a test starts, kills and starts again, at one address. It is removed when the test ends. */
export async function makeNode(test, ...settings) {
  const port = await new Promise((resolve) => {
    const free = createServer().listen(0, "127.0.0.1", () => {
      const { port } = free.address();
      free.close(() => resolve(port));
    });
  });
  const data = mkdtempSync(join(tmpdir(), "housecount-"));
  const url = `http://127.0.0.1:${port}`;
  const set = ["interval=1s", "ttl=4s", ...settings].flatMap((setting) => ["--set", setting]);
  let running;
  const node = {
    url,
    async start() {
      running = spawn(process.env.CLIENTS_BIN, ["serve", "--listen", `127.0.0.1:${port}`, "--data", data, ...set], { stdio: "ignore" });
      running.ended = new Promise((resolve) => running.once("exit", resolve));
      await until(() => fetch(`${url}/readyz`).then(({ ok }) => ok, () => false));
    },
    async kill() {
      running?.kill("SIGKILL");
      await running?.ended;
    },
  };
  test.after(async () => {
    await node.kill();
    rmSync(data, { recursive: true });
  });
  return node;
}

/** Asserts that a call is refused, with these fields of the error. */
export async function refused(call, expected) {
  const error = await call.then(() => assert.fail("was not refused"), (error) => error);
  assert.equal(error.name, "HousecountError", String(error));
  for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, `${name} of ${error}`);
  return error;
}
