"""The schedule of faults: drawn from a seed before anything starts, then carried out.

A step is a pause, and then one fault or two at once. The next step begins when all is repaired.
Redis is emptied only while all nodes know everything. After that the next step begins once the log
has everything again: docs/OPERATIONS.md says what the double fault of both at one moment may lose.
"""

import asyncio
import random

from clock import now_ms
from servers import NODES

WEIGHTS = {
    "kill": 5,  # SIGKILL of nodes, which start again
    "freeze": 4,  # SIGSTOP and SIGCONT of nodes
    "cut": 4,  # nodes' path to Redis
    "refuse": 3,  # Redis refuses writes
    "freeze-redis": 3,
    "empty-restart": 3,  # SIGKILL of Redis, which starts again without data
    "flush": 2,  # FLUSHALL
    "freeze-table": 1,
}
EMPTYING = {"empty-restart", "flush"}
SETTLED_S_MAX = 60
# Nodes call counts complete while they write a lost log again, as of the time of the loss. A second
# later time goes on, and they mark the log as whole.
REWRITTEN_MS = 2_500


def draw_fault(draw, kind):
    """Draws one fault of a kind."""
    one = {"kind": kind, "delay": 0.0}
    if kind in ("kill", "freeze", "cut"):
        count = draw.choices([1, 2, NODES], [6, 2, 1])[0]
        one["nodes"] = sorted(draw.sample(range(NODES), count))
    if kind == "cut":
        one["how"] = draw.choice(["reset", "silent"])
    if kind == "refuse":
        one["how"] = draw.choice(["replicas", "memory"])
    longest = {"kill": 6, "flush": 0, "empty-restart": 5}.get(kind, 14)
    one["length"] = round(draw.uniform(0.1, draw.choice([1.5, longest])), 2) if longest else 0.0
    return one


def draw_steps(seed, minutes):
    """Draws the schedule of a run. The same seed and length are the same schedule."""
    draw, steps, spent = random.Random(f"{seed} faults"), [], 0.0
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    first = list(kinds)
    draw.shuffle(first)
    while spent < minutes * 60 - 20:
        # Each kind comes once before any is drawn again.
        kind = first.pop() if first else draw.choices(kinds, weights)[0]
        faults = [draw_fault(draw, kind)]
        if draw.random() < 0.45:
            other = draw_fault(draw, draw.choices(kinds, weights)[0])
            other["delay"] = round(draw.uniform(0, faults[0]["length"] + 0.3), 2)
            if is_allowed(faults[0], other):
                faults.append(other)
        pause = round(draw.choice([draw.uniform(0.5, 3), draw.uniform(3, 9)]), 2)
        steps.append({"pause": pause, "faults": faults})
        spent += pause + max(each["delay"] + each["length"] for each in faults)
    return steps


def is_allowed(one, other):
    """Whether two faults may come at once: nothing acknowledged may be only in what both take."""
    kinds = {one["kind"], other["kind"]}
    if len(kinds) == 1 and not {"kill", "freeze", "cut"} & kinds:
        return False
    if kinds & EMPTYING and ("kill" in kinds or kinds <= EMPTYING):
        return False
    # Redis that is frozen is not restarted, and one that refuses writes refuses to be flushed.
    if kinds in ({"freeze-redis", "empty-restart"}, {"refuse", "flush"}):
        return False
    is_same = one["kind"] == other["kind"] or {"kill", "freeze"} <= kinds
    return not (is_same and set(one["nodes"]) & set(other["nodes"]))


def describe(fault):
    words = [fault["kind"]]
    if "nodes" in fault:
        words.append("node " + "+".join(map(str, fault["nodes"])))
    words += [f"({fault['how']})"] if "how" in fault else []
    words.append(f"for {fault['length']} s")
    words += [f"after {fault['delay']} s"] if fault["delay"] else []
    return " ".join(words)


class Faults:
    """Carries out a schedule."""

    def __init__(self, servers, onlookers, note):
        self.servers, self.onlookers, self.note, self.done = servers, onlookers, note, []
        self.emptied_at = 0

    async def run(self, steps, deadline):
        """Carries out the steps that begin before the deadline (of the loop's clock)."""
        must_settle = False
        for number, step in enumerate(steps):
            await asyncio.sleep(step["pause"])
            empties = any(fault["kind"] in EMPTYING for fault in step["faults"])
            if empties or must_settle:
                await self.settle()
            if asyncio.get_running_loop().time() > deadline:
                self.note(f"the time is over after {number} of {len(steps)} steps")
                return
            self.note(f"step {number + 1}: " + ", ".join(map(describe, step["faults"])))
            await asyncio.gather(*(self.carry_out(fault) for fault in step["faults"]))
            must_settle = empties
            if empties:
                # Nodes that were frozen or cut off learn of it only now.
                self.emptied_at = now_ms()

    async def settle(self):
        """Waits until all nodes call fresh counts complete, and the log is whole again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        since = self.emptied_at + REWRITTEN_MS
        while not all(each.is_settled(since) for each in self.onlookers):
            if loop.time() - began > SETTLED_S_MAX:
                raise RuntimeError(f"not all counts are complete after {SETTLED_S_MAX} s")
            await asyncio.sleep(0.1)

    async def carry_out(self, fault):
        await asyncio.sleep(fault["delay"])
        begin, end = self.ways(fault)
        self.done.append(fault)
        await begin()
        await asyncio.sleep(fault["length"])
        await end()

    def ways(self, fault):
        """Returns how a fault begins and how it ends."""
        servers, kind = self.servers, fault["kind"]
        nodes = [servers.nodes[place] for place in fault.get("nodes", ())]

        def each(act):
            async def all_of_them():
                for node in nodes:
                    act(node)

            return all_of_them

        async def kill():
            await asyncio.gather(*(node.kill() for node in nodes))

        async def start():
            await asyncio.gather(*(node.start() for node in nodes))

        def path(state):
            async def set_paths():
                for place in fault["nodes"]:
                    await servers.set_path(place, state)

            return set_paths

        def config(value):
            async def set_config():
                name = {"replicas": "min-replicas-to-write", "memory": "maxmemory"}[fault["how"]]
                await self.insist("CONFIG", "SET", name, value)

            return set_config

        async def restart_redis():
            await servers.redis.start()
            await servers.redis_answers()

        async def flush():
            await self.insist("FLUSHALL")

        async def nothing():
            pass

        def act(process, what):
            async def do():
                getattr(process, what)()

            return do

        return {
            "kill": lambda: (kill, start),
            "freeze": lambda: (each(lambda node: node.freeze()), each(lambda node: node.resume())),
            "cut": lambda: (path(fault["how"]), path("open")),
            "refuse": lambda: (config(1), config(0)),
            "freeze-redis": lambda: (act(servers.redis, "freeze"), act(servers.redis, "resume")),
            "freeze-table": lambda: (act(servers.table, "freeze"), act(servers.table, "resume")),
            "empty-restart": lambda: (servers.redis.kill, restart_redis),
            "flush": lambda: (flush, nothing),
        }[kind]()

    async def insist(self, *words):
        """Sends a command until Redis has taken it: it may be frozen or gone just now."""
        while True:
            try:
                return await self.servers.tell_redis(*words)
            except ConnectionError:
                await asyncio.sleep(0.2)
