"""Answers of a node. Generated from /openapi.json by clients/models/generate.py: do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BatchResponse",
    "CostAudience",
    "CostLimit",
    "CostResponse",
    "HeartbeatResponse",
    "HistoryResponse",
    "HistoryStep",
    "OnlineViewer",
    "PlanCost",
    "PurposeCost",
    "RedisCost",
    "RejectedHeartbeat",
    "RestoreResponse",
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
    "TotalCost",
    "ViewerResponse",
    "ViewerStage",
    "ViewerWatch",
    "ViewerWatchResponse",
    "WatchInterval",
    "WatchTotalsResponse",
]


@dataclass(frozen=True, kw_only=True)
class BatchResponse:
    """What became of many heartbeats."""

    accepted: int
    """How many were taken, those that were coalesced included."""
    rejected: list[RejectedHeartbeat]
    """The others, and why."""
    coalesced: int | None = None
    """How many were beyond their session's limit and are answered by its last logged heartbeat. Absent if
    there are none."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BatchResponse:
        return cls(
            accepted=data["accepted"],
            rejected=[RejectedHeartbeat.from_json(each) for each in data["rejected"]],
            coalesced=data.get("coalesced"),
        )


@dataclass(frozen=True, kw_only=True)
class CostAudience:
    """Who watches."""

    stages: int
    """Stages with somebody online."""
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
    """The limit."""

    guard: str
    """`cost.guard`"""
    is_exceeded: bool
    """Whether a month would cost more."""
    is_stretched: bool
    """Whether snapshots are taken less often because of it, and a log in DynamoDB is written to less
    often."""
    month_usd: float
    """`cost.monthly_limit_usd`"""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostLimit:
        return cls(
            guard=data["guard"],
            is_exceeded=data["isExceeded"],
            is_stretched=data["isStretched"],
            month_usd=data["monthUsd"],
        )


@dataclass(frozen=True, kw_only=True)
class CostResponse:
    """What this node's calls cost. Money is in US dollars, to the micro-dollar."""

    as_of: int
    """When it was so, Unix ms."""
    audience: CostAudience
    """Who watches."""
    plans: list[PlanCost]
    """What this audience would cost by each plan, all month."""
    prices: str
    """Region and date of the prices."""
    purposes: list[PurposeCost]
    """DynamoDB's requests, by what for."""
    since: int
    """Since when it is counted, Unix ms."""
    storage: StorageCost
    """What lies in the cold tier."""
    total: TotalCost
    """Total of all parts."""
    limit: CostLimit | None = None
    redis: RedisCost | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostResponse:
        return cls(
            as_of=data["asOf"],
            audience=CostAudience.from_json(data["audience"]),
            plans=[PlanCost.from_json(each) for each in data["plans"]],
            prices=data["prices"],
            purposes=[PurposeCost.from_json(each) for each in data["purposes"]],
            since=data["since"],
            storage=StorageCost.from_json(data["storage"]),
            total=TotalCost.from_json(data["total"]),
            limit=None if data.get("limit") is None else CostLimit.from_json(data["limit"]),
            redis=None if data.get("redis") is None else RedisCost.from_json(data["redis"]),
        )


@dataclass(frozen=True, kw_only=True)
class HeartbeatResponse:
    """The answer to a heartbeat: the stage's count, with this heartbeat in it."""

    as_of: int
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    sessions: int
    """Online sessions."""
    viewers: int
    """Distinct online viewers."""
    next_ms: int
    """When to beat next, in ms: the interval give or take a tenth, more under load, never above ttl/3."""
    coalesced: bool | None = None
    """Only there, and true, if the heartbeat was beyond its session's limit: it was not logged, and is
    answered by the session's last logged one, which is less than a second old."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HeartbeatResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            sessions=data["sessions"],
            viewers=data["viewers"],
            next_ms=data["nextMs"],
            coalesced=data.get("coalesced"),
        )


@dataclass(frozen=True, kw_only=True)
class HistoryResponse:
    """Concurrency, step by step."""

    committed_to: int
    """Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
    grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """The range, Unix ms."""
    to: int
    """Its end, not included."""
    ttl_ms: int
    """The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in
    the last `ttlMs` of a range that ends now is too low."""
    history: list[HistoryStep]
    """In the order of time, aligned to the epoch."""
    step_ms: int
    """How long a step is; the first and the last may be cut off."""
    stage: str | None = None
    """The stage; missing where it is all together."""

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
            stage=data.get("stage"),
        )


