/** Where housecount is, and what proves who is asking. */
export interface Server {
  /** Where housecount answers, such as `https://count.example.org`; a path is kept. `""`: the page's own origin. */
  url: string;
  /**
   * What your backend has minted for this viewer, where the server asks for tokens. A function is asked for another one when three
   * quarters of a token's life are over, and when the server says that it has ended; the viewer is counted meanwhile.
   */
  token?: string | (() => Promise<string>) | undefined;
}

/**
 * State of a `watch` or a `subscribe`. `connecting`: not answered yet. `counted`: the server answers. `retrying`: it doesn't, and is
 * asked again. `refused`: it never will, and `onError` is told. `stopped`: by `leave()`, or because nothing plays.
 */
export type Status = "connecting" | "counted" | "retrying" | "refused" | "stopped";

/** Who is told what happens. */
export interface Reports {
  /**
   * Told each change. `why` is for developers: what is in the way, as far as the browser says it; or why it has stopped (`left`,
   * `paused`, `ended`, `error`, `stalled`, `waiting`). If no answer comes it is told within 3 s.
   */
  onStatus?: ((status: Status, why: string) => void) | undefined;
  /** Writes each change to the console. */
  debug?: boolean | undefined;
}

/** A server to look on at. */
export interface LiveServer extends Server, Reports {}

/** How many watch a stage, and how far that can be trusted. */
export interface Count {
  stage: string;
  /** Distinct viewers. */
  viewers: number;
  /** Players: a viewer with a phone and a laptop has two. */
  sessions: number;
  /** When it was so: Unix ms, by the server's clock. */
  asOf: number;
  /** Everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Bridged from what was known before a loss. The count may be high, for two minutes at most. */
  recovering: boolean;
}

/** Why the server will not take this viewer's heartbeats, whenever they are sent; or why it has ended a stream of counts. */
export interface HousecountError extends Error {
  name: "HousecountError";
  /** For programs, such as `stage_not_found`, `token_expired` or `key_removed`; docs/API.md has the list. `""` if it was no housecount that answered. */
  code: string;
  /** The HTTP status: 400, 401, 403 or 404. Unknown where a WebSocket or a stream said it. */
  status?: number | undefined;
}

/** Options of `watchPlayer` and `watchStage`; those of `watch`, but for what plays. */
export interface ViewerOptions extends Server, Reports {
  /** The live stream: 1-256 bytes of printable ASCII without spaces. */
  stage: string;
  /** Who is counted and billed: 1-128 bytes, no control characters. */
  viewer: string;
  /**
   * This player, where it has a name of its own, such as an IVS participant id; or what a token is bound to. Then this page beats for
   * itself. If not given, all pages of a browser that show this stage to this viewer take turns, and one beats for all of them.
   */
  session?: string | undefined;
  /** Told at once, then whenever the server says how many watch: about every 30 s. */
  onCount?: ((count: Count) => void) | undefined;
  /**
   * The server has refused for good (400, 401, 403, 404), or ended the connection because the token is no longer good, and nothing more
   * is sent. All else is tried again, which `onStatus` tells. Where `token` is a function, another token is tried before.
   */
  onError?: ((error: HousecountError) => void) | undefined;
  /**
   * `"auto"`, the default: a WebSocket, and `fetch` where none can be had. `"ws"` never falls back, and can't tell a refusal at the
   * door (a bad token) from an outage: it tries again.
   */
  transport?: "auto" | "ws" | "http" | undefined;
  /** Time in ms that what plays may wait for data until the viewer leaves; 10,000 by default. */
  stallMs?: number | undefined;
}

export interface WatchOptions extends ViewerOptions {
  /**
   * The viewer is counted only while it plays: pause, end, error, removal from the page and a stall longer than `stallMs` leave, and
   * playing again resumes. `null` is an element that isn't there: no viewer is counted. Without it the viewer watches until `leave()`.
   */
  media?: HTMLMediaElement | null | undefined;
}

export interface Watch {
  /** The viewer has stopped watching. Closing the page needs no call. May be called twice. */
  leave(): void;
  /** The same. */
  stop(): void;
}

/** Counts this page's viewer as watching a stage, until `leave()` or the page goes away; with `media` only while that plays. */
export function watch(options: WatchOptions): Watch;

/** What `watchPlayer` needs of a player of the package `amazon-ivs-player`. */
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

/** What `watchStage` needs of a `Stage` of the package `amazon-ivs-web-broadcast`. */
export interface IvsStage {
  on(name: any, listener: (...values: any[]) => void): unknown;
  off(name: any, listener: (...values: any[]) => void): unknown;
}

/**
 * Counts the viewer while an Amazon IVS stage (real time) is connected and has streams of another participant. Call it before the
 * stage's `join()`, which is when its events begin.
 */
export function watchStage(stage: IvsStage, options: ViewerOptions): Watch;

/**
 * Tells the live counts of stages: at once, and when they change, at most once a second each. All that a page's subscriptions want of
 * a server comes on one stream, and a browser's pages share it. What fails is tried again, but for a refusal.
 *
 * @param stages one stage, or up to 100; `[]`: all there are
 * @param onError the server has refused for good (400, 401, 403, 404, or a token that is no longer good), and nothing more is told
 * @returns ends it
 */
export function subscribe(
  server: LiveServer,
  stages: string | readonly string[],
  onCount: (count: Count) => void,
  onError?: (error: HousecountError) => void,
): () => void;
