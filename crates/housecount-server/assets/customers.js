/** Customers page: what each customer watched in a month, for invoices. */

import { LONG_READ_MS, isAbort, pages } from "./api.js";
import { now } from "./clock.js";
import { fileWord, saveCsv } from "./csv.js";
import { addMonths, customersHash, monthRange, readCustomers } from "./customers-address.js";
import { exportPanel } from "./customers-export.js";
import * as tables from "./customers-tables.js";
import { createElement, icon, setChildren, setText } from "./dom.js";
import * as format from "./format.js";
import { figure, panel, statusBox } from "./parts.js";
import { reportHash } from "./report-address.js";
import { field, loadStageNames, zoneField } from "./report-form.js";
import { Zone } from "./zone.js";

/** @typedef {import("./customers-address.js").CustomersState} CustomersState */
/** @typedef {import("./customers-tables.js").UsageRow} UsageRow */

/**
 * Usage of a month. `finalTo`: end of the hours that can grow no more.
 * @typedef {{rows: UsageRow[], days: UsageRow[] | null, committedTo: number, finalTo: number}} Usage
 */

/** Months before the current one that can be selected. An address may name earlier ones. */
const MONTHS = 36;

/** @type {import("./app.js").MakePage} */
export function customers(scope, { query }) {
  let state = readCustomers(query, now());
  /** Whether the current month replaces an empty one, as the address has none. */
  let isMonthOpen = !query.has("month");
  /** @type {Usage | null} */
  let answer = null;
  /** @type {Map<string, string>} names by stage */
  let names = new Map();
  let loading = scope.child();
  let charts = scope.child();

  const back = createElement("a", { class: "back no-print" }, icon("back"), "All customers");
  const title = createElement("h1", { tabindex: -1 }, "Customers");
  const subtitle = createElement("p", { class: "subtitle" });
  const status = statusBox();
  const body = createElement("div", { class: "stack" });

  /** @param {Partial<CustomersState>} change goes into the address, which shows it */
  const go = (change) => {
    const next = customersHash({ ...state, ...change });
    if (next === location.hash) void load();
    else location.hash = next;
  };
  const currentMonth = () => state.zone.monthOf(now());
  const months = createElement("select", { onchange: () => go({ month: months.value }) });
  const step = (
    /** @type {number} */ count,
    /** @type {string} */ label,
    /** @type {"back" | "next"} */ name,
  ) =>
    createElement(
      "button",
      {
        type: "button",
        "aria-label": label,
        onclick: () => go({ month: addMonths(state.month, count) }),
      },
      icon(name),
    );
  const [earlier, later] = [step(-1, "Month before", "back"), step(1, "Month after", "next")];
  const zones = zoneField((name) => go({ zone: new Zone(name) }));
  const csv = createElement(
    "button",
    { type: "button", onclick: () => save() },
    icon("down"),
    "Download CSV",
  );
  const form = createElement(
    "form",
    {
      class: "panel month-form no-print",
      "aria-label": "What to show",
      onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
    },
    createElement("div", { class: "month-steps" }, earlier, field("Month", months), later),
    zones.element,
    csv,
  );

  const save = () => {
    if (!answer) return;
    const { customer, month } = state;
    const name = customer === null ? "customers" : fileWord(tables.customerName(customer));
    saveCsv(tables.csvLines(answer.rows, answer.committedTo), `usage-${name}-${month}.csv`);
  };

  const showState = () => {
    const { month, zone, customer } = state;
    const { from, to } = monthRange(month, zone);
    const current = currentMonth();
    const listed = Array.from({ length: MONTHS + 1 }, (_, i) => addMonths(current, -i));
    if (!listed.includes(month)) listed.push(month);
    setChildren(
      months,
      listed.map((one) =>
        createElement("option", { value: one }, zone.month(monthRange(one, zone).from)),
      ),
    );
    months.value = month;
    later.disabled = month >= current;
    zones.show(zone);
    back.hidden = customer === null;
    back.setAttribute("href", customersHash({ ...state, customer: null }));
    setText(
      title,
      `${customer === null ? "Customers" : tables.customerName(customer)}: ${zone.month(from)}`,
    );
    document.title = `${title.textContent} · housecount`;
    setChildren(
      subtitle,
      createElement("span", null, zone.range(from, to)),
      createElement("span", null, zone.name),
    );
  };

  const showAnswer = () => {
    charts.end();
    charts = scope.child();
    csv.disabled = !answer?.rows.length;
    if (!answer) return setChildren(body);
    const { month, zone, customer } = state;
    const range = monthRange(month, zone);
    const { rows, finalTo } = answer;
    const note = finality(range, answer, now(), zone);
    if (!rows.length) {
      const current = currentMonth();
      status.show(
        createElement("strong", null, `No watch time in ${zone.month(range.from)}.`),
        month < current &&
          createElement(
            "button",
            { type: "button", onclick: () => go({ month: current }) },
            `Show ${zone.month(now())}`,
          ),
      );
      return setChildren(body, note);
    }
    setChildren(
      body,
      note,
      createElement(
        "section",
        { class: "panel", "aria-label": "Figures" },
        figures(rows, customer),
      ),
      ...(customer === null ? customersPanels(range, finalTo) : customerPanels(customer, range)),
    );
  };

  /**
   * @param {{from: number, to: number}} range
   * @param {number} finalTo
   */
  const customersPanels = (range, finalTo) => [
    panel(
      "By customer",
      {},
      tables.customersTable(tables.byWatchTime(answer?.rows ?? []), (customer) =>
        customersHash({ ...state, customer }),
      ),
    ),
    exportPanel({
      range,
      month: state.month,
      zone: state.zone,
      finalTo,
      format: state.format,
      onFormat: (of) => {
        state = { ...state, format: of };
        history.replaceState(null, "", customersHash(state));
      },
    }),
  ];

  /**
   * @param {string} customer
   * @param {{from: number, to: number}} range
   */
  const customerPanels = (customer, { from, to }) => [
    ...(answer?.days
      ? [
          panel(
            "Viewer-hours by day",
            {},
            tables.daysChart(charts, state.month, state.zone, answer.days),
          ),
        ]
      : []),
    panel(
      "By stage",
      {},
      !customer &&
        createElement(
          "p",
          { class: "hint panel-note" },
          "A customer is set on a stage’s page, under Configuration. It applies from then on.",
        ),
      tables.stagesTable(tables.byWatchTime(answer?.rows ?? []), (stage) => ({
        name: names.get(stage) ?? "",
        live: `#/stage/${encodeURIComponent(stage)}${customer ? "" : "?tab=configuration"}`,
        report: reportHash({ stage, from, to: Math.min(to, now()), zone: state.zone, before: "", by: "" }),
      })),
    ),
  ];

  const load = async () => {
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    const { month, zone, customer } = state;
    const range = { ...monthRange(month, zone), tz: zone.name };
    body.classList.add("stale");
    status.showLoading("Reading watch times…");
    try {
      if (customer === null) answer = { ...(await readUsage(range, signal)), days: null };
      else {
        const found = await readUsage({ ...range, customer, group: "stage" }, signal);
        const days = found.rows.length
          ? (await readUsage({ ...range, customer, by: "day" }, signal)).rows
          : null;
        answer = { ...found, days };
      }
      status.clear();
    } catch (error) {
      if (isAbort(error)) return;
      answer = null;
      status.showError(error, () => void load());
    }
    body.classList.remove("stale");
    if (isMonthOpen && answer) {
      const isEmpty = answer.rows.length === 0;
      return apply({ ...state, month: isEmpty ? currentMonth() : state.month }, false);
    }
    showAnswer();
  };

  /**
   * @param {CustomersState} next
   * @param {boolean} isOpen whether the current month replaces an empty one
   */
  const apply = (next, isOpen) => {
    const isLoaded =
      answer !== null &&
      next.month === state.month &&
      next.customer === state.customer &&
      next.zone.name === state.zone.name;
    state = next;
    isMonthOpen = isOpen;
    // An address without a month gets one, so that it opens the same view again.
    const hash = customersHash(state);
    if (hash !== location.hash && !isOpen) history.replaceState(null, "", hash);
    showState();
    if (isLoaded) showAnswer();
    else void load();
  };

  apply(state, isMonthOpen);
  void loadStageNames(scope.signal)
    .then((found) => {
      names = found;
      if (answer && state.customer !== null) showAnswer();
    })
    .catch(() => {
      // Stages are shown by their ids.
    });

  const head = createElement("div", { class: "page-head" }, back, title, subtitle);
  return {
    title: title.textContent ?? "Customers",
    element: createElement(
      "div",
      { class: "page stack customers" },
      head,
      form,
      status.element,
      body,
    ),
    update: (next) => apply(readCustomers(next, now()), !next.has("month")),
  };
}

