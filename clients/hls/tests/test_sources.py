"""Calls and lists as servers send them, up to what a real node counts.

The bodies are those of nginx-rtmp's ngx_rtmp_notify_module.c, of SRS's documented HTTP callbacks, of MediaMTX's documented hooks and
APIHLSSession, and of Owncast's models.Viewer. nginx-rtmp itself runs in test_nginx.py; the others were not run.
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
def said():
    return []


@pytest.fixture
def audience(client, said):
    return Audience(client, forget_s=3_600, log=said.append)


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


def test_nginx_rtmp_tells_each_player_again_and_again(hook_server, audience, viewers_of, stage):
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
    assert set(viewers_of(stage)) == {"ann", IDENTITY.of_address("127.0.0.1", "")}
    call(fields.format("play_done"))
    audience.flush()
    until(lambda: viewers_of(stage) == [IDENTITY.of_address("127.0.0.1", "")])


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
        assert viewers_of(f"live/{stage}") == sorted(["ann", IDENTITY.of_address("192.168.1.10", "9308h584")])
    # SRS ends HLS streams with one more call, whose client is empty. It must not end everybody's sessions.
    call(srs("on_stop", "", stage, "?viewer=ann"))
    audience.flush()
    assert "ann" in viewers_of(f"live/{stage}")
    call(srs("on_stop", "9308h583", stage, "?token=xxx&viewer=ann"))
    audience.flush()
    until(lambda: viewers_of(f"live/{stage}") == [IDENTITY.of_address("192.168.1.10", "9308h584")])


def test_srs_clients_of_old_versions_have_numbers(hook_server, audience, viewers_of, stage):
    hook_server("srs")(srs("on_play", 1985, stage, "?viewer=ann"))
    audience.flush()
    assert viewers_of(f"live/{stage}") == ["ann"]


def test_mediamtx_readers_beat_until_they_stop(hook_server, audience, viewers_of, stage):
    call = hook_server("mediamtx")
    fields = f"call={{}}&path={stage}&query=viewer%3Dann&reader_type=webRTCSession&reader_id=18294761-f9d1-4ea9-9a35-fe265b62eb41"
    call(fields.format("read"))
    call(f"call=read&path={stage}&query=&reader_type=hlsMuxer&reader_id=1")
    audience.flush()
    assert viewers_of(stage) == ["ann"], "the muxer watches nothing"
    call(fields.format("unread"))
    audience.flush()
    until(lambda: viewers_of(stage) == [])


def test_calls_that_are_no_hooks_are_refused(hook_server, audience, viewers_of, said):
    call = hook_server("srs")
    assert call(b"\xff\xfe").status_code == 400
    assert call("{not json").status_code == 400
    assert call(b"x" * (hooks.BODY_BYTES_MAX + 1)).status_code == 413
    assert call(json.dumps({"action": ["on_play"], "client_id": {}, "stream": None})).status_code == 200
    assert call("").status_code == 200
    audience.flush()
    assert said == []


@pytest.fixture
def lists():
    """Serves JSON by path and query; returns its address, the answers, and the headers of the last request."""
    answers, asked = {}, {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.update(self.headers)
            body = json.dumps(answers[self.path]).encode() if self.path in answers else b"not here"
            self.send_response(200 if self.path in answers else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers, asked
        server.shutdown()


def test_owncast_viewers_are_listed(lists, audience, viewers_of, stage):
    url, answers, asked = lists
    viewer = {"firstSeen": "2026-11-29T22:00:00Z", "geo": None, "userAgent": "Mozilla/5.0", "ipAddress": "127.0.0.1"}
    with httpx.Client(auth=("admin", "pässword")) as web:
        for clients in (["a1", "b2"], ["b2"]):
            answers["/api/admin/viewers"] = [*({**viewer, "clientID": each} for each in clients), {}, 7]
            audience.are_playing(polls.owncast(web, url, IDENTITY, stage))
            audience.flush()
            until(
                lambda clients=clients: viewers_of(stage) == sorted(IDENTITY.of_address(each, "") for each in clients)
            )
    assert asked["Authorization"].startswith("Basic ")


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
        [{**session, "id": "18294763", "query": "", "user": ""}],
    ]
    for page in (0, 1):
        path = f"/v3/hlssessions/list?itemsPerPage={polls.PAGE_ITEMS}&page={page}"
        answers[path] = {"pageCount": 2, "itemCount": 3, "items": items[page]}
    with httpx.Client() as web:
        audience.are_playing(polls.mediamtx(web, url, IDENTITY, None))
    audience.flush()
    assert viewers_of(stage) == sorted(["ann", "bob", IDENTITY.of_address("18294763", "")])


def test_a_server_that_does_not_answer_changes_nobodys_state(lists, audience, viewers_of, stage):
    url, answers, _ = lists
    audience.are_playing([Heartbeat(stage, "ann")])
    with httpx.Client() as web:
        for answer in (None, {"items": None}, "text"):
            answers.clear()
            if answer is not None:
                answers[f"/v3/hlssessions/list?itemsPerPage={polls.PAGE_ITEMS}&page=0"] = answers[
                    "/api/admin/viewers"
                ] = answer
            for kind in polls.KINDS.values():
                with pytest.raises(polls.PollError):
                    audience.are_playing(kind(web, url, IDENTITY, stage))
    audience.flush()
    assert viewers_of(stage) == ["ann"]


def test_a_player_whose_end_is_never_told_is_forgotten(client, said, viewers_of, stage):
    now = [0.0]
    audience = Audience(client, forget_s=10, log=said.append, clock=lambda: now[0])
    audience.playing(Heartbeat(stage, "ann"))
    audience.flush()
    assert viewers_of(stage) == ["ann"] and said == []
    now[0] = 10.0
    audience.flush()
    assert len(said) == 1 and "forgotten" in said[0]
    until(lambda: viewers_of(stage) == [])


def test_what_a_node_did_not_take_is_sent_again(url, said, viewers_of, stage):
    with Client("http://127.0.0.1:1", retry_for=0) as away, Client(url) as there:
        audience = Audience(away, forget_s=10, log=said.append)
        audience.seen(Heartbeat(stage, "ann"))
        audience.stopped(Heartbeat(stage, "bob"))
        audience.flush()
        assert "1 heartbeats were not taken" in said[0] and "1 leaves were not taken" in said[1]
        audience._client = there
        audience.flush()
    assert viewers_of(stage) == ["ann"]


def test_an_audience_is_bounded(client, said, viewers_of, stage, monkeypatch):
    monkeypatch.setattr(audience_module, "SEEN_MAX", 2)
    monkeypatch.setattr(audience_module, "LEAVES_MAX", 1)
    audience = Audience(client, forget_s=10, log=said.append)
    for viewer in ("ann", "bob", "eve", "ann"):
        audience.seen(Heartbeat(stage, viewer))
        audience.playing(Heartbeat(stage, viewer))
    audience.stopped(Heartbeat(stage, "x"))
    audience.stopped(Heartbeat(stage, "y"))
    assert audience.dropped == 3
    audience.flush()
    assert viewers_of(stage) == ["ann", "bob"] and said[0].startswith("3 ")


def test_refused_heartbeats_are_said(audience, said):
    audience.seen(Heartbeat("a stage with spaces", "ann"))
    audience.seen(Heartbeat("ü", "ann"))
    audience.flush()
    assert said == ["2 heartbeats were refused: invalid_stage"]


def test_the_salt_stays(tmp_path):
    file = tmp_path / "salt"
    salt = read_salt(file)
    assert len(salt) == 32 and read_salt(file) == salt and file.stat().st_mode & 0o777 == 0o600
