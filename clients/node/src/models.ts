/** Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit. */

/** A stream of the viewer who asked for another one. */
export interface ActiveStream {
  /** The session; empty if its player sends none. */
  session: string;
  /** First heartbeat since the session came online, Unix ms. */
  since: number;
  /** The stage. */
  stage: string;
}

/** Result of many heartbeats. */
export interface BatchResponse {
  /** Number of accepted heartbeats, coalesced ones included. */
  accepted: number;
  /** The rejected heartbeats, and why. */
  rejected: RejectedHeartbeat[];
  /** Number of heartbeats beyond their session's limit. The session's last logged heartbeat answers them. Absent if zero. */
  coalesced?: number | null | undefined;
}

/** A broadcast: a time in which a stage had an audience. */
export interface Broadcast {
  /** Average number of viewers at once over the whole range. */
  averageViewers: number;
  /** Mean watch time of a viewer, ms; 0 without viewers. */
  averageWatchMs: number;
  /** Views that begin within the range. */
  joins: number;
  /** Views that end within the range, also at its end. A view has ended once it is certain that it does not go on. */
  leaves: number;
  /** Smallest watch time that at least half of the viewers don't exceed, ms. */
  medianWatchMs: number;
  /** Smallest watch time that at least nine tenths of the viewers don't exceed, ms. */
  p90WatchMs: number;
  /** Largest number of viewers at once. Of all stages, a viewer on two counts on both. */
  peakViewers: number;
  /** Distinct viewers with watch time. */
  uniqueViewers: number;
  /** Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the ttl. */
  views: number;
  /** Sum of their watch times, ms. */
  watchMs: number;
  /** First moment with a viewer, Unix ms. */
  from: number;
  /** Whether the broadcast may still go on. */
  ongoing: boolean;
  /** End of the last viewer's watch time, Unix ms. */
  to: number;
  /** Viewers without; only with `before`. */
  newViewers?: number | null | undefined;
  /** First moment with the peak, Unix ms; missing without viewers. */
  peakAt?: number | null | undefined;
  /** Viewers with watch time in the time before the range too; only with `before`. */
  returningViewers?: number | null | undefined;
}

/** Broadcasts of a stage. */
export interface BroadcastsResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Broadcasts, newest first. */
  broadcasts: Broadcast[];
  /** Longest time without a viewer within a broadcast, ms. */
  gapMs: number;
  /** The stage. */
  stage: string;
}

/** Two reports side by side. */
export interface CompareResponse {
  /** Report of the first range. */
  a: ReportResponse;
  /** Report of the second range. */
  b: ReportResponse;
}

/** Size of the audience. */
export interface CostAudience {
  /** Stages with a viewer online. */
  stages: number;
  /** Distinct online viewers. */
  viewers: number;
}

/** Limit of the monthly cost. */
export interface CostLimit {
  /** `cost.guard` */
  guard: string;
  /** Whether the calls and bytes of a month like the last hour would cost more. */
  isExceeded: boolean;
  /** Whether the node asks players for a heartbeat every ttl/3 only, because of bytes. */
  isSlowed: boolean;
  /** Whether the node saves cost because of it. It then takes snapshots less often, and writes less often to a log in DynamoDB. */
  isStretched: boolean;
  /** `cost.monthly_limit_usd` */
  monthUsd: number;
}

/** Metered cost of this node's calls. Money is in US dollars, to the micro-dollar. */
export interface CostResponse {
  /** Time of this answer's figures, Unix ms. */
  asOf: number;
  /** The audience at that time. */
  audience: CostAudience;
  /** Bytes to clients. */
  egress: EgressCost;
  /** Cost of this audience for a whole month, by each plan. */
  plans: PlanCost[];
  /** Region and date of the prices. */
  prices: string;
  /** DynamoDB's requests, by purpose. */
  purposes: PurposeCost[];
  /** Start of the count, Unix ms. */
  since: number;
  /** Data stored in the cold tier. */
  storage: StorageCost;
  /** Total of all parts. */
  total: TotalCost;
  limit?: CostLimit | null | undefined;
  machine?: MachineCost | null | undefined;
  redis?: RedisCost | null | undefined;
}

