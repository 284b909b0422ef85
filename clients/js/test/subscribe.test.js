/** Live counts: one stream for a page and for a browser. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { load } from "./support/load.js";
import { Browser, World } from "./support/world.js";

const count = (stage, viewers) => ({ stage, viewers, sessions: viewers, asOf: 1, complete: true, recovering: false });

/** Subscribes a page; `recorded` has the arguments of its callbacks. */
function subscribed(page, stages = "match-1", options = {}) {
  const all = { recorded: [], errors: [], statuses: [] };
  const server = { url: "https://count.example/base/", onStatus: (...status) => all.statuses.push(status), ...options };
  const end = load(page).subscribe(server, stages, (each) => all.recorded.push(each), (error) => all.errors.push(error));
  return { ...all, end };
}

/** A world with one page that has one subscription, whose stream is open. */
async function alone(stages, options, lacks = ["locks"]) {
  const world = new World();
  const browser = new Browser(world, { lacks });
  const page = browser.open();
  const one = subscribed(page, stages, options);
  await world.pass(200);
  return { world, browser, page, ...one, sources: world.server.sources };
}

const openIn = (world) => world.server.sources.filter(({ isOpen }) => isOpen);

test("the address names the stages, and a token is in a header", async () => {
  const of = async (...args) => (await alone(...args)).sources.map(({ url, headers }) => [url, headers]);
  assert.deepEqual(await of(), [["https://count.example/base/v1/live?every=5s&fields=viewers&stage=match-1", {}]]);
  assert.deepEqual(await of(["c&d", "a/b"], { token: "t" }), [["https://count.example/base/v1/live?every=5s&fields=viewers&stage=a%2Fb&stage=c%26d", { authorization: "Bearer t" }]]);
  assert.deepEqual(await of([]), [["https://count.example/base/v1/live?every=5s&fields=viewers", {}]]);
});

test("events are rare and small by default, and options change that", async () => {
  const query = async (options) => (await alone("a", options)).sources.map(({ url }) => url.split("?")[1]);
  assert.deepEqual(await query({}), ["every=5s&fields=viewers&stage=a"]);
  assert.deepEqual(await query({ every: "1s", sessions: true }), ["every=1s&stage=a"]);
});

test("a short event is a count", async () => {
  const { world, recorded, sources } = await alone();
  sources[0].send({ viewers: 2 });
  sources[0].send({ stage: "match-1", viewers: 1, asOf: 7, complete: false });
  await world.pass(10);
  assert.deepEqual(recorded, [
    { stage: "match-1", viewers: 2, complete: true, recovering: false },
    { stage: "match-1", viewers: 1, asOf: 7, complete: false, recovering: false },
  ]);
});

test("an older server that rejects the parameters is asked without them, at once and for good", async () => {
  const world = new World();
  const strict = (url) => (/every|fields/.test(url) ? { status: 400, body: { code: "invalid_query", detail: "unknown parameter every" } } : { status: 200 });
  world.server.answerLive = strict;
  const page = new Browser(world).open();
  const names = Array.from({ length: 150 }, (_, n) => `stage-${n}`);
  const one = subscribed(page, names);
  await world.pass(300);
  assert.equal(openIn(world).length, 2);
  openIn(world)[1].send(count("stage-99", 2));
  await world.pass(10);
  assert.deepEqual(one.recorded, [count("stage-99", 2)]);
  for (const source of openIn(world)) source.cut();
  await world.pass(2_000);
  assert.equal(world.server.sources.length, 6, "two rejected, two cut, two open");
  assert.equal(openIn(world).length, 2);
  assert.deepEqual([one.errors, one.statuses.map(([status]) => status)], [[], ["connecting", "counted", "retrying"]]);
  world.server.answerLive = () => strict("every");
  openIn(world)[0].cut();
  await world.pass(5_000);
  assert.deepEqual(one.errors.map(({ code }) => code), ["invalid_query"], "a second rejection is final");
});

