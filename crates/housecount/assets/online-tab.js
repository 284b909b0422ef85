/** Who watches a stage now, page by page. */

import { call, isAbort, path } from "./api.js";
import { now } from "./clock.js";
import { h, say } from "./dom.js";
import * as format from "./format.js";
import { state } from "./parts.js";
import { inWords, isWhole } from "./standing.js";
import { Table, asText } from "./table.js";

/** @typedef {{viewer: string, sessions: string[], lastBeatAt: number}} Online */

const PAGE_ROWS = 100;
const REFRESH_MS = 10_000;

/** @type {import("./table.js").Column<Online>[]} */
const COLUMNS = [
  { key: "viewer", title: "Viewer", sort: (row) => row.viewer, make: asText((row) => row.viewer) },
  {
    key: "players",
    title: "Sessions",
    hint: "The viewer's players that are online",
    class: "medium",
    sort: (row) => row.sessions.length,
    descends: true,
    make: asText((row) => row.sessions.map((name) => name || "(unnamed)").join(", ")),
  },
  {
    key: "beat",
    title: "Last beat",
    class: "num",
    sort: (row) => row.lastBeatAt,
    descends: true,
    make: asText((row) => `${format.span(now() - row.lastBeatAt)} ago`),
  },
];

/**
 * @param {import("./scope.js").Scope} scope
 * @param {string} stage
 */
export function onlineTab(scope, stage) {
  const table = new Table(scope, {
    label: "Viewers online now",
    columns: COLUMNS,
    sorted: { key: "viewer", descends: false },
  });
  const told = h("p", { class: "hint", role: "status" });
  const tableState = state();
  /** Where each page begins; the last one is the page that is shown. @type {(string | undefined)[]} */
  const starts = [undefined];
  /** @type {string | undefined} */
  let next;
  let isShown = false;

  const load = async () => {
    if (!isShown) return;
    const begin = starts.at(-1);
    try {
      const answer = await call(path`/v1/stages/${stage}/viewers`, {
        query: { limit: PAGE_ROWS, cursor: begin },
        signal: scope.signal,
      });
      // Somebody has turned the page meanwhile.
      if (begin !== starts.at(-1)) return;
      next = answer.cursor;
      tableState.clear();
      table.setRows(answer.viewers);
      table.setEmpty("Nobody is watching now.");
      const from = (starts.length - 1) * PAGE_ROWS;
      const range = answer.viewers.length
        ? `Viewers ${format.count(from + 1)} to ${format.count(from + answer.viewers.length)}, by name`
        : "";
      say(told, `${range}${isWhole(answer) ? "" : ` · ${inWords(answer).label}: somebody may be missing`}`);
    } catch (error) {
      if (!isAbort(error)) tableState.failed(error, refresh);
    }
    previousButton.disabled = starts.length === 1;
    nextButton.disabled = next === undefined;
  };
  const previousButton = h(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        starts.pop();
        refresh();
      },
    },
    "Previous",
  );
  const nextButton = h(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        starts.push(next);
        refresh();
      },
    },
    "Next",
  );
  const refresh = scope.every(REFRESH_MS, load);
  table.setEmpty("Loading…");

  const element = h(
    "div",
    { class: "stack" },
    tableState.element,
    table.element,
    h("div", { class: "tools" }, previousButton, nextButton, told),
  );
  const onShow = () => {
    isShown = true;
    refresh();
  };
  const onHide = () => (isShown = false);
  return { key: "online", title: "Online now", element, onShow, onHide };
}
