/** Tokens and keys, against a node that asks for them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, signToken } from "housecount-node";

import { KEY, SECRET, URL_KEYED, newStage, refused } from "./support/nodes.mjs";

const client = new Client(URL_KEYED);

test("signed tokens are taken", async () => {
  const stage = newStage();
  const beat = { stage, viewer: "ann", session: "tv" };
  await refused(client.sendHeartbeat(beat), { status: 401, code: "token_missing" });
  for (const claims of [
    { stage, ttlSeconds: 60 },
    { stage, ttlSeconds: 3_600, session: "tv" },
    { stagePrefix: stage.slice(0, 6), ttlSeconds: 60 },
    { stagePrefix: "", ttlSeconds: 60, notBefore: Date.now() / 1_000 - 5 },
  ]) {
    const token = signToken(SECRET, { viewer: "ann", ...claims });
    assert.equal((await client.sendHeartbeat(beat, { token })).viewers, 1);
  }
  const bare = SECRET.replace("secret:", "");
  for (const same of [bare, Buffer.from(bare), `${SECRET}\n`]) {
    const token = signToken(same, { viewer: "zoë", stage, ttlSeconds: 60 });
    await client.sendHeartbeat({ stage, viewer: "zoë" }, { token });
    await client.sendLeave({ stage, viewer: "zoë" }, { token });
  }
});

test("tokens hold for what they name only", async () => {
  const stage = newStage();
  const sign = (claims, secret = SECRET) => signToken(secret, { viewer: "ann", stage, ttlSeconds: 60, ...claims });
  const beat = (token, more) => client.sendHeartbeat({ stage, viewer: "ann", session: "tv", ...more }, { token });
  const token = sign({ session: "tv" });
  for (const other of [{ viewer: "bob" }, { stage: `${stage}-b` }, { session: "tab" }]) {
    await refused(beat(token, other), { status: 403, code: "token_mismatch" });
  }
  await refused(beat(sign({}, "x".repeat(32))), { status: 401, code: "token_invalid" });
  await refused(beat(sign({ ttlSeconds: -60 })), { status: 401, code: "token_expired" });
  await refused(beat(sign({ audience: "elsewhere" })), { status: 401 });
});

test("a token that no node would take is not signed", () => {
  assert.throws(() => signToken("x".repeat(31), { viewer: "ann", stage: "a", ttlSeconds: 60 }), /31 bytes/);
  for (const more of [{}, { stage: "a", stagePrefix: "a" }]) {
    assert.throws(() => signToken(SECRET, { viewer: "ann", ttlSeconds: 60, ...more }), /not both/);
  }
});

test("operators' calls need the key", async () => {
  const stage = newStage();
  const operator = new Client(URL_KEYED, { key: KEY });
  await refused(client.showStats(), { status: 401, code: "unauthorized" });
  await refused(client.sendHeartbeats([{ stage, viewer: "ann" }]), { status: 401, code: "unauthorized" });
  assert.equal((await operator.sendHeartbeats([{ stage, viewer: "ann" }])).accepted, 1);
  assert.equal((await operator.showStage(stage)).viewers, 1);
});

test("a stream ends with its token", async () => {
  const stage = newStage();
  const token = signToken(SECRET, { viewer: "ann", stage, ttlSeconds: 2 });
  const counts = [];
  const read = async (token) => {
    for await (const event of client.streamCounts(stage, { token })) counts.push(event.viewers);
  };
  await refused(read(token), { code: "token_expired", status: undefined });
  assert.deepEqual(counts, [0]);
  await refused(read("no.such.token"), { status: 401, code: "token_invalid" });
});

test("a stage may hide its count from players", async () => {
  const stage = newStage();
  const operator = new Client(URL_KEYED, { key: KEY });
  await operator.createStage(stage, { publicCount: "hidden" });
  const token = signToken(SECRET, { viewer: "ann", stage, ttlSeconds: 60 });
  assert.equal((await client.sendHeartbeat({ stage, viewer: "ann" }, { token })).viewers, undefined);
  for await (const { type, viewers, sessions } of client.streamCounts(stage, { token })) {
    assert.deepEqual([type, viewers, sessions], ["count", undefined, undefined]);
    break;
  }
  for await (const { viewers } of operator.streamCounts(stage)) {
    assert.equal(viewers, 1);
    break;
  }
});
