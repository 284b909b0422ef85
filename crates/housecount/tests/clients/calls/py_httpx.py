"""httpx over HTTP/1.1, and over cleartext HTTP/2 by prior knowledge."""

import json

import httpx

from checks import URL, Answer, Checks
from suite import NDJSON, all_calls


def ask_with(client, version):
    def ask(method, path, data=None, **more):
        answer = client.request(method, URL + path, content=data, **more)
        if answer.http_version != version:
            raise AssertionError(f"answered over {answer.http_version}")
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask


def chunks(checks):
    return (json.dumps(checks.beat()).encode() + b"\n" for _ in range(3))


def calls(name, version, **protocol):
    checks = Checks(name, httpx.__version__)
    with httpx.Client(timeout=10, **protocol) as client:
        ask = ask_with(client, version)
        all_calls(checks, ask)
        checks.equal("batch, NDJSON of a generator", "200 accepted 3", lambda: ask(
            "POST", "/v1/heartbeats", data=chunks(checks), headers={"content-type": NDJSON}).short())
        checks.equal("heartbeat as multipart", "415 unsupported_media_type", lambda: ask(
            "POST", "/v1/heartbeat", files={"stage": ("s", b"x" * 1000)}).short())


calls("httpx", "HTTP/1.1")
calls("httpx, h2c", "HTTP/2", http1=False, http2=True)
