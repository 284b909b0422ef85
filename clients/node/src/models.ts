/** Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit. */

/** What became of many heartbeats. */
export interface BatchResponse {
  /** How many were taken, those that were coalesced included. */
  accepted: number;
  /** The others, and why. */
  rejected: RejectedHeartbeat[];
  /** How many were beyond their session's limit and are answered by its last logged heartbeat. Absent if there are none. */
  coalesced?: number | null | undefined;
}

/** Who watches. */
export interface CostAudience {
  /** Stages with somebody online. */
  stages: number;
  /** Distinct online viewers. */
  viewers: number;
}

/** The limit. */
export interface CostLimit {
  /** `cost.guard` */
  guard: string;
  /** Whether a month would cost more. */
  isExceeded: boolean;
  /** Whether snapshots are taken less often because of it, and a log in DynamoDB is written to less often. */
  isStretched: boolean;
  /** `cost.monthly_limit_usd` */
  monthUsd: number;
}

/** What this node's calls cost. Money is in US dollars, to the micro-dollar. */
export interface CostResponse {
  /** When it was so, Unix ms. */
  asOf: number;
  /** Who watches. */
  audience: CostAudience;
  /** What this audience would cost by each plan, all month. */
  plans: PlanCost[];
  /** Region and date of the prices. */
  prices: string;
  /** DynamoDB's requests, by what for. */
  purposes: PurposeCost[];
  /** Since when it is counted, Unix ms. */
  since: number;
  /** What lies in the cold tier. */
  storage: StorageCost;
  /** Total of all parts. */
  total: TotalCost;
  limit?: CostLimit | null | undefined;
  redis?: RedisCost | null | undefined;
}

/** The answer to a heartbeat: the stage's count, with this heartbeat in it. */
export interface HeartbeatResponse {
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** Online sessions. */
  sessions: number;
  /** Distinct online viewers. */
  viewers: number;
  /** When to beat next, in ms: the interval give or take a tenth, more under load, never above ttl/3. */
  nextMs: number;
  /** Only there, and true, if the heartbeat was beyond its session's limit: it was not logged, and is answered by the session's last logged one, which is less than a second old. */
  coalesced?: boolean | null | undefined;
}

/** Concurrency, step by step. */
export interface HistoryResponse {
  /** Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** The range, Unix ms. */
  from: number;
  /** Its end, not included. */
  to: number;
  /** The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the last `ttlMs` of a range that ends now is too low. */
  ttlMs: number;
  /** In the order of time, aligned to the epoch. */
  history: HistoryStep[];
  /** How long a step is; the first and the last may be cut off. */
  stepMs: number;
  /** The stage; missing where it is all together. */
  stage?: string | null | undefined;
}

/** Concurrency over a step. */
export interface HistoryStep {
  /** When it begins, Unix ms. */
  at: number;
  /** Viewers on average. */
  avg: number;
  /** The most at once. */
  max: number;
  /** The fewest at once. */
  min: number;
}

/** A viewer on a stage. */
export interface OnlineViewer {
  /** The latest heartbeat of them, Unix ms. */
  lastBeatAt: number;
  /** The viewer's online sessions. */
  sessions: string[];
  /** The viewer. */
  viewer: string;
}

/** A plan. */
export interface PlanCost {
  /** What is lost when the worst single thing fails. */
  loses: string;
  /** A month. */
  monthUsd: number;
  /** For people. */
  name: string;
  /** `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`. */
  plan: string;
}

/** DynamoDB's requests for one purpose. */
export interface PurposeCost {
  /** In the last hour. */
  lastHourUsd: number;
  /** In a month like it. */
  monthUsd: number;
  /** What for. */
  purpose: string;
  /** Read units. */
  readUnits: number;
  /** `cold` or `log`. */
  store: string;
  /** What they cost so far. */
  usd: number;
  /** Write units. */
  writeUnits: number;
}

