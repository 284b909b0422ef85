import type { Count, HousecountError, Server, WatchOptions } from "housecount";

export interface Audience {
  /** `null` until the server has answered. */
  count: Count | null;
  /** Why it has ended for good, if it has. */
  error: HousecountError | null;
}

/** Counts this page's viewer as watching, while the component is mounted. Without a stage or a viewer it waits for them. */
export function useAudience(
  options: Omit<WatchOptions, "stage" | "viewer" | "onCount" | "onError"> & { stage?: string | null; viewer?: string | null },
): Audience;

/** A stage's live count, for who only looks on. `null` until it is known. */
export function useViewers(server: Server, stage?: string | null): Count | null;
