/** Errors of the calls. */

import type { ActiveStream } from "./models.js";

export interface HousecountErrorFields {
  code?: string | undefined;
  status?: number | undefined;
  retryAfterMs?: number | undefined;
  active?: ActiveStream[] | undefined;
  cause?: unknown;
}

/** A node refused a call, or no node answered it. */
export class HousecountError extends Error {
  override readonly name = "HousecountError";
  /** For programs, such as `stage_not_found`. `""` if no housecount node answered. */
  readonly code: string;
  /** The HTTP status. Undefined without an answer, or for an error in a stream. */
  readonly status: number | undefined;
  /** The time that the node asked to wait for. */
  readonly retryAfterMs: number | undefined;
  /** Streams of the viewer, where the code is `too_many_streams`, oldest first. */
  readonly active: ActiveStream[];

  constructor(detail: string, { code = "", status, retryAfterMs, active = [], cause }: HousecountErrorFields = {}) {
    super(detail, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.active = active;
  }
}
