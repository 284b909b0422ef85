"""Viewers by what servers call when a player starts and stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from housecount import Heartbeat

from .audience import Audience
from .identity import Identity, first

__all__ = ["BODY_BYTES_MAX", "HookServer"]

BODY_BYTES_MAX = 65_536
"""Bytes of a call. Servers send less than a thousand."""

REQUEST_S_MAX = 10.0
"""A call that is not sent within this time is given up."""


def nginx_rtmp(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Takes `on_play`, `on_update` and `on_play_done` of nginx-rtmp: forms with `call`, `name`, `addr`, `clientid` and the stream's own arguments.

    Each update is a heartbeat, so that nothing is remembered: a player whose end is never told ends a ttl after its last update.
    """
    call, stage = first(fields, "call"), first(fields, "name")
    if not stage:
        return
    viewer = identity.taken(first(fields, identity.parameter)) if first(fields, identity.parameter) else None
    address = identity.of_address(first(fields, "addr"), first(fields, "flashver"))
    # clientid is a number of the connection, unique within the server's process.
    beat = Heartbeat(stage, viewer or address, f"rtmp-{first(fields, 'clientid')}")
    if call in ("play", "update_play"):
        audience.seen(beat)
    elif call == "play_done":
        audience.stopped(beat)


def srs(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Takes `on_play` and `on_stop` of SRS: JSON with `action`, `client_id`, `ip`, `app`, `stream` and `param` (the query)."""
    client, stream = first(fields, "client_id"), first(fields, "stream")
    # SRS also tells the end of an HLS player that has no id, once a stream.
    if not client or not stream:
        return
    viewer = identity.of_query(first(fields, "param").removeprefix("?"))
    # An address may have many players, and SRS tells nothing else of them: each is a viewer.
    beat = Heartbeat(
        f"{first(fields, 'app')}/{stream}", viewer or identity.of_address(first(fields, "ip"), client), client
    )
    action = first(fields, "action")
    if action == "on_play":
        audience.playing(beat)
    elif action == "on_stop":
        audience.stopped(beat)


def mediamtx(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Takes `runOnRead` and `runOnUnread` of MediaMTX, sent as forms with `call`, `path`, `query`, `reader_type` and `reader_id`.

    The reader of the type hlsMuxer is MediaMTX itself, and not a viewer.
    """
    reader, path = first(fields, "reader_id"), first(fields, "path")
    if not reader or not path or first(fields, "reader_type") == "hlsMuxer":
        return
    viewer = identity.of_query(first(fields, "query"))
    beat = Heartbeat(path, viewer or identity.of_address(reader, ""), reader)
    call = first(fields, "call")
    if call == "read":
        audience.playing(beat)
    elif call == "unread":
        audience.stopped(beat)


KINDS: dict[str, Callable[[Mapping[str, object], Identity, Audience], None]] = {
    "nginx-rtmp": nginx_rtmp,
    "srs": srs,
    "mediamtx": mediamtx,
}


class HookServer(ThreadingHTTPServer):
    """Takes the calls of a server of one kind, on any path."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], kind: str, identity: Identity, audience: Audience) -> None:
        self.take = KINDS[kind]
        self.identity = identity
        self.audience = audience
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One call."""

    server: HookServer
    timeout = REQUEST_S_MAX
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Takes a call, and answers it as all these servers want: 200, and `0` in the body."""
        try:
            size = int(self.headers.get("content-length", ""))
        except ValueError:
            return self._answer(411, "send a content-length")
        if not 0 <= size <= BODY_BYTES_MAX:
            self.close_connection = True
            return self._answer(413, f"a call has at most {BODY_BYTES_MAX} bytes")
        fields = _fields(self.rfile.read(size))
        if fields is None:
            return self._answer(400, "neither a form nor a JSON object")
        self.server.take(fields, self.server.identity, self.server.audience)
        return self._answer(200, "0")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: calls name viewers."""


def _fields(body: bytes) -> Mapping[str, object] | None:
    try:
        text = body.decode()
        if not text.lstrip().startswith("{"):
            return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
