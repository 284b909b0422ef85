/** Replays clients/scenarios.json against the state machine. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";

import { Stay } from "../dist/esm/stay.js";
import { heartbeatAnswerOf } from "../dist/esm/wire.js";

const { scenarios } = JSON.parse(readFileSync(new URL("../../scenarios.json", import.meta.url), "utf8"));
const START = 1_790_000_000_000;
const rows = [];

async function eventOf({ event, status, body, retryAfter, expiresIn, issuedAgo }, now) {
  switch (event) {
    case "answer": {
      const headers = retryAfter === undefined ? {} : { "retry-after": retryAfter };
      return heartbeatAnswerOf(new Response(status === 204 ? null : JSON.stringify(body), { status, headers }));
    }
    case "failure":
      return { type: "failure", detail: "as the scenario has it" };
    case "token":
      return {
        type: "token",
        expiresAt: expiresIn === undefined ? undefined : now + expiresIn,
        issuedAt: issuedAgo === undefined ? undefined : now - issuedAgo,
      };
    default:
      return { type: event };
  }
}

function reportOf(reported) {
  if (reported?.type === "count") return `count ${reported.count.viewers}`;
  return reported?.type === "refused" ? `refused ${reported.why.code}` : (reported?.type ?? null);
}

for (const { name, options, steps } of scenarios) {
  test(name, async () => {
    const stay = new Stay({ hasOwnSession: options.ownSession, hasTokens: options.tokens, chance: () => options.chance });
    const row = [];
    for (const step of steps) {
      const now = START + step.at;
      if (step.event === "timer") assert.equal(stay.dueAt, now, "the timer goes off when the scenario says");
      const { requests, outcome: reported } = stay.handle(now, await eventOf(step, now));
      const timer = stay.dueAt === undefined ? null : stay.dueAt - now;
      const seen = { requests, reported: reportOf(reported), timer, state: stay.state };
      const { requests: a, reported: b, timer: c, state: d } = step;
      assert.deepEqual(seen, { requests: a, reported: b, timer: c, state: d }, JSON.stringify(step));
      // As a page shows it, which is silent about retries and orders no requests of one moment.
      const shown = reported && reported.type !== "retry" ? seen.reported : "-";
      row.push(`${[...requests].sort().join("+") || "-"}/${shown}/${timer === null ? "-" : Math.round(timer)}`);
    }
    rows.push(`${name}\t${row.join(" ")}`);
  });
}

// The outcome table, which clients/outcomes compares with the other clients'.
after(() => {
  if (process.env.CLIENTS_OUTCOMES) writeFileSync(process.env.CLIENTS_OUTCOMES, `${rows.join("\n")}\n`);
});
