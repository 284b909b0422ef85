// Code generated from /openapi.json by clients/models/generate.py. DO NOT EDIT.

package housecount

// ActiveStream: A stream of the viewer who asked for another one.
type ActiveStream struct {
	// The session; empty if its player sends none.
	Session string `json:"session"`
	// First heartbeat since the session came online, Unix ms.
	Since int64 `json:"since"`
	// The stage.
	Stage string `json:"stage"`
}

// BatchResponse: Result of many heartbeats.
type BatchResponse struct {
	// Number of accepted heartbeats, coalesced ones included.
	Accepted int64 `json:"accepted"`
	// The rejected heartbeats, and why.
	Rejected []RejectedHeartbeat `json:"rejected"`
	// Number of heartbeats beyond their session's limit. The session's last logged heartbeat answers them.
	// Absent if zero.
	Coalesced *int64 `json:"coalesced,omitempty"`
}

// Broadcast: A broadcast: a time in which a stage had an audience.
type Broadcast struct {
	// Average number of viewers at once over the whole range.
	AverageViewers float64 `json:"averageViewers"`
	// Mean watch time of a viewer, ms; 0 without viewers.
	AverageWatchMs float64 `json:"averageWatchMs"`
	// Views that begin within the range.
	Joins int64 `json:"joins"`
	// Views that end within the range, also at its end. A view has ended once it is certain that it does not go
	// on.
	Leaves int64 `json:"leaves"`
	// Smallest watch time that at least half of the viewers don't exceed, ms.
	MedianWatchMs int64 `json:"medianWatchMs"`
	// Smallest watch time that at least nine tenths of the viewers don't exceed, ms.
	P90WatchMs int64 `json:"p90WatchMs"`
	// Largest number of viewers at once. Of all stages, a viewer on two counts on both.
	PeakViewers int64 `json:"peakViewers"`
	// Distinct viewers with watch time.
	UniqueViewers int64 `json:"uniqueViewers"`
	// Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the
	// ttl.
	Views int64 `json:"views"`
	// Sum of their watch times, ms.
	WatchMs int64 `json:"watchMs"`
	// First moment with a viewer, Unix ms.
	From int64 `json:"from"`
	// Whether the broadcast may still go on.
	Ongoing bool `json:"ongoing"`
	// End of the last viewer's watch time, Unix ms.
	To int64 `json:"to"`
	// Viewers without; only with `before`.
	NewViewers *int64 `json:"newViewers,omitempty"`
	// First moment with the peak, Unix ms; missing without viewers.
	PeakAt *int64 `json:"peakAt,omitempty"`
	// Viewers with watch time in the time before the range too; only with `before`.
	ReturningViewers *int64 `json:"returningViewers,omitempty"`
}

// BroadcastsResponse: Broadcasts of a stage.
type BroadcastsResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Broadcasts, newest first.
	Broadcasts []Broadcast `json:"broadcasts"`
	// Longest time without a viewer within a broadcast, ms.
	GapMs int64 `json:"gapMs"`
	// The stage.
	Stage string `json:"stage"`
}

// CompareResponse: Two reports side by side.
type CompareResponse struct {
	// Report of the first range.
	A ReportResponse `json:"a"`
	// Report of the second range.
	B ReportResponse `json:"b"`
}

