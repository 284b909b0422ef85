/** A stage's snapshots: its counts as they were saved, every five minutes by default. */

import { call, isAbort, path } from "./api.js";
import { h, say } from "./dom.js";
import * as format from "./format.js";
import { state } from "./parts.js";
import { Table, asText } from "./table.js";

/** @typedef {{timestamp: number, viewers: number, sessions: number, peak: number, recovering: boolean}} Snapshot */

/** Of 1,000 each: more than a week of them. */
const PAGES_MAX = 10;

/** @type {import("./table.js").Column<Snapshot>[]} */
const COLUMNS = [
  {
    key: "time",
    title: "Taken",
    sort: (row) => row.timestamp,
    descends: true,
    make: asText((row) => format.moment(row.timestamp)),
  },
  {
    key: "viewers",
    title: "Viewers",
    class: "num",
    sort: (row) => row.viewers,
    descends: true,
    make: asText((row) => format.count(row.viewers)),
  },
  {
    key: "sessions",
    title: "Sessions",
    class: "num narrow",
    sort: (row) => row.sessions,
    descends: true,
    make: asText((row) => format.count(row.sessions)),
  },
  {
    key: "peak",
    title: "Peak until then",
    class: "num medium",
    sort: (row) => row.peak,
    descends: true,
    make: asText((row) => format.count(row.peak)),
  },
  {
    key: "standing",
    title: "Standing",
    hint: "Whether it was counted, or bridged after a loss",
    class: "medium",
    sort: (row) => Number(row.recovering),
    descends: true,
    make: asText((row) => (row.recovering ? "bridged" : "counted")),
  },
];

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {() => {from: number, to: number, title: string}} rangeNow
 */
export function snapshotsTab(scope, stage, rangeNow) {
  const table = new Table(scope, { label: "Snapshots", columns: COLUMNS, sorted: { key: "time", descends: true } });
  const told = h("p", { class: "hint", role: "status" });
  const tableState = state();
  let loading = scope.child();
  let isShown = false;

  const reload = async () => {
    if (!isShown) return;
    loading.end();
    loading = scope.child();
    const range = rangeNow();
    /** @type {number | undefined} */
    let from = range.from;
    /** @type {Snapshot[]} */
    const rows = [];
    tableState.loading("Reading snapshots…");
    try {
      for (let page = 0; page < PAGES_MAX && from !== undefined; page++) {
        const answer = await call(path`/v1/stages/${stage}/snapshots`, { query: { from }, signal: loading.signal });
        rows.push(...answer.snapshots);
        from = answer.nextFrom;
      }
      tableState.clear();
      table.setEmpty(
        `No snapshot was taken in the last ${range.title} while anybody watched. Active stages are saved every five minutes.`,
      );
      table.setRows(rows);
      say(
        told,
        `${format.plural(rows.length, "snapshot")}${from === undefined ? "" : ", and more after them"}. They are kept for 30 days unless set otherwise.`,
      );
    } catch (error) {
      if (!isAbort(error)) tableState.failed(error, () => void reload());
    }
  };
  const element = h("div", { class: "stack" }, tableState.element, table.element, told);
  const onShow = () => {
    isShown = true;
    void reload();
  };
  return { key: "snapshots", title: "Snapshots", element, onShow, reload };
}
