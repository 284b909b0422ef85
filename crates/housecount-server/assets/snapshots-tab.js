/** Tab with a stage's snapshots: its counts, saved every five minutes by default. */

import { call, isAbort, path } from "./api.js";
import { createElement, setText } from "./dom.js";
import * as format from "./format.js";
import { statusBox } from "./parts.js";
import { Table, asText } from "./table.js";

/** @typedef {{timestamp: number, viewers: number, sessions: number, peak: number, recovering: boolean}} Snapshot */

/** Pages of 1,000 snapshots: more than one week. */
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
    title: "Peak so far",
    class: "num medium",
    sort: (row) => row.peak,
    descends: true,
    make: asText((row) => format.count(row.peak)),
  },
  {
    key: "accuracy",
    title: "Accuracy",
    hint: "“may be high”: restored after a data loss",
    class: "medium",
    sort: (row) => Number(row.recovering),
    descends: true,
    make: asText((row) => (row.recovering ? "may be high" : "exact")),
  },
];

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 * @param {() => {from: number, to: number, title: string}} rangeNow
 */
export function snapshotsTab(scope, stage, rangeNow) {
  const table = new Table(scope, { label: "Snapshots", columns: COLUMNS, sorted: { key: "time", descends: true } });
  const summary = createElement("p", { class: "hint", role: "status" });
  const tableState = statusBox();
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
    tableState.showLoading("Reading snapshots…");
    try {
      for (let page = 0; page < PAGES_MAX && from !== undefined; page++) {
        const answer = await call(path`/v1/stages/${stage}/snapshots`, { query: { from }, signal: loading.signal });
        rows.push(...answer.snapshots);
        from = answer.nextFrom;
      }
      tableState.clear();
      table.setEmpty(`No snapshots in the last ${range.title}. Stages with viewers are saved every five minutes.`);
      table.setRows(rows);
      setText(
        summary,
        `${format.plural(rows.length, "snapshot")}${from === undefined ? "" : ", and more"}. Snapshots are kept for 30 days by default.`,
      );
    } catch (error) {
      if (!isAbort(error)) tableState.showError(error, () => void reload());
    }
  };
  const element = createElement("div", { class: "stack" }, tableState.element, table.element, summary);
  const onShow = () => {
    isShown = true;
    void reload();
  };
  return { key: "snapshots", title: "Snapshots", element, onShow, reload };
}
