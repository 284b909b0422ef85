/** Tab with a stage's online viewers, in pages. */

import { call, isAbort, path } from "./api.js";
import { now } from "./clock.js";
import { createElement, setText } from "./dom.js";
import * as format from "./format.js";
import { statusBox } from "./parts.js";
import { statusText, isComplete } from "./count-status.js";
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
    hint: "The viewer's online players",
    class: "medium",
    sort: (row) => row.sessions.length,
    descends: true,
    make: asText((row) => row.sessions.map((name) => name || "(unnamed)").join(", ")),
  },
  {
    key: "beat",
    title: "Last heartbeat",
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
  const rangeNote = createElement("p", { class: "hint", role: "status" });
  const tableState = statusBox();
  /** Cursors of the pages up to the shown one, which is the last. @type {(string | undefined)[]} */
  const cursors = [undefined];
  /** @type {string | undefined} */
  let nextCursor;
  let isShown = false;

  const load = async () => {
    if (!isShown) return;
    const cursor = cursors.at(-1);
    try {
      const answer = await call(path`/v1/stages/${stage}/viewers`, {
        query: { limit: PAGE_ROWS, cursor },
        signal: scope.signal,
      });
      // The operator has changed the page meanwhile.
      if (cursor !== cursors.at(-1)) return;
      nextCursor = answer.cursor;
      tableState.clear();
      table.setRows(answer.viewers);
      table.setEmpty("No viewers online.");
      const from = (cursors.length - 1) * PAGE_ROWS;
      const range = answer.viewers.length
        ? `Viewers ${format.count(from + 1)} to ${format.count(from + answer.viewers.length)}, by name`
        : "";
      setText(
        rangeNote,
        `${range}${isComplete(answer) ? "" : ` · ${statusText(answer).label}: viewers may be missing`}`,
      );
    } catch (error) {
      if (!isAbort(error)) tableState.showError(error, refresh);
    }
    previousButton.disabled = cursors.length === 1;
    nextButton.disabled = nextCursor === undefined;
  };
  const previousButton = createElement(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        cursors.pop();
        refresh();
      },
    },
    "Previous",
  );
  const nextButton = createElement(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        cursors.push(nextCursor);
        refresh();
      },
    },
    "Next",
  );
  const refresh = scope.every(REFRESH_MS, load);
  table.setEmpty("Loading…");

  const element = createElement(
    "div",
    { class: "stack" },
    tableState.element,
    table.element,
    createElement("div", { class: "tools" }, previousButton, nextButton, rangeNote),
  );
  const onShow = () => {
    isShown = true;
    refresh();
  };
  const onHide = () => (isShown = false);
  return { key: "online", title: "Online now", element, onShow, onHide };
}
