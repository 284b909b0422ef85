/**
 * What this library needs of a browser. All of it is asked of the page that is passed in and never of globals, so that tests can
 * play whole browsers with clocks of their own.
 *
 * @typedef {Window & typeof globalThis} Page
 */

/**
 * A route's address.
 *
 * @param {Page} page
 * @param {string} url the server's
 * @param {string} route from its slash on
 * @param {Record<string, string | string[] | undefined>} [query] what is undefined is left out
 */
export function address(page, url, route, query = {}) {
  const full = new URL(url.replace(/\/+$/, "") + route, page.location?.href);
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values ?? []].flat()) full.searchParams.append(name, value);
  }
  return full.href;
}

/**
 * A time somewhat before or after, so that pages which start together don't stay together.
 *
 * @param {Page} page
 * @param {number} ms
 * @param {number} least how much of it at least, such as 0.95
 * @param {number} most how much of it at most
 */
export function spread(page, ms, least, most) {
  return ms * (least + (most - least) * page.Math.random());
}

/**
 * How long to stay away after so many failures in a row: a second, doubled each time up to half a minute, and by chance up to half
 * less. A session that can't be told of for two minutes runs out; so there are always several tries before.
 *
 * @param {Page} page
 * @param {number} failures at least 1
 */
export function backOffMs(page, failures) {
  return spread(page, Math.min(1_000 * 2 ** (failures - 1), 30_000), 0.5, 1);
}
