/** Counts who watches a live stream, on a housecount server. */

export { Client, Pages } from "./client.js";
export type {
  ByOptions,
  CallOptions,
  ClientOptions,
  HistoryOptions,
  LabelHistoryOptions,
  LabelRangeOptions,
  ListOptions,
  PlayerCallOptions,
  RangeOptions,
  StageConfiguration,
  WatchListOptions,
} from "./client.js";
export { HousecountError } from "./errors.js";
export type * from "./models.js";
export { signToken } from "./tokens.js";
export type { TokenClaims } from "./tokens.js";
export { Watch } from "./watch.js";
export type { TokenSource, WatchOptions } from "./watch.js";
export type { Heartbeat, LiveCount, LiveEvent, LiveLabels, LiveReset, LiveTotals, Time } from "./wire.js";
