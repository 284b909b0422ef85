"""Rows of the clients without a browser. A row says when it sent; the capture has the bytes."""

import itertools
import json
import threading
import time
import uuid
from dataclasses import dataclass, field

from .capture import Traffic, traffic
from .clients import Http1, Http2, WebSocket, ids
from .node import BUSY_STAGE, STAGE

BEATS = 20
BEAT_EVERY_S = 0.25
STAYS = 5
# Time for the last acknowledgement of a beat, and for the end of a connection.
SETTLE_S = 0.4
BATCH = 1_000


@dataclass
class Row:
    """A line of the table."""

    group: str
    name: str
    traffic: Traffic
    count: int
    note: str = ""

    def json(self):
        names = ("bytesIn", "bytesOut", "packetsIn", "packetsOut")
        figures = {name: round(value, 2) for name, value in zip(names, self.traffic.tuple())}
        texts = {"group": self.group, "name": self.name, "note": self.note}
        return texts | figures | {"count": self.count}


@dataclass
class Probe:
    """A stretch of the capture: `count` occurrences on some connections of a port."""

    group: str
    name: str
    port: int
    clients: set
    since: float
    until: float
    count: int
    note: str = ""
    # The row of the heartbeats in each occurrence, and their number. They are subtracted.
    beats: tuple = ()

    def row(self, packets, rows):
        """Returns the mean of an occurrence."""
        each = traffic(packets, self.port, self.clients, self.since, self.until).per(self.count)
        if self.beats:
            name, number = self.beats
            beat = next(row for row in rows if row.group == "heartbeat" and row.name == name)
            each = each.minus(beat.traffic, number)
        return Row(self.group, self.name, each, self.count, self.note)


