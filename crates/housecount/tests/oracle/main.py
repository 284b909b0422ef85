"""Runs three nodes with an audience under drawn faults, and checks all that they did."""

import argparse
import asyncio
import contextlib
import csv
import gzip
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from urllib.parse import quote

import check
import selftest
from audience import STAGES, Audience, Onlooker
from clock import now_ms, stop
from faults import Faults, describe, draw_steps
from http_link import Broken, Http
from redis_link import Tail
from servers import KEYS, WINDOW_MS, Servers
from table import Table

COOL_S = 10
COMMIT_S_MAX = 300


class Run:
    """One run of servers, audience and faults, and its recording."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        more = options.partitions, options.set, options.set_last
        self.servers = Servers(options.binary, options.dynamodb, folder, *more)
        self.began, self.early = now_ms(), [{} for _ in range(options.partitions)]

    def note(self, text):
        print(f"{(now_ms() - self.began) / 1000:7.1f} s  {text}", flush=True)

    async def record(self, steps):
        """Runs everything; returns the recording, also of a run that failed."""
        servers, seed, background = self.servers, self.options.seed, []
        answers, problems = [], []
        count = self.options.partitions
        tails = [Tail(servers.redis_port, partition) for partition in range(count)]
        ports = enumerate(servers.node_ports)
        onlookers = [Onlooker(place, port, seed, answers) for place, port in ports]
        audience = Audience(servers.front_port, seed, self.options.viewers)
        faults = Faults(servers, onlookers, self.note)
        times = {"begin": self.began, "end": self.began}
        watch, by, ledgers = {}, [], []
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, asyncio.current_task().cancel
        )
        try:
            await servers.start()
            works = [work for tail in tails for work in (tail.run(), tail.read_keys())]
            works += [self.read_table()]
            works += [self.watch_processes(), *(each.run() for each in onlookers)]
            background = [asyncio.create_task(each) for each in works]
            await faults.settle()
            times["begin"] = times["end"] = now_ms()
            audience.start()
            deadline = asyncio.get_running_loop().time() + self.options.minutes * 60
            background.append(asyncio.create_task(faults.run(steps, deadline)))
            await self.first_of(background)
            await faults.settle()
            await asyncio.sleep(COOL_S)
            await audience.leave()
            times["end"] = now_ms()
            self.note("all is repaired, and the audience leaves; waiting for the ledger")
            try:
                watch, by = await self.watch(times["begin"], times["end"])
            finally:
                await audience.end()
                table = Table(servers.endpoint, "oracle")
                ledgers = [table.query(key) for key in await self.ledger_keys()]
        except Exception as error:  # Whatever ends a run early is a difference, and is kept.
            problems.append("".join(traceback.format_exception_only(error)).strip())
        finally:
            await stop(background)
            await audience.end()
            await servers.end()
        return {
            "seed": seed, **times, "faults": faults.done, "partitions": len(tails),
            "problems": problems + [problem for tail in tails for problem in tail.problems],
            "records": [record for tail in tails for record in tail.records],
            "keys": [key for tail in tails for key in tail.keys],
            "requests": audience.requests, "answers": answers,
            "ledgers": ledgers, "early": self.early, "watch": watch, "by": by,
            "starts": sum(node.starts for node in servers.nodes),
        }

    @staticmethod
    async def first_of(tasks):
        """Waits until one task has ended, and fails as it did."""
        for each in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
            each.result()

    def ledger(self, partition):
        return f"LEDGER#{self.options.partitions}#{partition}"

    async def ledger_keys(self):
        """Finds the ledger as a reader of the document does: by the item of `LEDGERS`."""
        items = await asyncio.to_thread(Table(self.servers.endpoint, "oracle").query, "LEDGERS")
        partitions = {int(sk) for sk in items}
        if partitions != {self.options.partitions}:
            raise RuntimeError(f"ledgers of {partitions} partitions")
        return [self.ledger(partition) for partition in range(self.options.partitions)]

    async def read_table(self):
        """Tails the table: a chunk that is there stays as it is."""
        table = Table(self.servers.endpoint, "oracle")
        while True:
            await asyncio.sleep(5)
            with contextlib.suppress(OSError):
                for partition, early in enumerate(self.early):
                    items = await asyncio.to_thread(table.query, self.ledger(partition))
                    for sk, item in items.items():
                        early.setdefault(sk, item["chunk"])

    async def watch_processes(self):
        """Ends the run if a process ends by itself."""
        servers, loop = self.servers, asyncio.get_running_loop()
        ended = {}
        while True:
            for each in servers.all():
                if not each.has_ended:
                    ended.pop(each, None)
                elif loop.time() - ended.setdefault(each, loop.time()) > 30:
                    raise RuntimeError(f"{each.name} has ended: see {each.log}")
            await asyncio.sleep(1)

    async def watch(self, begin, end):
        """Reads watch time from every node and by the export, once the ledger has all of it.

        Returns it by viewer, and by label.
        """
        links = [Http(port) for port in self.servers.node_ports]
        until, query = now_ms() + 1000 * COMMIT_S_MAX, f"from={begin - 60_000}&to={end}"
        # What comes late is in the window after the one that is being written.
        needed, found, by = end + 2 * WINDOW_MS, {}, []
        for place, link in enumerate(links):
            while (committed := await self.committed(link)) < needed:
                if now_ms() > until:
                    raise RuntimeError(f"node {place} has the ledger up to {committed} only")
                await asyncio.sleep(0.5)
            rows = []
            for stage in STAGES:
                path = f"/v1/stages/{quote(stage, safe='')}/watch?intervals=true&limit=1000&{query}"
                status, answer = await link.call("GET", path, wait=30)
                if status != 200 or not answer["complete"]:
                    raise RuntimeError(f"{path}: {status} {answer}")
                for row in answer["watch"]:
                    spans = [[each["from"], each["to"]] for each in row["intervals"]]
                    rows.append([[stage, row["viewer"]], spans])
            found[f"node {place}"] = rows
            for stage in [None, *STAGES]:
                for key in KEYS:
                    by += await self.read_by(link, f"node {place}", stage, key, begin - 60_000, end)
        found["the export"] = await asyncio.to_thread(self.export, begin - 60_000, end)
        return found, by

    @staticmethod
    async def read_by(link, name, stage, key, begin, end):
        """Reads the figures by label of a stage, or of all (None)."""
        found = []
        for kind in ("watch", "report"):
            path = f"/v1/stages/{quote(stage, safe='')}/{kind}" if stage else f"/v1/{kind}"
            path += f"?by={key}&from={begin}&to={end}"
            status, answer = await link.call("GET", path, wait=30)
            if status != 200 or not answer["complete"]:
                raise RuntimeError(f"{path}: {status} {answer}")
            one = {"name": f"{name} {path}", "kind": kind, "stage": stage, "key": key}
            found.append({**one, "from": begin, "to": end, "values": answer["by"]["values"]})
        return found

    @staticmethod
    async def committed(link):
        try:
            status, answer = await link.call("GET", "/v1/watch?step=1h")
        except Broken:
            return 0
        return answer["committedTo"] if status == 200 else 0

    def export(self, begin, end):
        command = [self.options.binary, "export", "--cold", self.servers.cold, "--from", str(begin)]
        command += ["--to", str(end), "--intervals", "--csv", "raw", "--out", "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = {}
        for row in csv.DictReader(io.StringIO(done.stdout)):
            spans = found.setdefault((row["stage"], row["viewer"]), [])
            spans.append([int(row["first_at_ms"]), int(row["last_at_ms"])])
        return [[list(who), spans] for who, spans in found.items()]


def options():
    parser = argparse.ArgumentParser(
        prog="run",
        description="Three nodes behind HAProxy under drawn faults, against an oracle of its own.",
    )
    parser.add_argument("--minutes", type=float, default=10, help="length of the faults")
    parser.add_argument("--seed", type=int, help="of faults and audience; drawn if not given")
    parser.add_argument("--viewers", type=int, default=200, help="players besides 33 others")
    parser.add_argument("--partitions", type=int, default=1, help="partitions of the log, 1 to 4")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[],
                        help="a setting of all nodes")
    parser.add_argument("--set-last", metavar="NAME=VALUE", action="append", default=[],
                        help="a setting of one node, such as a wrong ttl: then a run must fail")
    parser.add_argument("--schedule", action="store_true", help="only print the schedule")
    parser.add_argument("--check", metavar="FILE", help="only check a kept recording again")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the recording and logs there")
    parser.add_argument("--binary", help=argparse.SUPPRESS)
    parser.add_argument("--dynamodb", help=argparse.SUPPRESS)
    found = parser.parse_args()
    found.seed = secrets.randbelow(1_000_000) if found.seed is None else found.seed
    if not 0.5 <= found.minutes <= 120 or not 1 <= found.viewers <= 2000:
        parser.error("0.5 to 120 minutes, 1 to 2,000 viewers")
    if not 1 <= found.partitions <= 4:
        parser.error("1 to 4 partitions")
    return found


def judge(recording):
    """Checks a recording and, if it is clean, that changed copies fail; returns the exit code."""
    report = check.check(recording)
    counts = {}
    for fault in recording["faults"]:
        counts[fault["kind"]] = counts.get(fault["kind"], 0) + 1
    print(f"seed: {recording['seed']}")
    print(f"faults: {len(recording['faults'])}, {counts}; starts of nodes: {recording['starts']}")
    print(*report.lines(), sep="\n")
    return 1 if report.count or selftest.unnoticed(recording) else 0


def main():
    chosen = options()
    if chosen.check:
        with gzip.open(chosen.check, "rt") as file:
            return judge(json.load(file))
    steps = draw_steps(chosen.seed, chosen.minutes)
    print(f"seed {chosen.seed}, {chosen.minutes} min, {len(steps)} steps:")
    for number, step in enumerate(steps):
        faults = ", ".join(map(describe, step["faults"]))
        print(f"  {number + 1}. after {step['pause']} s: {faults}")
    if chosen.schedule:
        return 0
    selftest.examples()
    folder = chosen.keep or tempfile.mkdtemp(prefix="housecount-oracle-")
    os.makedirs(folder, exist_ok=True)
    code = 2
    try:
        recording = asyncio.run(Run(chosen, folder).record(steps))
        with gzip.open(os.path.join(folder, "recording.json.gz"), "wt") as file:
            json.dump(recording, file)
        code = judge(recording)
    finally:
        if code == 0 and not chosen.keep:
            shutil.rmtree(folder)
        else:
            print(f"kept: {folder}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
