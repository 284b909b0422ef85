import type { Count, LiveServer, ViewerOptions } from "./index.js";

/** Store of the known live counts, by stage: `$counts["match-1"]?.viewers`. */
export function viewers(
  server: LiveServer,
  stages: string | readonly string[],
): { subscribe(run: (counts: Readonly<Record<string, Count>>) => void): () => void };

/** Action that counts the viewer while the element plays: `<video use:audience={{ url, stage, viewer }}>`. */
export function audience(
  media: HTMLMediaElement,
  options: ViewerOptions,
): { update(options: ViewerOptions): void; destroy(): void };
