/** The README's programs, each pasted into an empty folder as it is. Only the server's URL, the key and the secret differ. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { KEY, SECRET, URL_OPEN } from "./support/nodes.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** A folder in which the packed package is installed. */
const USE = process.env.CLIENTS_USE;
const TSC = ["--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--module", "node16", "--lib", "es2022,esnext.disposable"];
const programs = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(([, program]) =>
  program.replace("https://count.example.org", URL_OPEN).replace("hck_…", KEY).replace("secret:…", SECRET),
);
const outputs = [/^2 \[\]/, /^\d+ true/, /^NO 1/, /^eyJ/];

test("every program is run", () => assert.equal(programs.length, outputs.length));

for (const [index, output] of outputs.entries()) {
  test(`a program prints ${output}`, { timeout: 20_000 }, async (t) => {
    const folder = join(USE, `readme-${index}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "main.mjs"), programs[index]);
    const child = spawn(process.execPath, ["main.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill());
    const ended = once(child, "exit");
    const lines = [];
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (output.test(line)) break;
    }
    assert.match(lines.at(-1) ?? "", output, lines.join());
    // A stream has no end.
    if (!programs[index].includes("streamCounts")) assert.deepEqual(await ended, [0, null]);
  });
}

test("the programs are strict TypeScript", () => {
  const files = programs.map((program, index) => {
    const file = join(USE, `readme-${index}.mts`);
    writeFileSync(file, program);
    return file;
  });
  const types = ["--types", "node", "--typeRoots", join(USE, "node_modules/@types")];
  execFileSync(join(ROOT, "node_modules/.bin/tsc"), ["--noEmit", ...TSC, ...types, ...files], { stdio: "inherit" });
});