/** Memory and price of Redis. */
export interface RedisCost {
  /** Bytes of what it sent, without the protocol. */
  bytesIn: number;
  /** Bytes of what was answered, likewise. */
  bytesOut: number;
  /** Commands this node has sent. */
  commands: number;
  /** What Redis has in memory, as it last said; 0 before. */
  memoryBytes: number;
  /** A month of it. */
  monthUsd: number;
  /** The smallest node that holds twice as much; `serverless` if none does. */
  node: string;
}

/** A heartbeat that was not taken. */
export interface RejectedHeartbeat {
  /** Stable, for programs. */
  code: string;
  /** For people. */
  detail: string;
  /** Its place in the array, or its line: 0 and up. */
  index: number;
}

/** What a restore found. */
export interface RestoreResponse {
  /** Whether there was a snapshot to restore. */
  restored: boolean;
  /** Stages in it. */
  stages: number;
  /** Viewers in it. */
  viewers: number;
  /** When it was taken, Unix ms. */
  takenAt?: number | null | undefined;
  /** Until when its counts stand in, Unix ms. */
  until?: number | null | undefined;
}

/** What a snapshot saved. */
export interface SaveSnapshotsResponse {
  /** `saved`, `nothingActive`, or `busyElsewhere`: another node is at it. */
  outcome: string;
  /** Stages saved. */
  stages: number;
  /** How long it took. */
  tookMs: number;
  /** Viewers in it. */
  viewers: number;
  /** The snapshot's moment, Unix ms. */
  at?: number | null | undefined;
}

/** A stage's count at a moment. */
export interface Snapshot {
  /** The most viewers at once until then. */
  peak: number;
  /** Whether it was bridged and not counted. */
  recovering: boolean;
  /** Online sessions. */
  sessions: number;
  /** Unix ms. */
  timestamp: number;
  /** Distinct online viewers. */
  viewers: number;
}

/** A stage: what is configured about it, and who watches it. */
export interface Stage {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** The most viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Its id. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** When it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Who pays for it. */
  customer?: string | null | undefined;
  /** What people call it. */
  name?: string | null | undefined;
  /** Whatever else was said. */
  tags?: Record<string, string> | null | undefined;
}

/** A stage after its configuration was made or changed. */
export interface StageChangeResponse {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** The most viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Its id. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is away and has not been asked about this stage before: the count is right. */
  configurationKnown: boolean;
  /** First moment of watch time that it applies to, Unix ms: the start of this window of the ledger, or of the first one that is not committed. Time before keeps the configuration that it had. */
  effectiveFrom: number;
  /** When it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Who pays for it. */
  customer?: string | null | undefined;
  /** What people call it. */
  name?: string | null | undefined;
  /** Whatever else was said. */
  tags?: Record<string, string> | null | undefined;
}

/** A stage whose configuration was deleted. */
export interface StageDeletionResponse {
  /** First moment of watch time without a configuration, Unix ms: the end of this window of the ledger. Time before keeps the configuration that it had. */
  effectiveFrom: number;
  /** Its id. */
  stage: string;
}

/** A stage with its standing. */
export interface StageResponse {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** The most viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Its id. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is away and has not been asked about this stage before: the count is right. */
  configurationKnown: boolean;
  /** When it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Who pays for it. */
  customer?: string | null | undefined;
  /** What people call it. */
  name?: string | null | undefined;
  /** Whatever else was said. */
  tags?: Record<string, string> | null | undefined;
}

/** A stage's snapshots. */
export interface StageSnapshotsResponse {
  /** In the order of time, at most 1,000. */
  snapshots: Snapshot[];
  /** The stage. */
  stage: string;
  /** Where to go on (`from`) if there are more. */
  nextFrom?: number | null | undefined;
}

