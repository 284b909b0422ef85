"""Calls and lists as servers send them, up to what a real node counts.

The bodies follow nginx-rtmp's ngx_rtmp_notify_module.c; SRS's documented HTTP callbacks, and SrsHlsStream for HLS; MediaMTX's
documented hooks, and APIHLSSession; Owncast's models.Viewer. nginx-rtmp itself runs in test_nginx.py. The others were not run.
"""

import http.server
import json
import threading

import httpx
import pytest
from conftest import until

from housecount import Client, Heartbeat
from housecount_hls import audience as audience_module
from housecount_hls import hooks, polls
from housecount_hls.audience import Audience
from housecount_hls.identity import Identity, read_salt

IDENTITY = Identity(b"salt" * 8, "viewer")


@pytest.fixture
def log_lines():
    return []


@pytest.fixture
def audience(client, log_lines):
    return Audience(client, forget_s=3_600, log=log_lines.append)


@pytest.fixture
def hook_server(audience):
    """Starts a server of hooks of a kind; returns a function that calls it."""
    servers = []

    def start(kind):
        server = hooks.HookServer(("127.0.0.1", 0), kind, IDENTITY, audience)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/any/path"

        def call(body):
            data = body if isinstance(body, bytes) else body.encode()
            return httpx.post(url, content=data)

        return call

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_nginx_rtmp_updates_are_heartbeats(hook_server, audience, viewers_of, stage):
    call = hook_server("nginx-rtmp")
    fields = (
        f"app=live&flashver=LNX%209%2C0%2C124%2C2&swfurl=&tcurl=rtmp%3A%2F%2F127.0.0.1%3A1935%2Flive&pageurl=&addr=127.0.0.1&clientid=7"
        f"&call={{}}&name={stage}&viewer=ann"
    )
    assert call(fields.format("play") + "&start=4294966296&duration=0&reset=0").text == "0"
    audience.flush()
    assert viewers_of(stage) == ["ann"]
    audience.flush()
    call(fields.format("update_play") + "&time=30&timestamp=30000")
    call(fields.format("update_publish") + "&time=30&timestamp=30000&viewer=publisher")
    call(f"call=play&name={stage}&addr=127.0.0.1&clientid=8&flashver=")
    audience.flush()
    assert set(viewers_of(stage)) == {"ann", IDENTITY.from_address("127.0.0.1", "")}
    call(fields.format("play_done"))
    audience.flush()
    until(lambda: viewers_of(stage) == [IDENTITY.from_address("127.0.0.1", "")])


def srs(action, client, stream, param=""):
    fields = {
        "server_id": "vid-werty", "action": action, "client_id": client, "ip": "192.168.1.10", "vhost": "video.test.com",
        "app": "live", "tcUrl": "rtmp://video.test.com/live", "stream": stream, "param": param,
        "pageUrl": "http://www.test.com/live.html", "stream_url": f"video.test.com/live/{stream}", "stream_id": "vid-124q9y3",
    }  # fmt: skip
    return json.dumps(fields)


def test_srs_players_beat_until_they_stop(hook_server, audience, viewers_of, stage):
    call = hook_server("srs")
    assert call(srs("on_play", "9308h583", stage, "?token=xxx&viewer=ann")).text == "0"
    call(srs("on_play", "9308h584", stage))
    call(srs("on_publish", "9308h585", stage))
    for _ in range(2):
        audience.flush()
        assert viewers_of(f"live/{stage}") == sorted(["ann", IDENTITY.from_address("192.168.1.10", "9308h584")])
    # SRS ends HLS streams with one more call without a client id. It must not end other sessions.
    call(srs("on_stop", "", stage, "?viewer=ann"))
    audience.flush()
    assert "ann" in viewers_of(f"live/{stage}")
    call(srs("on_stop", "9308h583", stage, "?token=xxx&viewer=ann"))
    audience.flush()
    until(lambda: viewers_of(f"live/{stage}") == [IDENTITY.from_address("192.168.1.10", "9308h584")])


def test_srs_clients_of_old_versions_have_numbers(hook_server, audience, viewers_of, stage):
    hook_server("srs")(srs("on_play", 1985, stage, "?viewer=ann"))
    audience.flush()
    assert viewers_of(f"live/{stage}") == ["ann"]


def test_mediamtx_readers_beat_until_they_stop(hook_server, audience, viewers_of, stage):
    call = hook_server("mediamtx")
    fields = f"call={{}}&path={stage}&query=viewer%3Dann&reader_type=webRTCSession&reader_id=18294761-f9d1-4ea9-9a35-fe265b62eb41"
    call(fields.format("read"))
    call(f"call=read&path={stage}&query=&reader_type=hlsMuxer&reader_id=1")
    call(f"call=read&path={stage}&query=viewer%3Dbob&reader_type=hlsSession&reader_id=2")
    audience.flush()
    assert viewers_of(stage) == ["ann"], "the muxer is not a viewer, and HLS players are polled"
    call(fields.format("unread"))
    audience.flush()
    until(lambda: viewers_of(stage) == [])


def test_invalid_hook_calls_are_rejected(hook_server, audience, viewers_of, log_lines):
    call = hook_server("srs")
    assert call(b"\xff\xfe").status_code == 400
    assert call("{not json").status_code == 400
    assert call(b"x" * (hooks.BODY_BYTES_MAX + 1)).status_code == 413
    assert call(json.dumps({"action": ["on_play"], "client_id": {}, "stream": None})).status_code == 200
    assert call("").status_code == 200
    audience.flush()
    assert log_lines == []


