"""Rows of real browsers, which load the browser library from a page on another port."""

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from . import capture as packets_of
from .node import STAGE, free_port, stop
from .rows import Probe

ENGINES = ("chromium", "firefox")
# Beats of a steady row. They are as far apart as a node asks for: browsers do more after 10 s.
BEATS = 6
BEAT_S_MAX = 17.5
# Pause of a page between its heartbeat and its end, and then of the connection.
DWELL_S = 1.0
END_S = 3.0
# Pause between two heartbeats that no packet interrupts.
GAP_S = 4.0
WAIT_S_MAX = 120

# Options of `watch` by row.
WATCHES = {
    "the library": {},
    "the library, quiet": {"quiet": True},
    "the library, HTTP": {"transport": "http"},
}
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>a page</title>
<script src="/housecount.js"></script>
<script>
  const onCount = ({ complete }) => fetch(`/counted${location.search}&complete=${complete}`);
  housecount.watch({ ...%s, onCount });
</script>"""


class Site:
    """A server of pages, to which they report their counts."""

    def __init__(self, script: Path):
        self.options = {}
        self.counts = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                kind, body = "text/html", b""
                if path == "/housecount.js":
                    kind, body = "text/javascript", script.read_bytes()
                elif path == "/counted":
                    counts = site.counts.setdefault(query["visit"][0], [])
                    counts.append(query["complete"][0] == "true")
                elif path == "/page":
                    body = (PAGE % json.dumps(site.options[query["visit"][0]])).encode()
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, options):
        """Returns a visit's name, and the address of its page."""
        visit = uuid.uuid4().hex
        self.options[visit] = options
        return visit, f"http://localhost:{self.server.server_address[1]}/page?visit={visit}"

    def wait(self, visit, complete=False):
        """Waits for a count of a visit."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not any(each or not complete for each in self.counts.get(visit, [])):
            if time.monotonic() > deadline:
                raise RuntimeError("the page has no count")
            time.sleep(0.05)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Chromium:
    """Chromium by DevTools' protocol on a pipe."""

    def __init__(self, folder: Path, chain):
        self.ids, self.rest, self.lock = 0, b"", threading.Lock()
        from_us, self.to = os.pipe()
        self.source, from_it = os.pipe()
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        words += ["--disable-background-networking", "--disable-component-update"]
        words += ["--ignore-certificate-errors", "--remote-debugging-pipe"]
        words += [f"--host-resolver-rules=MAP {chain.name} 127.0.0.1"]
        words += [f"--user-data-dir={folder / 'chromium'}", "about:blank"]
        with open(folder / "chromium.log", "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{from_it}', "-", "chromium", *words],
                pass_fds=(from_us, from_it),
                stdout=log,
                stderr=log,
            )
        os.close(from_us)
        os.close(from_it)
        self.version = self._call("Browser.getVersion")["product"]

    def _call(self, method, params=None, session=None):
        with self.lock:
            self.ids += 1
            call = {"id": self.ids, "method": method, "params": params or {}}
            call |= {"sessionId": session} if session else {}
            os.write(self.to, json.dumps(call).encode() + b"\0")
            while True:
                while b"\0" not in self.rest:
                    if not (got := os.read(self.source, 65_536)):
                        raise RuntimeError("chromium ended")
                    self.rest += got
                text, _, self.rest = self.rest.partition(b"\0")
                message = json.loads(text)
                if message.get("id") == self.ids:
                    if "error" in message:
                        raise RuntimeError(message["error"]["message"])
                    return message["result"]

    def tab(self):
        """Opens a window, and returns a function that navigates it."""
        target = self._call("Target.createTarget", {"url": "about:blank", "newWindow": True})
        attach = {"targetId": target["targetId"], "flatten": True}
        session = self._call("Target.attachToTarget", attach)["sessionId"]
        return lambda url: self._call("Page.navigate", {"url": url}, session)

    def stop(self):
        stop(self.process)
        os.close(self.to)
        os.close(self.source)


