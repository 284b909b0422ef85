/** Events page: what happened on the stages, newest first, and how webhooks fare. */

import { Problem, call, isAbort } from "./api.js";
import { now } from "./clock.js";
import { createElement, setChildren } from "./dom.js";
import { EVENT_TYPES, describe } from "./event-texts.js";
import * as format from "./format.js";
import { panel, responsiveTable, statusBox } from "./parts.js";
import { hash } from "./report-address.js";
import { field, loadStageNames } from "./report-form.js";
import { webhooksPanel } from "./webhooks.js";

/** @typedef {import("./event-texts.js").AudienceEvent} AudienceEvent */
/** @typedef {{events: AudienceEvent[], next: string, atEnd: boolean, firstKept?: number}} Page */

const POLL_MS = 10_000;
/** Events that are looked at, at once and on request. The API's largest page. */
const BATCH = 1_000;
/** Rows that are shown. */
const ROWS = 200;

/** @type {import("./app.js").MakePage} */
export function events(scope, { query }) {
  let state = readState(query);
  /** Matching events, newest first. @type {AudienceEvent[]} */
  let found = [];
  /** Numbers of the events that were looked at: those after `from`, up to `to`. */
  let looked = { from: 0, to: 0 };
  /** @type {Map<string, string>} */
  let names = new Map();
  let isLoaded = false;
  let loading = scope.child();

  const status = statusBox();
  const table = createElement("div");
  const note = createElement("p", { class: "hint" });
  const earlier = createElement(
    "button",
    { type: "button", hidden: true, onclick: () => void loadEarlier() },
    "Look further back",
  );
  const hooks = webhooksPanel(scope);

  /** @param {Partial<typeof state>} change */
  const go = (change) => {
    location.hash = eventsHash({ ...state, ...change });
  };
  const types = createElement(
    "select",
    { onchange: () => go({ type: types.value }) },
    createElement("option", { value: "" }, "All"),
    EVENT_TYPES.map(([type, title]) => createElement("option", { value: type }, title)),
  );
  const stage = createElement("input", {
    placeholder: "All stages",
    spellcheck: "false",
    autocomplete: "off",
    list: "event-stages",
    onchange: () => go({ stage: stage.value.trim() }),
  });
  const suggestions = createElement("datalist", { id: "event-stages" });
  const form = createElement(
    "form",
    {
      class: "panel event-form no-print",
      "aria-label": "What to show",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        go({ stage: stage.value.trim() });
      },
    },
    field("Event", types),
    field("Stage", stage, "field-stage"),
    suggestions,
  );

  const draw = () => {
    const shown = found.slice(0, ROWS);
    earlier.hidden = looked.from === 0 || shown.length === ROWS;
    const what = state.type || state.stage ? "matching event" : "event";
    const count = format.plural(found.length, what);
    const cut = found.length > ROWS ? `, the newest ${ROWS} of them shown` : "";
    const scanned =
      looked.from > 0 ? ` among the newest ${format.count(looked.to - looked.from)}` : "";
    setChildren(note, isLoaded && `${count}${scanned}${cut}. Events are kept for 30 days.`);
    if (isLoaded && !found.length && looked.from === 0)
      status.show("No events. They appear here within seconds.");
    setChildren(table, shown.length > 0 && eventsTable(shown, names));
  };

  /**
   * Reads the events after a number, as far as another one.
   * @param {number} after
   * @param {number} to
   */
  const read = async (after, to) => {
    /** @type {AudienceEvent[]} */
    const events = [];
    let reached = after;
    for (;;) {
      const sent = {
        after: reached || undefined,
        limit: Math.min(BATCH, Math.max(1, to - reached)),
        type: state.type || undefined,
        stage: state.stage || undefined,
      };
      /** @type {Page} */
      const page = await call("/v1/events", { query: sent, signal: loading.signal });
      events.push(...page.events.filter(({ seq }) => seq <= to));
      const next = Number(page.next);
      if (page.atEnd || next >= to || next <= reached)
        return { events, reached: Math.max(next, reached) };
      reached = next;
    }
  };

  const load = async () => {
    loading.end();
    loading = scope.child();
    isLoaded = false;
    found = [];
    setChildren(table);
    status.showLoading("Reading events…");
    try {
      const latest = Number(
        (await call("/v1/events", { query: { after: "latest" }, signal: loading.signal })).next,
      );
      looked = { from: Math.max(0, latest - BATCH), to: latest };
      const { events } = latest > 0 ? await read(looked.from, latest) : { events: [] };
      found = events.reverse();
      isLoaded = true;
      status.clear();
      draw();
    } catch (error) {
      fail(error);
    }
  };
  const loadEarlier = async () => {
    earlier.disabled = true;
    try {
      const from = Math.max(0, looked.from - BATCH);
      const { events } = await read(from, looked.from);
      found.push(...events.reverse());
      looked.from = from;
      draw();
    } catch (error) {
      fail(error);
    }
    earlier.disabled = false;
  };
  const poll = async () => {
    if (!isLoaded) return;
    try {
      const { events, reached } = await read(looked.to, Infinity);
      looked.to = reached;
      found.unshift(...events.reverse());
      status.clear();
      // A selected text stays selected.
      if (events.length && !getSelection()?.toString()) draw();
    } catch (error) {
      fail(error);
    }
  };
  /** @param {unknown} error */
  const fail = (error) => {
    if (isAbort(error)) return;
    if (error instanceof Problem && error.code === "events_off") {
      form.hidden = true;
      status.show(
        createElement("strong", null, "Events are off."),
        createElement(
          "span",
          null,
          "Set ",
          createElement("code", null, "events = true"),
          " in the settings, and restart the nodes.",
        ),
      );
    } else status.showError(error, () => void load());
  };

  const showState = () => {
    types.value = state.type;
    stage.value = state.stage;
  };
  showState();
  void load();
  scope.every(POLL_MS, poll);
  void loadStageNames(scope.signal)
    .then((loaded) => {
      names = loaded;
      setChildren(
        suggestions,
        [...names].map(([value, name]) => createElement("option", { value, label: name || null })),
      );
      draw();
    })
    .catch(() => {
      // Stages are shown by their ids.
    });

  return {
    title: "Events",
    element: createElement(
      "div",
      { class: "page stack events" },
      createElement("div", { class: "page-head" }, createElement("h1", { tabindex: -1 }, "Events")),
      form,
      hooks,
      panel(
        "What happened",
        { class: "event-rows" },
        note,
        status.element,
        table,
        createElement("div", { class: "tools" }, earlier),
      ),
    ),
    update: (next) => {
      state = readState(next);
      showState();
      void load();
    },
  };
}

