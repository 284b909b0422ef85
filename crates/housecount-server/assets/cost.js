/** Cost page: the measured cost, beside the cost of other plans for the same audience. */

import { Problem, call, isAbort } from "./api.js";
import { syncClock, now } from "./clock.js";
import { setChildren, createElement, icon } from "./dom.js";
import * as format from "./format.js";
import { panel, responsiveTable, statusBox } from "./parts.js";

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
 * @property {{bytes: number, monthBytes: number, monthUsd: number}} egress
 * @property {{name: string, monthUsd: number} | null} machine
 * @property {{usd: number, lastHourUsd: number, monthUsd: number, wholeMonthUsd: number, perMillionViewerHoursUsd: number | null}} total
 * @property {{monthUsd: number, guard: string, isExceeded: boolean, isStretched: boolean, isSlowed: boolean} | null} limit
 * @property {Plan[]} plans
 */

const POLL_MS = 15_000;
/** Shortest measurement that is projected: tasks that run every five minutes have run often enough by then. */
const MEASURED_MS_MIN = 3_600_000;

/** @type {import("./app.js").MakePage} */
export function cost(scope) {
  const body = createElement("div", { class: "stack" });
  const status = statusBox();
  status.showLoading("Loading the cost…");

  const reload = scope.every(POLL_MS, async () => {
    try {
      /** @type {Cost} */
      const found = await call("/v1/cost", { signal: scope.signal });
      syncClock(found.asOf);
      status.clear();
      body.classList.remove("stale");
      // Don't replace a table that has the focus, or selected text.
      if (!body.contains(document.activeElement) && !getSelection()?.toString()) setChildren(body, ...report(found));
    } catch (error) {
      if (isAbort(error)) return;
      body.classList.add("stale");
      if (error instanceof Problem && error.status === 404) {
        status.show(
          createElement(
            "p",
            null,
            "This version of housecount doesn't measure its cost. ",
            createElement("code", null, "housecount cost"),
            " estimates it for an audience of your choice.",
          ),
        );
      } else status.showError(error, () => reload());
    }
  });

  const head = createElement("div", { class: "page-head" }, createElement("h1", { tabindex: -1 }, "Cost"));
  return { title: "Cost", element: createElement("div", { class: "page stack" }, head, status.element, body) };
}