@dataclass(frozen=True, kw_only=True)
class HistoryStep:
    """Concurrency over a step."""

    at: int
    """When it begins, Unix ms."""
    avg: float
    """Viewers on average."""
    max: int
    """The most at once."""
    min: int
    """The fewest at once."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HistoryStep:
        return cls(
            at=data["at"],
            avg=data["avg"],
            max=data["max"],
            min=data["min"],
        )


@dataclass(frozen=True, kw_only=True)
class OnlineViewer:
    """A viewer on a stage."""

    last_beat_at: int
    """The latest heartbeat of them, Unix ms."""
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
    """A plan."""

    loses: str
    """What is lost when the worst single thing fails."""
    month_usd: float
    """A month."""
    name: str
    """For people."""
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
class PurposeCost:
    """DynamoDB's requests for one purpose."""

    last_hour_usd: float
    """In the last hour."""
    month_usd: float
    """In a month like it."""
    purpose: str
    """What for."""
    read_units: float
    """Read units."""
    store: str
    """`cold` or `log`."""
    usd: float
    """What they cost so far."""
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
    """Bytes of what it sent, without the protocol."""
    bytes_out: int
    """Bytes of what was answered, likewise."""
    commands: int
    """Commands this node has sent."""
    memory_bytes: int
    """What Redis has in memory, as it last said; 0 before."""
    month_usd: float
    """A month of it."""
    node: str
    """The smallest node that holds twice as much; `serverless` if none does."""

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
    """A heartbeat that was not taken."""

    code: str
    """Stable, for programs."""
    detail: str
    """For people."""
    index: int
    """Its place in the array, or its line: 0 and up."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RejectedHeartbeat:
        return cls(
            code=data["code"],
            detail=data["detail"],
            index=data["index"],
        )


@dataclass(frozen=True, kw_only=True)
class RestoreResponse:
    """What a restore found."""

    restored: bool
    """Whether there was a snapshot to restore."""
    stages: int
    """Stages in it."""
    viewers: int
    """Viewers in it."""
    taken_at: int | None = None
    """When it was taken, Unix ms."""
    until: int | None = None
    """Until when its counts stand in, Unix ms."""

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
class SaveSnapshotsResponse:
    """What a snapshot saved."""

    outcome: str
    """`saved`, `nothingActive`, or `busyElsewhere`: another node is at it."""
    stages: int
    """Stages saved."""
    took_ms: int
    """How long it took."""
    viewers: int
    """Viewers in it."""
    at: int | None = None
    """The snapshot's moment, Unix ms."""

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
    """The most viewers at once until then."""
    recovering: bool
    """Whether it was bridged and not counted."""
    sessions: int
    """Online sessions."""
    timestamp: int
    """Unix ms."""
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
    """A stage: what is configured about it, and who watches it."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """The most viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Its id."""
    viewers: int
    """Distinct online viewers."""
    created_at: int | None = None
    """When it was configured, Unix ms."""
    customer: str | None = None
    """Who pays for it."""
    name: str | None = None
    """What people call it."""
    tags: dict[str, str] | None = None
    """Whatever else was said."""

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
            tags=None if data.get("tags") is None else dict(data["tags"]),
        )


@dataclass(frozen=True, kw_only=True)
class StageChangeResponse:
    """A stage after its configuration was made or changed."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """The most viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Its id."""
    viewers: int
    """Distinct online viewers."""
    as_of: int
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is away and has not been asked about this stage before: the count is
    right."""
    effective_from: int
    """First moment of watch time that it applies to, Unix ms: the start of this window of the ledger, or of
    the first one that is not committed. Time before keeps the configuration that it had."""
    created_at: int | None = None
    """When it was configured, Unix ms."""
    customer: str | None = None
    """Who pays for it."""
    name: str | None = None
    """What people call it."""
    tags: dict[str, str] | None = None
    """Whatever else was said."""

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
            tags=None if data.get("tags") is None else dict(data["tags"]),
        )


@dataclass(frozen=True, kw_only=True)
class StageDeletionResponse:
    """A stage whose configuration was deleted."""

    effective_from: int
    """First moment of watch time without a configuration, Unix ms: the end of this window of the ledger. Time
    before keeps the configuration that it had."""
    stage: str
    """Its id."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageDeletionResponse:
        return cls(
            effective_from=data["effectiveFrom"],
            stage=data["stage"],
        )


@dataclass(frozen=True, kw_only=True)
class StageResponse:
    """A stage with its standing."""

    configured: bool
    """Whether an operator has configured it."""
    peak: int
    """The most viewers at once, as far as is known."""
    sessions: int
    """Online sessions."""
    stage: str
    """Its id."""
    viewers: int
    """Distinct online viewers."""
    as_of: int
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is away and has not been asked about this stage before: the count is
    right."""
    created_at: int | None = None
    """When it was configured, Unix ms."""
    customer: str | None = None
    """Who pays for it."""
    name: str | None = None
    """What people call it."""
    tags: dict[str, str] | None = None
    """Whatever else was said."""

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
            tags=None if data.get("tags") is None else dict(data["tags"]),
        )


