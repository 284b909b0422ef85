"""The audience that a source of events describes, and the heartbeats and leaves that follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from housecount import Client, Heartbeat, HousecountError

__all__ = ["SEEN_MAX", "Audience"]

SEEN_MAX = 1_000_000
"""Sessions that an audience holds. More are counted in `dropped`, and not sent."""

LEAVES_MAX = 10_000
"""Leaves that wait. More are dropped: their sessions end a ttl after their last heartbeat."""


class Audience:
    """Keeps who watches and sends it, one batch each `flush()`. Its methods may be called in any thread."""

    def __init__(
        self,
        client: Client,
        *,
        forget_s: float,
        log: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`forget_s`: a session whose end was never told is forgotten so long after its start."""
        self.dropped = 0
        self._client = client
        self._forget_s = forget_s
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        # Those that were seen since the last batch: one heartbeat each.
        self._seen: set[Heartbeat] = set()
        # Those that play until they stop, with their starts: a heartbeat in each batch.
        self._playing: dict[Heartbeat, float] = {}
        self._leaves: list[Heartbeat] = []

    def seen(self, beat: Heartbeat) -> None:
        """A session fetched something now."""
        with self._lock:
            if beat in self._seen or len(self._seen) < SEEN_MAX:
                self._seen.add(beat)
            else:
                self.dropped += 1

    def playing(self, beat: Heartbeat) -> None:
        """A session plays from now on, until `stopped`."""
        with self._lock:
            if beat in self._playing or len(self._playing) < SEEN_MAX:
                self._playing.setdefault(beat, self._clock())
            else:
                self.dropped += 1

    def stopped(self, beat: Heartbeat) -> None:
        """A session has stopped. One that was never told of leaves as well: it may have begun before this process."""
        with self._lock:
            self._playing.pop(beat, None)
            self._seen.discard(beat)
            if len(self._leaves) < LEAVES_MAX:
                self._leaves.append(beat)
            else:
                self.dropped += 1

    def are_playing(self, beats: Iterable[Heartbeat]) -> None:
        """These sessions play now, and no others: those that were in the last such list and are not in this one have stopped."""
        now = set(beats)
        with self._lock:
            before = set(self._playing)
        for beat in before - now:
            self.stopped(beat)
        for beat in now:
            self.playing(beat)
        with self._lock:
            # Each poll names them again, so that none is forgotten.
            self._playing.update(dict.fromkeys(now & self._playing.keys(), self._clock()))

    def flush(self) -> None:
        """Sends the heartbeats and leaves that are due. What cannot be sent is said, and heartbeats are sent with the next ones."""
        with self._lock:
            end = self._clock() - self._forget_s
            for beat in [beat for beat, start in self._playing.items() if start <= end]:
                del self._playing[beat]
                self._log(f"{beat.viewer} on {beat.stage} plays for {self._forget_s:.0f} s without a stop: forgotten")
            seen, self._seen = self._seen, set()
            leaves, self._leaves = self._leaves, []
            beats = seen | self._playing.keys()
            dropped, self.dropped = self.dropped, 0
        if dropped:
            self._log(f"{dropped} viewers are beyond {SEEN_MAX} and not counted")
        try:
            outcome = self._client.send_heartbeats(beats)
        except HousecountError as error:
            self._log(f"{len(beats)} heartbeats were not taken, and are sent again: {error}")
            with self._lock:
                self._seen |= seen
        else:
            for code, count in _counted(each.code for each in outcome.rejected).items():
                self._log(f"{count} heartbeats were refused: {code}")
        for number, beat in enumerate(leaves):
            try:
                self._client.send_leave(beat.stage, beat.viewer, beat.session)
            except HousecountError as error:
                # The others would wait as long for the same answer. A leave is a hint: each session ends a ttl after its last heartbeat.
                self._log(f"{len(leaves) - number} leaves were not taken: {error}")
                return


def _counted(codes: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    return counts