// CostAudience: Size of the audience.
type CostAudience struct {
	// Stages with a viewer online.
	Stages int64 `json:"stages"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
}

// CostLimit: Limit of the monthly cost.
type CostLimit struct {
	// `cost.guard`
	Guard string `json:"guard"`
	// Whether the calls and bytes of a month like the last hour would cost more.
	IsExceeded bool `json:"isExceeded"`
	// Whether the node asks players for a heartbeat every ttl/3 only, because of bytes.
	IsSlowed bool `json:"isSlowed"`
	// Whether the node saves cost because of it. It then takes snapshots less often, and writes less often to a
	// log in DynamoDB.
	IsStretched bool `json:"isStretched"`
	// `cost.monthly_limit_usd`
	MonthUsd float64 `json:"monthUsd"`
}

// CostResponse: Metered cost of this node's calls. Money is in US dollars, to the micro-dollar.
type CostResponse struct {
	// Time of this answer's figures, Unix ms.
	AsOf int64 `json:"asOf"`
	// The audience at that time.
	Audience CostAudience `json:"audience"`
	// Bytes to clients.
	Egress EgressCost `json:"egress"`
	// Cost of this audience for a whole month, by each plan.
	Plans []PlanCost `json:"plans"`
	// Region and date of the prices.
	Prices string `json:"prices"`
	// DynamoDB's requests, by purpose.
	Purposes []PurposeCost `json:"purposes"`
	// Start of the count, Unix ms.
	Since int64 `json:"since"`
	// Data stored in the cold tier.
	Storage StorageCost `json:"storage"`
	// Total of all parts.
	Total   TotalCost    `json:"total"`
	Limit   *CostLimit   `json:"limit,omitempty"`
	Machine *MachineCost `json:"machine,omitempty"`
	Redis   *RedisCost   `json:"redis,omitempty"`
}

// CustomerUsage: Watch time of a customer in a period.
type CustomerUsage struct {
	// Customer in force when the time was watched; empty for stages without one.
	Customer string `json:"customer"`
	// Start of the period, or of the range if that is later, Unix ms.
	From int64 `json:"from"`
	// Name of the period, such as `2026-10` or `2026-10-25`.
	Period string `json:"period"`
	// Number of the customer's stages with watch time.
	Stages int64 `json:"stages"`
	// End of the period, or of the range if that is earlier, Unix ms, not included.
	To int64 `json:"to"`
	// Sum of the viewers' watch time on each stage, in milliseconds.
	WatchMs int64 `json:"watchMs"`
	// Stage, with `group=stage`.
	Stage *string `json:"stage,omitempty"`
}

// EgressCost: Bytes of the packets to clients, with their headers.
type EgressCost struct {
	// Bytes so far.
	Bytes int64 `json:"bytes"`
	// Bytes of a month like the last hour.
	MonthBytes int64 `json:"monthBytes"`
	// Cost of these in a month, if they were the only bytes of the account.
	MonthUsd float64 `json:"monthUsd"`
}

// Event: An event.
type Event struct {
	// Time of the count, Unix ms.
	AsOf int64 `json:"asOf"`
	// Time of the event, Unix ms.
	At int64 `json:"at"`
	// Whether the count is complete. Only `count.incomplete` has `false`.
	Complete bool `json:"complete"`
	// Id that no other event has; of a webhook, the header `webhook-id`.
	Id string `json:"id"`
	// Whether earlier counts stand in.
	Recovering bool `json:"recovering"`
	// Number of the event, from 1. A stage's events are in this order.
	Seq int64 `json:"seq"`
	// Type of the event.
	Type      EventType           `json:"type"`
	Direction *ThresholdDirection `json:"direction,omitempty"`
	// `budget.exceeded`: the setting `cost.monthly_limit_usd`.
	LimitUsd *float64 `json:"limitUsd,omitempty"`
	// `budget.exceeded`: projected cost of a month, US dollars.
	MonthUsd *float64 `json:"monthUsd,omitempty"`
	// `stage.drop`: last time at which the stage had them, Unix ms.
	PeakAt *int64 `json:"peakAt,omitempty"`
	// `stage.drop`: viewers before.
	PeakViewers *int64 `json:"peakViewers,omitempty"`
	// Sessions of the stage, or of all stages; missing where no count is complete.
	Sessions *int64 `json:"sessions,omitempty"`
	// The stage; missing for events of all stages.
	Stage *string `json:"stage,omitempty"`
	// `stage.threshold`: the number of viewers that was crossed.
	Threshold *int64 `json:"threshold,omitempty"`
	// Viewers of the stage, or of all stages; missing where no count is complete.
	Viewers *int64 `json:"viewers,omitempty"`
}

// EventType: Type of an event.
type EventType = string

// EventsResponse: Events, oldest first.
type EventsResponse struct {
	// Whether all events that are stored so far have been looked at.
	AtEnd bool `json:"atEnd"`
	// The events. There may be none although later ones match: continue while `atEnd` is false.
	Events []Event `json:"events"`
	// Value of `after` for the events that follow.
	Next string `json:"next"`
	// Number of the first event that is still kept; present if events before it have expired unseen.
	FirstKept *int64 `json:"firstKept,omitempty"`
}

// HeartbeatResponse: Answer to a heartbeat: the stage's count, with this heartbeat in it.
type HeartbeatResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// Time until the next heartbeat is due, in ms. This is the interval plus or minus a tenth, and longer under
	// load. It is never above ttl/3.
	NextMs int64 `json:"nextMs"`
	// Online sessions. Absent where the stage hides them.
	Sessions *int64 `json:"sessions,omitempty"`
	// Distinct online viewers. Absent where the stage hides them.
	Viewers *int64 `json:"viewers,omitempty"`
	// Present, and true, only for a heartbeat beyond its session's limit. It was not logged. The session's last
	// logged heartbeat, which is less than a second old, answers it.
	Coalesced *bool `json:"coalesced,omitempty"`
}

// HistoryResponse: Concurrency, step by step.
type HistoryResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Steps in order of time, aligned to the epoch.
	History []HistoryStep `json:"history"`
	// Length of a step; the first and the last step may be shorter.
	StepMs int64        `json:"stepMs"`
	By     *LabelTotals `json:"by,omitempty"`
	// The stage; missing for all stages together.
	Stage *string `json:"stage,omitempty"`
}

// HistoryStep: Concurrency over a step.
type HistoryStep struct {
	// Start of the step, Unix ms.
	At int64 `json:"at"`
	// Average number of viewers.
	Avg float64 `json:"avg"`
	// Largest number of viewers at once.
	Max int64 `json:"max"`
	// Smallest number of viewers at once.
	Min int64 `json:"min"`
}

// LabelCount: Online viewers of one value of a label.
type LabelCount struct {
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// The value; null for sessions without the label.
	Value *string `json:"value,omitempty"`
}

// LabelCounts: Online viewers by the values of a label.
type LabelCounts struct {
	// Key of the label.
	Key string `json:"key"`
	// Viewers of each value, the most first. A viewer whose sessions have several values is in each of them,
	// once.
	Values []LabelCount `json:"values"`
	// Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
	// missing if there are none.
	BelowFloor *int64 `json:"belowFloor,omitempty"`
	// Number of values that are left out after the first 1,000; missing if there are none.
	Omitted *int64 `json:"omitted,omitempty"`
}

// LabelReport: Main figures of a report by the values of a label.
type LabelReport struct {
	// Key of the label.
	Key string `json:"key"`
	// Figures of each value, those with the most watch time first.
	Values []ValueReport `json:"values"`
	// Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
	// missing if there are none.
	BelowFloor *int64 `json:"belowFloor,omitempty"`
}

// LabelTotals: Watch time and concurrency by the values of a label.
type LabelTotals struct {
	// Key of the label.
	Key string `json:"key"`
	// Figures of each value, those with the most watch time first.
	Values []ValueTotal `json:"values"`
	// Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
	// missing if there are none.
	BelowFloor *int64 `json:"belowFloor,omitempty"`
}

// LabelWatchResponse: Watch time by the values of a label.
type LabelWatchResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Watch time of each value.
	By LabelTotals `json:"by"`
	// The stage; missing for all stages together.
	Stage *string `json:"stage,omitempty"`
}

// MachineCost: A machine, with a public address and a disk of 8 GB.
type MachineCost struct {
	// Cost of a month.
	MonthUsd float64 `json:"monthUsd"`
	// `cost.machine`, or the cheapest machine with this one's memory.
	Name string `json:"name"`
}

// OnlineViewer: A viewer on a stage.
type OnlineViewer struct {
	// Time of their latest heartbeat, Unix ms.
	LastBeatAt int64 `json:"lastBeatAt"`
	// The viewer's online sessions.
	Sessions []string `json:"sessions"`
	// The viewer.
	Viewer string `json:"viewer"`
}

// PlanCost: Cost of a plan.
type PlanCost struct {
	// Data that the worst single fault loses.
	Loses string `json:"loses"`
	// Cost of a month.
	MonthUsd float64 `json:"monthUsd"`
	// Name of the plan, for people.
	Name string `json:"name"`
	// `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`.
	Plan string `json:"plan"`
}

// PublicCountResponse: A stage's public count.
type PublicCountResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// The stage.
	Stage string `json:"stage"`
	// Distinct online viewers, rounded if the stage wants that.
	Viewers int64 `json:"viewers"`
}

// PurposeCost: DynamoDB's requests for one purpose.
type PurposeCost struct {
	// Cost in the last hour.
	LastHourUsd float64 `json:"lastHourUsd"`
	// Cost of a month like the last hour.
	MonthUsd float64 `json:"monthUsd"`
	// Purpose of the requests.
	Purpose string `json:"purpose"`
	// Read units.
	ReadUnits float64 `json:"readUnits"`
	// `cold` or `log`.
	Store string `json:"store"`
	// Cost so far.
	Usd float64 `json:"usd"`
	// Write units.
	WriteUnits int64 `json:"writeUnits"`
}

// RedisCost: Memory and price of Redis.
type RedisCost struct {
	// Bytes that this node has sent, without the protocol.
	BytesIn int64 `json:"bytesIn"`
	// Bytes of the answers, without the protocol.
	BytesOut int64 `json:"bytesOut"`
	// Number of commands that this node has sent.
	Commands int64 `json:"commands"`
	// Memory that Redis uses, by its last report; 0 before the first.
	MemoryBytes int64 `json:"memoryBytes"`
	// Cost of that node in a month.
	MonthUsd float64 `json:"monthUsd"`
	// The smallest node type with twice as much memory; `serverless` if none has.
	Node string `json:"node"`
}

// RejectedHeartbeat: A heartbeat that was rejected.
type RejectedHeartbeat struct {
	// Stable code, for programs.
	Code string `json:"code"`
	// Explanation, for people.
	Detail string `json:"detail"`
	// Place of the heartbeat in the array, or its line, from 0.
	Index int64 `json:"index"`
}

// ReportResponse: A report.
type ReportResponse struct {
	// Average number of viewers at once over the whole range.
	AverageViewers float64 `json:"averageViewers"`
	// Mean watch time of a viewer, ms; 0 without viewers.
	AverageWatchMs float64 `json:"averageWatchMs"`
	// Views that begin within the range.
	Joins int64 `json:"joins"`
	// Views that end within the range, also at its end. A view has ended once it is certain that it does not go
	// on.
	Leaves int64 `json:"leaves"`
	// Smallest watch time that at least half of the viewers don't exceed, ms.
	MedianWatchMs int64 `json:"medianWatchMs"`
	// Smallest watch time that at least nine tenths of the viewers don't exceed, ms.
	P90WatchMs int64 `json:"p90WatchMs"`
	// Largest number of viewers at once. Of all stages, a viewer on two counts on both.
	PeakViewers int64 `json:"peakViewers"`
	// Distinct viewers with watch time.
	UniqueViewers int64 `json:"uniqueViewers"`
	// Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the
	// ttl.
	Views int64 `json:"views"`
	// Sum of their watch times, ms.
	WatchMs int64 `json:"watchMs"`
	// Viewers by watch time.
	Histogram []WatchTimeClass `json:"histogram"`
	// Length of a step, ms. Steps are aligned to the epoch; the first and the last may be shorter.
	StepMs int64 `json:"stepMs"`
	// Steps in order of time.
	Steps []ReportStep `json:"steps"`
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Viewers without; only with `before`.
	NewViewers *int64 `json:"newViewers,omitempty"`
	// First moment with the peak, Unix ms; missing without viewers.
	PeakAt *int64 `json:"peakAt,omitempty"`
	// Viewers with watch time in the time before the range too; only with `before`.
	ReturningViewers *int64       `json:"returningViewers,omitempty"`
	Retention        *Retention   `json:"retention,omitempty"`
	By               *LabelReport `json:"by,omitempty"`
	// The stage; missing for all stages together.
	Stage *string `json:"stage,omitempty"`
}

// ReportStep: A step of a report.
type ReportStep struct {
	// Start of the step, Unix ms.
	At int64 `json:"at"`
	// Average number of viewers at once.
	Avg float64 `json:"avg"`
	// Views that begin in the step.
	Joins int64 `json:"joins"`
	// Joins divided by the step's length in minutes.
	JoinsPerMinute float64 `json:"joinsPerMinute"`
	// Views that end in the step.
	Leaves int64 `json:"leaves"`
	// Leaves divided by the step's length in minutes.
	LeavesPerMinute float64 `json:"leavesPerMinute"`
	// Largest number of viewers at once.
	Max int64 `json:"max"`
	// Smallest number of viewers at once.
	Min int64 `json:"min"`
}

// RestoreResponse: Result of a restore.
type RestoreResponse struct {
	// Whether there was a snapshot to restore.
	Restored bool `json:"restored"`
	// Stages in the snapshot.
	Stages int64 `json:"stages"`
	// Viewers in the snapshot.
	Viewers int64 `json:"viewers"`
	// Time when the snapshot was taken, Unix ms.
	TakenAt *int64 `json:"takenAt,omitempty"`
	// Time until which its counts stand in, Unix ms.
	Until *int64 `json:"until,omitempty"`
}

// Retention: The part of the first viewers that stays.
type Retention struct {
	// Those who are watching, by time since they came.
	After []RetentionPoint `json:"after"`
	// Length of the time from the start in which the cohort came, ms.
	CohortMs int64 `json:"cohortMs"`
	// Those who are watching, by minute of the broadcast; of its first day at most.
	Minutes []RetentionMinute `json:"minutes"`
	// Start of the broadcast: the first moment of the range with a viewer, Unix ms.
	StartedAt int64 `json:"startedAt"`
	// Viewers of the cohort: those whose first view begins in that time.
	Viewers int64 `json:"viewers"`
}

// RetentionMinute: The part of the first viewers that is watching in a minute of the broadcast.
type RetentionMinute struct {
	// Start of the minute, Unix ms. Minutes count from the start of the broadcast.
	At int64 `json:"at"`
	// `watching` divided by the cohort's viewers.
	Share float64 `json:"share"`
	// Viewers of the cohort who are watching at some moment of the minute.
	Watching int64 `json:"watching"`
}

// RetentionPoint: The part of the first viewers that is watching some time after they came.
type RetentionPoint struct {
	// Time since a viewer's first view began, ms.
	AfterMs int64 `json:"afterMs"`
	// `watching` divided by `viewers`.
	Share float64 `json:"share"`
	// Viewers of the cohort for which that moment is within the range.
	Viewers int64 `json:"viewers"`
	// Those of them who are watching at that moment.
	Watching int64 `json:"watching"`
}

// SaveSnapshotsResponse: Result of a snapshot.
type SaveSnapshotsResponse struct {
	// `saved`, `nothingActive` or `busyElsewhere`. The last means that another node takes the snapshot, or just
	// took it.
	Outcome string `json:"outcome"`
	// Stages saved.
	Stages int64 `json:"stages"`
	// Time that the snapshot took, in ms.
	TookMs int64 `json:"tookMs"`
	// Viewers in the snapshot.
	Viewers int64 `json:"viewers"`
	// Moment of the snapshot, Unix ms.
	At *int64 `json:"at,omitempty"`
}

// Snapshot: A stage's count at a moment.
type Snapshot struct {
	// Largest number of viewers at once until then.
	Peak int64 `json:"peak"`
	// Whether the count was bridged from an earlier one.
	Recovering bool `json:"recovering"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Time of the snapshot, Unix ms.
	Timestamp int64 `json:"timestamp"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
}

// Stage: A stage, with its configuration and its count.
type Stage struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// Largest number of viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Id of the stage.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// Time when it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Customer who pays for it.
	Customer *string `json:"customer,omitempty"`
	// Name for people.
	Name *string `json:"name,omitempty"`
	// Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting.
	PublicCount *string `json:"publicCount,omitempty"`
	// Further properties, by key.
	Tags map[string]string `json:"tags,omitempty"`
}

// StageChangeResponse: A stage after its configuration was created or changed.
type StageChangeResponse struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// Largest number of viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Id of the stage.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is unavailable and this node has not cached the configuration. The count is
	// still right.
	ConfigurationKnown bool `json:"configurationKnown"`
	// First moment of watch time that the configuration applies to, Unix ms. This is the start of the current
	// window of the ledger, or of the first one that is not committed. Watch time before it keeps its
	// configuration.
	EffectiveFrom int64 `json:"effectiveFrom"`
	// Time when it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Customer who pays for it.
	Customer *string `json:"customer,omitempty"`
	// Name for people.
	Name *string `json:"name,omitempty"`
	// Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting.
	PublicCount *string `json:"publicCount,omitempty"`
	// Further properties, by key.
	Tags map[string]string `json:"tags,omitempty"`
	// Viewers by label; only with `by`.
	By *LabelCounts `json:"by,omitempty"`
	// Keys of labels that sessions may have; missing if there are none.
	Labels []string `json:"labels,omitempty"`
}

// StageDeletionResponse: A stage whose configuration was deleted.
type StageDeletionResponse struct {
	// First moment of watch time without a configuration, Unix ms: the end of the current window of the ledger.
	// Watch time before it keeps its configuration.
	EffectiveFrom int64 `json:"effectiveFrom"`
	// Id of the stage.
	Stage string `json:"stage"`
}

// StageResponse: A stage with the status of its count.
type StageResponse struct {
	// Whether an operator has configured it.
	Configured bool `json:"configured"`
	// Largest number of viewers at once, as far as is known.
	Peak int64 `json:"peak"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Id of the stage.
	Stage string `json:"stage"`
	// Distinct online viewers.
	Viewers int64 `json:"viewers"`
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is unavailable and this node has not cached the configuration. The count is
	// still right.
	ConfigurationKnown bool `json:"configurationKnown"`
	// Time when it was configured, Unix ms.
	CreatedAt *int64 `json:"createdAt,omitempty"`
	// Customer who pays for it.
	Customer *string `json:"customer,omitempty"`
	// Name for people.
	Name *string `json:"name,omitempty"`
	// Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's setting.
	PublicCount *string `json:"publicCount,omitempty"`
	// Further properties, by key.
	Tags map[string]string `json:"tags,omitempty"`
	// Viewers by label; only with `by`.
	By *LabelCounts `json:"by,omitempty"`
	// Keys of labels that sessions may have; missing if there are none.
	Labels []string `json:"labels,omitempty"`
}

