/** Health page: the node's checkReadiness, and its metrics as text. */

import { Problem, callText, isAbort } from "./api.js";
import { syncClock, now } from "./clock.js";
import { setChildren, createElement, icon, setText } from "./dom.js";
import { factGroups } from "./health-facts.js";
import { Metrics } from "./metrics.js";
import { problemHint, panel } from "./parts.js";

const POLL_MS = 5_000;
/** Samples of the last minute, over which rates and failures are computed. */
const SAMPLES_MAX = 13;

/** @typedef {{at: number, metrics: Metrics}} Sample */

/** @type {import("./app.js").MakePage} */
export function health(scope) {
  const verdict = createElement("div", { class: "verdict", role: "status" });
  const freshness = createElement("span", { class: "hint" });
  const groupViews = factGroups.map(({ title, facts, isShown }) => {
    const views = facts.map((fact) => ({ fact, ...factView(fact) }));
    const element = panel(
      title,
      {},
      createElement(
        "dl",
        { class: "facts" },
        views.map(({ element }) => element),
      ),
    );
    return { element, views, isShown };
  });
  const grid = createElement(
    "div",
    { class: "facts-grid", hidden: true },
    groupViews.map(({ element }) => element),
  );
  /** @type {Sample[]} */
  const samples = [];

  const checkReadiness = async () => {
    try {
      await callText("/readyz", { signal: scope.signal });
      showVerdict("ok", "Ready", "This node has read the log to its end, and follows it. It can take traffic.");
    } catch (error) {
      if (isAbort(error)) throw error;
      const isAnswer = error instanceof Problem && error.status === 503;
      showVerdict(
        "bad",
        isAnswer ? "Not ready" : "Not reachable",
        isAnswer ? toSentence(error.message) : problemHint(error),
      );
    }
  };
  /**
   * @param {"ok" | "bad"} tone
   * @param {string} word
   * @param {string} detail
   */
  const showVerdict = (tone, word, detail) => {
    if (verdict.dataset.tone === tone && verdict.dataset.text === word + detail) return;
    verdict.dataset.tone = tone;
    verdict.dataset.text = word + detail;
    setChildren(
      verdict,
      createElement("span", { class: `seal ${tone}` }, icon(tone)),
      createElement("div", null, createElement("strong", null, word), createElement("p", null, detail)),
    );
  };

  const poll = async () => {
    try {
      await checkReadiness();
      const metrics = new Metrics(await callText("/metrics", { signal: scope.signal }));
      const asOf = metrics.sum("as_of_timestamp_seconds");
      if (asOf) syncClock(asOf * 1000);
      samples.push({ at: performance.now(), metrics });
      if (samples.length > SAMPLES_MAX) samples.shift();
      grid.hidden = false;
      grid.classList.remove("stale");
      show(samples[0], samples[samples.length - 1]);
      setText(freshness, "Updated every 5 s");
    } catch (error) {
      if (isAbort(error)) return;
      // A rate over an outage would be wrong.
      samples.length = 0;
      grid.classList.add("stale");
      setText(freshness, grid.hidden ? problemHint(error) : "These figures are old: the last request got no response");
    }
  };
  /**
   * @param {Sample} before
   * @param {Sample} latest
   */
  const show = (before, latest) => {
    const seconds = (latest.at - before.at) / 1000;
    for (const { element, views, isShown } of groupViews) {
      element.hidden = isShown ? !isShown(latest.metrics) : false;
      for (const { fact, draw } of views)
        draw(fact.read({ metrics: latest.metrics, before: before.metrics, seconds, now: now() }));
    }
  };

  scope.every(POLL_MS, poll);
  const head = createElement(
    "div",
    { class: "page-head row" },
    createElement("h1", { tabindex: -1 }, "Health"),
    freshness,
  );
  return { title: "Health", element: createElement("div", { class: "page stack" }, head, verdict, grid) };
}

/** @param {import("./health-facts.js").Fact} fact */
function factView({ title, hint }) {
  const value = createElement("dd", { class: "fact-value" });
  const note = createElement("dd", { class: "fact-note" });
  const element = createElement("div", { class: "fact" }, createElement("dt", { title: hint }, title), value, note);
  return {
    element,
    /** @param {import("./health-facts.js").FactValue} fact */
    draw({ value: text, note: why = "", tone }) {
      element.dataset.tone = tone ?? "";
      setText(value, text);
      setText(note, why);
    },
  };
}

/** @param {string} text */
const toSentence = (text) => `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
