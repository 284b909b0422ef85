"""Rows of the table: what a client called, what it should see and what it saw."""

import json
import os
from dataclasses import dataclass, field

URL = os.environ["CLIENTS_URL"]
ARN = "arn:aws:ivs:us-east-1:123456789012:stage/AbCdEf"


@dataclass
class Answer:
    """An HTTP answer, whichever library has it."""

    status: int
    headers: dict = field(default_factory=dict)
    text: str = ""

    def json(self):
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def short(self):
        """The status, with the batch's result or the problem's code."""
        body = self.json()
        if not isinstance(body, dict):
            return str(self.status)
        if "accepted" in body:
            rejected = "".join(f", rejected [{each['index']}]" for each in body["rejected"])
            return f"{self.status} accepted {body['accepted']}{rejected}"
        return f"{self.status} {body['code']}" if "code" in body else str(self.status)

    def naming(self, *words):
        """The short form, with those of the words that the problem's detail has."""
        detail = str((self.json() or {}).get("detail", ""))
        return " ".join([self.short(), *(f"`{word}`" for word in words if word in detail)])


class Checks:
    """The rows of one client."""

    def __init__(self, client, version):
        self.client, self.version, self.made = client, version, 0

    def viewer(self):
        """A viewer of its own for each heartbeat, so that no limit of a session is met."""
        self.made += 1
        return f"{self.client}-{os.getpid()}-{self.made}"

    def beat(self, stage="clients"):
        return {"stage": stage, "viewer": self.viewer()}

    def equal(self, call, expected, ask):
        """Prints a row. An exception is what was seen."""
        try:
            seen = ask()
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        ok = "ok" if str(expected) == str(seen) else "FAIL"
        row = [self.client, self.version, call, expected, seen, ok]
        print("\t".join(str(each).replace("\t", " ").replace("\n", " ")[:100] for each in row), flush=True)
