/** Page of a stage: figures, chart, and tabs with watch time, online viewers, snapshots and configuration. */

import { Problem, call, isAbort, path } from "./api.js";
import { RANGES, chart, integral } from "./chart.js";
import { now } from "./clock.js";
import { configTab } from "./config-tab.js";
import { createElement, icon, setText, setChildren } from "./dom.js";
import * as format from "./format.js";
import { labelPanel } from "./labels.js";
import { followCounts, connection } from "./live.js";
import { onlineTab } from "./online-tab.js";
import { segmentedControl, figure, statusBox } from "./parts.js";
import { Ring } from "./ring.js";
import { sharedStage } from "./share.js";
import { snapshotsTab } from "./snapshots-tab.js";
import { statusText, isComplete, setCountText } from "./count-status.js";
import { tabs } from "./tabs.js";
import { watchTab } from "./watch-tab.js";

/** @typedef {import("./stage-table.js").Stage & {configured: boolean, configurationKnown: boolean, createdAt?: number, labels?: string[]}} StageAnswer */

const STAGE_MS = 30_000;

/** @type {import("./app.js").MakePage} */
export function stage(scope, { id, query }) {
  const ring = new Ring();
  const viewers = figure("Viewers now", { class: "figure-main", hint: "Distinct viewers online" });
  const sessions = figure("Sessions", { hint: "Online players: tabs, devices" });
  const peak = figure("Peak", { hint: "Most concurrent viewers, as far as known" });
  const hours = figure("Watch-hours", { hint: "Billable watch time in the chart's range" });
  const curveState = statusBox();
  const pageState = statusBox();
  const statusNote = createElement("p", { class: "count-status", role: "status", hidden: true });
  const title = createElement("h1", { tabindex: -1 }, id);
  const subtitle = createElement("p", { class: "subtitle" });

  const chosen = query.get("range") ?? "";
  let rangeKey = Object.hasOwn(RANGES, chosen) ? chosen : "1h";
  /** @type {import("./live.js").Count | null} */
  let count = null;
  /** @type {StageAnswer | null} */
  let answer = null;

  const showRange = () => curve.setRange(RANGES[rangeKey].ms);
  const ranges = segmentedControl(
    "Range",
    Object.keys(RANGES).map((key) => [key, key]),
    rangeKey,
    (key) => {
      rangeKey = key;
      showRange();
      updateUrl({ range: key });
      restart();
      watch.reload();
      snapshots.reload();
    },
  );

  const curve = chart(scope, { label: "Viewers over time", provenLabel: "Billable", ring, end: [ranges] });
  showRange();

  const draw = scope.frame(() => {
    const isFresh = connection.state === "live" || connection.state === "polling";
    curve.draw(now(), isFresh && count ? count.viewers : null);
    if (!count) return;
    setCountText(viewers.value, count.viewers, count);
    setCountText(sessions.value, count.sessions, count);
    setText(sessions.note, count.viewers ? `${format.ratio(count.sessions / count.viewers)} per viewer` : "");
    viewers.mark.show(count);
    statusNote.hidden = isComplete(count);
    if (!isComplete(count)) setText(statusNote, `${statusText(count).label}. ${statusText(count).detail}`);
    setText(peak.value, format.count(Math.max(answer?.peak ?? 0, count.viewers)));
  });

  /** @param {AbortSignal} signal aborted when the operator selects another range */
  const loadHistory = async (signal) => {
    const range = RANGES[rangeKey];
    const from = now() - range.ms;
    try {
      const found = await call(path`/v1/stages/${id}/history`, {
        query: { from, step: range.step },
        signal,
      });
      curve.setHistory(found);
      curveState.clear();
      setText(hours.value, format.hours(integral(found)));
      setText(
        hours.note,
        `in ${range.title}${found.committedTo > from ? `, in the ledger to ${format.timeOfDay(found.committedTo)}` : ""}`,
      );
    } catch (error) {
      if (isAbort(error)) return;
      curveState.showError(error, () => restart());
      setText(hours.value, format.NONE);
      setText(hours.note, "");
    }
    draw();
  };
  /** @type {() => void} */
  let restart = () => {};
  const loop = () => {
    const life = scope.child();
    life.every(RANGES[rangeKey].refreshMs, () => loadHistory(life.signal));
    restart = () => {
      life.end();
      loop();
    };
  };

  const loadStage = async () => {
    try {
      /** @type {StageAnswer} */
      const found = await call(path`/v1/stages/${id}`, { signal: scope.signal });
      show(found);
    } catch (error) {
      if (isAbort(error)) return;
      if (error instanceof Problem && error.code === "stage_not_found") showNotFound();
      else if (!answer) pageState.showError(error, () => void loadStage());
    }
  };
  /** @param {StageAnswer} found */
  const show = (found) => {
    answer = found;
    pageState.clear();
    setText(title, found.name ?? id);
    document.title = `${found.name ?? id} · housecount`;
    const tags = Object.entries(found.tags ?? {}).map(([key, value]) =>
      createElement("span", { class: "tag" }, `${key}: ${value}`),
    );
    setChildren(
      subtitle,
      createElement("code", null, id),
      found.customer && createElement("span", null, found.customer),
      tags,
    );
    if (!count || count.asOf < found.asOf) applyCount(found);
    config.show(found);
    labels.setKeys(found.labels ?? []);
    draw();
  };
  const showNotFound = () => {
    answer = null;
    setChildren(subtitle, createElement("code", null, id));
    pageState.show(
      "This stage has no viewers yet, and isn’t configured. Configure it below, or send a heartbeat, which shows here at once.",
    );
    config.show(null);
    if (!count) applyCount({ stage: id, viewers: 0, sessions: 0, asOf: now(), complete: true, recovering: false });
  };
  /** @param {import("./live.js").Count} update */
  const applyCount = (update) => {
    count = update;
    ring.push(update.asOf, update.viewers);
    draw();
  };

  /** @param {Record<string, string>} change parameters to keep in the URL, so that it can be shared */
  const updateUrl = (change) => {
    for (const [key, value] of Object.entries(change)) query.set(key, value);
    history.replaceState(null, "", `#/stage/${encodeURIComponent(id)}?${query}`);
  };
  const rangeNow = () => ({ from: now() - RANGES[rangeKey].ms, to: now(), title: RANGES[rangeKey].title });
  const labels = labelPanel(scope, id, query.get("by") ?? "", (by) => updateUrl({ by }));
  const watch = watchTab(scope, id, rangeNow);
  const online = onlineTab(scope, id);
  const snapshots = snapshotsTab(scope, id, rangeNow);
  const config = configTab(scope, id, show, loadStage);
  const details = sharedStage() === null ? [watch, online, snapshots, config] : [watch, online, snapshots];
  const tabView = tabs("Details of this stage", details, query.get("tab") ?? "", (tab) =>
    updateUrl({ tab }),
  );

  followCounts(scope, {
    stage: id,
    onCount: (update) => {
      if (update.stage === id) applyCount(update);
    },
    onReset: () => void loadStage(),
  });
  scope.on(connection, "change", () => {
    if (connection.state === "broken") ring.gap(now());
    draw();
  });
  // The chart moves with time, also without changes.
  scope.every(1_000, draw);
  scope.every(STAGE_MS, loadStage);
  loop();

  const figures = createElement(
    "dl",
    { class: "figures" },
    viewers.element,
    sessions.element,
    peak.element,
    hours.element,
  );
  const hero = createElement(
    "section",
    { class: "panel hero", "aria-label": "Figures and chart" },
    figures,
    createElement("div", { class: "hero-curve" }, curve.element, curveState.element),
  );
  const back = createElement("a", { class: "back", href: "#/" }, icon("back"), "All stages");
  const links = createElement(
    "p",
    { class: "tools no-print" },
    createElement("a", { href: `#/report?${new URLSearchParams({ stage: id })}` }, "Report"),
    createElement("a", { href: `#/wall?${new URLSearchParams({ stage: id })}` }, "Wall display"),
  );
  const ways = sharedStage() === null ? [back, title, subtitle, links] : [title, subtitle];
  const head = createElement("div", { class: "page-head" }, ways);
  return {
    title: id,
    element: createElement(
      "div",
      { class: "page stack" },
      head,
      pageState.element,
      statusNote,
      hero,
      labels.element,
      tabView,
    ),
  };
}
