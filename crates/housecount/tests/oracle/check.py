"""The oracle: what the log and the players prove, compared with what nodes answered and wrote.

A recording has the log's records as they were tailed, all requests of players, all answers to
onlookers, and the table's items. Checks read nothing else.
"""

import random
import zlib
from bisect import bisect_left
from urllib.parse import unquote

import by_label
import formats
import rules
import table
from redis_link import decoded
from rules import EDGE_MS
from servers import GRACE_MS, TTL_MS

# A node that was frozen or cut off may take a request long after its player has given up.
LATE_MS = 60_000
# A node stamps by the log's clock as it knows it. That may be behind by the fastest one-way delay
# that the node has seen: a lot where it has just started on a busy machine.
STAMP_MS = 500
EXAMPLES = 5


class Report:
    """Differences by kind, and figures."""

    def __init__(self):
        self.differences, self.figures = {}, {}

    def differs(self, kind, text):
        self.differences.setdefault(kind, []).append(text)

    @property
    def count(self):
        return sum(map(len, self.differences.values()))

    def lines(self):
        for name, value in self.figures.items():
            yield f"{name}: {value}"
        for kind, texts in self.differences.items():
            yield f"DIFFERENCES: {kind}: {len(texts)}"
            yield from (f"  {text}" for text in texts[:EXAMPLES])
        yield f"differences: {self.count}"


def resolved(recording, report):
    """Decodes the tailed log; returns the events of each record, and its position in ms.

    Handles are resolved by every key that the log had. The last field of an event is empty for a
    beat by handle. Others have their labels there, or None.
    """
    ids = {(each["stage"], each["viewer"], each["session"]) for each in recording["requests"]}
    read = list(decoded(recording["records"]))
    for *_, record in read:
        if isinstance(record, formats.Record):
            ids |= {tuple(event[2:]) for event in record.events}
    named = {formats.handle(key, *each): each for key in recording["keys"] for each in ids}
    found, by_handle = [], 0
    for partition, position, record in read:
        events = []
        found.append((position, events))
        if isinstance(record, formats.FormatError):
            report.differs("a record of the log is not as documented", f"{position}: {record}")
            continue
        for (kind, at, *who), seen in zip(record.events, record.labels):
            if zlib.crc32(who[1].encode()) % recording["partitions"] != partition:
                report.differs("an event in another partition", f"{partition} {position}: {who}")
            if kind == formats.DISPLACEMENT:
                report.differs("a displacement without a limit of streams", f"{position}: {who}")
                continue
            events.append((kind == formats.LEAVE, at, *who, (seen,)))
        for at, handle in record.beats:
            if handle in named:
                events.append((False, at, *named[handle], ()))
            else:
                report.differs("a handle that stands for no session", f"{position}: {handle.hex()}")
        by_handle += len(record.beats)
    leaves = sum(event[0] for _, events in found for event in events)
    beats = sum(len(events) for _, events in found) - leaves
    report.figures["records"] = len(read)
    report.figures["beats in the log"] = f"{beats}, {by_handle} of them by handle"
    report.figures["leaves in the log"] = leaves
    report.figures["keys of handles"] = len(recording["keys"])
    return found


def events_of(recording, report):
    """Folds the tailed log."""
    events = rules.Events()
    for position, some in resolved(recording, report):
        for *event, labels in some:
            events.add(*event, position)
            for seen in labels:
                events.claims.add(*event[:2], tuple(event[2:]), seen, position)
    return events


def was_acknowledged(request):
    if request["kind"] == "leave":
        return request.get("status") == 204
    is_coalesced = (request.get("answer") or {}).get("coalesced")
    is_known = request.get("isKnown", True)
    return request.get("status") == 200 and is_known and not is_coalesced


