/** The published package: size, types, no dependencies. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Minified and gzipped. What a page takes, and how many bytes that may have. */
const SIZES = [
  ["`watch` with media", 3_200, { contents: 'export { watch } from "./src/index.js";' }],
  ["the script that counts", 4_096, { contents: 'import "./src/script-watch.js";', format: "iife" }],
  ["the whole script", 5_250, { contents: 'import "./src/script.js";', format: "iife" }],
];

for (const [what, bytesMax, { contents, format = "esm" }] of SIZES) {
  test(`${what} has at most ${bytesMax} bytes`, async (t) => {
    const stdin = { contents, resolveDir: ROOT };
    const { outputFiles } = await build({ stdin, bundle: true, minify: true, format, target: "es2022", write: false });
    const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
    t.diagnostic(`${bytes} bytes`);
    assert.ok(bytes <= bytesMax, `${bytes} bytes`);
  });
}

test("types: the sources keep what index.d.ts and react.d.ts promise, and examples of both compile", async () => {
  const tsc = fileURLToPath(import.meta.resolve("typescript/lib/tsc.js"));
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", ROOT]).catch((error) => error);
  assert.equal(stdout, "");
});

test("nothing else is needed at run time, and it can be imported where there is no browser", async () => {
  const { dependencies } = JSON.parse(await readFile(`${ROOT}/package.json`, "utf8"));
  assert.equal(dependencies, undefined);
  for (const file of await readdir(`${ROOT}/src`)) {
    const text = await readFile(`${ROOT}/src/${file}`, "utf8");
    const foreign = [...text.matchAll(/^import .* from "(?!\.\/)(.*)";$/gm)].map(([, name]) => name);
    assert.deepEqual(foreign, { "react.js": ["react"], "vue.js": ["vue"] }[file] ?? [], file);
  }
  assert.deepEqual(Object.keys(await import("housecount")).sort(), ["subscribe", "watch", "watchPlayer", "watchStage"]);
  assert.deepEqual(Object.keys(await import("housecount/react")).sort(), ["useAudience", "useViewers"]);
});

test("the lock file names no host and no folder of a machine", async () => {
  const lock = await readFile(`${ROOT}/package-lock.json`, "utf8");
  assert.doesNotMatch(lock, /"resolved"|"file:|https?:\/\/(?!github\.com|opencollective\.com|tidelift\.com|bjornlu\.com|player\.live-video\.net)/);
});