test("counts are reported until the subscription ends, which closes everything", async () => {
  const { world, page, recorded, statuses, end, sources } = await alone();
  sources[0].send(count("match-1", 2));
  await world.pass(10);
  end();
  end();
  sources[0].send(count("match-1", 9));
  await world.pass(600_000);
  assert.deepEqual(recorded, [count("match-1", 2)]);
  assert.deepEqual(statuses, [["connecting", ""], ["counted", ""], ["stopped", "left"]]);
  page.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("pageshow"));
  await world.pass(600_000);
  assert.equal(page.sources.size, 0);
  assert.equal(sources.length, 1);
  assert.deepEqual(world.timers, []);
  for (const type of ["pagehide", "pageshow", "online"]) assert.equal(getEventListeners(page, type).length, 0, type);
});

test("events are parsed across any chunks, and comments and other events are ignored", async () => {
  const { world, recorded, sources } = await alone();
  const text = `: hello\n\nevent: count\nid: 7\ndata: ${JSON.stringify(count("match-1", 3))}\n\nevent: totals\ndata: {}\n\nevent: count\ndata: ${JSON.stringify(count("match-1", 4))}\n\n`;
  for (const char of text) sources[0].write(char);
  await world.pass(1_000);
  assert.deepEqual(recorded.map(({ viewers }) => viewers), [3, 4]);
});

test("failures and temporary rejections are retried with backoff, and Retry-After is honoured", async () => {
  const { world, statuses, sources } = await alone();
  world.server.answerLive = () => ({ status: 500, body: {} });
  sources[0].cut();
  await world.pass(80_000);
  const times = [];
  const waits = [750, 1_500, 3_000, 6_000, 12_000, 22_500];
  let at = world.now;
  world.server.answerLive = (...how) => (times.push(world.now - at), (at = world.now), { status: 500, body: {} });
  await world.pass(60_000);
  assert.equal(times.at(-1), 22_500 + 20);
  assert.ok(sources.length >= waits.length + 2 && sources.length < 12, `${sources.length}`);
  assert.deepEqual(statuses.slice(0, 3), [["connecting", ""], ["retrying", "network error"], ["retrying", "housecount answered 500"]]);
  world.server.answerLive = null;
  await world.pass(30_000);
  sources.at(-1).send(count("match-1", 1));
  await world.pass(10);
  assert.deepEqual(statuses.at(-1), ["counted", ""]);
  const { length } = sources;
  world.server.answerLive = () => ({ status: 503, body: {}, headers: { "retry-after": "20" } });
  sources.at(-1).end();
  await world.pass(800);
  assert.equal(sources.length, length + 1, "a count resets the backoff");
  await world.pass(19_900);
  assert.equal(sources.length, length + 1);
  await world.pass(5_000);
  assert.equal(sources.length, length + 2);
});

for (const status of [400, 401, 403, 404]) {
  test(`${status} ends the watch, and is reported once`, async () => {
    const world = new World();
    world.server.answerLive = () => ({ status, body: { code: "some_code", detail: "why" } });
    const page = new Browser(world).open();
    const [one, other] = [subscribed(page), subscribed(page, "match-2")];
    await world.pass(600_000);
    for (const { errors, statuses, recorded } of [one, other]) {
      assert.deepEqual(errors.map(({ name, code, message, status }) => ({ name, code, message, status })), [{ name: "HousecountError", code: "some_code", message: "why", status }]);
      assert.deepEqual(statuses, [["connecting", ""], ["refused", "why"]]);
      assert.deepEqual(recorded, []);
    }
    assert.equal(world.server.sources.length, 1);
    assert.deepEqual(world.timers, []);
    assert.equal(page.channels.size, 0);
  });
}

test("a missing response is reported within three seconds, and a silent connection is closed", async () => {
  const { world, statuses, sources } = await alone("match-1", {}, ["locks"]);
  world.server.answerLive = () => null;
  sources[0].cut();
  await world.pass(3_800);
  assert.deepEqual(statuses.at(-1), ["retrying", "no answer"]);
  world.server.answerLive = null;
  await world.pass(41_000);
  assert.equal(openIn(world).length, 1);
  assert.ok(sources.length >= 3);
  const { length } = sources;
  for (let n = 0; n < 10; n += 1) {
    sources.at(-1).write(": \n\n");
    await world.pass(15_000);
  }
  assert.equal(sources.length, length, "a comment resets the timeout");
  await world.pass(41_000);
  assert.equal(sources.length, length + 1, "and silence is not");
});

