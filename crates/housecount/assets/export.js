/** The watch table as CSV, put together in the browser page by page; and the command for what is too large for that. */

import { Problem, isAbort, pages, path } from "./api.js";
import { now } from "./clock.js";
import { fill, h, icon, say } from "./dom.js";
import * as format from "./format.js";
import { adviceOn, code } from "./parts.js";
import { coverInWords } from "./standing.js";

/** More rows than this are for `housecount export`: here they would all lie in memory. */
const ROWS_MAX = 500_000;

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {() => {from: number, to: number, title: string}} rangeOf what the table shows
 */
export function exportButton(scope, stage, rangeOf) {
  const progress = h("progress", { hidden: true, "aria-label": "Export" });
  const told = h("span", { class: "hint", role: "status" });
  const cancel = h("button", { type: "button", hidden: true }, "Cancel");
  const start = h("button", { type: "button", onclick: () => void run() }, icon("down"), "Export CSV");
  const command = h("div");

  const run = async () => {
    const life = scope.child();
    const range = { from: rangeOf().from, to: now() };
    const begun = () => life.end();
    cancel.addEventListener("click", begun, { once: true });
    start.disabled = true;
    progress.hidden = cancel.hidden = false;
    try {
      const { lines, cover } = await collect(stage, range, life.signal, (rows) =>
        say(told, `${format.plural(rows, "row")} so far`),
      );
      save(lines, fileName(stage, range));
      say(told, `${format.plural(lines.length - 1, "row")} saved. ${coverInWords(cover, now())}`);
    } catch (error) {
      if (scope.isOver) return;
      say(told, isAbort(error) ? "Cancelled; nothing was saved." : adviceOn(error));
    } finally {
      life.end();
      cancel.removeEventListener("click", begun);
      start.disabled = false;
      progress.hidden = cancel.hidden = true;
    }
  };

  const details = h("details", null, h("summary", null, "For large ranges: the command"), command);
  scope.on(details, "toggle", () => {
    const { from } = rangeOf();
    if (details.open)
      fill(
        command,
        h(
          "p",
          { class: "hint" },
          "It writes what is in the ledger, on the machine where housecount runs, at any length, also as NDJSON and Parquet:",
        ),
        code(commandFor(stage, from, now()), "export command"),
      );
  });
  return h("div", { class: "export" }, h("div", { class: "tools" }, start, progress, cancel, told), details);
}

/**
 * @param {string} stage
 * @param {{from: number, to: number}} range
 * @param {AbortSignal} signal
 * @param {(rows: number) => void} onRows
 */
async function collect(stage, range, signal, onRows) {
  // The columns and the guard are those of `housecount export`; programs take `--csv raw`, with every id as it is.
  const lines = ["stage,viewer,watch_ms,first_at_ms,last_at_ms"];
  let cover = null;
  const { from, to } = range;
  for await (const page of pages(path`/v1/stages/${stage}/watch`, { query: { from, to }, signal })) {
    for (const row of page.watch)
      lines.push([field(stage), field(row.viewer), row.watchMs, row.firstAt, row.lastAt].join(","));
    cover = page;
    onRows(lines.length - 1);
    if (lines.length > ROWS_MAX)
      throw new Problem(
        0,
        "too_many_rows",
        `These are more than ${format.count(ROWS_MAX)} rows: use the command below.`,
      );
  }
  return { lines, cover };
}

/** A text: one that a spreadsheet would run as a formula begins with '. @param {string} text */
const field = (text) => quoted(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);

/** RFC 4180. @param {string} text */
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * @param {string[]} lines
 * @param {string} name
 */
function save(lines, name) {
  const url = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  // The download has begun; the browser holds the blob for itself.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * @param {string} stage
 * @param {{from: number, to: number}} range
 */
function fileName(stage, { from, to }) {
  const stamp = (/** @type {number} */ ms) => new Date(ms).toISOString().slice(0, 16).replaceAll(":", "");
  return `watch-${stage.replaceAll(/[^\w.-]+/g, "_").slice(-80)}-${stamp(from)}-${stamp(to)}.csv`;
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
