/**
 * A simulated world for unit tests: a clock that only the test moves, a server that records requests, and browsers with pages.
 *
 * Pages can be hidden (timers once per minute), frozen, put into the back/forward cache and restored, closed, and crash.
 */

import { FakeServer } from "./server.js";

/** Runs all pending promise callbacks. */
export const settle = async () => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

export class World {
  now = 1_790_000_000_000;
  server = new FakeServer(this);
  /** Latency of a message between a page and the server. */
  travelMs = 10;
  /** @type {{ at: number, run: () => void, page: FakePage | null, id: number }[]} */
  timers = [];
  /** Number of random numbers drawn. */
  draws = 0;
  #ids = 0;

  after(ms, run, page = null) {
    // As in browsers, a delay of more than 31 bits fires at once.
    const wait = ms > 2 ** 31 - 1 || !(ms > 0) ? 0 : Math.round(ms);
    const id = (this.#ids += 1);
    this.timers.push({ at: this.now + wait, run, page, id });
    return id;
  }

  cancel(id) {
    this.timers = this.timers.filter((timer) => timer.id !== id);
  }

  /** Moves the clock, and fires the timers in order. */
  async pass(ms) {
    const end = this.now + ms;
    await settle();
    for (;;) {
      const due = this.timers.filter((timer) => timer.page?.isFrozen !== true).map((timer) => ({ timer, at: Math.max(this.now, dueAt(timer)) }));
      const [next] = due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at || a.timer.id - b.timer.id);
      if (!next) break;
      this.now = next.at;
      this.cancel(next.timer.id);
      next.timer.run();
      await settle();
    }
    this.now = end;
    await settle();
  }
}

/** Time at which a timer fires: once per minute on a hidden page. */
const dueAt = ({ at, page }) => (page?.document.visibilityState === "hidden" ? Math.ceil(at / 60_000) * 60_000 : at);

/** A browser: its pages share locks and the network. */
export class Browser {
  /** @type {FakePage[]} */
  pages = [];
  locks = new Locks();
  isOnline = true;
  /** Entries of `localStorage`. @type {Record<string, string>} */
  storage = {};

  /** @param {{ lacks?: string[] }} [options] what its pages have not */
  constructor(world, { lacks = [] } = {}) {
    this.world = world;
    this.lacks = lacks;
  }

  open() {
    const page = new FakePage(this);
    this.pages.push(page);
    return page;
  }

  goOffline() {
    this.isOnline = false;
    for (const page of this.pages) page.dispatchEvent(new Event("offline"));
  }

  goOnline() {
    this.isOnline = true;
    for (const page of this.pages) page.dispatchEvent(new Event("online"));
  }
}

class Locks {
  /** @type {Map<string, { holder: object | null, queue: object[] }>} */
  #all = new Map();

  held() {
    return [...this.#all.values()].flatMap(({ holder, queue }) => [...(holder ? [holder] : []), ...queue]).length;
  }

  request(page, name, options, callback) {
    if (options.steal && options.signal) return Promise.reject(new DOMException("steal and signal", "NotSupportedError"));
    return new Promise((resolve, reject) => {
      const lock = this.#all.get(name) ?? { holder: null, queue: [] };
      this.#all.set(name, lock);
      const mine = { page, resolve, reject: (why) => page.run(() => reject(why)), callback };
      if (options.steal) {
        lock.holder?.reject(new DOMException("stolen", "AbortError"));
        lock.holder = null;
        lock.queue.unshift(mine);
      } else {
        lock.queue.push(mine);
        options.signal.addEventListener("abort", () => {
          if (!lock.queue.includes(mine)) return;
          lock.queue.splice(lock.queue.indexOf(mine), 1);
          reject(options.signal.reason);
        });
      }
      this.#grant(lock);
    });
  }

  #grant(lock) {
    if (lock.holder || !lock.queue.length) return;
    const mine = (lock.holder = lock.queue.shift());
    mine.page.run(() =>
      queueMicrotask(async () => {
        const outcome = await mine.callback({});
        if (lock.holder !== mine) return;
        lock.holder = null;
        mine.resolve(outcome);
        this.#grant(lock);
      }),
    );
  }

  /** Releases a closed page's locks. */
  drop(page) {
    for (const lock of this.#all.values()) {
      lock.queue = lock.queue.filter((each) => each.page !== page);
      if (lock.holder?.page === page) lock.holder = null;
      this.#grant(lock);
    }
  }
}

