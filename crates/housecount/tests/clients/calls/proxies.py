"""Proxies under test: children of this process, on a socket in the work folder, and ended with it."""

import os
import re
import string
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from checks import Answer

HERE = Path(__file__).parent
DEBIAN = Path(os.environ["CLIENTS_TOOLS"]) / "debian"
WORK = Path(os.environ["CLIENTS_WORK"])
ENV = {**os.environ, "LD_LIBRARY_PATH": str(DEBIAN / "usr/lib/x86_64-linux-gnu")}
KEYED_URL, KEY = os.environ["CLIENTS_KEYED_URL"], os.environ["CLIENTS_KEY"]


def version_of(program, flag, pattern):
    run = subprocess.run([DEBIAN / program, flag], env=ENV, capture_output=True, text=True, check=False)
    return re.search(pattern, run.stdout + run.stderr)[1]


def until(what, ask, seconds=20):
    """Asks until something is found."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"no {what} within {seconds} s")


@contextmanager
def running(program, configuration, *flags):
    """Runs a proxy by a configuration of this folder, in which $WORK and $TARGET are replaced."""
    text = string.Template((HERE / configuration).read_text())
    made = WORK / configuration
    made.write_text(text.safe_substitute(WORK=WORK, TARGET=KEYED_URL.removeprefix("http://")))
    log = open(WORK / f"{configuration}.log", "w", encoding="utf-8")
    child = subprocess.Popen([DEBIAN / program, *flags, made], env=ENV, stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(timeout=10)
        log.close()


def through(socket):
    """A call to the proxy at a socket, with the operator's key."""
    until(f"proxy at {socket}", (WORK / socket).exists)
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(WORK / socket)), timeout=10)

    def ask(method, path, data=None, headers=None, **more):
        answer = client.request(method, f"http://proxy.example{path}", content=data,
                                headers={"x-api-key": KEY, **(headers or {})}, **more)
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask
