/** Builds `dist/`: the scripts, and CommonJS for `require`. Bundlers and `import` don't use it. */

import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

const ROOT = fileURLToPath(new URL(".", import.meta.url));

/** Folder of the files that every node serves, such as `/housecount.js`. They are checked in, so that Cargo needs no Node. */
export const SERVED = `${ROOT}../../crates/housecount-server/client`;

/** Scripts by name, with the entry of each. */
export const SCRIPTS = { housecount: "script.js", "housecount-watch": "script-watch.js" };

/** Properties that no user and no other page sees. The scripts have short names for them. */
export const PRIVATE_PROPERTIES = [
  ...["accept", "attach", "detach", "isFinal", "onRejected"],
  ...["reconnect", "renew", "setStatus", "wake"],
];

/**
 * Options of terser. Unsafe only for code that replaces built-in functions, or asks for the `prototype` of its own.
 *
 * @type {import("terser").CompressOptions}
 */
const COMPRESS = { passes: 3, ecma: 2020, unsafe: true, unsafe_arrows: true, unsafe_methods: true, sequences: false };

/**
 * Builds the text of a script. Terser saves another 5 % after esbuild. The sources do not rely on strict mode.
 *
 * @param {keyof typeof SCRIPTS} name
 */
export async function script(name) {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [`src/${SCRIPTS[name]}`],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    mangleProps: new RegExp(`^(${PRIVATE_PROPERTIES.join("|")})$`),
    write: false,
  });
  const text = outputFiles[0].text.replace('"use strict";', "");
  // Functions that are used once are shorter in place in one script, and by name in the other.
  const all = [COMPRESS, { ...COMPRESS, reduce_funcs: false, hoist_funs: true }].map((compress) => minify(text, { compress, mangle: { toplevel: true } }));
  const codes = (await Promise.all(all)).map(({ code = "" }) => code);
  const [first, second] = codes.map((code) => gzipSync(code, { level: 9 }).length);
  return codes[Number(second < first)];
}

/** Writes all of `dist/`. */
export async function buildAll() {
  await rm(`${ROOT}/dist`, { recursive: true, force: true });
  await mkdir(`${ROOT}/dist/cjs`, { recursive: true });
  for (const name of Object.keys(SCRIPTS)) {
    await writeFile(`${ROOT}/dist/${name}.min.js`, await script(name));
    if (process.argv.includes("--node")) await writeFile(`${SERVED}/${name}.js`, await script(name));
  }
  const scripts = Object.values(SCRIPTS);
  const entryPoints = (await readdir(`${ROOT}/src`)).filter((name) => !scripts.includes(name)).map((name) => `src/${name}`);
  await build({ absWorkingDir: ROOT, entryPoints, format: "cjs", target: "es2022", outdir: "dist/cjs", logLevel: "error" });
  await writeFile(`${ROOT}/dist/cjs/package.json`, '{ "type": "commonjs" }\n');
  const types = (await readdir(ROOT)).filter((name) => name.endsWith(".d.ts"));
  for (const name of types) await copyFile(`${ROOT}/${name}`, `${ROOT}/dist/cjs/${name}`);
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) await copyFile(`${ROOT}/../../${name}`, `${ROOT}/${name}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await buildAll();
