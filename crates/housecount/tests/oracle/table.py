"""The ledger in a DynamoDB table, read as docs/FORMATS.md describes it."""

import base64
import http.client
import json
import re
from urllib.parse import urlparse

import formats


class Table:
    """DynamoDB's API without signatures, for the emulator."""

    def __init__(self, endpoint, name):
        self.address, self.name = urlparse(endpoint).netloc, name

    def query(self, pk):
        """Returns all items of a partition key, as {sk: item}."""
        found, after = {}, None
        while True:
            body = {
                "TableName": self.name,
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": pk}},
                "ConsistentRead": True,
            }
            if after:
                body["ExclusiveStartKey"] = after
            answer = self._call("Query", body)
            found.update({item["sk"]["S"]: item for item in answer["Items"]})
            after = answer.get("LastEvaluatedKey")
            if not after:
                return found

    def _call(self, operation, body):
        link = http.client.HTTPConnection(self.address, timeout=30)
        fields = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        fields["content-type"] = "application/x-amz-json-1.0"
        link.request("POST", "/", json.dumps(body), fields)
        answer = link.getresponse()
        text = answer.read()
        link.close()
        if answer.status != 200:
            raise ConnectionError(f"{operation}: {answer.status} {text[:200]!r}")
        return json.loads(text)


def whole_chunks(items):
    """Puts chunks together from the items of a ledger; yields (window, bytes, named)."""
    for sk in sorted(items):
        if "#" in sk:
            continue
        item = items[sk]
        if not re.fullmatch("[0-9]{13}", sk):
            raise formats.FormatError(f"a chunk's key is {sk!r}")
        data = base64.b64decode(item["chunk"]["B"])
        if "parts" in item:
            crc = int(item["crc"]["N"])
            for part in range(1, int(item["parts"]["N"])):
                data += base64.b64decode(items[f"{sk}#{crc:08x}#{part:04d}"]["chunk"]["B"])
        named = int(item["named"]["N"]) if "named" in item else None
        yield int(sk), data, named


def book(chunks):
    """Adds up a chain of (window, bytes, named)."""
    found = formats.Book()
    for window, data, named in chunks:
        found.add(data, named)
        if found.before.start != window:
            raise formats.FormatError(f"the chunk at {window} is of {found.before.start}")
    return found


def spans_of(entries):
    """Returns the ledger's spans of each (stage, viewer)."""
    spans = {}
    for entry in entries:
        if not entry.is_extra:
            spans.setdefault((entry.stage, entry.viewer), []).extend(entry.spans)
    return {viewer: sorted(each) for viewer, each in spans.items() if each}
