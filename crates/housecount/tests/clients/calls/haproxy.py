"""HAProxy with `proto h2` and with HTTP/1.1 to the node, both with `option httpchk` as it is by default."""

import csv
import gzip
import json
import socket

from websockets.sync.client import unix_connect

from checks import Checks
from proxies import WORK, running, through, until, version_of
from suite import JSON, post

PROGRAM = "usr/sbin/haproxy"
checks = Checks("haproxy", version_of(PROGRAM, "-v", r"version (\S+?)-"))


def states():
    """What its checks say of the servers: `{backend: "UP L7OK/204"}`."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(WORK / "haproxy-stats.sock"))
        asked.sendall(b"show stat\n")
        text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    rows = csv.DictReader(text.lstrip("# ").splitlines())
    return {row["pxname"]: f"{row['status']} {row['check_status']}/{row['check_code']}"
            for row in rows if row["svname"] == "node"}


def checked(backend):
    """The state once a check is done."""

    def state():
        found = states()[backend]
        # With an asterisk a check is under way.
        return None if "*" in found or "INI" in found else found

    return until("check", state)


def heard(path):
    """What a heartbeat over a WebSocket is answered."""
    with unix_connect(str(WORK / path), "ws://proxy.example/v1/ws", open_timeout=10) as opened:
        opened.send(json.dumps(checks.beat("haproxy-ws")))
        return f"viewers {json.loads(opened.recv(timeout=10))['viewers']}"


def beats():
    return json.dumps([checks.beat() for _ in range(3)]).encode()


with running(PROGRAM, "haproxy.cfg", "-db", "-f"):
    for viewers, (backend, name) in enumerate([("h2", "proto h2"), ("h1", "HTTP/1.1")], start=1):
        ask = through(f"haproxy-{backend}.sock")
        checks.equal(f"{name}, option httpchk", "UP L7OK/204", lambda: checked(f"over_{backend}"))
        checks.equal(f"{name}, heartbeat", "200", lambda: post(
            ask, "/v1/heartbeat", json.dumps(checks.beat()).encode(), JSON).short())
        checks.equal(f"{name}, batch, gzip", "200 accepted 3", lambda: post(
            ask, "/v1/heartbeats", gzip.compress(beats()), JSON, content_encoding="gzip").short())
        checks.equal(f"{name}, 200 heartbeats", 200, lambda: sum(
            post(ask, "/v1/heartbeat", json.dumps(checks.beat()).encode(), JSON).status == 200 for _ in range(200)))
        checks.equal(f"{name}, stats with a key", "200", lambda: ask("GET", "/v1/stats").short())
        checks.equal(f"{name}, FormData", "415 unsupported_media_type", lambda: post(
            ask, "/v1/heartbeat", b"x" * 60_000, "multipart/form-data; boundary=x").short())
        checks.equal(f"{name}, WebSocket", f"viewers {viewers}", lambda: heard(f"haproxy-{backend}.sock"))
