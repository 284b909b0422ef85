/** Svelte store and action. See svelte.d.ts. */

import { subscribe, watch } from "./index.js";

/** @type {typeof import("../svelte.d.ts").viewers} */
export function viewers(server, stages) {
  /** @type {Record<string, import("../index.d.ts").Count>} */
  let counts = {};
  return {
    subscribe(run) {
      run(counts);
      return subscribe(server, stages, (count) => run((counts = { ...counts, [count.stage]: count })));
    },
  };
}

/** @type {typeof import("../svelte.d.ts").audience} */
export function audience(media, options) {
  let { leave } = watch({ ...options, media });
  return {
    update(next) {
      leave();
      ({ leave } = watch({ ...next, media }));
    },
    destroy: () => leave(),
  };
}