/**
 * Reads all pages of usage.
 * @param {Record<string, string | number>} query
 * @param {AbortSignal} signal
 */
async function readUsage(query, signal) {
  /** @type {UsageRow[]} */
  const rows = [];
  let cover = { committedTo: 0, finalTo: 0 };
  for await (const page of pages("/v1/usage", { query, signal, waitMs: LONG_READ_MS })) {
    rows.push(...page.usage);
    cover = page;
  }
  return { rows, committedTo: cover.committedTo, finalTo: cover.finalTo };
}

/**
 * @param {UsageRow[]} rows
 * @param {string | null} customer null: all customers
 */
function figures(rows, customer) {
  const total = tables.totalOf(rows);
  const stages = rows.reduce((sum, row) => sum + row.stages, 0);
  const unassigned = rows.find((row) => !row.customer)?.watchMs ?? 0;
  const one = (/** @type {string} */ name, /** @type {string} */ value, note = "") => {
    const of = figure(name);
    setText(of.value, value);
    setText(of.note, note);
    return of.element;
  };
  return createElement(
    "dl",
    { class: "figures report-main" },
    one("Viewer-hours", tables.viewerHours(total), `watch time ${format.watched(total)}`),
    customer === null && one("Customers", format.count(rows.filter((row) => row.customer).length)),
    one("Stages", format.count(stages)),
    customer === null &&
      unassigned > 0 &&
      one(
        tables.NO_CUSTOMER,
        tables.viewerHours(unassigned),
        `viewer-hours, ${format.percent(unassigned / total)} of all`,
      ),
  );
}

/**
 * Says whether a month's figures can still grow.
 * @param {{from: number, to: number}} range
 * @param {Usage} usage
 * @param {number} nowMs
 * @param {Zone} zone
 */
function finality({ from, to }, { committedTo, finalTo }, nowMs, zone) {
  if (finalTo >= to)
    return createElement(
      "p",
      { class: "hint" },
      "Final: all of this month is in the ledger, and no late heartbeat can add to it.",
    );
  const parts = [];
  if (nowMs < to) parts.push("The month is not over.");
  if (finalTo > from)
    parts.push(`The hours before ${zone.when(finalTo)} are final; later ones may still grow.`);
  else parts.push("All of its hours may still grow.");
  if (committedTo < Math.min(to, nowMs))
    parts.push(
      committedTo > from
        ? `The ledger has it up to ${zone.when(committedTo)}.`
        : "None of it is in the ledger yet.",
    );
  return createElement(
    "p",
    { class: "count-status", role: "note" },
    icon("warn"),
    createElement("strong", null, " Not final. "),
    parts.join(" "),
  );
}
