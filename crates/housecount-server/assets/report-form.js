/** Fields that select a stage, a range and a time zone. */

import { pages } from "./api.js";
import { createElement, setChildren, setText, uniqueId } from "./dom.js";
import { zoneNames } from "./zone.js";

/** @typedef {import("./report-address.js").Selection} Selection */
/** @typedef {import("./zone.js").Zone} Zone */

/** Stages that the field suggests. Others can be typed. */
const SUGGESTIONS_MAX = 1_000;

/**
 * Creates a label with its field.
 * @param {string} title
 * @param {HTMLElement} input
 * @param {string} [name]
 */
export function field(title, input, name = "") {
  input.id ||= uniqueId();
  const label = createElement("label", { for: input.id }, title);
  return createElement("div", { class: `field ${name}` }, label, input);
}

/**
 * Loads the names of the stages that have an audience or a configuration.
 * @param {AbortSignal} signal
 */
export async function loadStageNames(signal) {
  /** @type {Map<string, string>} */
  const names = new Map();
  for await (const page of pages("/v1/stages", { pages: 1, limit: SUGGESTIONS_MAX, signal }))
    for (const { stage, name } of page.stages) names.set(stage, name ?? "");
  return names;
}

/**
 * Creates the fields of a stage and a range. Their form submits `read()`.
 * @param {{isStageNeeded: boolean, onStage: () => void}} options
 */
export function selectionFields({ isStageNeeded, onStage }) {
  const list = createElement("datalist", { id: uniqueId() });
  const stage = createElement("input", {
    list: list.id,
    placeholder: isStageNeeded ? "Stage" : "All stages",
    required: isStageNeeded,
    spellcheck: "false",
    autocomplete: "off",
    onchange: onStage,
  });
  const moment = () =>
    createElement("input", {
      type: "datetime-local",
      step: 1,
      required: true,
      max: "9999-12-31T23:59",
    });
  const [from, to] = [moment(), moment()];
  const note = createElement("p", { class: "form-note bad", role: "alert" });
  /** @type {(Selection & {zone: Zone}) | null} */
  let shown = null;

  return {
    fields: [field("Stage", stage, "field-stage"), field("From", from), field("To", to), list],
    note,
    /** @param {Map<string, string>} names by stage */
    suggest: (names) =>
      setChildren(
        list,
        [...names].map(([value, name]) => createElement("option", { value, label: name || null })),
      ),
    /**
     * @param {Selection} selection
     * @param {Zone} zone
     */
    show(selection, zone) {
      shown = { ...selection, zone };
      stage.value = selection.stage;
      from.value = zone.toField(selection.from);
      to.value = zone.toField(selection.to);
      setText(note, "");
    },
    /**
     * Returns what the fields select; null, with a note, if that is not a range.
     * @returns {Selection | null}
     */
    read() {
      if (!shown) return null;
      const { zone, ...old } = shown;
      // Fields have whole seconds. An end that was not edited keeps its milliseconds.
      const read = (/** @type {HTMLInputElement} */ input, /** @type {number} */ ms) =>
        input.value === zone.toField(ms) ? ms : zone.fromField(input.value);
      const found = { stage: stage.value.trim(), from: read(from, old.from), to: read(to, old.to) };
      if (found.from === null || found.to === null || found.from >= found.to) {
        setText(note, "The end must be after the start.");
        return null;
      }
      setText(note, "");
      return { stage: found.stage, from: found.from, to: found.to };
    },
  };
}

/**
 * Creates a box for what selects the range. On narrow screens it is closed, and the figures come
 * first.
 * @param {import("./scope.js").Scope} scope
 * @param {string} title of the closed box
 * @param {...Element} children
 */
export function controlsBox(scope, title, ...children) {
  const narrow = matchMedia("(max-width: 40rem)");
  const summary = createElement("summary", null, title);
  const element = createElement(
    "details",
    { class: "report-controls no-print" },
    summary,
    createElement("div", { class: "stack" }, children),
  );
  const show = () => (element.open = !narrow.matches);
  show();
  scope.on(narrow, "change", show);
  return {
    element,
    /** Closes the box on narrow screens, after a selection. */
    close() {
      if (!narrow.matches) return;
      if (element.contains(document.activeElement)) summary.focus();
      element.open = false;
    },
  };
}

/**
 * Creates the choice of a time zone.
 * @param {(name: string) => void} onZone
 */
export function zoneField(onZone) {
  const names = zoneNames();
  const select = createElement("select", { onchange: () => onZone(select.value) });
  const fill = () =>
    setChildren(
      select,
      names.map((name) => createElement("option", null, name)),
    );
  fill();
  return {
    element: field("Time zone", select, "field-zone"),
    /** @param {Zone} zone */
    show({ name }) {
      if (!names.includes(name)) {
        names.unshift(name);
        fill();
      }
      select.value = name;
    },
  };
}
