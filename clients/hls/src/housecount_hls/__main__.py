"""Command `housecount-hls`."""

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

Set the operator's key (scope beats) in the environment: HOUSECOUNT_HLS_KEY.
"""


def parse_arguments(args: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="housecount-hls",
        description="Count viewers of an HLS server on a housecount server",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    access_log = commands.add_parser("log", help="read an access log from standard input")
    access_log.add_argument("--kind", choices=sorted(STAGES), default="nginx-rtmp", help="format of segment URLs")
    access_log.add_argument(
        "--pattern", help="regular expression with (?P<stage>…) for segment URLs, instead of --kind"
    )
    access_log.add_argument(
        "--playlists", action="store_true", help="count playlists too, if a CDN serves the segments"
    )
    listen = commands.add_parser("hooks", help="receive a server's hooks when players start and stop")
    listen.add_argument("--kind", choices=sorted(hooks.KINDS), required=True, help="type of the server")
    listen.add_argument("--listen", default="127.0.0.1:7411", help="address for the hooks [default: %(default)s]")
    poll = commands.add_parser("poll", help="poll a server's API for its viewers")
    poll.add_argument("--kind", choices=sorted(polls.KINDS), required=True, help="type of the server")
    poll.add_argument(
        "--from", dest="source", required=True, help="URL of the server; set its password in OWNCAST_PASSWORD"
    )
    for each in (access_log, listen, poll):
        each.add_argument(
            "--server", default="http://127.0.0.1:7400", help="URL of the housecount server [default: %(default)s]"
        )
        each.add_argument("--stage", help="stage of all viewers, instead of the source's stage")
        each.add_argument(
            "--viewer", default="viewer", help="query parameter with the viewer id [default: %(default)s]"
        )
        each.add_argument(
            "--salt", type=Path, default=Path("housecount-hls.salt"), help="file with the salt of unnamed viewers' ids"
        )
        each.add_argument(
            "--every", type=float, default=10.0, help="seconds between batches, at most a third of the ttl"
        )
        each.add_argument(
            "--forget", type=float, default=6 * 3_600, help="seconds after which a player without a stop is dropped"
        )
    return parser.parse_args(args)


def log(text: str) -> None:
    """Writes a line to the log."""
    print(f"housecount-hls: {text}", file=sys.stderr, flush=True)


def main(args: list[str] | None = None) -> None:
    """Runs the command."""
    options = parse_arguments(sys.argv[1:] if args is None else args)
    identity = Identity(read_salt(options.salt), options.viewer)
    key = os.environ.get("HOUSECOUNT_HLS_KEY") or None
    # Retry a batch until the next one is due.
    with Client(options.server, key=key, retry_for=options.every) as client:
        audience = Audience(client, forget_s=options.forget, log=log)
        if options.command == "poll":
            return poll(options, identity, audience)
        flush_every(options.every, audience)
        if options.command == "log":
            return read_log(options, identity, audience)
        host, _, port = options.listen.rpartition(":")
        with hooks.HookServer((host, int(port)), options.kind, identity, audience) as server:
            log(f"listens for {options.kind} hooks on http://{host}:{server.server_address[1]}/")
            server.serve_forever()


def flush_every(seconds: float, audience: Audience) -> threading.Thread:
    """Sends a batch every `seconds`, in a thread."""

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
    """Reads lines until the input ends, then sends the last batch."""
    lines = AccessLog(
        identity, options.pattern or STAGES[options.kind], stage=options.stage, playlists=options.playlists
    )
    reported = 0
    for line in sys.stdin.buffer:
        for beat in lines.parse_line(line.decode(errors="replace"), time.time()):
            audience.record_activity(beat)
        skipped = lines.skipped.unreadable + lines.skipped.late
        # Report at powers of two: at once for a wrong format, without filling the disk.
        if skipped > reported and skipped & (skipped - 1) == 0:
            reported = skipped
            log(f"skipped {lines.skipped.unreadable} unreadable lines, and {lines.skipped.late} older than a minute")
    audience.flush()


def poll(options: argparse.Namespace, identity: Identity, audience: Audience) -> None:
    """Polls and sends every `--every` seconds. If a poll fails, the audience is unchanged."""
    password = os.environ.get("OWNCAST_PASSWORD")
    url = options.source.rstrip("/")
    due = time.monotonic()
    with httpx.Client(timeout=options.every, auth=("admin", password) if password else None) as http:
        while True:
            try:
                audience.set_playing(polls.KINDS[options.kind](http, url, identity, options.stage))
            except polls.PollError as error:
                log(str(error))
            else:
                audience.flush()
            due = max(due + options.every, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
