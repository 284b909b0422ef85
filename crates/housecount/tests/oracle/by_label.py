"""Figures by label, compared with the log: live counts, the ledger's bytes, watch time, reports."""

import labels
import rules
from rules import EDGE_MS
from servers import KEYS, TTL_MS

WATCH = {"viewers": "uniqueViewers", "watchMs": "watchMs", "peakViewers": "peakViewers"}


class Sent:
    """Beats that players sent, with their labels."""

    def __init__(self, recording, was_acknowledged, stamp_ms, late_ms):
        self.was_acknowledged, self.stamp_ms, self.late_ms = was_acknowledged, stamp_ms, late_ms
        self.beats = {}  # session -> requests, and their labels
        for request in recording["requests"]:
            if request["kind"] == "beat":
                who = request["stage"], request["viewer"], request["session"]
                one = request, labels.of_request(request.get("labels"))
                self.beats.setdefault(who, []).append(one)

    def check(self, events, report):
        """Labels of the log were sent at that time, and a session has those of its first beat."""
        self.check_claims(events, report)
        of_log, changed, several, labelled, unknown = labels.Labels(events), 0, 0, 0, 0
        count = 0
        for session, stays in of_log.stays.items():
            for stay in stays:
                every = self.check_stay(session, stay, report)
                changed += any(each != every[0] for each in every)
                several += len(stay.candidates(rules.NEVER, rules.NEVER)) > 1
                labelled += bool(stay.seen)
                unknown += stay.is_unknown()
            count += len(stays)
        report.figures["sessions with labels"] = f"{labelled} of {count}"
        report.figures["sessions with unknown labels"] = unknown
        report.figures["sessions that sent other labels later"] = changed
        report.figures["sessions with two right answers"] = several
        return of_log

    def check_claims(self, events, report):
        """Labels of the log were sent, and those of a leave are those of a beat before it."""
        claims = events.claims
        for session, seen in claims.labels.items():
            for at, found in seen:
                some = labels.pairs(found)
                beats = self.beats.get(session, [])
                times = [each["sent"] for each, sent in beats if sent == some]
                if not any(sent - self.stamp_ms <= at <= sent + self.late_ms for sent in times):
                    report.differs("labels of the log were never sent", f"{session} {at} {found}")
        for session, at, seen in claims.by_leaves:
            if (session, seen) not in claims.by_beats:
                text = f"{session} leaves at {at}: {seen}"
                report.differs("a leave has labels that no beat of its session has", text)
        leaves = sum(
            len(times)
            for who, sessions in events.leaves.items()
            for session, times in sessions.items()
            if (*who, session) in claims.labels
        )
        count = len({each[:2] for each in claims.by_leaves})
        text = f"{count} of {leaves} of sessions with labels"
        report.figures["leaves with labels"] = text

    def check_stay(self, session, stay, report):
        """Checks one session; returns all labels that were sent."""
        beats = self.beats.get(session, [])
        # A beat that has no answer may have been the first.
        begin = stay.begin - self.late_ms
        beats = [each for each in beats if begin <= each[0]["sent"] <= stay.end + self.stamp_ms]
        done = [each["done"] for each, _ in beats if self.was_acknowledged(each)]
        first = done[0] if done else rules.NEVER
        every = [some for _, some in beats]
        early = [some for each, some in beats if each["sent"] <= first]
        # A session that began without labels gets those that it has when it comes back.
        allowed = every if [] in early else early
        final = stay.candidates(rules.NEVER, rules.NEVER)
        is_whole = len(stay.linked) == 1 and not stay.after
        if is_whole and not any(labels.pairs(each) in allowed for each in final):
            text = f"{session} from {stay.begin}: {final}, sent at first {early}"
            report.differs("labels are not those of the first beat", text)
        return every


class LiveCheck:
    """Compares live counts by label."""

    def __init__(self, of_log, report):
        self.of_log, self.report = of_log, report
        self.compared = self.exact = 0

    def compare(self, name, answer, must, may, until):
        """Compares the values of an answer; sessions are (stage, viewer, session)."""
        key, certain = answer["by"]["key"], answer["asOf"] - EDGE_MS
        low, high = self.of_log.bounds(key, must, may, certain, until + EDGE_MS)
        found = {row["value"]: row["viewers"] for row in answer["by"]["values"]}
        if "omitted" in answer["by"] or "belowFloor" in answer["by"]:
            self.report.differs("values by label are left out", name)
        for value in {*low, *high, *found}:
            count = found.get(value, 0)
            least, most = len(low.get(value, ())), len(high.get(value, ()))
            self.compared += 1
            self.exact += least == most
            if count < least:
                text = f"{name} {key}={value}: {count}, at least {least}"
                self.report.differs("viewers of a label too low", text)
            if count > most and not answer["recovering"]:
                text = f"{name} {key}={value}: {count}, at most {most}"
                self.report.differs("viewers of a label too high", text)

    def end(self):
        text = f"{self.compared}, {self.exact} with one right answer"
        self.report.figures["live counts by label"] = text


def check_ledger(recording, events, of_log, entries, report):
    """The ledger's time of each value is what the log proves, and nodes answer the same."""
    end, exact, loose = recording["end"], 0, 0
    for key in KEYS:
        low, high = of_log.proven(events, key, TTL_MS)
        ledger, whole = {}, {}
        for entry in entries:
            for value in entry.values(key):
                whole.setdefault((entry.stage, entry.viewer, value), []).extend(entry.spans)
        for who, spans in whole.items():
            spans.sort()
            if any(one[1] > other[0] for one, other in zip(spans, spans[1:])):
                report.differs("spans of a label overlap", f"{key} {who} {spans}")
            ledger[who] = rules.merged(spans)
        for who in sorted({*low, *high, *ledger}, key=str):
            least = rules.clipped(rules.merged(low.get(who, [])), 0, end)
            most = rules.clipped(rules.merged(high.get(who, [])), 0, end)
            found = rules.clipped(ledger.get(who, []), 0, end)
            exact, loose = exact + (least == most), loose + (least != most)
            if rules.merged(least + found) != found or rules.merged(most + found) != most:
                text = f"{key} {who}: must {least}, may {most}, there {found}"
                report.differs("watch time of a label by the ledger's bytes", text)
        check_answers(recording, key, ledger, report)
    report.figures["rows of watch time by label"] = f"{exact} exact, {loose} with bounds"


def check_answers(recording, key, ledger, report):
    """Compares figures by label of nodes and of the export with the ledger's bytes."""
    for one in recording["by"]:
        if one["key"] != key:
            continue
        truth = {}
        for (stage, viewer, value), spans in ledger.items():
            if one["stage"] in (None, stage):
                truth.setdefault(value, []).append((viewer, spans))
        wanted = {}
        for value, rows in truth.items():
            computed = labels.figures(rows, one["from"], one["to"], TTL_MS)
            if computed["watchMs"]:
                wanted[value] = computed
        found = {row["value"]: row for row in one["values"]}
        if len(found) != len(one["values"]) or set(found) != set(wanted):
            text = f"{one['name']}: {sorted(map(str, found))}, not {sorted(map(str, wanted))}"
            report.differs("other values by label", text)
        for value in set(found) & set(wanted):
            for name, figure in found[value].items():
                name = WATCH.get(name, name) if one["kind"] == "watch" else name
                if name in wanted[value] and figure != wanted[value][name]:
                    text = f"{one['name']} {key}={value} {name}: {figure}"
                    text += f", not {wanted[value][name]}"
                    report.differs("figures by label", text)
