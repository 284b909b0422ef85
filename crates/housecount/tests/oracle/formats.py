"""Stored bytes, read as docs/FORMATS.md describes them: log records, handles and chunks.

Written from that document alone. A byte that it does not explain is a FormatError.
"""

import zlib
from dataclasses import dataclass, field

BEAT, LEAVE, DISPLACEMENT = 0, 1, 2


class FormatError(Exception):
    """Bytes that differ from the document."""


class Reader:
    """Bytes from the front, with the varints and texts of all formats."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise FormatError(f"{count} bytes expected at {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise FormatError(f"a varint of more than 64 bits before {self.at}")

    def text(self):
        return self.take(self.varint()).decode()

    def varints(self, count):
        return [self.varint() for _ in range(count)]


def checked(data):
    """Returns the bytes before the CRC-32, which must be right."""
    if len(data) < 5:
        raise FormatError("shorter than a version and a CRC-32")
    body, crc = data[:-4], int.from_bytes(data[-4:], "little")
    if zlib.crc32(body) != crc:
        raise FormatError(f"CRC-32 {crc:08x} expected, the bytes have {zlib.crc32(body):08x}")
    return body


# Log record


@dataclass
class Record:
    """A log record: events with ids, and beats by handle."""

    events: list = field(default_factory=list)  # (kind, at, stage, viewer, session)
    labels: list = field(default_factory=list)  # of each event: None, or (first seen at, label set)
    beats: list = field(default_factory=list)  # (at, handle)


def record(data):
    """Decodes a log record of version 1 to 4."""
    read = Reader(checked(data))
    version = read.byte()
    if version not in (1, 2, 3, 4):
        raise FormatError(f"log record of version {version}")
    kinds = 3 if version > 2 else 2
    base = int.from_bytes(read.take(8), "little")
    stages = [read.text() for _ in range(read.varint())]
    sets = label_sets(read) if version == 4 else []
    count = read.varint()
    found = Record()
    for _ in range(count):
        head, at = read.varint(), base + read.varint()
        stage, kind = divmod(head, kinds)
        if stage >= len(stages):
            raise FormatError(f"stage {stage} of {len(stages)}")
        found.events.append((kind, at, stages[stage], read.text(), read.text()))
        found.labels.append(label_reference(read, sets, at) if version == 4 else None)
    if version > 1:
        for _ in range(read.varint()):
            found.beats.append((base + read.varint(), read.take(8)))
    if read.at != len(read.data):
        raise FormatError(f"{len(read.data) - read.at} bytes after the record's end")
    return found


# Label sets: in a record (keys, values), in a chunk pairs (key, value). A value may be empty.


def label_sets(read):
    """Reads a record's label sets."""
    lists = [read.text().split("\1") for _ in range(read.varint())]
    found = []
    for _ in range(read.varint()):
        place, values = read.varint(), read.text().split("\1")
        if place >= len(lists) or len(values) != len(lists[place]):
            raise FormatError(f"{len(values)} values of the list of keys {place} of {lists}")
        found.append((tuple(lists[place]), tuple(values)))
    for keys in lists:
        if sorted(set(keys)) != keys:
            raise FormatError(f"the keys {keys} do not ascend")
    return found


def label_reference(read, sets, at):
    """Reads an event's reference to a label set."""
    place = read.varint()
    if place == 0:
        return None
    if place > len(sets):
        raise FormatError(f"label set {place - 1} of {len(sets)}")
    return at - read.varint(), sets[place - 1]


def chunk_label_set(read):
    """Reads a label set of a chunk, which may have several values of a key."""
    pairs = [tuple(pair.split("\2")) for pair in read.text().split("\1")]
    if sorted(set(pairs)) != pairs or any(len(pair) != 2 or not pair[0] for pair in pairs):
        raise FormatError(f"the label set {pairs}")
    return pairs


# Handles

MASK = (1 << 64) - 1


def siphash13(key0, key1, data):
    """SipHash with one round a word and three at the end, as an integer."""
    v0, v1 = key0 ^ 0x736F6D6570736575, key1 ^ 0x646F72616E646F6D
    v2, v3 = key0 ^ 0x6C7967656E657261, key1 ^ 0x7465646279746573

    def rotate(value, by):
        return ((value << by) | (value >> (64 - by))) & MASK

    def rounds(count):
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & MASK
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 = (v2 + v3) & MASK
            v3 = rotate(v3, 16) ^ v2
            v0 = (v0 + v3) & MASK
            v3 = rotate(v3, 21) ^ v0
            v2 = (v2 + v1) & MASK
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)

    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v3 ^= word
        rounds(1)
        v0 ^= word
    v2 ^= 0xFF
    rounds(3)
    return v0 ^ v1 ^ v2 ^ v3


