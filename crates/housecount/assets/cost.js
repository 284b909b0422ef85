/** What it costs: measured here, beside what the known plans would cost for the same audience. */

import { Problem, call, isAbort } from "./api.js";
import { hear, now } from "./clock.js";
import { fill, h, icon } from "./dom.js";
import * as format from "./format.js";
import { panel, stackingTable, state } from "./parts.js";

/**
 * @typedef {{purpose: string, store: string, readUnits: number, writeUnits: number, usd: number, lastHourUsd: number, monthUsd: number}} Purpose
 * @typedef {{plan: string, name: string, monthUsd: number, loses: string}} Plan
 * @typedef {object} Cost
 * @property {number} since
 * @property {number} asOf
 * @property {{viewers: number, stages: number}} audience
 * @property {string} prices
 * @property {Purpose[]} purposes
 * @property {{bytes: number, monthUsd: number}} storage
 * @property {{commands: number, bytesIn: number, bytesOut: number, memoryBytes: number, node: string, monthUsd: number} | null} redis
 * @property {{usd: number, lastHourUsd: number, monthUsd: number, perMillionViewerHoursUsd: number | null}} total
 * @property {{monthUsd: number, guard: string, isExceeded: boolean, isStretched: boolean} | null} limit
 * @property {Plan[]} plans
 */

const POLL_MS = 15_000;
/** What happens every five minutes has happened often enough by then to be called a pace. */
const SETTLED_MS = 3_600_000;

/** @type {import("./app.js").MakePage} */
export function cost(scope) {
  const body = h("div", { class: "stack" });
  const told = state();
  told.loading("Asking what it has cost…");

  const reload = scope.every(POLL_MS, async () => {
    try {
      /** @type {Cost} */
      const found = await call("/v1/cost", { signal: scope.signal });
      hear(found.asOf);
      told.clear();
      body.classList.remove("stale");
      // Whoever reads a table or has selected a figure isn't disturbed.
      if (!body.contains(document.activeElement) && !getSelection()?.toString()) fill(body, ...report(found));
    } catch (error) {
      if (isAbort(error)) return;
      body.classList.add("stale");
      if (error instanceof Problem && error.status === 404) {
        told.say(
          h(
            "p",
            null,
            "This version of housecount doesn't measure what it costs. ",
            h("code", null, "housecount cost"),
            " reckons it for an audience of your choice.",
          ),
        );
      } else told.failed(error, () => reload());
    }
  });

  const head = h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Cost"));
  return { title: "Cost", element: h("div", { class: "page stack" }, head, told.element, body) };
}

/** @param {Cost} cost */
function report(cost) {
  const { total, since, asOf, prices } = cost;
  const isYoung = asOf - since < SETTLED_MS;
  const basis = isYoung
    ? `from ${format.span(asOf - since)} only: too rough to rely on`
    : "projected from what was measured";
  const figures = [
    figure(
      "This month at this pace",
      `${isYoung ? "≈ " : ""}${format.money(total.monthUsd)}`,
      basis,
      `figure-main ${isYoung ? "rough" : ""}`,
    ),
    figure("Last hour", format.money(total.lastHourUsd), "measured"),
    figure("Since start", format.money(total.usd), `since ${format.when(since, now())}`),
    figure(
      "Per million viewer-hours",
      total.perMillionViewerHoursUsd === null ? format.NONE : format.money(total.perMillionViewerHoursUsd),
      total.perMillionViewerHoursUsd === null ? "nobody has watched yet" : "measured",
    ),
  ];
  return [
    h(
      "section",
      { class: "panel", "aria-label": "Altogether" },
      h("dl", { class: "figures wide" }, figures),
      cost.limit && budget(cost.limit, total.monthUsd),
    ),
    h("div", { class: "split" }, purposesPanel(cost), plansPanel(cost)),
    h(
      "p",
      { class: "hint" },
      `Prices: ${prices}. Capacity is read off every reply of the store; where the embedded store is used, it is what DynamoDB would have charged.`,
    ),
  ];
}

/**
 * @param {string} title
 * @param {string} value
 * @param {string} note
 * @param {string} [className]
 */
const figure = (title, value, note, className = "") =>
  h(
    "div",
    { class: `figure ${className}` },
    h("dt", null, title),
    h("dd", { class: "figure-value" }, value),
    h("dd", { class: "figure-note" }, note),
  );

