"""Viewers by an access log: a client that fetches segments of a stream watches it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import unquote, urlsplit

from housecount import Heartbeat

from .identity import Identity, first

__all__ = ["LATE_S_MAX", "STAGES", "AccessLog"]

LATE_S_MAX = 60.0
"""A line that is older says who watched then, and not who watches now. It is passed over."""

NAME_S_MAX = 60.0
"""A player loads its playlist again within seconds. A name that was not heard for so long is no longer that of its device."""

NAMES_MAX = 1_000_000
"""Devices whose names are remembered."""

INDEXES = ("index", "playlist", "stream", "main_stream", "master")
"""Names of playlists that have a folder of their own, so that the folder is the stage."""

STAGES = {
    # hls_nested off: /hls/match-1-42.ts. On: /hls/match-1/42.ts. Variants: /hls/match-1_720p/42.ts.
    "nginx-rtmp": r"/(?P<stage>[^/]+?)(?:_\d+p)?[-/]\d+\.(?:ts|m4s|mp4)$",
    # hls_ts_file [app]/[stream]-[seq].ts
    "srs": r"^/(?P<stage>[^/]+/[^/]+?)-\d+\.(?:ts|m4s|mp4)$",
    # /PATH/HASH_video1_seg7.mp4, /PATH/HASH_seg7.ts, and parts of low latency: HASH_part12.mp4
    "mediamtx": r"^/(?P<stage>.+)/[^/]*(?:seg|part)\d+\.(?:ts|m4s|mp4)$",
    # /hls/0/stream-Abc-7.ts: one stream, whatever the variant.
    "owncast": r"^/(?P<stage>hls)/\d+/[^/]+\.(?:ts|m4s|mp4)$",
}
"""Patterns of segments' addresses, for each server with its default settings."""

COMBINED = re.compile(
    r'(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<uri>\S+)[^"]*" (?P<status>\d{3}) \S+'
    r'(?: "(?P<referer>[^"]*)" "(?P<player>[^"]*)")?(?: "(?P<viewer>[^"]*)")?'
)
"""nginx's and Apache's combined format, with one more quoted field that names the viewer, if there is one."""


@dataclass
class SkipCounts:
    """Lines that counted no viewer, by reason."""

    unreadable: int = 0
    late: int = 0


class AccessLog:
    """Reads lines of an access log: combined, or JSON (nginx's `escape=json`)."""

    def __init__(self, identity: Identity, pattern: str, *, stage: str | None = None, playlists: bool = False) -> None:
        """`pattern` finds `stage` in a segment's path; `stage` is the stage of all instead. `playlists`: those count as well."""
        self.skipped = SkipCounts()
        self._identity = identity
        self._pattern = re.compile(pattern)
        self._stage = stage
        self._playlists = playlists
        self._names = Names()

    def line(self, line: str, now: float) -> list[Heartbeat]:
        """Returns the heartbeats that a line proves. `now` is Unix seconds."""
        fields = self._fields(line)
        if fields is None:
            self.skipped.unreadable += bool(line.strip())
            return []
        if first(fields, "method", "request_method") != "GET" or first(fields, "status") not in ("200", "206", "304"):
            return []
        url = urlsplit(first(fields, "uri", "request_uri"))
        path = unquote(url.path)
        is_playlist = path.endswith(".m3u8")
        stage = self._stage_of(path, is_playlist)
        if stage is None:
            return []
        at = _time_of(fields)
        if at is None:
            self.skipped.unreadable += 1
            return []
        if now - at > LATE_S_MAX:
            self.skipped.late += 1
            return []
        named = first(fields, "viewer")
        viewer = (named != "-" and self._identity.taken(named)) or self._identity.of_query(url.query)
        player = first(fields, "player", "http_user_agent")
        device = self._identity.of_address(first(fields, "address", "remote_addr"), player)
        if viewer:
            viewers = [viewer]
        else:
            viewers = self._names.of(stage, device, now)
        if is_playlist and not self._playlists:
            # A paused player goes on to load playlists. It fetches no segments once its buffer is full.
            if viewer:
                self._names.add(stage, device, viewer, now)
            return []
        # A named viewer has a session for each device; who has no name is a device.
        return [Heartbeat(stage, each, device) for each in viewers] or [Heartbeat(stage, device)]

    @staticmethod
    def _fields(line: str) -> Mapping[str, object] | None:
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
        match = COMBINED.match(line)
        return match.groupdict() if match else None

    def _stage_of(self, path: str, is_playlist: bool) -> str | None:
        """Returns the stage that a path is of. A playlist is taken for that of a segment of its folder or name."""
        if is_playlist:
            # What a segment beside it would be called: /hls/match-1-0.ts, /hls/match-1/0.ts or /live/stream/seg0.ts.
            name = path.removesuffix(".m3u8")
            folder = path.rpartition("/")[0]
            paths = (
                [f"{name}-0.ts", f"{folder}/seg0.ts"]
                if name.rpartition("/")[2] not in INDEXES
                else [f"{folder}/0.ts", f"{folder}/seg0.ts"]
            )
        else:
            paths = [path]
        match = next((match for each in paths if (match := self._pattern.search(each))), None)
        return match and (self._stage or match["stage"])


class Names:
    """Viewers whom playlists named, by stage and device, since segments' addresses do not have the playlist's query."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], dict[str, float]] = {}

    def add(self, stage: str, device: str, viewer: str, now: float) -> None:
        """Remembers a name. Beyond `NAMES_MAX` devices, that which was named first is forgotten."""
        names = self._names.pop((stage, device), {})
        if len(self._names) >= NAMES_MAX:
            del self._names[next(iter(self._names))]
        self._names[stage, device] = {name: at for name, at in names.items() if now - at <= NAME_S_MAX} | {viewer: now}

    def of(self, stage: str, device: str, now: float) -> list[str]:
        """Returns the names of a device that were heard within a minute: several where one address has several alike players."""
        return [name for name, at in self._names.get((stage, device), {}).items() if now - at <= NAME_S_MAX]


def _time_of(fields: Mapping[str, object]) -> float | None:
    try:
        if "time" in fields:
            return datetime.strptime(str(fields["time"]), "%d/%b/%Y:%H:%M:%S %z").timestamp()
        if "msec" in fields:
            return float(str(fields["msec"]))
        at = datetime.fromisoformat(str(fields["time_iso8601"]).replace("Z", "+00:00"))
        return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
    except (KeyError, ValueError):
        return None
