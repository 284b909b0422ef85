/** List of a stage's broadcasts. A click selects one, and two can be ticked for a comparison. */

import { call, isAbort, path } from "./api.js";
import { createElement, setChildren, setText } from "./dom.js";
import * as format from "./format.js";
import { panel, responsiveTable, statusBox } from "./parts.js";

/** @typedef {import("./zone.js").Zone} Zone */
/** @typedef {import("./report-figures.js").Head} Head */
/** @typedef {Head & {from: number, to: number, ongoing: boolean}} Broadcast */

const DAY_MS = 86_400_000;
/** Days in which broadcasts are looked for: at first, and on request. */
const DAYS = [7, 30];
/** Each one is a report of the server. */
const BROADCASTS_MAX = 20;
/** Rows before the button that shows all. */
const ROWS = 4;

/**
 * @param {import("./scope.js").Scope} scope
 * @param {object} options
 * @param {(newest: Broadcast | undefined) => void} options.onLoad
 * @param {(broadcast: Broadcast) => void} options.onSelect
 * @param {(a: Broadcast, b: Broadcast) => void} options.onCompare the later one first
 */
export function broadcastList(scope, { onLoad, onSelect, onCompare }) {
  const status = statusBox();
  const table = createElement("div");
  const hint = createElement("span", { class: "hint" });
  const compare = createElement(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        const [b, a] = [...ticked].sort((x, y) => x - y).map((from) => find(from));
        if (a && b) onCompare(a, b);
      },
    },
    "Compare",
  );
  const all = createElement(
    "button",
    {
      type: "button",
      class: "plain-button",
      onclick: () => {
        isWhole = true;
        draw();
      },
    },
    "",
  );
  const earlier = createElement(
    "button",
    {
      type: "button",
      class: "plain-button",
      onclick: () => {
        days = DAYS[1];
        isWhole = true;
        void load();
      },
    },
    `Look back ${DAYS[1]} days`,
  );
  const element = panel(
    "Broadcasts",
    { class: "broadcasts no-print", end: [hint, compare] },
    status.element,
    table,
    createElement("div", { class: "tools" }, all, earlier),
  );

  /** @type {Broadcast[]} */
  let broadcasts = [];
  /** Starts of the ticked ones. @type {Set<number>} */
  const ticked = new Set();
  /** @type {{stage: string, from: number, to: number, zone: Zone} | null} */
  let shown = null;
  let days = DAYS[0];
  let end = 0;
  let isWhole = false;
  let isLoading = false;
  let loading = scope.child();
  const find = (/** @type {number} */ start) => broadcasts.find(({ from }) => from === start);

  const updateCompare = () => {
    compare.hidden = broadcasts.length < 2;
    compare.disabled = ticked.size !== 2;
    setText(hint, broadcasts.length < 2 || ticked.size === 2 ? "" : "Tick two to compare them");
    for (const box of table.querySelectorAll("input"))
      box.disabled = ticked.size === 2 && !box.checked;
  };

  const draw = () => {
    if (!shown) return;
    const { from, to, zone } = shown;
    const head = createElement(
      "thead",
      null,
      createElement(
        "tr",
        null,
        createElement("th", { scope: "col" }, "Broadcast"),
        ["Viewers", "Peak", "Watch time", "Compare"].map((title) =>
          createElement("th", { scope: "col", class: "num" }, title),
        ),
      ),
    );
    const rows = broadcasts.slice(0, isWhole ? undefined : ROWS).map((one) => {
      const name = zone.range(one.from, one.to);
      const isHere = one.from === from && (one.to === to || one.ongoing);
      const length = `${format.duration(one.to - one.from)}${one.ongoing ? ", still running" : ""}`;
      return createElement(
        "tr",
        { class: isHere ? "chosen" : null },
        createElement(
          "th",
          { scope: "row" },
          createElement(
            "button",
            {
              type: "button",
              class: "link-button",
              "aria-pressed": String(isHere),
              onclick: () => onSelect(one),
            },
            name,
          ),
          createElement("span", { class: "sub" }, length),
        ),
        createElement("td", { class: "num" }, format.count(one.uniqueViewers)),
        createElement("td", { class: "num" }, format.count(one.peakViewers)),
        createElement("td", { class: "num" }, format.duration(one.watchMs)),
        createElement(
          "td",
          { class: "num" },
          createElement("input", {
            type: "checkbox",
            "aria-label": `Compare ${name}`,
            checked: ticked.has(one.from),
            onchange: (/** @type {{target: HTMLInputElement}} */ { target }) => {
              if (target.checked) ticked.add(one.from);
              else ticked.delete(one.from);
              updateCompare();
            },
          }),
        ),
      );
    });
    const body = createElement("tbody", null, rows);
    // A redraw keeps the focus on the selected broadcast.
    const held = [...table.querySelectorAll("button")].findIndex((one) => one.matches(":focus"));
    setChildren(table, rows.length > 0 && responsiveTable("Broadcasts, newest first", head, body));
    if (held >= 0) table.querySelectorAll("button")[held]?.focus();
    all.hidden = isWhole || broadcasts.length <= ROWS;
    setText(all, `Show all ${broadcasts.length}`);
    earlier.hidden = days === DAYS[1];
    updateCompare();
  };

  const load = async () => {
    if (!shown) return;
    const { stage } = shown;
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    isLoading = true;
    status.showLoading("Looking for broadcasts…");
    try {
      const query = { from: end - days * DAY_MS, to: end, limit: BROADCASTS_MAX };
      const answer = await call(path`/v1/stages/${stage}/broadcasts`, { query, signal });
      broadcasts = answer.broadcasts;
      status.clear();
      if (!broadcasts.length) status.show(`No broadcast in ${days} days.`);
    } catch (error) {
      if (isAbort(error)) return;
      broadcasts = [];
      status.showError(error, () => void load());
    }
    isLoading = false;
    draw();
    onLoad(broadcasts.at(0));
  };

  return {
    element,
    /** Returns the newest broadcast that is known. */
    newest: () => broadcasts.at(0),
    /**
     * Shows a stage's broadcasts around a range.
     * @param {{stage: string, from: number, to: number, zone: Zone}} next
     * @param {number} now
     */
    show(next, now) {
      const isOther = next.stage !== shown?.stage;
      shown = next;
      element.hidden = next.stage === "";
      const isCovered = next.to <= end && next.to > end - days * DAY_MS;
      if (element.hidden) loading.end();
      else if (isOther || !isCovered) {
        if (isOther) {
          ticked.clear();
          broadcasts = [];
          days = DAYS[0];
          isWhole = false;
        }
        end = next.to > now - DAYS[0] * DAY_MS ? Math.max(now, next.to) : next.to + DAY_MS;
        void load();
      } else if (!isLoading) onLoad(broadcasts.at(0));
      draw();
    },
  };
}
