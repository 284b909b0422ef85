/** Watches bound to media. The elements and players here are fakes; test-browser has real ones. */

import assert from "node:assert/strict";
import { EventEmitter, getEventListeners } from "node:events";
import { test } from "node:test";

import { load } from "./support/load.js";
import { Browser, Target, World } from "./support/world.js";

class FakeMedia extends Target {
  paused = true;
  ended = false;
  error = null;
  readyState = 0;
  currentTime = 0;
  #ticks = false;

  constructor(world) {
    super();
    const tick = () => {
      if (this.#ticks) {
        this.currentTime += 0.25;
        this.dispatchEvent(new Event("timeupdate"));
      }
      world.after(250, tick);
    };
    tick();
  }

  is(changes, event) {
    Object.assign(this, changes);
    if (event) this.dispatchEvent(new Event(event));
  }

  play() {
    this.is({ paused: false, ended: false, error: null, readyState: 4 }, "playing");
    this.#ticks = true;
  }

  pause() {
    this.#ticks = false;
    this.is({ paused: true }, "pause");
  }

  starve() {
    this.#ticks = false;
    this.is({ readyState: 2 }, "waiting");
  }

  fail() {
    this.#ticks = false;
    this.is({ error: { code: 2 } }, "error");
  }

  end() {
    this.#ticks = false;
    this.is({ ended: true, paused: true }, "ended");
  }
}

/** A page whose watch is bound to media. */
function watching(make, start, options = {}) {
  const world = new World();
  const page = new Browser(world).open();
  const subject = make(world);
  const statuses = [];
  const onStatus = (...status) => statuses.push(status.filter(Boolean).join(" "));
  const all = { url: "https://count.example", stage: "s", viewer: "ann", transport: "http", onStatus, ...options };
  const { leave } = start(load(page), subject, all);
  return { world, page, subject, statuses, leave, server: world.server, isCounted: () => world.server.count(world.now + 3_000).viewers === 1 };
}

const bindMedia = ({ watch }, media, options) => watch({ ...options, media });
const bindPlayer = ({ watchPlayer }, player, options) => watchPlayer(player, options);
const bindStage = ({ watchStage }, stage, options) => watchStage(stage, options);
const media = (options) => watching((world) => new FakeMedia(world), bindMedia, options);

test("media count from their start of play", async () => {
  const { world, subject, statuses, server, isCounted } = media();
  await world.pass(60_000);
  assert.deepEqual(server.received, []);
  assert.deepEqual(statuses, ["stopped paused"]);
  subject.play();
  await world.pass(100);
  assert.ok(isCounted());
  await world.pass(300_000);
  assert.ok(isCounted());
  assert.deepEqual(statuses, ["stopped paused", "connecting", "counted"]);
});

test("media that already play are counted at once", async () => {
  const { world, isCounted } = watching(
    (world) => {
      const video = new FakeMedia(world);
      video.play();
      return video;
    },
    bindMedia,
  );
  await world.pass(100);
  assert.ok(isCounted());
});

for (const [how, why] of [["pause", "paused"], ["end", "ended"], ["fail", "error"]]) {
  test(`${how} leaves at once, and playing again resumes the same watch`, async () => {
    const { world, subject, statuses, server, isCounted } = media();
    subject.play();
    await world.pass(45_000);
    subject[how]();
    await world.pass(50);
    assert.ok(!isCounted());
    assert.equal(server.leaves().length, 1);
    await world.pass(300_000);
    assert.ok(!isCounted());
    subject.play();
    await world.pass(50);
    assert.ok(isCounted());
    assert.deepEqual(statuses.slice(1), ["connecting", "counted", `stopped ${why}`, "connecting", "counted"]);
  });
}

for (const [stallMs, options] of [[10_000, {}], [3_000, { stallMs: 3_000 }]]) {
  test(`a stall of less than ${stallMs} ms is ignored, a longer one leaves, and data resumes`, async () => {
    const { world, subject, statuses, isCounted } = media(options);
    subject.play();
    await world.pass(60_000);
    subject.starve();
    await world.pass(stallMs - 1_000);
    assert.ok(isCounted());
    subject.play();
    await world.pass(60_000);
    subject.starve();
    await world.pass(stallMs + 300);
    assert.ok(!isCounted());
    assert.equal(statuses.at(-1), "stopped stalled");
    await world.pass(60_000);
    assert.ok(!isCounted());
    subject.play();
    await world.pass(1_000);
    assert.ok(isCounted());
  });
}

test("a player that moves the time of a dead stream doesn't keep it counted", async () => {
  const { world, subject, isCounted } = media();
  subject.play();
  await world.pass(20_000);
  subject.starve();
  for (let n = 0; n < 12; n += 1) {
    subject.is({ currentTime: subject.currentTime + 0.1 }, "timeupdate");
    await world.pass(1_000);
  }
  assert.ok(!isCounted());
});

