#!/usr/bin/env python3
"""TCP proxies, one for each node's path to Redis. Commands come by standard input, a line each:

  N open      let all through
  N reset     close all connections, and each new one at once
  N silent    leave all connections open, and let nothing through

Prints the ports as its first line. Ends when its standard input ends.
  proxy.py PORT COUNT
"""

import asyncio
import sys


class Path:
    """A listening port, and its connections to the server."""

    def __init__(self, target):
        self.target, self.links = target, set()
        self.is_through = asyncio.Event()
        self.is_through.set()
        self.is_closed = False

    async def serve(self, reader, writer):
        if self.is_closed:
            writer.transport.abort()
            return
        try:
            await self.is_through.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.links |= {writer, up_writer}
        ways = self.copy(reader, up_writer), self.copy(up_reader, writer)
        await asyncio.gather(*ways)
        self.links -= {writer, up_writer}

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                await self.is_through.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()

    def set(self, state):
        self.is_closed = state == "reset"
        if state == "silent":
            self.is_through.clear()
        else:
            self.is_through.set()
        if self.is_closed:
            for writer in self.links:
                writer.transport.abort()


async def main():
    target, count = int(sys.argv[1]), int(sys.argv[2])
    paths = [Path(target) for _ in range(count)]
    servers = [await asyncio.start_server(path.serve, "127.0.0.1", 0) for path in paths]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        place, state = line.decode().split()
        paths[int(place)].set(state)
        print("done", flush=True)


asyncio.run(main())
