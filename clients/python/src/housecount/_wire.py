"""Parts that both clients share: bodies, queries, errors, back-off and the stream of counts. No input or output."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, Union

import httpx

from ._errors import HousecountError
from ._models import ActiveStream, BatchResponse, LabelCounts, StatsResponse

__all__ = ["Heartbeat", "LiveCount", "LiveLabels", "LiveReset", "Time"]

Time = Union[int, str, date, datetime]
"""Unix milliseconds, RFC 3339 or a date as text, a date (UTC), or a datetime with a time zone."""

HEARTBEATS_MAX = 10_000
"""Heartbeats that a node takes in a call."""
BODY_BYTES_MAX = 1_000_000
"""Bytes of a call's body; a node takes 1 MiB."""
STAGES_MAX = 100
"""Stages that a node takes in a stream of counts."""
RETRIED = frozenset({408, 429, 502, 503, 504})
"""These statuses say that the same call may be taken later."""
BACK_OFF_S_MIN = 1.0
BACK_OFF_S_MAX = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Heartbeat:
    """This session of a viewer watches this stage now."""

    stage: str
    viewer: str
    session: str | None = None
    labels: Mapping[str, str] | None = None
    """Labels by the keys of the node's setting `labels`, such as `{"country": "NO"}`. A session keeps those of its first heartbeat."""
    replaces: str | None = None
    """Session on the same stage whose place this one takes, where a viewer's streams are limited."""


@dataclass(frozen=True, kw_only=True)
class LiveCount:
    """A stage's count, from the stream of counts."""

    stage: str
    viewers: int | None
    """None where the stage hides its count from players."""
    sessions: int | None
    """None where `viewers` is."""
    as_of: int
    """Time of the count: Unix ms on the log's clock."""
    complete: bool
    """Whether every viewer is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether it is bridged from what was known before a loss."""


@dataclass(frozen=True, kw_only=True)
class LiveLabels:
    """Viewers by label, from the stream of counts with `by`."""

    stage: str | None
    """The stage; None for all stages together."""
    by: LabelCounts
    as_of: int
    """Time of the count: Unix ms on the log's clock."""
    complete: bool
    """Whether every viewer is counted for sure. If not, the count may be low."""
    recovering: bool
    """Whether earlier counts stand in."""


@dataclass(frozen=True)
class LiveReset:
    """The node does not know what was missed: drop all counts of this stream, they are sent again."""


