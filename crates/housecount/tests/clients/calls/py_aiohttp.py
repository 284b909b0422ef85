"""aiohttp: `compress=`, which it sends chunked with Content-Encoding."""

import asyncio
import json

import aiohttp
from yarl import URL as Url

from checks import URL, Answer, Checks
from suite import JSON, NDJSON, all_calls

checks = Checks("aiohttp", aiohttp.__version__)


async def call(session, method, path, headers=None, **more):
    # The path goes as it is: aiohttp would decode its %2F.
    async with session.request(method, Url(URL + path, encoded=True), headers=headers, **more) as answer:
        names = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, names, await answer.text())


async def compressed(session, encoding, data, kind):
    return await call(session, "POST", "/v1/heartbeats", {"content-type": kind}, data=data, compress=encoding)


async def gather(session):
    """Fifty at once over a pool of connections, each compressed."""
    sent = [compressed(session, "gzip", json.dumps([checks.beat()]).encode(), JSON) for _ in range(50)]
    answers = await asyncio.gather(*sent)
    return sum(answer.short() == "200 accepted 1" for answer in answers)


def array():
    return json.dumps([checks.beat() for _ in range(3)]).encode()


def lines():
    return b"\n".join(json.dumps(checks.beat()).encode() for _ in range(3))


def main():
    run = asyncio.new_event_loop().run_until_complete
    session = run(open_session())

    def batch(encoding, data, kind):
        return lambda: run(compressed(session, encoding, data, kind)).short()

    all_calls(checks, lambda *given, **more: run(call(session, *given, **more)))
    checks.equal("batch, compress='gzip'", "200 accepted 3", batch("gzip", array(), JSON))
    checks.equal("batch, NDJSON, compress='gzip'", "200 accepted 3", batch("gzip", lines(), NDJSON))
    checks.equal("batch, compress='deflate'", "415 unsupported_encoding", batch("deflate", array(), JSON))
    checks.equal("50 batches at once, compress='gzip'", 50, lambda: run(gather(session)))
    form = aiohttp.FormData({"stage": "a", "viewer": "b"}, default_to_multipart=True)
    checks.equal("heartbeat as multipart", "415 unsupported_media_type", lambda: run(
        call(session, "POST", "/v1/heartbeat", data=form)).short())
    run(session.close())


async def open_session():
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))


main()
