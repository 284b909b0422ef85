"""Real nodes, and both clients behind one surface. clients/with-nodes starts the nodes."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid

import httpx
import pytest

from housecount import AsyncClient, Client

DEADLINE_S = 20


@pytest.fixture(scope="session")
def url():
    return os.environ["CLIENTS_URL"]


@pytest.fixture(scope="session")
def keyed_url():
    return os.environ["CLIENTS_KEYED_URL"]


@pytest.fixture(scope="session")
def key():
    return os.environ["CLIENTS_KEY"]


@pytest.fixture(scope="session")
def secret():
    return os.environ["CLIENTS_SECRET"]


@pytest.fixture
def stage():
    """A stage that no other test knows."""
    return f"stage-{uuid.uuid4().hex[:8]}"


class Waiting:
    """The synchronous client with an asynchronous surface: each call runs in a thread."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        call = getattr(self._client, name)
        if name.startswith("list_"):
            return lambda *args, **fields: WaitingPages(call(*args, **fields))
        if name == "stream_counts":
            return lambda *args, **fields: one_by_one(call(*args, **fields))
        return lambda *args, **fields: asyncio.to_thread(call, *args, **fields)

    async def aclose(self):
        self._client.close()


class WaitingPages:
    def __init__(self, pages):
        self._pages = pages

    def pages(self):
        return one_by_one(self._pages.pages())

    def __aiter__(self):
        return one_by_one(iter(self._pages))


async def one_by_one(items):
    end = object()
    try:
        while (item := await asyncio.to_thread(next, items, end)) is not end:
            yield item
    finally:
        items.close()


@pytest.fixture(params=["sync", "async"])
async def connect(request):
    """Makes clients of one kind: connect(url, **settings)."""
    made = []

    def connect(url, **settings):
        client = AsyncClient(url, **settings) if request.param == "async" else Waiting(Client(url, **settings))
        made.append(client)
        return client

    yield connect
    for client in made:
        await client.aclose()


@pytest.fixture
async def client(connect, url):
    return connect(url)


async def until(holds):
    """Returns what `holds` returns, once that is true."""
    end = time.monotonic() + DEADLINE_S
    while not (seen := await holds()):
        assert time.monotonic() < end, f"did not come true within {DEADLINE_S} s"
        await asyncio.sleep(0.05)
    return seen


class Node:
    """A node that a test starts, kills and starts again, at one address."""

    def __init__(self, *settings):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self._data = tempfile.mkdtemp()
        self._settings = [word for setting in ("interval=1s", "ttl=4s", *settings) for word in ("--set", setting)]
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [os.environ["CLIENTS_BIN"], "serve", "--listen", self.address, "--data", self._data, *self._settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                if httpx.get(f"{self.url}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < end and self._process.poll() is None, "the node did not start"
            time.sleep(0.05)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self):
        self.kill()
        shutil.rmtree(self._data)


@pytest.fixture
def make_node():
    """Makes nodes that are not started yet."""
    nodes = []

    def make_node(*settings):
        nodes.append(Node(*settings))
        return nodes[-1]

    yield make_node
    for node in nodes:
        node.remove()
