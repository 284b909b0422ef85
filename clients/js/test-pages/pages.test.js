/**
 * The README's pages, pasted into empty folders: a script tag, Vite, Next (build and server rendering), CommonJS, strict TypeScript.
 * Only the server's URL differs. Chromium opens each page, and a real housecount counts its viewer.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { launch } from "../test-browser/support/browser.js";
import { startServer, startSite, until } from "../test-browser/support/server.js";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const VITE = ["vite@8.4.0"];
const NEXT = ["next@16.4.6", "react@19.3.1", "react-dom@19.3.1"];
const TYPESCRIPT = ["typescript@5.9.3"];
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".mp4": "video/mp4" };
const ENV = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };

let folder, tarball, readme, server, browser, film;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "housecount-pages-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  tarball = join(folder, filename);
  server = await startServer("interval=1s", "ttl=60s", "leave_grace=100ms");
  readme = (await readFile(join(ROOT, "README.md"), "utf8")).replaceAll("https://count.example.org", server.url);
  film = join(folder, "match-1.mp4");
  const input = "-f lavfi -i testsrc=size=160x90:rate=10 -t 120 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -movflags +faststart";
  await run("ffmpeg", ["-loglevel", "error", ...input.split(" "), film]);
  browser = await launch("--autoplay-policy=no-user-gesture-required");
});
after(async () => {
  await browser?.close();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});

/** Finds the README's first code block of a language that contains a text. */
function block(language, has) {
  const all = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)];
  const found = all.find(([, name, code]) => name === language && code.includes(has));
  assert.ok(found, `README.md has a block of ${language} with ${has}`);
  return found[2];
}

/** Creates a user's folder with these files and packages. */
async function project(name, files, packages) {
  const path = join(folder, name);
  for (const [file, text] of Object.entries({ "package.json": '{ "private": true }', ...files })) {
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), text);
  }
  await run("npm", ["install", "--no-audit", "--no-fund", tarball, ...packages], { cwd: path });
  return path;
}

/** Opens a page, and asserts that its viewer is counted while the film plays, without errors. */
async function assertCounts(url) {
  const tab = await browser.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(error.message));
  const isCounted = async () => (await server.count("match-1")).viewers === 1;
  await tab.goto(url);
  await tab.locator("video").waitFor({ state: "attached" });
  assert.equal(await isCounted(), false, "nothing plays yet");
  await tab.evaluate(() => document.querySelector("video").play());
  await until("counted", isCounted);
  await tab.evaluate(() => document.querySelector("video").pause());
  await until("not counted", async () => !(await isCounted()));
  assert.deepEqual(errors, []);
  return tab;
}

test("a script tag", async (t) => {
  const site = await startSite(server.url, { "/page": block("html", "<housecount-viewers"), "/match-1.mp4": await readFile(film) });
  t.after(() => site.end());
  const tab = await assertCounts(`${site.url}/page`);
  await until("the element shows the count", async () => /^\d+ watch$/.test(await tab.textContent("p")));
  await tab.close();
});

test("Vite", async (t) => {
  const index = '<!doctype html><title>a page</title><video src="/match-1.mp4"></video><script type="module" src="/main.js"></script>';
  const path = await project("vite", { "index.html": index, "main.js": block("js", "subscribe, watch") }, VITE);
  await run("npx", ["vite", "build"], { cwd: path });
  const site = await startSite(server.url, {
    "/page": await readFile(join(path, "dist/index.html"), "utf8"),
    "/match-1.mp4": await readFile(film),
    "/assets/": async (name) => [200, TYPES[extname(name)], await readFile(join(path, "dist", name))],
  });
  t.after(() => site.end());
  const tab = await assertCounts(`${site.url}/page`);
  await tab.close();
});

test("Next: build, and server rendering", async (t) => {
  const page = 'import { Lobby, Player } from "./player";\nexport default () => <><Player stage="match-1" viewer="ann" src="/match-1.mp4" /><Lobby /></>;\n';
  const layout = 'export default ({ children }) => <html lang="en"><body>{children}</body></html>;\n';
  const path = await project("next", { "app/page.jsx": page, "app/layout.jsx": layout, "app/player.jsx": block("jsx", "useAudience") }, NEXT);
  await mkdir(join(path, "public"));
  await writeFile(join(path, "public/match-1.mp4"), await readFile(film));
  await run("npx", ["next", "build"], { cwd: path, env: ENV });
  // Without npx, which does not exit with its child.
  const child = spawn(process.execPath, ["node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", "0"], { cwd: path, env: ENV, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  t.after(() => (child.kill("SIGTERM"), ended));
  const url = await new Promise((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => {
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
      if (found) resolve(found[0]);
    });
    child.once("close", (code) => reject(new Error(`next ended with ${code}`)));
  });
  const html = await until("a page", async () => (await fetch(url)).text());
  assert.match(html, /<video[^>]*><\/video><p>…<\/p>/, "the server renders the player without a count");
  const tab = await assertCounts(url);
  await tab.close();
});

test("CommonJS, in Node", async () => {
  const code = `const { watch } = require("housecount");
watch({ url: ${JSON.stringify(server.url)}, stage: "commonjs", viewer: "ann", onCount: ({ viewers }) => process.exit(viewers === 1 ? 0 : 1) });`;
  const path = await project("commonjs", { "page.cjs": code }, []);
  await run(process.execPath, ["page.cjs"], { cwd: path });
});

test("strict TypeScript", async () => {
  const path = await project("typescript", { "page.ts": block("js", "subscribe, watch") }, TYPESCRIPT);
  const options = "--strict --exactOptionalPropertyTypes --noEmit --target es2022 --lib es2022,dom";
  for (const module of ["nodenext", "preserve"]) {
    await run("npx", ["tsc", ...options.split(" "), "--module", module, "page.ts"], { cwd: path }).catch(({ stdout }) => assert.fail(stdout));
  }
});
