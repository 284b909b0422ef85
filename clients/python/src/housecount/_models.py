"""Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "ActiveStream",
    "BatchResponse",
    "Broadcast",
    "BroadcastsResponse",
    "CompareResponse",
    "CostAudience",
    "CostLimit",
    "CostResponse",
    "CustomerUsage",
    "EgressCost",
    "Event",
    "EventType",
    "EventsResponse",
    "HeartbeatResponse",
    "HistoryResponse",
    "HistoryStep",
    "LabelCount",
    "LabelCounts",
    "LabelReport",
    "LabelTotals",
    "LabelWatchResponse",
    "MachineCost",
    "OnlineViewer",
    "PlanCost",
    "PublicCountResponse",
    "PurposeCost",
    "RedisCost",
    "RejectedHeartbeat",
    "ReportResponse",
    "ReportStep",
    "RestoreResponse",
    "Retention",
    "RetentionMinute",
    "RetentionPoint",
    "SaveSnapshotsResponse",
    "Snapshot",
    "Stage",
    "StageChangeResponse",
    "StageDeletionResponse",
    "StageResponse",
    "StageSnapshotsResponse",
    "StageViewersResponse",
    "StageWatch",
    "StageWatchResponse",
    "StageWatchTotal",
    "StagesResponse",
    "StatsResponse",
    "StorageCost",
    "ThresholdDirection",
    "TotalCost",
    "UsageResponse",
    "ValueReport",
    "ValueTotal",
    "ViewerResponse",
    "ViewerStage",
    "ViewerWatch",
    "ViewerWatchResponse",
    "WatchInterval",
    "WatchTimeClass",
    "WatchTotalsResponse",
    "Webhook",
    "WebhookState",
    "WebhooksResponse",
]

EventType = Literal[
    "stage.opened",
    "stage.emptied",
    "stage.threshold",
    "stage.drop",
    "count.incomplete",
    "count.complete",
    "budget.exceeded",
]
"""Type of an event."""
ThresholdDirection = Literal[
    "up",
    "down",
]
"""Direction in which a threshold is crossed."""
WebhookState = Literal[
    "new",
    "working",
    "failing",
]
"""State of a webhook."""


@dataclass(frozen=True, kw_only=True)
class ActiveStream:
    """A stream of the viewer who asked for another one."""

    session: str
    """The session; empty if its player sends none."""
    since: int
    """First heartbeat since the session came online, Unix ms."""
    stage: str
    """The stage."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActiveStream:
        return cls(
            session=data["session"],
            since=data["since"],
            stage=data["stage"],
        )


@dataclass(frozen=True, kw_only=True)
class BatchResponse:
    """Result of many heartbeats."""

    accepted: int
    """Number of accepted heartbeats, coalesced ones included."""
    rejected: list[RejectedHeartbeat]
    """The rejected heartbeats, and why."""
    coalesced: int | None = None
    """Number of heartbeats beyond their session's limit. The session's last logged heartbeat answers them.
    Absent if zero."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BatchResponse:
        return cls(
            accepted=data["accepted"],
            rejected=[RejectedHeartbeat.from_json(each) for each in data["rejected"]],
            coalesced=data.get("coalesced"),
        )


@dataclass(frozen=True, kw_only=True)
class Broadcast:
    """A broadcast: a time in which a stage had an audience."""

    average_viewers: float
    """Average number of viewers at once over the whole range."""
    average_watch_ms: float
    """Mean watch time of a viewer, ms; 0 without viewers."""
    joins: int
    """Views that begin within the range."""
    leaves: int
    """Views that end within the range, also at its end. A view has ended once it is certain that it does not
    go on."""
    median_watch_ms: int
    """Smallest watch time that at least half of the viewers don't exceed, ms."""
    p90_watch_ms: int
    """Smallest watch time that at least nine tenths of the viewers don't exceed, ms."""
    peak_viewers: int
    """Largest number of viewers at once. Of all stages, a viewer on two counts on both."""
    unique_viewers: int
    """Distinct viewers with watch time."""
    views: int
    """Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than
    the ttl."""
    watch_ms: int
    """Sum of their watch times, ms."""
    from_: int
    """First moment with a viewer, Unix ms."""
    ongoing: bool
    """Whether the broadcast may still go on."""
    to: int
    """End of the last viewer's watch time, Unix ms."""
    new_viewers: int | None = None
    """Viewers without; only with `before`."""
    peak_at: int | None = None
    """First moment with the peak, Unix ms; missing without viewers."""
    returning_viewers: int | None = None
    """Viewers with watch time in the time before the range too; only with `before`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Broadcast:
        return cls(
            average_viewers=data["averageViewers"],
            average_watch_ms=data["averageWatchMs"],
            joins=data["joins"],
            leaves=data["leaves"],
            median_watch_ms=data["medianWatchMs"],
            p90_watch_ms=data["p90WatchMs"],
            peak_viewers=data["peakViewers"],
            unique_viewers=data["uniqueViewers"],
            views=data["views"],
            watch_ms=data["watchMs"],
            from_=data["from"],
            ongoing=data["ongoing"],
            to=data["to"],
            new_viewers=data.get("newViewers"),
            peak_at=data.get("peakAt"),
            returning_viewers=data.get("returningViewers"),
        )


@dataclass(frozen=True, kw_only=True)
class BroadcastsResponse:
    """Broadcasts of a stage."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    broadcasts: list[Broadcast]
    """Broadcasts, newest first."""
    gap_ms: int
    """Longest time without a viewer within a broadcast, ms."""
    stage: str
    """The stage."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BroadcastsResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            broadcasts=[Broadcast.from_json(each) for each in data["broadcasts"]],
            gap_ms=data["gapMs"],
            stage=data["stage"],
        )


@dataclass(frozen=True, kw_only=True)
class CompareResponse:
    """Two reports side by side."""

    a: ReportResponse
    """Report of the first range."""
    b: ReportResponse
    """Report of the second range."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CompareResponse:
        return cls(
            a=ReportResponse.from_json(data["a"]),
            b=ReportResponse.from_json(data["b"]),
        )


