/** Nodes that are away, come back, or ask for patience. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "housecount-node";

import { URL_OPEN, makeNode, newStage, refused } from "./support/nodes.mjs";

test("a call waits for a node that starts", async (t) => {
  const node = await makeNode(t);
  const client = new Client(node.url, { retryForMs: 60_000 });
  const stage = newStage();
  const calls = [
    client.sendHeartbeat({ stage, viewer: "ann" }),
    client.sendHeartbeats([{ stage, viewer: "bob" }]),
    client.createStage(stage), // No connection was made: nothing can have been carried out.
  ];
  await node.start();
  const [beat, batch, made] = await Promise.all(calls);
  assert.ok(beat.viewers >= 1 && batch.accepted === 1 && made.configured);
});

test("without retries the error comes at once", async (t) => {
  const { url } = await makeNode(t);
  const error = await refused(new Client(url, { retryForMs: 0 }).showStats(), { status: undefined, code: "" });
  assert.match(error.message, /no answer.*ECONNREFUSED/);
});

test("Retry-After is waited for", async (t) => {
  const node = await makeNode(t, "limits.address_per_second=1", "limits.address_burst=5");
  await node.start();
  const stage = newStage();
  const once = new Client(node.url, { retryForMs: 0 });
  const spend = async () => {
    for (let turn = 0; turn < 8; turn += 1) await once.sendHeartbeat({ stage, viewer: "bob" });
  };
  const { retryAfterMs } = await refused(spend(), { status: 429, code: "too_many_requests" });
  assert.ok(retryAfterMs >= 1_000, "the node asks for patience");
  const began = performance.now();
  assert.equal((await new Client(node.url).sendHeartbeat({ stage, viewer: "ann" })).viewers, 2);
  assert.ok(performance.now() - began >= 990, "not before the node said");
});

test("a stream comes back after a kill", async (t) => {
  const node = await makeNode(t);
  await node.start();
  const client = new Client(node.url, { retryForMs: 60_000 });
  const stage = newStage();
  const seen = [];
  for await (const event of client.streamCounts(stage, { signal: AbortSignal.timeout(60_000) })) {
    seen.push(event);
    if (seen.length === 1) {
      await node.kill();
      await node.start();
      await client.sendHeartbeat({ stage, viewer: "ann" });
    }
    if (event.viewers === 1) break;
  }
  assert.ok(seen.some(({ type }) => type === "reset"), "another process cannot tell what was missed");
});

test("what is no node is named", async () => {
  await refused(new Client(`${URL_OPEN}/docs`, { retryForMs: 0 }).showStats(), { status: 404 });
});
