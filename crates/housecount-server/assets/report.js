/** Report page: who came to a stage, who stayed, and how long. */

import { LONG_READ_MS, Problem, call, isAbort, path } from "./api.js";
import { broadcastList } from "./broadcasts.js";
import { now } from "./clock.js";
import { coverageText } from "./count-status.js";
import { createElement, setChildren, setText } from "./dom.js";
import { labelKeys } from "./labels.js";
import { copyableCode, statusBox } from "./parts.js";
import { BEFORE, compareHash, readReport, reportHash } from "./report-address.js";
import { controlsBox, field, loadStageNames, selectionFields, zoneField } from "./report-form.js";
import { reportLabels } from "./report-labels.js";
import { reportPanels } from "./report-panels.js";
import { Zone } from "./zone.js";

/** @typedef {import("./report-address.js").ReportState} ReportState */
/** @typedef {import("./report-figures.js").Report} Report */

const HOUR_MS = 3_600_000;
/** Earliest time that the API takes. */
const FIRST_MS = Date.UTC(2001);
/** @type {[string, number][]} */
const PRESETS = [
  ["Last hour", HOUR_MS],
  ["Last 24 hours", 24 * HOUR_MS],
  ["Last 7 days", 7 * 24 * HOUR_MS],
];
/** Length above which a range has whole seconds after a zoom. */
const ROUND_MS_MIN = 60_000;
/** Largest age of a preset's end at which its button is still pressed. */
const PRESET_AGE_MS_MAX = 300_000;
/** @type {Record<string, string>} */
const BEFORE_TITLES = { "": "Don’t count", "1d": "1 day", "7d": "7 days", "30d": "30 days" };

