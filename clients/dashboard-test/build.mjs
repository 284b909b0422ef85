/**
 * Builds the pages' scripts and style sheet. They are checked in, so that Cargo needs no Node.
 *
 *   npm run build
 */

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

import { build } from "esbuild";

const ASSETS = fileURLToPath(new URL("../../crates/housecount-server/assets/", import.meta.url));

/** Folder of the built files, which http/assets.rs embeds. */
export const BUILT = fileURLToPath(new URL("../../crates/housecount-server/dashboard/", import.meta.url));

/**
 * Builds all files.
 * @returns {Promise<Record<string, string>>} text by name
 */
export async function files() {
  const { outputFiles } = await build({
    absWorkingDir: ASSETS,
    entryPoints: ["app.js", "docs.js", "theme.js", "app.css"],
    bundle: true,
    minify: true,
    format: "esm",
    // Engines that have `light-dark()`.
    target: ["chrome123", "firefox120", "safari17.5"],
    outdir: BUILT,
    write: false,
  });
  return Object.fromEntries(outputFiles.map(({ path, text }) => [path.slice(BUILT.length), text]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await mkdir(BUILT, { recursive: true });
  for (const name of await readdir(BUILT)) await rm(BUILT + name);
  for (const [name, text] of Object.entries(await files())) await writeFile(BUILT + name, text);
}