// StageSnapshotsResponse: A stage's snapshots.
type StageSnapshotsResponse struct {
	// Snapshots in order of time, at most 1,000.
	Snapshots []Snapshot `json:"snapshots"`
	// The stage.
	Stage string `json:"stage"`
	// Value of `from` for the next page, if there are more.
	NextFrom *int64 `json:"nextFrom,omitempty"`
}

// StageViewersResponse: A page of viewers.
type StageViewersResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// Viewers, sorted by id within the page. The order of the pages is the same on every node.
	Viewers []OnlineViewer `json:"viewers"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StageWatch: Watch time of a viewer on a stage.
type StageWatch struct {
	// Start of the first watch time, Unix ms.
	FirstAt int64 `json:"firstAt"`
	// End of the last watch time, Unix ms.
	LastAt int64 `json:"lastAt"`
	// Milliseconds watched within the range.
	WatchMs int64 `json:"watchMs"`
	// The stage.
	Stage string `json:"stage"`
	// The exact intervals, with `intervals=true`.
	Intervals []WatchInterval `json:"intervals,omitempty"`
}

// StageWatchResponse: A stage's watch time, by viewer.
type StageWatchResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// The stage.
	Stage string `json:"stage"`
	// Watch times, sorted by viewer.
	Watch []ViewerWatch `json:"watch"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StageWatchTotal: Watch time of a stage.