test("without events, as in a throttled page, the media's time is polled", async () => {
  const { world, subject, isCounted } = media();
  subject.play();
  await world.pass(1_000);
  const { dispatchEvent } = subject;
  subject.dispatchEvent = () => true;
  await world.pass(120_000);
  assert.ok(isCounted());
  subject.starve();
  await world.pass(21_000);
  assert.ok(!isCounted());
  subject.dispatchEvent = dispatchEvent;
});

test("after leave() no listener and no count is left", async () => {
  const { world, page, subject, statuses, leave, server } = media();
  subject.play();
  await world.pass(5_000);
  leave();
  const { length } = server.received;
  subject.pause();
  subject.play();
  await world.pass(60_000);
  assert.equal(server.received.length, length + 1, "the leave");
  assert.equal(statuses.at(-1), "stopped left");
  assert.deepEqual(world.timers.filter((timer) => timer.page === page), []);
});

test("media paused while the page is cached are not counted when it returns", async () => {
  const { world, page, subject, isCounted } = media();
  subject.play();
  await world.pass(5_000);
  await page.store();
  subject.is({ paused: true });
  subject.starve();
  await world.pass(60_000);
  page.restore();
  await world.pass(11_000);
  assert.ok(!isCounted());
});

class FakePlayer {
  listeners = new Map();
  state = "Idle";
  getState = () => this.state;
  addEventListener = (name, listener) => this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  removeEventListener = (name, listener) => this.listeners.set(name, this.listeners.get(name).filter((each) => each !== listener));
  becomes(state) {
    this.state = state;
    for (const listener of this.listeners.get(state) ?? []) listener();
  }
}

test("the IVS player: Playing counts, Idle, Ended and an error don't, Buffering does for a while", async () => {
  const { world, subject, statuses, leave, isCounted } = watching(() => new FakePlayer(), bindPlayer);
  await world.pass(1_000);
  for (const state of ["Ready", "Idle", "Ended", "PlayerError"]) {
    subject.becomes("Playing");
    await world.pass(40_000);
    assert.ok(isCounted(), state);
    subject.becomes("Buffering");
    await world.pass(9_000);
    assert.ok(isCounted(), state);
    subject.becomes("Playing");
    await world.pass(20_000);
    assert.ok(isCounted(), state);
    subject.becomes(state);
    await world.pass(50);
    assert.ok(!isCounted(), state);
    assert.equal(statuses.at(-1), `stopped ${state}`);
  }
  subject.becomes("Playing");
  await world.pass(1_000);
  subject.becomes("Buffering");
  await world.pass(10_100);
  assert.ok(!isCounted());
  assert.equal(statuses.at(-1), "stopped stalled");
  subject.becomes("Playing");
  await world.pass(50);
  assert.ok(isCounted());
  leave();
  assert.deepEqual([...subject.listeners.values()].flat(), []);
});

test("an IVS stage: connected and with remote media", async () => {
  const { world, subject, statuses, leave, isCounted } = watching(() => new EventEmitter(), bindStage);
  const host = { id: "host", isLocal: false };
  const streams = [{ id: "audio" }, { id: "video" }];
  const steps = [
    ["stageConnectionStateChanged", ["connecting"], false],
    ["stageConnectionStateChanged", ["connected"], false],
    ["stageParticipantStreamsAdded", [{ id: "me", isLocal: true }, streams], false],
    ["stageParticipantStreamsAdded", [host, streams], true],
    ["stageConnectionStateChanged", ["connecting"], true],
    ["stageConnectionStateChanged", ["connected"], true],
    ["stageParticipantStreamsRemoved", [host, [streams[0]]], true],
    ["stageParticipantStreamsRemoved", [host, [{ id: "video" }]], false],
    ["stageParticipantStreamsAdded", [host, streams], true],
    ["stageParticipantLeft", [{ id: "hos" }], true],
    ["stageParticipantLeft", [host], false],
    ["stageParticipantStreamsAdded", [host, streams], true],
    ["stageConnectionStateChanged", ["errored"], false],
    ["stageConnectionStateChanged", ["connecting"], false],
    ["stageConnectionStateChanged", ["connected"], true],
    ["stageConnectionStateChanged", ["disconnected"], false],
  ];
  for (const [name, values, expected] of steps) {
    subject.emit(name, ...values);
    await world.pass(31_000);
    assert.equal(isCounted(), expected, `${name} ${JSON.stringify(values)}`);
  }
  assert.deepEqual([...new Set(statuses)], ["stopped disconnected", "stopped no media", "connecting", "counted"]);
  leave();
  assert.equal(subject.eventNames().length, 0);
});

test("no listener is left on a media element", async () => {
  const { subject, leave } = media();
  assert.equal(getEventListeners(subject, "timeupdate").length, 1);
  leave();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(getEventListeners(subject, "timeupdate").length, 0);
});
