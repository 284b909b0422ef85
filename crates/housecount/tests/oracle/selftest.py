"""Proof that the oracle can fail: the document's examples, and recordings that were changed."""

import base64
import copy
import zlib

import check
import formats
import labels
import rules

RECORD = """02 40420f0000000000 02 03 732f31 03 732f32 02
    00 1e 03 616e6e 00 03 00 03 626f62 03 746162 01 09 0102030405060708 0d4d0842"""
# The document's label set, and a beat that refers to it.
LABELLED = """04 40420f0000000000 01 03 732f31
    01 0e 636f756e747279 01 646576696365 01 00 05 4e4f 01 7476 01 00 1e 03 616e6e 00 01 00 00"""
CHUNK = """01 c0843d e807 00 00 a403 46 00 00 01 00 00 02 00 00 00 00 00 06 00
    01 03 07 03 01 03 04 03 ba278aa4ee9d552d0b2f 84b0fd4d"""


def examples():
    """Checks the decoders by the worked examples of docs/FORMATS.md."""
    record = formats.record(bytes.fromhex(RECORD))
    assert record.events == [(0, 1000030, "s/1", "ann", ""), (1, 1000000, "s/2", "bob", "tab")]
    assert record.beats == [(1000009, bytes.fromhex("0102030405060708"))]
    record = formats.record(sealed(bytes.fromhex(LABELLED) + bytes(4)))
    assert record.labels == [(1000030, (("country", "device"), ("NO", "tv")))]
    assert formats.handle(7, "s/1", "ann", "").hex() == "50762c048fac6b86"
    book = formats.Book()
    book.add(bytes.fromhex(CHUNK))
    found = {(entry.viewer, entry.is_open): entry.spans for entry in book.entries}
    ann, bob = [[1_000_100, 1_001_000]], [[1_000_250, 1_000_700]]
    assert found == {("ann", True): ann, ("bob", False): bob}
    labels_of_leaves()


# Two beats of `ann` on `s/1` by handle, 2 s apart, and then one event with ids.
BY_HANDLE = "02 40420f0000000000 00 00 02 00 50762c048fac6b86 d00f 50762c048fac6b86"
HEAD, ANN = "40420f0000000000 01 03 732f31", "03 616e6e 00"
SETS = "01 07 636f756e747279 01 00 02 4e4f"
NORWAY = (("country",), ("NO",))
# The event, 3 s after the first beat: whether its session's labels are unknown, its labels, and
# the time of each country that must be in the ledger.
LAST = {
    "02 HEAD 01 01 b817 ANN 00": (True, labels.NONE, {}),  # a leave
    "02 HEAD 01 00 b817 ANN 00": (False, labels.NONE, {None: [[1_000_000, 1_003_000]]}),  # a beat
    # Leaves with labels that were first seen 3,001 ms and 1 s before. Time from before they were
    # seen may have been written without them.
    "04 HEAD SETS 01 01 b817 ANN 01 b917 00": (False, NORWAY, {"NO": [[1_000_000, 1_003_000]]}),
    "04 HEAD SETS 01 01 b817 ANN 01 e807 00": (False, NORWAY, {"NO": [[1_002_000, 1_003_000]]}),
}


def labels_of_leaves():
    """Checks which labels a session has by the last record of a log that begins without them."""
    for last, wanted in LAST.items():
        last = last.replace("HEAD", HEAD).replace("SETS", SETS).replace("ANN", ANN)
        both = [sealed(bytes.fromhex(each) + bytes(4)).hex() for each in (BY_HANDLE, last)]
        records = [{"partition": 0, "id": "1003000-0", "bytes": each} for each in both]
        log = {"requests": [], "keys": [7], "partitions": 1, "records": records}
        report = check.Report()
        events = check.events_of(log, report)
        assert report.count == 0, report.differences
        of_log = labels.Labels(events)
        [stay] = of_log.stays["s/1", "ann", ""]
        [final] = stay.candidates(rules.NEVER, rules.NEVER)
        low, _ = of_log.proven(events, "country", 3000)
        low = {who[2]: rules.merged(spans) for who, spans in low.items()}
        assert (stay.is_unknown(), final, low) == wanted, (last, final, low)


def sealed(data):
    """Puts the right CRC-32 behind changed bytes."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def flipped(recording, is_sealed):
    """Flips a bit of a chunk in the middle of the ledger."""
    chunks = chunks_of(recording)
    sk, data = chunks[len(chunks) // 2]
    data = bytearray(data)
    data[-8] ^= 0x10
    return with_chunk(recording, sk, sealed(bytes(data)) if is_sealed else bytes(data))


def chunks_of(recording):
    """Returns (window, bytes) of the first partition's chunks."""
    items = recording["ledgers"][0]
    chunks = [sk for sk in sorted(items) if "#" not in sk]
    return [(sk, base64.b64decode(items[sk]["chunk"]["B"])) for sk in chunks]


def with_chunk(recording, sk, data, **more):
    """Puts other bytes in the place of a chunk, or none."""
    items = dict(recording["ledgers"][0])
    old = items.pop(sk)
    if data is not None:
        items[sk] = {**old, "chunk": {"B": base64.b64encode(data).decode()}, **more}
    return {**recording, "ledgers": [items, *recording["ledgers"][1:]], "early": []}