/** Watch time of a customer in a period. */
export interface CustomerUsage {
  /** Customer in force when the time was watched; empty for stages without one. */
  customer: string;
  /** Start of the period, or of the range if that is later, Unix ms. */
  from: number;
  /** Name of the period, such as `2026-10` or `2026-10-25`. */
  period: string;
  /** Number of the customer's stages with watch time. */
  stages: number;
  /** End of the period, or of the range if that is earlier, Unix ms, not included. */
  to: number;
  /** Sum of the viewers' watch time on each stage, in milliseconds. */
  watchMs: number;
  /** Stage, with `group=stage`. */
  stage?: string | null | undefined;
}

/** Bytes of the packets to clients, with their headers. */
export interface EgressCost {
  /** Bytes so far. */
  bytes: number;
  /** Bytes of a month like the last hour. */
  monthBytes: number;
  /** Cost of these in a month, if they were the only bytes of the account. */
  monthUsd: number;
}

/** An event. */
export interface Event {
  /** Time of the count, Unix ms. */
  asOf: number;
  /** Time of the event, Unix ms. */
  at: number;
  /** Whether the count is complete. Only `count.incomplete` has `false`. */
  complete: boolean;
  /** Id that no other event has; of a webhook, the header `webhook-id`. */
  id: string;
  /** Whether earlier counts stand in. */
  recovering: boolean;
  /** Number of the event, from 1. A stage's events are in this order. */
  seq: number;
  /** Type of the event. */
  type: EventType;
  direction?: ThresholdDirection | null | undefined;
  /** `budget.exceeded`: the setting `cost.monthly_limit_usd`. */
  limitUsd?: number | null | undefined;
  /** `budget.exceeded`: projected cost of a month, US dollars. */
  monthUsd?: number | null | undefined;
  /** `stage.drop`: last time at which the stage had them, Unix ms. */
  peakAt?: number | null | undefined;
  /** `stage.drop`: viewers before. */
  peakViewers?: number | null | undefined;
  /** Sessions of the stage, or of all stages; missing where no count is complete. */
  sessions?: number | null | undefined;
  /** The stage; missing for events of all stages. */
  stage?: string | null | undefined;
  /** `stage.threshold`: the number of viewers that was crossed. */
  threshold?: number | null | undefined;
  /** Viewers of the stage, or of all stages; missing where no count is complete. */
  viewers?: number | null | undefined;
}

/** Type of an event. */
export type EventType = "stage.opened" | "stage.emptied" | "stage.threshold" | "stage.drop" | "count.incomplete" | "count.complete" | "budget.exceeded";

/** Events, oldest first. */
export interface EventsResponse {
  /** Whether all events that are stored so far have been looked at. */
  atEnd: boolean;
  /** The events. There may be none although later ones match: continue while `atEnd` is false. */
  events: Event[];
  /** Value of `after` for the events that follow. */
  next: string;
  /** Number of the first event that is still kept; present if events before it have expired unseen. */
  firstKept?: number | null | undefined;
}

/** Answer to a heartbeat: the stage's count, with this heartbeat in it. */
export interface HeartbeatResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** Time until the next heartbeat is due, in ms. This is the interval plus or minus a tenth, and longer under load. It is never above ttl/3. */
  nextMs: number;
  /** Online sessions. Absent where the stage hides them. */
  sessions?: number | null | undefined;
  /** Distinct online viewers. Absent where the stage hides them. */
  viewers?: number | null | undefined;
  /** Present, and true, only for a heartbeat beyond its session's limit. It was not logged. The session's last logged heartbeat, which is less than a second old, answers it. */
  coalesced?: boolean | null | undefined;
}

/** Concurrency, step by step. */
export interface HistoryResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Steps in order of time, aligned to the epoch. */
  history: HistoryStep[];
  /** Length of a step; the first and the last step may be shorter. */
  stepMs: number;
  by?: LabelTotals | null | undefined;
  /** The stage; missing for all stages together. */
  stage?: string | null | undefined;
}