@dataclass(frozen=True, kw_only=True)
class StageSnapshotsResponse:
    """A stage's snapshots."""

    snapshots: list[Snapshot]
    """In the order of time, at most 1,000."""
    stage: str
    """The stage."""
    next_from: int | None = None
    """Where to go on (`from`) if there are more."""

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
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    viewers: list[OnlineViewer]
    """Sorted by id within the page. The order of the pages is the same on every node."""
    cursor: str | None = None
    """To be given back for the next page; missing on the last one."""

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
    """A viewer's time on a stage."""

    first_at: int
    """When the first of it began, Unix ms."""
    last_at: int
    """When the last of it ended, Unix ms."""
    watch_ms: int
    """Milliseconds watched within the range."""
    stage: str
    """The stage."""
    intervals: list[WatchInterval] | None = None
    """When exactly, with `intervals=true`."""

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
    """Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
    grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """The range, Unix ms."""
    to: int
    """Its end, not included."""
    ttl_ms: int
    """The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in
    the last `ttlMs` of a range that ends now is too low."""
    stage: str
    """The stage."""
    watch: list[ViewerWatch]
    """Sorted by viewer."""
    cursor: str | None = None
    """To be given back for the next page; missing on the last one."""

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
    """What was watched of a stage."""

    stage: str
    """The stage."""
    watch_ms: int
    """Milliseconds that all its viewers watched together."""
    history: list[float] | None = None
    """With `step`: viewers on average, step by step from `from` on."""

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
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    configuration_known: bool
    """False while the cold tier is away: the counts are right, but names and stages that are only configured
    are missing."""
    stages: list[Stage]
    """Sorted by id."""
    cursor: str | None = None
    """To be given back for the next page; missing on the last one."""

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
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    sessions: int
    """Online sessions."""
    stages: int
    """Stages with somebody online."""
    viewers: int
    """Distinct online viewers: one on two stages is one."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StatsResponse:
        return cls(
            as_of=data["asOf"],
            complete=data["complete"],
            recovering=data["recovering"],
            sessions=data["sessions"],
            stages=data["stages"],
            viewers=data["viewers"],
        )


@dataclass(frozen=True, kw_only=True)
class StorageCost:
    """What lies in the cold tier."""

    bytes: int
    """As the table last said, or else as this node has put there."""
    month_usd: float
    """A month of them."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StorageCost:
        return cls(
            bytes=data["bytes"],
            month_usd=data["monthUsd"],
        )


@dataclass(frozen=True, kw_only=True)
class TotalCost:
    """Sum of requests, storage and Redis."""

    last_hour_usd: float
    """Requests in the last hour, or since the start if that is younger."""
    month_usd: float
    """A month like it, with storage and Redis."""
    usd: float
    """Requests so far."""
    per_million_viewer_hours_usd: float | None = None
    """What a million hours of watching cost, by the last hour; null if nobody watched."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TotalCost:
        return cls(
            last_hour_usd=data["lastHourUsd"],
            month_usd=data["monthUsd"],
            usd=data["usd"],
            per_million_viewer_hours_usd=data.get("perMillionViewerHoursUsd"),
        )


@dataclass(frozen=True, kw_only=True)
class ViewerResponse:
    """Where a viewer is."""

    as_of: int
    """When it was so: Unix ms on the log's clock."""
    complete: bool
    """Whether everybody is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss. Never longer than one ttl."""
    online: bool
    """Whether the viewer is online anywhere."""
    stages: list[ViewerStage]
    """Where, sorted by stage."""
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
    """The latest heartbeat of them, Unix ms."""
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
    """A viewer's time."""

    first_at: int
    """When the first of it began, Unix ms."""
    last_at: int
    """When the last of it ended, Unix ms."""
    watch_ms: int
    """Milliseconds watched within the range."""
    viewer: str
    """The viewer."""
    intervals: list[WatchInterval] | None = None
    """When exactly, with `intervals=true`."""

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
    """Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
    grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """The range, Unix ms."""
    to: int
    """Its end, not included."""
    ttl_ms: int
    """The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in
    the last `ttlMs` of a range that ends now is too low."""
    viewer: str
    """The viewer."""
    watch: list[StageWatch]
    """Sorted by stage."""
    cursor: str | None = None
    """To be given back for the next page; missing on the last one."""

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
    """Unix ms, included."""
    to: int
    """Unix ms, not included."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WatchInterval:
        return cls(
            from_=data["from"],
            to=data["to"],
        )


@dataclass(frozen=True, kw_only=True)
class WatchTotalsResponse:
    """What was watched, by stage."""

    committed_to: int
    """Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it may still
    grow."""
    complete: bool
    """Whether the ledger has the whole range."""
    from_: int
    """The range, Unix ms."""
    to: int
    """Its end, not included."""
    ttl_ms: int
    """The setting `ttl`, ms: so long after a moment it is known for sure who was watching then. What lies in
    the last `ttlMs` of a range that ends now is too low."""
    watch: list[StageWatchTotal]
    """Sorted by stage; those that nobody watched are left out."""
    cursor: str | None = None
    """To be given back for the next page; missing on the last one."""
    step_ms: int | None = None
    """How long a step is; steps are aligned to the epoch, the first and the last may be cut off."""

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
