"""curl: cleartext HTTP/2, files with a BOM, chunked uploads, preflights and headers."""

import gzip
import json
import os
import re
import subprocess
from pathlib import Path

from checks import ARN, URL, Answer, Checks

KEYED = os.environ["CLIENTS_KEYED_URL"]
WORK = Path(os.environ["CLIENTS_WORK"])
shown = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
checks = Checks("curl", shown.split()[1])
JSON = "content-type: application/json"


def curl(path, *flags, url=URL, file=None):
    """Calls it, and returns the answer; its protocol's version is the header `:version`."""
    body = WORK / "curl-body"
    command = ["curl", "-sS", "--max-time", "10", "-o", str(body), "-D", "-", "-w", "\n:version: %{http_version}"]
    if file is not None:
        (WORK / "curl-sent").write_bytes(file)
        flags = [*flags, "--data-binary", f"@{WORK / 'curl-sent'}"]
    body.write_bytes(b"")
    run = subprocess.run([*command, *flags, url + path], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise OSError(run.stderr.strip())
    headers = dict(re.findall(r"^(:?[\w-]+): *(.*?)\r?$", run.stdout, re.MULTILINE))
    headers = {name.lower(): value for name, value in headers.items()}
    status = re.findall(r"^HTTP/\S+ (\d+)", run.stdout, re.MULTILINE)[-1]
    return Answer(int(status), headers, body.read_text(errors="replace"))


def beats(count=3):
    return json.dumps([checks.beat() for _ in range(count)]).encode()


def one():
    return json.dumps(checks.beat()).encode()


def over(answer):
    return f"{answer.short()} over {answer.headers[':version']}"


def cleartext_http2():
    prior = "--http2-prior-knowledge"
    checks.equal("h2c, heartbeat", "200 over 2", lambda: over(curl("/v1/heartbeat", prior, "-H", JSON, file=one())))
    checks.equal("h2c, batch, gzip", "200 accepted 3 over 2", lambda: over(curl(
        "/v1/heartbeats", prior, "-H", JSON, "-H", "content-encoding: gzip", file=gzip.compress(beats()))))
    checks.equal("h2c, batch of 500 kB", "200 accepted 9000 over 2", lambda: over(curl(
        "/v1/heartbeats", prior, "-H", JSON, file=beats(9000))))
    checks.equal("h2c, heartbeat of 100 kB", "413 body_too_large over 2", lambda: over(curl(
        "/v1/heartbeat", prior, "-H", JSON, file=b"x" * 100_000)))
    checks.equal("h2c, stats", "200 over 2", lambda: over(curl("/v1/stats", prior)))
    checks.equal("h2c, OPTIONS /", "204 over 2", lambda: over(curl("/", prior, "-X", "OPTIONS")))
    checks.equal("HTTP/1.1 that offers an upgrade to h2c", "200 over 1.1", lambda: over(curl(
        "/v1/heartbeat", "--http2", "-H", JSON, file=one())))


def bodies():
    checks.equal("batch, a file with a BOM", "200 accepted 3", lambda: curl(
        "/v1/heartbeats", "-H", JSON, file=b"\xef\xbb\xbf" + beats()).short())
    checks.equal("batch, gzip, chunked", "200 accepted 3", lambda: curl(
        "/v1/heartbeats", "-H", JSON, "-H", "content-encoding: gzip", "-H", "transfer-encoding: chunked",
        file=gzip.compress(beats())).short())
    checks.equal("batch of 500 kB, Expect: 100-continue", "200 accepted 9000", lambda: curl(
        "/v1/heartbeats", "-H", JSON, "-H", "expect: 100-continue", file=beats(9000)).short())
    checks.equal("batch, curl's own type (a form)", "415 unsupported_media_type", lambda: curl(
        "/v1/heartbeats", file=beats()).short())
    checks.equal("heartbeat, --form", "415 unsupported_media_type", lambda: curl(
        "/v1/heartbeat", "--form", "stage=a").short())
    large = WORK / "curl-large"
    large.write_bytes(b"x" * 3_000_000)
    checks.equal("heartbeat, --form of 3 MB: told to close", "415 unsupported_media_type close", lambda: closed(curl(
        "/v1/heartbeat", "--form", f"stage=@{large}")))


def closed(answer):
    return f"{answer.short()} {answer.headers.get('connection')}"


def paths():
    curl("/v1/heartbeat", "-H", JSON, file=json.dumps(checks.beat(ARN)).encode())
    checks.equal("stage by path, %2F", "200", lambda: curl(f"/v1/stages/{ARN.replace('/', '%2F')}").short())
    checks.equal("stage by path, raw /: the hint", "404 not_found `%2F` `?stage=`", lambda: curl(
        f"/v1/stages/{ARN}").naming("%2F", "?stage="))
    query = ["-G", "--data-urlencode", f"stage={ARN}"]
    for path in ["/v1/stage", "/v1/stage/viewers", "/v1/stage/history", "/v1/stage/watch", "/v1/stage/snapshots"]:
        checks.equal(f"{path}?stage=", "200", lambda: curl(path, *query).short())
    for path in ["/v1/viewer", "/v1/viewer/watch"]:
        checks.equal(f"{path}?viewer=", "200", lambda: curl(path, "-G", "--data-urlencode", "viewer=a/b ü").short())


def headers():
    def header(name, *flags, path="/v1/stats"):
        return lambda: curl(path, *flags).headers.get(name)

    for path in ["/v1/stats", "/v1/stages", "/v1/cost", "/v1/nothing", "/health", "/openapi.json"]:
        checks.equal(f"{path}: Cache-Control", "no-store", header("cache-control", path=path))
    checks.equal("OPTIONS /", "204", lambda: curl("/", "-X", "OPTIONS").short())
    checks.equal("OPTIONS / says Allow", True, lambda: "GET" in curl("/", "-X", "OPTIONS").headers.get("allow", ""))
    checks.equal("OPTIONS *", "204", lambda: curl("", "--request-target", "*", "-X", "OPTIONS").short())
    checks.equal("metrics by default", "text/plain; version=0.0.4", metrics_type)
    checks.equal("metrics, OpenMetrics asked for", "application/openmetrics-text; version=1.0.0", lambda: metrics_type(
        "-H", "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"))


def metrics_type(*flags):
    """The type of /metrics, without its charset."""
    return ";".join(curl("/metrics", *flags).headers.get("content-type", "").split(";")[:2])


def sent(origin):
    """A page's heartbeat, and the site that may read the answer."""
    answer = curl("/v1/heartbeat", "-H", JSON, "-H", f"origin: {origin}", file=one(), url=KEYED)
    return f"{answer.short()} for {answer.headers.get('access-control-allow-origin')}"


def preflights():
    """What browsers ask before a page of another site may send a heartbeat with headers of its own."""
    wanted = "authorization,content-type,traceparent,tracestate,baggage,sentry-trace"

    def preflight(origin):
        answer = curl("/v1/heartbeat", "-X", "OPTIONS", "-H", f"origin: {origin}",
                      "-H", "access-control-request-method: POST",
                      "-H", f"access-control-request-headers: {wanted}", url=KEYED)
        allowed = answer.headers.get("access-control-allow-headers", "").lower()
        missing = "" if allowed == "*" else " ".join(name for name in wanted.split(",") if name not in allowed)
        return f"{answer.headers.get('access-control-allow-origin')}{' without ' + missing if missing else ''}"

    for origin in ["https://a.example.org", "capacitor://localhost", "null"]:
        checks.equal(f"preflight of {origin}", origin, lambda: preflight(origin))
    checks.equal("heartbeat of https://a.example.org", "200 for https://a.example.org", lambda: sent("https://a.example.org"))
    for origin in ["https://example.com", "http://a.example.org", "https://a.example.org.evil.example", "ionic://localhost"]:
        checks.equal(f"preflight of {origin}: refused", "None", lambda: preflight(origin).split(" ")[0])


cleartext_http2()
bodies()
paths()
headers()
preflights()
