"""The audience, and the onlookers: players behind the balancer, and reads of every node's counts.

Each notes what it sent, what it was answered, and when. So it knows what was acknowledged.
"""

import asyncio
import random
from urllib.parse import quote

from clock import now_ms, stop
from http_link import Broken, Http
from servers import KEYS

COUNTRIES = ["NO", "SE", "TW", "Åland"]
STAGES = ["match/1", "match-2", "arn:aws:ivs:eu-west-1:123456789012:stage/abcd", "quiet"]
RELAYED, KEEPERS = 30, 3


class Audience:
    """Players who come, go, reload, fall silent and open second tabs, drawn from the seed."""

    def __init__(self, port, seed, viewers):
        self.port, self.seed, self.viewers = port, seed, viewers
        self.requests, self.players, self.keepers, self.is_over = [], [], [], False

    def start(self):
        players = [self.play(f"viewer-{number:04d}") for number in range(self.viewers)]
        self.players = [asyncio.create_task(each) for each in [*players, self.relay()]]
        keepers = [self.keep(f"keeper-{number}") for number in range(KEEPERS)]
        self.keepers = [asyncio.create_task(each) for each in keepers]

    async def leave(self):
        """Ends all players but the keepers, who let the ledger's windows go on."""
        self.is_over = True
        await asyncio.gather(*self.players)

    async def end(self):
        self.is_over = True
        await stop(self.players + self.keepers)

    async def send(self, link, kind, stage, viewer, session, labels=None):
        """Sends a beat or leave; returns the time until the next beat, or None if it failed."""
        body = {"stage": stage, "viewer": viewer}
        if session:
            body["session"] = session
        one = {"kind": kind, "stage": stage, "viewer": viewer, "session": session}
        if labels and kind == "beat":
            one["labels"] = body["labels"] = labels
        self.requests.append(one)
        one["sent"] = now_ms()
        try:
            path = "/v1/heartbeat" if kind == "beat" else "/v1/leave"
            one["status"], answer = await link.call("POST", path, body)
        except Broken:
            one["status"], answer = 0, None
        one["done"] = now_ms()
        if one["status"] == 200 and kind == "beat":
            one["answer"] = answer
            return answer["nextMs"] / 1000
        return 1.0 if one["status"] == 204 else None

    async def play(self, viewer):
        draw = random.Random(f"{self.seed} {viewer}")
        await asyncio.sleep(draw.uniform(0, 4))
        home, visits, last = draw.choice(COUNTRIES), 0, {}
        while not self.is_over:
            stage, visits = draw.choices(STAGES, [5, 3, 2, 1])[0], visits + 1
            names = draw.sample(["", "phone", "laptop", "tv"], draw.choice([1, 1, 1, 2]))
            sessions = [name_of(stage, each, visits, last) for each in names]
            stay = min(5 + draw.expovariate(1 / 40), 180)
            tabs = [random.Random(draw.random()) for _ in sessions]
            labels = [draw_labels(draw, home, each) for each in names]
            ways = zip(tabs, sessions, labels)
            await asyncio.gather(*(self.tab(*way, stage, viewer, stay) for way in ways))
            last.update({(stage, each): now_ms() for each in sessions})
            await self.pause(draw.choice([0.2, draw.uniform(1, 5), draw.uniform(5, 15)]))

    async def tab(self, draw, session, labels, stage, viewer, stay):
        """Watches for a while by one session, and ends as browsers do."""
        link, until = Http(self.port), now_ms() + 1000 * stay * draw.uniform(0.3, 1)
        # Most players beat when they are asked to, some tabs are hidden, a few lose their network.
        habit = draw.choices(["asked", "hidden", "lost"], [8, 2, 1])[0]
        while now_ms() < until and not self.is_over:
            wait = await self.send(link, "beat", stage, viewer, session, labels)
            if wait is None:
                wait = draw.uniform(0.3, 1.5)
            elif habit == "hidden":
                wait = draw.uniform(3.5, 6.5)
            elif habit == "lost" and draw.random() < 0.2:
                wait = draw.uniform(5, 12)
            await self.pause(wait)
        end = draw.choices(["leave", "leave all", "silence", "reload"], [4, 2, 3, 1])[0]
        if end == "reload":
            await self.send(link, "leave", stage, viewer, session)
            await self.pause(draw.uniform(0.1, 1.5))
            await self.send(link, "beat", stage, viewer, session, labels)
        elif end != "silence":
            one = session if end == "leave" else ""
            if await self.send(link, "leave", stage, viewer, one) is None:
                await self.pause(0.5)
                await self.send(link, "leave", stage, viewer, one)
        link.close()

    async def keep(self, viewer):
        link = Http(self.port)
        while True:
            wait = await self.send(link, "beat", STAGES[0], viewer, "")
            await asyncio.sleep(1 if wait is None else wait)

    async def relay(self):
        """Sends the heartbeats of many viewers in one call."""
        link, draw = Http(self.port), random.Random(f"{self.seed} relay")
        while not self.is_over:
            watching = draw.sample(range(RELAYED), draw.randint(RELAYED // 2, RELAYED))
            some = [self.relayed(each) for each in watching]
            sent = now_ms()
            try:
                status, answer = await link.call("POST", "/v1/heartbeats", some)
            except Broken:
                status, answer = 0, None
            done = now_ms()
            refused = {each["index"] for each in (answer or {}).get("rejected", ())}
            # The answer does not say which beats were coalesced.
            is_known = status == 200 and not answer.get("coalesced")
            for place, each in enumerate(some):
                code = 429 if status == 200 and place in refused else status
                one = {"kind": "beat", **each, "session": "", "sent": sent, "done": done}
                self.requests.append({**one, "status": code, "isKnown": is_known})
            await self.pause(draw.uniform(1.5, 2.5))

    @staticmethod
    def relayed(number):
        one = {"stage": STAGES[number % 2], "viewer": f"relayed-{number}"}
        return {**one, "labels": {"country": COUNTRIES[number % 4]}} if number % 3 else one

    async def pause(self, seconds):
        """Sleeps, but not beyond the audience's end."""
        until = now_ms() + 1000 * seconds
        while not self.is_over and (rest := until - now_ms()) > 0:
            await asyncio.sleep(min(rest / 1000, 1.0))


def name_of(stage, name, visits, last):
    """Returns a session's id: the one from before, unless its labels may be half forgotten."""
    pause = now_ms() - last.get((stage, name), 0)
    return name if pause < 25_000 or pause > 240_000 else f"{name or 'tab'}-{visits}"


def draw_labels(draw, home, session):
    """Draws the labels of a visit. A session's id comes back later, often with other labels."""
    if draw.random() < 0.1:
        return None
    labels = {"country": home if draw.random() < 0.7 else draw.choice(COUNTRIES)}
    labels["device"] = session or draw.choice(["laptop", "tv"])
    for key in list(labels):
        if draw.random() < 0.12:
            del labels[key]
    return labels


class Onlooker:
    """Reads one node's counts all the time, asking it directly."""

    def __init__(self, place, port, seed, answers):
        self.place, self.port, self.answers = place, port, answers
        self.draw = random.Random(f"{seed} onlooker {place}")
        self.latest = None

    async def run(self):
        link, turn = Http(self.port), 0
        while True:
            stage = STAGES[turn // 4 % len(STAGES)]
            listed = f"/v1/stages/{quote(stage, safe='')}/viewers?limit=1000"
            key = KEYS[turn // 8 % len(KEYS)]
            by_stage = f"/v1/stages/{quote(stage, safe='')}?by={key}"
            paths = ["/v1/stages?limit=1000", f"/v1/stats?by={key}", by_stage, listed]
            path = paths[turn % 4]
            turn += 1
            sent = now_ms()
            try:
                status, answer = await link.call("GET", path, wait=20)
            except Broken:
                status, answer = 0, None
            done = now_ms()
            self.latest = (done, answer) if status == 200 else None
            if status == 200:
                one = {"node": self.place, "path": path, "stage": stage}
                self.answers.append({**one, "sent": sent, "done": done, "answer": answer})
            await asyncio.sleep(self.draw.uniform(0.15, 0.45))

    def is_settled(self, since):
        """Whether the node's latest counts are fresh, complete, and as of a time after `since`."""
        if self.latest is None:
            return False
        done, answer = self.latest
        is_exact = answer["complete"] and not answer["recovering"]
        is_fresh = now_ms() - done < 1500 and done - answer["asOf"] < 1500
        return is_exact and is_fresh and answer["asOf"] > since
