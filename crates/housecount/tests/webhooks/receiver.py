"""Receives webhooks of a node and verifies them with the library `standardwebhooks`."""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

TIME_LIMIT_S = 120
VIEWERS = 3

old_secret, secret = ("whsec_" + base64.b64encode(os.urandom(32)).decode() for _ in range(2))
received = []
is_done = threading.Event()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        # Both secrets sign, so that a receiver may change to the new one at any time.
        event = Webhook(secret).verify(body, headers)
        assert Webhook(old_secret).verify(body, headers) == event
        for forged in (
            (body + b" ", headers),
            (body, headers | {"webhook-id": "evt_1_1"}),
            (body, headers | {"webhook-timestamp": "1"}),
        ):
            try:
                Webhook(secret).verify(*forged)
                raise SystemExit("a forged delivery was accepted")
            except WebhookVerificationError:
                pass
        assert event["data"]["id"] == headers["webhook-id"], event
        received.append(event)
        self.send_response(204)
        self.end_headers()
        if event["type"] == "stage.emptied":
            is_done.set()

    def log_message(self, *_):
        pass


def call(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def main(binary):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as data:
        secrets = os.path.join(data, "hook.secret")
        with open(secrets, "w") as file:
            file.write(f"{secret}\n{old_secret}\n")
        settings = os.path.join(data, "housecount.toml")
        with open(settings, "w") as file:
            file.write(
                'listen = "127.0.0.1:0"\ninterval = "1s"\nttl = "3s"\nlog_level = "warn"\n'
                f'data = "{data}/stores"\nevents_thresholds = [{VIEWERS}]\n'
                f'[[webhooks]]\nurl = "http://127.0.0.1:{server.server_port}/hook"\n'
                f'secret = "{secrets}"\nprivate = true\n'
            )
        node = subprocess.Popen([binary, "serve", "--config", settings], stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"listens on (\S+)", node.stdout.readline()).group(1)
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"{address}/readyz", timeout=5).close()
                    break
                except OSError:
                    is_done.wait(0.1)
            call(f"{address}/v1/heartbeats", [{"stage": "s", "viewer": f"v{n}"} for n in range(VIEWERS)])
            if not is_done.wait(TIME_LIMIT_S):
                raise SystemExit(f"no stage.emptied within {TIME_LIMIT_S} s: {received}")
            with urllib.request.urlopen(f"{address}/v1/events", timeout=10) as answer:
                events = json.load(answer)["events"]
        finally:
            node.terminate()
            node.wait()
    ids = [event["data"]["id"] for event in received]
    unique = list(dict.fromkeys(ids))
    assert unique == [event["id"] for event in events], (ids, events)
    types = [event["type"] for event in received]
    assert types[:2] == ["stage.opened", "stage.threshold"], types
    print(f"{len(unique)} events verified by standardwebhooks: {', '.join(types)}")


main(sys.argv[1])
