/** `useViewers` of Vue and `viewers` of Svelte: one stream for a list of stages. React's hook needs a page: test-browser/react.test.js. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { effectScope, ref, watchEffect } from "vue";

import { viewers } from "../src/svelte.js";

/** Streams that were asked for. @type {{ url: string, send: (count: object) => void, isOpen: boolean }[]} */
const streams = [];
const globals = { fetch: globalThis.fetch, window: globalThis.window };

before(() => {
  globalThis.window = globalThis;
  globalThis.fetch = async (url, { signal }) => {
    const stream = { url, isOpen: true, send: undefined };
    streams.push(stream);
    const body = new ReadableStream({
      start(controller) {
        stream.send = (count) => controller.enqueue(new TextEncoder().encode(`event: count\ndata: ${JSON.stringify(count)}\n\n`));
        signal.addEventListener("abort", () => {
          stream.isOpen = false;
          controller.error(signal.reason);
        });
      },
    });
    return new Response(body);
  };
});
after(() => Object.assign(globalThis, globals));

/** Runs other tasks until a condition holds. */
async function until(isSo) {
  for (let turn = 0; turn < 1_000 && !isSo(); turn += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(isSo());
}

const server = { url: "https://count.example" };
const open = () => streams.filter(({ isOpen }) => isOpen);

/** Sends a count of each stage, and checks what a list of them shows. */
async function sendAndRead(read) {
  await until(() => open().length === 1);
  assert.match(open()[0].url, /stage=a&stage=b$/);
  for (const [stage, viewers] of [["a", 2], ["b", 3]]) open()[0].send({ stage, viewers });
  await until(() => read().b);
  assert.deepEqual({ ...read() }, { a: { stage: "a", viewers: 2, complete: true, recovering: false }, b: { stage: "b", viewers: 3, complete: true, recovering: false } });
}

test("Svelte: two components of a page share one stream of two stages", async () => {
  let counts = {};
  const store = viewers(server, ["a", "b"]);
  const ends = [store.subscribe((all) => (counts = all)), store.subscribe(() => {})];
  await sendAndRead(() => counts);
  for (const end of ends) end();
  assert.equal(open().length, 0);
});

test("Vue: a list of stages is one stream, which follows the list", async () => {
  const { useViewers } = await import("../src/vue.js");
  const scope = effectScope();
  const stages = ref(["a", "b"]);
  let counts;
  scope.run(() => {
    counts = useViewers(server, stages);
    watchEffect(() => Object.keys(counts));
  });
  await sendAndRead(() => counts);
  stages.value = ["b"];
  await until(() => open().length === 1 && open()[0].url.endsWith("&stage=b"));
  assert.deepEqual(Object.keys(counts), ["b"]);
  scope.stop();
  assert.equal(open().length, 0);
});
