/** Address of the housecount server, and the viewer's token. */
export interface Server {
  /** URL of the server, such as `https://count.example.org`; a path is kept. `""`: the page's own origin. */
  url: string;
  /**
   * Token that your backend signed for this viewer, if the server requires one. A function is called again after three quarters of a
   * token's lifetime, and when the server reports that it has expired. The viewer stays counted meanwhile.
   */
  token?: string | (() => Promise<string>) | undefined;
}

/**
 * State of a `watch` or a `subscribe`.
 *
 * - `connecting`: no response yet.
 * - `counted`: the server responds.
 * - `retrying`: a request failed; the library retries.
 * - `refused`: the server rejected the viewer for good; `onError` gets the reason.
 * - `stopped`: `leave()` was called, or nothing plays.
 */
export type Status = "connecting" | "counted" | "retrying" | "refused" | "stopped";

/** Reports of the library's state, for developers. */
export interface Reports {
  /**
   * Called with each change. `why` is the browser's reason for a failure, or why the watch has stopped (`left`, `paused`, `ended`,
   * `error`, `stalled`, `waiting`). Without a response it is called within 3 s.
   */
  onStatus?: ((status: Status, why: string) => void) | undefined;
  /** Writes each change to the console. */
  debug?: boolean | undefined;
}

/** Server of a `subscribe`. Subscriptions that differ in `every` or `sessions` have a stream each. */
export interface LiveServer extends Server, Reports {
  /** Least time between two counts of a stage, from `"1s"` to `"10s"`; by default `"5s"`. A server with many streams may raise it. */
  every?: string | undefined;
  /** Whether counts have `sessions` and `asOf`, for larger events; by default false. */
  sessions?: boolean | undefined;
}

/** Count of a stage's viewers, and whether it is exact. */
export interface Count {
  stage: string;
  /** Distinct viewers. Missing only where the stage hides its count from players (`publicCount: "hidden"`). */
  viewers: number;
  /** Players: a viewer with a phone and a laptop has two. Only with the option `sessions`, or from an older server. */
  sessions?: number | undefined;
  /** Time of the count: Unix ms, by the server's clock. May be missing if the count is complete: then the count is of now. */
  asOf?: number | undefined;
  /** All viewers are counted. Otherwise the count may be low. */
  complete: boolean;
  /** Restored from the state before a data loss. The count may be high, for two minutes at most. */
  recovering: boolean;
}

/** Permanent rejection: of this viewer's heartbeats, or of a stream of counts. No retry can succeed. */
export interface HousecountError extends Error {
  name: "HousecountError";
  /**
   * Stable code, such as `stage_not_found`, `token_expired` or `key_removed`; docs/API.md has the list. `""` if the response was not
   * from housecount.
   */
  code: string;
  /** HTTP status: 400, 401, 403, 404 or 409. Missing if the error came over a WebSocket or a stream. */
  status?: number | undefined;
  /** With `too_many_streams`: the viewer's streams, with the time of the first heartbeat of each (Unix ms). */
  active?: readonly { stage: string; session: string; since: number }[] | undefined;
}

/** Options of `watchPlayer` and `watchStage`: those of `watch` without `media`. */
export interface ViewerOptions extends Server, Reports {
  /** Id of the live stream: 1-256 bytes of printable ASCII without spaces. */
  stage: string;
  /** Id of the viewer who is counted and billed: 1-128 bytes, no control characters. */
  viewer: string;
  /**
   * Id of this player, such as an IVS participant id, or the session of a token. This page then sends its own heartbeats. By default,
   * one page sends heartbeats for all pages of the browser that show this stage to this viewer.
   */
  session?: string | undefined;
  /**
   * Labels of the session, such as `{ country: "TW", device: "tv" }`, if the server's setting `labels` has these keys. Those of a
   * token or a proxy win. A session keeps its first labels. If pages share heartbeats, the page that sends them decides.
   */
  labels?: Readonly<Record<string, string | null | undefined>> | undefined;
  /** Called with the count of each heartbeat: at once, then about every 30 s. */
  onCount?: ((count: Count) => void) | undefined;
  /**
   * Called when the server rejects the viewer for good (400, 401, 403, 404, 409), or the token has expired. No more heartbeats follow.
   * The library retries all other errors, which `onStatus` reports. If `token` is a function, it tries another token first.
   */
  onError?: ((error: HousecountError) => void) | undefined;
  /**
   * Transport of heartbeats. `"auto"`, the default: a WebSocket, or `fetch` where that fails. `"ws"` never falls back, and retries
   * after a rejected handshake (a bad token), which looks like an outage.
   */
  transport?: "auto" | "ws" | "http" | undefined;
  /**
   * Whether counts have `sessions`, for about 40 bytes more per heartbeat; by default false. If pages share heartbeats, the page that
   * sends them decides.
   */
  sessions?: boolean | undefined;
  /**
   * Whether the server may answer every second heartbeat only, over a WebSocket; by default false. Then `onCount` is called half as
   * often, and the server sends a fifth fewer bytes.
   */
  quiet?: boolean | undefined;
  /** Time in ms that the media may wait for data before the viewer leaves; 10,000 by default. */
  stallMs?: number | undefined;
}

export interface WatchOptions extends ViewerOptions {
  /**
   * Element that plays the stream. The viewer leaves on pause, end, error, removal from the page and a stall longer than `stallMs`, and
   * returns when it plays again. `null`, a missing element, counts no viewer. Without `media` the viewer is counted until `leave()`.
   */
  media?: HTMLMediaElement | null | undefined;
}

export interface Watch {
  /** Ends the watch. Closing the page needs no call. May be called twice. */
  leave(): void;
  /** Alias of `leave`. */
  stop(): void;
}

/** Counts this page's viewer on a stage, until `leave()` or the page closes; with `media` only while that plays. */
export function watch(options: WatchOptions): Watch;

/** Part of `amazon-ivs-player`'s player that `watchPlayer` uses. */
export interface IvsPlayer {
  getState(): string;
  addEventListener(name: any, listener: () => void): void;
  removeEventListener(name: any, listener: () => void): void;
}

/**
 * Counts the viewer while an Amazon IVS player (low latency) is in the state `Playing`. `Idle` (paused), `Ended`, an error, and
 * `Buffering` for longer than `stallMs` leave.
 */
export function watchPlayer(player: IvsPlayer, options: ViewerOptions): Watch;

/** Part of `amazon-ivs-web-broadcast`'s `Stage` that `watchStage` uses. */
export interface IvsStage {
  on(name: any, listener: (...values: any[]) => void): unknown;
  off(name: any, listener: (...values: any[]) => void): unknown;
}

/**
 * Counts the viewer while an Amazon IVS stage (real time) is connected and has streams of another participant. Call it before the
 * stage's `join()`, after which its events begin.
 */
export function watchStage(stage: IvsStage, options: ViewerOptions): Watch;

/**
 * Subscribes to the live counts of stages: at once, then with each change, at most one per `every` and stage. All subscriptions of a
 * browser to a server share one stream. The library retries all errors except a rejection.
 *
 * @param stages one stage, or up to 100; `[]`: all stages
 * @param onError called when the server rejects the subscription for good (400, 401, 403, 404, or an expired token)
 * @returns a function that ends the subscription
 */
export function subscribe(
  server: LiveServer,
  stages: string | readonly string[],
  onCount: (count: Count) => void,
  onError?: (error: HousecountError) => void,
): () => void;
