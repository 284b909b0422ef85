"""Processes of a measurement: nodes, Redis, and a crowd that the nodes count."""

import json
import socket
import ssl
import subprocess
import threading
import time
import uuid
from pathlib import Path

from .clients import Closed, Http1, ids

START_S_MAX = 60
COMPLETE_S_MAX = 90
# Viewers beside those of the rows, so that counts have four digits.
CROWD = 1_234
# A stage's id of Amazon IVS: 61 characters.
STAGE = "arn:aws:ivs:us-west-2:123456789012:stage/abcdABCDefgh-1234567"
BUSY_STAGE = STAGE[:-1] + "8"


def free_port():
    """Returns a port that no process uses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def stop(process):
    """Ends a process that this script started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Chain:
    """A certificate chain like a public one, with its root."""

    name = "viewers.events.example.com"

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        maker = Path(__file__).parent.parent / "chain"
        kinds = ["prime256v1", "secp384r1", "4096"]
        subprocess.run([maker, folder, self.name, *kinds], check=True)
        self.leaf_bytes, self.middle_bytes = self._der_bytes("leaf"), self._der_bytes("middle")

    def _der_bytes(self, name):
        """Returns the length of a certificate."""
        text = (self.folder / f"{name}.pem").read_text()
        return len(ssl.PEM_cert_to_DER_cert(text))

    def context(self, alpn):
        """Returns a client's TLS 1.3 that trusts the root."""
        context = ssl.create_default_context(cafile=str(self.folder / "root.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([alpn])
        return context


class Node:
    """A running node."""

    def __init__(self, binary, folder: Path, settings, chain=None, log="memory:"):
        self.name = chain.name if chain else "127.0.0.1"
        self.chain = chain
        # A session is resumed in its own context only.
        self.contexts = {alpn: chain.context(alpn) for alpn in ("http/1.1", "h2")} if chain else {}
        self.port = free_port()
        # Ports of this script's connections, which are not a browser's.
        self.own_ports = set()
        self.folder = folder
        folder.mkdir()
        if chain:
            files = {"tls_cert": "chain.pem", "tls_key": "leaf.key"}
            settings = settings | {key: chain.folder / file for key, file in files.items()}
        self.command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--cold", "none"]
        self.command += ["--data", str(folder / "data"), "--log", log]
        for key, value in settings.items():
            self.command += ["--set", f"{key}={value}"]
        self.process = None
        self.start()

    def start(self):
        """Starts the process, and waits until it answers."""
        with open(self.folder / "node.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                connection = Http1(self)
                connection.post("/v1/heartbeats", "[]", [("content-type", "application/json")])
                return connection.close()
            except (OSError, Closed, RuntimeError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    stop(self.process)
                    text = (self.folder / "node.log").read_text()
                    raise RuntimeError(f"the node did not start:\n{text}") from None
                time.sleep(0.1)

    def context(self, alpn):
        """Returns the TLS of clients that speak a protocol."""
        return self.contexts[alpn]

    def restart(self):
        """Ends the process and its connections, and starts another one on the same port."""
        stop(self.process)
        self.start()

    def wait_complete(self):
        """Waits until counts are complete, as they are but for one ttl after a start."""
        connection, body = Http1(self), ids(STAGE, "probe")
        deadline = time.monotonic() + COMPLETE_S_MAX
        while not json.loads(connection.post("/v1/heartbeat", body))["complete"]:
            if time.monotonic() > deadline:
                raise RuntimeError("the counts stay incomplete")
            time.sleep(0.5)
        connection.close()

    def stop(self):
        stop(self.process)


class Redis:
    """A Redis without a disk."""

    def __init__(self, folder: Path):
        self.port = free_port()
        folder.mkdir()
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        words += ["--dir", str(folder)]
        self.process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)

    def stop(self):
        stop(self.process)


class Crowd:
    """Viewers who beat in batches until the end, so that a node's counts are complete and long."""

    def __init__(self, node, every_s, joins_s=None):
        self.node = node
        self.every_s = every_s
        self.joins_s = joins_s
        self.viewers = [str(uuid.uuid4()) for _ in range(CROWD)]
        self.has_ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _beat(connection, stage, viewers):
        body = json.dumps([{"stage": stage, "viewer": viewer} for viewer in viewers])
        connection.post("/v1/heartbeats", body, [("content-type", "application/json")])

    def _run(self):
        connection, due, joined = None, 0.0, 0
        while not self.has_ended.is_set():
            try:
                if connection is None:
                    connection = Http1(self.node)
                if time.monotonic() >= due:
                    self._beat(connection, STAGE, self.viewers)
                    due = time.monotonic() + self.every_s
                    if self.joins_s:
                        self._beat(connection, BUSY_STAGE, self.viewers)
                if self.joins_s:
                    joined += 1
                    self._beat(connection, BUSY_STAGE, [f"joined-{joined}"])
            except (OSError, Closed):
                # The node is restarting.
                connection = None
            self.has_ended.wait(self.joins_s or 0.5)

    def end(self):
        self.has_ended.set()
        self.thread.join(20)
