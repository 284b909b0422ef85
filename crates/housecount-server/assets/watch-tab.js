/** Tab with a stage's watch time by viewer, and its export. */

import { Problem, call, isAbort, path } from "./api.js";
import { now } from "./clock.js";
import { createElement, setText } from "./dom.js";
import { exportButton } from "./export.js";
import * as format from "./format.js";
import { searchField, statusBox } from "./parts.js";
import { coverageText } from "./count-status.js";
import { Table, asText } from "./table.js";

/** @typedef {{viewer: string, watchMs: number, firstAt: number, lastAt: number}} WatchRow */

const PAGE_ROWS = 1_000;

/** @type {import("./table.js").Column<WatchRow>[]} */
const COLUMNS = [
  { key: "viewer", title: "Viewer", sort: (row) => row.viewer, make: asText((row) => row.viewer) },
  {
    key: "watched",
    title: "Watch time",
    hint: "Billable watch time: hours, minutes, seconds",
    class: "num",
    descends: true,
    sort: (row) => row.watchMs,
    make: asText((row) => format.watched(row.watchMs)),
  },
  {
    key: "first",
    title: "From",
    hint: "Start of the first billable time",
    class: "num medium",
    descends: true,
    sort: (row) => row.firstAt,
    make: asText((row) => format.when(row.firstAt, now())),
  },
  {
    key: "last",
    title: "To",
    hint: "End of the last billable time",
    class: "num narrow",
    descends: true,
    sort: (row) => row.lastAt,
    make: asText((row) => format.when(row.lastAt, now())),
  },
];

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {() => {from: number, to: number, title: string}} rangeNow
 */
export function watchTab(scope, stage, rangeNow) {
  const table = new Table(scope, {
    label: "Watch time by viewer",
    columns: COLUMNS,
    sorted: { key: "watched", descends: true },
  });
  const summary = createElement("p", { class: "hint", role: "status" });
  const coverageNote = createElement("p", { class: "hint" });
  const moreButton = createElement("button", { type: "button", hidden: true, onclick: () => void load() }, "Load more");
  const tableState = statusBox();
  let range = rangeNow();
  /** @type {WatchRow[]} */
  let rows = [];
  /** @type {string | undefined} */
  let cursor;
  let query = "";
  /** Whether the pages come by watch time. The server ranks at most 1,000,000 viewers. */
  let isRanked = true;
  /** Scope of the current load, which the next load ends. */
  let loading = scope.child();

  const updateSummary = () => {
    const loaded =
      cursor === undefined
        ? format.plural(rows.length, "viewer")
        : isRanked
          ? `the ${format.plural(rows.length, "viewer")} with the longest watch time`
          : `the first ${format.plural(rows.length, "viewer")}, by name`;
    const elsewhere = cursor === undefined ? "" : " Load more viewers to search them too.";
    if (query) table.setEmpty(`No viewer with “${query}” among ${loaded}.${elsewhere}`);
    else
      table.setEmpty(`No billable watch time in the last ${range.title}. Two heartbeats prove the time between them.`);
    const shown = query ? `${format.count(table.length)} of ${loaded}` : `${loaded[0].toUpperCase()}${loaded.slice(1)}`;
    setText(summary, `${shown}, as of ${format.timeOfDaySeconds(range.to)}`);
  };
  const field = searchField("Search viewers", (typed) => {
    query = typed;
    table.setFilter(query ? (row) => row.viewer.toLowerCase().includes(query) : null);
    updateSummary();
  });

  const load = async () => {
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    moreButton.disabled = true;
    if (!rows.length) {
      tableState.showLoading("Reading the ledger…");
      table.element.hidden = true;
    }
    try {
      const answer = await call(path`/v1/stages/${stage}/watch`, {
        query: {
          from: range.from,
          to: range.to,
          limit: PAGE_ROWS,
          cursor,
          sort: isRanked ? "watchMs" : undefined,
        },
        signal,
      });
      rows = rows.concat(answer.watch);
      cursor = answer.cursor;
      tableState.clear();
      table.element.hidden = false;
      table.setRows(rows);
      updateSummary();
      setText(coverageNote, coverageText(answer, now()));
    } catch (error) {
      if (isAbort(error)) return;
      if (isRanked && !rows.length && error instanceof Problem && error.code === "invalid_query") {
        isRanked = false;
        return load();
      }
      tableState.showError(error, () => void load());
    }
    moreButton.hidden = cursor === undefined;
    moreButton.disabled = false;
  };
  let isShown = false;
  const reload = () => {
    // A hidden tab skips the call, which reads the ledger.
    if (!isShown) return;
    range = rangeNow();
    isRanked = true;
    rows = [];
    cursor = undefined;
    void load();
  };
  const onShow = () => {
    if (isShown) return;
    isShown = true;
    reload();
  };

  const tools = createElement(
    "div",
    { class: "tools" },
    field,
    summary,
    createElement("button", { type: "button", onclick: reload }, "Refresh"),
  );
  const element = createElement(
    "div",
    { class: "stack" },
    tools,
    tableState.element,
    table.element,
    createElement("div", { class: "tools" }, moreButton, coverageNote),
    exportButton(scope, stage, () => range),
  );
  return { key: "watch", title: "Watch time", element, onShow, reload };
}
