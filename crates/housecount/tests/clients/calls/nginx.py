"""nginx with `proxy_pass http://x/;`, which decodes %2F: stages by query are reached, and by path the error says how."""

import gzip
import json

from checks import ARN, Checks
from proxies import WORK, running, through, version_of
from suite import JSON, post

PROGRAM = "usr/sbin/nginx"
checks = Checks("nginx", version_of(PROGRAM, "-v", r"nginx/(\S+)"))
VIEWER = "a/b ü"


def send(ask, beat):
    return post(ask, "/v1/heartbeat", json.dumps(beat).encode(), JSON)


with running(PROGRAM, "nginx.conf", "-e", WORK / "nginx-error.log", "-c"):
    ask = through("nginx.sock")
    checks.equal("heartbeat of an ARN", "200", lambda: send(ask, {"stage": ARN, "viewer": VIEWER}).short())
    checks.equal("batch, gzip", "200 accepted 1", lambda: post(
        ask, "/v1/heartbeats", gzip.compress(json.dumps([checks.beat()]).encode()), JSON,
        content_encoding="gzip").short())
    checks.equal("stage by path, %2F: the hint", "404 not_found `%2F` `?stage=`", lambda: ask(
        "GET", f"/v1/stages/{ARN.replace('/', '%2F')}").naming("%2F", "?stage="))
    for path in ["", "/viewers", "/history", "/watch", "/snapshots"]:
        checks.equal(f"/v1/stage{path}?stage=", "200", lambda: ask(
            "GET", f"/v1/stage{path}", params={"stage": ARN}).short())
    for path in ["", "/watch"]:
        checks.equal(f"/v1/viewer{path}?viewer=", "200", lambda: ask(
            "GET", f"/v1/viewer{path}", params={"viewer": VIEWER}).short())
    checks.equal("the viewer is found by query", True, lambda: ask(
        "GET", "/v1/viewer", params={"viewer": VIEWER}).json()["online"])
    checks.equal("200 heartbeats", 200, lambda: sum(send(ask, checks.beat()).status == 200 for _ in range(200)))