/** Concurrency over a step. */
export interface HistoryStep {
  /** Start of the step, Unix ms. */
  at: number;
  /** Average number of viewers. */
  avg: number;
  /** Largest number of viewers at once. */
  max: number;
  /** Smallest number of viewers at once. */
  min: number;
}

/** Online viewers of one value of a label. */
export interface LabelCount {
  /** Distinct online viewers. */
  viewers: number;
  /** The value; null for sessions without the label. */
  value?: string | null | undefined;
}

/** Online viewers by the values of a label. */
export interface LabelCounts {
  /** Key of the label. */
  key: string;
  /** Viewers of each value, the most first. A viewer whose sessions have several values is in each of them, once. */
  values: LabelCount[];
  /** Number of values that are left out, because they have fewer viewers than the setting `labels_floor`; missing if there are none. */
  belowFloor?: number | null | undefined;
  /** Number of values that are left out after the first 1,000; missing if there are none. */
  omitted?: number | null | undefined;
}

/** Main figures of a report by the values of a label. */
export interface LabelReport {
  /** Key of the label. */
  key: string;
  /** Figures of each value, those with the most watch time first. */
  values: ValueReport[];
  /** Number of values that are left out, because they have fewer viewers than the setting `labels_floor`; missing if there are none. */
  belowFloor?: number | null | undefined;
}

/** Watch time and concurrency by the values of a label. */
export interface LabelTotals {
  /** Key of the label. */
  key: string;
  /** Figures of each value, those with the most watch time first. */
  values: ValueTotal[];
  /** Number of values that are left out, because they have fewer viewers than the setting `labels_floor`; missing if there are none. */
  belowFloor?: number | null | undefined;
}

/** Watch time by the values of a label. */
export interface LabelWatchResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Watch time of each value. */
  by: LabelTotals;
  /** The stage; missing for all stages together. */
  stage?: string | null | undefined;
}

/** A machine, with a public address and a disk of 8 GB. */
export interface MachineCost {
  /** Cost of a month. */
  monthUsd: number;
  /** `cost.machine`, or the cheapest machine with this one's memory. */
  name: string;
}

/** A viewer on a stage. */
export interface OnlineViewer {
  /** Time of their latest heartbeat, Unix ms. */
  lastBeatAt: number;
  /** The viewer's online sessions. */
  sessions: string[];
  /** The viewer. */
  viewer: string;
}

/** Cost of a plan. */
export interface PlanCost {
  /** Data that the worst single fault loses. */
  loses: string;
  /** Cost of a month. */
  monthUsd: number;
  /** Name of the plan, for people. */
  name: string;
  /** `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`. */
  plan: string;
}

/** A stage's public count. */
export interface PublicCountResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** The stage. */
  stage: string;
  /** Distinct online viewers, rounded if the stage wants that. */
  viewers: number;
}

/** DynamoDB's requests for one purpose. */
export interface PurposeCost {
  /** Cost in the last hour. */
  lastHourUsd: number;
  /** Cost of a month like the last hour. */
  monthUsd: number;
  /** Purpose of the requests. */
  purpose: string;
  /** Read units. */
  readUnits: number;
  /** `cold` or `log`. */
  store: string;
  /** Cost so far. */
  usd: number;
  /** Write units. */
  writeUnits: number;
}

/** Memory and price of Redis. */
export interface RedisCost {
  /** Bytes that this node has sent, without the protocol. */
  bytesIn: number;
  /** Bytes of the answers, without the protocol. */
  bytesOut: number;
  /** Number of commands that this node has sent. */
  commands: number;
  /** Memory that Redis uses, by its last report; 0 before the first. */
  memoryBytes: number;
  /** Cost of that node in a month. */
  monthUsd: number;
  /** The smallest node type with twice as much memory; `serverless` if none has. */
  node: string;
}