test("the stream is closed while the page is cached, and reopened when the network returns", async () => {
  const { world, page, sources } = await alone();
  page.dispatchEvent(new Event("pageshow"));
  await world.pass(100);
  assert.equal(sources.length, 1, "the first pageshow is not a restore");
  await page.store();
  assert.equal(page.sources.size, 0);
  page.restore();
  await world.pass(100);
  assert.equal(page.sources.size, 1);
  page.dispatchEvent(new Event("online"));
  await world.pass(100);
  assert.equal(page.sources.size, 1);
  assert.equal(sources.length, 3);
});

test("a stream that the server ends with a reason is not opened again, and the reason is reported once", async () => {
  const { world, page, recorded, errors, sources } = await alone();
  sources[0].send({ code: "token_expired", detail: "the token has expired; get another one" }, "end");
  await world.pass(10);
  page.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("pageshow"));
  await world.pass(600_000);
  assert.deepEqual(errors.map(({ name, code, message }) => ({ name, code, message })), [
    { name: "HousecountError", code: "token_expired", message: "the token has expired; get another one" },
  ]);
  assert.deepEqual(recorded, []);
  assert.equal(sources.length, 1);
  assert.deepEqual(world.timers, []);
});

test("eight subscriptions of a page share one stream, while some start and others end", async () => {
  const world = new World();
  const page = new Browser(world).open();
  const all = ["a", "b", "c", "d", "e", "f", "g", "a"].map((stage) => subscribed(page, stage));
  await world.pass(200);
  assert.equal(world.server.sources.length, 1);
  assert.equal(openIn(world)[0].url.split("stage=").length, 8);
  for (const stage of "abcdefg") openIn(world)[0].send(count(stage, 1));
  await world.pass(10);
  assert.deepEqual(all.map(({ recorded }) => recorded.map(({ stage }) => stage).join()), ["a", "b", "c", "d", "e", "f", "g", "a"]);
  const late = subscribed(page, ["a", "z"]);
  await world.pass(200);
  assert.deepEqual(late.recorded, [count("a", 1)], "it gets the known counts at once");
  assert.equal(world.server.sources.length, 2);
  assert.equal(openIn(world).length, 1);
  all[1].end();
  await world.pass(200);
  assert.ok(!openIn(world)[0].url.includes("stage=b"));
  for (const { end } of [...all, late]) end();
  await world.pass(200);
  assert.equal(openIn(world).length, 0);
  assert.equal(subscribed(page, "a").recorded.length, 0, "no old count is reported");
});

test("more stages than one stream may name need several streams", async () => {
  const names = Array.from({ length: 250 }, (_, n) => `stage-${n}`);
  const { world } = await alone(names);
  assert.deepEqual(openIn(world).map(({ url }) => url.split("stage=").length - 1), [100, 100, 50]);
});

test("three tabs share one stream; when its leader closes, another one takes over", async () => {
  const world = new World();
  const browser = new Browser(world);
  const tabs = [["a", "b"], ["b"], ["c"]].map((stages) => {
    const page = browser.open();
    return { page, ...subscribed(page, stages) };
  });
  await world.pass(500);
  assert.equal(openIn(world).length, 1);
  assert.match(openIn(world)[0].url, /stage=a&stage=b&stage=c$/);
  for (const stage of "abc") openIn(world)[0].send(count(stage, 1));
  await world.pass(10);
  assert.deepEqual(tabs.map(({ recorded }) => recorded.map(({ stage }) => stage).join()), ["a,b", "b", "c"]);
  assert.deepEqual(tabs.map(({ statuses }) => statuses.at(-1)[0]), ["counted", "counted", "counted"]);
  const { page } = tabs.find(({ page }) => page.sources.size);
  const rest = tabs.filter((tab) => tab.page !== page);
  page.crash();
  await world.pass(1_000);
  assert.equal(openIn(world).length, 1);
  await world.pass(60_000);
  for (const stage of "abc") openIn(world)[0].send(count(stage, 2));
  await world.pass(10);
  for (const { recorded, page } of rest) assert.equal(recorded.at(-1).viewers, 2, `${page.sources.size}`);
  await world.pass(200_000);
  openIn(world)[0].write(":\n\n");
  assert.doesNotMatch(openIn(world)[0].url, /stage=a/, "what only the gone page wanted is dropped");
  for (const { end } of rest) end();
  await world.pass(1_000);
  assert.equal(openIn(world).length, 0);
  assert.deepEqual(world.timers.filter(({ page: of }) => of !== page), []);
});

