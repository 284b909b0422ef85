/** A real housecount, started for a test. */

import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const BIN = process.env.HOUSECOUNT_BIN;
if (!BIN) throw new Error("HOUSECOUNT_BIN names no housecount: set it to the binary under test");

/** The environment without this test's own variables, which the server would reject as unknown settings. */
const INHERITED = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HOUSECOUNT_")));

/** Settings for quick tests: a heartbeat per second, so that watch time is proven within two. */
const QUICK = {
  HOUSECOUNT_INTERVAL: "1s",
  HOUSECOUNT_TTL: "20s",
  HOUSECOUNT_LEAVE_GRACE: "100ms",
  HOUSECOUNT_WINDOW: "5s",
  HOUSECOUNT_SNAPSHOT_INTERVAL: "2s",
};

/**
 * Runs another command and returns its output.
 * @param {string[]} args
 */
export const run = (...args) => execFileSync(BIN, args, { env: INHERITED, encoding: "utf8" });

export class Server {
  #args;
  #env;
  #data = "";
  #listen = "127.0.0.1:0";
  /** @type {import("node:child_process").ChildProcess | null} */
  #child = null;
  url = "";

  /**
   * @param {string[]} args more arguments of `serve`
   * @param {Record<string, string>} env more settings
   */
  constructor(args = [], env = {}) {
    this.#args = args;
    this.#env = { ...QUICK, ...env };
  }

  /** Folder of the embedded stores. */
  get data() {
    return this.#data;
  }

  /** Starts the server, and resolves when it is ready. A second start uses the same port and data. */
  async start() {
    this.#data ||= await mkdtemp(join(tmpdir(), "housecount-dashboard-"));
    const args = ["serve", "--listen", this.#listen, "--data", this.#data, ...this.#args];
    const child = spawn(BIN, args, { env: { ...INHERITED, ...this.#env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.url = await new Promise((resolve, reject) => {
      let output = "";
      const onLine = (line) => {
        output += `${line}\n`;
        const found = /listens on (http:\S+)/.exec(line);
        if (found) resolve(found[1]);
      };
      createInterface(child.stdout).on("line", onLine);
      createInterface(child.stderr).on("line", onLine);
      child.once("exit", (code) => reject(new Error(`housecount ended with ${code}:\n${output}`)));
    });
    this.#listen = new URL(this.url).host;
    await until("ready", async () => (await fetch(`${this.url}/readyz`)).ok);
    return this;
  }

  /** Stops the process, and resolves when it has exited. */
  async stop() {
    const child = this.#child;
    if (!child) return;
    this.#child = null;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }

  /** Stops the server and deletes its data. */
  async end() {
    await this.stop();
    if (this.#data) await rm(this.#data, { recursive: true, force: true });
  }

  /** @param {string} path */
  async get(path) {
    return answer(path, await fetch(this.url + path));
  }

  /**
   * @param {string} path
   * @param {unknown} body
   */
  async post(path, body) {
    const headers = { "content-type": "application/json" };
    return answer(path, await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) }));
  }

  /**
   * Sends one heartbeat of each viewer on a stage.
   * @param {string} stage
   * @param {string[]} viewers
   */
  beat(stage, ...viewers) {
    return this.post(
      "/v1/heartbeats",
      viewers.map((viewer) => ({ stage, viewer })),
    );
  }
}

/**
 * @param {string} path
 * @param {Response} response
 */
async function answer(path, response) {
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.status === 204 ? null : response.json();
}

/**
 * Polls until a condition holds.
 * @param {string} what
 * @param {() => Promise<boolean>} isSo
 */
export async function until(what, isSo) {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    if (await isSo().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`still not: ${what}`);
}
