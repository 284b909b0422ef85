/** Replays clients/scenarios.json, which all clients' tests replay, in a page with a simulated clock, network and random source. */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";

import { load } from "./support/load.js";
import { settle } from "./support/world.js";

const { scenarios } = JSON.parse(readFileSync(new URL("../../scenarios.json", import.meta.url), "utf8"));
const START = 1_790_000_000_000;
/** True if tokens may come from a function. Otherwise the token scenarios can't be replayed. */
const canAskForTokens = existsSync(new URL("../src/token.js", import.meta.url));
/** Differences of a page: waiting for a token is part of the heartbeat, and it always sends a leave. */
const OTHERWISE = ["a leave before the first heartbeat", "a leave while a token is asked for"];
const rows = [];

// Outcome table, which clients/outcomes compares with those of the other clients.
after(() => {
  if (process.env.CLIENTS_OUTCOMES) writeFileSync(process.env.CLIENTS_OUTCOMES, `${rows.join("\n")}\n`);
});

/** A page with its timers, the pending request, and the requests since the last check. */
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
    atob,
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
          // A completed request is not aborted.
          if (!mine.hasEnded) page.requests.push("abandon");
        });
      });
    },
  });
  return page;
}

const EVENTS = {
  wake: ({ page }) => page.document.dispatchEvent(new Event("visibilitychange")),
  online: ({ page }) => page.dispatchEvent(new Event("online")),
  close: ({ page }) => page.dispatchEvent(new Event("pagehide")),
  leave: ({ audience }) => audience.leave(),
  timer: ({ page }) => fire(page, ({ at }) => at <= page.now),
  failure({ page, asked }) {
    const why = new TypeError("as the scenario has it");
    if (asked.length) asked.shift().reject(why);
    else end(page).fail(why);
  },
  answer({ page }, { status, body, retryAfter }) {
    const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
    end(page).answer(new Response(status === 204 ? null : JSON.stringify(body), { status, headers }));
  },
  token({ page, asked }, { expiresIn, issuedAgo }) {
    const exp = expiresIn === undefined ? undefined : (page.now + expiresIn) / 1_000;
    const iat = issuedAgo === undefined ? undefined : (page.now - issuedAgo) / 1_000;
    asked.pop().resolve(`head.${btoa(JSON.stringify({ exp, iat }))}.signature`);
  },
};

function end(page) {
  const { underWay } = page;
  underWay.hasEnded = true;
  return underWay;
}

/** Fires the selected timers, one after the other. */
function fire(page, isChosen) {
  const chosen = [...page.timers].filter(([, timer]) => isChosen(timer)).sort(([, a], [, b]) => a.at - b.at);
  for (const [id, { run }] of chosen) if (page.timers.delete(id)) run();
}

/** The token function was called. */
function ask({ page, asked }) {
  page.requests.push("token");
  return new Promise((resolve, reject) => asked.push({ resolve, reject }));
}

for (const { name, options, steps } of scenarios) {
  const skip = options.tokens && (canAskForTokens ? OTHERWISE.includes(name) && "a page does otherwise" : "tokens are texts here");
  test(name, { skip }, async () => {
    const page = playedPage(options.chance);
    const reported = [];
    const row = [];
    const stay = { page, asked: [], audience: undefined };
    let due = null;
    for (const step of steps) {
      // Other timers, such as that of a status, fire in time. The heartbeat's own may be late after a device's sleep.
      page.now = START + step.at;
      fire(page, ({ at }) => at < page.now && at !== due);
      page.requests.length = 0;
      if (step.event === "start") {
        stay.audience = load(page).watch({
          url: "https://count.example",
          stage: "match-1",
          viewer: "ann",
          session: options.ownSession ? "tv" : undefined,
          token: options.tokens ? () => ask(stay) : undefined,
          transport: "http",
          onCount: ({ viewers }) => reported.push(`count ${viewers}`),
          onError: ({ code }) => reported.push(`refused ${code}`),
        });
      } else {
        EVENTS[step.event](stay, step);
      }
      await settle();
      due = step.timer === null ? null : page.now + step.timer;
      const isTimerOff = due === null ? page.timers.size > 0 : ![...page.timers.values()].some(({ at }) => at === due);
      const waits = [...page.timers.values()].map(({ at }) => at - page.now);
      // The end of the wait for a token is not visible from outside.
      const isGivenUp = (request) => request === "abandon" && (steps[steps.indexOf(step) - 1]?.state === "token");
      const seen = { requests: [...page.requests].sort(), reported: reported.splice(0), timer: isTimerOff ? waits : step.timer };
      const expected = {
        requests: step.requests.filter((request) => !isGivenUp(request)).sort(),
        // A page does not report that a heartbeat is sent again.
        reported: step.reported === null || step.reported === "retry" ? [] : [step.reported],
        timer: step.timer,
      };
      assert.deepEqual(seen, expected, JSON.stringify(step));
      row.push(`${[...step.requests].sort().join("+") || "-"}/${seen.reported[0] ?? "-"}/${seen.timer === null ? "-" : Math.round(seen.timer)}`);
    }
    const sessions = new Set(page.beats.map(({ stage, viewer, session }) => `${stage} ${viewer} ${session}`));
    assert.equal(sessions.size, 1, "all of one session");
    rows.push(`${name}\t${row.join(" ")}`);
  });
}