type StageWatchTotal struct {
	// The stage.
	Stage string `json:"stage"`
	// Sum of its viewers' watch time, in milliseconds.
	WatchMs int64 `json:"watchMs"`
	// Average number of viewers, step by step from `from` on; only with `step`.
	History []float64 `json:"history,omitempty"`
}

// StagesResponse: A page of stages.
type StagesResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// False while the cold tier is unavailable. The counts are right, but names are missing, and so are stages
	// that are only configured.
	ConfigurationKnown bool `json:"configurationKnown"`
	// Stages, sorted by id or as requested.
	Stages []Stage `json:"stages"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// StatsResponse: The count over all stages.
type StatsResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// Online sessions.
	Sessions int64 `json:"sessions"`
	// Stages with a viewer online.
	Stages int64 `json:"stages"`
	// Distinct online viewers; a viewer on two stages counts once.
	Viewers int64 `json:"viewers"`
	// Viewers by label; only with `by`.
	By *LabelCounts `json:"by,omitempty"`
}

// StorageCost: Data stored in the cold tier.
type StorageCost struct {
	// Bytes by the table's last report, or else the bytes that this node has written.
	Bytes int64 `json:"bytes"`
	// Cost of these bytes in a month.
	MonthUsd float64 `json:"monthUsd"`
}

// ThresholdDirection: Direction in which a threshold is crossed.
type ThresholdDirection = string

// TotalCost: Sum of requests, storage and Redis, and of all parts.
type TotalCost struct {
	// Cost of requests in the last hour, or since a later start.
	LastHourUsd float64 `json:"lastHourUsd"`
	// Cost of a month like the last hour, with storage and Redis.
	MonthUsd float64 `json:"monthUsd"`
	// Cost of requests so far.
	Usd float64 `json:"usd"`
	// The same with bytes to clients and the machine.
	WholeMonthUsd float64 `json:"wholeMonthUsd"`
	// Cost of a million hours of watching, by the last hour; null if there were none.
	PerMillionViewerHoursUsd *float64 `json:"perMillionViewerHoursUsd,omitempty"`
}

// UsageResponse: Watch time of customers.
type UsageResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Time before which no watch time can grow any more, Unix ms: the start of an hour. Late heartbeats may
	// still add to what lies between it and `committedTo`.
	FinalTo int64 `json:"finalTo"`
	// Usage, sorted by period, customer and stage.
	Usage []CustomerUsage `json:"usage"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// ValueReport: Main figures of one value of a label.
