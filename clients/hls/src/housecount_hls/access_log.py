"""Viewers from an access log: a client that fetches segments of a stream watches it."""

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
"""Oldest line, in seconds, that counts a viewer. Older lines describe the past audience, and are skipped."""

VIEWER_ID_S_MAX = 60.0
"""Seconds after which a device's viewer id expires. A player reloads its playlist within seconds."""

DEVICES_MAX = 1_000_000
"""Most devices whose viewer ids are kept."""

INDEXES = ("index", "playlist", "stream", "main_stream", "master")
"""Names of playlists in a folder per stream, whose stage is the folder."""

STAGES = {
    # hls_nested off: /hls/match-1-42.ts. On: /hls/match-1/42.ts. Variants: /hls/match-1_720p/42.ts.
    "nginx-rtmp": r"/(?P<stage>[^/]+?)(?:_\d+p)?[-/]\d+\.(?:ts|m4s|mp4)$",
    # hls_ts_file [app]/[stream]-[seq].ts
    "srs": r"^/(?P<stage>[^/]+/[^/]+?)-\d+\.(?:ts|m4s|mp4)$",
    # /PATH/HASH_video1_seg7.mp4, /PATH/HASH_seg7.ts, and parts of low latency: HASH_part12.mp4
    "mediamtx": r"^/(?P<stage>.+)/[^/]*(?:seg|part)\d+\.(?:ts|m4s|mp4)$",
    # /hls/0/stream-Abc-7.ts: all variants are one stream.
    "owncast": r"^/(?P<stage>hls)/\d+/[^/]+\.(?:ts|m4s|mp4)$",
}
"""Patterns of segment URLs, for each server with its default settings."""

COMBINED = re.compile(
    r'(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>[A-Z]+) (?P<uri>\S+)[^"]*" (?P<status>\d{3}) \S+'
    r'(?: "(?P<referer>[^"]*)" "(?P<player>[^"]*)")?(?: "(?P<viewer>[^"]*)")?'
)
"""nginx's and Apache's combined format, with an optional quoted field for the viewer id."""


@dataclass
class SkipCounts:
    """Skipped lines, by reason."""

    unreadable: int = 0
    late: int = 0


class AccessLog:
    """Reads lines of an access log: combined, or JSON (nginx's `escape=json`)."""

    def __init__(self, identity: Identity, pattern: str, *, stage: str | None = None, playlists: bool = False) -> None:
        """`pattern` matches a segment's path, with a group `stage`; `stage` replaces that group. `playlists`: count playlists too."""
        self.skipped = SkipCounts()
        self._identity = identity
        self._pattern = re.compile(pattern)
        self._stage = stage
        self._playlists = playlists
        self._playlist_viewers = PlaylistViewers()

    def parse_line(self, line: str, now: float) -> list[Heartbeat]:
        """Returns the heartbeats of a line. `now` is in Unix seconds."""
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
        logged_id = first(fields, "viewer")
        viewer = (logged_id != "-" and self._identity.valid_id(logged_id)) or self._identity.from_query(url.query)
        player = first(fields, "player", "http_user_agent")
        device = self._identity.from_address(first(fields, "address", "remote_addr"), player)
        if viewer:
            viewers = [viewer]
        else:
            viewers = self._playlist_viewers.ids_of(stage, device, now)
        if is_playlist and not self._playlists:
            # A paused player still loads playlists. It fetches no segments once its buffer is full.
            if viewer:
                self._playlist_viewers.add(stage, device, viewer, now)
            return []
        # A named viewer has one session per device. An unnamed viewer is a device.
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
        """Returns the stage of a path. A playlist has the stage of a segment with its folder or name."""
        if is_playlist:
            # Possible names of its segments: /hls/match-1-0.ts, /hls/match-1/0.ts or /live/stream/seg0.ts.
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


class PlaylistViewers:
    """Viewer ids from playlist requests, by stage and device. Segment URLs lack the playlist's query."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], dict[str, float]] = {}

    def add(self, stage: str, device: str, viewer: str, now: float) -> None:
        """Adds a viewer id. Beyond `DEVICES_MAX` devices, the oldest device is removed."""
        ids = self._ids.pop((stage, device), {})
        if len(self._ids) >= DEVICES_MAX:
            del self._ids[next(iter(self._ids))]
        self._ids[stage, device] = {name: at for name, at in ids.items() if now - at <= VIEWER_ID_S_MAX} | {viewer: now}

    def ids_of(self, stage: str, device: str, now: float) -> list[str]:
        """Returns a device's viewer ids of the last minute: several if several equal players share an address."""
        return [name for name, at in self._ids.get((stage, device), {}).items() if now - at <= VIEWER_ID_S_MAX]


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