@dataclass(frozen=True, kw_only=True)
class CostAudience:
    """Size of the audience."""

    stages: int
    """Stages with a viewer online."""
    viewers: int
    """Distinct online viewers."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostAudience:
        return cls(
            stages=data["stages"],
            viewers=data["viewers"],
        )


@dataclass(frozen=True, kw_only=True)
class CostLimit:
    """Limit of the monthly cost."""

    guard: str
    """`cost.guard`"""
    is_exceeded: bool
    """Whether the calls and bytes of a month like the last hour would cost more."""
    is_slowed: bool
    """Whether the node asks players for a heartbeat every ttl/3 only, because of bytes."""
    is_stretched: bool
    """Whether the node saves cost because of it. It then takes snapshots less often, and writes less often to
    a log in DynamoDB."""
    month_usd: float
    """`cost.monthly_limit_usd`"""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostLimit:
        return cls(
            guard=data["guard"],
            is_exceeded=data["isExceeded"],
            is_slowed=data["isSlowed"],
            is_stretched=data["isStretched"],
            month_usd=data["monthUsd"],
        )


@dataclass(frozen=True, kw_only=True)
class CostResponse:
    """Metered cost of this node's calls. Money is in US dollars, to the micro-dollar."""

    as_of: int
    """Time of this answer's figures, Unix ms."""
    audience: CostAudience
    """The audience at that time."""
    egress: EgressCost
    """Bytes to clients."""
    plans: list[PlanCost]
    """Cost of this audience for a whole month, by each plan."""
    prices: str
    """Region and date of the prices."""
    purposes: list[PurposeCost]
    """DynamoDB's requests, by purpose."""
    since: int
    """Start of the count, Unix ms."""
    storage: StorageCost
    """Data stored in the cold tier."""
    total: TotalCost
    """Total of all parts."""
    limit: CostLimit | None = None
    machine: MachineCost | None = None
    redis: RedisCost | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostResponse:
        return cls(
            as_of=data["asOf"],
            audience=CostAudience.from_json(data["audience"]),
            egress=EgressCost.from_json(data["egress"]),
            plans=[PlanCost.from_json(each) for each in data["plans"]],
            prices=data["prices"],
            purposes=[PurposeCost.from_json(each) for each in data["purposes"]],
            since=data["since"],
            storage=StorageCost.from_json(data["storage"]),
            total=TotalCost.from_json(data["total"]),
            limit=None if data.get("limit") is None else CostLimit.from_json(data["limit"]),
            machine=None if data.get("machine") is None else MachineCost.from_json(data["machine"]),
            redis=None if data.get("redis") is None else RedisCost.from_json(data["redis"]),
        )


@dataclass(frozen=True, kw_only=True)
class CustomerUsage:
    """Watch time of a customer in a period."""

    customer: str
    """Customer in force when the time was watched; empty for stages without one."""
    from_: int
    """Start of the period, or of the range if that is later, Unix ms."""
    period: str
    """Name of the period, such as `2026-10` or `2026-10-25`."""
    stages: int
    """Number of the customer's stages with watch time."""
    to: int
    """End of the period, or of the range if that is earlier, Unix ms, not included."""
    watch_ms: int
    """Sum of the viewers' watch time on each stage, in milliseconds."""
    stage: str | None = None
    """Stage, with `group=stage`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CustomerUsage:
        return cls(
            customer=data["customer"],
            from_=data["from"],
            period=data["period"],
            stages=data["stages"],
            to=data["to"],
            watch_ms=data["watchMs"],
            stage=data.get("stage"),
        )


@dataclass(frozen=True, kw_only=True)
class EgressCost:
    """Bytes of the packets to clients, with their headers."""

    bytes: int
    """Bytes so far."""
    month_bytes: int
    """Bytes of a month like the last hour."""
    month_usd: float
    """Cost of these in a month, if they were the only bytes of the account."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EgressCost:
        return cls(
            bytes=data["bytes"],
            month_bytes=data["monthBytes"],
            month_usd=data["monthUsd"],
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event."""

    as_of: int
    """Time of the count, Unix ms."""
    at: int
    """Time of the event, Unix ms."""
    complete: bool
    """Whether the count is complete. Only `count.incomplete` has `false`."""
    id: str
    """Id that no other event has; of a webhook, the header `webhook-id`."""
    recovering: bool
    """Whether earlier counts stand in."""
    seq: int
    """Number of the event, from 1. A stage's events are in this order."""
    type: EventType
    """Type of the event."""
    direction: ThresholdDirection | None = None
    limit_usd: float | None = None
    """`budget.exceeded`: the setting `cost.monthly_limit_usd`."""
    month_usd: float | None = None
    """`budget.exceeded`: projected cost of a month, US dollars."""
    peak_at: int | None = None
    """`stage.drop`: last time at which the stage had them, Unix ms."""
    peak_viewers: int | None = None
    """`stage.drop`: viewers before."""
    sessions: int | None = None
    """Sessions of the stage, or of all stages; missing where no count is complete."""
    stage: str | None = None
    """The stage; missing for events of all stages."""
    threshold: int | None = None
    """`stage.threshold`: the number of viewers that was crossed."""
    viewers: int | None = None
    """Viewers of the stage, or of all stages; missing where no count is complete."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        return cls(
            as_of=data["asOf"],
            at=data["at"],
            complete=data["complete"],
            id=data["id"],
            recovering=data["recovering"],
            seq=data["seq"],
            type=data["type"],
            direction=None if data.get("direction") is None else data["direction"],
            limit_usd=data.get("limitUsd"),
            month_usd=data.get("monthUsd"),
            peak_at=data.get("peakAt"),
            peak_viewers=data.get("peakViewers"),
            sessions=data.get("sessions"),
            stage=data.get("stage"),
            threshold=data.get("threshold"),
            viewers=data.get("viewers"),
        )


@dataclass(frozen=True, kw_only=True)
class EventsResponse:
    """Events, oldest first."""

    at_end: bool
    """Whether all events that are stored so far have been looked at."""
    events: list[Event]
    """The events. There may be none although later ones match: continue while `atEnd` is false."""
    next: str
    """Value of `after` for the events that follow."""
    first_kept: int | None = None
    """Number of the first event that is still kept; present if events before it have expired unseen."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EventsResponse:
        return cls(
            at_end=data["atEnd"],
            events=[Event.from_json(each) for each in data["events"]],
            next=data["next"],
            first_kept=data.get("firstKept"),
        )


@dataclass(frozen=True, kw_only=True)
class HeartbeatResponse:
    """Answer to a heartbeat: the stage's count, with this heartbeat in it."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    next_ms: int
    """Time until the next heartbeat is due, in ms. This is the interval plus or minus a tenth, and longer
    under load. It is never above ttl/3."""
    sessions: int | None = None
    """Online sessions. Absent where the stage hides them."""
    viewers: int | None = None
    """Distinct online viewers. Absent where the stage hides them."""
    coalesced: bool | None = None
    """Present, and true, only for a heartbeat beyond its session's limit. It was not logged. The session's
    last logged heartbeat, which is less than a second old, answers it."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HeartbeatResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            next_ms=data["nextMs"],
            sessions=data.get("sessions"),
            viewers=data.get("viewers"),
            coalesced=data.get("coalesced"),
        )


