"""The command `housecount-hls`."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

import httpx
from housecount import Client

from . import hooks, polls
from .access_log import STAGES, AccessLog
from .audience import Audience
from .identity import Identity, read_salt

EXAMPLES = """examples:
  tail -F -n 0 /var/log/nginx/access.log | housecount-hls log --kind nginx-rtmp
  housecount-hls hooks --kind srs --listen 127.0.0.1:7411
  OWNCAST_PASSWORD=… housecount-hls poll --kind owncast --from http://127.0.0.1:8080 --stage my-channel

The operator's key (scope beats) comes by the environment: HOUSECOUNT_HLS_KEY.
"""


def arguments(args: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="housecount-hls",
        description="Count viewers of an HLS server on a housecount server",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    log = commands.add_parser("log", help="read an access log from standard input")
    log.add_argument(
        "--kind", choices=sorted(STAGES), default="nginx-rtmp", help="how segments' addresses name their stages"
    )
    log.add_argument(
        "--pattern", help="a regular expression with (?P<stage>…) for segments' addresses, instead of --kind"
    )
    log.add_argument("--playlists", action="store_true", help="count playlists too, where a CDN serves the segments")
    listen = commands.add_parser("hooks", help="take the calls of a server when players start and stop")
    listen.add_argument("--kind", choices=sorted(hooks.KINDS), required=True, help="the server")
    listen.add_argument("--listen", default="127.0.0.1:7411", help="where to take calls [default: %(default)s]")
    poll = commands.add_parser("poll", help="ask a server's API who watches")
    poll.add_argument("--kind", choices=sorted(polls.KINDS), required=True, help="the server")
    poll.add_argument(
        "--from", dest="source", required=True, help="the server's address; a password comes by OWNCAST_PASSWORD"
    )
    for each in (log, listen, poll):
        each.add_argument(
            "--server", default="http://127.0.0.1:7400", help="the housecount server [default: %(default)s]"
        )
        each.add_argument("--stage", help="the stage of all viewers, instead of the one that the source names")
        each.add_argument(
            "--viewer", default="viewer", help="query parameter that names the viewer [default: %(default)s]"
        )
        each.add_argument(
            "--salt", type=Path, default=Path("housecount-hls.salt"), help="file that keeps ids of unnamed viewers"
        )
        each.add_argument(
            "--every", type=float, default=10.0, help="seconds between batches, at most a third of the ttl"
        )
        each.add_argument(
            "--forget", type=float, default=6 * 3_600, help="seconds after which a player without an end is forgotten"
        )
    return parser.parse_args(args)


def say(text: str) -> None:
    """Writes a line of the log."""
    print(f"housecount-hls: {text}", file=sys.stderr, flush=True)


def main(args: list[str] | None = None) -> None:
    """Runs the command."""
    options = arguments(sys.argv[1:] if args is None else args)
    identity = Identity(read_salt(options.salt), options.viewer)
    key = os.environ.get("HOUSECOUNT_HLS_KEY") or None
    # A batch is tried again until the next one is due.
    with Client(options.server, key=key, retry_for=options.every) as client:
        audience = Audience(client, forget_s=options.forget, log=say)
        if options.command == "poll":
            return poll(options, identity, audience)
        flush_every(options.every, audience)
        if options.command == "log":
            return read_log(options, identity, audience)
        host, _, port = options.listen.rpartition(":")
        with hooks.HookServer((host, int(port)), options.kind, identity, audience) as server:
            say(f"takes calls of {options.kind} on http://{host}:{server.server_address[1]}/")
            server.serve_forever()


def flush_every(seconds: float, audience: Audience) -> threading.Thread:
    """Sends a batch each so many seconds, in a thread."""

    def run() -> None:
        due = time.monotonic()
        while True:
            due = max(due + seconds, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            audience.flush()

    thread = threading.Thread(target=run, name="flush", daemon=True)
    thread.start()
    return thread


def read_log(options: argparse.Namespace, identity: Identity, audience: Audience) -> None:
    """Reads lines until the input ends, then sends what is left."""
    log = AccessLog(identity, options.pattern or STAGES[options.kind], stage=options.stage, playlists=options.playlists)
    said = 0
    for line in sys.stdin.buffer:
        for beat in log.line(line.decode(errors="replace"), time.time()):
            audience.seen(beat)
        skipped = log.skipped.unreadable + log.skipped.late
        # Each power of two, so that a log of another format says so at once and does not fill the disk.
        if skipped > said and skipped & (skipped - 1) == 0:
            said = skipped
            say(f"{log.skipped.unreadable} lines could not be read, {log.skipped.late} were older than a minute")
    audience.flush()


def poll(options: argparse.Namespace, identity: Identity, audience: Audience) -> None:
    """Asks and sends, each so many seconds. A server that does not answer changes no state."""
    password = os.environ.get("OWNCAST_PASSWORD")
    url = options.source.rstrip("/")
    due = time.monotonic()
    with httpx.Client(timeout=options.every, auth=("admin", password) if password else None) as http:
        while True:
            try:
                audience.are_playing(polls.KINDS[options.kind](http, url, identity, options.stage))
            except polls.PollError as error:
                say(str(error))
            else:
                audience.flush()
            due = max(due + options.every, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
