/** Replays clients/scenarios.json, which all clients' tests replay, in a page whose clock, network and chance the test plays. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";

import { watchIn } from "../src/watch.js";
import { settle } from "./support/world.js";

const { scenarios } = JSON.parse(readFileSync(new URL("../../scenarios.json", import.meta.url), "utf8"));
const START = 1_790_000_000_000;
/** `token` once takes functions, these can be replayed too: then there are "token" requests. */
const canAskForTokens = false;
const rows = [];

// The outcome table, which clients/outcomes compares with the other clients'.
after(() => {
  if (process.env.CLIENTS_OUTCOMES) writeFileSync(process.env.CLIENTS_OUTCOMES, `${rows.join("\n")}\n`);
});

/** A page with its timers, the request under way, and what was sent since the last look. */
function playedPage(chance) {
  const page = Object.assign(new EventTarget(), {
    now: START,
    /** @type {Map<number, { at: number, run: () => void }>} */
    timers: new Map(),
    lastTimer: 0,
    requests: [],
    beats: [],
    underWay: null,
    Date: { now: () => page.now },
    Math: Object.assign(Object.create(Math), { random: () => chance }),
    crypto,
    AbortController,
    location: { href: "https://page.example/" },
    document: new EventTarget(),
    setTimeout(run, ms) {
      page.lastTimer += 1;
      page.timers.set(page.lastTimer, { at: page.now + ms, run });
      return page.lastTimer;
    },
    clearTimeout: (id) => page.timers.delete(id),
    navigator: {
      sendBeacon(url, body) {
        page.requests.push("leave");
        page.beats.push(JSON.parse(body));
        return true;
      },
    },
    fetch(url, { body, signal }) {
      page.requests.push("heartbeat");
      page.beats.push(JSON.parse(body));
      return new Promise((answer, fail) => {
        const mine = { answer, fail, hasEnded: false };
        page.underWay = mine;
        signal.addEventListener("abort", () => {
          fail(signal.reason);
          // A request that was answered is not given up.
          if (!mine.hasEnded) page.requests.push("abandon");
        });
      });
    },
  });
  return page;
}

const EVENTS = {
  wake: (page) => page.document.dispatchEvent(new Event("visibilitychange")),
  online: (page) => page.dispatchEvent(new Event("online")),
  close: (page) => page.dispatchEvent(new Event("pagehide")),
  leave: (page, audience) => audience.leave(),
  failure: (page) => end(page).fail(new TypeError("as the scenario has it")),
  answer(page, audience, { status, body, retryAfter }) {
    const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
    end(page).answer(new Response(status === 204 ? null : JSON.stringify(body), { status, headers }));
  },
  timer(page) {
    const [[id, { at, run }]] = page.timers;
    assert.equal(at, page.now, "the timer goes off when the scenario says");
    page.timers.delete(id);
    run();
  },
};

function end(page) {
  const { underWay } = page;
  underWay.hasEnded = true;
  return underWay;
}

for (const { name, options, steps } of scenarios) {
  test(name, { skip: options.tokens && !canAskForTokens && "tokens are texts here" }, async () => {
    const page = playedPage(options.chance);
    const told = [];
    const row = [];
    let audience;
    for (const step of steps) {
      page.now = START + step.at;
      page.requests.length = 0;
      if (step.event === "start") {
        audience = watchIn(page, {
          url: "https://count.example",
          stage: "match-1",
          viewer: "ann",
          session: options.ownSession ? "tv" : undefined,
          transport: "http",
          onCount: ({ viewers }) => told.push(`count ${viewers}`),
          onError: ({ code }) => told.push(`refused ${code}`),
        });
      } else {
        EVENTS[step.event](page, audience, step);
      }
      await settle();
      const timers = [...page.timers.values()].map(({ at }) => at - page.now);
      const seen = { requests: [...page.requests].sort(), told: told.splice(0), timers };
      const expected = {
        requests: [...step.requests].sort(),
        // A page is not told that a heartbeat is sent again.
        told: step.told === null || step.told === "retry" ? [] : [step.told],
        timers: step.timer === null ? [] : [step.timer],
      };
      assert.deepEqual(seen, expected, JSON.stringify(step));
      row.push(`${seen.requests.join("+") || "-"}/${seen.told[0] ?? "-"}/${timers.length ? Math.round(timers[0]) : "-"}`);
    }
    const sessions = new Set(page.beats.map(({ stage, viewer, session }) => `${stage} ${viewer} ${session}`));
    assert.equal(sessions.size, 1, "all of one session");
    rows.push(`${name}\t${row.join(" ")}`);
  });
}
