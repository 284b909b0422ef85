"""Clients without a browser: HTTP/1.1, HTTP/2 and WebSocket, with and without TLS."""

import base64
import json
import os
import socket
import ssl
import struct

WAIT_S_MAX = 15
PAGE = "https://www.example.com"
# Headers of Chrome for a `fetch` of another site's page, without those that a row sets itself.
CHROME = [
    ("sec-ch-ua-platform", '"Windows"'),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36",
    ),
    ("sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    ("content-type", "text/plain;charset=UTF-8"),
    ("sec-ch-ua-mobile", "?0"),
    ("accept", "*/*"),
    ("origin", PAGE),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", f"{PAGE}/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=1, i"),
]


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    """A TCP or TLS connection to a node on loopback."""

    def __init__(self, node, alpn="http/1.1", session=None):
        self.host = f"{node.name}:{node.port}"
        self.socket = socket.create_connection(("127.0.0.1", node.port), WAIT_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.socket.getsockname()[1]
        node.own_ports.add(self.port)
        self.rest = b""
        self.is_resumed = False
        if node.chain:
            context = node.context(alpn)
            self.socket = context.wrap_socket(
                self.socket, server_hostname=node.name, session=session
            )
            self.is_resumed = self.socket.session_reused

    @property
    def session(self):
        """The latest TLS ticket's session."""
        return self.socket.session if isinstance(self.socket, ssl.SSLSocket) else None

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        """Reads more bytes."""
        got = self.socket.recv(65_536)
        if not got:
            raise Closed
        self.rest += got

    def take(self, count):
        """Reads exactly `count` bytes."""
        while len(self.rest) < count:
            self.fill()
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def line(self):
        """Reads to the end of a line."""
        while b"\r\n" not in self.rest:
            self.fill()
        return self.take(self.rest.index(b"\r\n") + 2)[:-2]

    def close(self):
        """Closes as a client in order: TLS's notice, then both sides."""
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket = self.socket.unwrap()
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(2)
            while self.socket.recv(4_096):
                pass
        except OSError:
            pass
        self.socket.close()


class Http1(Connection):
    """HTTP/1.1 with keep-alive. One request at a time."""

    def head(self, method, path, headers):
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}", "connection: keep-alive"]
        self.send("\r\n".join(lines + [f"{k}: {v}" for k, v in headers] + ["", ""]).encode())

    def answer_head(self):
        """Reads status and headers."""
        status = int(self.line().split()[1])
        headers = {}
        while line := self.line():
            key, _, value = line.decode().partition(":")
            headers[key.lower()] = value.strip()
        return status, headers

    def post(self, path, body, headers=CHROME):
        """Sends a request in one piece, and returns the answer's body."""
        lines = [f"POST {path} HTTP/1.1", f"host: {self.host}", "connection: keep-alive"]
        lines += [f"content-length: {len(body)}"]
        lines += [f"{key}: {value}" for key, value in headers]
        self.send("\r\n".join(lines + ["", ""]).encode() + body.encode())
        status, got = self.answer_head()
        answer = self.take(int(got.get("content-length", 0))).decode()
        if status >= 300:
            raise RuntimeError(f"{path}: {status} {answer}")
        return answer

    def events(self, path):
        """Yields each chunk of an event stream."""
        self.head("GET", path, [(k, v) for k, v in CHROME if k != "content-type"])
        self.answer_head()
        while size := int(self.line(), 16):
            yield self.take(size + 2)[:-2].decode()


