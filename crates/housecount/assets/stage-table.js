/** The overview's table of stages. Owns what is known about each. */

import { h, say } from "./dom.js";
import * as format from "./format.js";
import { adviceOn, panel, search } from "./parts.js";
import { spark } from "./spark.js";
import { sayCount } from "./standing.js";
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

/** @typedef {Stage & {words: string, spark?: number[], todayMs?: number}} Row */

/** Where a stage's page is. @param {string} stage */
export const addressOf = (stage) => `#/stage/${encodeURIComponent(stage)}`;

/** @param {Stage} stage */
const wordsOf = ({ stage, name, customer, tags }) =>
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
      const link = h("a", { class: "stage-link" });
      const id = h("span", { class: "sub" });
      const draw = (/** @type {HTMLElement} */ cell, /** @type {Row} */ row) => {
        const address = addressOf(row.stage);
        if (link.getAttribute("href") !== address) link.setAttribute("href", address);
        say(link, row.name ?? row.stage);
        say(id, row.name ? row.stage : "");
        if (cell.title !== row.stage) cell.title = row.stage;
      };
      return { cell: h("div", { class: "two" }, link, id), draw };
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
    make: () => ({ cell: null, draw: (cell, row) => sayCount(cell, row.viewers, row) }),
  },
  {
    key: "spark",
    title: "Last hour",
    hint: "Proven viewers at once, each line on a scale of its own",
    class: "medium",
    make: () => {
      const { element, draw } = spark();
      return { cell: element, draw: (_, row) => draw(row.spark) };
    },
  },
  {
    key: "peak",
    title: "Peak",
    hint: "The most at once, as far as is known",
    class: "num narrow",
    descends: true,
    sort: (row) => row.peak,
    make: asText((row) => format.count(row.peak)),
  },
  {
    key: "hours",
    title: "Hours today",
    hint: "Proven watch time since midnight, in hours",
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
  const shown = h("span", { class: "hint", role: "status" });
  const names = h(
    "p",
    { class: "hint", hidden: true },
    "The cold tier is away: counts are right, but names are missing, and stages that nobody watches.",
  );
  /** @type {Map<string, number> | null} */
  let today = null;
  /** @type {Map<string, number[]> | null} */
  let sparks = null;
  let wanted = "";

  const tell = () => {
    if (wanted) table.setEmpty(`No stage has “${wanted}” in its id, name, customer or tags.`);
    else table.setEmpty("No stage is configured, and nobody is watching.");
    say(
      shown,
      wanted
        ? `${format.count(table.length)} of ${format.plural(rows.size, "stage")}`
        : format.plural(rows.size, "stage"),
    );
  };
  const field = search("Search stages", (words) => {
    wanted = words;
    table.setFilter(words ? (row) => row.words.includes(words) : null);
    tell();
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
    tell();
  };
  // A stream begins with all stages at once.
  const resetSoon = scope.frame(reset);
  /** @param {Row} row */
  const dress = (row) => {
    if (today) row.todayMs = today.get(row.stage) ?? 0;
    if (sparks) row.spark = sparks.get(row.stage);
  };

  return {
    element: panel("Stages", { class: "stages", end: [shown, field] }, names, table.element),
    get isEmpty() {
      return rows.size === 0;
    },
    /**
     * All that are configured or watched. A count that was heard later than theirs stays.
     * @param {Stage[]} listed
     * @param {number} asOf when the list was so
     */
    setStages(listed, asOf) {
      const before = new Map(rows);
      rows.clear();
      for (const stage of listed) {
        const known = before.get(stage.stage);
        const live = known && known.asOf > stage.asOf ? countOf(known) : {};
        const row = { ...stage, ...live, words: wordsOf(stage) };
        row.peak = Math.max(row.peak, row.viewers);
        dress(row);
        rows.set(stage.stage, row);
      }
      // Opened while the list was on its way.
      for (const [id, row] of before) if (!rows.has(id) && row.asOf > asOf) rows.set(id, row);
      reset();
    },
    /**
     * A count of one.
     * @param {import("./live.js").Count} count
     * @returns {boolean} whether it was known
     */
    count(count) {
      const row = rows.get(count.stage);
      if (row) {
        Object.assign(row, countOf(count));
        row.peak = Math.max(row.peak, count.viewers);
        table.refresh();
        return true;
      }
      const fresh = { ...count, peak: count.viewers, words: count.stage.toLowerCase() };
      dress(fresh);
      rows.set(count.stage, fresh);
      resetSoon();
      return false;
    },
    /** @param {Map<string, number>} found */
    setHours(found) {
      today = found;
      for (const row of rows.values()) dress(row);
      table.refresh();
    },
    /** @param {Map<string, number[]>} found */
    setSparks(found) {
      sparks = found;
      for (const row of rows.values()) dress(row);
      table.refresh();
    },
    /** @param {boolean} known */
    setConfigurationKnown(known) {
      names.hidden = known;
    },
    /** There is no connection, and never was. */
    unknown() {
      table.setEmpty("Nothing is known yet: there is no connection.");
    },
    /**
     * @param {unknown} error
     * @param {() => void} again
     */
    failed(error, again) {
      table.setEmpty(adviceOn(error), " ", h("button", { type: "button", onclick: again }, "Try again"));
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
