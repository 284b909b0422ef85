"""Redis's protocol, as much as the oracle needs, and the tail of the log."""

import asyncio
import re

import formats
from clock import now_ms


class RedisError(Exception):
    """An error that Redis answered."""


class Redis:
    """A connection to Redis that sends one command at a time."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def call(self, *words, wait=5.0):
        """Sends a command; the connection is closed if no answer comes."""
        try:
            return await asyncio.wait_for(self._call(words), wait)
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            self.close()
            raise ConnectionError("no answer of Redis") from None

    async def _call(self, words):
        if self.writer is None:
            limit = 1 << 26
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=limit
            )
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        self.writer.write(b"".join(parts))
        return await self._reply()

    async def _reply(self):
        line = await self.reader.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if rest == b"-1":
            return None
        if kind == b"$":
            return (await self.reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*":
            return [await self._reply() for _ in range(int(rest))]
        raise ConnectionError(f"not an answer of Redis: {line!r}")

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Tail:
    """Reads each record of a partition once, by a connection that no fault touches."""

    def __init__(self, port, partition=0, prefix="hc:"):
        self.partition = partition
        self.redis, self.meta_link = Redis(port), Redis(port)
        self.log, self.meta = f"{prefix}{{{partition}}}:log", f"{prefix}{{{partition}}}:meta"
        self.position, self.records, self.keys, self.problems = "0-0", [], {}, []

    async def run(self):
        """Reads on until it is cancelled."""
        while True:
            try:
                words = ["XREAD", "COUNT", 1000, "BLOCK", 1000, "STREAMS", self.log, self.position]
                found = await self.redis.call(*words, wait=30)
                received = now_ms()
                for entry, fields in found[0][1] if found else ():
                    self.take(entry.decode(), fields, received)
            except (ConnectionError, RedisError):
                self.redis.close()
                await asyncio.sleep(0.01)

    def take(self, entry, fields, received):
        self.position = entry
        if len(fields) != 2 or fields[0] != b"r":
            self.problems.append(f"entry {entry} has other fields than r")
            return
        one = {"partition": self.partition, "id": entry, "received": received}
        self.records.append({**one, "bytes": fields[1].hex()})

    async def read_keys(self):
        """Collects the keys of handles, until it is cancelled. A lost log may get another one."""
        while True:
            try:
                flat = [each.decode() for each in await self.meta_link.call("HGETALL", self.meta)]
                found = dict(zip(flat[::2], flat[1::2]))
                for name, value in found.items():
                    if not re.fullmatch("[0-9]{1,20}", value):
                        self.problems.append(f"{name} of the meta is {value!r}, not a number")
                if "key" in found:
                    self.keys.setdefault(int(found["key"]), now_ms())
            except (ConnectionError, RedisError):
                pass
            await asyncio.sleep(0.1)


def decoded(records):
    """Decodes records of a recording.

    Yields (partition, time of the position, Record or FormatError).
    """
    for each in records:
        at = int(each["id"].split("-")[0])
        try:
            yield each["partition"], at, formats.record(bytes.fromhex(each["bytes"]))
        except formats.FormatError as error:
            yield each["partition"], at, error
