/** Wall display: one count that can be read across a room, for a television. Always dark. */

import { call, isAbort, path } from "./api.js";
import { provenHistory } from "./chart.js";
import { now } from "./clock.js";
import { isComplete, setCountText, statusText } from "./count-status.js";
import { createElement, setText } from "./dom.js";
import * as format from "./format.js";
import { connection, followCounts, totalsRing } from "./live.js";
import { Ring } from "./ring.js";
import { spark } from "./spark.js";

/** @typedef {{viewers: number} & Required<import("./count-status.js").CountStatus>} Shown */

const HOUR_MS = 3_600_000;
const STEP_MS = 30_000;
const HISTORY_MS = 300_000;

/** @type {import("./app.js").MakePage} */
export function wall(scope, { query }) {
  const stage = query.get("stage") ?? "";
  const ring = stage ? new Ring() : totalsRing;
  const title = createElement("h1", { tabindex: -1, class: "wall-title" }, stage || "All stages");
  const count = createElement("strong", { class: "wall-count" }, format.NONE);
  const caption = createElement("span", { class: "wall-caption" }, "viewers now");
  const status = createElement("p", { class: "wall-status" });
  const curve = spark("viewers at once");
  const range = createElement("p", { class: "wall-range" });
  let shown = /** @type {Shown | null} */ (null);
  /** @type {import("./chart.js").History | null} */
  let past = null;

  const draw = scope.frame(() => {
    const isFresh = connection.state === "live" || connection.state === "polling";
    count.classList.toggle("old", !isFresh);
    if (!shown) {
      setText(status, connection.state === "opening" ? "Connecting…" : connection.why);
      return;
    }
    setCountText(count, shown.viewers, shown);
    // The digits fill the width, whatever their number is.
    count.style.setProperty("--digits", String(Math.max(3, count.textContent?.length ?? 3)));
    setText(caption, shown.viewers === 1 ? "viewer now" : "viewers now");
    setText(status, statusLine(shown, isFresh));
    status.classList.toggle("bad", !isFresh || !isComplete(shown));
    const values = lastHour(past, ring, now(), isFresh ? shown.viewers : null);
    curve.draw(values);
    const known = values.filter((value) => value !== null);
    const most = Math.round(Math.max(...known, shown.viewers));
    setText(range, known.length > 1 ? `Last hour: at most ${format.count(most)} at once` : "");
  });

  const loadHistory = async () => {
    const where = stage ? path`/v1/stages/${stage}/history` : "/v1/history";
    try {
      const from = now() - HOUR_MS;
      past = await call(where, { query: { from, step: "30s" }, signal: scope.signal });
      draw();
    } catch (error) {
      // Without history, the curve begins when the page was opened.
      if (!isAbort(error)) past = null;
    }
  };
  const loadStage = async () => {
    if (!stage) return;
    try {
      const found = await call(path`/v1/stages/${stage}`, { signal: scope.signal });
      setText(title, found.name ?? stage);
      document.title = `${found.name ?? stage} · housecount`;
      if (!shown || shown.asOf < found.asOf) show(found);
    } catch (error) {
      if (isAbort(error) || shown) return;
      show({ viewers: 0, asOf: now(), complete: true, recovering: false });
    }
  };
  /** @param {Shown} next */
  const show = (next) => {
    shown = next;
    if (stage) ring.push(next.asOf, next.viewers);
    draw();
  };

  followCounts(scope, {
    stage: stage || undefined,
    onCount: (update) => {
      if (update.stage === stage) show(update);
    },
    onTotals: (update) => {
      if (!stage) show(update);
    },
    onReset: () => void loadStage(),
  });
  scope.on(connection, "change", () => {
    if (connection.state === "broken") ring.gap(now());
    draw();
  });
  scope.every(1_000, draw);
  scope.every(HISTORY_MS, loadHistory);

  const leave = stage ? `#/stage/${encodeURIComponent(stage)}` : "#/";
  const element = createElement(
    "div",
    { class: "wall" },
    createElement(
      "div",
      { class: "wall-head" },
      title,
      createElement("a", { class: "wall-leave", href: leave }, "Leave the wall display"),
    ),
    createElement("p", { class: "wall-figure" }, count, caption),
    status,
    createElement("div", { class: "wall-curve" }, curve.element, range),
  );
  return { title: stage || "All stages", element };
}

/**
 * @param {{asOf: number, complete: boolean, recovering: boolean}} count
 * @param {boolean} isFresh
 */
function statusLine(count, isFresh) {
  if (!isFresh) return `Not connected. The count is from ${format.timeOfDaySeconds(count.asOf)}.`;
  if (!isComplete(count)) return `${statusText(count).label}. ${statusText(count).detail}`;
  return `Exact · ${format.timeOfDaySeconds(now())}`;
}

/**
 * Returns the viewers at once of the last hour: the live count where it is known, and the history
 * before. Its last final step continues over newer ones, which are too low. Null: not known.
 * @param {import("./chart.js").History | null} past
 * @param {Ring} ring
 * @param {number} nowMs
 * @param {number | null} current
 * @returns {(number | null)[]} oldest first
 */
function lastHour(past, ring, nowMs, current) {
  /** @type {(number | null)[]} */
  const values = [];
  const steps = past ? provenHistory(past) : [];
  let at = 0;
  for (let t = nowMs - HOUR_MS; t < nowMs; t += STEP_MS) {
    while (at < ring.at.length && ring.at[at] * 1000 <= t) at++;
    const live = at > 0 ? ring.count[at - 1] : undefined;
    const step = steps.findLast((step) => step.at <= t);
    values.push(live ?? step?.avg ?? null);
  }
  if (current !== null) values.push(current);
  const first = values.findIndex((value) => value !== null);
  return first < 0 ? [] : values.slice(first);
}