/** @param {URLSearchParams} query */
const readState = (query) => ({ type: query.get("type") ?? "", stage: query.get("stage") ?? "" });

/** @param {{type: string, stage: string}} state */
export const eventsHash = ({ type, stage }) =>
  hash("events", { type: type || undefined, stage: stage || undefined });

/**
 * @param {AudienceEvent[]} rows
 * @param {Map<string, string>} names by stage
 */
function eventsTable(rows, names) {
  const head = createElement(
    "thead",
    null,
    createElement(
      "tr",
      null,
      ["Time", "Event", "Stage"].map((title) => createElement("th", { scope: "col" }, title)),
      createElement("th", { scope: "col", class: "num" }, "Viewers"),
    ),
  );
  const body = rows.map((event) => {
    const { at, stage, viewers } = event;
    const { title, detail, tone } = describe(event);
    const name = stage && names.get(stage);
    return createElement(
      "tr",
      null,
      createElement("th", { scope: "row", title: format.moment(at) }, format.when(at, now())),
      cell(
        createElement("span", { class: `event-title ${tone}` }, title),
        detail && createElement("span", { class: "sub" }, detail),
      ),
      cell(
        stage &&
          createElement("a", { href: `#/stage/${encodeURIComponent(stage)}` }, name || stage),
        name && createElement("span", { class: "sub" }, stage),
      ),
      createElement("td", { class: "num" }, viewers === undefined ? "" : format.count(viewers)),
    );
  });
  return responsiveTable("Events, newest first", head, createElement("tbody", null, body));
}

/**
 * Creates a cell whose content stays together where rows are blocks. Without content it is empty.
 * @param {...import("./dom.js").Child} children
 */
const cell = (...children) =>
  createElement("td", null, children.some(Boolean) && createElement("div", null, children));
