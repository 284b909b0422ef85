/** The first page: how many are watching, over time, and stage by stage. */

import { call, isAbort, pages } from "./api.js";
import { RANGES, chart, provenSteps } from "./chart.js";
import { now } from "./clock.js";
import { fill, h, say } from "./dom.js";
import { firstRun } from "./first-run.js";
import * as format from "./format.js";
import { follow, link, totalsRing } from "./live.js";
import { adviceOn, choice, figure, state } from "./parts.js";
import { stageTable } from "./stage-table.js";
import { isWhole, inWords, sayCount } from "./standing.js";

/** @typedef {import("./live.js").Totals} Totals */

/** Asking for everybody's watch time reads the ledger: not too often. */
const WATCH_MS = 120_000;
const SPARK_STEP = "2m";
/** A new stage's name is asked for this much later, with those of others that come meanwhile. */
const NAMES_MS = 3_000;

/** @type {import("./app.js").MakePage} */
export function overview(scope) {
  const table = stageTable(scope);
  const viewers = figure("Viewers now", {
    class: "figure-main",
    hint: "Distinct viewers online over all stages: one on two stages is one",
  });
  const sessions = figure("Sessions", { hint: "Players that are online: tabs, devices" });
  const stages = figure("Stages", { hint: "Stages with somebody online" });
  const peak = figure("Peak", { hint: "The most at once in the range of the curve" });
  const hours = figure("Watch-hours today", { hint: "Proven watch time since midnight, over all stages" });
  const curveState = state();
  const standing = h("p", { class: "standing", role: "status", hidden: true });

  /** @type {Totals | null} */
  let totals = null;
  let range = RANGES["1h"];
  /** @type {number | null} null: nobody knows */
  let historyPeak = null;
  /** What it is the peak of, while another range is on its way. */
  let peakRange = range;
  /** @type {boolean | null} null: nobody knows yet */
  let isEmptySoFar = null;

  const ranges = choice(
    "Range of the curve",
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
    provenLabel: "Proven, stage by stage",
    ring: totalsRing,
    end: [ranges],
  });
  const figures = h(
    "dl",
    { class: "figures" },
    viewers.element,
    sessions.element,
    stages.element,
    peak.element,
    hours.element,
  );
  const hero = h(
    "section",
    { class: "panel hero", "aria-label": "Altogether" },
    figures,
    h("div", { class: "hero-curve" }, curve.element, curveState.element),
  );
  const full = h("div", { class: "stack" }, standing, hero, table.element);
  const empty = h("div", { class: "stack", hidden: true }, firstRun(location.origin));
  const element = h("div", { class: "page" }, h("h1", { class: "sr", tabindex: -1 }, "Overview"), full, empty);

  const draw = scope.frame(() => {
    const isFirstRun =
      isEmptySoFar === true && table.isEmpty && !historyPeak && totals?.viewers === 0 && isWhole(totals);
    empty.hidden = !isFirstRun;
    full.hidden = isFirstRun;
    curve.draw(now(), totals && (link.state === "live" || link.state === "polling") ? totals.viewers : null);
    if (!totals) return;
    sayCount(viewers.value, totals.viewers, totals);
    sayCount(sessions.value, totals.sessions, totals);
    sayCount(stages.value, totals.stages, totals);
    say(sessions.note, totals.viewers ? `${format.ratio(totals.sessions / totals.viewers)} a viewer` : "");
    const from = (now() - peakRange.ms) / 1000;
    const livePeak = totalsRing.count.reduce(
      (/** @type {number} */ max, n, i) => (totalsRing.at[i] >= from && n !== null && n > max ? n : max),
      0,
    );
    say(peak.value, format.count(Math.max(historyPeak ?? 0, livePeak)));
    say(peak.note, historyPeak === null ? "since this page was opened" : `in ${peakRange.title}`);
    viewers.mark.show(totals);
    standing.hidden = isWhole(totals);
    if (!isWhole(totals)) say(standing, `${inWords(totals).label}. ${inWords(totals).detail}`);
  });

  /** @param {AbortSignal} signal aborted when another range is chosen: an answer for this one would come too late */
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
      curveState.failed(error, () => restart());
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
      isEmptySoFar = listed.length === 0;
      table.setStages(listed, asOf);
    } catch (error) {
      if (isAbort(error)) return;
      table.failed(error, () => void loadStages());
    }
    draw();
  };

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let asked;
  scope.defer(() => clearTimeout(asked));

  const loadWatch = async () => {
    const midnight = new Date(now()).setHours(0, 0, 0, 0);
    try {
      let sum = 0;
      let cover = null;
      const today = new Map();
      for await (const page of pages("/v1/watch", { query: { from: midnight }, signal: scope.signal })) {
        for (const row of page.watch) {
          today.set(row.stage, row.watchMs);
          sum += row.watchMs;
        }
        cover = page;
      }
      table.setHours(today);
      say(hours.value, format.hours(sum));
      say(
        hours.note,
        cover?.committedTo
          ? `in the ledger to ${format.timeOfDay(Math.max(cover.committedTo, midnight))}`
          : "not yet in the ledger",
      );
      const sparks = new Map();
      const query = { from: now() - RANGES["1h"].ms, step: SPARK_STEP };
      for await (const page of pages("/v1/watch", { query, signal: scope.signal })) {
        for (const row of page.watch) sparks.set(row.stage, row.history.slice(0, provenSteps(page)));
      }
      table.setSparks(sparks);
    } catch (error) {
      if (isAbort(error)) return;
      fill(hours.note, adviceOn(error));
    }
  };

  follow(scope, {
    onTotals: (heard) => {
      totals = heard;
      draw();
    },
    onCount: (count) => {
      const isKnown = table.count(count);
      // The first list is on its way when the stream begins.
      if (isKnown || isEmptySoFar === null) return;
      asked ??= setTimeout(() => {
        asked = undefined;
        void loadStages();
      }, NAMES_MS);
    },
    onFresh: () => void loadStages(),
  });
  scope.on(link, "change", () => {
    if (isEmptySoFar === null && (link.state === "broken" || link.state === "refused")) table.unknown();
    draw();
  });
  loop();
  scope.every(WATCH_MS, loadWatch);
  return { title: "", element };
}
