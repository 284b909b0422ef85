"""Labels of sessions by docs/FORMATS.md, and figures by label by docs/API.md.

Labels are (keys, values), both tuples, as the log has them; NONE stands for a session without any.
"""

from bisect import bisect_right

import rules

NONE = ((), ())
# Nodes keep a session's labels at least while the log has its beats (5 ttl + window). They have
# forgotten them once nothing can reach the session's time any more (`lateness_max`, and the log's
# time after that). Between both, either is right.
REMEMBERED_MS, FORGOTTEN_MS = 40_000, 180_000


def value_of(labels, key):
    """Returns the value of a key, or None."""
    keys, values = labels
    return (values[keys.index(key)] or None) if key in keys else None


def of_request(labels):
    """Returns labels of a request as pairs without empty values, to compare them."""
    return sorted((key, value) for key, value in (labels or {}).items() if value)


def pairs(labels):
    return sorted((key, value) for key, value in zip(*labels) if value)


class Stay:
    """A session's beats without a pause after which its labels may be forgotten."""

    def __init__(self, begin, before):
        self.begin = self.end = begin
        # Stays whose labels may count here too, the earliest first, and this one.
        self.linked = [*before, self]
        self.after, self.seen, self.known_since, self.is_denied = [], [], None, False
        for each in before:
            each.after.append(self)

    def candidates(self, certain, until):
        """Returns the labels that the session may have for a reader.

        The reader has the log up to `certain`, and perhaps some of it up to `until`.
        """
        found = set()
        for place in range(len(self.linked)):
            best = None
            for stay in self.linked[place:] + self.after:
                # Later labels count for this stay only if it is not forgotten by then.
                if best is None and stay in self.after:
                    found.add(NONE)
                for _, labels, since in stay.seen:
                    if best is None and since <= until:
                        found.add(labels)
                        best = labels if since <= certain else None
            if best is None:
                found.add(NONE)
        return found

    def is_unknown(self):
        """Whether the log has only beats by handle, and leaves without labels."""
        every = self.linked + self.after
        return not any(stay.seen or stay.is_denied for stay in every)

    def labelled_from(self):
        """Returns when its labels were first seen. Time before may lack them in the ledger."""
        firsts = []
        for place in range(len(self.linked)):
            seen = [at for stay in self.linked[place:] + self.after for at, *_ in stay.seen]
            firsts += seen[:1]
        return max(firsts, default=0)

    def ever(self):
        """Returns all labels that it has had for a reader of the log, at some time."""
        found = self.candidates(rules.NEVER, rules.NEVER)
        sinces = {since for stay in self.linked + self.after for _, _, since in stay.seen}
        for moment in sinces | {self.known_since}:
            found |= self.candidates(max(moment, self.known_since), max(moment, self.known_since))
        return found


def stays_of(beats, seen, denied):
    """Splits a session's beats {at: since}, with its labels {(first seen, labels): since}.

    `denied` are times of beats that say that it has none.
    """
    found = []
    for at in sorted(beats):
        pause = at - found[-1].end if found else FORGOTTEN_MS
        if pause > REMEMBERED_MS:
            found.append(Stay(at, found[-1].linked if pause < FORGOTTEN_MS else []))
        stay = found[-1]
        stay.end = at
        stay.known_since = min(beats[at], stay.known_since or beats[at])
        stay.is_denied |= at in denied
    begins = [stay.begin for stay in found]
    for (at, labels), since in sorted(seen.items()):
        place = max(bisect_right(begins, at), 1)
        found[place - 1].seen.append((at, labels, since))
    return found


class Labels:
    """The labels of all sessions, as the log has them."""

    def __init__(self, events):
        self.stays, claims = {}, events.claims
        for who, sessions in events.sessions.items():
            for session, beats in sessions.items():
                one = (*who, session)
                seen, denied = claims.labels.get(one, {}), claims.denied.get(one, ())
                self.stays[one] = stays_of(beats, seen, denied)

    def candidates(self, session, certain, until):
        """Returns the labels that a session may have in an answer."""
        begun = [stay for stay in self.stays[session] if stay.begin <= until]
        return (begun or self.stays[session])[-1].candidates(certain, until)

    def bounds(self, key, must, may, certain, until):
        """Returns the viewers of each value that an answer must have, and may have."""
        low, high = {}, {}
        for session in may:
            found = {value_of(each, key) for each in self.candidates(session, certain, until)}
            for value in found:
                high.setdefault(value, set()).add(session[1])
            if session in must and len(found) == 1:
                low.setdefault(found.pop(), set()).add(session[1])
        return low, high

    def proven(self, events, key, ttl):
        """Returns the spans of each (stage, viewer, value): those that must be there, and those
        that may be.

        They differ where a session's labels changed for readers of the log, such as by a late
        beat: what was written before then remains. For unknown labels nothing must be there.
        """
        low, high = {}, {}
        for (*who, session), stays in self.stays.items():
            beats, who = sorted(events.sessions[*who,][session]), tuple(who)
            leaves = sorted(events.leaves_of(who, session))
            for stay in stays:
                some = [at for at in beats if stay.begin <= at <= stay.end]
                near = [at for at in leaves if stay.begin <= at <= stay.end + ttl]
                spans = rules.proof(some, near, ttl)
                ever = {value_of(each, key) for each in stay.ever()}
                final = stay.candidates(rules.NEVER, rules.NEVER)
                final = {value_of(each, key) for each in final}
                for value in ever:
                    high.setdefault((*who, value), []).extend(spans)
                if len(final) == 1 and not stay.is_unknown():
                    sure = rules.clipped(spans, stay.labelled_from(), rules.NEVER)
                    low.setdefault((*who, final.pop()), []).extend(sure)
        return low, high


# Figures by label, from spans.


def views(spans, ttl):
    """Joins spans with gaps of at most `ttl`: the views of a viewer."""
    found = []
    for begin, end in spans:
        if found and begin - found[-1][1] <= ttl:
            found[-1][1] = end
        else:
            found.append([begin, end])
    return found


def peak(all_spans):
    """Returns the most spans at once."""
    changes = sorted(change for begin, end in all_spans for change in ((begin, 1), (end, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def figures(rows, begin, end, ttl):
    """Computes the figures of a report of (viewer, spans) in [begin, end)."""
    times, within, whole = {}, [], []
    for viewer, spans in rows:
        cut = rules.clipped(spans, begin, end)
        if cut:
            times[viewer] = times.get(viewer, 0) + rules.total(cut)
            within += cut
        whole += views(spans, ttl)
    ranked = sorted(times.values())

    def rank(percent):
        return ranked[-(-len(ranked) * percent // 100) - 1] if ranked else 0

    return {
        "uniqueViewers": len(ranked),
        "watchMs": sum(ranked),
        "medianWatchMs": rank(50),
        "p90WatchMs": rank(90),
        "peakViewers": peak(within),
        "joins": sum(begin <= first < end for first, _ in whole),
        "leaves": sum(begin < last <= end for _, last in whole),
        "views": sum(first < end and last > begin for first, last in whole),
    }