def check_players(recording, events, report):
    """Every acknowledged event is in the log, and every event of the log was sent.

    Returns the events that were sent. All that follows is computed from these alone.
    """
    sent, acknowledged, behind = {}, 0, 0
    for request in recording["requests"]:
        who = request["stage"], request["viewer"]
        is_leave = request["kind"] == "leave"
        until = request.get("done", request["sent"] + LATE_MS)
        first = request["sent"] - STAMP_MS
        may_be_late = request.get("status", 0) not in (200, 204)
        last = max(until, request["sent"] + LATE_MS) if may_be_late else until + EDGE_MS
        sent.setdefault((is_leave, *who, request["session"]), []).append((first, last))
        if was_acknowledged(request):
            acknowledged += 1
            of = events.leaves if is_leave else events.sessions
            times = of.get(who, {}).get(request["session"], {})
            fits = [at for at in times if first <= at <= last]
            if fits:
                behind = max(behind, request["sent"] - max(fits))
            else:
                report.differs("an acknowledged event is not in the log", f"{request}")
    real, others = rules.Events(), []
    for is_leave, of in ((False, events.sessions), (True, events.leaves)):
        for who, sessions in of.items():
            for session, times in sessions.items():
                spans = sent.get((is_leave, *who, session), ())
                for at, since in times.items():
                    if any(first <= at <= last for first, last in spans):
                        real.add(is_leave, at, *who, session, since)
                    else:
                        others.append((is_leave, at, *who, session))
    real.claims = events.claims
    for is_leave, at, *who, session in others:
        # Nodes that write a lost log again keep a run of beats by beats a ttl apart.
        beats = sorted(real.sessions.get(tuple(who), {}).get(session, ()))
        place = bisect_left(beats, at)
        if is_leave or not 0 < place < len(beats) or beats[place] - beats[place - 1] > TTL_MS:
            text = f"{'leave' if is_leave else 'beat'} {who} {session!r} at {at}"
            report.differs("an event of the log was never sent", text)
    report.figures["beats within others that nodes filled in"] = len(others)
    statuses = {}
    for request in recording["requests"]:
        status = request.get("status", "open")
        statuses[status] = statuses.get(status, 0) + 1
    report.figures["requests"] = f"{len(recording['requests'])}, by status {statuses}"
    report.figures["acknowledged"] = acknowledged
    report.figures["most that a stamp is before its request"] = f"{behind} ms"
    report.figures["viewers"] = len({request["viewer"] for request in recording["requests"]})
    return real


def certain(recording):
    """Returns spans that acknowledgements alone prove."""
    beats, found = {}, {}
    for request in recording["requests"]:
        if request["kind"] == "beat" and was_acknowledged(request):
            who = request["stage"], request["viewer"]
            one = request["sent"] - STAMP_MS, request["done"]
            beats.setdefault((who, request["session"]), []).append(one)
    for (who, _), times in beats.items():
        for (sent, done), (next_sent, next_done) in zip(times, times[1:]):
            if next_done - sent <= TTL_MS and done < next_sent:
                found.setdefault(who, []).append([done, next_sent])
    return {who: rules.merged(spans) for who, spans in found.items()}


def check_ledger(recording, events, of_log, report):
    """The ledger's spans are what the log proves, to the millisecond, by three ways of reading."""
    end = recording["end"]
    truth = clip(events.proven(TTL_MS), end)
    report.figures["watch time"] = f"{sum(map(rules.total, truth.values()))} ms"
    report.figures["rows of watch time"] = len(truth)
    report.figures["spans"] = sum(map(len, truth.values()))
    try:
        chunks = [list(table.whole_chunks(items)) for items in recording["ledgers"]]
        entries = [entry for each in chunks for entry in table.book(each).proven]
    except (formats.FormatError, KeyError, ValueError) as error:
        report.differs("the ledger cannot be read as documented", f"{error!r}")
        return
    sizes = [len(data) for each in chunks for _, data, _ in each]
    report.figures["chunks"] = f"{len(sizes)}, {sum(sizes)} bytes"
    extras = sum(entry.is_extra for entry in entries)
    report.figures["entries"] = f"{len(entries)}, {extras} of them extra"
    ledger = table.spans_of(entries)
    for who, spans in ledger.items():
        if any(begin >= end_ for begin, end_ in spans) or overlap(spans):
            report.differs("spans of the ledger overlap", f"{who} {spans}")
    ways = {"the ledger's bytes": ledger}
    for name, rows in recording["watch"].items():
        ways[name] = {tuple(who): spans for who, spans in rows}
    for name, spans in ways.items():
        compare(truth, clip(spans, end), name, report)
    for who, spans in certain(recording).items():
        for span in rules.clipped(spans, 0, end):
            if rules.total(rules.clipped(truth.get(who, []), *span)) != span[1] - span[0]:
                report.differs("acknowledged time is not proven", f"{who} {span}")
    for items, chunks_seen in zip(recording["ledgers"], recording["early"]):
        for name, early in chunks_seen.items():
            if items.get(name, {}).get("chunk") != early:
                report.differs("a chunk changed after it was written", name)
    by_label.check_ledger(recording, events, of_log, entries, report)


def overlap(spans):
    return any(one[1] > next_[0] for one, next_ in zip(spans, spans[1:]))


def clip(spans, end):
    cut = {who: rules.clipped(rules.merged(each), 0, end) for who, each in spans.items()}
    return {who: each for who, each in cut.items() if each}


