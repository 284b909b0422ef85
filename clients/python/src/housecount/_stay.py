"""The state machine of one stay: one session's heartbeats from the first one to the leave.

docs/CLIENTS.md has it as a table, and clients/scenarios.json as scenarios. The machine does no input or output and reads no clock:
a driver tells it events, does what it requests, and wakes it at `due_at`. Times are milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from ._models import ActiveStream, HeartbeatResponse

__all__ = [
    "ANSWER_MS_MAX",
    "Answer",
    "CountOutcome",
    "Effects",
    "Event",
    "Failure",
    "RefusalOutcome",
    "Request",
    "RetryOutcome",
    "State",
    "Stay",
    "Token",
]

ANSWER_MS_MAX = 10_000
"""A node answers within about 5 s, if only that it cannot."""
CONFIRM_MS = 2_000
"""A second heartbeat this soon outlives a late leave of the same session, since the node waits 3 s with leaves."""
WAIT_MS_MIN = 250
"""No answer makes a client beat more often."""
WAIT_MS_MAX = 3_600_000
"""No answer makes a client stay away for longer."""
BACK_OFF_MS_MIN = 1_000
BACK_OFF_MS_MAX = 30_000
TOKEN_LIFE_PART = 0.75
"""A token is replaced before a heartbeat once so much of its life is over: long before it ends, whatever this clock says."""
FINAL = frozenset({400, 401, 403, 404, 409})
"""These statuses say that the same heartbeat will never be taken."""


class State(str, Enum):
    """State of a stay: the event that it waits for."""

    IDLE = "idle"
    TOKEN = "token"
    SENDING = "sending"
    WAITING = "waiting"
    LEAVING = "leaving"
    OVER = "over"


Request = Literal["token", "heartbeat", "leave", "abandon"]
"""Action for the driver: get a token, send a heartbeat, send a leave without waiting, or give up the request under way."""

Event = Literal["start", "timer", "wake", "online", "leave", "close"]
"""Events without fields. `wake`: the timer may be late. `online`: the network is back. `close`: the process ends now."""


@dataclass(frozen=True)
class Answer:
    """A node answered the heartbeat."""

    status: int
    count: HeartbeatResponse | None = None
    """The count, where the answer has one."""
    code: str = ""
    detail: str = ""
    retry_after_ms: float | None = None
    active: tuple[ActiveStream, ...] = ()
    """The viewer's streams, where there are too many."""


@dataclass(frozen=True)
class Failure:
    """No answer came to the heartbeat, or no token could be had."""

    detail: str = ""


@dataclass(frozen=True)
class Token:
    """A new token is there."""

    expires_at: float | None = None
    """Its `exp`, where that can be read."""
    issued_at: float | None = None
    """Its `iat`, where it has one."""


@dataclass(frozen=True)
class CountOutcome:
    """The stage's count, with this heartbeat in it."""

    answer: HeartbeatResponse


@dataclass(frozen=True)
class RetryOutcome:
    """The heartbeat was not taken, and is sent again after `wait_ms`."""

    why: Answer | Failure
    wait_ms: float


@dataclass(frozen=True)
class RefusalOutcome:
    """The node will never take this heartbeat. Nothing more is sent."""

    why: Answer


@dataclass
class Effects:
    """Consequences of an event: requests, in order, and an outcome for the caller."""

    requests: list[Request] = field(default_factory=list)
    outcome: CountOutcome | RetryOutcome | RefusalOutcome | None = None


