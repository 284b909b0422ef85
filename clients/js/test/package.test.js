/** What is published: its size, its types, and that it needs nothing. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SIZE_BYTES_MAX = 2_520;

test(`all of it, minified and gzipped, has at most ${SIZE_BYTES_MAX} bytes`, async (t) => {
  const options = { absWorkingDir: ROOT, bundle: true, minify: true, format: "esm", target: "es2021", write: false };
  const { outputFiles } = await build({ ...options, entryPoints: ["src/index.js"] });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= SIZE_BYTES_MAX, `${bytes} bytes`);
});

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
    assert.deepEqual(foreign, file === "react.js" ? ["react"] : [], file);
  }
  assert.deepEqual(Object.keys(await import("housecount")).sort(), ["subscribe", "watch"]);
  assert.deepEqual(Object.keys(await import("housecount/react")).sort(), ["useAudience", "useViewers"]);
});

test("the lock file names no host and no folder of a machine", async () => {
  const lock = await readFile(`${ROOT}/package-lock.json`, "utf8");
  assert.doesNotMatch(lock, /"resolved"|"file:|https?:\/\/(?!github\.com|opencollective\.com|tidelift\.com)/);
});
