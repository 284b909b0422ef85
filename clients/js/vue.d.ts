import type { MaybeRefOrGetter } from "vue";
import type { Count, HousecountError, LiveServer, Status, WatchOptions } from "./index.js";

export interface Audience {
  /** Count of the last heartbeat; `null` before the first response. */
  readonly count: Count | null;
  /** Permanent rejection; `null` if there is none. */
  readonly error: HousecountError | null;
  readonly status: Status | null;
}

/** Options of `useAudience`. */
export interface AudienceOptions
  extends Omit<WatchOptions, "stage" | "viewer" | "media" | "onCount" | "onError" | "onStatus"> {
  stage?: string | null | undefined;
  viewer?: string | null | undefined;
  /** Element that plays the stream, or a template ref to it; the watch starts once it is set. */
  media?: MaybeRefOrGetter<HTMLMediaElement | null | undefined>;
}

/** Counts this page's viewer until the scope ends, and while `media`, if given, plays. Waits for a stage and a viewer. */
export function useAudience(options: MaybeRefOrGetter<AudienceOptions>): Audience;

/** Known live counts, by stage. All components of a page share one stream. */
export function useViewers(
  server: MaybeRefOrGetter<LiveServer>,
  stages: MaybeRefOrGetter<string | null | undefined | readonly string[]>,
): Readonly<Record<string, Count>>;
