/** Overview page: viewers now, over time, and by stage. */

import { call, isAbort, pages } from "./api.js";
import { RANGES, chart, provenStepCount } from "./chart.js";
import { now } from "./clock.js";
import { setChildren, createElement, setText } from "./dom.js";
import { firstRun } from "./first-run.js";
import * as format from "./format.js";
import { followCounts, connection, totalsRing } from "./live.js";
import { problemHint, segmentedControl, figure, statusBox } from "./parts.js";
import { stageTable } from "./stage-table.js";
import { isComplete, statusText, setCountText } from "./count-status.js";

/** @typedef {import("./live.js").Totals} Totals */

/** Interval of watch time calls, which read the ledger. */
const WATCH_MS = 300_000;
const SPARK_STEP = "2m";
/** Delay of the call for new stages' names, so that one call serves several stages. */
const NAMES_MS = 3_000;
/** Most new stages that are asked for one by one. For more, the whole list is loaded. */
const NEW_STAGES_MAX = 25;

/** @type {import("./app.js").MakePage} */
export function overview(scope) {
  const table = stageTable(scope);
  const viewers = figure("Viewers now", {
    class: "figure-main",
    hint: "Distinct viewers online on all stages; a viewer on two stages counts once",
  });
  const sessions = figure("Sessions", { hint: "Online players: tabs, devices" });
  const stages = figure("Stages", { hint: "Stages with online viewers" });
  const peak = figure("Peak", { hint: "Most concurrent viewers in the chart's range" });
  const hours = figure("Watch-hours today", { hint: "Billable watch time since midnight, on all stages" });
  const curveState = statusBox();
  const statusNote = createElement("p", { class: "count-status", role: "status", hidden: true });

  /** @type {Totals | null} */
  let totals = null;
  let range = RANGES["1h"];
  /** @type {number | null} null: unknown */
  let historyPeak = null;
  /** Range of `historyPeak`, while another range is loading. */
  let peakRange = range;
  /** @type {boolean | null} null: unknown */
  let isListEmpty = null;

  const ranges = segmentedControl(
    "Range of the chart",
    Object.entries(RANGES).map(([key]) => [key, key]),
    "1h",
    (key) => {
      range = RANGES[key];
      curve.setRange(range.ms);
      restart();
    },
  );
  const curve = chart(scope, {
    label: "Viewers over time",
    provenLabel: "Billable, summed over stages",
    ring: totalsRing,
    end: [ranges],
  });
  const figures = createElement(
    "dl",
    { class: "figures" },
    viewers.element,
    sessions.element,
    stages.element,
    peak.element,
    hours.element,
  );
  const hero = createElement(
    "section",
    { class: "panel hero", "aria-label": "All stages" },
    figures,
    createElement("div", { class: "hero-curve" }, curve.element, curveState.element),
  );
  const full = createElement("div", { class: "stack" }, statusNote, hero, table.element);
  const empty = createElement("div", { class: "stack", hidden: true }, firstRun(location.origin));
  const element = createElement(
    "div",
    { class: "page" },
    createElement("h1", { class: "sr", tabindex: -1 }, "Overview"),
    full,
    empty,
  );

  const draw = scope.frame(() => {
    const isFirstRun =
      isListEmpty === true && table.isEmpty && !historyPeak && totals?.viewers === 0 && isComplete(totals);
    empty.hidden = !isFirstRun;
    full.hidden = isFirstRun;
    curve.draw(
      now(),
      totals && (connection.state === "live" || connection.state === "polling") ? totals.viewers : null,
    );
    if (!totals) return;
    setCountText(viewers.value, totals.viewers, totals);
    setCountText(sessions.value, totals.sessions, totals);
    setCountText(stages.value, totals.stages, totals);
    setText(sessions.note, totals.viewers ? `${format.ratio(totals.sessions / totals.viewers)} per viewer` : "");
    const from = (now() - peakRange.ms) / 1000;
    const livePeak = totalsRing.count.reduce(
      (/** @type {number} */ max, n, i) => (totalsRing.at[i] >= from && n !== null && n > max ? n : max),
      0,
    );
    setText(peak.value, format.count(Math.max(historyPeak ?? 0, livePeak)));
    setText(peak.note, historyPeak === null ? "since this page was opened" : `in ${peakRange.title}`);
    viewers.mark.show(totals);
    statusNote.hidden = isComplete(totals);
    if (!isComplete(totals)) setText(statusNote, `${statusText(totals).label}. ${statusText(totals).detail}`);
  });

  /** @param {AbortSignal} signal aborted when the operator selects another range */
  const loadHistory = async (signal) => {
    const wanted = range;
    try {
      const to = now();
      const found = await call("/v1/history", {
        query: { from: to - wanted.ms, step: wanted.step },
        signal,
      });
      historyPeak = found.history.reduce(
        (/** @type {number} */ max, /** @type {{max: number}} */ step) => Math.max(max, step.max),
        0,
      );
      peakRange = wanted;
      curve.setHistory(found);
      curveState.clear();
    } catch (error) {
      if (isAbort(error)) return;
      historyPeak = null;
      curveState.showError(error, () => restart());
    }
    draw();
  };
  /** @type {() => void} */
  let restart = () => {};
  const loop = () => {
    const life = scope.child();
    life.every(range.refreshMs, () => loadHistory(life.signal));
    restart = () => {
      life.end();
      loop();
    };
  };

  const loadStages = async () => {
    try {
      const listed = [];
      let asOf = 0;
      for await (const page of pages("/v1/stages", { signal: scope.signal })) {
        asOf ||= page.asOf;
        for (const stage of page.stages)
          listed.push({ ...stage, asOf: page.asOf, complete: page.complete, recovering: page.recovering });
        table.setConfigurationKnown(page.configurationKnown);
      }
      isListEmpty = listed.length === 0;
      table.setStages(listed, asOf);
    } catch (error) {
      if (isAbort(error)) return;
      table.showError(error, () => void loadStages());
    }
    draw();
  };

  /** @param {string[]} ids stages that have appeared since the list was loaded */
  const loadNew = async (ids) => {
    if (ids.length > NEW_STAGES_MAX) return loadStages();
    try {
      for (const stage of ids) table.setStage(await call("/v1/stage", { query: { stage }, signal: scope.signal }));
    } catch (error) {
      if (!isAbort(error)) await loadStages();
    }
  };

  /** @type {Set<string>} */
  const newStages = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let reloadTimer;
  scope.defer(() => clearTimeout(reloadTimer));

  const loadWatch = async () => {
    const midnight = new Date(now()).setHours(0, 0, 0, 0);
    try {
      let sum = 0;
      let coverage = null;
      const today = new Map();
      for await (const page of pages("/v1/watch", { query: { from: midnight }, signal: scope.signal })) {
        for (const row of page.watch) {
          today.set(row.stage, row.watchMs);
          sum += row.watchMs;
        }
        coverage = page;
      }
      table.setHours(today);
      setText(hours.value, format.hours(sum));
      setText(
        hours.note,
        coverage?.committedTo
          ? `in the ledger to ${format.timeOfDay(Math.max(coverage.committedTo, midnight))}`
          : "not yet in the ledger",
      );
      const sparks = new Map();
      const query = { from: now() - RANGES["1h"].ms, step: SPARK_STEP };
      for await (const page of pages("/v1/watch", { query, signal: scope.signal })) {
        for (const row of page.watch) sparks.set(row.stage, row.history.slice(0, provenStepCount(page)));
      }
      table.setSparks(sparks);
    } catch (error) {
      if (isAbort(error)) return;
      setChildren(hours.note, problemHint(error));
    }
  };

  followCounts(scope, {
    onTotals: (update) => {
      totals = update;
      draw();
    },
    onCount: (count) => {
      const isKnown = table.count(count);
      // The first list is still loading when the stream begins.
      if (isKnown || isListEmpty === null) return;
      newStages.add(count.stage);
      reloadTimer ??= setTimeout(() => {
        reloadTimer = undefined;
        const ids = [...newStages];
        newStages.clear();
        void loadNew(ids);
      }, NAMES_MS);
    },
    onReset: () => void loadStages(),
  });
  scope.on(connection, "change", () => {
    if (isListEmpty === null && (connection.state === "broken" || connection.state === "refused"))
      table.showDisconnected();
    draw();
  });
  loop();
  scope.every(WATCH_MS, loadWatch);
  return { title: "", element };
}
