"""Audience of a source of events, and its heartbeats and leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from housecount import Client, Heartbeat, HousecountError

__all__ = ["SESSIONS_MAX", "Audience"]

SESSIONS_MAX = 1_000_000
"""Most sessions in an audience. Further sessions are counted in `dropped`, and not sent."""

LEAVES_MAX = 10_000
"""Most pending leaves. Further leaves are dropped: their sessions end one ttl after their last heartbeat."""


class Audience:
    """Set of watching sessions, sent as one batch per `flush()`. Thread-safe."""

    def __init__(
        self,
        client: Client,
        *,
        forget_s: float,
        log: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`forget_s`: seconds after its start at which a session without a stop is dropped."""
        self.dropped = 0
        self._client = client
        self._forget_s = forget_s
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        # Sessions with activity since the last batch: one heartbeat each.
        self._active: set[Heartbeat] = set()
        # Sessions that play until they stop, with their starts: a heartbeat in each batch.
        self._playing: dict[Heartbeat, float] = {}
        self._leaves: list[Heartbeat] = []

    def record_activity(self, beat: Heartbeat) -> None:
        """Records that a session fetched something now."""
        with self._lock:
            if beat in self._active or len(self._active) < SESSIONS_MAX:
                self._active.add(beat)
            else:
                self.dropped += 1

    def start(self, beat: Heartbeat) -> None:
        """Starts a session, which plays until `stop`."""
        with self._lock:
            if beat in self._playing or len(self._playing) < SESSIONS_MAX:
                self._playing.setdefault(beat, self._clock())
            else:
                self.dropped += 1

    def stop(self, beat: Heartbeat) -> None:
        """Stops a session. An unknown session leaves as well: it may have started before this process."""
        with self._lock:
            self._playing.pop(beat, None)
            self._active.discard(beat)
            if len(self._leaves) < LEAVES_MAX:
                self._leaves.append(beat)
            else:
                self.dropped += 1

    def set_playing(self, beats: Iterable[Heartbeat]) -> None:
        """Sets the sessions that play now. Sessions of the last call that are missing in this one have stopped."""
        now = set(beats)
        with self._lock:
            before = set(self._playing)
        for beat in before - now:
            self.stop(beat)
        for beat in now:
            self.start(beat)
        with self._lock:
            # Each poll confirms them, so that none is dropped by age.
            self._playing.update(dict.fromkeys(now & self._playing.keys(), self._clock()))

    def flush(self) -> None:
        """Sends the due heartbeats and leaves. Failures are logged, and failed heartbeats join the next batch."""
        with self._lock:
            end = self._clock() - self._forget_s
            for beat in [beat for beat, start in self._playing.items() if start <= end]:
                del self._playing[beat]
                self._log(f"{beat.viewer} on {beat.stage} has no stop after {self._forget_s:.0f} s: session dropped")
            active, self._active = self._active, set()
            leaves, self._leaves = self._leaves, []
            beats = active | self._playing.keys()
            dropped, self.dropped = self.dropped, 0
        if dropped:
            self._log(f"{dropped} viewers not counted: more than {SESSIONS_MAX} sessions")
        try:
            outcome = self._client.send_heartbeats(beats)
        except HousecountError as error:
            self._log(f"sending {len(beats)} heartbeats failed, will retry: {error}")
            with self._lock:
                self._active |= active
        else:
            for code, count in _counted(each.code for each in outcome.rejected).items():
                self._log(f"{count} heartbeats rejected: {code}")
        for number, beat in enumerate(leaves):
            try:
                self._client.send_leave(beat.stage, beat.viewer, beat.session)
            except HousecountError as error:
                # The others would wait as long and fail too. Without a leave a session ends one ttl after its last heartbeat.
                self._log(f"sending {len(leaves) - number} leaves failed: {error}")
                return


def _counted(codes: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    return counts