@dataclass(frozen=True, kw_only=True)
class HistoryResponse:
    """Concurrency, step by step."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    history: list[HistoryStep]
    """Steps in order of time, aligned to the epoch."""
    step_ms: int
    """Length of a step; the first and the last step may be shorter."""
    by: LabelTotals | None = None
    stage: str | None = None
    """The stage; missing for all stages together."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HistoryResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            history=[HistoryStep.from_json(each) for each in data["history"]],
            step_ms=data["stepMs"],
            by=None if data.get("by") is None else LabelTotals.from_json(data["by"]),
            stage=data.get("stage"),
        )


@dataclass(frozen=True, kw_only=True)
class HistoryStep:
    """Concurrency over a step."""

    at: int
    """Start of the step, Unix ms."""
    avg: float
    """Average number of viewers."""
    max: int
    """Largest number of viewers at once."""
    min: int
    """Smallest number of viewers at once."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HistoryStep:
        return cls(
            at=data["at"],
            avg=data["avg"],
            max=data["max"],
            min=data["min"],
        )


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """Online viewers of one value of a label."""

    viewers: int
    """Distinct online viewers."""
    value: str | None = None
    """The value; null for sessions without the label."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelCount:
        return cls(
            viewers=data["viewers"],
            value=data.get("value"),
        )


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Online viewers by the values of a label."""

    key: str
    """Key of the label."""
    values: list[LabelCount]
    """Viewers of each value, the most first. A viewer whose sessions have several values is in each of them,
    once."""
    below_floor: int | None = None
    """Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
    missing if there are none."""
    omitted: int | None = None
    """Number of values that are left out after the first 1,000; missing if there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelCounts:
        return cls(
            key=data["key"],
            values=[LabelCount.from_json(each) for each in data["values"]],
            below_floor=data.get("belowFloor"),
            omitted=data.get("omitted"),
        )


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """Main figures of a report by the values of a label."""

    key: str
    """Key of the label."""
    values: list[ValueReport]
    """Figures of each value, those with the most watch time first."""
    below_floor: int | None = None
    """Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
    missing if there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelReport:
        return cls(
            key=data["key"],
            values=[ValueReport.from_json(each) for each in data["values"]],
            below_floor=data.get("belowFloor"),
        )


@dataclass(frozen=True, kw_only=True)
class LabelTotals:
    """Watch time and concurrency by the values of a label."""

    key: str
    """Key of the label."""
    values: list[ValueTotal]
    """Figures of each value, those with the most watch time first."""
    below_floor: int | None = None
    """Number of values that are left out, because they have fewer viewers than the setting `labels_floor`;
    missing if there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelTotals:
        return cls(
            key=data["key"],
            values=[ValueTotal.from_json(each) for each in data["values"]],
            below_floor=data.get("belowFloor"),
        )


@dataclass(frozen=True, kw_only=True)
class LabelWatchResponse:
    """Watch time by the values of a label."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    by: LabelTotals
    """Watch time of each value."""
    stage: str | None = None
    """The stage; missing for all stages together."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelWatchResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            by=LabelTotals.from_json(data["by"]),
            stage=data.get("stage"),
        )