class Firefox:
    """Firefox by its protocol Marionette."""

    def __init__(self, folder: Path, chain):
        self.ids, self.lock = 0, threading.Lock()
        profile, port = folder / "firefox", free_port()
        profile.mkdir()
        prefs = {
            "marionette.port": port,
            "network.dns.localDomains": chain.name,
            "network.dns.disableIPv6": True,
            "app.update.enabled": False,
            "browser.shell.checkDefaultBrowser": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
        }
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in prefs.items()]
        (profile / "user.js").write_text("\n".join(lines))
        words = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
        with open(folder / "firefox.log", "wb") as log:
            self.process = subprocess.Popen(
                ["firefox-esr", *words, "--profile", str(profile), "about:blank"],
                env=os.environ | {"HOME": str(profile)},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + WAIT_S_MAX
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S_MAX)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "firefox.log").read_text()) from None
                time.sleep(0.1)
        self.file = self.socket.makefile("rb")
        self._read()
        session = self._call("WebDriver:NewSession", {"capabilities": {}})
        self.version = f"Firefox/{session['capabilities']['browserVersion']}"
        self._trust((chain.folder / "root.pem").read_text())

    def _trust(self, root):
        self._call("Marionette:SetContext", {"value": "chrome"})
        certificate = base64.b64encode(ssl.PEM_cert_to_DER_cert(root)).decode()
        script = """
          const certs = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
          certs.addCertFromBase64(arguments[0], "C,,");"""
        self._call("WebDriver:ExecuteScript", {"script": script, "args": [certificate]})
        self._call("Marionette:SetContext", {"value": "content"})

    def _read(self):
        length = b""
        while (byte := self.file.read(1)) != b":":
            if not byte:
                raise RuntimeError("firefox ended")
            length += byte
        return json.loads(self.file.read(int(length)))

    def _call(self, method, params):
        self.ids += 1
        text = json.dumps([0, self.ids, method, params])
        self.socket.sendall(f"{len(text)}:{text}".encode())
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(error["message"])
        return result

    def tab(self):
        """Opens a window, and returns a function that navigates it."""
        with self.lock:
            handle = self._call("WebDriver:NewWindow", {"type": "window"})["handle"]

        def navigate(url):
            with self.lock:
                self._call("WebDriver:SwitchToWindow", {"handle": handle, "focus": True})
                self._call("WebDriver:Navigate", {"url": url})

        return navigate

    def stop(self):
        stop(self.process)
        self.socket.close()


def nodes(make_node, chain, engines):
    """Starts a node for each browser and each row."""
    return {
        (engine, name): make_node(f"{engine}-{at}", chain)
        for engine in engines
        for at, name in enumerate(WATCHES)
    }


class Visitor:
    """A tab that visits a node of its own again and again."""

    def __init__(self, capture, site, navigate, node, name, watch):
        self.capture, self.site, self.navigate = capture, site, navigate
        self.node, self.name, self.watch = node, name, watch

    def open(self):
        """Opens a page that is counted."""
        options = {"url": f"https://{self.node.name}:{self.node.port}", "stage": STAGE}
        visit, url = self.site.page(options | {"viewer": str(uuid.uuid4())} | self.watch)
        self.navigate(url)
        self.site.wait(visit)
        return visit

    def clients(self, since):
        """Returns the client ports of the browser's connections."""
        ports = packets_of.connections(self.capture.packets(), self.node.port, since)
        return set(ports) - self.node.own_ports

    def stay(self, kind):
        """A visit with one heartbeat, to a node whose counts are complete."""
        self.node.wait_complete()
        since = time.time()
        self.open()
        time.sleep(DWELL_S)
        self.navigate("about:blank")
        time.sleep(END_S)
        if "transport" in self.watch:
            # A browser keeps connections of HTTP for minutes: the node ends them.
            self.node.restart()
        until, clients = time.time(), self.clients(since)
        note = f"{len(clients)} connection{'s' * (len(clients) != 1)}"
        name = f"{self.name}, {kind}"
        probe = Probe("stay", name, self.node.port, clients, since, until, 1, note)
        probe.beats = (self.name, 1)
        return probe

    def beats(self):
        """Heartbeats as far apart as the node asks for."""
        opened = time.time()
        visit = self.open()
        self.site.wait(visit, complete=True)
        time.sleep(GAP_S)
        since, clients = time.time(), self.clients(opened)
        time.sleep(BEATS * BEAT_S_MAX)

        def groups():
            found = [p for p in self.capture.packets() if p.at >= since]
            return packets_of.bursts(found, self.node.port, clients, GAP_S)

        while time.time() - groups()[-1][-1].at < GAP_S / 2:
            time.sleep(0.5)
        until = time.time()
        count = sum(any(p.data and p.target == self.node.port for p in group) for group in groups())
        return Probe("heartbeat", self.name, self.node.port, clients, since, until, count, "")

    def run(self):
        return [self.stay("first visit"), self.stay("return"), self.beats()]


def run(capture, chain, folder, engine, own_nodes, script, bench):
    """Starts a browser and a thread for each of its rows. Returns the browser and its site."""
    site = Site(script)
    browser = {"chromium": Chromium, "firefox": Firefox}[engine](folder, chain)
    for (name, watch), node in zip(WATCHES.items(), own_nodes):
        full = f"{browser.version.split('.')[0].replace('/', ' ')}, {name}"
        visitor = Visitor(capture, site, browser.tab(), node, full, watch)
        bench.start(visitor.run)
    return [browser, site]
