/** Loads the library into a simulated page, which then has its own copy of each module, as in a browser. */

import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Globals that pages have. One that a page lacks is not taken from Node instead. */
const GLOBALS = [
  ...["AbortController", "BroadcastChannel", "Date", "HTMLElement", "Math", "Request", "TextDecoder", "WebSocket", "atob", "clearTimeout"],
  ...["console", "customElements", "document", "fetch", "globalThis", "localStorage", "location", "navigator", "setTimeout", "window"],
];

const { outputFiles } = await build({
  absWorkingDir: ROOT,
  stdin: { contents: 'export * from "./src/index.js"; export { startWatch } from "./src/watch.js"; export * from "./src/media.js";', resolveDir: ROOT },
  bundle: true,
  format: "iife",
  globalName: "library",
  target: "es2022",
  write: false,
});
const source = `${outputFiles[0].text}; return library;`;

/**
 * Runs a script with the globals of a page. The script must not rely on strict mode, which `with` does not have.
 *
 * @param {string} text
 * @param {Record<string, any>} page
 */
export function runScript(text, page) {
  const scope = new Proxy(page, {
    has: (_, name) => GLOBALS.includes(name),
    get(_, name) {
      if (name === Symbol.unscopables) return undefined;
      if (name === "globalThis") return page;
      if (!(name in page)) throw new ReferenceError(`${String(name)} is not defined`);
      return page[name];
    },
  });
  return new Function("scope", `with (scope) { ${text.replace('"use strict";', "")} }`)(scope);
}

/** @type {WeakMap<object, any>} */
const loaded = new WeakMap();

/**
 * Loads the library once per page.
 *
 * @param {Record<string, any>} page
 */
export function load(page) {
  if (!loaded.has(page)) loaded.set(page, runScript(source, page));
  return loaded.get(page);
}
