"""h2load: cleartext HTTP/2 with many streams, and one viewer who beats faster than the limit."""

import json
import os
import re
import subprocess
from pathlib import Path

from checks import URL, Checks

DEBIAN = Path(os.environ["CLIENTS_TOOLS"]) / "debian"
WORK = Path(os.environ["CLIENTS_WORK"])
ENV = {**os.environ, "LD_LIBRARY_PATH": str(DEBIAN / "usr/lib/x86_64-linux-gnu")}


def h2load(*flags):
    command = [str(DEBIAN / "usr/bin/h2load"), *flags]
    run = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True, timeout=60)
    return run.stdout


def codes(*flags):
    """How many answers were of each kind, and whether all came over h2c."""
    shown = h2load(*flags)
    protocol = re.search(r"Application protocol: (\S+)", shown)
    of_2xx = re.search(r"status codes: (.*)", shown)
    return f"{protocol and protocol[1]}: {of_2xx and of_2xx[1]}"


checks = Checks("h2load", h2load("--version").split("/")[-1].strip())


def expected(count, protocol="h2c"):
    return f"{protocol}: {count} 2xx, 0 3xx, 0 4xx, 0 5xx"


def post(body, *flags):
    sent = WORK / "h2load-body"
    sent.write_text(json.dumps(body))
    return codes(*flags, "-d", str(sent), "-H", "content-type: application/json")


checks.equal("2,000 stats, 10 connections x 20 streams", expected(2000), lambda: codes(
    "-n", "2000", "-c", "10", "-m", "20", f"{URL}/v1/stats"))
checks.equal("2,000 batches, 10 connections x 20 streams", expected(2000), lambda: post(
    [{"stage": "h2load", "viewer": f"v{at}"} for at in range(5)], "-n", "2000", "-c", "10", "-m", "20",
    f"{URL}/v1/heartbeats"))
checks.equal("1,000 heartbeats of one viewer", expected(1000), lambda: post(
    checks.beat(), "-n", "1000", "-c", "4", "-m", "5", f"{URL}/v1/heartbeat"))
checks.equal("500 heartbeats of one viewer over HTTP/1.1", expected(500, "http/1.1"), lambda: post(
    checks.beat(), "--h1", "-n", "500", "-c", "4", f"{URL}/v1/heartbeat"))