/**
 * @param {NonNullable<Cost["limit"]>} limit
 * @param {number} monthUsd
 */
function budget(limit, monthUsd) {
  const part = Math.round((100 * monthUsd) / limit.monthUsd);
  const meter = h("meter", {
    min: 0,
    max: 100,
    high: 80,
    value: Math.min(100, part),
    "aria-label": "Part of the budget",
  });
  return h(
    "div",
    { class: `budget ${limit.isExceeded ? "warn" : ""}` },
    h(
      "span",
      null,
      limit.isExceeded && icon("warn"),
      `Budget ${format.money(limit.monthUsd)} a month: ${part} % used. ${inWords(limit)}`,
    ),
    meter,
  );
}

/**
 * What the guard does. It never changes when players beat.
 * @param {NonNullable<Cost["limit"]>} limit
 */
function inWords({ guard, isExceeded, isStretched }) {
  const stretched = "Snapshots are taken less often, and a log in DynamoDB is written to less often";
  if (isExceeded && isStretched) return `Exceeded. ${stretched}, until it is kept again. Heartbeats and counts stay as they are.`;
  if (isStretched) return `Kept. ${stretched}, for an hour at least.`;
  if (!isExceeded) return "Kept.";
  if (guard === "stretch") return "Exceeded: a warning is logged. Nothing is written less often yet.";
  return "Exceeded: a warning is logged; nothing is written less often.";
}

/** @param {Cost} cost */
function purposesPanel({ purposes, storage, redis, total }) {
  const row = (/** @type {string} */ title, /** @type {string} */ sub, /** @type {string[]} */ cells) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, title, h("span", { class: "sub" }, sub)),
      cells.map((cell) => h("td", { class: "num" }, cell)),
    );
  const head = ["Reads", "Writes", "Last hour", "Month"].map((title) => h("th", { scope: "col", class: "num" }, title));
  const rows = [...purposes]
    .filter(({ usd, readUnits, writeUnits }) => usd || readUnits || writeUnits)
    .sort((a, b) => b.monthUsd - a.monthUsd)
    .map((p) =>
      row(p.purpose, p.store, [
        format.units(p.readUnits),
        format.units(p.writeUnits),
        format.money(p.lastHourUsd),
        format.money(p.monthUsd),
      ]),
    );
  rows.push(row("storage", format.bytes(storage.bytes), ["", "", "", format.money(storage.monthUsd)]));
  if (redis)
    rows.push(
      row("Redis", `${redis.node}, ${format.bytes(redis.memoryBytes)}`, [
        `${format.count(redis.commands)} calls`,
        "",
        "",
        format.money(redis.monthUsd),
      ]),
    );
  const foot = h(
    "tfoot",
    null,
    h(
      "tr",
      null,
      h("th", { scope: "row" }, "Total"),
      h("td"),
      h("td"),
      h("td", { class: "num" }, format.money(total.lastHourUsd)),
      h("td", { class: "num" }, format.money(total.monthUsd)),
    ),
  );
  return panel(
    "By purpose",
    {},
    stackingTable(
      "What each purpose consumes and costs",
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Purpose"), head)),
      h("tbody", null, rows),
      foot,
    ),
  );
}

/** @param {Cost} cost */
function plansPanel({ plans, audience, total }) {
  const most = Math.max(...plans.map((plan) => plan.monthUsd), total.monthUsd, 0.01);
  const rows = plans.map((plan) => {
    const bar = h("span", { class: "bar-fill" });
    bar.style.width = `${Math.max(0.5, (100 * plan.monthUsd) / most)}%`;
    return h(
      "tr",
      { class: plan.plan === "housecount" ? "ours" : null },
      h("th", { scope: "row" }, plan.name, h("span", { class: "bar-line", "aria-hidden": "true" }, bar)),
      h("td", { class: "num" }, format.money(plan.monthUsd)),
      h("td", null, plan.loses),
    );
  });
  const title = `The plans, for ${format.plural(audience.viewers, "viewer")} on ${format.plural(audience.stages, "stage")}`;
  const head = h(
    "tr",
    null,
    h("th", { scope: "col" }, "Plan"),
    h("th", { scope: "col", class: "num" }, "A month"),
    h("th", { scope: "col" }, "A fault loses"),
  );
  return panel(title, {}, stackingTable(title, h("thead", null, head), h("tbody", null, rows)));
}
