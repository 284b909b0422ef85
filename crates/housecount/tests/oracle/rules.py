"""The rules of docs/API.md: who is online, and which watch time is proven.

A session is (stage, viewer, session). Its events are given as sorted times: beats, and leaves with
those that name no session and so end all of the viewer's sessions on the stage.
"""

from bisect import bisect_right


def merged(spans):
    """Joins spans that touch or overlap."""
    found = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return found


def clipped(spans, begin, end):
    """Returns the parts of spans within a range."""
    cut = [[max(begin, first), min(end, last)] for first, last in spans]
    return [span for span in cut if span[0] < span[1]]


def total(spans):
    return sum(end - begin for begin, end in spans)


def proof(beats, leaves, ttl):
    """Watch time of a session: between beats at most `ttl` apart, and from the last beat to a
    leave at most `ttl` later."""
    spans = [[one, next_] for one, next_ in zip(beats, beats[1:]) if 0 < next_ - one <= ttl]
    for leave in leaves:
        place = bisect_right(beats, leave)
        if place and 0 < leave - beats[place - 1] <= ttl:
            spans.append([beats[place - 1], leave])
    return spans


class Claims:
    """What the log's events say of the labels of sessions (stage, viewer, session)."""

    def __init__(self):
        self.labels = {}  # session -> {(first seen, labels): since}, by beats and leaves
        self.by_beats = set()  # (session, (first seen, labels))
        self.by_leaves = set()  # (session, time of the leave, (first seen, labels))
        self.denied = {}  # session -> times of beats with ids and without labels

    def add(self, is_leave, at, session, seen, since):
        """Adds labels that an event of the log has at `since`: (when they were first seen, labels).

        Without labels, a beat with ids says that its session has none. A leave says nothing.
        """
        if seen:
            of = self.labels.setdefault(session, {})
            of[seen] = min(since, of.get(seen, since))
            if is_leave:
                self.by_leaves.add((session, at, seen))
            else:
                self.by_beats.add((session, seen))
        elif not is_leave:
            self.denied.setdefault(session, set()).add(at)


class Events:
    """All events that are known, by session, each with the time from which a reader had it."""

    def __init__(self):
        self.sessions = {}  # (stage, viewer) -> {session: {at: since}}
        self.leaves = {}  # (stage, viewer) -> {session: {at: since}}, "" ends all
        self.claims = Claims()

    def add(self, is_leave, at, stage, viewer, session, since):
        """Adds an event that the log has at `since`."""
        of = self.leaves if is_leave else self.sessions
        times = of.setdefault((stage, viewer), {}).setdefault(session, {})
        times[at] = min(since, times.get(at, since))

    def leaves_of(self, viewer, session):
        """Returns a session's leaves: its own, and those of all the viewer's sessions."""
        of = self.leaves.get(viewer, {})
        found = dict(of.get("", {}))
        if session:
            for at, since in of.get(session, {}).items():
                found[at] = min(since, found.get(at, since))
        return found

    def proven(self, ttl):
        """Returns the spans of each (stage, viewer) with watch time."""
        found = {}
        for viewer, sessions in self.sessions.items():
            spans = []
            for session, beats in sessions.items():
                spans += proof(sorted(beats), sorted(self.leaves_of(viewer, session)), ttl)
            if spans:
                found[viewer] = merged(spans)
        return found


# Times are whole milliseconds. At the very millisecond either answer is right.
EDGE_MS = 2
NEVER = 1 << 62


class Presence:
    """Bounds of who is online, for answers of nodes."""

    def __init__(self, events, ttl, grace):
        self.ttl, self.grace = ttl, grace
        # stage -> second -> sessions with a beat in it, each with sorted beats and leaves as
        # (at, since)
        self.stages = {}
        for viewer, sessions in events.sessions.items():
            for session, beats in sessions.items():
                leaves = sorted(events.leaves_of(viewer, session).items())
                one = (viewer[1], session, tuple(sorted(beats.items())), tuple(leaves))
                seconds = self.stages.setdefault(viewer[0], {})
                for second in {at // 1000 for at in beats}:
                    seconds.setdefault(second, {})[one[:2]] = one

    def bounds(self, stage, as_of, until, is_list=False):
        """Returns the sessions that an answer must have, and those that it may have.

        It must have all of the log at `as_of`, and may have what came until it was received. A list
        is read in slices, so it must have only those who are online until it was received.
        """
        must, may, recent, seconds = set(), set(), {}, self.stages.get(stage, {})
        first, last = as_of - EDGE_MS - self.ttl, until + EDGE_MS
        for second in range(first // 1000, last // 1000 + 1):
            recent.update(seconds.get(second, {}))
        for viewer, session, beats, leaves in recent.values():
            low, high = self._online(beats, leaves, as_of, until, until if is_list else as_of)
            if high:
                may.add((viewer, session))
                if low:
                    must.add((viewer, session))
        return must, may

    def _online(self, beats, leaves, as_of, until, throughout):
        certain, over = as_of - EDGE_MS, throughout + EDGE_MS
        place = bisect_right(beats, (until + EDGE_MS, NEVER))
        last = beats[place - 1][0] if place else 0
        if last + self.ttl < certain:
            return False, False
        known = 0
        while place and not known and beats[place - 1][0] + self.ttl > over:
            place -= 1
            known = beats[place][0] if beats[place][1] <= certain else 0
        may_be_gone = any(at >= known - EDGE_MS and at + self.grace <= over for at, _ in leaves)
        is_gone = any(
            since <= certain and at > last + EDGE_MS and at + self.grace < certain
            for at, since in leaves
        )
        return bool(known) and not may_be_gone, not is_gone