/** A heartbeat that was rejected. */
export interface RejectedHeartbeat {
  /** Stable code, for programs. */
  code: string;
  /** Explanation, for people. */
  detail: string;
  /** Place of the heartbeat in the array, or its line, from 0. */
  index: number;
}

/** A report. */
export interface ReportResponse {
  /** Average number of viewers at once over the whole range. */
  averageViewers: number;
  /** Mean watch time of a viewer, ms; 0 without viewers. */
  averageWatchMs: number;
  /** Views that begin within the range. */
  joins: number;
  /** Views that end within the range, also at its end. A view has ended once it is certain that it does not go on. */
  leaves: number;
  /** Smallest watch time that at least half of the viewers don't exceed, ms. */
  medianWatchMs: number;
  /** Smallest watch time that at least nine tenths of the viewers don't exceed, ms. */
  p90WatchMs: number;
  /** Largest number of viewers at once. Of all stages, a viewer on two counts on both. */
  peakViewers: number;
  /** Distinct viewers with watch time. */
  uniqueViewers: number;
  /** Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the ttl. */
  views: number;
  /** Sum of their watch times, ms. */
  watchMs: number;
  /** Viewers by watch time. */
  histogram: WatchTimeClass[];
  /** Length of a step, ms. Steps are aligned to the epoch; the first and the last may be shorter. */
  stepMs: number;
  /** Steps in order of time. */
  steps: ReportStep[];
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Viewers without; only with `before`. */
  newViewers?: number | null | undefined;
  /** First moment with the peak, Unix ms; missing without viewers. */
  peakAt?: number | null | undefined;
  /** Viewers with watch time in the time before the range too; only with `before`. */
  returningViewers?: number | null | undefined;
  retention?: Retention | null | undefined;
  by?: LabelReport | null | undefined;
  /** The stage; missing for all stages together. */
  stage?: string | null | undefined;
}

/** A step of a report. */
export interface ReportStep {
  /** Start of the step, Unix ms. */
  at: number;
  /** Average number of viewers at once. */
  avg: number;
  /** Views that begin in the step. */
  joins: number;
  /** Joins divided by the step's length in minutes. */
  joinsPerMinute: number;
  /** Views that end in the step. */
  leaves: number;
  /** Leaves divided by the step's length in minutes. */
  leavesPerMinute: number;
  /** Largest number of viewers at once. */
  max: number;
  /** Smallest number of viewers at once. */
  min: number;
}

/** Result of a restore. */
export interface RestoreResponse {
  /** Whether there was a snapshot to restore. */
  restored: boolean;
  /** Stages in the snapshot. */
  stages: number;
  /** Viewers in the snapshot. */
  viewers: number;
  /** Time when the snapshot was taken, Unix ms. */
  takenAt?: number | null | undefined;
  /** Time until which its counts stand in, Unix ms. */
  until?: number | null | undefined;
}

/** The part of the first viewers that stays. */
export interface Retention {
  /** Those who are watching, by time since they came. */
  after: RetentionPoint[];
  /** Length of the time from the start in which the cohort came, ms. */
  cohortMs: number;
  /** Those who are watching, by minute of the broadcast; of its first day at most. */
  minutes: RetentionMinute[];
  /** Start of the broadcast: the first moment of the range with a viewer, Unix ms. */
  startedAt: number;
  /** Viewers of the cohort: those whose first view begins in that time. */
  viewers: number;
}

/** The part of the first viewers that is watching in a minute of the broadcast. */
export interface RetentionMinute {
  /** Start of the minute, Unix ms. Minutes count from the start of the broadcast. */
  at: number;
  /** `watching` divided by the cohort's viewers. */
  share: number;
  /** Viewers of the cohort who are watching at some moment of the minute. */
  watching: number;
}

/** The part of the first viewers that is watching some time after they came. */
export interface RetentionPoint {
  /** Time since a viewer's first view began, ms. */
  afterMs: number;
  /** `watching` divided by `viewers`. */
  share: number;
  /** Viewers of the cohort for which that moment is within the range. */
  viewers: number;
  /** Those of them who are watching at that moment. */
  watching: number;
}