def without_chunk(recording):
    chunks = chunks_of(recording)
    return with_chunk(recording, chunks[len(chunks) // 2][0], None)


def with_other_label(recording):
    """Changes a country in a chunk, in a way that leaves the chain whole."""
    for sk, data in chunks_of(recording):
        changed = data.replace(b"country\2NO", b"country\2SE", 1)
        if changed != data:
            named = {"N": str(int.from_bytes(data[-4:], "little"))}
            return with_chunk(recording, sk, sealed(changed), named=named)
    return recording


def with_other_label_in_log(recording):
    """Changes a country in a record of the log."""
    records = copy.copy(recording["records"])
    for place, record in enumerate(records):
        data = bytes.fromhex(record["bytes"])
        changed = data.replace(b"NO\1tv", b"SE\1tv", 1)
        if changed != data:
            records[place] = {**record, "bytes": sealed(changed).hex()}
            break
    return {**recording, "records": records}


def with_other_leave(recording, is_time):
    """Changes the labels of a leave by a letter, or the time when they were seen by 1 ms."""
    records = copy.copy(recording["records"])
    for place, one in enumerate(records):
        data = bytes.fromhex(one["bytes"])
        read = formats.record(data)
        carried = [each for each in zip(read.events, read.labels) if each[1]]
        if len(carried) != 1 or carried[0][0][0] != formats.LEAVE:
            continue
        (_, _, _, *ids), (_, (_, values)) = carried[0]
        if is_time:
            # The age stands behind the ids and the one byte of the only label set.
            old = b"".join(bytes([len(text.encode())]) + text.encode() for text in ids)
            at = data.find(old) + len(old) + 1
        else:
            old = "\1".join(values).encode()
            at = data.find(old) + len(old) - 1
        if data.count(old) == 1:
            changed = bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])
            records[place] = {**one, "bytes": sealed(changed).hex()}
            break
    return {**recording, "records": records}


def without_record(recording):
    """Drops a record in the middle of the tailed log that alone has an acknowledged event."""
    records, read = recording["records"], check.resolved(recording, check.Report())
    times, answered = {}, {}
    for _, events in read:
        for is_leave, at, *who, _ in events:
            times.setdefault((is_leave, *who), []).append(at)
    for each in filter(check.was_acknowledged, recording["requests"]):
        who = each["kind"] == "leave", each["stage"], each["viewer"], each["session"]
        within = each["sent"] - check.STAMP_MS, each["done"] + rules.EDGE_MS
        answered.setdefault(who, []).append(within)

    def is_alone(is_leave, at, *who):
        who = (is_leave, *who)
        spans = [span for span in answered.get(who, ()) if span[0] <= at <= span[1]]
        return any(sum(span[0] <= one <= span[1] for one in times[who]) == 1 for span in spans)

    for place in range(len(records) // 2, len(records)):
        if any(is_alone(*event[:-1]) for event in read[place][1]):
            return {**recording, "records": records[:place] + records[place + 1 :]}
    return recording


def with_count(recording, by, is_label):
    """Changes one count that was called complete, or that of a label."""
    answers = copy.copy(recording["answers"])
    for place in range(len(answers) // 2, len(answers)):
        answer = answers[place]["answer"]
        is_exact = answer["complete"] and not answer["recovering"]
        if answers[place]["path"].startswith("/v1/stats") and is_exact and answer["viewers"]:
            wrong = {**answer, "viewers": answer["viewers"] + (0 if is_label else by)}
            if is_label:
                wrong["by"] = copy.deepcopy(answer["by"])
                wrong["by"]["values"][0]["viewers"] += by
            answers[place] = {**answers[place], "answer": wrong}
            break
    return {**recording, "answers": [answers[place]], "requests": []}


def with_watch(recording):
    """Adds a millisecond to one viewer's time as a node answered it."""
    rows = copy.deepcopy(recording["watch"]["node 0"])
    rows[len(rows) // 2][1][0][0] -= 1
    return {**recording, "watch": {**recording["watch"], "node 0": rows}}


def with_watch_by(recording):
    """Adds a millisecond to the time of one label as a node answered it."""
    by = copy.deepcopy(recording["by"])
    next(one for one in by if one["values"])["values"][0]["watchMs"] += 1
    return {**recording, "by": by}


CHANGES = {
    "a flipped bit of a chunk": lambda one: flipped(one, False),
    "a flipped bit of a chunk with the right CRC-32": lambda one: flipped(one, True),
    "a chunk that is missing": without_chunk,
    "a dropped record of the log": without_record,
    "a millisecond more in an answer": with_watch,
    "a changed label in a chunk": with_other_label,
    "a changed label in a record of the log": with_other_label_in_log,
    "a changed label of a leave": lambda one: with_other_leave(one, False),
    "labels of a leave that were seen at another time": lambda one: with_other_leave(one, True),
    "a millisecond more for a label": with_watch_by,
}


def unnoticed(recording):
    """Checks changed copies of a clean recording; returns the names of those that pass."""
    missed = []
    for name, change in CHANGES.items():
        found = check.check(change(recording), 0).count
        print(f"self-test, {name}: {found} differences")
        missed += [] if found > 0 else [name]
    # The bounds leave room while events are on their way, so a wrong count is far from the right.
    events = check.events_of(recording, check.Report())
    of_log = labels.Labels(events)
    for by, is_label in ((-10, False), (10, False), (-10, True), (10, True)):
        seen = check.Report()
        check.check_counts(with_count(recording, by, is_label), events, of_log, seen, 0)
        name = f"a count {'by label ' if is_label else ''}that is wrong by {by}"
        print(f"self-test, {name}: {seen.count} differences")
        missed += [] if seen.count else [name]
    for name in missed:
        print(f"SELF-TEST FAILED: {name} is not noticed")
    return missed