def handle(key, stage, viewer, session):
    """Computes the eight bytes that stand for a session in the log."""
    of_viewer = siphash13(key, 1, viewer.encode())
    rest = of_viewer.to_bytes(8, "little") + stage.encode() + b"\0" + session.encode()
    of_session = siphash13(key, 2, rest)
    return ((of_viewer >> 32) << 32 | of_session >> 32).to_bytes(8, "big")


# Chunks


class Bits:
    """Bits that fill each byte from its low end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bit(self):
        if self.at >= 8 * len(self.data):
            raise FormatError("the bits end too early")
        self.at += 1
        return self.data[(self.at - 1) // 8] >> ((self.at - 1) % 8) & 1

    def plain(self, count):
        return sum(self.bit() << place for place in range(count))

    def minimal(self, below):
        if below < 1:
            raise FormatError("a value below 0")
        k = below.bit_length() - 1
        u = (2 << k) - below
        value = self.plain(k)
        return value if value < u else 2 * value + self.bit() - u

    def rice(self, k):
        ones = 0
        while self.bit():
            ones += 1
            if ones == 32:
                return self.plain(64)
        return ones << k | self.plain(k)


def _span(first, last):
    return bytes(range(ord(first), ord(last) + 1))


CLASSES = [
    None,
    _span("0", "9"),
    _span("0", "9") + _span("a", "f"),
    _span("0", "9") + _span("A", "F"),
    _span("0", "9") + _span("a", "z"),
    _span("0", "9") + _span("A", "Z") + _span("a", "z"),
    b"-" + _span("0", "9") + _span("A", "Z") + b"_" + _span("a", "z"),
    _span(" ", "~"),
    bytes(range(256)),
]


class Shapes:
    """What ids of a length have in common: for each length, its runs."""

    def __init__(self, read):
        self.lengths = []
        for _ in range(read.varint()):
            length, filled, runs = read.varint(), 0, []
            while filled < length:
                kind, count = read.byte(), read.varint()
                if kind >= len(CLASSES) or count == 0 or filled + count > length:
                    raise FormatError(f"a run of {count} positions of class {kind}")
                runs.append((CLASSES[kind], count, read.take(count) if kind == 0 else None))
                filled += count
            self.lengths.append(runs)

    def id(self, bits):
        found = b""
        for letters, count, known in self.lengths[bits.minimal(len(self.lengths))]:
            if known is not None:
                found += known
            else:
                found += bytes(letters[bits.minimal(len(letters))] for _ in range(count))
        return found.decode()


@dataclass
class Chunk:
    """A chunk's head, with its bits still to be read: they depend on the book."""

    start: int
    length: int
    since_keyframe: int
    since_before: int
    crc_before: int
    kept: int
    reach: int
    stages: int
    entries: int
    counts: list
    sets_before: int  # None in a chunk without labels
    sets: list
    rice: list
    stage_shapes: Shapes
    viewer_shapes: Shapes
    bits: Bits
    crc: int

    @property
    def end(self):
        return self.start + self.length


def chunk(data):
    """Decodes a chunk up to its bits."""
    read = Reader(checked(data))
    version = read.byte()
    if version not in (1, 2):
        raise FormatError(f"chunk of version {version}")
    start, length, since_keyframe, since_before = read.varints(4)
    crc_before = int.from_bytes(read.take(4), "little") if since_before else None
    kept, reach, stages, entries = read.varints(4)
    counts = read.varints(7)
    sets_before = read.varint() if version == 2 else None
    sets = [chunk_label_set(read) for _ in range(read.varint())] if version == 2 else []
    rice = list(read.take(4))
    if max(rice) > 30:
        raise FormatError(f"Rice parameters {rice}")
    stage_shapes = Shapes(read) if counts[0] else None
    viewer_shapes = Shapes(read) if counts[3] + counts[4] else None
    bits = Bits(read.data[read.at :])
    crc = int.from_bytes(data[-4:], "little")
    head = (start, length, since_keyframe, since_before, crc_before, kept, reach, stages, entries)
    head += (counts, sets_before, sets, rice)
    return Chunk(*head, stage_shapes, viewer_shapes, bits, crc)


class Entry:
    """A viewer on a stage with its labels, and its spans as [from, to] in ms.

    The time of an extra entry counts for its labels only, and not for the viewer.
    """

    def __init__(self, stage, viewer, labels, is_extra):
        self.stage, self.viewer, self.spans, self.is_open = stage, viewer, [], False
        self.labels, self.is_extra = labels, is_extra

    def values(self, key):
        """Returns the values for which the time counts; None stands for sessions without one."""
        found = [value or None for name, value in self.labels if name == key]
        return found or ([] if self.is_extra else [None])

    def last_end(self):
        return max((end for _, end in self.spans), default=0)

    def toggle(self, window, moments, was_open):
        """Adds the spans of a window by the moments at which the entry goes off and on."""
        on, since = was_open, window.start
        for moment in [*(window.start + each for each in moments), window.end]:
            if on and since < moment:
                self.spans.append([since, moment])
            on, since = not on, moment
        # The window's end was no toggle.
        self.is_open = not on


