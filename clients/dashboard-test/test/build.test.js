import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

import { BUILT, files } from "../build.mjs";

test("the built files match the sources", async () => {
  const built = await files();
  assert.deepEqual((await readdir(BUILT)).sort(), Object.keys(built).sort());
  for (const [name, text] of Object.entries(built)) {
    assert.ok(text === (await readFile(BUILT + name, "utf8")), `${name} is not of these sources: npm run build`);
  }
});
