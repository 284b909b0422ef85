/** Viewers by the values of a label: the choice of a key, names of values, and a stage's panel. */

import { call, isAbort, path } from "./api.js";
import { barTable } from "./bar-table.js";
import { isComplete } from "./count-status.js";
import { createElement, setChildren, setText } from "./dom.js";
import * as format from "./format.js";
import { panel, statusBox } from "./parts.js";

/**
 * Figures by the values of a label. The value null stands for sessions without the label.
 * @template T
 * @typedef {object} ByLabel
 * @property {string} key
 * @property {(T & {value: string | null})[]} values largest first
 * @property {number} [belowFloor] values with too few viewers for the caller's key
 * @property {number} [omitted] values beyond the longest list
 */

/** Most rows of a table. A note counts the other values. */
export const ROWS_MAX = 20;
const REFRESH_MS = 5_000;

/** Note of each table, as shares may exceed 100 %. */
export const OVERLAP = "A viewer with two values counts in both.";

/** @param {string | null} value */
export const valueName = (value) =>
  value === null
    ? createElement("span", { class: "not-set" }, "not set")
    : createElement("bdi", { class: "label-value" }, value);

/**
 * Describes the values that a table leaves out.
 * @param {ByLabel<unknown>} by
 */
export function restText({ values, belowFloor = 0, omitted = 0 }) {
  const more = Math.max(0, values.length - ROWS_MAX) + omitted;
  return [
    more > 0 && `and ${format.count(more)} more`,
    belowFloor > 0 && `not shown: ${format.plural(belowFloor, "value")} with few viewers`,
  ]
    .filter(Boolean)
    .join("; ");
}

/**
 * Fetches the keys of the node's labels, which the answer for each stage has.
 * @param {string} stage
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>}
 */
export const labelKeys = async (stage, signal) =>
  (await call(path`/v1/stages/${stage}`, { signal })).labels ?? [];

/**
 * Creates the choice of a key.
 * @param {(key: string) => void} onKey
 * @param {string} [none] title of the choice of no key, if there is one
 */
export function keySelect(onKey, none) {
  const element = createElement("select", {
    "aria-label": "Viewers by",
    onchange: () => onKey(element.value),
  });
  /** @type {string[]} */
  let shown = [];
  return {
    element,
    /**
     * @param {string[]} keys
     * @param {string} chosen
     */
    show(keys, chosen) {
      // New options would close an open list.
      if (keys.join("\n") !== shown.join("\n")) {
        shown = keys;
        setChildren(
          element,
          none !== undefined && createElement("option", { value: "" }, none),
          keys.map((key) => createElement("option", { value: key }, key)),
        );
      }
      element.value = chosen;
    },
  };
}

/**
 * Creates the panel of a stage's viewers by label. It is hidden until `setKeys` has keys.
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {string} chosen key from the address; the first one if it is unknown
 * @param {(key: string) => void} onKey
 */
export function labelPanel(scope, stage, chosen, onKey) {
  const state = statusBox();
  const body = createElement("div", { class: "label-rows" });
  const rest = createElement("p", { class: "hint", hidden: true });
  const select = keySelect((key) => {
    onKey(key);
    start(key);
  });
  const element = panel(
    "Viewers by",
    { class: "labels", end: [select.element] },
    createElement("p", { class: "hint panel-note" }, OVERLAP),
    state.element,
    body,
    rest,
  );
  element.hidden = true;
  let life = scope.child();
  /** @type {string[]} */
  let known = [];
  let shown = "";

  /** @param {string} key */
  const start = (key) => {
    life.end();
    life = scope.child();
    const { signal } = life;
    body.classList.add("stale");
    if (shown === "") state.showLoading("Loading…");
    const load = async () => {
      try {
        const found = await call(path`/v1/stages/${stage}`, { query: { by: key }, signal });
        show(found);
      } catch (error) {
        if (isAbort(error)) return;
        body.classList.add("stale");
        state.showError(error, () => reload());
      }
    };
    const reload = life.every(REFRESH_MS, load);
  };

  /** @param {import("./live.js").Count & {by: ByLabel<{viewers: number}>}} found */
  const show = (found) => {
    state.clear();
    body.classList.remove("stale");
    const { by, viewers } = found;
    const text = JSON.stringify([by, viewers, isComplete(found)]);
    // Most answers are the same, and a selection in the table stays.
    if (text === shown) return;
    shown = text;
    setChildren(
      body,
      by.values.length
        ? barTable(
            `Viewers by ${by.key}`,
            ["Value", "Viewers", "Share"],
            by.values.slice(0, ROWS_MAX).map((one) => {
              const share = viewers ? Math.min(1, one.viewers / viewers) : 0;
              const count = (isComplete(found) ? "" : "≈ ") + format.count(one.viewers);
              return [
                valueName(one.value),
                [{ text: count, part: share }, { text: format.percent(share) }],
              ];
            }),
          )
        : createElement("p", null, "No viewers by label now."),
    );
    const left = restText(by);
    rest.hidden = left === "";
    setText(rest, left);
  };

  return {
    element,
    /** @param {string[]} keys of the node's labels */
    setKeys(keys) {
      if (keys.join("\n") === known.join("\n")) return;
      known = keys;
      element.hidden = keys.length === 0;
      life.end();
      if (!keys.length) return;
      const key = keys.includes(chosen) ? chosen : keys[0];
      select.show(keys, key);
      start(key);
    },
  };
}