class Book:
    """The sum of a chain of chunks. `proven` has all spans, also of entries that were dropped."""

    def __init__(self):
        self.entries, self.stages, self.before, self.keyframe, self.proven = [], [], None, None, []
        self.sets = []

    def add(self, data, named=None):
        """Adds the next chunk. `named` is the attribute of a chunk that was written again."""
        new = chunk(data)
        if self.before and new.start < self.before.end:
            raise FormatError(f"the window of {new.start} begins before the last one's end")
        if new.since_before:
            if self.before is None or new.start - new.since_before != self.before.start:
                raise FormatError(f"the chunk of {new.start} continues a chunk that is not there")
            if new.crc_before != (self.before_named or self.before.crc):
                raise FormatError(f"the chunk of {new.start} continues another chunk")
        elif self.before:
            raise FormatError(f"the chunk of {new.start} names none before it")
        if new.since_keyframe == 0:
            self.keyframe, self.entries, self.stages, self.sets = new.start, [], [], []
        elif self.keyframe is None or new.start - new.since_keyframe != self.keyframe:
            raise FormatError(f"the chunk of {new.start} needs a keyframe that is not there")
        else:
            horizon = new.start - new.kept
            self.entries = [each for each in self.entries if each.last_end() >= horizon]
        if (new.stages, new.entries) != (len(self.stages), len(self.entries)):
            left = (len(self.stages), len(self.entries))
            raise FormatError(f"{new.start}: {new.stages}, {new.entries} left expected, not {left}")
        if (new.sets_before or 0) != len(self.sets):
            raise FormatError(f"{new.start}: {new.sets_before} label sets, not {len(self.sets)}")
        self._read(new)
        self.before, self.before_named = new, named

    def _read(self, new):
        bits, (stages, opened, closed, joins, others, late, short) = new.bits, new.counts
        continues = self.before is not None and self.before.end == new.start
        self.stages += [new.stage_shapes.id(bits) for _ in range(stages)]
        self.sets += new.sets
        is_open = [entry.is_open and continues for entry in self.entries]
        changed = {}
        for count, state, k in ((opened, True, new.rice[0]), (closed, False, new.rice[1])):
            places = [place for place, each in enumerate(is_open) if each == state]
            rank = -1
            for _ in range(count):
                rank += 1 + bits.rice(k)
                if rank >= len(places):
                    raise FormatError(f"entry {rank} of {len(places)} changes")
                changed[places[rank]] = self._toggles(bits, new.length, None)
        for place, entry in enumerate(self.entries):
            entry.toggle(new, changed.get(place, []), is_open[place])
        first = 0
        for _ in range(joins):
            first += bits.rice(new.rice[2])
            moments = self._toggles(bits, new.length, first)
            self._enter(new, bits, False).toggle(new, moments, False)
        for _ in range(others):
            self._enter(new, bits, True)
        for _ in range(late):
            entry = self.entries[bits.minimal(len(self.entries))]
            before = bits.minimal(new.kept) + 1
            length = bits.minimal(before) + 1
            span = [new.start - before, new.start - before + length]
            if any(span[0] < end and begin < span[1] for begin, end in entry.spans):
                raise FormatError(f"{new.start}: the late span {span} was there before")
            entry.spans.append(span)
        count, rank = sum(entry.is_open for entry in self.entries), -1
        for _ in range(short):
            rank += 1 + bits.rice(new.rice[3])
            if rank >= count:
                raise FormatError(f"short one {rank} of {count}")
        if bits.at + 7 < 8 * len(bits.data) or bits.plain(-bits.at % 8):
            raise FormatError(f"{new.start}: bits are left over")

    def _enter(self, new, bits, is_other):
        stage, labels, is_extra = self.stages[bits.minimal(len(self.stages))], [], False
        if new.sets_before is not None:
            place = bits.minimal(1 + len(self.sets))
            labels = self.sets[place - 1] if place else []
            is_extra = is_other and bits.bit() == 1
        entry = Entry(stage, new.viewer_shapes.id(bits), labels, is_extra)
        if is_extra and len(labels) != 1:
            raise FormatError(f"{new.start}: an extra entry with the labels {labels}")
        self.entries.append(entry)
        self.proven.append(entry)
        return entry

    @staticmethod
    def _toggles(bits, length, first):
        moments = [bits.minimal(length) if first is None else first]
        if moments[0] >= length:
            raise FormatError(f"a toggle at {moments[0]} of {length}")
        while moments[-1] < length - 1 and bits.bit():
            moments.append(moments[-1] + 1 + bits.minimal(length - moments[-1] - 1))
        return moments
