/** Stage table of the overview. Owns the known data of each stage. */

import { createElement, setText } from "./dom.js";
import * as format from "./format.js";
import { problemHint, panel, searchField } from "./parts.js";
import { spark } from "./spark.js";
import { setCountText } from "./count-status.js";
import { Table, asText } from "./table.js";

/**
 * @typedef {object} Stage
 * @property {string} stage
 * @property {string} [name]
 * @property {string} [customer]
 * @property {Record<string, string>} [tags]
 * @property {number} viewers
 * @property {number} sessions
 * @property {number} peak
 * @property {number} asOf
 * @property {boolean} complete
 * @property {boolean} recovering
 */

/** @typedef {Stage & {searchText: string, spark?: number[], todayMs?: number}} Row */

/** Returns the URL of a stage's page. @param {string} stage */
export const stageUrl = (stage) => `#/stage/${encodeURIComponent(stage)}`;

/** @param {Stage} stage */
const searchTextOf = ({ stage, name, customer, tags }) =>
  [stage, name, customer, ...Object.entries(tags ?? {}).map(([key, value]) => `${key}=${value}`)]
    .join("\n")
    .toLowerCase();

/** @returns {import("./table.js").Column<Row>[]} */
const columns = () => [
  {
    key: "stage",
    title: "Stage",
    sort: (row) => row.name ?? row.stage,
    make: () => {
      const link = createElement("a", { class: "stage-link" });
      const id = createElement("span", { class: "sub" });
      const draw = (/** @type {HTMLElement} */ cell, /** @type {Row} */ row) => {
        const address = stageUrl(row.stage);
        if (link.getAttribute("href") !== address) link.setAttribute("href", address);
        setText(link, row.name ?? row.stage);
        setText(id, row.name ? row.stage : "");
        if (cell.title !== row.stage) cell.title = row.stage;
      };
      return { cell: createElement("div", { class: "two" }, link, id), draw };
    },
  },
  {
    key: "customer",
    title: "Customer",
    class: "wide",
    sort: (row) => row.customer ?? "",
    make: asText((row) => row.customer ?? ""),
  },
  {
    key: "viewers",
    title: "Now",
    hint: "Distinct viewers online",
    class: "num count",
    descends: true,
    sort: (row) => row.viewers,
    make: () => ({ cell: null, draw: (cell, row) => setCountText(cell, row.viewers, row) }),
  },
  {
    key: "spark",
    title: "Last hour",
    hint: "Billable concurrent viewers; each line has its own scale",
    class: "medium",
    make: () => {
      const { element, draw } = spark();
      return { cell: element, draw: (_, row) => draw(row.spark) };
    },
  },
  {
    key: "peak",
    title: "Peak",
    hint: "Most concurrent viewers, as far as known",
    class: "num narrow",
    descends: true,
    sort: (row) => row.peak,
    make: asText((row) => format.count(row.peak)),
  },
  {
    key: "hours",
    title: "Hours today",
    hint: "Billable watch time since midnight, in hours",
    class: "num",
    descends: true,
    sort: (row) => row.todayMs ?? -1,
    make: asText((row) => (row.todayMs === undefined ? format.NONE : format.hours(row.todayMs))),
  },
];

