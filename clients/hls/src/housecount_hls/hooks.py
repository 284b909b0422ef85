"""Viewers from the hooks that servers call when a player starts and stops."""

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
"""Longest body of a call, in bytes. Servers send less than a thousand."""

REQUEST_S_MAX = 10.0
"""Timeout of a call's request."""


def nginx_rtmp(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Handles `on_play`, `on_update` and `on_play_done` of nginx-rtmp: forms with `call`, `name`, `addr`, `clientid` and stream arguments.

    Each update is a heartbeat, so no state is needed. Without `on_play_done` a player ends one ttl after its last update.
    """
    call, stage = first(fields, "call"), first(fields, "name")
    if not stage:
        return
    viewer = identity.valid_id(first(fields, identity.parameter)) if first(fields, identity.parameter) else None
    address = identity.from_address(first(fields, "addr"), first(fields, "flashver"))
    # clientid is the number of the connection, unique within the server's process.
    beat = Heartbeat(stage, viewer or address, f"rtmp-{first(fields, 'clientid')}")
    if call in ("play", "update_play"):
        audience.record_activity(beat)
    elif call == "play_done":
        audience.stop(beat)


def srs(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Handles `on_play` and `on_stop` of SRS: JSON with `action`, `client_id`, `ip`, `app`, `stream` and `param` (the query)."""
    client, stream = first(fields, "client_id"), first(fields, "stream")
    # At the end of an HLS stream SRS also sends one `on_stop` without a client id.
    if not client or not stream:
        return
    viewer = identity.from_query(first(fields, "param").removeprefix("?"))
    # SRS identifies players by address and client id only, and an address may have several players: each is a viewer.
    beat = Heartbeat(
        f"{first(fields, 'app')}/{stream}", viewer or identity.from_address(first(fields, "ip"), client), client
    )
    action = first(fields, "action")
    if action == "on_play":
        audience.start(beat)
    elif action == "on_stop":
        audience.stop(beat)


def mediamtx(fields: Mapping[str, object], identity: Identity, audience: Audience) -> None:
    """Handles `runOnRead` and `runOnUnread` of MediaMTX, sent as forms with `call`, `path`, `query`, `reader_type` and `reader_id`.

    The reader of type hlsMuxer is MediaMTX itself, not a viewer. From 1.18 on HLS players are readers of type hlsSession: `poll`
    lists them, with their users.
    """
    reader, path = first(fields, "reader_id"), first(fields, "path")
    if not reader or not path or first(fields, "reader_type") in ("hlsMuxer", "hlsSession"):
        return
    viewer = identity.from_query(first(fields, "query"))
    beat = Heartbeat(path, viewer or identity.from_address(reader, ""), reader)
    call = first(fields, "call")
    if call == "read":
        audience.start(beat)
    elif call == "unread":
        audience.stop(beat)


KINDS: dict[str, Callable[[Mapping[str, object], Identity, Audience], None]] = {
    "nginx-rtmp": nginx_rtmp,
    "srs": srs,
    "mediamtx": mediamtx,
}


class HookServer(ThreadingHTTPServer):
    """HTTP server for the hooks of one kind of server, on any path."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], kind: str, identity: Identity, audience: Audience) -> None:
        self.handle_call = KINDS[kind]
        self.identity = identity
        self.audience = audience
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """Handler of one call."""

    server: HookServer
    timeout = REQUEST_S_MAX
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Handles a call, and responds with 200 and the body `0`, as all these servers expect."""
        try:
            size = int(self.headers.get("content-length", ""))
        except ValueError:
            return self._respond(411, "content-length is missing")
        if not 0 <= size <= BODY_BYTES_MAX:
            self.close_connection = True
            return self._respond(413, f"a call has at most {BODY_BYTES_MAX} bytes")
        fields = _fields(self.rfile.read(size))
        if fields is None:
            return self._respond(400, "neither a form nor a JSON object")
        self.server.handle_call(fields, self.server.identity, self.server.audience)
        return self._respond(200, "0")

    def _respond(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Disables the log, because calls contain viewer ids."""


def _fields(body: bytes) -> Mapping[str, object] | None:
    try:
        text = body.decode()
        if not text.lstrip().startswith("{"):
            return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