test("two subscriptions in each of two tabs are one stream; other options need another one", async () => {
  const world = new World();
  const browser = new Browser(world);
  const pages = [browser.open(), browser.open()];
  for (const page of pages) for (const stage of ["a", "b"]) subscribed(page, stage);
  await world.pass(6_000);
  assert.equal(openIn(world).length, 1);
  subscribed(pages[0], "a", { every: "1s" });
  await world.pass(500);
  assert.deepEqual(openIn(world).map(({ url }) => url.split("?")[1]).sort(), ["every=1s&fields=viewers&stage=a", "every=5s&fields=viewers&stage=a&stage=b"]);
});

test("a tab takes over from a frozen leader", async () => {
  const world = new World();
  const browser = new Browser(world);
  const [first, second] = [browser.open(), browser.open()];
  subscribed(first, "a");
  await world.pass(500);
  const { recorded } = subscribed(second, "a");
  await world.pass(500);
  assert.equal(first.sources.size, 1);
  first.freeze();
  await world.pass(70_000);
  assert.equal(second.sources.size, 1);
  [...second.sources][0].send(count("a", 5));
  await world.pass(10);
  assert.equal(recorded.at(-1).viewers, 5);
});

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (world, claims, seconds) => {
  const iat = Math.floor(world.now / 1_000);
  return `${part({ alg: "HS256" })}.${part({ sub: "ann", ...claims, iat, exp: iat + seconds })}.${world.now}`;
};

test("tokens with the same rights share a stream, others don't", async () => {
  const world = new World();
  const browser = new Browser(world);
  const [first, second] = [browser.open(), browser.open()];
  const of = (claims, seconds) => ({ token: () => Promise.resolve(token(world, claims, seconds)) });
  subscribed(first, "a", of({ stagePrefix: "" }, 3_600));
  subscribed(first, "b", of({ stagePrefix: "" }, 1_800));
  subscribed(second, "c", of({ stagePrefix: "" }, 3_600));
  subscribed(second, "d", of({ stage: "d" }, 3_600));
  await world.pass(6_000);
  assert.deepEqual(openIn(world).map(({ url }) => url.split("viewers&")[1]).sort(), ["stage=a&stage=b&stage=c", "stage=d"]);
});

test("an expired token is replaced once, without an error", async () => {
  const world = new World();
  const page = new Browser(world, { lacks: ["locks"] }).open();
  let asked = 0;
  const one = subscribed(page, "a", { token: async () => ((asked += 1), token(world, { stage: "a" }, 60)) });
  await world.pass(200);
  openIn(world)[0].send(count("a", 1));
  await world.pass(30_000);
  openIn(world)[0].send({ code: "token_expired", detail: "ended" }, "end");
  await world.pass(1_200);
  assert.equal(asked, 2);
  assert.equal(openIn(world).length, 1);
  assert.notEqual(world.server.sources[0].headers.authorization, openIn(world)[0].headers.authorization);
  assert.deepEqual([one.errors, one.statuses.map(([status]) => status)], [[], ["connecting", "counted"]]);
  world.server.answerLive = () => ({ status: 401, body: { code: "token_invalid", detail: "why" } });
  openIn(world)[0].cut();
  await world.pass(10_000);
  assert.equal(asked, 3, "a second rejection is final");
  assert.deepEqual(one.errors.map(({ code }) => code), ["token_invalid"]);
});

test("a failed token function is called again", async () => {
  const world = new World();
  const page = new Browser(world).open();
  let isDown = true;
  const one = subscribed(page, "a", { token: async () => (isDown ? Promise.reject(new Error("the backend is down")) : "t") });
  await world.pass(5_000);
  assert.deepEqual(one.statuses, [["connecting", ""], ["retrying", "the backend is down"]]);
  isDown = false;
  await world.pass(30_000);
  assert.equal(openIn(world).length, 1);
});