type ValueReport struct {
	// Average number of viewers at once over the whole range.
	AverageViewers float64 `json:"averageViewers"`
	// Mean watch time of a viewer, ms; 0 without viewers.
	AverageWatchMs float64 `json:"averageWatchMs"`
	// Views that begin within the range.
	Joins int64 `json:"joins"`
	// Views that end within the range, also at its end. A view has ended once it is certain that it does not go
	// on.
	Leaves int64 `json:"leaves"`
	// Smallest watch time that at least half of the viewers don't exceed, ms.
	MedianWatchMs int64 `json:"medianWatchMs"`
	// Smallest watch time that at least nine tenths of the viewers don't exceed, ms.
	P90WatchMs int64 `json:"p90WatchMs"`
	// Largest number of viewers at once. Of all stages, a viewer on two counts on both.
	PeakViewers int64 `json:"peakViewers"`
	// Distinct viewers with watch time.
	UniqueViewers int64 `json:"uniqueViewers"`
	// Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than the
	// ttl.
	Views int64 `json:"views"`
	// Sum of their watch times, ms.
	WatchMs int64 `json:"watchMs"`
	// Viewers without; only with `before`.
	NewViewers *int64 `json:"newViewers,omitempty"`
	// First moment with the peak, Unix ms; missing without viewers.
	PeakAt *int64 `json:"peakAt,omitempty"`
	// Viewers with watch time in the time before the range too; only with `before`.
	ReturningViewers *int64 `json:"returningViewers,omitempty"`
	// The value; null for sessions without the label.
	Value *string `json:"value,omitempty"`
}

