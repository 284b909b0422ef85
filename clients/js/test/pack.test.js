/** The tarball of `npm pack`: linted, and installed as users do. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TSC = fileURLToPath(import.meta.resolve("typescript/lib/tsc.js"));

/** A user's folder in which the tarball is installed. */
let folder, tarball;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "housecount-pack-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  tarball = join(folder, filename);
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, "housecount"), { recursive: true });
  await run("tar", ["-xzf", tarball, "-C", join(modules, "housecount"), "--strip-components=1"]);
  for (const name of (await readdir(join(ROOT, "node_modules"))).filter((name) => !name.startsWith("."))) {
    await symlink(join(ROOT, "node_modules", name), join(modules, name));
  }
  await writeFile(join(folder, "package.json"), '{ "private": true }');
});
after(() => rm(folder, { recursive: true, force: true }));

test("publint finds no problem", async () => {
  const bytes = await readFile(tarball);
  const { messages, pkg } = await publint({ pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) }, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("the types are right for every kind of import", async () => {
  const { problems } = await checkPackage(createPackageFromTarballData(await readFile(tarball)));
  const recorded = (problems ?? []).map(({ kind, entrypoint, resolutionKind }) => `${kind} ${entrypoint ?? ""} ${resolutionKind ?? ""}`.trim());
  assert.deepEqual(recorded, []);
});

test("the licences are included, and the README has no relative links", async () => {
  const names = await readdir(join(folder, "node_modules/housecount"));
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT", "README.md"]) assert.ok(names.includes(name), name);
  const readme = await readFile(join(folder, "node_modules/housecount/README.md"), "utf8");
  const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link);
  assert.ok(links.length > 2);
  for (const link of links) assert.match(link, /^(https:\/\/github\.com\/housecount\/housecount\/(blob|tree)\/main\/|#)/);
  for (const [, path] of readme.matchAll(/github\.com\/housecount\/housecount\/(?:blob|tree)\/main\/([^)#]+)/g)) {
    assert.ok(await readFile(join(ROOT, "../..", path)).then(() => true, (error) => error.code === "EISDIR"), path);
  }
});

/** All subpaths except the element, which needs a browser. */
const SUBPATHS = ["", "/react", "/vue", "/svelte"];

for (const [name, type] of [["user.cjs", "require"], ["user.mjs", "import"]]) {
  test(`it loads by ${type}, with all its entries`, async () => {
    const load = type === "require" ? "require" : "await import";
    await writeFile(join(folder, name), SUBPATHS.map((path) => `console.log(Object.keys(${load}("housecount${path}")).filter((name) => name !== "default" && name !== "module.exports").sort().join());\n`).join(""));
    const { stdout } = await run(process.execPath, [name], { cwd: folder });
    assert.deepEqual(stdout.trim().split("\n"), ["subscribe,watch,watchPlayer,watchStage", "useAudience,useViewers", "useAudience,useViewers", "audience,viewers"]);
  });
}

for (const [module, name] of [["nodenext", "strict.cts"], ["nodenext", "strict.mts"], ["preserve", "strict.ts"]]) {
  test(`TypeScript, strict, with exactOptionalPropertyTypes (${name})`, async () => {
    const text = `
      import { subscribe, watch, type Count, type Status, type WatchOptions } from "housecount";
      import { useAudience, useViewers } from "housecount/react";
      import * as vue from "housecount/vue";
      import { audience, viewers } from "housecount/svelte";
      import "housecount/element";
      declare const token: string | undefined;
      declare const video: HTMLVideoElement | null;
      const options: WatchOptions = { url: "", stage: "s", viewer: "v", token, session: undefined, media: video };
      const onStatus = (status: Status, why: string) => console.log(status, why);
      export const leave: () => void = watch({ ...options, onStatus, token: async () => "t" }).leave;
      export const end: () => void = subscribe({ url: "", onStatus }, ["a", "b"] as const, (count: Count) => console.log(count.viewers), ({ code }) => console.log(code));
      export const one: Count | null = useViewers({ url: "", token }, "a");
      export const many: Count | undefined = useViewers({ url: "" }, ["a"])["a"];
      export const all = [useAudience({ url: "", stage: null, viewer: "v", media: { current: video } }).error, vue.useViewers({ url: "" }, ["a"]), viewers({ url: "" }, "a"), audience];
      export const element: HTMLElement = document.createElement("housecount-viewers");
    `;
    await writeFile(join(folder, name), text);
    const flags = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", module, "--lib", "es2023,dom"];
    const { stdout } = await run(process.execPath, [TSC, ...flags, name], { cwd: folder }).catch((error) => error);
    assert.equal(stdout, "");
  });
}

test("React's server components recognise the hooks as client code", async () => {
  for (const path of ["src/react.js", "dist/cjs/react.js"]) {
    assert.match(await readFile(join(folder, "node_modules/housecount", path), "utf8"), /^(?:"use strict";\s*)?"use client";/);
  }
});
