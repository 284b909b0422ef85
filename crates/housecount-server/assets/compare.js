/** Compare page: two ranges side by side, with time since the start of each. */

import { LONG_READ_MS, call, isAbort } from "./api.js";
import { now } from "./clock.js";
import { coverageText } from "./count-status.js";
import { comparePanels } from "./compare-panels.js";
import { createElement, icon, setChildren } from "./dom.js";
import { statusBox } from "./parts.js";
import { compareHash, readCompare, reportHash, sideText } from "./report-address.js";
import { controlsBox, loadStageNames, selectionFields, zoneField } from "./report-form.js";
import { Zone } from "./zone.js";

/** @typedef {import("./report-address.js").CompareState} CompareState */
/** @typedef {import("./report-figures.js").Report} Report */

/** @type {import("./app.js").MakePage} */
export function compare(scope, { query }) {
  let state = readCompare(query, now());
  /** @type {Map<string, string>} */
  let names = new Map();
  /** @type {{a: Report, b: Report} | null} */
  let answer = null;
  let loading = scope.child();
  let charts = scope.child();

  const back = createElement("a", { class: "back no-print" }, icon("back"), "Report of A");
  const status = statusBox();
  const body = createElement("div", { class: "stack" });

  /** @param {Partial<CompareState>} change */
  const go = (change) => {
    const next = compareHash({ ...state, ...change });
    controls.close();
    if (next === location.hash) void load();
    else location.hash = next;
  };
  const submit = () => {
    const [a, b] = [sides.a.read(), sides.b.read()];
    if (a && b) go({ a, b });
  };
  const side = () => selectionFields({ isStageNeeded: true, onStage: () => {} });
  const sides = { a: side(), b: side() };
  const zones = zoneField((name) => go({ zone: new Zone(name) }));
  const fieldset = (/** @type {"a" | "b"} */ key) =>
    createElement(
      "fieldset",
      { class: "report-fields side" },
      createElement("legend", { class: `side-${key}` }, key.toUpperCase()),
      sides[key].fields,
      sides[key].note,
    );
  const form = createElement(
    "form",
    {
      class: "panel report-form no-print",
      "aria-label": "What to compare",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        submit();
      },
    },
    fieldset("a"),
    fieldset("b"),
    createElement(
      "div",
      { class: "report-fields last" },
      zones.element,
      createElement("button", { type: "submit", class: "main" }, "Show"),
    ),
  );

  const controls = controlsBox(scope, "Other stages or ranges", form);

  const showState = () => {
    const { a, b, zone } = state;
    sides.a.show(a, zone);
    sides.b.show(b, zone);
    zones.show(zone);
    back.setAttribute("href", reportHash({ ...a, zone, before: "", by: "" }));
  };

  const showAnswer = () => {
    charts.end();
    charts = scope.child();
    if (!answer) return setChildren(body);
    const { zone } = state;
    const { a, b } = answer;
    const isOneStage = a.stage === b.stage;
    const label = (/** @type {"A" | "B"} */ letter, /** @type {Report} */ of) => {
      const stage = of.stage ?? "";
      const prefix = isOneStage ? "" : `${names.get(stage) || stage}, `;
      return `${letter}: ${prefix}${zone.range(of.from, of.to)}`;
    };
    const labels = { a: label("A", a), b: label("B", b) };
    const coverage = (/** @type {string} */ letter, /** @type {Report} */ of) =>
      createElement(
        "p",
        { class: "hint" },
        `${letter}: ${coverageText(of, now(), (ms) => zone.when(ms))}`,
      );
    const title = createElement(
      "p",
      { class: "subtitle" },
      createElement("strong", { class: "side-a" }, labels.a),
      createElement("strong", { class: "side-b" }, labels.b),
      createElement("span", null, zone.name),
    );
    if (a.uniqueViewers + b.uniqueViewers === 0) {
      status.show(createElement("strong", null, "No viewers in both ranges."));
      return setChildren(body, title, coverage("A", a), coverage("B", b));
    }
    setChildren(
      body,
      title,
      a.complete && b.complete
        ? createElement("p", { class: "hint" }, "Final: all of both is in the ledger.")
        : createElement("div", null, coverage("A", a), coverage("B", b)),
      ...comparePanels(charts, answer, labels),
    );
  };

  const load = async () => {
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    if (!state.a.stage || !state.b.stage) {
      answer = null;
      controls.element.open = true;
      status.show("Select a stage for A and for B.");
      return showAnswer();
    }
    body.classList.add("stale");
    status.showLoading("Reading watch times…");
    try {
      const sent = { a: sideText(state.a), b: sideText(state.b) };
      answer = await call("/v1/compare", { query: sent, signal, waitMs: LONG_READ_MS });
      status.clear();
    } catch (error) {
      if (isAbort(error)) return;
      answer = null;
      status.showError(error, () => void load());
    }
    body.classList.remove("stale");
    showAnswer();
  };

  /** @param {CompareState} next */
  const apply = (next) => {
    const isLoaded =
      answer && sideText(next.a) === sideText(state.a) && sideText(next.b) === sideText(state.b);
    state = next;
    const hash = compareHash(state);
    if (hash !== location.hash) history.replaceState(null, "", hash);
    showState();
    if (isLoaded) showAnswer();
    else void load();
  };
  apply(state);
  void loadStageNames(scope.signal)
    .then((found) => {
      names = found;
      sides.a.suggest(names);
      sides.b.suggest(names);
      showAnswer();
    })
    .catch(() => {
      // The fields have no suggestions. The comparison shows the failure.
    });

  const head = createElement(
    "div",
    { class: "page-head" },
    back,
    createElement("h1", { tabindex: -1 }, "Compare two ranges"),
  );
  return {
    title: "Compare",
    element: createElement(
      "div",
      { class: "page stack report" },
      head,
      controls.element,
      status.element,
      body,
    ),
    update: (next) => apply(readCompare(next, now())),
  };
}