/** @param {import("./scope.js").Scope} scope */
export function stageTable(scope) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  const table = new Table(scope, { label: "Stages", columns: columns(), sorted: { key: "viewers", descends: true } });
  const summary = createElement("span", { class: "hint", role: "status" });
  const missingNamesNote = createElement(
    "p",
    { class: "hint", hidden: true },
    "The cold tier is unavailable: counts are exact, but names and stages without viewers are missing.",
  );
  /** @type {Map<string, number> | null} */
  let today = null;
  /** @type {Map<string, number[]> | null} */
  let sparks = null;
  let query = "";

  const updateSummary = () => {
    if (query) table.setEmpty(`No stage has “${query}” in its id, name, customer or tags.`);
    else table.setEmpty("No stages: none is configured or watched.");
    setText(
      summary,
      query
        ? `${format.count(table.length)} of ${format.plural(rows.size, "stage")}`
        : format.plural(rows.size, "stage"),
    );
  };
  const field = searchField("Search stages", (words) => {
    query = words;
    table.setFilter(words ? (row) => row.searchText.includes(words) : null);
    updateSummary();
  });
  scope.on(document, "keydown", (event) => {
    const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    field.focus();
  });
  table.setEmpty("Loading…");

  const reset = () => {
    table.setRows([...rows.values()]);
    updateSummary();
  };
  // A stream begins with the counts of all stages: sort once for all of them.
  const resetSoon = scope.frame(reset);
  /** @param {Row} row */
  const addWatchData = (row) => {
    if (today) row.todayMs = today.get(row.stage) ?? 0;
    if (sparks) row.spark = sparks.get(row.stage);
  };

  /**
   * @param {Stage} stage
   * @param {Row | undefined} known its row so far, whose newer live count is kept
   */
  const rowOf = (stage, known) => {
    const live = known && known.asOf > stage.asOf ? countOf(known) : {};
    const row = { ...stage, ...live, searchText: searchTextOf(stage) };
    row.peak = Math.max(row.peak, row.viewers);
    addWatchData(row);
    return row;
  };

  return {
    element: panel("Stages", { class: "stages", end: [summary, field] }, missingNamesNote, table.element),
    get isEmpty() {
      return rows.size === 0;
    },
    /**
     * Sets the configured and watched stages. Newer live counts are kept.
     * @param {Stage[]} listed
     * @param {number} asOf time of the list
     */
    setStages(listed, asOf) {
      const before = new Map(rows);
      rows.clear();
      for (const stage of listed) {
        rows.set(stage.stage, rowOf(stage, before.get(stage.stage)));
      }
      // New stages since the list was made.
      for (const [id, row] of before) if (!rows.has(id) && row.asOf > asOf) rows.set(id, row);
      reset();
    },
    /**
     * Applies a live count.
     * @param {import("./live.js").Count} count
     * @returns {boolean} whether the stage was known
     */
    count(count) {
      const known = rows.get(count.stage);
      if (known) {
        Object.assign(known, countOf(count));
        known.peak = Math.max(known.peak, count.viewers);
        table.refresh();
        return true;
      }
      const row = { ...count, peak: count.viewers, searchText: count.stage.toLowerCase() };
      addWatchData(row);
      rows.set(count.stage, row);
      resetSoon();
      return false;
    },
    /**
     * Adds a stage's name and configuration.
     * @param {Stage} stage
     */
    setStage(stage) {
      rows.set(stage.stage, rowOf(stage, rows.get(stage.stage)));
      resetSoon();
    },
    /** @param {Map<string, number>} watchMs by stage */
    setHours(watchMs) {
      today = watchMs;
      for (const row of rows.values()) addWatchData(row);
      table.refresh();
    },
    /** @param {Map<string, number[]>} viewers by stage */
    setSparks(viewers) {
      sparks = viewers;
      for (const row of rows.values()) addWatchData(row);
      table.refresh();
    },
    /** @param {boolean} known */
    setConfigurationKnown(known) {
      missingNamesNote.hidden = known;
    },
    /** Shows that no connection has succeeded yet. */
    showDisconnected() {
      table.setEmpty("No data yet: not connected.");
    },
    /**
     * @param {unknown} error
     * @param {() => void} retry
     */
    showError(error, retry) {
      table.setEmpty(problemHint(error), " ", createElement("button", { type: "button", onclick: retry }, "Try again"));
    },
  };
}

/** @param {Stage | import("./live.js").Count} from */
const countOf = ({ viewers, sessions, asOf, complete, recovering }) => ({
  viewers,
  sessions,
  asOf,
  complete,
  recovering,
});
