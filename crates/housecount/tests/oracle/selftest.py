"""Proof that the oracle can fail: the document's examples, and recordings that were changed."""

import base64
import copy
import zlib
from collections import Counter

import check
import formats

RECORD = """02 40420f0000000000 02 03 732f31 03 732f32 02
    00 1e 03 616e6e 00 03 00 03 626f62 03 746162 01 09 0102030405060708 0d4d0842"""
CHUNK = """01 c0843d e807 00 00 a403 46 00 00 01 00 00 02 00 00 00 00 00 06 00
    01 03 07 03 01 03 04 03 ba278aa4ee9d552d0b2f 84b0fd4d"""


def examples():
    """Checks the decoders by the worked examples of docs/FORMATS.md."""
    record = formats.record(bytes.fromhex(RECORD))
    assert record.events == [(0, 1000030, "s/1", "ann", ""), (1, 1000000, "s/2", "bob", "tab")]
    assert record.beats == [(1000009, bytes.fromhex("0102030405060708"))]
    assert formats.handle(7, "s/1", "ann", "").hex() == "50762c048fac6b86"
    book = formats.Book()
    book.add(bytes.fromhex(CHUNK))
    found = {(entry.viewer, entry.is_open): entry.spans for entry in book.entries}
    ann, bob = [[1_000_100, 1_001_000]], [[1_000_250, 1_000_700]]
    assert found == {("ann", True): ann, ("bob", False): bob}


def sealed(data):
    """Puts the right CRC-32 behind changed bytes."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def flipped(recording, is_sealed):
    """Flips a bit of a chunk in the middle of the ledger."""
    changed = {**recording, "items": dict(recording["items"])}
    chunks = [sk for sk in sorted(changed["items"]) if "#" not in sk]
    sk = chunks[len(chunks) // 2]
    data = bytearray(base64.b64decode(changed["items"][sk]["chunk"]["B"]))
    data[-8] ^= 0x10
    data = sealed(bytes(data)) if is_sealed else bytes(data)
    item = {**changed["items"][sk], "chunk": {"B": base64.b64encode(data).decode()}}
    changed["items"][sk], changed["early"] = item, {}
    return changed


def without_chunk(recording):
    chunks = [sk for sk in sorted(recording["items"]) if "#" not in sk]
    gone = chunks[len(chunks) // 2]
    items = {sk: item for sk, item in recording["items"].items() if sk != gone}
    return {**recording, "items": items, "early": {}}


def without_record(recording):
    """Drops a record in the middle of the tailed log that alone has an event."""
    records, read = recording["records"], check.resolved(recording, check.Report())
    times = Counter(event for _, events in read for event in events)
    for place in range(len(records) // 2, len(records)):
        if any(times[event] == 1 for event in read[place][1]):
            return {**recording, "records": records[:place] + records[place + 1 :]}
    return recording


def with_count(recording, by):
    """Changes one count that was called complete."""
    answers = copy.copy(recording["answers"])
    for place in range(len(answers) // 2, len(answers)):
        answer = answers[place]["answer"]
        is_exact = answer["complete"] and not answer["recovering"]
        if answers[place]["path"] == "/v1/stats" and is_exact:
            wrong = {**answer, "viewers": answer["viewers"] + by}
            answers[place] = {**answers[place], "answer": wrong}
            break
    return {**recording, "answers": [answers[place]], "requests": recording["requests"]}


def with_watch(recording):
    """Adds a millisecond to one viewer's time as a node answered it."""
    rows = copy.deepcopy(recording["watch"]["node 0"])
    rows[len(rows) // 2][1][0][0] -= 1
    return {**recording, "watch": {**recording["watch"], "node 0": rows}}


CHANGES = {
    "a flipped bit of a chunk": lambda one: flipped(one, False),
    "a flipped bit of a chunk with the right CRC-32": lambda one: flipped(one, True),
    "a chunk that is missing": without_chunk,
    "a dropped record of the log": without_record,
    "a millisecond more in an answer": with_watch,
}


def unnoticed(recording):
    """Checks changed copies of a clean recording; returns the names of those that pass."""
    missed = []
    for name, change in CHANGES.items():
        found = check.check(change(recording), 0).count
        print(f"self-test, {name}: {found} differences")
        missed += [] if found > 0 else [name]
    # The bounds leave room while events are on their way, so a wrong count is far from the right.
    for by in (-10, 10):
        wrong = with_count(recording, by)
        quiet = {**wrong, "requests": []}
        events = check.events_of(recording, check.Report())
        seen = check.Report()
        check.check_counts(quiet, events, seen, 0)
        name = f"a count that is wrong by {by}"
        print(f"self-test, {name}: {seen.count} differences")
        missed += [] if seen.count else [name]
    for name in missed:
        print(f"SELF-TEST FAILED: {name} is not noticed")
    return missed