def compare(truth, found, name, report):
    for who in sorted(set(truth) | set(found)):
        one, other = truth.get(who, []), found.get(who, [])
        if one != other:
            lacks = [span for span in one if span not in other]
            more = [span for span in other if span not in one]
            report.differs(f"watch time by {name}", f"{who}: log only {lacks}, there only {more}")


def check_counts(recording, events, of_log, report, share):
    """Counts called complete are never low, and never high unless they are also recovering."""
    presence, draw = rules.Presence(events, TTL_MS, GRACE_MS), random.Random(1)
    stages, live = sorted(presence.stages), by_label.LiveCheck(of_log, report)
    figures = {"complete": 0, "with one right answer": 0, "incomplete": 0}

    def compare_count(name, answer, must, may, found):
        figures["complete"] += 1
        low = {"viewers": len({each[0] for each in must}), "sessions": len(must)}
        high = {"viewers": len({each[0] for each in may}), "sessions": len(may)}
        figures["with one right answer"] += low["viewers"] == high["viewers"]
        for what, value in zip(low, found):
            if value < low[what]:
                text = f"{name}: {value}, at least {low[what]}"
                report.differs(f"{what} of a complete count too low", text)
            if value > high[what] and not answer["recovering"]:
                text = f"{name}: {value}, at most {high[what]}"
                report.differs(f"{what} of a complete count too high", text)

    for one in recording["answers"]:
        answer, as_of, until = one["answer"], one["answer"]["asOf"], one["done"]
        if not answer["complete"]:
            figures["incomplete"] += 1
            continue
        name = f"node {one['node']} {one['path']} asOf {as_of} received {until}"
        if one["path"].startswith("/v1/stages?"):
            rows = {row["stage"]: row for row in answer["stages"]}
            for stage in stages:
                row = rows.get(stage, {"viewers": 0, "sessions": 0})
                bounds = presence.bounds(stage, as_of, until)
                compare_count(f"{name} {stage}", answer, *bounds, (row["viewers"], row["sessions"]))
        elif one["path"].startswith("/v1/stats"):
            must, may = set(), set()
            for stage in stages:
                low, high = presence.bounds(stage, as_of, until)
                must |= {(viewer, (stage, session)) for viewer, session in low}
                may |= {(viewer, (stage, session)) for viewer, session in high}
            compare_count(name, answer, must, may, (answer["viewers"], answer["sessions"]))
            ids = ({(each[1][0], each[0], each[1][1]) for each in some} for some in (must, may))
            live.compare(name, answer, *ids, until)
        elif "?by=" in one["path"]:
            must, may = presence.bounds(one["stage"], as_of, until)
            compare_count(name, answer, must, may, (answer["viewers"], answer["sessions"]))
            ids = ({(one["stage"], *each) for each in some} for some in (must, may))
            live.compare(name, answer, *ids, until)
        else:
            stage = unquote(one["path"].split("/")[3])
            must, may = presence.bounds(stage, as_of, until, is_list=True)
            rows = {row["viewer"]: row["sessions"] for row in answer["viewers"]}
            listed = {(viewer, each) for viewer, sessions in rows.items() for each in sessions}
            compare_count(name, answer, must, may, (len(rows), len(listed)))
            if must - listed:
                report.differs("a list lacks sessions", f"{name}: {sorted(must - listed)}")
            if not answer["recovering"] and listed - may:
                report.differs("a list has others' sessions", f"{name}: {sorted(listed - may)}")
    for request in recording["requests"]:
        answer = request.get("answer")
        if answer is None or draw.random() > share:
            continue
        if not answer["complete"]:
            figures["incomplete"] += 1
            continue
        must, may = presence.bounds(request["stage"], answer["asOf"], request["done"])
        must = must | {(request["viewer"], request["session"])}
        name = f"answer to {request['viewer']} {request['session']!r} on {request['stage']}"
        name += f" sent {request['sent']} asOf {answer['asOf']} received {request['done']}"
        compare_count(name, answer, must, may | must, (answer["viewers"], answer["sessions"]))
    live.end()
    report.figures["counts"] = ", ".join(f"{value} {name}" for name, value in figures.items())


def check(recording, share=1.0):
    """Runs all checks; `share` of the players' answers are compared."""
    report = Report()
    for problem in recording["problems"]:
        report.differs("the run", problem)
    events = events_of(recording, report)
    events = check_players(recording, events, report)
    sent = by_label.Sent(recording, was_acknowledged, STAMP_MS, LATE_MS)
    of_log = sent.check(events, report)
    check_ledger(recording, events, of_log, report)
    if share:
        check_counts(recording, events, of_log, report, share)
    return report