/** @type {import("./app.js").MakePage} */
export function report(scope, { query }) {
  let state = readReport(query, now());
  /** Whether the newest broadcast becomes the range, as the address has none. */
  let isRangeOpen = hasNoRange(query);
  /** @type {Map<string, string>} names by stage */
  let names = new Map();
  /** @type {Report | null} */
  let answer = null;
  /** Reason why the report has no values of the label. */
  let labelProblem = "";
  let loading = scope.child();
  let charts = scope.child();

  const title = createElement("h1", { tabindex: -1 }, "Report");
  const subtitle = createElement("p", { class: "subtitle" });
  const links = createElement("p", { class: "tools no-print" });
  const status = statusBox();
  const body = createElement("div", { class: "stack" });

  /** @param {Partial<ReportState>} change goes into the address, which shows it */
  const go = (change) => {
    const next = reportHash({ ...state, ...change });
    controls.close();
    if (next === location.hash) void load();
    else location.hash = next;
  };
  /** @param {Partial<import("./report-address.js").Selection>} selection which ends a zoom */
  const select = (selection) => go({ ...selection, within: undefined });
  const submit = () => {
    const selection = fields.read();
    if (selection) select(selection);
  };
  /**
   * @param {number} from
   * @param {number} to
   */
  const zoomTo = (from, to) => {
    // Round times are easier to read, where the range is long enough.
    const unit = to - from > ROUND_MS_MIN ? 1_000 : 1;
    const round = (/** @type {number} */ ms) => Math.round(ms / unit) * unit;
    const range = { from: Math.max(state.from, round(from)), to: Math.min(state.to, round(to)) };
    const { within = { from: state.from, to: state.to } } = state;
    if (range.from < range.to) go({ ...range, within });
  };
  const fields = selectionFields({ isStageNeeded: false, onStage: submit });
  const labels = reportLabels((by) => go({ by }));
  const zones = zoneField((name) => go({ zone: new Zone(name) }));
  const before = createElement(
    "select",
    { onchange: () => go({ before: before.value }) },
    BEFORE.map((value) => createElement("option", { value }, BEFORE_TITLES[value])),
  );
  const presets = PRESETS.map(([name, ms]) =>
    createElement(
      "button",
      { type: "button", onclick: () => select({ from: now() - ms, to: now() }) },
      name,
    ),
  );
  const form = createElement(
    "form",
    {
      class: "panel report-form no-print",
      "aria-label": "What to report",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        submit();
      },
    },
    createElement(
      "div",
      { class: "report-fields" },
      fields.fields,
      zones.element,
      createElement("button", { type: "submit", class: "main" }, "Show"),
    ),
    fields.note,
    createElement(
      "div",
      { class: "report-row" },
      createElement("div", { class: "choice", role: "group", "aria-label": "Range" }, presets),
      field("New viewers are those not seen for", before),
    ),
  );
  const list = broadcastList(scope, {
    onLoad: (newest) => {
      // An empty range offers the newest broadcast.
      if (!isRangeOpen) return answer?.uniqueViewers === 0 ? showAnswer() : undefined;
      isRangeOpen = false;
      apply(newest ? { ...state, ...rangeOf(newest) } : state);
    },
    onSelect: (broadcast) => select(rangeOf(broadcast)),
    onCompare: (a, b) => {
      const { stage, zone } = state;
      location.hash = compareHash({
        a: { stage, from: a.from, to: a.to },
        b: { stage, from: b.from, to: b.to },
        zone,
      });
    },
  });

  const controls = controlsBox(scope, "Another stage, range or broadcast", form, list.element);

  const showState = () => {
    const { stage, from, to, zone, within } = state;
    fields.show(state, zone);
    zones.show(zone);
    before.value = state.before;
    for (const [i, [, ms]] of PRESETS.entries()) {
      const isHere = to - from === ms && now() - to < PRESET_AGE_MS_MAX;
      presets[i].setAttribute("aria-pressed", String(isHere));
    }
    const name = names.get(stage);
    setText(title, stage ? `Report: ${name || stage}` : "Report: all stages");
    document.title = `${title.textContent} · housecount`;
    setChildren(
      subtitle,
      name && createElement("code", null, stage),
      createElement("span", null, zone.range(from, to)),
      createElement("span", null, zone.name),
    );
    const ms = to - from;
    setChildren(
      links,
      within &&
        createElement(
          "a",
          { href: outHref() ?? "" },
          `Back to ${zone.range(within.from, within.to)}`,
        ),
      stage && createElement("a", { href: `#/stage/${encodeURIComponent(stage)}` }, "Live page"),
      stage &&
        createElement(
          "a",
          { href: compareHash({ a: state, b: { stage, from: from - ms, to: from }, zone }) },
          "Compare with the time before",
        ),
    );
    list.show(state, now());
  };

  /** Returns the address of the range before the zoom. */
  const outHref = () =>
    state.within ? reportHash({ ...state, ...state.within, within: undefined }) : null;

  const showAnswer = () => {
    charts.end();
    charts = scope.child();
    if (!answer) return setChildren(body);
    const { zone } = state;
    const coverage = createElement(
      "p",
      { class: "hint" },
      coverageText(answer, now(), (ms) => zone.when(ms)),
    );
    if (answer.uniqueViewers === 0) {
      const newest = list.newest();
      status.show(
        createElement("strong", null, "No viewers in this range."),
        " A viewer counts from the second heartbeat on.",
        newest &&
          createElement(
            "button",
            { type: "button", onclick: () => select(rangeOf(newest)) },
            "Show the newest broadcast",
          ),
      );
      return setChildren(body, coverage);
    }
    const day = new Date(state.from).toISOString().slice(0, 10);
    labels.show(state.by, answer.by, labelProblem, `report-${state.stage || "all"}-${day}`);
    const zoom = { onZoom: zoomTo, outHref: outHref() };
    const [figures, ...others] = reportPanels(charts, answer, zone, now(), zoom);
    const focused = document.activeElement;
    setChildren(body, coverage, figures, labels.element, ...others, commandPanel(state, answer));
    // The choice of a label stays focused, though it is inserted again.
    if (focused instanceof HTMLElement && labels.element.contains(focused)) focused.focus();
  };

  const load = async () => {
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    const { stage, from, to, by } = state;
    body.classList.add("stale");
    status.showLoading("Reading watch times…");
    const where = stage ? path`/v1/stages/${stage}/report` : "/v1/report";
    const before = state.before || undefined;
    const read = (/** @type {string | undefined} */ key) =>
      call(where, { query: { from, to, before, by: key }, signal, waitMs: LONG_READ_MS });
    try {
      labelProblem = "";
      answer = await read(by || undefined).catch((error) => {
        if (!by || !(error instanceof Problem) || error.code !== "invalid_query") throw error;
        labelProblem = error.message;
        return read(undefined);
      });
      status.clear();
    } catch (error) {
      if (isAbort(error)) return;
      answer = null;
      if (error instanceof Problem && error.code === "invalid_query") showTooMuch(error.message);
      else status.showError(error, () => void load());
    }
    body.classList.remove("stale");
    showAnswer();
  };
  /** @param {string} detail reason why there is no report of this range */
  const showTooMuch = (detail) => {
    const half = Math.round((state.to - state.from) / 2);
    status.show(
      createElement("strong", null, "No report of this range:"),
      `${detail}.`,
      state.from >= FIRST_MS &&
        createElement(
          "button",
          { type: "button", onclick: () => select({ from: state.to - half }) },
          "Show the second half",
        ),
    );
  };

  /** @param {ReportState} next */
  const apply = (next) => {
    const isSame = (/** @type {"stage" | "from" | "to" | "before" | "by"} */ key) =>
      next[key] === state[key];
    const isLoaded =
      answer &&
      isSame("stage") &&
      isSame("from") &&
      isSame("to") &&
      isSame("before") &&
      isSame("by");
    state = next;
    if (isRangeOpen && state.stage) {
      status.showLoading("Looking for the newest broadcast…");
      return showState();
    }
    isRangeOpen = false;
    // An address without a range gets one, so that it opens the same view again.
    const hash = reportHash(state);
    if (hash !== location.hash) history.replaceState(null, "", hash);
    showState();
    if (isLoaded) showAnswer();
    else void load();
  };

  apply(state);
  void loadStageNames(scope.signal)
    .then((found) => {
      names = found;
      fields.suggest(names);
      showState();
      const any = names.has(state.stage) ? state.stage : names.keys().next().value;
      return any === undefined ? [] : labelKeys(any, scope.signal);
    })
    .then((keys) => labels.setKeys(keys))
    .catch(() => {
      // The fields have no suggestions. The report shows the failure.
    });

  const head = createElement("div", { class: "page-head" }, title, subtitle, links);
  return {
    title: title.textContent ?? "Report",
    element: createElement(
      "div",
      { class: "page stack report" },
      head,
      controls.element,
      status.element,
      body,
    ),
    update: (next) => {
      isRangeOpen = hasNoRange(next);
      apply(readReport(next, now()));
    },
  };
}

/** @param {URLSearchParams} query */
const hasNoRange = (query) => !query.has("from") && !query.has("to");

/** @param {import("./broadcasts.js").Broadcast} broadcast */
const rangeOf = ({ from, to, ongoing }) => ({ from, to: ongoing ? Math.max(now(), to) : to });

/**
 * Creates the command that writes the report as a file.
 * @param {ReportState} state
 * @param {Report} answer
 */
function commandPanel({ stage, from, to, zone, before }, { complete, by }) {
  const quote = (/** @type {string} */ word) =>
    /^[\w.:/@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
  const time = (/** @type {number} */ ms) => new Date(ms).toISOString();
  const command = [
    "housecount report",
    stage && `--stage ${quote(stage)}`,
    `--from ${time(from)} --to ${time(to)} \\\n  --tz ${zone.name}`,
    before && `--before ${before}`,
    by && `--by ${quote(by.key)}`,
    !complete && "--partial",
    "--format html --out report.html",
  ];
  return createElement(
    "details",
    { class: "no-print" },
    createElement("summary", null, "As a file to send: the command"),
    copyableCode(command.filter(Boolean).join(" "), "report command"),
  );
}
