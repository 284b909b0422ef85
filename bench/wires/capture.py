"""Packets on loopback, captured by tcpdump into a file that this module reads."""

import re
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Data of a full segment where the network's limit is 1,500 bytes.
SEGMENT_BYTES = 1_448
# Bytes of the headers of a packet: IPv4, TCP, and TCP's timestamps.
HEADER_BYTES = 52
# Bytes of a packet that are kept: headers are enough.
SNAP_BYTES = 120
SYN, ACK = 0x02, 0x10


@dataclass(frozen=True)
class Packet:
    """A packet, as the network would carry it."""

    at: float
    source: int
    target: int
    bytes: int
    data: int
    flags: int
    packets: int


@dataclass
class Traffic:
    """Bytes and packets of both directions, as a server sees them."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def add(self, packet, port):
        """Counts a packet of the server's port."""
        if packet.source == port:
            self.bytes_out += packet.bytes
            self.packets_out += packet.packets
        else:
            self.bytes_in += packet.bytes
            self.packets_in += packet.packets

    def minus(self, other, times=1):
        """Returns the rest beside another traffic that occurred so often."""
        return self._with(other, -times)

    def plus(self, other):
        """Returns the sum."""
        return self._with(other, 1)

    def _with(self, other, times):
        pairs = zip(self.tuple(), other.tuple())
        return Traffic(*(mine + times * theirs for mine, theirs in pairs))

    def per(self, count):
        """Returns the mean of several occurrences."""
        return Traffic(*(value / count for value in self.tuple()))

    def tuple(self):
        """Returns bytes in, bytes out, packets in, packets out."""
        return (self.bytes_in, self.bytes_out, self.packets_in, self.packets_out)


def parse(data):
    """Yields the TCP packets of a capture. The last one may be incomplete: it is left out.

    Loopback carries segments of up to 64 KiB. A longer one than a network carries counts as
    several packets.
    """
    at = 24
    while at + 16 <= len(data):
        seconds, micros, kept, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        if at > len(data):
            return
        ip = frame[14:]
        if len(ip) < 40 or ip[0] >> 4 != 4 or ip[9] != 6:
            continue
        tcp = (ip[0] & 15) * 4
        total = struct.unpack_from(">H", ip, 2)[0]
        source, target = struct.unpack_from(">HH", ip, tcp)
        payload = total - tcp - (ip[tcp + 12] >> 4) * 4
        packets = max(1, -(-payload // SEGMENT_BYTES))
        yield Packet(
            at=seconds + micros / 1e6,
            source=source,
            target=target,
            bytes=total + (packets - 1) * HEADER_BYTES,
            data=payload,
            flags=ip[tcp + 13],
            packets=packets,
        )


class Capture:
    """A run of tcpdump on loopback, for some ports."""

    def __init__(self, folder: Path, ports):
        self.file = folder / "packets.pcap"
        self.log = open(folder / "tcpdump.log", "w+b")
        ports = " or ".join(f"port {port}" for port in ports)
        self.process = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-n", "-U", "-B", "16384", "-s", str(SNAP_BYTES)]
            + ["-Z", "root", "-w", str(self.file), f"tcp and ({ports})"],
            stderr=self.log,
        )
        deadline = time.monotonic() + 10
        while b"listening" not in self._messages():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"tcpdump: {self._messages().decode()}")
            time.sleep(0.05)

    def _messages(self):
        return Path(self.log.name).read_bytes()

    def packets(self):
        """Returns all packets until now."""
        return list(parse(self.file.read_bytes()))

    def stop(self):
        """Ends tcpdump, and returns the number of packets that it lost."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)
        lost = re.search(rb"(\d+) packets? dropped by kernel", self._messages())
        self.log.close()
        return int(lost[1]) if lost else 0


def traffic(packets, port, clients=None, since=0.0, until=float("inf")):
    """Sums the packets of a server's port, of some client ports, between two moments."""
    total = Traffic()
    for packet in packets:
        client = packet.target if packet.source == port else packet.source
        if port in (packet.source, packet.target) and since <= packet.at < until:
            if clients is None or client in clients:
                total.add(packet, port)
    return total


def connections(packets, port, since=0.0):
    """Returns the client ports of connections that were opened since a moment, in order."""
    opened = (p for p in packets if p.target == port and p.flags & (SYN | ACK) == SYN)
    return [packet.source for packet in opened if packet.at >= since]


def bursts(packets, port, clients, gap):
    """Groups the packets of connections by pauses of at least `gap` seconds."""
    groups = []
    last = 0.0
    for packet in packets:
        client = packet.target if packet.source == port else packet.source
        if port not in (packet.source, packet.target) or client not in clients:
            continue
        if packet.at - last >= gap:
            groups.append([])
        groups[-1].append(packet)
        last = packet.at
    return groups
