/**
 * Parser of Prometheus's text format, as far as `/metrics` uses it (prometheus.io/docs/instrumenting/exposition_formats). Pure.
 */

/** @typedef {{labels: Record<string, string>, value: number}} Sample */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export class Metrics {
  /** @type {Map<string, Sample[]>} */
  #samples = new Map();

  /** @param {string} text */
  constructor(text) {
    for (const line of text.split("\n")) {
      const found = line.startsWith("#") ? null : LINE.exec(line);
      if (!found) continue;
      const [, name, labelText, value] = found;
      /** @type {Record<string, string>} */
      const labels = {};
      for (const [, label, raw] of (labelText ?? "").matchAll(LABEL)) labels[label] = unescaped(raw);
      const samples = this.#samples.get(name);
      const sample = { labels, value: value === "+Inf" ? Infinity : Number(value) };
      if (samples) samples.push(sample);
      else this.#samples.set(name, [sample]);
    }
  }

  /**
   * @param {string} name without `housecount_`
   * @returns {Sample[]}
   */
  all(name) {
    return this.#samples.get(`housecount_${name}`) ?? [];
  }

  /**
   * Sums a metric over all labels; undefined if the node doesn't export it.
   * @param {string} name
   * @param {Record<string, string>} [labels] only samples with these
   */
  sum(name, labels = {}) {
    const matches = (/** @type {Sample} */ sample) => Object.entries(labels).every(([k, v]) => sample.labels[k] === v);
    const samples = this.all(name).filter(matches);
    return samples.length ? samples.reduce((sum, sample) => sum + sample.value, 0) : undefined;
  }

  /**
   * Computes a quantile of a histogram's observations since `before`, as the upper bound of its bucket.
   * @param {string} name
   * @param {number} part from 0 to 1
   * @param {Metrics | null} before
   * @returns {number | undefined}
   */
  quantile(name, part, before) {
    const earlier = new Map(before?.all(`${name}_bucket`).map((bucket) => [bucket.labels.le, bucket.value]));
    const buckets = this.all(`${name}_bucket`).map((bucket) => ({
      le: bucket.labels.le === "+Inf" ? Infinity : Number(bucket.labels.le),
      count: bucket.value - (earlier.get(bucket.labels.le) ?? 0),
    }));
    buckets.sort((a, b) => a.le - b.le);
    const total = buckets.at(-1)?.count ?? 0;
    return total > 0 ? buckets.find((bucket) => bucket.count >= part * total)?.le : undefined;
  }
}

/** @param {string} text */
const unescaped = (text) => text.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
