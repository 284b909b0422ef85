import type { Count, HousecountError, LiveServer, Reports, WatchOptions } from "./index.js";

export interface Audience {
  /** Count of the last heartbeat; `null` before the first response. */
  count: Count | null;
  /** Permanent rejection; `null` if there is none. */
  error: HousecountError | null;
}

/** Options of `useAudience`. */
export interface AudienceOptions extends Omit<WatchOptions, "stage" | "viewer" | "media" | "onCount" | "onError" | "debug"> {
  stage?: string | null | undefined;
  viewer?: string | null | undefined;
  /** Element that plays the stream, or a ref to it that is set when the component has mounted. */
  media?: HTMLMediaElement | { readonly current: HTMLMediaElement | null } | null | undefined;
}

/**
 * Counts this page's viewer while the component is mounted, and `media`, if given, plays. It waits for a stage and a viewer. A new
 * `token` is used when the next one is needed; it does not restart the session, and neither do new `labels`.
 */
export function useAudience(options: AudienceOptions): Audience;

/** Server of `useViewers`. */
export interface CountServer extends Omit<LiveServer, keyof Reports> {}

/** Live count of a stage, without counting this page's viewer. `null` until it is known. */
export function useViewers(server: CountServer, stage?: string | null): Count | null;

/** Known live counts, by stage. All components of a page share one stream. */
export function useViewers(server: CountServer, stages: readonly string[]): Readonly<Record<string, Count>>;
