/** The driver of the state machine of a stay. */

import { randomBytes } from "node:crypto";

import { HousecountError } from "./errors.js";
import type { HeartbeatResponse } from "./models.js";
import { Stay, type Answer, type Event, type Failure, type Request } from "./stay.js";
import { tokenTimesMs } from "./tokens.js";
import { beatOf, heartbeatAnswerOf, type Heartbeat } from "./wire.js";

/** A leave is a hint: it has this long to be sent, and is not repeated. */
const LEAVE_MS_MAX = 10_000;

/** A viewer's token, or what returns one. */
export type TokenSource = string | (() => string | Promise<string>);

export interface WatchOptions extends Heartbeat {
  /** A viewer's token, or what returns one; the latter is asked again before the token ends and after a 401. */
  token?: TokenSource | undefined;
  /** Outcome the count that each heartbeat is answered. */
  onCount?: ((count: HeartbeatResponse) => void) | undefined;
  /** Outcome why a heartbeat failed, and after how long it is sent again. */
  onRetry?: ((error: HousecountError, waitMs: number) => void) | undefined;
  /** Outcome why the server refuses the viewer for good; nothing more is sent. */
  onError?: ((error: HousecountError) => void) | undefined;
}

/** A viewer who is counted until `leave()`. Made by `Client.watch`. */
export class Watch implements AsyncDisposable {
  readonly #url: string;
  readonly #options: WatchOptions;
  #beat!: Heartbeat;
  #stay!: Stay;
  #token: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Gives up the request under way. */
  #underWay: AbortController | undefined;
  readonly #leaves = new Set<Promise<void>>();
  #over!: Promise<void>;
  #endOver!: () => void;

  /** @internal */
  constructor(url: string, options: WatchOptions) {
    this.#url = url;
    this.#options = options;
    this.#token = typeof options.token === "string" ? options.token : undefined;
    this.#begin();
  }

  /** Begins a stay. Its session's name is never used again, unless the caller gave it. */
  #begin(): void {
    const { session, token } = this.#options;
    this.#beat = { ...beatOf(this.#options), session: session ?? randomBytes(8).toString("hex") };
    this.#stay = new Stay({ hasOwnSession: session !== undefined, hasTokens: typeof token === "function" });
    this.#over = new Promise((resolve) => (this.#endOver = resolve));
    this.#handle({ type: "start" });
  }

  /** Says that the viewer has stopped, and waits until that is sent. May be called twice. */
  async leave(): Promise<void> {
    this.#handle({ type: "leave" });
    await this.#over;
    await Promise.all(this.#leaves);
  }

  /** Counts the viewer again after `leave()`, in a new session unless the session was named. */
  resume(): void {
    if (this.#stay.state === "over") this.#begin();
  }

  /** Says that the network is back: the next heartbeat goes at once. */
  online(): void {
    this.#handle({ type: "online" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  #handle(event: Event): void {
    const stay = this.#stay;
    const now = Date.now();
    const { requests, outcome } = stay.handle(now, event);
    clearTimeout(this.#timer);
    if (stay.dueAt !== undefined) this.#timer = setTimeout(() => this.#handle({ type: "timer" }), stay.dueAt - now);
    for (const request of requests) this.#do(request);
    if (stay.state === "over") this.#endOver();
    if (outcome?.type === "count") this.#options.onCount?.(outcome.count);
    if (outcome?.type === "retry") this.#options.onRetry?.(errorOf(outcome.why), outcome.waitMs);
    if (outcome?.type === "refused") this.#options.onError?.(errorOf(outcome.why));
  }

  #do(request: Request): void {
    if (request === "abandon") {
      this.#underWay?.abort();
      this.#underWay = undefined;
    } else if (request === "leave") {
      const leave: Promise<void> = this.#sendLeave().finally(() => this.#leaves.delete(leave));
      this.#leaves.add(leave);
    } else {
      const mine = (this.#underWay = new AbortController());
      void (request === "token" ? this.#askForToken() : this.#sendHeartbeat(mine.signal)).then((event) => {
        if (this.#underWay !== mine) return;
        this.#underWay = undefined;
        this.#handle(event);
      });
    }
  }

  async #askForToken(): Promise<Event> {
    try {
      const { token } = this.#options;
      this.#token = typeof token === "function" ? await token() : token;
    } catch (cause) {
      return { type: "failure", detail: `no token could be had: ${String(cause)}`, cause };
    }
    return { type: "token", ...tokenTimesMs(this.#token ?? "") };
  }

  async #sendHeartbeat(signal: AbortSignal): Promise<Event> {
    try {
      return await heartbeatAnswerOf(await this.#post("/v1/heartbeat", this.#beat, signal));
    } catch (cause) {
      return { type: "failure", detail: `no answer: ${String(cause)}`, cause };
    }
  }

  async #sendLeave(): Promise<void> {
    try {
      // A leave has no use for the rest of the heartbeat.
      const { stage, viewer, session } = this.#beat;
      const response = await this.#post("/v1/leave", { stage, viewer, session }, AbortSignal.timeout(LEAVE_MS_MAX));
      await response.body?.cancel();
    } catch {
      // A leave is a hint: without it the session ends a ttl after its last heartbeat.
    }
  }

  #post(path: string, body: Heartbeat, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (this.#token) headers["authorization"] = `Bearer ${this.#token}`;
    return fetch(this.#url + path, { method: "POST", headers, body: JSON.stringify(body), signal });
  }
}

function errorOf(why: Answer | Failure): HousecountError {
  return new HousecountError(why.detail, why.type === "answer" ? why : { cause: why.cause });
}