/** Event target whose signals remove listeners reliably: in Node 20 some listeners outlive them (`kWeakHandler`). */
export class Target extends EventTarget {
  addEventListener(type, listener, { signal } = {}) {
    super.addEventListener(type, listener);
    signal?.addEventListener("abort", () => this.removeEventListener(type, listener));
  }
}

/** A stream of counts that a page has opened. */
export class Source {
  isOpen = true;
  /** @type {Uint8Array[]} */
  #sent = [];
  #wake = () => {};
  /** @type {Error | null} */
  #broken = null;

  constructor(page, url, headers, signal) {
    Object.assign(this, { page, url, headers });
    const { server } = page.world;
    server.sources.push(this);
    page.sources.add(this);
    this.response = new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => {
        this.#close(signal.reason);
        reject(signal.reason);
      });
      if (!page.browser.isOnline) return queueMicrotask(() => (this.#close(new TypeError("Failed to fetch")), reject(new TypeError("Failed to fetch"))));
      page.world.after(2 * page.world.travelMs, () => {
        const answer = server.answerLive ? server.answerLive(url, headers) : { status: 200 };
        if (!answer || !this.isOpen) return;
        const { status, body, headers: answered = {} } = answer;
        if (status !== 200) this.#close(new Error("refused"));
        page.run(() => resolve({ ok: status < 300, status, headers: new Headers(answered), json: async () => body, body: { getReader: () => ({ read: () => this.#read() }) } }));
      });
    });
  }

  async #read() {
    while (!this.#sent.length && !this.#broken) await new Promise((resolve) => (this.#wake = resolve));
    const value = this.#sent.shift();
    if (value) return { value, done: false };
    if (this.#broken.message === "ended") return { done: true };
    throw this.#broken;
  }

  /** Sends raw text. */
  write(text) {
    if (!this.isOpen) return;
    this.#sent.push(new TextEncoder().encode(text));
    this.page.run(() => this.#wake());
  }

  send(data, name = "count") {
    this.write(`event: ${name}\nid: 1\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #close(why) {
    this.isOpen = false;
    this.page.sources.delete(this);
    this.#broken = why;
    this.page.run(() => this.#wake());
  }

  /** Breaks the stream, like a network failure. */
  cut() {
    this.#close(new TypeError("network error"));
  }

  /** Ends the stream, like the server. */
  end() {
    this.#close(new Error("ended"));
  }
}

export class FakePage extends Target {
  isFrozen = false;
  answers = false;
  isGone = false;
  document = Object.assign(new Target(), { visibilityState: "visible" });
  location = { href: "https://site.example/live/" };
  AbortController = AbortController;
  Request = Request;
  atob = atob;
  TextDecoder = TextDecoder;
  /** Open resources, which reveal leaks. */
  channels = new Set();
  sockets = new Set();
  sources = new Set();
  fetches = new Set();
  logged = [];
  #waiting = [];

  constructor(browser) {
    super();
    const { world } = browser;
    const page = this;
    this.browser = browser;
    this.world = world;
    this.Date = { now: () => world.now };
    // Differences that sessions have, and no timer.
    this.Math = Object.assign(Object.create(Math), { random: () => 0.5 + (world.draws += 1) * 2 ** -40 });
    this.localStorage = browser.storage;
    this.console = { log: (...what) => this.logged.push(what) };
    this.setTimeout = (run, ms) => world.after(ms, run, page);
    this.clearTimeout = (id) => world.cancel(id);
    this.fetch = (url, init) => this.#fetch(url, init);
    this.navigator = {
      sendBeacon: (url, body) => browser.isOnline && (world.after(world.travelMs, () => world.server.post("beacon", url, body, {})), true),
      locks: { request: (name, options, callback) => browser.locks.request(page, name, options, callback) },
    };
    this.BroadcastChannel = class {
      constructor(name) {
        this.name = name;
        this.isClosed = false;
        page.channels.add(this);
      }
      postMessage(data) {
        if (this.isClosed) throw new DOMException("the channel is closed", "InvalidStateError");
        const text = JSON.stringify(data);
        for (const other of browser.pages.flatMap((each) => [...each.channels].map((channel) => ({ each, channel })))) {
          if (other.channel === this || other.channel.name !== this.name) continue;
          const deliver = () => queueMicrotask(() => other.channel.isClosed || other.channel.onmessage?.({ data: JSON.parse(text) }));
          if (other.each.answers) deliver();
          else other.each.run(deliver);
        }
      }
      close() {
        this.isClosed = true;
        page.channels.delete(this);
      }
    };
    this.WebSocket = class {
      readyState = 0;
      constructor(url, protocols = []) {
        if (protocols.some((name) => !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))) throw new DOMException("a bad subprotocol", "SyntaxError");
        this.url = url;
        this.protocols = protocols;
        this.token = protocols.find((name) => name.startsWith("housecount.token."))?.slice(17);
        this.protocol = world.server.protocols.find((name) => protocols.includes(name)) ?? "";
        page.sockets.add(this);
        world.server.sockets.push(this);
        if (world.server.socketsHang) return;
        world.after(world.travelMs, () => {
          if (this.readyState) return;
          if (!browser.isOnline || !world.server.takesSockets) return this.drop();
          this.readyState = 1;
          this.onopen?.({});
        });
      }
      send(text) {
        if (this.readyState === 0) throw new DOMException("not open", "InvalidStateError");
        if (this.readyState !== 1 || !browser.isOnline) return;
        world.after(world.travelMs, () => {
          const answer = world.server.onSocketMessage(this, text);
          if (answer !== null) world.after(world.travelMs, () => this.readyState === 1 && browser.isOnline && this.onmessage?.({ data: JSON.stringify(answer) }));
        });
      }
      close() {
        this.readyState = 3;
        page.sockets.delete(this);
      }
      /** Closes the socket, like the server or the network. */
      drop() {
        if (this.readyState === 3) return;
        this.close();
        this.onerror?.({});
        this.onclose?.({});
      }
    };
    for (const name of browser.lacks) delete (name in this.navigator ? this.navigator : this)[name];
  }

  #fetch(url, { body, headers, keepalive, signal = new AbortController().signal }) {
    const { world } = this;
    if (new URL(url).pathname.endsWith("/v1/live")) return new Source(this, url, headers, signal).response;
    return new Promise((resolve, reject) => {
      const mine = {};
      // A kept request outlives the page.
      if (!keepalive) this.fetches.add(mine);
      const end = (settled, value) => {
        this.fetches.delete(mine);
        this.run(() => settled(value));
      };
      signal.addEventListener("abort", () => end(reject, signal.reason));
      if (!this.browser.isOnline) return queueMicrotask(() => end(reject, new TypeError("Failed to fetch")));
      world.after(world.travelMs, () => {
        if (this.isGone && !keepalive) return;
        const answer = world.server.post("fetch", url, body, headers);
        if (answer === null) return;
        const { status, body: content, headers: answered = {} } = answer;
        const response = { ok: status < 300, status, headers: new Headers(answered), json: async () => JSON.parse(typeof content === "string" ? content : JSON.stringify(content)) };
        world.after(world.travelMs, () => (this.browser.isOnline ? end(resolve, response) : undefined));
      });
    });
  }

  /** Runs an external event now, or when the page is no longer frozen. */
  run(what) {
    if (this.isGone) return;
    if (this.isFrozen) this.#waiting.push(what);
    else what();
  }

  show(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  /** @param {{ answers?: boolean }} [how] some frozen pages (Chrome 156) get messages of others all the same, but nothing else */
  freeze({ answers = false } = {}) {
    this.isFrozen = true;
    this.answers = answers;
  }

  thaw() {
    this.isFrozen = this.answers = false;
    for (const each of this.#waiting.splice(0)) each();
  }

  hideInto(persisted) {
    this.show("hidden");
    this.dispatchEvent(Object.assign(new Event("pagehide"), { persisted }));
  }

  /** Puts the page into the back/forward cache. */
  async store() {
    this.hideInto(true);
    await settle();
    this.freeze();
  }

  restore() {
    this.thaw();
    this.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    this.show("visible");
  }

  close() {
    this.hideInto(false);
    this.crash();
  }

  /** Closes the page without events, like a crash. */
  crash() {
    this.isGone = this.isFrozen = true;
    this.answers = false;
    for (const channel of this.channels) channel.close();
    for (const socket of this.sockets) socket.close();
    for (const source of this.sources) source.cut();
    this.world.timers = this.world.timers.filter((timer) => timer.page !== this);
    this.browser.pages = this.browser.pages.filter((page) => page !== this);
    this.browser.locks.drop(this);
  }
}