class Http2(Connection):
    """HTTP/2 as little as a row needs. A request is one TLS record in one segment."""

    DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7

    def __init__(self, node, session=None):
        super().__init__(node, "h2", session)
        self.stream = -1
        self.table = []
        settings = struct.pack(">HIHI", 2, 0, 4, 1 << 20)
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(self.SETTINGS, 0, 0, settings))

    @staticmethod
    def _frame(kind, flags, stream, payload):
        length = struct.pack(">I", len(payload))[1:]
        return length + struct.pack(">BBI", kind, flags, stream) + payload

    @staticmethod
    def _int(value, bits, first):
        top = (1 << bits) - 1
        if value < top:
            return bytes([first | value])
        out, value = [first | top], value - top
        while value >= 128:
            out.append(value % 128 | 128)
            value //= 128
        return bytes(out + [value])

    def _fields(self, headers):
        """Encodes headers (RFC 7541): indexes of the dynamic table, else literals that enter it."""
        out = b""
        for field in headers:
            if field in self.table:
                out += self._int(62 + self.table.index(field), 7, 0x80)
                continue
            self.table.insert(0, field)
            out += b"\x40"
            for text in field:
                out += self._int(len(text), 7, 0) + text.encode()
        return out

    def request(self, method, path, headers, body=None):
        """Sends a request, and returns its stream."""
        self.stream += 2
        pseudo = [(":method", method), (":authority", self.host), (":scheme", "https")]
        pseudo += [(":path", path)]
        length = [] if body is None else [("content-length", str(len(body)))]
        ends = 0x4 if body is not None else 0x5
        out = self._frame(self.HEADERS, ends, self.stream, self._fields(pseudo + length + headers))
        if body is not None:
            out += self._frame(self.DATA, 0x1, self.stream, body.encode())
        self.send(out)
        return self.stream

    def frame(self):
        """Reads a frame, and answers those of the connection."""
        head = self.take(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = self.take(length)
        if kind in (self.SETTINGS, self.PING) and not flags & 1:
            self.send(self._frame(kind, 1, 0, payload if kind == self.PING else b""))
        if kind == self.GOAWAY:
            raise Closed
        return kind, flags, payload

    def post(self, path, body, headers=CHROME):
        """Sends a request, and returns the answer's body."""
        self.request("POST", path, headers, body)
        answer = b""
        while True:
            kind, flags, payload = self.frame()
            answer += payload if kind == self.DATA else b""
            if kind in (self.DATA, self.HEADERS) and flags & 1:
                return answer.decode()

    def events(self, path):
        """Yields each piece of an event stream."""
        self.request("GET", path, [(k, v) for k, v in CHROME if k != "content-type"])
        while True:
            kind, _, payload = self.frame()
            if kind == self.DATA:
                yield payload.decode()

    def close(self):
        """Says goodbye as a client does."""
        self.send(self._frame(self.GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        super().close()


class WebSocket(Connection):
    """A WebSocket of text messages."""

    def __init__(self, node, protocols, session=None):
        super().__init__(node, "http/1.1", session)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /v1/ws HTTP/1.1",
            f"host: {self.host}",
            "connection: Upgrade",
            "pragma: no-cache",
            "cache-control: no-cache",
            f"user-agent: {dict(CHROME)['user-agent']}",
            "upgrade: websocket",
            f"origin: {PAGE}",
            "sec-websocket-version: 13",
            f"accept-encoding: {dict(CHROME)['accept-encoding']}",
            "accept-language: en-US,en;q=0.9",
            f"sec-websocket-key: {key}",
            "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
            f"sec-websocket-protocol: {', '.join(protocols)}",
        ]
        self.send("\r\n".join(lines + ["", ""]).encode())
        while self.line():
            pass

    def say(self, text, kind=0x1):
        """Sends a message."""
        data, mask = text.encode() if isinstance(text, str) else text, os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        is_long = len(data) >= 126
        length = struct.pack(">BH", 0xFE, len(data)) if is_long else bytes([0x80 | len(data)])
        self.send(bytes([0x80 | kind]) + length + mask + masked)

    def message(self):
        """Reads a message, whatever its kind."""
        length = self.take(2)[1]
        if length == 126:
            length = int.from_bytes(self.take(2), "big")
        return self.take(length).decode(errors="replace")

    def ask(self, text):
        """Sends a message, and returns its answer."""
        self.say(text)
        return self.message()

    def close(self):
        """Closes as browsers do: a close frame, its echo, then the connection."""
        self.say(struct.pack(">H", 1_000), kind=0x8)
        try:
            self.message()
        except (Closed, OSError):
            pass
        super().close()


def ids(stage, viewer, session="1q2w3e4r5t6y7", **more):
    """Returns the body of a heartbeat, as the browser library writes it."""
    fields = {"stage": stage, "viewer": viewer, "session": session, **more}
    return json.dumps(fields, separators=(",", ":"))