// ValueTotal: Watch time and concurrency of one value of a label.
type ValueTotal struct {
	// Largest number of viewers at once.
	PeakViewers int64 `json:"peakViewers"`
	// Distinct viewers with watch time.
	Viewers int64 `json:"viewers"`
	// Sum of watch time, ms.
	WatchMs int64 `json:"watchMs"`
	// Average number of viewers, step by step; only with a history.
	History []float64 `json:"history,omitempty"`
	// The value; null for sessions without the label.
	Value *string `json:"value,omitempty"`
}

// ViewerResponse: Stages that a viewer watches now.
type ViewerResponse struct {
	// Time of the count, Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Whether the count certainly includes all viewers. If not, it may be low.
	Complete bool `json:"complete"`
	// Whether an earlier count stands in after a loss. Never for longer than one ttl.
	Recovering bool `json:"recovering"`
	// Whether the viewer is online anywhere.
	Online bool `json:"online"`
	// Stages that the viewer watches, sorted by id.
	Stages []ViewerStage `json:"stages"`
	// The viewer.
	Viewer string `json:"viewer"`
}

// ViewerStage: A stage that a viewer watches.
type ViewerStage struct {
	// Time of their latest heartbeat, Unix ms.
	LastBeatAt int64 `json:"lastBeatAt"`
	// The viewer's online sessions there.
	Sessions []string `json:"sessions"`
	// The stage.
	Stage string `json:"stage"`
}

