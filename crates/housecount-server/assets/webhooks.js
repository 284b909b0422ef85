/** Panel of the webhooks: each target, and whether it accepts events. */

import { Problem, call, isAbort } from "./api.js";
import { now } from "./clock.js";
import { createElement, icon, setChildren } from "./dom.js";
import * as format from "./format.js";
import { panel, problemHint, responsiveTable } from "./parts.js";

/**
 * @typedef {object} Webhook
 * @property {string} name
 * @property {string} url
 * @property {"new" | "working" | "failing"} state
 * @property {number} pending
 * @property {number} unread
 * @property {number} [oldestAt]
 * @property {number} delivered
 * @property {number} givenUp
 * @property {number} [acceptedAt]
 * @property {number} [failingSince]
 * @property {string} [error]
 */

const POLL_MS = 10_000;
/** @type {Record<Webhook["state"], string>} */
const STATES = { new: "No event yet", working: "Accepts events", failing: "Fails" };

/**
 * Creates the panel. It is hidden while no webhook is configured.
 * @param {import("./scope.js").Scope} scope
 */
export function webhooksPanel(scope) {
  const body = createElement("div");
  const element = panel("Webhooks", {}, body);
  element.hidden = true;
  scope.every(POLL_MS, async () => {
    try {
      /** @type {{webhooks: Webhook[]}} */
      const { webhooks } = await call("/v1/webhooks", { signal: scope.signal });
      element.hidden = webhooks.length === 0;
      if (!getSelection()?.toString())
        setChildren(body, webhooks.length > 0 && webhooksTable(webhooks));
    } catch (error) {
      if (isAbort(error)) return;
      // The list of events says why there are none.
      element.hidden = element.hidden || (error instanceof Problem && error.status === 501);
      setChildren(body, createElement("p", { class: "hint" }, problemHint(error)));
    }
  });
  return element;
}

/** @param {Webhook[]} webhooks */
function webhooksTable(webhooks) {
  const when = (/** @type {number} */ ms) => format.when(ms, now());
  const rows = webhooks.map((hook) => {
    const isFailing = hook.state === "failing";
    const waiting = hook.pending + hook.unread;
    const since = hook.failingSince === undefined ? "" : `since ${when(hook.failingSince)}`;
    const last = hook.acceptedAt === undefined ? "" : `last ${when(hook.acceptedAt)}`;
    return createElement(
      "tr",
      null,
      createElement(
        "th",
        { scope: "row" },
        hook.name,
        createElement("span", { class: "sub" }, hook.url),
      ),
      createElement(
        "td",
        null,
        createElement(
          "div",
          null,
          isFailing && icon("warn"),
          createElement(
            "span",
            { class: isFailing ? "event-title bad" : "" },
            ` ${STATES[hook.state]} ${since}`,
          ),
          isFailing && hook.error && createElement("span", { class: "sub" }, hook.error),
        ),
      ),
      number(
        waiting,
        waiting && hook.oldestAt !== undefined ? `oldest ${when(hook.oldestAt)}` : "",
      ),
      number(hook.delivered, last),
      number(hook.givenUp, hook.givenUp ? "after a day" : ""),
    );
  });
  const head = createElement(
    "tr",
    null,
    ["Target", "State"].map((title) => createElement("th", { scope: "col" }, title)),
    ["Waiting", "Delivered", "Given up"].map((title) =>
      createElement("th", { scope: "col", class: "num" }, title),
    ),
  );
  return responsiveTable(
    "Webhooks",
    createElement("thead", null, head),
    createElement("tbody", null, rows),
  );
}

/**
 * @param {number} count
 * @param {string} note
 */
const number = (count, note) =>
  createElement(
    "td",
    { class: "num" },
    createElement(
      "div",
      null,
      format.count(count),
      note && createElement("span", { class: "sub" }, note),
    ),
  );