/** Result of a snapshot. */
export interface SaveSnapshotsResponse {
  /** `saved`, `nothingActive` or `busyElsewhere`. The last means that another node takes the snapshot, or just took it. */
  outcome: string;
  /** Stages saved. */
  stages: number;
  /** Time that the snapshot took, in ms. */
  tookMs: number;
  /** Viewers in the snapshot. */
  viewers: number;
  /** Moment of the snapshot, Unix ms. */
  at?: number | null | undefined;
}

/** A stage's count at a moment. */
export interface Snapshot {
  /** Largest number of viewers at once until then. */
  peak: number;
  /** Whether the count was bridged from an earlier one. */
  recovering: boolean;
  /** Online sessions. */
  sessions: number;
  /** Time of the snapshot, Unix ms. */
  timestamp: number;
  /** Distinct online viewers. */
  viewers: number;
}

/** A stage, with its configuration and its count. */
export interface Stage {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** Largest number of viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Id of the stage. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** Time when it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Customer who pays for it. */
  customer?: string | null | undefined;
  /** Name for people. */
  name?: string | null | undefined;
  /** Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting. */
  publicCount?: string | null | undefined;
  /** Further properties, by key. */
  tags?: Record<string, string> | null | undefined;
}

/** A stage after its configuration was created or changed. */
export interface StageChangeResponse {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** Largest number of viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Id of the stage. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is unavailable and this node has not cached the configuration. The count is still right. */
  configurationKnown: boolean;
  /** First moment of watch time that the configuration applies to, Unix ms. This is the start of the current window of the ledger, or of the first one that is not committed. Watch time before it keeps its configuration. */
  effectiveFrom: number;
  /** Time when it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Customer who pays for it. */
  customer?: string | null | undefined;
  /** Name for people. */
  name?: string | null | undefined;
  /** Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting. */
  publicCount?: string | null | undefined;
  /** Further properties, by key. */
  tags?: Record<string, string> | null | undefined;
  /** Viewers by label; only with `by`. */
  by?: LabelCounts | null | undefined;
  /** Keys of labels that sessions may have; missing if there are none. */
  labels?: string[] | null | undefined;
}

/** A stage whose configuration was deleted. */
export interface StageDeletionResponse {
  /** First moment of watch time without a configuration, Unix ms: the end of the current window of the ledger. Watch time before it keeps its configuration. */
  effectiveFrom: number;
  /** Id of the stage. */
  stage: string;
}

/** A stage with the status of its count. */
export interface StageResponse {
  /** Whether an operator has configured it. */
  configured: boolean;
  /** Largest number of viewers at once, as far as is known. */
  peak: number;
  /** Online sessions. */
  sessions: number;
  /** Id of the stage. */
  stage: string;
  /** Distinct online viewers. */
  viewers: number;
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is unavailable and this node has not cached the configuration. The count is still right. */
  configurationKnown: boolean;
  /** Time when it was configured, Unix ms. */
  createdAt?: number | null | undefined;
  /** Customer who pays for it. */
  customer?: string | null | undefined;
  /** Name for people. */
  name?: string | null | undefined;
  /** Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting. */
  publicCount?: string | null | undefined;
  /** Further properties, by key. */
  tags?: Record<string, string> | null | undefined;
  /** Viewers by label; only with `by`. */
  by?: LabelCounts | null | undefined;
  /** Keys of labels that sessions may have; missing if there are none. */
  labels?: string[] | null | undefined;
}

/** A stage's snapshots. */
export interface StageSnapshotsResponse {
  /** Snapshots in order of time, at most 1,000. */
  snapshots: Snapshot[];
  /** The stage. */
  stage: string;
  /** Value of `from` for the next page, if there are more. */
  nextFrom?: number | null | undefined;
}