// ViewerWatch: Watch time of a viewer.
type ViewerWatch struct {
	// Start of the first watch time, Unix ms.
	FirstAt int64 `json:"firstAt"`
	// End of the last watch time, Unix ms.
	LastAt int64 `json:"lastAt"`
	// Milliseconds watched within the range.
	WatchMs int64 `json:"watchMs"`
	// The viewer.
	Viewer string `json:"viewer"`
	// The exact intervals, with `intervals=true`.
	Intervals []WatchInterval `json:"intervals,omitempty"`
}

// ViewerWatchResponse: A viewer's watch time, by stage.
type ViewerWatchResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// The viewer.
	Viewer string `json:"viewer"`
	// Watch times, sorted by stage.
	Watch []StageWatch `json:"watch"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
}

// WatchInterval: A span of proven time.
type WatchInterval struct {
	// Start in Unix ms, included.
	From int64 `json:"from"`
	// End in Unix ms, not included.
	To int64 `json:"to"`
}

// WatchTimeClass: Viewers whose watch time is in a class.
type WatchTimeClass struct {
	// Least watch time of the class, ms, included.
	FromMs int64 `json:"fromMs"`
	// Number of viewers.
	Viewers int64 `json:"viewers"`
	// Watch time at which the next class begins, ms; missing for the last class.
	ToMs *int64 `json:"toMs,omitempty"`
}

// WatchTotalsResponse: Watch time by stage.
type WatchTotalsResponse struct {
	// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time after
	// it may still grow.
	CommittedTo int64 `json:"committedTo"`
	// Whether the ledger has the whole range.
	Complete bool `json:"complete"`
	// Start of the range, Unix ms.
	From int64 `json:"from"`
	// End of the range, Unix ms, not included.
	To int64 `json:"to"`
	// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for the
	// last `ttlMs` of a range that ends now are too low.
	TtlMs int64 `json:"ttlMs"`
	// Stages with watch time, sorted by id.
	Watch []StageWatchTotal `json:"watch"`
	// Value to send for the next page; missing on the last one.
	Cursor *string `json:"cursor,omitempty"`
	// Length of a step. Steps are aligned to the epoch; the first and the last may be shorter.
	StepMs *int64 `json:"stepMs,omitempty"`
}

// Webhook: A webhook, and how its deliveries fare.
type Webhook struct {
	// Events that it has accepted.
	Delivered int64 `json:"delivered"`
	// Events that were given up after a day.
	GivenUp int64 `json:"givenUp"`
	// Name of the webhook.
	Name string `json:"name"`
	// Events that wait, at most 1,000.
	Pending int64 `json:"pending"`
	// State of its deliveries.
	State WebhookState `json:"state"`
	// Later events that were not looked at yet.
	Unread int64 `json:"unread"`
	// Scheme, host and port of its address.
	Url string `json:"url"`
	// Time of the last accepted delivery, Unix ms.
	AcceptedAt *int64 `json:"acceptedAt,omitempty"`
	// Reason of the last failed delivery since then.
	Error *string `json:"error,omitempty"`
	// Time of the first failed delivery since then, Unix ms.
	FailingSince *int64 `json:"failingSince,omitempty"`
	// Time of the oldest event that waits, Unix ms.
	OldestAt *int64 `json:"oldestAt,omitempty"`
}

// WebhookState: State of a webhook.
type WebhookState = string

// WebhooksResponse: Webhooks of a node's settings.
type WebhooksResponse struct {
	// The webhooks, in the order of the settings.
	Webhooks []Webhook `json:"webhooks"`
}