class Backoff:
    """The waits between the tries of one call: 1 s, doubled up to 30 s, less up to a half by chance, and never before Retry-After."""

    def __init__(
        self, retry_for: float, clock: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        self._until = clock() + retry_for
        self._clock = clock
        self._chance = chance
        self._failures = 0

    def wait(self, retry_after: float | None) -> float | None:
        """Returns the seconds until the next try; None if that would be too late."""
        seconds = min(BACK_OFF_S_MIN * 2 ** min(self._failures, 30), BACK_OFF_S_MAX) * (0.5 + 0.5 * self._chance())
        seconds = max(seconds, (retry_after or 0) * (1 + 0.25 * self._chance()))
        self._failures += 1
        return seconds if self._clock() + seconds <= self._until else None


def query(**parameters: Time | bool | timedelta | list[str] | None) -> httpx.QueryParams:
    """Returns a query; what is None is left out. `from_` is `from`."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in parameters.items():
        if isinstance(value, list):
            pairs += [(name, each) for each in value]
        elif value is not None:
            pairs.append((name.rstrip("_"), _text(value)))
    return httpx.QueryParams([*pairs])


def _text(value: Time | bool | timedelta) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(timezone.utc), or say which zone it is in")
        return str(round(value.timestamp() * 1_000))
    if isinstance(value, timedelta):
        return f"{round(value.total_seconds() * 1_000)}ms"
    return value.isoformat() if isinstance(value, date) else str(value)


def seconds_of(retry_after: str | None) -> float | None:
    """Returns the seconds of a Retry-After header; None if it has none. Nodes send seconds, never a date."""
    try:
        return float(retry_after) if retry_after is not None and float(retry_after) >= 0 else None
    except ValueError:
        return None


def error_of(response: httpx.Response) -> HousecountError:
    """Returns the error that a response tells."""
    active: tuple[ActiveStream, ...] = ()
    code, detail = "", f"no housecount node answered, but something with status {response.status_code}"
    try:
        problem = response.json()
        code, detail, active = str(problem["code"]), str(problem["detail"]), active_of(problem)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    retry_after = seconds_of(response.headers.get("retry-after"))
    return HousecountError(detail, code=code, status=response.status_code, retry_after=retry_after, active=active)


def active_of(problem: Mapping[str, Any]) -> tuple[ActiveStream, ...]:
    """Returns a problem's `active`."""
    return tuple(ActiveStream.from_json(each) for each in problem.get("active") or [])


def parsed(response: httpx.Response, parse: Callable[[Any], T]) -> T:
    """Reads an answer.

    Raises:
        HousecountError: it is not a node's answer, but for example a login page.
    """
    try:
        return parse(response.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HousecountError(
            f"status {response.status_code}, but not the answer of a housecount node", status=response.status_code
        ) from error


def beat_json(beat: Heartbeat) -> dict[str, Any]:
    """Returns a heartbeat's or leave's body."""
    body = {
        "stage": beat.stage,
        "viewer": beat.viewer,
        "session": beat.session,
        "labels": None if beat.labels is None else dict(beat.labels),
        "replaces": beat.replaces,
    }
    return {field: value for field, value in body.items() if value is not None}


def batches(beats: Iterable[Heartbeat]) -> Iterator[tuple[int, bytes]]:
    """Cuts heartbeats into bodies that a node takes, each with the index of its first heartbeat. Lines of JSON."""
    first, size = 0, 0
    lines: list[bytes] = []
    for index, beat in enumerate(beats):
        line = json.dumps(beat_json(beat), ensure_ascii=False).encode() + b"\n"
        if len(lines) == HEARTBEATS_MAX or (lines and size + len(line) > BODY_BYTES_MAX):
            yield first, b"".join(lines)
            first, size, lines = index, 0, []
        lines.append(line)
        size += len(line)
    if lines:
        yield first, b"".join(lines)


class BatchSum:
    """The outcome of many heartbeats, over the calls that carried them."""

    def __init__(self) -> None:
        self._accepted = 0
        self._coalesced = 0
        self._rejected: list[Any] = []

    def add(self, first: int, body: Mapping[str, Any]) -> None:
        """Adds a call's answer; `first` is the index of its first heartbeat."""
        self._accepted += body.get("accepted", 0)
        self._coalesced += body.get("coalesced", 0)
        self._rejected += [{**each, "index": first + each["index"]} for each in body["rejected"]]

    def response(self) -> BatchResponse:
        """Returns the outcome."""
        coalesced = {"coalesced": self._coalesced} if self._coalesced else {}
        return BatchResponse.from_json({"accepted": self._accepted, "rejected": self._rejected, **coalesced})


def batch_answer(response: httpx.Response) -> Mapping[str, Any]:
    """Reads the answer to a batch, also a 400 that names what is wrong with each of its heartbeats.

    Raises:
        HousecountError: anything else.
    """
    if response.status_code == 400:
        try:
            body = response.json()
            return {"rejected": [dict(each) for each in body["rejected"]]}
        except (ValueError, KeyError, TypeError):
            pass
    if not response.is_success:
        raise error_of(response)
    parsed(response, BatchResponse.from_json)
    return dict(response.json())


class LiveEvents:
    """Reads the lines of a stream of counts (`text/event-stream`)."""

    last_event_id: str | None = None

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets a half-read event: the connection was lost."""
        self._event = "message"
        self._data: list[str] = []

    def line(self, line: str) -> LiveCount | LiveLabels | StatsResponse | LiveReset | None:
        """Takes a line; returns the event that it ends, if any.

        Raises:
            HousecountError: the node ends the stream, for example since the token has expired.
        """
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            elif name == "id":
                self.last_event_id = value
            return None
        event, data = self._event, "\n".join(self._data)
        self.clear()
        if event == "reset":
            return LiveReset()
        if not data:
            return None
        body = json.loads(data)
        if event == "end":
            raise HousecountError(str(body["detail"]), code=str(body["code"]))
        if event == "totals":
            return StatsResponse.from_json(body)
        if event == "labels":
            return LiveLabels(
                stage=body.get("stage"),
                by=LabelCounts.from_json(body["by"]),
                as_of=body["asOf"],
                complete=body["complete"],
                recovering=body["recovering"],
            )
        if event != "count":
            return None
        return LiveCount(
            stage=body["stage"],
            viewers=body.get("viewers"),
            sessions=body.get("sessions"),
            as_of=body["asOf"],
            complete=body["complete"],
            recovering=body["recovering"],
        )
