/** Panel with the command that writes a month's usage for a billing system. */

import { FORMATS } from "./customers-address.js";
import { createElement, setChildren } from "./dom.js";
import { copyableCode, panel, segmentedControl } from "./parts.js";

/** @typedef {import("./customers-address.js").BillingFormat} BillingFormat */

const HOUR_MS = 3_600_000;

/** @type {Record<BillingFormat, {title: string, note: string}>} */
const TEXTS = {
  stripe: {
    title: "Stripe",
    note: "One meter event for each customer, stage and hour, in whole minutes. The customer must be Stripe’s id (cus_…). Stripe recognises a second copy for 24 h.",
  },
  openmeter: {
    title: "OpenMeter",
    note: "One event for each customer, stage and hour, in whole minutes. The customer is its subject. A second run has the same ids.",
  },
  "aws-marketplace": {
    title: "AWS Marketplace",
    note: "One record for each customer and hour, in whole minutes. AWS accepts a record until 6 h after its hour, so run the command every hour for the last one.",
  },
};

/**
 * @param {object} options
 * @param {{from: number, to: number}} options.range
 * @param {string} options.month
 * @param {import("./zone.js").Zone} options.zone
 * @param {number} options.finalTo end of the hours that can grow no more
 * @param {BillingFormat} options.format
 * @param {(format: BillingFormat) => void} options.onFormat
 */
export function exportPanel({ range, month, zone, finalTo, format, onFormat }) {
  const isWhole = range.from % HOUR_MS === 0 && range.to % HOUR_MS === 0;
  const isFinal = finalTo >= range.to;
  const body = createElement("div", { class: "stack" });
  const draw = (/** @type {BillingFormat} */ of) => {
    const { note } = TEXTS[of];
    const out = `${of}-${month}.jsonl`;
    const time = (/** @type {number} */ ms) => new Date(ms).toISOString().replace(".000Z", "Z");
    const command = [
      `housecount export --group customer --format ${of} \\\n `,
      `--from ${time(range.from)} --to ${time(range.to)} \\\n `,
      `--out ${out}${isFinal ? "" : " --partial"}`,
    ];
    setChildren(
      body,
      createElement("p", { class: "hint" }, note),
      isWhole
        ? copyableCode(command.join(" "), "export command")
        : createElement(
            "p",
            null,
            `Usage records are of whole UTC hours, and midnight in ${zone.name} is not one. Select another time zone for the command.`,
          ),
      createElement(
        "p",
        { class: "hint" },
        "Run it where housecount runs. Stages without a customer are left out. ",
        !isFinal &&
          isWhole &&
          (finalTo > range.from
            ? `It writes the hours before ${zone.when(finalTo)}: later ones may still grow.`
            : "It writes nothing yet: all hours of this month may still grow."),
      ),
    );
  };
  draw(format);
  const choice = segmentedControl(
    "Billing system",
    FORMATS.map((of) => [of, TEXTS[of].title]),
    format,
    (of) => {
      draw(of);
      onFormat(of);
    },
  );
  return panel("Send it to a billing system", { class: "no-print", end: [choice] }, body);
}