/** A page of viewers. */
export interface StageViewersResponse {
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** Sorted by id within the page. The order of the pages is the same on every node. */
  viewers: OnlineViewer[];
  /** To be given back for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** A viewer's time on a stage. */
export interface StageWatch {
  /** When the first of it began, Unix ms. */
  firstAt: number;
  /** When the last of it ended, Unix ms. */
  lastAt: number;
  /** Milliseconds watched within the range. */
  watchMs: number;
  /** The stage. */
  stage: string;
  /** When exactly, with `intervals=true`. */
  intervals?: WatchInterval[] | null | undefined;
}

/** A stage's watch time, by viewer. */
export interface StageWatchResponse {
  /** Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** The range, Unix ms. */
  from: number;
  /** Its end, not included. */
  to: number;
  /** The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the last `ttlMs` of a range that ends now is too low. */
  ttlMs: number;
  /** The stage. */
  stage: string;
  /** Sorted by viewer. */
  watch: ViewerWatch[];
  /** To be given back for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** What was watched of a stage. */
export interface StageWatchTotal {
  /** The stage. */
  stage: string;
  /** Milliseconds that all its viewers watched together. */
  watchMs: number;
  /** With `step`: viewers on average, step by step from `from` on. */
  history?: number[] | null | undefined;
}

/** A page of stages. */
export interface StagesResponse {
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is away: the counts are right, but names and stages that are only configured are missing. */
  configurationKnown: boolean;
  /** Sorted by id. */
  stages: Stage[];
  /** To be given back for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** The count over all stages. */
export interface StatsResponse {
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** Online sessions. */
  sessions: number;
  /** Stages with somebody online. */
  stages: number;
  /** Distinct online viewers: one on two stages is one. */
  viewers: number;
}

/** What lies in the cold tier. */
export interface StorageCost {
  /** As the table last said, or else as this node has put there. */
  bytes: number;
  /** A month of them. */
  monthUsd: number;
}

/** Sum of requests, storage and Redis. */
export interface TotalCost {
  /** Requests in the last hour, or since the start if that is younger. */
  lastHourUsd: number;
  /** A month like it, with storage and Redis. */
  monthUsd: number;
  /** Requests so far. */
  usd: number;
  /** What a million hours of watching cost, by the last hour; null if nobody watched. */
  perMillionViewerHoursUsd?: number | null | undefined;
}

/** Where a viewer is. */
export interface ViewerResponse {
  /** When it was so: Unix ms on the log's clock. */
  asOf: number;
  /** Whether everybody is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. Never longer than one ttl. */
  recovering: boolean;
  /** Whether the viewer is online anywhere. */
  online: boolean;
  /** Where, sorted by stage. */
  stages: ViewerStage[];
  /** The viewer. */
  viewer: string;
}

/** A stage that a viewer watches. */
export interface ViewerStage {
  /** The latest heartbeat of them, Unix ms. */
  lastBeatAt: number;
  /** The viewer's online sessions there. */
  sessions: string[];
  /** The stage. */
  stage: string;
}

/** A viewer's time. */
export interface ViewerWatch {
  /** When the first of it began, Unix ms. */
  firstAt: number;
  /** When the last of it ended, Unix ms. */
  lastAt: number;
  /** Milliseconds watched within the range. */
  watchMs: number;
  /** The viewer. */
  viewer: string;
  /** When exactly, with `intervals=true`. */
  intervals?: WatchInterval[] | null | undefined;
}

/** A viewer's watch time, by stage. */
export interface ViewerWatchResponse {
  /** Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** The range, Unix ms. */
  from: number;
  /** Its end, not included. */
  to: number;
  /** The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the last `ttlMs` of a range that ends now is too low. */
  ttlMs: number;
  /** The viewer. */
  viewer: string;
  /** Sorted by stage. */
  watch: StageWatch[];
  /** To be given back for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** A span of proven time. */
export interface WatchInterval {
  /** Unix ms, included. */
  from: number;
  /** Unix ms, not included. */
  to: number;
}

/** What was watched, by stage. */
export interface WatchTotalsResponse {
  /** Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** The range, Unix ms. */
  from: number;
  /** Its end, not included. */
  to: number;
  /** The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the last `ttlMs` of a range that ends now is too low. */
  ttlMs: number;
  /** Sorted by stage; those that nobody watched are left out. */
  watch: StageWatchTotal[];
  /** To be given back for the next page; missing on the last one. */
  cursor?: string | null | undefined;
  /** How long a step is; steps are aligned to the epoch, the first and the last may be cut off. */
  stepMs?: number | null | undefined;
}
