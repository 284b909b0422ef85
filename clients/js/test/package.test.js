/** The published package: size, types, no dependencies. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { PRIVATE_PROPERTIES, SCRIPTS, script } from "../build.mjs";
import { runScript } from "./support/load.js";
import { STAGE, URL, VIEWER } from "./support/watching.js";
import { Browser, World } from "./support/world.js";

const ROOT = fileURLToPath(new globalThis.URL("..", import.meta.url));
/** Maximum sizes, minified and gzipped: of an import, and of the scripts. */
const SIZES = [
  ["`watch` with media", 3_200, () => bundle('export { watch } from "./src/index.js";')],
  ["the script that counts", 3_350, () => script("housecount-watch")],
  ["the whole script", 4_795, () => script("housecount")],
];

/** Bundles an import, as users do. */
async function bundle(contents) {
  const stdin = { contents, resolveDir: ROOT };
  const { outputFiles } = await build({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  return outputFiles[0].text;
}

for (const [what, bytesMax, text] of SIZES) {
  test(`${what} has at most ${bytesMax} bytes`, async (t) => {
    const bytes = gzipSync(await text(), { level: 9 }).length;
    t.diagnostic(`${bytes} bytes`);
    assert.ok(bytes <= bytesMax, `${bytes} bytes`);
  });
}

for (const name of Object.keys(SCRIPTS)) {
  test(`the built script ${name} counts, leaves, and shows counts`, async () => {
    const world = new World();
    const page = new Browser(world).open();
    Object.assign(page, { HTMLElement: class {}, customElements: { define() {} } });
    runScript(await script(name), page);
    const { watch, subscribe } = page.housecount;
    const counts = [];
    const { leave } = watch({ url: URL, stage: STAGE, viewer: VIEWER, onCount: (count) => counts.push(count) });
    await world.pass(70_000);
    assert.equal(counts.length, 3);
    leave();
    await world.pass(1_000);
    assert.equal(world.server.leaves().length, 1);
    if (!subscribe) return;
    const live = [];
    const end = subscribe({ url: URL }, STAGE, (count) => live.push(count));
    await world.pass(1_000);
    const count = { stage: STAGE, viewers: 2, sessions: 2, asOf: world.now, complete: true, recovering: false };
    world.server.sources[0].send(count);
    await world.pass(1_000);
    assert.deepEqual(live, [count]);
    end();
    assert.equal(world.server.sources[0].isOpen, false);
  });
}

test("no type and no message to another page has a name that the scripts shorten", async () => {
  const types = (await readdir(ROOT)).filter((name) => name.endsWith(".d.ts"));
  const texts = await Promise.all(types.map((name) => readFile(`${ROOT}/${name}`, "utf8")));
  const names = texts.join("\n").match(/\w+(?=\??[:(])/g);
  assert.ok(names.includes("onCount") && names.includes("leave"));
  assert.deepEqual(PRIVATE_PROPERTIES.filter((name) => names.includes(name)), []);
  const text = await script("housecount");
  for (const name of ["query", "until", "counts", "count", "why", "stage", "nextMs"]) assert.match(text, new RegExp(`[{.,]${name}\\b`));
});

test("types: the sources keep what index.d.ts and react.d.ts promise, and examples of both compile", async () => {
  const tsc = fileURLToPath(import.meta.resolve("typescript/lib/tsc.js"));
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", ROOT]).catch((error) => error);
  assert.equal(stdout, "");
});

test("the package has no dependencies, and can be imported without a browser", async () => {
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
