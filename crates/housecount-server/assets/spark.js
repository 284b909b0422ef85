/** Sparklines: the last hour in the height of a line of text. */

import { setAttributes, createSvgElement } from "./dom.js";
import * as format from "./format.js";

const WIDTH = 100;
const HEIGHT = 24;

/** Creates an empty sparkline, and the function that draws into it. */
export function spark() {
  const area = createSvgElement("path", { class: "spark-area" });
  const line = createSvgElement("path", { class: "spark-line" });
  const view = `0 0 ${WIDTH} ${HEIGHT}`;
  const element = createSvgElement(
    "svg",
    { class: "spark", viewBox: view, preserveAspectRatio: "none", role: "img" },
    area,
    line,
  );
  /** @type {readonly number[] | undefined | null} null: not drawn yet; undefined: no data */
  let drawn = null;
  return {
    element,
    /** @param {readonly number[] | undefined} values oldest first */
    draw(values) {
      if (values === drawn) return;
      drawn = values;
      if (!values || values.length < 2) {
        setAttributes(area, { d: null });
        setAttributes(line, { d: null });
        setAttributes(element, { "aria-label": "no watch time in the last hour" });
        return;
      }
      const top = Math.max(1, ...values);
      const x = (/** @type {number} */ i) => ((i / (values.length - 1)) * WIDTH).toFixed(1);
      const y = (/** @type {number} */ v) => (HEIGHT - 1.5 - (v / top) * (HEIGHT - 3)).toFixed(1);
      const points = values.map((v, i) => `${x(i)} ${y(v)}`).join("L");
      setAttributes(line, { d: `M${points}` });
      setAttributes(area, { d: `M0 ${HEIGHT}L${points}L${WIDTH} ${HEIGHT}Z` });
      const least = format.average(Math.min(...values));
      setAttributes(element, { "aria-label": `last hour: ${least} to ${format.average(top)} at once` });
    },
  };
}
