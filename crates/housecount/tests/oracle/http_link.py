"""HTTP/1.1 with one connection that is kept open."""

import asyncio
import json


class Broken(Exception):
    """No answer: refused, broken off, or too late."""


class Http:
    """A connection to a node or the balancer; opened again when it is needed."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def call(self, method, path, body=None, wait=12.0):
        """Sends a request; returns the status and the answer's JSON (None without one)."""
        try:
            status, text, is_kept = await asyncio.wait_for(self._call(method, path, body), wait)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError):
            self.close()
            raise Broken from None
        except asyncio.CancelledError:
            self.close()
            raise
        if not is_kept:
            self.close()
        try:
            return status, json.loads(text) if text.strip() else None
        except ValueError:
            return status, None

    async def _call(self, method, path, body):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n"
        if data:
            head += "content-type: application/json\r\n"
        self.writer.write(head.encode() + b"\r\n" + data)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split()[1])
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        is_kept = fields.get("connection") != "close" and lines[0].startswith("HTTP/1.1")
        if fields.get("transfer-encoding") == "chunked":
            text = b""
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                text += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        elif "content-length" in fields:
            text = await self.reader.readexactly(int(fields["content-length"]))
        else:
            text = b"" if status == 204 else await self.reader.read()
            is_kept = is_kept and status == 204
        return status, text, is_kept

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
