"""Calls that every Python library makes in its own way of sending bodies and queries.

`ask(method, path, params=, headers=, data=)` is the library's call, and returns an `Answer`.
"""

import gzip
import json
import zlib

from checks import ARN

BOM = b"\xef\xbb\xbf"
JSON, NDJSON, TEXT = "application/json", "application/x-ndjson", "text/plain"
MIB = 1024 * 1024


def lines(beats):
    return b"\n".join(json.dumps(beat).encode() for beat in beats)


def post(ask, path, data, kind, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask("POST", path, data=data, headers={"content-type": kind, **named})


def batches(checks, ask):
    """Many heartbeats in each form that clients give them."""

    def many(call, expected, make, kind, **headers):
        data = make([checks.beat() for _ in range(3)])
        checks.equal(call, expected, lambda: post(ask, "/v1/heartbeats", data, kind, **headers).short())

    def array(beats):
        return json.dumps(beats).encode()

    many("batch, JSON array", "200 accepted 3", array, JSON)
    many("batch, JSON array with charset", "200 accepted 3", array, "application/json; charset=utf-8")
    many("batch, JSON array after a BOM", "200 accepted 3", lambda beats: BOM + array(beats), JSON)
    many("batch, one JSON object", "200 accepted 1", lambda beats: json.dumps(beats[0]).encode(), JSON)
    many("batch, lines said to be JSON", "400 invalid_body", lines, JSON)
    many("batch, NDJSON", "200 accepted 3", lines, NDJSON)
    many("batch, NDJSON after a BOM", "200 accepted 3", lambda beats: BOM + lines(beats), NDJSON)
    many("batch, text/plain array", "200 accepted 3", array, TEXT)
    many("batch, text/plain lines", "200 accepted 3", lines, TEXT)
    many("batch, []", "200 accepted 0", lambda _: b"[]", JSON)

    def squeezed(make):
        return lambda beats: gzip.compress(make(beats))

    many("batch, gzip array", "200 accepted 3", squeezed(array), JSON, content_encoding="gzip")
    many("batch, gzip NDJSON", "200 accepted 3", squeezed(lines), NDJSON, content_encoding="gzip")
    many("batch, gzip of BOM and array", "200 accepted 3", squeezed(lambda beats: BOM + array(beats)), JSON,
         content_encoding="gzip")
    many("batch, gzip cut short", "400 body_truncated", lambda beats: gzip.compress(array(beats))[:-9], JSON,
         content_encoding="gzip")
    many("batch, gzip of 32 MiB of spaces", "413 body_too_large", lambda _: gzip.compress(b" " * 32 * MIB), JSON,
         content_encoding="gzip")


def refusals(checks, ask):
    """Bodies that are refused, and how clearly."""

    def bad(call, expected, data, kind, *words, path="/v1/heartbeats", **headers):
        checks.equal(call, expected, lambda: post(ask, path, data, kind, **headers).naming(*words))

    def one(**fields):
        return json.dumps({**checks.beat(), **fields}).encode()

    deflated = zlib.compress(json.dumps([checks.beat()]).encode())
    bad("batch, deflate", "415 unsupported_encoding", deflated, JSON, content_encoding="deflate")
    checks.equal("the same: encodings that are taken", "gzip",
                 lambda: post(ask, "/v1/heartbeats", deflated, JSON, content_encoding="deflate").headers.get(
                     "accept-encoding"))
    broken = one(viewer="broken").replace(b"broken", b"\xff")
    bad("batch, a bad byte in an array", "200 accepted 1, rejected [1]", b"[" + one() + b"," + broken + b"]", JSON)
    bad("batch, a bad byte in a line", "200 accepted 1, rejected [1]", one() + b"\n" + broken, NDJSON)
    bad("batch, all bad", "400 invalid_viewer `viewer`", b"[" + one(viewer=12345) + b"]", JSON, "viewer")
    bad("heartbeat, viewer 12345", "400 invalid_viewer `viewer` `string`", one(viewer=12345), JSON, "viewer",
        "string", path="/v1/heartbeat")
    bad("heartbeat, token 5", "200", one(token=5), JSON, path="/v1/heartbeat")
    bad("heartbeat as a form", "415 unsupported_media_type", b"stage=a&viewer=b", "application/x-www-form-urlencoded",
        path="/v1/heartbeat")


def queries(checks, ask):
    """Queries as libraries write them, and mistakes in them."""

    def get(call, expected, path, params, *words):
        checks.equal(call, expected, lambda: ask("GET", path, params=params).naming(*words))

    get("watch?start&end", "400 invalid_query `start`", "/v1/watch", {"start": 0, "end": 1}, "start")
    get("watch?limt: nearest name", "400 invalid_query `limt` `limit`", "/v1/watch", {"limt": 5}, "limt", "limit")
    get("live?stage[]", "400 invalid_query `stage[]`", "/v1/live", {"stage[]": "a"}, "stage[]")
    get("watch, from in seconds", "400 invalid_query `milliseconds`", "/v1/watch", {"from": 1795948578},
        "milliseconds")
    checks.equal("watch, from=20261101", "a date or an error", lambda: date_or_error(ask))
    get("raw / in a stage: the hint", "404 not_found `%2F` `?stage=`", f"/v1/stages/{ARN}/history", None, "%2F",
        "?stage=")
    get("unknown stage by query", "404 stage_not_found", "/v1/stage", {"stage": "none"})
    checks.equal("stats are not cached", "no-store", lambda: ask("GET", "/v1/stats").headers.get("cache-control"))


def date_or_error(ask):
    answer = ask("GET", "/v1/watch", params={"from": "20261101"})
    is_date = answer.status == 200 and answer.json()["from"] == 1793491200000
    return "a date or an error" if answer.status == 400 or is_date else f"{answer.short()}: {answer.text[:60]}"


def all_calls(checks, ask):
    checks.equal("heartbeat", "200", lambda: post(ask, "/v1/heartbeat", json.dumps(checks.beat()).encode(), JSON).short())
    batches(checks, ask)
    refusals(checks, ask)
    queries(checks, ask)
