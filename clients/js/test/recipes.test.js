/** The recipes of README.md and docs/IVS.md, compiled unchanged with `tsc --strict` against the real packages. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

import { SCRIPTS, SERVED, script } from "../build.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = `${ROOT}/.recipes`;
const DOCUMENTS = ["README.md", "../../docs/IVS.md"];

async function blocks(document) {
  const text = await readFile(`${ROOT}/${document}`, "utf8");
  return [...text.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language, code]) => ({ language, code }));
}

test("each recipe compiles, strictly", async (t) => {
  await rm(FOLDER, { recursive: true, force: true });
  await mkdir(FOLDER);
  t.after(() => rm(FOLDER, { recursive: true, force: true }));
  let found = 0;
  for (const [n, document] of DOCUMENTS.entries()) {
    for (const [m, { language, code }] of (await blocks(document)).entries()) {
      if (!["js", "jsx", "ts", "tsx"].includes(language)) continue;
      found += 1;
      // A JavaScript component may have untyped parameters; all else is strict.
      const [suffix, text] = language === "jsx" ? ["tsx", code.replaceAll(/\(\{ (.*?) \}\)( \{|$)/g, "({ $1 }: any)$2").replace("useRef(null)", "useRef<HTMLVideoElement>(null)")] : ["ts", code];
      await writeFile(`${FOLDER}/recipe-${n}-${m}.${suffix}`, text.includes("import ") ? text : `export {};\n${text}`);
    }
  }
  assert.ok(found >= 9, `${found}`);
  const options = { strict: true, noEmit: true, exactOptionalPropertyTypes: true, target: "es2022", module: "preserve", jsx: "react-jsx", lib: ["es2023", "dom", "dom.iterable"], types: ["react"], noImplicitAny: true, skipLibCheck: true };
  await writeFile(`${FOLDER}/tsconfig.json`, JSON.stringify({ compilerOptions: options, include: ["*.ts", "*.tsx"] }));
  const tsc = fileURLToPath(import.meta.resolve("typescript/lib/tsc.js"));
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", FOLDER]).catch((error) => error);
  assert.equal(stdout, "");
});

test("recipes for Vue and Svelte compile too", async () => {
  const all = await blocks("README.md");
  const of = (language) => all.find((block) => block.language === language).code;
  const { descriptor, errors } = parse(of("vue"));
  assert.deepEqual(errors, []);
  assert.match(compileScript(descriptor, { id: "x", inlineTemplate: true }).content, /useAudience/);
  const { js, warnings } = compile(of("svelte"), {});
  assert.match(js.code, /audience/);
  assert.deepEqual(warnings.filter(({ code }) => !code.startsWith("a11y")), []);
});

test("the recipes for IVS are the same in both documents", async () => {
  const [here, there] = await Promise.all(DOCUMENTS.map((document) => readFile(`${ROOT}/${document}`, "utf8")));
  const of = (text) => /<!-- ivs: .* -->\n([\s\S]*?)<!-- \/ivs -->/.exec(text)[1];
  assert.equal(of(here), of(there));
});

test("the served scripts match these sources, and their hashes are in the README", async () => {
  const readme = await readFile(`${ROOT}/README.md`, "utf8");
  const { version } = JSON.parse(await readFile(`${ROOT}/package.json`, "utf8"));
  for (const name of Object.keys(SCRIPTS)) {
    const text = await script(name);
    assert.equal(await readFile(`${SERVED}/${name}.js`, "utf8"), text, "run `npm run build -- --node`");
    const hash = `sha384-${createHash("sha384").update(text).digest("base64")}`;
    assert.ok(readme.includes(`/${name}-${version}.js" integrity="${hash}" crossorigin`), `${name}: ${hash}`);
  }
});
