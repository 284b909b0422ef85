/** A stage's page: its curve and figures, and below it who watched, who is here, its snapshots and its configuration. */

import { Problem, call, isAbort, path } from "./api.js";
import { RANGES, chart, integral } from "./chart.js";
import { now } from "./clock.js";
import { configTab } from "./config-tab.js";
import { h, icon, say, fill } from "./dom.js";
import * as format from "./format.js";
import { follow, link } from "./live.js";
import { onlineTab } from "./online-tab.js";
import { choice, figure, state } from "./parts.js";
import { Ring } from "./ring.js";
import { snapshotsTab } from "./snapshots-tab.js";
import { inWords, isWhole, sayCount } from "./standing.js";
import { tabs } from "./tabs.js";
import { watchTab } from "./watch-tab.js";

/** @typedef {import("./stage-table.js").Stage & {configured: boolean, configurationKnown: boolean, createdAt?: number}} StageAnswer */

const STAGE_MS = 30_000;

/** @type {import("./app.js").MakePage} */
export function stage(scope, { id, query }) {
  const ring = new Ring();
  const viewers = figure("Viewers now", { class: "figure-main", hint: "Distinct viewers online" });
  const sessions = figure("Sessions", { hint: "Players that are online: tabs, devices" });
  const peak = figure("Peak", { hint: "The most at once, as far as is known" });
  const hours = figure("Watch-hours", { hint: "Proven watch time in the range of the curve" });
  const curveState = state();
  const pageState = state();
  const standing = h("p", { class: "standing", role: "status", hidden: true });
  const title = h("h1", { tabindex: -1 }, id);
  const subtitle = h("p", { class: "subtitle" });

  const chosen = query.get("range") ?? "";
  let rangeKey = Object.hasOwn(RANGES, chosen) ? chosen : "1h";
  /** @type {import("./live.js").Count | null} */
  let count = null;
  /** @type {StageAnswer | null} */
  let answer = null;

  const showRange = () => curve.setRange(RANGES[rangeKey].ms);
  const ranges = choice(
    "Range",
    Object.keys(RANGES).map((key) => [key, key]),
    rangeKey,
    (key) => {
      rangeKey = key;
      showRange();
      remember({ range: key });
      restart();
      watch.reload();
      snapshots.reload();
    },
  );

  const curve = chart(scope, { label: "Viewers over time", provenLabel: "Proven", ring, end: [ranges] });
  showRange();

  const draw = scope.frame(() => {
    const isFresh = link.state === "live" || link.state === "polling";
    curve.draw(now(), isFresh && count ? count.viewers : null);
    if (!count) return;
    sayCount(viewers.value, count.viewers, count);
    sayCount(sessions.value, count.sessions, count);
    say(sessions.note, count.viewers ? `${format.ratio(count.sessions / count.viewers)} a viewer` : "");
    viewers.mark.show(count);
    standing.hidden = isWhole(count);
    if (!isWhole(count)) say(standing, `${inWords(count).label}. ${inWords(count).detail}`);
    say(peak.value, format.count(Math.max(answer?.peak ?? 0, count.viewers)));
  });

  /** @param {AbortSignal} signal aborted when another range is chosen: an answer for this one would come too late */
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
      say(hours.value, format.hours(integral(found)));
      say(
        hours.note,
        `in ${range.title}${found.committedTo > from ? `, in the ledger to ${format.timeOfDay(found.committedTo)}` : ""}`,
      );
    } catch (error) {
      if (isAbort(error)) return;
      curveState.failed(error, () => restart());
      say(hours.value, format.NONE);
      say(hours.note, "");
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
      if (error instanceof Problem && error.code === "stage_not_found") missing();
      else if (!answer) pageState.failed(error, () => void loadStage());
    }
  };
  /** @param {StageAnswer} found */
  const show = (found) => {
    answer = found;
    pageState.clear();
    say(title, found.name ?? id);
    document.title = `${found.name ?? id} · housecount`;
    const tags = Object.entries(found.tags ?? {}).map(([key, value]) =>
      h("span", { class: "tag" }, `${key}: ${value}`),
    );
    fill(subtitle, h("code", null, id), found.customer && h("span", null, found.customer), tags);
    if (!count || count.asOf < found.asOf) take(found);
    config.show(found);
    draw();
  };
  const missing = () => {
    answer = null;
    fill(subtitle, h("code", null, id));
    pageState.say(
      "Nobody has watched this stage, and it isn’t configured. You can configure it below; a heartbeat for it will show here at once.",
    );
    config.show(null);
    if (!count) take({ stage: id, viewers: 0, sessions: 0, asOf: now(), complete: true, recovering: false });
  };
  /** @param {import("./live.js").Count} heard */
  const take = (heard) => {
    count = heard;
    ring.push(heard.asOf, heard.viewers);
    draw();
  };

  /** @param {Record<string, string>} change what the address shall remember, so that it can be sent to somebody */
  const remember = (change) => {
    for (const [key, value] of Object.entries(change)) query.set(key, value);
    history.replaceState(null, "", `#/stage/${encodeURIComponent(id)}?${query}`);
  };
  const rangeNow = () => ({ from: now() - RANGES[rangeKey].ms, to: now(), title: RANGES[rangeKey].title });
  const watch = watchTab(scope, id, rangeNow);
  const online = onlineTab(scope, id);
  const snapshots = snapshotsTab(scope, id, rangeNow);
  const config = configTab(scope, id, show, loadStage);
  const below = tabs("About this stage", [watch, online, snapshots, config], query.get("tab") ?? "", (tab) =>
    remember({ tab }),
  );

  follow(scope, {
    stage: id,
    onCount: (heard) => {
      if (heard.stage === id) take(heard);
    },
    onFresh: () => void loadStage(),
  });
  scope.on(link, "change", () => {
    if (link.state === "broken") ring.gap(now());
    draw();
  });
  // The curve goes on to the right while nothing changes.
  scope.every(1_000, draw);
  scope.every(STAGE_MS, loadStage);
  loop();

  const figures = h("dl", { class: "figures" }, viewers.element, sessions.element, peak.element, hours.element);
  const hero = h(
    "section",
    { class: "panel hero", "aria-label": "Figures and curve" },
    figures,
    h("div", { class: "hero-curve" }, curve.element, curveState.element),
  );
  const back = h("a", { class: "back", href: "#/" }, icon("back"), "All stages");
  const head = h("div", { class: "page-head" }, back, title, subtitle);
  return { title: id, element: h("div", { class: "page stack" }, head, pageState.element, standing, hero, below) };
}