class Stay:
    """One session's heartbeats from the first one to the leave."""

    def __init__(
        self, *, has_own_session: bool, has_tokens: bool = False, chance: Callable[[], float] = random.random
    ) -> None:
        """`has_own_session`: the caller named the session, so that the name may be used again. `has_tokens`: tokens can be asked for."""
        self.state = State.IDLE
        self.due_at: float | None = None
        self._has_own_session = has_own_session
        self._has_tokens = has_tokens
        self._chance = chance
        self._failures = 0
        self._has_beaten = False
        # Whether the heartbeat under way, or the last one, is the first.
        self._is_first = True
        # When another token is needed: at once; never, as far as the last one says.
        self._token_until: float | None = 0
        # Whether the last token was refused, and no heartbeat was taken since.
        self._is_token_refused = False

    def handle(self, now: float, event: Event | Answer | Failure | Token) -> Effects:
        """Takes an event and returns what is to be done. An event that its state does not know changes nothing."""
        effects = Effects()
        if self.state is State.OVER:
            return effects
        if isinstance(event, Token):
            if self.state is State.TOKEN:
                self._token_until = None
                if event.expires_at is not None:
                    begins_at = now if event.issued_at is None else event.issued_at
                    self._token_until = now + TOKEN_LIFE_PART * (event.expires_at - begins_at)
                self._send(now, effects)
        elif isinstance(event, Failure):
            if self.state in (State.SENDING, State.TOKEN):
                self._retry(now, effects, event)
            elif self.state is State.LEAVING:
                self._end(effects)
        elif isinstance(event, Answer):
            if self.state is State.SENDING:
                self._answered(now, effects, event)
            elif self.state is State.LEAVING:
                self._end(effects)
        elif event == "start":
            if self.state is State.IDLE:
                self._next(now, effects)
        elif event == "timer" or event == "wake":
            if self.due_at is not None and (event == "timer" or now >= self.due_at):
                self._timer(now, effects)
        elif event == "online":
            self._online(now, effects)
        elif event == "leave":
            self._leave(effects)
        else:
            self._close(effects)
        return effects

    def _next(self, now: float, effects: Effects) -> None:
        if self._has_tokens and self._token_until is not None and now >= self._token_until:
            self._ask_for_token(now, effects)
        else:
            self._send(now, effects)

    def _ask_for_token(self, now: float, effects: Effects) -> None:
        self.state, self.due_at = State.TOKEN, now + ANSWER_MS_MAX
        effects.requests.append("token")

    def _send(self, now: float, effects: Effects) -> None:
        self.state, self.due_at = State.SENDING, now + ANSWER_MS_MAX
        self._is_first = not self._has_beaten
        self._has_beaten = True
        effects.requests.append("heartbeat")

    def _answered(self, now: float, effects: Effects, answer: Answer) -> None:
        count = answer.count
        # A stage may hide its viewers.
        if 200 <= answer.status < 300 and count is not None and count.next_ms > 0 and (count.viewers or 0) >= 0:
            self._failures = 0
            self._is_token_refused = False
            is_to_confirm = self._has_own_session and self._is_first
            self._wait(
                now, min(CONFIRM_MS, count.next_ms) if is_to_confirm else self._spread(count.next_ms, 0.95, 1.05)
            )
            effects.outcome = CountOutcome(count)
        elif answer.status == 401 and self._has_tokens and not self._is_token_refused:
            self._is_token_refused = True
            self._token_until = 0
            self._wait(now, 0)
        elif answer.status in FINAL:
            self.state, self.due_at = State.OVER, None
            effects.outcome = RefusalOutcome(answer)
        else:
            self._retry(now, effects, answer)

    def _retry(self, now: float, effects: Effects, why: Answer | Failure) -> None:
        self._failures += 1
        back_off = min(BACK_OFF_MS_MIN * 2 ** min(self._failures - 1, 30), BACK_OFF_MS_MAX)
        asked = (why.retry_after_ms or 0) if isinstance(why, Answer) else 0
        wait = self._wait(now, max(self._spread(back_off, 0.5, 1), self._spread(asked, 1, 1.25)))
        effects.outcome = RetryOutcome(why, wait)

    def _wait(self, now: float, ms: float) -> float:
        wait = min(max(ms, WAIT_MS_MIN), WAIT_MS_MAX)
        self.state, self.due_at = State.WAITING, now + wait
        return wait

    def _timer(self, now: float, effects: Effects) -> None:
        if self.state is State.WAITING:
            self._next(now, effects)
        else:
            effects.requests.append("abandon")
            if self.state is State.LEAVING:
                self._end(effects)
            else:
                self._retry(now, effects, Failure("no answer within 10 s"))

    def _online(self, now: float, effects: Effects) -> None:
        if self.state in (State.IDLE, State.LEAVING):
            return
        if self.state is not State.WAITING:
            effects.requests.append("abandon")
        self._failures = 0
        self._next(now, effects)

    def _leave(self, effects: Effects) -> None:
        if self.state is State.SENDING:
            # The heartbeat under way may arrive after this leave, and would bring the viewer back: another one follows.
            self.state = State.LEAVING
            effects.requests.append("leave")
        elif self.state is not State.LEAVING:
            if self.state is State.TOKEN:
                effects.requests.append("abandon")
            self._end(effects)

    def _close(self, effects: Effects) -> None:
        if self.state not in (State.IDLE, State.WAITING):
            effects.requests.append("abandon")
        self._end(effects)

    def _end(self, effects: Effects) -> None:
        self.state, self.due_at = State.OVER, None
        if self._has_beaten:
            effects.requests.append("leave")

    def _spread(self, ms: float, least: float, most: float) -> float:
        return ms * (least + (most - least) * self._chance())