/** @param {Cost} cost */
function report(cost) {
  const { total, egress, since, asOf, prices } = cost;
  const isRough = asOf - since < MEASURED_MS_MIN;
  const basis = isRough
    ? `from ${format.span(asOf - since)} only: too short for a projection`
    : "projected from the measurement";
  const figures = [
    figure(
      "Month, projected",
      `${isRough ? "≈ " : ""}${format.money(total.wholeMonthUsd)}`,
      basis,
      `figure-main ${isRough ? "rough" : ""}`,
    ),
    figure("Last hour", format.money(total.lastHourUsd), "measured"),
    figure("Since start", format.money(total.usd), `since ${format.when(since, now())}`),
    figure(
      "Per million viewer-hours",
      total.perMillionViewerHoursUsd === null ? format.NONE : format.money(total.perMillionViewerHoursUsd),
      total.perMillionViewerHoursUsd === null ? "no watch time yet" : "measured",
    ),
  ];
  return [
    createElement(
      "section",
      { class: "panel", "aria-label": "Total cost" },
      createElement("dl", { class: "figures wide" }, figures),
      cost.limit && budget(cost.limit, total.monthUsd + egress.monthUsd),
    ),
    createElement("div", { class: "split" }, purposesPanel(cost), plansPanel(cost)),
    createElement(
      "p",
      { class: "hint" },
      `Prices: ${prices}. Capacity is summed from the store's replies. For the embedded store it is what DynamoDB would charge. Bytes to clients are those of their packets, with the first 100 GB of a month free. A balancer and DNS are not included.`,
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
  createElement(
    "div",
    { class: `figure ${className}` },
    createElement("dt", null, title),
    createElement("dd", { class: "figure-value" }, value),
    createElement("dd", { class: "figure-note" }, note),
  );

/**
 * @param {NonNullable<Cost["limit"]>} limit
 * @param {number} monthUsd
 */
function budget(limit, monthUsd) {
  const part = Math.round((100 * monthUsd) / limit.monthUsd);
  const meter = createElement("meter", {
    min: 0,
    max: 100,
    high: 80,
    value: Math.min(100, part),
    "aria-label": "Used part of the budget",
  });
  return createElement(
    "div",
    { class: `budget ${limit.isExceeded ? "warn" : ""}` },
    createElement(
      "span",
      null,
      limit.isExceeded && icon("warn"),
      `Budget ${format.money(limit.monthUsd)} per month: ${part} % used. ${guardText(limit)}`,
    ),
    meter,
  );
}

/**
 * Describes the budget guard.
 * @param {NonNullable<Cost["limit"]>} limit
 */
function guardText({ guard, isExceeded, isStretched, isSlowed }) {
  const stretched = "Snapshots, and appends to a log in DynamoDB, are less frequent";
  if (isSlowed)
    return `${isExceeded ? "Exceeded" : "Within budget"}. Players are asked for fewer heartbeats, at most one every third of the ttl, until bytes are within the budget. Counts and watch time stay exact.`;
  if (isExceeded && isStretched)
    return `Exceeded. ${stretched} until the cost is within the budget. Heartbeats and counts are unchanged.`;
  if (isStretched) return `Within budget. ${stretched} for at least one hour.`;
  if (!isExceeded) return "Within budget.";
  if (guard !== "warn") return "Exceeded: a warning is logged. Writes are not reduced yet.";
  return "Exceeded: a warning is logged. Writes are not reduced.";
}

/** @param {Cost} cost */
function purposesPanel({ purposes, storage, redis, egress, machine, total }) {
  const row = (/** @type {string} */ title, /** @type {string} */ sub, /** @type {string[]} */ cells) =>
    createElement(
      "tr",
      null,
      createElement("th", { scope: "row" }, title, createElement("span", { class: "sub" }, sub)),
      cells.map((cell) => createElement("td", { class: "num" }, cell)),
    );
  const head = ["Reads", "Writes", "Last hour", "Month"].map((title) =>
    createElement("th", { scope: "col", class: "num" }, title),
  );
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
  rows.push(row("bytes to clients", format.bytes(egress.bytes), ["", "", "", format.money(egress.monthUsd)]));
  if (machine) rows.push(row("machine", machine.name, ["", "", "", format.money(machine.monthUsd)]));
  const foot = createElement(
    "tfoot",
    null,
    createElement(
      "tr",
      null,
      createElement("th", { scope: "row" }, "Total"),
      createElement("td"),
      createElement("td"),
      createElement("td", { class: "num" }, format.money(total.lastHourUsd)),
      createElement("td", { class: "num" }, format.money(total.wholeMonthUsd)),
    ),
  );
  return panel(
    "By purpose",
    {},
    responsiveTable(
      "Consumption and cost by purpose",
      createElement("thead", null, createElement("tr", null, createElement("th", { scope: "col" }, "Purpose"), head)),
      createElement("tbody", null, rows),
      foot,
    ),
  );
}

/** @param {Cost} cost */
function plansPanel({ plans, audience, total }) {
  const most = Math.max(...plans.map((plan) => plan.monthUsd), total.monthUsd, 0.01);
  const rows = plans.map((plan) => {
    const bar = createElement("span", { class: "bar-fill" });
    bar.style.width = `${Math.max(0.5, (100 * plan.monthUsd) / most)}%`;
    return createElement(
      "tr",
      { class: plan.plan === "housecount" ? "ours" : null },
      createElement(
        "th",
        { scope: "row" },
        plan.name,
        createElement("span", { class: "bar-line", "aria-hidden": "true" }, bar),
      ),
      createElement("td", { class: "num" }, format.money(plan.monthUsd)),
      createElement("td", null, plan.loses),
    );
  });
  const title = `Plans for ${format.plural(audience.viewers, "viewer")} on ${format.plural(audience.stages, "stage")}`;
  const head = createElement(
    "tr",
    null,
    createElement("th", { scope: "col" }, "Plan"),
    createElement("th", { scope: "col", class: "num" }, "Per month"),
    createElement("th", { scope: "col" }, "Loss on failure"),
  );
  return panel(
    title,
    {},
    responsiveTable(title, createElement("thead", null, head), createElement("tbody", null, rows)),
  );
}