/** A page of viewers. */
export interface StageViewersResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** Viewers, sorted by id within the page. The order of the pages is the same on every node. */
  viewers: OnlineViewer[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** Watch time of a viewer on a stage. */
export interface StageWatch {
  /** Start of the first watch time, Unix ms. */
  firstAt: number;
  /** End of the last watch time, Unix ms. */
  lastAt: number;
  /** Milliseconds watched within the range. */
  watchMs: number;
  /** The stage. */
  stage: string;
  /** The exact intervals, with `intervals=true`. */
  intervals?: WatchInterval[] | null | undefined;
}

/** A stage's watch time, by viewer. */
export interface StageWatchResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** The stage. */
  stage: string;
  /** Watch times, sorted by viewer. */
  watch: ViewerWatch[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** Watch time of a stage. */
export interface StageWatchTotal {
  /** The stage. */
  stage: string;
  /** Sum of its viewers' watch time, in milliseconds. */
  watchMs: number;
  /** Average number of viewers, step by step from `from` on; only with `step`. */
  history?: number[] | null | undefined;
}

/** A page of stages. */
export interface StagesResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** False while the cold tier is unavailable. The counts are right, but names are missing, and so are stages that are only configured. */
  configurationKnown: boolean;
  /** Stages, sorted by id or as requested. */
  stages: Stage[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** The count over all stages. */
export interface StatsResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** Online sessions. */
  sessions: number;
  /** Stages with a viewer online. */
  stages: number;
  /** Distinct online viewers; a viewer on two stages counts once. */
  viewers: number;
  /** Viewers by label; only with `by`. */
  by?: LabelCounts | null | undefined;
}

/** Data stored in the cold tier. */
export interface StorageCost {
  /** Bytes by the table's last report, or else the bytes that this node has written. */
  bytes: number;
  /** Cost of these bytes in a month. */
  monthUsd: number;
}

/** Direction in which a threshold is crossed. */
export type ThresholdDirection = "up" | "down";

/** Sum of requests, storage and Redis, and of all parts. */
export interface TotalCost {
  /** Cost of requests in the last hour, or since a later start. */
  lastHourUsd: number;
  /** Cost of a month like the last hour, with storage and Redis. */
  monthUsd: number;
  /** Cost of requests so far. */
  usd: number;
  /** The same with bytes to clients and the machine. */
  wholeMonthUsd: number;
  /** Cost of a million hours of watching, by the last hour; null if there were none. */
  perMillionViewerHoursUsd?: number | null | undefined;
}

/** Watch time of customers. */
export interface UsageResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Time before which no watch time can grow any more, Unix ms: the start of an hour. Late heartbeats may still add to what lies between it and `committedTo`. */
  finalTo: number;
  /** Usage, sorted by period, customer and stage. */
  usage: CustomerUsage[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** Main figures of one value of a label. */
export interface ValueReport {
  /** Average number of viewers at once over the whole range. */
  averageViewers: number;
  /** Mean watch time of a viewer, ms; 0 without viewers. */
  averageWatchMs: number;
  /** Views that begin within the range. */
  joins: number;
  /** Views that end within the range, also at its end. A view has ended once it is certain that it does not go on. */
  leaves: number;
  /** Smallest watch time that at least half of the viewers don't exceed, ms. */
  medianWatchMs: number;
  /** Smallest watch time that at least nine tenths of the viewers don't exceed, ms. */
  p90WatchMs: number;
  /** Largest number of viewers at once. Of all stages, a viewer on two counts on both. */
  peakViewers: number;
  /** Distinct viewers with watch time. */
  uniqueViewers: number;
  /** Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the ttl. */
  views: number;
  /** Sum of their watch times, ms. */
  watchMs: number;
  /** Viewers without; only with `before`. */
  newViewers?: number | null | undefined;
  /** First moment with the peak, Unix ms; missing without viewers. */
  peakAt?: number | null | undefined;
  /** Viewers with watch time in the time before the range too; only with `before`. */
  returningViewers?: number | null | undefined;
  /** The value; null for sessions without the label. */
  value?: string | null | undefined;
}

/** Watch time and concurrency of one value of a label. */
export interface ValueTotal {
  /** Largest number of viewers at once. */
  peakViewers: number;
  /** Distinct viewers with watch time. */
  viewers: number;
  /** Sum of watch time, ms. */
  watchMs: number;
  /** Average number of viewers, step by step; only with a history. */
  history?: number[] | null | undefined;
  /** The value; null for sessions without the label. */
  value?: string | null | undefined;
}

/** Stages that a viewer watches now. */
export interface ViewerResponse {
  /** Time of the count, Unix ms on the log's clock. */
  asOf: number;
  /** Whether the count certainly includes all viewers. If not, it may be low. */
  complete: boolean;
  /** Whether an earlier count stands in after a loss. Never for longer than one ttl. */
  recovering: boolean;
  /** Whether the viewer is online anywhere. */
  online: boolean;
  /** Stages that the viewer watches, sorted by id. */
  stages: ViewerStage[];
  /** The viewer. */
  viewer: string;
}

/** A stage that a viewer watches. */
export interface ViewerStage {
  /** Time of their latest heartbeat, Unix ms. */
  lastBeatAt: number;
  /** The viewer's online sessions there. */
  sessions: string[];
  /** The stage. */
  stage: string;
}

/** Watch time of a viewer. */
export interface ViewerWatch {
  /** Start of the first watch time, Unix ms. */
  firstAt: number;
  /** End of the last watch time, Unix ms. */
  lastAt: number;
  /** Milliseconds watched within the range. */
  watchMs: number;
  /** The viewer. */
  viewer: string;
  /** The exact intervals, with `intervals=true`. */
  intervals?: WatchInterval[] | null | undefined;
}

/** A viewer's watch time, by stage. */
export interface ViewerWatchResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** The viewer. */
  viewer: string;
  /** Watch times, sorted by stage. */
  watch: StageWatch[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
}

/** A span of proven time. */
export interface WatchInterval {
  /** Start in Unix ms, included. */
  from: number;
  /** End in Unix ms, not included. */
  to: number;
}

/** Viewers whose watch time is in a class. */
export interface WatchTimeClass {
  /** Least watch time of the class, ms, included. */
  fromMs: number;
  /** Number of viewers. */
  viewers: number;
  /** Watch time at which the next class begins, ms; missing for the last class. */
  toMs?: number | null | undefined;
}

/** Watch time by stage. */
export interface WatchTotalsResponse {
  /** Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after it may still grow. */
  committedTo: number;
  /** Whether the ledger has the whole range. */
  complete: boolean;
  /** Start of the range, Unix ms. */
  from: number;
  /** End of the range, Unix ms, not included. */
  to: number;
  /** The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the last `ttlMs` of a range that ends now are too low. */
  ttlMs: number;
  /** Stages with watch time, sorted by id. */
  watch: StageWatchTotal[];
  /** Value to send for the next page; missing on the last one. */
  cursor?: string | null | undefined;
  /** Length of a step. Steps are aligned to the epoch; the first and the last may be shorter. */
  stepMs?: number | null | undefined;
}

/** A webhook, and how its deliveries fare. */
export interface Webhook {
  /** Events that it has accepted. */
  delivered: number;
  /** Events that were given up after a day. */
  givenUp: number;
  /** Name of the webhook. */
  name: string;
  /** Events that wait, at most 1,000. */
  pending: number;
  /** State of its deliveries. */
  state: WebhookState;
  /** Later events that were not looked at yet. */
  unread: number;
  /** Scheme, host and port of its address. */
  url: string;
  /** Time of the last accepted delivery, Unix ms. */
  acceptedAt?: number | null | undefined;
  /** Reason of the last failed delivery since then. */
  error?: string | null | undefined;
  /** Time of the first failed delivery since then, Unix ms. */
  failingSince?: number | null | undefined;
  /** Time of the oldest event that waits, Unix ms. */
  oldestAt?: number | null | undefined;
}

/** State of a webhook. */
export type WebhookState = "new" | "working" | "failing";

/** Webhooks of a node's settings. */
export interface WebhooksResponse {
  /** The webhooks, in the order of the settings. */
  webhooks: Webhook[];
}