@dataclass
class Bench:
    """Rows that run at the same time, each in its thread."""

    probes: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    threads: list = field(default_factory=list)

    def start(self, measure, *args):
        """Starts a row. `measure` returns a probe, or several."""

        def run():
            try:
                found = measure(*args)
                self.probes += found if isinstance(found, list) else [found]
            except Exception as error:  # Any failure of a row is shown, and the other rows go on.
                self.failures.append(f"{measure.__name__}{args[1:]}: {error!r}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)

    def wait(self, seconds):
        """Waits for all rows, at most so long."""
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            self.failures.append(f"some rows took more than {seconds} s")
        self.threads = []


def repeat(name, connection, port, beat, count=BEATS):
    """Sends beats with pauses, after some that are not counted."""
    for _ in range(3):
        beat()
        time.sleep(BEAT_EVERY_S)
    time.sleep(SETTLE_S)
    since = time.time()
    for _ in range(count):
        note = beat()
        time.sleep(BEAT_EVERY_S)
    time.sleep(SETTLE_S)
    return Probe("heartbeat", name, port, {connection.port}, since, time.time(), count, note or "")


def http(node, name, kind, fields):
    """A heartbeat over HTTP with the headers of Chrome."""
    connection = kind(node)
    body = ids(STAGE, str(uuid.uuid4()), **fields)
    probe = repeat(name, connection, node.port, lambda: connection.post("/v1/heartbeat", body))
    connection.close()
    return probe


def socket(node, name, protocols, fields):
    """A heartbeat on a WebSocket."""
    connection = WebSocket(node, protocols)
    connection.ask(ids(STAGE, str(uuid.uuid4()), **fields))
    is_quiet = "quiet" in fields
    # Of a quiet connection's answers the node leaves out every second one.
    left_out = itertools.cycle((is_quiet, False))

    def beat():
        return connection.say("{}") if next(left_out) else connection.ask("{}")

    time.sleep(BEAT_EVERY_S)
    probe = repeat(name, connection, node.port, beat)
    probe.note = "every second answer is left out" if is_quiet else probe.note
    connection.close()
    return probe


def batch(node, name):
    """Heartbeats of other servers, 1,000 in a call."""
    connection = Http1(node)
    viewers = [str(uuid.uuid4()) for _ in range(BATCH)]
    body = json.dumps([{"stage": STAGE, "viewer": viewer} for viewer in viewers])
    headers = [("content-type", "application/json")]
    send = lambda: connection.post("/v1/heartbeats", body, headers)  # noqa: E731
    probe = repeat(name, connection, node.port, send, 5)
    probe.count *= BATCH
    connection.close()
    return probe


def live(node, name, kind, query, events, seconds):
    """Events of a busy stage."""
    connection = kind(node)
    since = until = None
    seen, sample = 0, ""
    deadline = time.monotonic() + seconds
    for text in connection.events(f"/v1/live?stage={BUSY_STAGE}{query}"):
        now = time.time()
        if "event: count" in text:
            sample = f"{len(text)} B of text"
            # From behind an event to behind a later one.
            if since is None:
                time.sleep(SETTLE_S)
                since = time.time()
            else:
                seen += 1
                until = now + SETTLE_S
        if seen >= events or time.monotonic() > deadline:
            break
    time.sleep(SETTLE_S)
    connection.close()
    return Probe("event", name, node.port, {connection.port}, since, until, seen, sample)


def stay(node, name, make, first, beat_row, leave):
    """A stay of a new client and of one that comes back, each with one heartbeat."""
    probes = []
    session = None
    for kind in ("first visit", "return"):
        since, clients, resumed = time.time(), set(), 0
        for _ in range(STAYS):
            connection = make(session if kind == "return" else None)
            clients.add(connection.port)
            first(connection)
            time.sleep(BEAT_EVERY_S)
            leave(connection)
            session = connection.session or session
            resumed += connection.is_resumed
            connection.close()
        time.sleep(SETTLE_S)
        note = f"{resumed} of {STAYS} resumed" if node.chain else ""
        full = f"{name}, {kind}"
        probe = Probe("stay", full, node.port, clients, since, time.time(), STAYS, note)
        probe.beats = (beat_row, 1)
        probes.append(probe)
        if not node.chain:
            break
    return probes


def http_stay(node, name, kind, beat_row):
    """A stay over HTTP: a heartbeat and a leave on one connection."""
    body = ids(STAGE, str(uuid.uuid4()))
    return stay(
        node,
        name,
        lambda session: kind(node, session=session),
        lambda connection: connection.post("/v1/heartbeat", body),
        beat_row,
        lambda connection: connection.post("/v1/leave", body),
    )


def socket_stay(node, name, protocols, beat_row):
    """A stay on a WebSocket: a heartbeat with ids, and a leave."""
    return stay(
        node,
        name,
        lambda session: WebSocket(node, protocols, session),
        lambda connection: connection.ask(ids(STAGE, str(uuid.uuid4()))),
        beat_row,
        lambda connection: connection.ask('{"leave":true}'),
    )


SHORT = {"answer": "short"}
# Options of event streams, with the number of events to wait for.
LIVE = {(): 10, ("every=5s",): 5, ("fields=viewers",): 10, ("every=5s", "fields=viewers"): 5}
V1 = ["housecount.1"]
V2 = ["housecount.2", "housecount.1"]


def start_all(bench, plain, tls, live_s):
    """Starts all rows of these nodes."""
    for node, suffix in ((plain, ""), (tls, " over TLS")):
        bench.start(http, node, f"HTTP/1.1{suffix}", Http1, {})
        bench.start(http, node, f"HTTP/1.1{suffix}, short answers", Http1, SHORT)
        bench.start(socket, node, f"WebSocket{suffix}, housecount.1", V1, {})
        bench.start(socket, node, f"WebSocket{suffix}, housecount.2", V2, {})
        bench.start(socket, node, f"WebSocket{suffix}, housecount.2, quiet", V2, {"quiet": True})
        bench.start(batch, node, f"batch of 1,000{suffix}, HTTP/1.1")
    bench.start(http, tls, "HTTP/2 over TLS", Http2, {})
    bench.start(http, tls, "HTTP/2 over TLS, short answers", Http2, SHORT)
    for kind, prefix in ((Http1, "HTTP/1.1 over TLS"), (Http2, "HTTP/2 over TLS")):
        for options, events in LIVE.items():
            query = "".join(f"&{option}" for option in options)
            bench.start(live, tls, ", ".join([prefix, *options]), kind, query, events, live_s)
    name = "WebSocket over TLS, housecount.2"
    bench.start(socket_stay, tls, name, V2, name)
    bench.start(http_stay, tls, "HTTP/2 over TLS", Http2, "HTTP/2 over TLS")
    bench.start(http_stay, tls, "HTTP/1.1 over TLS", Http1, "HTTP/1.1 over TLS")
