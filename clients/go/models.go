// Code generated from /openapi.json by clients/models/generate.py. DO NOT EDIT.

package housecount

// BatchResponse: What became of many heartbeats.
type BatchResponse struct {
	// How many were taken, those that were coalesced included.
	Accepted int64 `json:"accepted"`
	// The others, and why.
	Rejected []RejectedHeartbeat `json:"rejected"`
	// How many were beyond their session's limit and are answered by its last logged heartbeat. Absent if there
	// are none.
	Coalesced *int64 `json:"coalesced,omitempty"`
}

// CostAudience: Who watches.
type CostAudience struct {
	// Stages with somebody online.
	Stages int64 `json:"stages"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
}

// CostLimit: The limit.
type CostLimit struct {
	// `cost.guard`
	Guard string `json:"guard"`
	// Whether a month would cost more.
	IsExceeded bool `json:"isExceeded"`
	// Whether snapshots are taken less often because of it, and a log in DynamoDB is written to less often.
	IsStretched bool `json:"isStretched"`
	// `cost.monthly_limit_usd`
	MonthUsd float64 `json:"monthUsd"`
}

// CostResponse: What this node's calls cost. Money is in US dollars, to the micro-dollar.
type CostResponse struct {
	// When it was so, Unix ms.
	AsOf int64 `json:"asOf"`
	// Who watches.
	Audience CostAudience `json:"audience"`
	// What this audience would cost by each plan, all month.
	Plans []PlanCost `json:"plans"`
	// Region and date of the prices.
	Prices string `json:"prices"`
	// DynamoDB's requests, by what for.
	Purposes []PurposeCost `json:"purposes"`
	// Since when it is counted, Unix ms.
	Since int64 `json:"since"`
	// What lies in the cold tier.
	Storage StorageCost `json:"storage"`
	// Total of all parts.
	Total TotalCost  `json:"total"`
	Limit *CostLimit `json:"limit,omitempty"`
	Redis *RedisCost `json:"redis,omitempty"`
}

// HeartbeatResponse: The answer to a heartbeat: the stage's count, with this heartbeat in it.
type HeartbeatResponse struct {
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// When to beat next, in ms: the interval give or take a tenth, more under load, never above ttl/3.
	NextMs int64 `json:"nextMs"`
	// Only there, and true, if the heartbeat was beyond its session's limit: it was not logged, and is answered
	// by the session's last logged one, which is less than a second old.
	Coalesced *bool `json:"coalesced,omitempty"`
}

// HistoryResponse: Concurrency, step by step.
type HistoryResponse struct {
	// Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
	// grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// The range, Unix ms.
	From int64 `json:"from"`
	// Its end, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the
	// last `ttlMs` of a range that ends now is too low.
	TtlMs int64 `json:"ttlMs"`
	// In the order of time, aligned to the epoch.
	History []HistoryStep `json:"history"`
	// How long a step is; the first and the last may be cut off.
	StepMs int64 `json:"stepMs"`
	// The stage; missing where it is all together.
	Stage *string `json:"stage,omitempty"`
}

// HistoryStep: Concurrency over a step.
type HistoryStep struct {
	// When it begins, Unix ms.
	At int64 `json:"at"`
	// Viewers on average.
	Avg float64 `json:"avg"`
	// The most at once.
	Max int64 `json:"max"`
	// The fewest at once.
	Min int64 `json:"min"`
}

// OnlineViewer: A viewer on a stage.
type OnlineViewer struct {
	// The latest heartbeat of them, Unix ms.
	LastBeatAt int64 `json:"lastBeatAt"`
	// The viewer's online sessions.
	Sessions []string `json:"sessions"`
	// The viewer.
	Viewer string `json:"viewer"`
}

// PlanCost: A plan.
type PlanCost struct {
	// What is lost when the worst single thing fails.
	Loses string `json:"loses"`
	// A month.
	MonthUsd float64 `json:"monthUsd"`
	// For people.
	Name string `json:"name"`
	// `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`.
	Plan string `json:"plan"`
}

// PurposeCost: DynamoDB's requests for one purpose.
type PurposeCost struct {
	// In the last hour.
	LastHourUsd float64 `json:"lastHourUsd"`
	// In a month like it.
	MonthUsd float64 `json:"monthUsd"`
	// What for.
	Purpose string `json:"purpose"`
	// Read units.
	ReadUnits float64 `json:"readUnits"`
	// `cold` or `log`.
	Store string `json:"store"`
	// What they cost so far.
	Usd float64 `json:"usd"`
	// Write units.
	WriteUnits int64 `json:"writeUnits"`
}

// RedisCost: Memory and price of Redis.
type RedisCost struct {
	// Bytes of what it sent, without the protocol.
	BytesIn int64 `json:"bytesIn"`
	// Bytes of what was answered, likewise.
	BytesOut int64 `json:"bytesOut"`
	// Commands this node has sent.
	Commands int64 `json:"commands"`
	// What Redis has in memory, as it last said; 0 before.
	MemoryBytes int64 `json:"memoryBytes"`
	// A month of it.
	MonthUsd float64 `json:"monthUsd"`
	// The smallest node that holds twice as much; `serverless` if none does.
	Node string `json:"node"`
}

// RejectedHeartbeat: A heartbeat that was not taken.
type RejectedHeartbeat struct {
	// Stable, for programs.
	Code string `json:"code"`
	// For people.
	Detail string `json:"detail"`
	// Its place in the array, or its line: 0 and up.
	Index int64 `json:"index"`
}

// RestoreResponse: What a restore found.
type RestoreResponse struct {
	// Whether there was a snapshot to restore.
	Restored bool `json:"restored"`
	// Stages in it.
	Stages int64 `json:"stages"`
	// Viewers in it.
	Viewers int64 `json:"viewers"`
	// When it was taken, Unix ms.
	TakenAt *int64 `json:"takenAt,omitempty"`
	// Until when its counts stand in, Unix ms.
	Until *int64 `json:"until,omitempty"`
}

// SaveSnapshotsResponse: What a snapshot saved.
type SaveSnapshotsResponse struct {
	// `saved`, `nothingActive`, or `busyElsewhere`: another node is at it.
	Outcome string `json:"outcome"`
	// Stages saved.
	Stages int64 `json:"stages"`
	// How long it took.
	TookMs int64 `json:"tookMs"`
	// Viewers in it.
	Viewers int64 `json:"viewers"`
	// The snapshot's moment, Unix ms.
	At *int64 `json:"at,omitempty"`
}

// Snapshot: A stage's count at a moment.
type Snapshot struct {
	// The most viewers at once until then.
	Peak int64 `json:"peak"`
	// Whether it was bridged and not counted.
	Recovering bool `json:"recovering"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Unix ms.
	Timestamp int64 `json:"timestamp"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
}

// Stage: A stage: what is configured about it, and who watches it.
type Stage struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// The most viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Its id.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// When it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Who pays for it.
	Customer *string `json:"customer,omitempty"`
	// What people call it.
	Name *string `json:"name,omitempty"`
	// Whatever else was said.
	Tags map[string]string `json:"tags,omitempty"`
}

// StageChangeResponse: A stage after its configuration was made or changed.
type StageChangeResponse struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// The most viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Its id.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is away and has not been asked about this stage before: the count is right.
	ConfigurationKnown bool `json:"configurationKnown"`
	// First moment of watch time that it applies to, Unix ms: the start of this window of the ledger, or of the
	// first one that is not committed. Time before keeps the configuration that it had.
	EffectiveFrom int64 `json:"effectiveFrom"`
	// When it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Who pays for it.
	Customer *string `json:"customer,omitempty"`
	// What people call it.
	Name *string `json:"name,omitempty"`
	// Whatever else was said.
	Tags map[string]string `json:"tags,omitempty"`
}

// StageDeletionResponse: A stage whose configuration was deleted.
type StageDeletionResponse struct {
	// First moment of watch time without a configuration, Unix ms: the end of this window of the ledger. Time
	// before keeps the configuration that it had.
	EffectiveFrom int64 `json:"effectiveFrom"`
	// Its id.
	Stage string `json:"stage"`
}

// StageResponse: A stage with its standing.
type StageResponse struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// The most viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Its id.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is away and has not been asked about this stage before: the count is right.
	ConfigurationKnown bool `json:"configurationKnown"`
	// When it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Who pays for it.
	Customer *string `json:"customer,omitempty"`
	// What people call it.
	Name *string `json:"name,omitempty"`
	// Whatever else was said.
	Tags map[string]string `json:"tags,omitempty"`
}

// StageSnapshotsResponse: A stage's snapshots.
type StageSnapshotsResponse struct {
	// In the order of time, at most 1,000.
	Snapshots []Snapshot `json:"snapshots"`
	// The stage.
	Stage string `json:"stage"`
	// Where to go on (`from`) if there are more.
	NextFrom *int64 `json:"nextFrom,omitempty"`
}

// StageViewersResponse: A page of viewers.
type StageViewersResponse struct {
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// Sorted by id within the page. The order of the pages is the same on every node.
	Viewers []OnlineViewer `json:"viewers"`
	// To be given back for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StageWatch: A viewer's time on a stage.
type StageWatch struct {
	// When the first of it began, Unix ms.
	FirstAt int64 `json:"firstAt"`
	// When the last of it ended, Unix ms.
	LastAt int64 `json:"lastAt"`
	// Milliseconds watched within the range.
	WatchMs int64 `json:"watchMs"`
	// The stage.
	Stage string `json:"stage"`
	// When exactly, with `intervals=true`.
	Intervals []WatchInterval `json:"intervals,omitempty"`
}

// StageWatchResponse: A stage's watch time, by viewer.
type StageWatchResponse struct {
	// Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
	// grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// The range, Unix ms.
	From int64 `json:"from"`
	// Its end, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the
	// last `ttlMs` of a range that ends now is too low.
	TtlMs int64 `json:"ttlMs"`
	// The stage.
	Stage string `json:"stage"`
	// Sorted by viewer.
	Watch []ViewerWatch `json:"watch"`
	// To be given back for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StageWatchTotal: What was watched of a stage.
type StageWatchTotal struct {
	// The stage.
	Stage string `json:"stage"`
	// Milliseconds that all its viewers watched together.
	WatchMs int64 `json:"watchMs"`
	// With `step`: viewers on average, step by step from `from` on.
	History []float64 `json:"history,omitempty"`
}

// StagesResponse: A page of stages.
type StagesResponse struct {
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is away: the counts are right, but names and stages that are only configured are
	// missing.
	ConfigurationKnown bool `json:"configurationKnown"`
	// Sorted by id.
	Stages []Stage `json:"stages"`
	// To be given back for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StatsResponse: The count over all stages.
type StatsResponse struct {
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Stages with somebody online.
	Stages int64 `json:"stages"`
	// Distinct online viewers: one on two stages is one.
	Viewers int64 `json:"viewers"`
}

// StorageCost: What lies in the cold tier.
type StorageCost struct {
	// As the table last said, or else as this node has put there.
	Bytes int64 `json:"bytes"`
	// A month of them.
	MonthUsd float64 `json:"monthUsd"`
}

// TotalCost: Sum of requests, storage and Redis.
type TotalCost struct {
	// Requests in the last hour, or since the start if that is younger.
	LastHourUsd float64 `json:"lastHourUsd"`
	// A month like it, with storage and Redis.
	MonthUsd float64 `json:"monthUsd"`
	// Requests so far.
	Usd float64 `json:"usd"`
	// What a million hours of watching cost, by the last hour; null if nobody watched.
	PerMillionViewerHoursUsd *float64 `json:"perMillionViewerHoursUsd,omitempty"`
}

// ViewerResponse: Where a viewer is.
type ViewerResponse struct {
	// When it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether everybody is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Whether it is bridged from what was known before a loss. Never longer than one ttl.
	Recovering bool `json:"recovering"`
	// Whether the viewer is online anywhere.
	Online bool `json:"online"`
	// Where, sorted by stage.
	Stages []ViewerStage `json:"stages"`
	// The viewer.
	Viewer string `json:"viewer"`
}

// ViewerStage: A stage that a viewer watches.
type ViewerStage struct {
	// The latest heartbeat of them, Unix ms.
	LastBeatAt int64 `json:"lastBeatAt"`
	// The viewer's online sessions there.
	Sessions []string `json:"sessions"`
	// The stage.
	Stage string `json:"stage"`
}

// ViewerWatch: A viewer's time.
type ViewerWatch struct {
	// When the first of it began, Unix ms.
	FirstAt int64 `json:"firstAt"`
	// When the last of it ended, Unix ms.
	LastAt int64 `json:"lastAt"`
	// Milliseconds watched within the range.
	WatchMs int64 `json:"watchMs"`
	// The viewer.
	Viewer string `json:"viewer"`
	// When exactly, with `intervals=true`.
	Intervals []WatchInterval `json:"intervals,omitempty"`
}

// ViewerWatchResponse: A viewer's watch time, by stage.
type ViewerWatchResponse struct {
	// Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
	// grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// The range, Unix ms.
	From int64 `json:"from"`
	// Its end, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the
	// last `ttlMs` of a range that ends now is too low.
	TtlMs int64 `json:"ttlMs"`
	// The viewer.
	Viewer string `json:"viewer"`
	// Sorted by stage.
	Watch []StageWatch `json:"watch"`
	// To be given back for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// WatchInterval: A span of proven time.
type WatchInterval struct {
	// Unix ms, included.
	From int64 `json:"from"`
	// Unix ms, not included.
	To int64 `json:"to"`
}

// WatchTotalsResponse: What was watched, by stage.
type WatchTotalsResponse struct {
	// Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
	// grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// The range, Unix ms.
	From int64 `json:"from"`
	// Its end, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in the
	// last `ttlMs` of a range that ends now is too low.
	TtlMs int64 `json:"ttlMs"`
	// Sorted by stage; those that nobody watched are left out.
	Watch []StageWatchTotal `json:"watch"`
	// To be given back for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
	// How long a step is; steps are aligned to the epoch, the first and the last may be cut off.
	StepMs *int64 `json:"stepMs,omitempty"`
}
