/** Who watched a stage, and how long; and the same as a file. */

import { call, isAbort, path } from "./api.js";
import { now } from "./clock.js";
import { h, say } from "./dom.js";
import { exportButton } from "./export.js";
import * as format from "./format.js";
import { search, state } from "./parts.js";
import { coverInWords } from "./standing.js";
import { Table, asText } from "./table.js";

/** @typedef {{viewer: string, watchMs: number, firstAt: number, lastAt: number}} Watched */

const PAGE_ROWS = 1_000;

/** @type {import("./table.js").Column<Watched>[]} */
const COLUMNS = [
  { key: "viewer", title: "Viewer", sort: (row) => row.viewer, make: asText((row) => row.viewer) },
  {
    key: "watched",
    title: "Watched",
    hint: "Proven watch time: hours, minutes, seconds",
    class: "num",
    descends: true,
    sort: (row) => row.watchMs,
    make: asText((row) => format.watched(row.watchMs)),
  },
  {
    key: "first",
    title: "From",
    hint: "When the first of it began",
    class: "num medium",
    descends: true,
    sort: (row) => row.firstAt,
    make: asText((row) => format.when(row.firstAt, now())),
  },
  {
    key: "last",
    title: "To",
    hint: "When the last of it ended",
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
  const found = h("p", { class: "hint", role: "status" });
  const cover = h("p", { class: "hint" });
  const more = h("button", { type: "button", hidden: true, onclick: () => void load() }, "Load more");
  const tableState = state();
  let range = rangeNow();
  /** @type {Watched[]} */
  let rows = [];
  /** @type {string | undefined} */
  let cursor;
  let words = "";
  /** A load that is under way ends when another one begins. */
  let loading = scope.child();

  const tell = () => {
    const loaded =
      cursor === undefined
        ? format.plural(rows.length, "viewer")
        : `the first ${format.plural(rows.length, "viewer")}, by name`;
    const elsewhere = cursor === undefined ? "" : " There are more: load them to search them too.";
    if (words) table.setEmpty(`No viewer with “${words}” among ${loaded}.${elsewhere}`);
    else
      table.setEmpty(
        `Nobody's watch time is proven in the last ${range.title}. Two heartbeats prove the time between them.`,
      );
    const shown = words ? `${format.count(table.length)} of ${loaded}` : `${loaded[0].toUpperCase()}${loaded.slice(1)}`;
    say(found, `${shown}, as of ${format.timeOfDaySeconds(range.to)}`);
  };
  const field = search("Search viewers", (typed) => {
    words = typed;
    table.setFilter(words ? (row) => row.viewer.toLowerCase().includes(words) : null);
    tell();
  });

  const load = async () => {
    loading.end();
    loading = scope.child();
    const { signal } = loading;
    more.disabled = true;
    if (!rows.length) {
      tableState.loading("Reading the ledger…");
      table.element.hidden = true;
    }
    try {
      const answer = await call(path`/v1/stages/${stage}/watch`, {
        query: { from: range.from, to: range.to, limit: PAGE_ROWS, cursor },
        signal,
      });
      rows = rows.concat(answer.watch);
      cursor = answer.cursor;
      tableState.clear();
      table.element.hidden = false;
      table.setRows(rows);
      tell();
      say(cover, coverInWords(answer, now()));
    } catch (error) {
      if (isAbort(error)) return;
      tableState.failed(error, () => void load());
    }
    more.hidden = cursor === undefined;
    more.disabled = false;
  };
  let isShown = false;
  const reload = () => {
    // It is read from the ledger, which is not for nothing.
    if (!isShown) return;
    range = rangeNow();
    rows = [];
    cursor = undefined;
    void load();
  };
  const onShow = () => {
    if (isShown) return;
    isShown = true;
    reload();
  };

  const tools = h("div", { class: "tools" }, field, found, h("button", { type: "button", onclick: reload }, "Refresh"));
  const element = h(
    "div",
    { class: "stack" },
    tools,
    tableState.element,
    table.element,
    h("div", { class: "tools" }, more, cover),
    exportButton(scope, stage, () => range),
  );
  return { key: "watch", title: "Watch time", element, onShow, reload };
}
