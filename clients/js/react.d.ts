import type { Count, HousecountError, Server, WatchOptions } from "./index.js";

export interface Audience {
  /** `null` until the server has answered. */
  count: Count | null;
  /** Why it has ended for good, if it has. */
  error: HousecountError | null;
}

/** Options of `useAudience`. */
export interface AudienceOptions extends Omit<WatchOptions, "stage" | "viewer" | "media" | "onCount" | "onError" | "debug"> {
  stage?: string | null | undefined;
  viewer?: string | null | undefined;
  /** What plays: the element, or a ref to it that is set when the component has mounted. */
  media?: HTMLMediaElement | { readonly current: HTMLMediaElement | null } | null | undefined;
}

/**
 * Counts this page's viewer as watching, while the component is mounted, and `media`, if given, plays. Without a stage or a viewer it
 * waits for them. Another `token` is used when the next one is needed; nothing begins again.
 */
export function useAudience(options: AudienceOptions): Audience;

/** A stage's live count, for who only looks on. `null` until it is known. */
export function useViewers(server: Server, stage?: string | null): Count | null;

/** The live counts of stages, by stage, as far as they are known. All components of a page share one stream. */
export function useViewers(server: Server, stages: readonly string[]): Readonly<Record<string, Count>>;
