/** CSV export of the watch table, fetched page by page; and the command for larger exports. */

import { Problem, isAbort, pages, path } from "./api.js";
import { now } from "./clock.js";
import { csvText, fileWord, saveCsv } from "./csv.js";
import { setChildren, createElement, icon, setText } from "./dom.js";
import * as format from "./format.js";
import { problemHint, copyableCode } from "./parts.js";
import { coverageText } from "./count-status.js";

/** Most rows of an export in the browser, which keeps them in memory. `housecount export` has no limit. */
const ROWS_MAX = 500_000;

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {() => {from: number, to: number, title: string}} rangeOf range of the table
 */
export function exportButton(scope, stage, rangeOf) {
  const progress = createElement("progress", { hidden: true, "aria-label": "Export" });
  const statusNote = createElement("span", { class: "hint", role: "status" });
  const cancel = createElement("button", { type: "button", hidden: true }, "Cancel");
  const start = createElement("button", { type: "button", onclick: () => void run() }, icon("down"), "Export CSV");
  const command = createElement("div");

  const run = async () => {
    const life = scope.child();
    const range = { from: rangeOf().from, to: now() };
    const end = () => life.end();
    cancel.addEventListener("click", end, { once: true });
    start.disabled = true;
    progress.hidden = cancel.hidden = false;
    try {
      const { lines, coverage } = await fetchRows(stage, range, life.signal, (rows) =>
        setText(statusNote, `${format.plural(rows, "row")} so far`),
      );
      saveCsv(lines, fileName(stage, range));
      setText(statusNote, `${format.plural(lines.length - 1, "row")} saved. ${coverageText(coverage, now())}`);
    } catch (error) {
      if (scope.isOver) return;
      setText(statusNote, isAbort(error) ? "Cancelled; nothing was saved." : problemHint(error));
    } finally {
      life.end();
      cancel.removeEventListener("click", end);
      start.disabled = false;
      progress.hidden = cancel.hidden = true;
    }
  };

  const details = createElement(
    "details",
    null,
    createElement("summary", null, "For large ranges: the command"),
    command,
  );
  scope.on(details, "toggle", () => {
    const { from } = rangeOf();
    if (details.open)
      setChildren(
        command,
        createElement(
          "p",
          { class: "hint" },
          "It exports from the ledger, on the machine where housecount runs, without a limit, also as NDJSON and Parquet:",
        ),
        copyableCode(commandFor(stage, from, now()), "export command"),
      );
  });
  return createElement(
    "div",
    { class: "export" },
    createElement("div", { class: "tools" }, start, progress, cancel, statusNote),
    details,
  );
}

/**
 * @param {string} stage
 * @param {{from: number, to: number}} range
 * @param {AbortSignal} signal
 * @param {(rows: number) => void} onRows
 */
async function fetchRows(stage, range, signal, onRows) {
  // Same columns and formula guard as `housecount export`. Its `--csv raw` writes ids unchanged, for programs.
  const lines = ["stage,viewer,watch_ms,first_at_ms,last_at_ms"];
  let coverage = null;
  const { from, to } = range;
  for await (const page of pages(path`/v1/stages/${stage}/watch`, { query: { from, to }, signal })) {
    for (const row of page.watch)
      lines.push([csvText(stage), csvText(row.viewer), row.watchMs, row.firstAt, row.lastAt].join(","));
    coverage = page;
    onRows(lines.length - 1);
    if (lines.length > ROWS_MAX)
      throw new Problem(0, "too_many_rows", `More than ${format.count(ROWS_MAX)} rows: use the command below.`);
  }
  return { lines, coverage };
}

/**
 * @param {string} stage
 * @param {{from: number, to: number}} range
 */
function fileName(stage, { from, to }) {
  const stamp = (/** @type {number} */ ms) => new Date(ms).toISOString().slice(0, 16).replaceAll(":", "");
  return `watch-${fileWord(stage)}-${stamp(from)}-${stamp(to)}.csv`;
}

/**
 * @param {string} stage
 * @param {number} from
 * @param {number} to
 */
function commandFor(stage, from, to) {
  const time = (/** @type {number} */ ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const word = /^[\w.:/-]+$/.test(stage) ? stage : `'${stage.replaceAll("'", `'\\''`)}'`;
  return `housecount export --from ${time(from)} --to ${time(to)} \\\n  --stage ${word} --format csv --out watch.csv --partial`;
}