@pytest.fixture
def lists():
    """Serves JSON by path and query; returns its address, the answers, and the headers of the last request."""
    answers, request_headers = {}, {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            request_headers.update(self.headers)
            body = json.dumps(answers[self.path]).encode() if self.path in answers else b"not here"
            self.send_response(200 if self.path in answers else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers, request_headers
        server.shutdown()


def test_owncast_viewers_are_listed(lists, audience, viewers_of, stage):
    url, answers, request_headers = lists
    viewer = {"firstSeen": "2026-11-29T22:00:00Z", "geo": None, "userAgent": "Mozilla/5.0", "ipAddress": "127.0.0.1"}
    with httpx.Client(auth=("admin", "pässword")) as web:
        for clients in (["a1", "b2"], ["b2"]):
            answers["/api/admin/viewers"] = [*({**viewer, "clientID": each} for each in clients), {}, 7]
            audience.set_playing(polls.owncast(web, url, IDENTITY, stage))
            audience.flush()
            until(
                lambda clients=clients: viewers_of(stage) == sorted(IDENTITY.from_address(each, "") for each in clients)
            )
    assert request_headers["Authorization"].startswith("Basic ")


def test_mediamtx_sessions_are_listed_over_all_pages(lists, audience, viewers_of, stage):
    url, answers, _ = lists
    session = {
        "created": "2026-11-29T22:00:00Z",
        "remoteAddr": "192.168.1.1:5000",
        "path": stage,
        "outboundBytes": 111,
        "userAgent": "x",
    }
    items = [
        [
            {**session, "id": "18294761", "query": "viewer=ann&x=1", "user": ""},
            {**session, "id": "18294762", "query": "", "user": "bob"},
        ],
        [
            {**session, "id": "18294763", "query": "", "user": "", "isCDN": False},
            {**session, "id": "18294764", "query": "", "user": "", "isCDN": True},
        ],
    ]
    for page in (0, 1):
        path = f"/v3/hlssessions/list?itemsPerPage={polls.PAGE_ITEMS}&page={page}"
        answers[path] = {"pageCount": 2, "itemCount": 4, "items": items[page]}
    with httpx.Client() as web:
        audience.set_playing(polls.mediamtx(web, url, IDENTITY, None))
    audience.flush()
    assert viewers_of(stage) == sorted(["ann", "bob", IDENTITY.from_address("18294763", "")])


def test_a_failed_poll_changes_no_session(lists, audience, viewers_of, stage):
    url, answers, _ = lists
    audience.set_playing([Heartbeat(stage, "ann")])
    with httpx.Client() as web:
        for answer in (None, {"items": None}, "text"):
            answers.clear()
            if answer is not None:
                answers[f"/v3/hlssessions/list?itemsPerPage={polls.PAGE_ITEMS}&page=0"] = answers[
                    "/api/admin/viewers"
                ] = answer
            for kind in polls.KINDS.values():
                with pytest.raises(polls.PollError):
                    audience.set_playing(kind(web, url, IDENTITY, stage))
    audience.flush()
    assert viewers_of(stage) == ["ann"]


def test_a_player_without_a_stop_is_dropped(client, log_lines, viewers_of, stage):
    now = [0.0]
    audience = Audience(client, forget_s=10, log=log_lines.append, clock=lambda: now[0])
    audience.start(Heartbeat(stage, "ann"))
    audience.flush()
    assert viewers_of(stage) == ["ann"] and log_lines == []
    now[0] = 10.0
    audience.flush()
    assert len(log_lines) == 1 and "session dropped" in log_lines[0]
    until(lambda: viewers_of(stage) == [])


def test_failed_heartbeats_are_sent_again(url, log_lines, viewers_of, stage):
    with Client("http://127.0.0.1:1", retry_for=0) as unreachable, Client(url) as reachable:
        audience = Audience(unreachable, forget_s=10, log=log_lines.append)
        audience.record_activity(Heartbeat(stage, "ann"))
        audience.stop(Heartbeat(stage, "bob"))
        audience.flush()
        assert "sending 1 heartbeats failed" in log_lines[0] and "sending 1 leaves failed" in log_lines[1]
        audience._client = reachable
        audience.flush()
    assert viewers_of(stage) == ["ann"]


def test_an_audience_is_bounded(client, log_lines, viewers_of, stage, monkeypatch):
    monkeypatch.setattr(audience_module, "SESSIONS_MAX", 2)
    monkeypatch.setattr(audience_module, "LEAVES_MAX", 1)
    audience = Audience(client, forget_s=10, log=log_lines.append)
    for viewer in ("ann", "bob", "eve", "ann"):
        audience.record_activity(Heartbeat(stage, viewer))
        audience.start(Heartbeat(stage, viewer))
    audience.stop(Heartbeat(stage, "x"))
    audience.stop(Heartbeat(stage, "y"))
    assert audience.dropped == 3
    audience.flush()
    assert viewers_of(stage) == ["ann", "bob"] and log_lines[0].startswith("3 ")


def test_rejected_heartbeats_are_logged(audience, log_lines):
    audience.record_activity(Heartbeat("a stage with spaces", "ann"))
    audience.record_activity(Heartbeat("ü", "ann"))
    audience.flush()
    assert log_lines == ["2 heartbeats rejected: invalid_stage"]


def test_the_salt_stays(tmp_path):
    file = tmp_path / "salt"
    salt = read_salt(file)
    assert len(salt) == 32 and read_salt(file) == salt and file.stat().st_mode & 0o777 == 0o600
