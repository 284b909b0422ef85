"""The processes of a run: Redis, the table, three nodes, HAProxy, and the paths to Redis.

Each is started here, listens on loopback, and is ended by its process id.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys

from redis_link import Redis, RedisError

HERE = os.path.dirname(os.path.abspath(__file__))
NODES = 3

# Short times, so that a run commits many windows. `ttl` is three times the interval.
SETTINGS = {
    "interval": "2s",
    "ttl": "6s",
    "leave_grace": "1s",
    "window": "10s",
    "lateness_max": "90s",
    "snapshot_interval": "10s",
    "labels": "country,device",
}
KEYS = SETTINGS["labels"].split(",")
TTL_MS, GRACE_MS, WINDOW_MS = 6_000, 1_000, 10_000

HAPROXY = """
defaults
    mode http
    option redispatch
    retries 2
    timeout connect 1s
    timeout client 60s
    timeout server 20s
frontend players
    bind 127.0.0.1:{front}
    default_backend nodes
backend nodes
    balance random
    option httpchk GET /readyz
    default-server inter 500 fastinter 250 fall 2 rise 1 on-marked-down shutdown-sessions
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A program that can be killed, frozen and started again."""

    def __init__(self, name, command, folder, **more):
        self.name, self.command, self.more = name, command, more
        self.log = os.path.join(folder, f"{name}.log")
        self.running, self.starts, self.is_frozen = None, 0, False

    async def start(self):
        with open(self.log, "ab") as log:
            self.running = await asyncio.create_subprocess_exec(
                *self.command, stderr=log, **{"stdout": log, **self.more}
            )
        self.starts += 1

    def signal(self, number):
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(number)

    def freeze(self):
        self.is_frozen = True
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.is_frozen = False
        self.signal(signal.SIGCONT)

    async def kill(self):
        """Ends the process at once, and waits until it has ended."""
        if self.running is not None:
            self.signal(signal.SIGKILL)
            await self.running.wait()

    @property
    def has_ended(self):
        return self.running is not None and self.running.returncode is not None


class Servers:
    """All processes of a run."""

    def __init__(self, binary, emulator, folder, partitions, more, more_of_last):
        self.binary, self.folder, self.emulator = binary, folder, emulator
        self.more, self.more_of_last, self.partitions = more, more_of_last, partitions
        self.redis_port, self.front_port = free_port(), free_port()
        self.node_ports = [free_port() for _ in range(NODES)]
        redis = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1"]
        redis += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        self.redis = Process("redis", [*redis, "--dir", folder], folder)
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        self.table = Process("table", [emulator], folder, **pipes)
        paths = [sys.executable, os.path.join(HERE, "proxy.py"), str(self.redis_port), str(NODES)]
        self.paths = Process("paths", paths, folder, **pipes)
        self.path_lock = asyncio.Lock()
        self.haproxy, self.nodes, self.endpoint = None, [], None

    async def start(self):
        await self.redis.start()
        await self.redis_answers()
        await self.table.start()
        self.endpoint = (await self.table.running.stdout.readline()).decode().strip()
        await self.paths.start()
        ports = (await self.paths.running.stdout.readline()).decode().split()
        # The emulator takes any credentials, and the SDK wants some. Settings are those of a run.
        os.environ.update(AWS_ACCESS_KEY_ID="oracle", AWS_SECRET_ACCESS_KEY="oracle")
        for name in [name for name in os.environ if name.startswith("HOUSECOUNT_")]:
            del os.environ[name]
        table = [self.binary, "table", "create", "--cold", self.cold]
        done = await asyncio.create_subprocess_exec(*table, stdout=asyncio.subprocess.DEVNULL)
        if await done.wait():
            raise RuntimeError("the table could not be made")
        settings = ["=".join(pair) for pair in SETTINGS.items()] + self.more
        for place, port in enumerate(self.node_ports):
            own = settings + (self.more_of_last if place == NODES - 1 else [])
            command = [self.binary, "serve", "--listen", f"127.0.0.1:{port}"]
            command += [word for setting in own for word in ("--set", setting)]
            log = f"redis://127.0.0.1:{ports[place]}/0?partitions={self.partitions}"
            command += ["--log", log, "--cold", self.cold]
            command += ["--data", os.path.join(self.folder, f"data{place}")]
            self.nodes.append(Process(f"node{place}", command, self.folder))
            await self.nodes[place].start()
        config = os.path.join(self.folder, "haproxy.cfg")
        with open(config, "w") as file:
            file.write(HAPROXY.format(front=self.front_port))
            for place, port in enumerate(self.node_ports):
                file.write(f"    server node{place} 127.0.0.1:{port} check\n")
        self.haproxy = Process("haproxy", ["haproxy", "-db", "-f", config], self.folder)
        await self.haproxy.start()

    @property
    def cold(self):
        return f"dynamodb://oracle?region=local&endpoint={self.endpoint}"

    async def redis_answers(self):
        """Waits until Redis answers."""
        link = Redis(self.redis_port)
        while True:
            with contextlib.suppress(ConnectionError, RedisError):
                await link.call("PING", wait=2)
                link.close()
                return
            if self.redis.has_ended:
                raise RuntimeError(f"Redis has ended: see {self.redis.log}")
            await asyncio.sleep(0.02)

    async def tell_redis(self, *words):
        """Sends one command by a connection of its own, which passes no proxy."""
        link = Redis(self.redis_port)
        try:
            return await link.call(*words)
        finally:
            link.close()

    async def set_path(self, place, state):
        async with self.path_lock:
            self.paths.running.stdin.write(f"{place} {state}\n".encode())
            await self.paths.running.stdout.readline()

    async def end(self):
        """Ends all that was started."""
        for process in self.all():
            process.resume()
            await process.kill()

    def all(self):
        found = [self.haproxy, *self.nodes, self.paths, self.table, self.redis]
        return [process for process in found if process is not None]
