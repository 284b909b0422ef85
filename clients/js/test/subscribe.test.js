/** Live counts. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { subscribeIn } from "../src/subscribe.js";
import { Browser, World } from "./support/world.js";

function subscribed(stages = "match-1", token = undefined) {
  const world = new World();
  const page = new Browser(world).open();
  const told = [];
  const ends = [];
  const server = { url: "https://count.example/base/", token };
  const end = subscribeIn(page, server, stages, (count) => told.push(count), (error) => ends.push(error));
  return { world, page, told, ends, end, sources: world.server.sources };
}

test("the address names the stages and the token", () => {
  const of = (...args) => subscribed(...args).sources[0].url;
  assert.equal(of(), "https://count.example/base/v1/live?stage=match-1");
  assert.equal(of(["a/b", "c&d"], "t+t"), "https://count.example/base/v1/live?stage=a%2Fb&stage=c%26d&token=t%2Bt");
  assert.equal(of([]), "https://count.example/base/v1/live");
});

test("counts are told until it is ended, and nothing is left", async () => {
  const { world, page, told, end, sources } = subscribed();
  const count = { stage: "match-1", viewers: 2, sessions: 3, asOf: 1, complete: true, recovering: false };
  sources[0].say(count);
  end();
  sources[0].say({ ...count, viewers: 9 });
  assert.deepEqual(told, [count]);
  await world.pass(600_000);
  page.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("pageshow"));
  assert.equal(page.sources.size, 0);
  assert.equal(sources.length, 1);
  assert.deepEqual(world.timers, []);
  for (const type of ["pagehide", "pageshow", "online"]) assert.equal(getEventListeners(page, type).length, 0, type);
});

test("a connection that breaks is left to the browser, one that is refused is tried again, each time later", async () => {
  const { world, sources } = subscribed();
  sources[0].fail(0);
  await world.pass(600_000);
  assert.equal(sources.length, 1);
  const waits = [];
  for (let n = 0; n < 7; n += 1) {
    const since = world.now;
    sources.at(-1).fail(2);
    const before = sources.length;
    while (sources.length === before) await world.pass(10);
    waits.push(world.now - since);
  }
  assert.deepEqual(waits, [750, 1_500, 3_000, 6_000, 12_000, 22_500, 22_500]);
  sources.at(-1).say({});
  sources.at(-1).fail(2);
  await world.pass(750);
  assert.equal(sources.length, 9, "a count makes it forget");
});

test("ended while it waits to try again, it doesn't", async () => {
  const { world, sources, end } = subscribed();
  sources[0].fail(2);
  end();
  await world.pass(60_000);
  assert.equal(sources.length, 1);
  assert.deepEqual(world.timers, []);
});

test("it is closed while the page lies in the cache, and opened again when the network is back", async () => {
  const { page, sources } = subscribed();
  page.dispatchEvent(new Event("pageshow"));
  assert.equal(sources.length, 1, "the first pageshow is no return");
  await page.store();
  assert.equal(page.sources.size, 0);
  page.restore();
  assert.equal(page.sources.size, 1);
  page.dispatchEvent(new Event("online"));
  assert.equal(page.sources.size, 1);
  assert.equal(sources.length, 3);
});

test("refused, and then into the cache: one connection when it is back", async () => {
  const { world, page, sources } = subscribed();
  sources[0].fail(2);
  await page.store();
  await world.pass(60_000);
  assert.equal(page.sources.size, 0);
  page.restore();
  await world.pass(60_000);
  assert.equal(page.sources.size, 1);
  assert.equal(sources.length, 2);
});

test("a stream that the server ends with a reason is not opened again, and the reason is told once", async () => {
  const { world, page, told, ends, sources } = subscribed();
  sources[0].say({ code: "token_expired", detail: "the token has expired; get another one" }, "end");
  sources[0].fail(0);
  page.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("pageshow"));
  await world.pass(600_000);
  assert.deepEqual(ends.map(({ name, code, message }) => ({ name, code, message })), [
    { name: "HousecountError", code: "token_expired", message: "the token has expired; get another one" },
  ]);
  assert.deepEqual(told, []);
  assert.equal(sources.length, 1);
  assert.equal(page.sources.size, 0);
  assert.deepEqual(world.timers, []);
});
