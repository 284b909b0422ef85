/** Vue composables. See vue.d.ts. */

import { onScopeDispose, shallowReactive, toValue, watch as observe } from "vue";

import { subscribe, watch } from "./index.js";

/**
 * @template T
 * @typedef {{ -readonly [K in keyof T]: T[K] }} Mutable
 */

/** @type {typeof import("../vue.d.ts").useAudience} */
export function useAudience(options) {
  const audience = shallowReactive(/** @type {Mutable<import("../vue.d.ts").Audience>} */ ({ count: null, error: null, status: null }));
  /** @type {import("../index.d.ts").Watch | undefined} */
  let watching;
  const read = () => {
    const { media, ...all } = toValue(options);
    return { ...all, media: toValue(media) };
  };
  const end = () => watching?.leave();
  observe(
    () => Object.values(read()),
    () => {
      end();
      const { stage, viewer, media, ...all } = read();
      if (!stage || !viewer || media === null) return;
      watching = watch({
        ...all,
        stage,
        viewer,
        media,
        onCount: (count) => Object.assign(audience, { count, error: null }),
        onError: (error) => Object.assign(audience, { count: null, error }),
        onStatus: (status) => (audience.status = status),
      });
    },
    // Template refs are set by then.
    { immediate: true, flush: "post" },
  );
  onScopeDispose(end);
  return audience;
}

/** @type {typeof import("../vue.d.ts").useViewers} */
export function useViewers(server, stages) {
  const counts = shallowReactive(/** @type {Record<string, import("../index.d.ts").Count>} */ ({}));
  const wanted = () => [toValue(stages) ?? []].flat();
  let end = () => {};
  observe(
    () => wanted().join(" "),
    () => {
      end();
      for (const stage of Object.keys(counts)) if (!wanted().includes(stage)) delete counts[stage];
      end = wanted().length ? subscribe(toValue(server), wanted(), (count) => (counts[count.stage] = count)) : () => {};
    },
    // Server-side rendering opens no stream.
    { immediate: typeof window == "object" },
  );
  onScopeDispose(() => end());
  return counts;
}
