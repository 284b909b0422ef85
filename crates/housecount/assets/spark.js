/** Sparklines: the shape of an hour in the height of a line of text. */

import { set, svg } from "./dom.js";
import * as format from "./format.js";

const WIDTH = 100;
const HEIGHT = 24;

/** An empty sparkline, and what draws into it. */
export function spark() {
  const area = svg("path", { class: "spark-area" });
  const line = svg("path", { class: "spark-line" });
  const view = `0 0 ${WIDTH} ${HEIGHT}`;
  const element = svg("svg", { class: "spark", viewBox: view, preserveAspectRatio: "none", role: "img" }, area, line);
  /** @type {readonly number[] | undefined | null} null: nothing yet, not even that there is nothing */
  let drawn = null;
  return {
    element,
    /** @param {readonly number[] | undefined} values oldest first */
    draw(values) {
      if (values === drawn) return;
      drawn = values;
      if (!values || values.length < 2) {
        set(area, { d: null });
        set(line, { d: null });
        set(element, { "aria-label": "no watch time in the last hour" });
        return;
      }
      const top = Math.max(1, ...values);
      const x = (/** @type {number} */ i) => ((i / (values.length - 1)) * WIDTH).toFixed(1);
      const y = (/** @type {number} */ v) => (HEIGHT - 1.5 - (v / top) * (HEIGHT - 3)).toFixed(1);
      const points = values.map((v, i) => `${x(i)} ${y(v)}`).join("L");
      set(line, { d: `M${points}` });
      set(area, { d: `M0 ${HEIGHT}L${points}L${WIDTH} ${HEIGHT}Z` });
      const least = format.average(Math.min(...values));
      set(element, { "aria-label": `last hour: ${least} to ${format.average(top)} at once` });
    },
  };
}
