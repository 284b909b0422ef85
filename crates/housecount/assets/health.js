/** Whether this node is well: what it waits for, and what its counters say, in words. */

import { Problem, callText, isAbort } from "./api.js";
import { hear, now } from "./clock.js";
import { fill, h, icon, say } from "./dom.js";
import { groups } from "./health-facts.js";
import { Metrics } from "./metrics.js";
import { adviceOn, panel } from "./parts.js";

const POLL_MS = 5_000;
/** Rates and failures are of the last minute. */
const SAMPLES_MAX = 13;

/** @typedef {{at: number, metrics: Metrics}} Sample */

/** @type {import("./app.js").MakePage} */
export function health(scope) {
  const verdict = h("div", { class: "verdict", role: "status" });
  const fresh = h("span", { class: "hint" });
  const groupViews = groups.map(({ title, facts, isShown }) => {
    const views = facts.map((fact) => ({ fact, ...factView(fact) }));
    const element = panel(
      title,
      {},
      h(
        "dl",
        { class: "facts" },
        views.map(({ element }) => element),
      ),
    );
    return { element, views, isShown };
  });
  const grid = h(
    "div",
    { class: "facts-grid", hidden: true },
    groupViews.map(({ element }) => element),
  );
  /** @type {Sample[]} */
  const samples = [];

  const readiness = async () => {
    try {
      await callText("/readyz", { signal: scope.signal });
      showVerdict("ok", "Ready", "The log has been read to its end, and is heard: this node may be sent traffic.");
    } catch (error) {
      if (isAbort(error)) throw error;
      const isAnswer = error instanceof Problem && error.status === 503;
      showVerdict(
        "bad",
        isAnswer ? "Not ready" : "Not reachable",
        isAnswer ? sentence(error.message) : adviceOn(error),
      );
    }
  };
  /**
   * @param {"ok" | "bad"} tone
   * @param {string} word
   * @param {string} detail
   */
  const showVerdict = (tone, word, detail) => {
    if (verdict.dataset.tone === tone && verdict.dataset.said === word + detail) return;
    verdict.dataset.tone = tone;
    verdict.dataset.said = word + detail;
    fill(
      verdict,
      h("span", { class: `seal ${tone}` }, icon(tone)),
      h("div", null, h("strong", null, word), h("p", null, detail)),
    );
  };

  const poll = async () => {
    try {
      await readiness();
      const metrics = new Metrics(await callText("/metrics", { signal: scope.signal }));
      const asOf = metrics.sum("as_of_timestamp_seconds");
      if (asOf) hear(asOf * 1000);
      samples.push({ at: performance.now(), metrics });
      if (samples.length > SAMPLES_MAX) samples.shift();
      grid.hidden = false;
      grid.classList.remove("stale");
      show(samples[0], samples[samples.length - 1]);
      say(fresh, "Asked every 5 s");
    } catch (error) {
      if (isAbort(error)) return;
      // Rates over an outage would be wrong.
      samples.length = 0;
      grid.classList.add("stale");
      say(fresh, grid.hidden ? adviceOn(error) : "These figures are old: no answer to the last request");
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
  const head = h("div", { class: "page-head row" }, h("h1", { tabindex: -1 }, "Health"), fresh);
  return { title: "Health", element: h("div", { class: "page stack" }, head, verdict, grid) };
}

/** @param {import("./health-facts.js").Fact} fact */
function factView({ title, hint }) {
  const value = h("dd", { class: "fact-value" });
  const note = h("dd", { class: "fact-note" });
  const element = h("div", { class: "fact" }, h("dt", { title: hint }, title), value, note);
  return {
    element,
    /** @param {import("./health-facts.js").Told} told */
    draw({ value: text, note: why = "", tone }) {
      element.dataset.tone = tone ?? "";
      say(value, text);
      say(note, why);
    },
  };
}

/** @param {string} text */
const sentence = (text) => `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