@dataclass(frozen=True, kw_only=True)
class MachineCost:
    """A machine, with a public address and a disk of 8 GB."""

    month_usd: float
    """Cost of a month."""
    name: str
    """`cost.machine`, or the cheapest machine with this one's memory."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MachineCost:
        return cls(
            month_usd=data["monthUsd"],
            name=data["name"],
        )


@dataclass(frozen=True, kw_only=True)
class OnlineViewer:
    """A viewer on a stage."""

    last_beat_at: int
    """Time of their latest heartbeat, Unix ms."""
    sessions: list[str]
    """The viewer's online sessions."""
    viewer: str
    """The viewer."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OnlineViewer:
        return cls(
            last_beat_at=data["lastBeatAt"],
            sessions=[each for each in data["sessions"]],
            viewer=data["viewer"],
        )


@dataclass(frozen=True, kw_only=True)
class PlanCost:
    """Cost of a plan."""

    loses: str
    """Data that the worst single fault loses."""
    month_usd: float
    """Cost of a month."""
    name: str
    """Name of the plan, for people."""
    plan: str
    """`pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlanCost:
        return cls(
            loses=data["loses"],
            month_usd=data["monthUsd"],
            name=data["name"],
            plan=data["plan"],
        )


@dataclass(frozen=True, kw_only=True)
class PublicCountResponse:
    """A stage's public count."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    stage: str
    """The stage."""
    viewers: int
    """Distinct online viewers, rounded if the stage wants that."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PublicCountResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            stage=data["stage"],
            viewers=data["viewers"],
        )


@dataclass(frozen=True, kw_only=True)
class PurposeCost:
    """DynamoDB's requests for one purpose."""

    last_hour_usd: float
    """Cost in the last hour."""
    month_usd: float
    """Cost of a month like the last hour."""
    purpose: str
    """Purpose of the requests."""
    read_units: float
    """Read units."""
    store: str
    """`cold` or `log`."""
    usd: float
    """Cost so far."""
    write_units: int
    """Write units."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PurposeCost:
        return cls(
            last_hour_usd=data["lastHourUsd"],
            month_usd=data["monthUsd"],
            purpose=data["purpose"],
            read_units=data["readUnits"],
            store=data["store"],
            usd=data["usd"],
            write_units=data["writeUnits"],
        )


@dataclass(frozen=True, kw_only=True)
class RedisCost:
    """Memory and price of Redis."""

    bytes_in: int
    """Bytes that this node has sent, without the protocol."""
    bytes_out: int
    """Bytes of the answers, without the protocol."""
    commands: int
    """Number of commands that this node has sent."""
    memory_bytes: int
    """Memory that Redis uses, by its last report; 0 before the first."""
    month_usd: float
    """Cost of that node in a month."""
    node: str
    """The smallest node type with twice as much memory; `serverless` if none has."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RedisCost:
        return cls(
            bytes_in=data["bytesIn"],
            bytes_out=data["bytesOut"],
            commands=data["commands"],
            memory_bytes=data["memoryBytes"],
            month_usd=data["monthUsd"],
            node=data["node"],
        )


@dataclass(frozen=True, kw_only=True)
class RejectedHeartbeat:
    """A heartbeat that was rejected."""

    code: str
    """Stable code, for programs."""
    detail: str
    """Explanation, for people."""
    index: int
    """Place of the heartbeat in the array, or its line, from 0."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RejectedHeartbeat:
        return cls(
            code=data["code"],
            detail=data["detail"],
            index=data["index"],
        )


@dataclass(frozen=True, kw_only=True)
class ReportResponse:
    """A report."""

    average_viewers: float
    """Average number of viewers at once over the whole range."""
    average_watch_ms: float
    """Mean watch time of a viewer, ms; 0 without viewers."""
    joins: int
    """Views that begin within the range."""
    leaves: int
    """Views that end within the range, also at its end. A view has ended once it is certain that it does not
    go on."""
    median_watch_ms: int
    """Smallest watch time that at least half of the viewers don't exceed, ms."""
    p90_watch_ms: int
    """Smallest watch time that at least nine tenths of the viewers don't exceed, ms."""
    peak_viewers: int
    """Largest number of viewers at once. Of all stages, a viewer on two counts on both."""
    unique_viewers: int
    """Distinct viewers with watch time."""
    views: int
    """Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than
    the ttl."""
    watch_ms: int
    """Sum of their watch times, ms."""
    histogram: list[WatchTimeClass]
    """Viewers by watch time."""
    step_ms: int
    """Length of a step, ms. Steps are aligned to the epoch; the first and the last may be shorter."""
    steps: list[ReportStep]
    """Steps in order of time."""
    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    new_viewers: int | None = None
    """Viewers without; only with `before`."""
    peak_at: int | None = None
    """First moment with the peak, Unix ms; missing without viewers."""
    returning_viewers: int | None = None
    """Viewers with watch time in the time before the range too; only with `before`."""
    retention: Retention | None = None
    by: LabelReport | None = None
    stage: str | None = None
    """The stage; missing for all stages together."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReportResponse:
        return cls(
            average_viewers=data["averageViewers"],
            average_watch_ms=data["averageWatchMs"],
            joins=data["joins"],
            leaves=data["leaves"],
            median_watch_ms=data["medianWatchMs"],
            p90_watch_ms=data["p90WatchMs"],
            peak_viewers=data["peakViewers"],
            unique_viewers=data["uniqueViewers"],
            views=data["views"],
            watch_ms=data["watchMs"],
            histogram=[WatchTimeClass.from_json(each) for each in data["histogram"]],
            step_ms=data["stepMs"],
            steps=[ReportStep.from_json(each) for each in data["steps"]],
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            new_viewers=data.get("newViewers"),
            peak_at=data.get("peakAt"),
            returning_viewers=data.get("returningViewers"),
            retention=None if data.get("retention") is None else Retention.from_json(data["retention"]),
            by=None if data.get("by") is None else LabelReport.from_json(data["by"]),
            stage=data.get("stage"),
        )


@dataclass(frozen=True, kw_only=True)
class ReportStep:
    """A step of a report."""

    at: int
    """Start of the step, Unix ms."""
    avg: float
    """Average number of viewers at once."""
    joins: int
    """Views that begin in the step."""
    joins_per_minute: float
    """Joins divided by the step's length in minutes."""
    leaves: int
    """Views that end in the step."""
    leaves_per_minute: float
    """Leaves divided by the step's length in minutes."""
    max: int
    """Largest number of viewers at once."""
    min: int
    """Smallest number of viewers at once."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReportStep:
        return cls(
            at=data["at"],
            avg=data["avg"],
            joins=data["joins"],
            joins_per_minute=data["joinsPerMinute"],
            leaves=data["leaves"],
            leaves_per_minute=data["leavesPerMinute"],
            max=data["max"],
            min=data["min"],
        )


@dataclass(frozen=True, kw_only=True)
class RestoreResponse:
    """Result of a restore."""

    restored: bool
    """Whether there was a snapshot to restore."""
    stages: int
    """Stages in the snapshot."""
    viewers: int
    """Viewers in the snapshot."""
    taken_at: int | None = None
    """Time when the snapshot was taken, Unix ms."""
    until: int | None = None
    """Time until which its counts stand in, Unix ms."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RestoreResponse:
        return cls(
            restored=data["restored"],
            stages=data["stages"],
            viewers=data["viewers"],
            taken_at=data.get("takenAt"),
            until=data.get("until"),
        )


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The part of the first viewers that stays."""

    after: list[RetentionPoint]
    """Those who are watching, by time since they came."""
    cohort_ms: int
    """Length of the time from the start in which the cohort came, ms."""
    minutes: list[RetentionMinute]
    """Those who are watching, by minute of the broadcast; of its first day at most."""
    started_at: int
    """Start of the broadcast: the first moment of the range with a viewer, Unix ms."""
    viewers: int
    """Viewers of the cohort: those whose first view begins in that time."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Retention:
        return cls(
            after=[RetentionPoint.from_json(each) for each in data["after"]],
            cohort_ms=data["cohortMs"],
            minutes=[RetentionMinute.from_json(each) for each in data["minutes"]],
            started_at=data["startedAt"],
            viewers=data["viewers"],
        )


@dataclass(frozen=True, kw_only=True)
class RetentionMinute:
    """The part of the first viewers that is watching in a minute of the broadcast."""

    at: int
    """Start of the minute, Unix ms. Minutes count from the start of the broadcast."""
    share: float
    """`watching` divided by the cohort's viewers."""
    watching: int
    """Viewers of the cohort who are watching at some moment of the minute."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetentionMinute:
        return cls(
            at=data["at"],
            share=data["share"],
            watching=data["watching"],
        )


@dataclass(frozen=True, kw_only=True)
class RetentionPoint:
    """The part of the first viewers that is watching some time after they came."""

    after_ms: int
    """Time since a viewer's first view began, ms."""
    share: float
    """`watching` divided by `viewers`."""
    viewers: int
    """Viewers of the cohort for which that moment is within the range."""
    watching: int
    """Those of them who are watching at that moment."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetentionPoint:
        return cls(
            after_ms=data["afterMs"],
            share=data["share"],
            viewers=data["viewers"],
            watching=data["watching"],
        )


@dataclass(frozen=True, kw_only=True)
class SaveSnapshotsResponse:
    """Result of a snapshot."""

    outcome: str
    """`saved`, `nothingActive` or `busyElsewhere`. The last means that another node takes the snapshot, or
    just took it."""
    stages: int
    """Stages saved."""
    took_ms: int
    """Time that the snapshot took, in ms."""
    viewers: int
    """Viewers in the snapshot."""
    at: int | None = None
    """Moment of the snapshot, Unix ms."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SaveSnapshotsResponse:
        return cls(
            outcome=data["outcome"],
            stages=data["stages"],
            took_ms=data["tookMs"],
            viewers=data["viewers"],
            at=data.get("at"),
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A stage's count at a moment."""

    peak: int
    """Largest number of viewers at once until then."""
    recovering: bool
    """Whether the count was bridged from an earlier one."""
    sessions: int
    """Online sessions."""
    timestamp: int
    """Time of the snapshot, Unix ms."""
    viewers: int
    """Distinct online viewers."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        return cls(
            peak=data["peak"],
            recovering=data["recovering"],
            sessions=data["sessions"],
            timestamp=data["timestamp"],
            viewers=data["viewers"],
        )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage, with its configuration and its count."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """Largest number of viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Id of the stage."""
    viewers: int
    """Distinct online viewers."""
    created_at: int | None = None
    """Time when it was configured, Unix ms."""
    customer: str | None = None
    """Customer who pays for it."""
    name: str | None = None
    """Name for people."""
    public_count: str | None = None
    """Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's
    setting."""
    tags: dict[str, str] | None = None
    """Further properties, by key."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stage:
        return cls(
            configured=data["configured"],
            peak=data["peak"],
            sessions=data["sessions"],
            stage=data["stage"],
            viewers=data["viewers"],
            created_at=data.get("createdAt"),
            customer=data.get("customer"),
            name=data.get("name"),
            public_count=data.get("publicCount"),
            tags=None if data.get("tags") is None else dict(data["tags"]),
        )


@dataclass(frozen=True, kw_only=True)
class StageChangeResponse:
    """A stage after its configuration was created or changed."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """Largest number of viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Id of the stage."""
    viewers: int
    """Distinct online viewers."""
    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is unavailable and this node has not cached the configuration. The count is
    still right."""
    effective_from: int
    """First moment of watch time that the configuration applies to, Unix ms. This is the start of the current
    window of the ledger, or of the first one that is not committed. Watch time before it keeps its
    configuration."""
    created_at: int | None = None
    """Time when it was configured, Unix ms."""
    customer: str | None = None
    """Customer who pays for it."""
    name: str | None = None
    """Name for people."""
    public_count: str | None = None
    """Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's
    setting."""
    tags: dict[str, str] | None = None
    """Further properties, by key."""
    by: LabelCounts | None = None
    """Viewers by label; only with `by`."""
    labels: list[str] | None = None
    """Keys of labels that sessions may have; missing if there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageChangeResponse:
        return cls(
            configured=data["configured"],
            peak=data["peak"],
            sessions=data["sessions"],
            stage=data["stage"],
            viewers=data["viewers"],
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            configuration_known=data["configurationKnown"],
            effective_from=data["effectiveFrom"],
            created_at=data.get("createdAt"),
            customer=data.get("customer"),
            name=data.get("name"),
            public_count=data.get("publicCount"),
            tags=None if data.get("tags") is None else dict(data["tags"]),
            by=None if data.get("by") is None else LabelCounts.from_json(data["by"]),
            labels=None if data.get("labels") is None else [each for each in data["labels"]],
        )


@dataclass(frozen=True, kw_only=True)
class StageDeletionResponse:
    """A stage whose configuration was deleted."""

    effective_from: int
    """First moment of watch time without a configuration, Unix ms: the end of the current window of the
    ledger. Watch time before it keeps its configuration."""
    stage: str
    """Id of the stage."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageDeletionResponse:
        return cls(
            effective_from=data["effectiveFrom"],
            stage=data["stage"],
        )


@dataclass(frozen=True, kw_only=True)
class StageResponse:
    """A stage with the status of its count."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """Largest number of viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Id of the stage."""
    viewers: int
    """Distinct online viewers."""
    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is unavailable and this node has not cached the configuration. The count is
    still right."""
    created_at: int | None = None
    """Time when it was configured, Unix ms."""
    customer: str | None = None
    """Customer who pays for it."""
    name: str | None = None
    """Name for people."""
    public_count: str | None = None
    """Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the node's
    setting."""
    tags: dict[str, str] | None = None
    """Further properties, by key."""
    by: LabelCounts | None = None
    """Viewers by label; only with `by`."""
    labels: list[str] | None = None
    """Keys of labels that sessions may have; missing if there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageResponse:
        return cls(
            configured=data["configured"],
            peak=data["peak"],
            sessions=data["sessions"],
            stage=data["stage"],
            viewers=data["viewers"],
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            configuration_known=data["configurationKnown"],
            created_at=data.get("createdAt"),
            customer=data.get("customer"),
            name=data.get("name"),
            public_count=data.get("publicCount"),
            tags=None if data.get("tags") is None else dict(data["tags"]),
            by=None if data.get("by") is None else LabelCounts.from_json(data["by"]),
            labels=None if data.get("labels") is None else [each for each in data["labels"]],
        )


@dataclass(frozen=True, kw_only=True)
class StageSnapshotsResponse:
    """A stage's snapshots."""

    snapshots: list[Snapshot]
    """Snapshots in order of time, at most 1,000."""
    stage: str
    """The stage."""
    next_from: int | None = None
    """Value of `from` for the next page, if there are more."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageSnapshotsResponse:
        return cls(
            snapshots=[Snapshot.from_json(each) for each in data["snapshots"]],
            stage=data["stage"],
            next_from=data.get("nextFrom"),
        )


@dataclass(frozen=True, kw_only=True)
class StageViewersResponse:
    """A page of viewers."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    viewers: list[OnlineViewer]
    """Viewers, sorted by id within the page. The order of the pages is the same on every node."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageViewersResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            viewers=[OnlineViewer.from_json(each) for each in data["viewers"]],
            cursor=data.get("cursor"),
        )


@dataclass(frozen=True, kw_only=True)
class StageWatch:
    """Watch time of a viewer on a stage."""

    first_at: int
    """Start of the first watch time, Unix ms."""
    last_at: int
    """End of the last watch time, Unix ms."""
    watch_ms: int
    """Milliseconds watched within the range."""
    stage: str
    """The stage."""
    intervals: list[WatchInterval] | None = None
    """The exact intervals, with `intervals=true`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageWatch:
        return cls(
            first_at=data["firstAt"],
            last_at=data["lastAt"],
            watch_ms=data["watchMs"],
            stage=data["stage"],
            intervals=None
            if data.get("intervals") is None
            else [WatchInterval.from_json(each) for each in data["intervals"]],
        )


@dataclass(frozen=True, kw_only=True)
class StageWatchResponse:
    """A stage's watch time, by viewer."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    stage: str
    """The stage."""
    watch: list[ViewerWatch]
    """Watch times, sorted by viewer."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageWatchResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            stage=data["stage"],
            watch=[ViewerWatch.from_json(each) for each in data["watch"]],
            cursor=data.get("cursor"),
        )


@dataclass(frozen=True, kw_only=True)
class StageWatchTotal:
    """Watch time of a stage."""

    stage: str
    """The stage."""
    watch_ms: int
    """Sum of its viewers' watch time, in milliseconds."""
    history: list[float] | None = None
    """Average number of viewers, step by step from `from` on; only with `step`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageWatchTotal:
        return cls(
            stage=data["stage"],
            watch_ms=data["watchMs"],
            history=None if data.get("history") is None else [each for each in data["history"]],
        )


@dataclass(frozen=True, kw_only=True)
class StagesResponse:
    """A page of stages."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is unavailable. The counts are right, but names are missing, and so are
    stages that are only configured."""
    stages: list[Stage]
    """Stages, sorted by id or as requested."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StagesResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            configuration_known=data["configurationKnown"],
            stages=[Stage.from_json(each) for each in data["stages"]],
            cursor=data.get("cursor"),
        )


@dataclass(frozen=True, kw_only=True)
class StatsResponse:
    """The count over all stages."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    sessions: int
    """Online sessions."""
    stages: int
    """Stages with a viewer online."""
    viewers: int
    """Distinct online viewers; a viewer on two stages counts once."""
    by: LabelCounts | None = None
    """Viewers by label; only with `by`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StatsResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            sessions=data["sessions"],
            stages=data["stages"],
            viewers=data["viewers"],
            by=None if data.get("by") is None else LabelCounts.from_json(data["by"]),
        )


@dataclass(frozen=True, kw_only=True)
class StorageCost:
    """Data stored in the cold tier."""

    bytes: int
    """Bytes by the table's last report, or else the bytes that this node has written."""
    month_usd: float
    """Cost of these bytes in a month."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StorageCost:
        return cls(
            bytes=data["bytes"],
            month_usd=data["monthUsd"],
        )


@dataclass(frozen=True, kw_only=True)
class TotalCost:
    """Sum of requests, storage and Redis, and of all parts."""

    last_hour_usd: float
    """Cost of requests in the last hour, or since a later start."""
    month_usd: float
    """Cost of a month like the last hour, with storage and Redis."""
    usd: float
    """Cost of requests so far."""
    whole_month_usd: float
    """The same with bytes to clients and the machine."""
    per_million_viewer_hours_usd: float | None = None
    """Cost of a million hours of watching, by the last hour; null if there were none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TotalCost:
        return cls(
            last_hour_usd=data["lastHourUsd"],
            month_usd=data["monthUsd"],
            usd=data["usd"],
            whole_month_usd=data["wholeMonthUsd"],
            per_million_viewer_hours_usd=data.get("perMillionViewerHoursUsd"),
        )


@dataclass(frozen=True, kw_only=True)
class UsageResponse:
    """Watch time of customers."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    final_to: int
    """Time before which no watch time can grow any more, Unix ms: the start of an hour. Late heartbeats may
    still add to what lies between it and `committedTo`."""
    usage: list[CustomerUsage]
    """Usage, sorted by period, customer and stage."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> UsageResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            final_to=data["finalTo"],
            usage=[CustomerUsage.from_json(each) for each in data["usage"]],
            cursor=data.get("cursor"),
        )


@dataclass(frozen=True, kw_only=True)
class ValueReport:
    """Main figures of one value of a label."""

    average_viewers: float
    """Average number of viewers at once over the whole range."""
    average_watch_ms: float
    """Mean watch time of a viewer, ms; 0 without viewers."""
    joins: int
    """Views that begin within the range."""
    leaves: int
    """Views that end within the range, also at its end. A view has ended once it is certain that it does not
    go on."""
    median_watch_ms: int
    """Smallest watch time that at least half of the viewers don't exceed, ms."""
    p90_watch_ms: int
    """Smallest watch time that at least nine tenths of the viewers don't exceed, ms."""
    peak_viewers: int
    """Largest number of viewers at once. Of all stages, a viewer on two counts on both."""
    unique_viewers: int
    """Distinct viewers with watch time."""
    views: int
    """Views that overlap the range. A view is a viewer's proven time on a stage without a gap of more than
    the ttl."""
    watch_ms: int
    """Sum of their watch times, ms."""
    new_viewers: int | None = None
    """Viewers without; only with `before`."""
    peak_at: int | None = None
    """First moment with the peak, Unix ms; missing without viewers."""
    returning_viewers: int | None = None
    """Viewers with watch time in the time before the range too; only with `before`."""
    value: str | None = None
    """The value; null for sessions without the label."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ValueReport:
        return cls(
            average_viewers=data["averageViewers"],
            average_watch_ms=data["averageWatchMs"],
            joins=data["joins"],
            leaves=data["leaves"],
            median_watch_ms=data["medianWatchMs"],
            p90_watch_ms=data["p90WatchMs"],
            peak_viewers=data["peakViewers"],
            unique_viewers=data["uniqueViewers"],
            views=data["views"],
            watch_ms=data["watchMs"],
            new_viewers=data.get("newViewers"),
            peak_at=data.get("peakAt"),
            returning_viewers=data.get("returningViewers"),
            value=data.get("value"),
        )


@dataclass(frozen=True, kw_only=True)
class ValueTotal:
    """Watch time and concurrency of one value of a label."""

    peak_viewers: int
    """Largest number of viewers at once."""
    viewers: int
    """Distinct viewers with watch time."""
    watch_ms: int
    """Sum of watch time, ms."""
    history: list[float] | None = None
    """Average number of viewers, step by step; only with a history."""
    value: str | None = None
    """The value; null for sessions without the label."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ValueTotal:
        return cls(
            peak_viewers=data["peakViewers"],
            viewers=data["viewers"],
            watch_ms=data["watchMs"],
            history=None if data.get("history") is None else [each for each in data["history"]],
            value=data.get("value"),
        )


@dataclass(frozen=True, kw_only=True)
class ViewerResponse:
    """Stages that a viewer watches now."""

    as_of: int
    """Time of the count, Unix ms on the log's clock."""
    complete: bool
    """Whether the count certainly includes all viewers. If not, it may be low."""
    recovering: bool
    """Whether an earlier count stands in after a loss. Never for longer than one ttl."""
    online: bool
    """Whether the viewer is online anywhere."""
    stages: list[ViewerStage]
    """Stages that the viewer watches, sorted by id."""
    viewer: str
    """The viewer."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ViewerResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            online=data["online"],
            stages=[ViewerStage.from_json(each) for each in data["stages"]],
            viewer=data["viewer"],
        )


@dataclass(frozen=True, kw_only=True)
class ViewerStage:
    """A stage that a viewer watches."""

    last_beat_at: int
    """Time of their latest heartbeat, Unix ms."""
    sessions: list[str]
    """The viewer's online sessions there."""
    stage: str
    """The stage."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ViewerStage:
        return cls(
            last_beat_at=data["lastBeatAt"],
            sessions=[each for each in data["sessions"]],
            stage=data["stage"],
        )


@dataclass(frozen=True, kw_only=True)
class ViewerWatch:
    """Watch time of a viewer."""

    first_at: int
    """Start of the first watch time, Unix ms."""
    last_at: int
    """End of the last watch time, Unix ms."""
    watch_ms: int
    """Milliseconds watched within the range."""
    viewer: str
    """The viewer."""
    intervals: list[WatchInterval] | None = None
    """The exact intervals, with `intervals=true`."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ViewerWatch:
        return cls(
            first_at=data["firstAt"],
            last_at=data["lastAt"],
            watch_ms=data["watchMs"],
            viewer=data["viewer"],
            intervals=None
            if data.get("intervals") is None
            else [WatchInterval.from_json(each) for each in data["intervals"]],
        )


@dataclass(frozen=True, kw_only=True)
class ViewerWatchResponse:
    """A viewer's watch time, by stage."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    viewer: str
    """The viewer."""
    watch: list[StageWatch]
    """Watch times, sorted by stage."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ViewerWatchResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            viewer=data["viewer"],
            watch=[StageWatch.from_json(each) for each in data["watch"]],
            cursor=data.get("cursor"),
        )


@dataclass(frozen=True, kw_only=True)
class WatchInterval:
    """A span of proven time."""

    from_: int
    """Start in Unix ms, included."""
    to: int
    """End in Unix ms, not included."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WatchInterval:
        return cls(
            from_=data["from"],
            to=data["to"],
        )


@dataclass(frozen=True, kw_only=True)
class WatchTimeClass:
    """Viewers whose watch time is in a class."""

    from_ms: int
    """Least watch time of the class, ms, included."""
    viewers: int
    """Number of viewers."""
    to_ms: int | None = None
    """Watch time at which the next class begins, ms; missing for the last class."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WatchTimeClass:
        return cls(
            from_ms=data["fromMs"],
            viewers=data["viewers"],
            to_ms=data.get("toMs"),
        )


@dataclass(frozen=True, kw_only=True)
class WatchTotalsResponse:
    """Watch time by stage."""

    committed_to: int
    """Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet. Watch time
    after it may still grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """Start of the range, Unix ms."""
    to: int
    """End of the range, Unix ms, not included."""
    ttl_ms: int
    """The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So figures for
    the last `ttlMs` of a range that ends now are too low."""
    watch: list[StageWatchTotal]
    """Stages with watch time, sorted by id."""
    cursor: str | None = None
    """Value to send for the next page; missing on the last one."""
    step_ms: int | None = None
    """Length of a step. Steps are aligned to the epoch; the first and the last may be shorter."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WatchTotalsResponse:
        return cls(
            committed_to=data["committedTo"],
            complete=data["complete"],
            from_=data["from"],
            to=data["to"],
            ttl_ms=data["ttlMs"],
            watch=[StageWatchTotal.from_json(each) for each in data["watch"]],
            cursor=data.get("cursor"),
            step_ms=data.get("stepMs"),
        )


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A webhook, and how its deliveries fare."""

    delivered: int
    """Events that it has accepted."""
    given_up: int
    """Events that were given up after a day."""
    name: str
    """Name of the webhook."""
    pending: int
    """Events that wait, at most 1,000."""
    state: WebhookState
    """State of its deliveries."""
    unread: int
    """Later events that were not looked at yet."""
    url: str
    """Scheme, host and port of its address."""
    accepted_at: int | None = None
    """Time of the last accepted delivery, Unix ms."""
    error: str | None = None
    """Reason of the last failed delivery since then."""
    failing_since: int | None = None
    """Time of the first failed delivery since then, Unix ms."""
    oldest_at: int | None = None
    """Time of the oldest event that waits, Unix ms."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Webhook:
        return cls(
            delivered=data["delivered"],
            given_up=data["givenUp"],
            name=data["name"],
            pending=data["pending"],
            state=data["state"],
            unread=data["unread"],
            url=data["url"],
            accepted_at=data.get("acceptedAt"),
            error=data.get("error"),
            failing_since=data.get("failingSince"),
            oldest_at=data.get("oldestAt"),
        )


@dataclass(frozen=True, kw_only=True)
class WebhooksResponse:
    """Webhooks of a node's settings."""

    webhooks: list[Webhook]
    """The webhooks, in the order of the settings."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WebhooksResponse:
        return cls(
            webhooks=[Webhook.from_json(each) for each in data["webhooks"]],
        )
