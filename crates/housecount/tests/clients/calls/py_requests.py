"""requests: bodies as bytes, forms, and generators, which it sends chunked."""

import gzip
import json

import requests

from checks import URL, Answer, Checks
from suite import JSON, NDJSON, all_calls

checks = Checks("requests", requests.__version__)
session = requests.Session()


def ask(method, path, **more):
    answer = session.request(method, URL + path, timeout=10, **more)
    return Answer(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.text)


def chunked(beats):
    """A body without a length, a line in each chunk."""
    return (json.dumps(beat).encode() + b"\n" for beat in beats)


def chunked_gzip(beats):
    packed = gzip.compress(json.dumps(beats).encode())
    return (packed[at : at + 20] for at in range(0, len(packed), 20))


def live(stages):
    """The stages that a stream of counts begins with."""
    with session.get(f"{URL}/v1/live", params={"stage": stages}, stream=True, timeout=10) as answer:
        data = (line[6:] for line in answer.iter_lines(decode_unicode=True) if line.startswith("data: "))
        return sorted(json.loads(next(data))["stage"] for _ in stages)


def three():
    return [checks.beat() for _ in range(3)]


def batch(**more):
    return lambda: ask("POST", "/v1/heartbeats", **more).short()


all_calls(checks, ask)
checks.equal("batch, json=", "200 accepted 3", batch(json=three()))
checks.equal("batch, chunked NDJSON", "200 accepted 3", batch(data=chunked(three()), headers={"content-type": NDJSON}))
checks.equal("batch, chunked gzip", "200 accepted 3", batch(
    data=chunked_gzip(three()), headers={"content-type": JSON, "content-encoding": "gzip"}))
checks.equal("heartbeat as multipart", "415 unsupported_media_type", lambda: ask(
    "POST", "/v1/heartbeat", files={"stage": ("s", "x" * 1000)}).short())
checks.equal("live, params={'stage': ['a', 'b']}", "['a', 'b']", lambda: live(["a", "b"]))
