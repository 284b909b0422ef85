/** Where housecount is, and what proves who is asking. */
export interface Server {
  /** Where housecount answers, such as `https://count.example.org`; a path is kept. `""`: the page's own origin. */
  url: string;
  /** What your backend has minted for this viewer, where the server asks for tokens. */
  token?: string;
}

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
  status?: number;
}

export interface WatchOptions extends Server {
  /** The live stream: 1-256 bytes of printable ASCII without spaces. */
  stage: string;
  /** Who is counted and billed: 1-128 bytes, no control characters. */
  viewer: string;
  /**
   * This player, where it has a name of its own, such as an IVS participant id; or what a token is bound to. Then this page beats for
   * itself. If not given, all pages of a browser that show this stage to this viewer take turns, and one beats for all of them.
   */
  session?: string;
  /** Told at once, then whenever the server says how many watch: about every 30 s. */
  onCount?: (count: Count) => void;
  /**
   * The server has refused for good (400, 401, 403, 404), or ended the connection because the token is no longer good, and nothing more
   * is sent. All else is tried again, silently.
   */
  onError?: (error: HousecountError) => void;
  /**
   * `"auto"`, the default: a WebSocket, and `fetch` where none can be had. `"ws"` never falls back, and can't tell a refusal at the
   * door (a bad token) from an outage: it tries again.
   */
  transport?: "auto" | "ws" | "http";
}

export interface Watch {
  /** The viewer has stopped watching. Closing the page needs no call. May be called twice. */
  leave(): void;
  /** The same. */
  stop(): void;
}

/** Counts this page's viewer as watching a stage, until `leave()` or the page goes away. */
export function watch(options: WatchOptions): Watch;

/**
 * Tells the live counts of stages: at once, and when they change, at most once a second each. Connects again by itself, also where it
 * is refused: browsers don't say why.
 *
 * @param stages one stage, or up to 100; `[]`: all there are
 * @param onEnd the token is no longer good (`token_expired`, `key_removed`), and nothing more is told: subscribe again with another one
 * @returns ends it
 */
export function subscribe(
  server: Server,
  stages: string | string[],
  onCount: (count: Count) => void,
  onEnd?: (error: HousecountError) => void,
): () => void;
