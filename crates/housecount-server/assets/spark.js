/** Sparklines: the last hour in the height of a line of text, or at the foot of a wall display. */

import { setAttributes, createSvgElement } from "./dom.js";
import * as format from "./format.js";

const WIDTH = 100;
const HEIGHT = 24;

/**
 * Creates an empty sparkline, and the function that draws into it.
 * @param {string} [what] name of the values
 */
export function spark(what = "at once") {
  const area = createSvgElement("path", { class: "spark-area" });
  const line = createSvgElement("path", { class: "spark-line" });
  const view = `0 0 ${WIDTH} ${HEIGHT}`;
  const element = createSvgElement(
    "svg",
    { class: "spark", viewBox: view, preserveAspectRatio: "none", role: "img" },
    area,
    line,
  );
  /** @type {readonly (number | null)[] | undefined | null} null: not drawn yet; undefined: none */
  let drawn = null;
  return {
    element,
    /** @param {readonly (number | null)[] | undefined} values oldest first; null is a gap */
    draw(values) {
      if (values === drawn) return;
      drawn = values;
      const known = values?.filter((value) => value !== null) ?? [];
      if (!values || known.length < 2) {
        setAttributes(area, { d: null });
        setAttributes(line, { d: null });
        setAttributes(element, { "aria-label": "no watch time in the last hour" });
        return;
      }
      const top = Math.max(1, ...known);
      const x = (/** @type {number} */ i) => ((i / (values.length - 1)) * WIDTH).toFixed(1);
      const y = (/** @type {number} */ v) => (HEIGHT - 1.5 - (v / top) * (HEIGHT - 3)).toFixed(1);
      const runs = runsOf(values).filter((run) => run.length > 1);
      const path = (/** @type {[number, number][]} */ run) =>
        run.map(([i, value]) => `${x(i)} ${y(value)}`).join("L");
      setAttributes(line, { d: runs.map((run) => `M${path(run)}`).join("") });
      const closed = runs.map(
        (run) => `M${x(run[0][0])} ${HEIGHT}L${path(run)}L${x(run[run.length - 1][0])} ${HEIGHT}Z`,
      );
      setAttributes(area, { d: closed.join("") });
      const least = format.average(Math.min(...known));
      setAttributes(element, {
        "aria-label": `last hour: ${least} to ${format.average(top)} ${what}`,
      });
    },
  };
}

/**
 * Splits values at their gaps.
 * @param {readonly (number | null)[]} values
 */
function runsOf(values) {
  /** @type {[number, number][][]} index and value */
  const runs = [[]];
  for (const [i, value] of values.entries()) {
    if (value !== null) runs[runs.length - 1].push([i, value]);
    else if (runs[runs.length - 1].length) runs.push([]);
  }
  return runs;
}
