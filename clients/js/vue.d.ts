import type { MaybeRefOrGetter } from "vue";
import type { Count, HousecountError, LiveServer, Status, WatchOptions } from "./index.js";

export interface Audience {
  /** `null` until the server has answered. */
  readonly count: Count | null;
  /** Why it has ended for good, if it has. */
  readonly error: HousecountError | null;
  readonly status: Status | null;
}

/** Options of `useAudience`. */
export interface AudienceOptions
  extends Omit<WatchOptions, "stage" | "viewer" | "media" | "onCount" | "onError" | "onStatus"> {
  stage?: string | null | undefined;
  viewer?: string | null | undefined;
  /** What plays: the element, or a template's ref to it, which is waited for. */
  media?: MaybeRefOrGetter<HTMLMediaElement | null | undefined>;
}

/** Counts this page's viewer as watching until the scope ends, and while `media`, if given, plays. Waits for a stage and a viewer. */
export function useAudience(options: MaybeRefOrGetter<AudienceOptions>): Audience;

/** The live counts of stages, by stage, as far as they are known. All components of a page share one stream. */
export function useViewers(
  server: MaybeRefOrGetter<LiveServer>,
  stages: MaybeRefOrGetter<string | null | undefined | readonly string[]>,
): Readonly<Record<string, Count>>;
