"""`watch`, in real time, against real nodes."""

import asyncio
import threading

import pytest
from conftest import until

from housecount import AsyncClient, Client, HousecountError, sign_token


class Reports:
    """Reports to the callbacks. `count` is set by each count."""

    def __init__(self):
        self.counts, self.retries, self.errors = [], [], []
        self.changed = threading.Condition()

    def callbacks(self):
        return {
            "on_count": lambda count: self._add(self.counts, count),
            "on_retry": lambda error, seconds: self._add(self.retries, (error, seconds)),
            "on_error": lambda error: self._add(self.errors, error),
        }

    def _add(self, them, it):
        with self.changed:
            them.append(it)
            self.changed.notify_all()

    async def wait(self, holds):
        def wait():
            with self.changed:
                return self.changed.wait_for(lambda: holds(self), timeout=20)

        assert await asyncio.to_thread(wait), "had no report within 20 s"


@pytest.fixture
def reported():
    return Reports()


@pytest.fixture(params=["sync", "async"])
async def watcher(request):
    """Watches by a client of one kind: watcher(url, *args, **fields). Its methods are awaited."""
    closing = []

    class Awaited:
        def __init__(self, watch):
            self._watch = watch

        def __getattr__(self, name):
            return lambda: asyncio.to_thread(getattr(self._watch, name))

    async def watch(url, *args, **fields):
        if request.param == "async":
            client = AsyncClient(url)
            watch = client.watch(*args, **fields)
            closing.extend([watch.leave, client.aclose])
            return watch
        client = Client(url)
        watch = await asyncio.to_thread(client.watch, *args, **fields)
        closing.extend([Awaited(watch).close, Awaited(client).close])
        return Awaited(watch)

    yield watch
    for close in closing:
        await close()


async def sessions_of(url, stage, **fields):
    async with AsyncClient(url, **fields) as client:
        return {session async for viewer in client.list_stage_viewers(stage) for session in viewer.sessions}


async def test_a_viewer_is_counted_until_the_leave(watcher, url, stage, reported):
    watch = await watcher(url, stage, "ann", **reported.callbacks())
    # Longer than the ttl of 4 s: heartbeats keep ann online.
    await reported.wait(lambda reported: len(reported.counts) >= 6)
    assert [count.viewers for count in reported.counts] == [1] * len(reported.counts)
    (session,) = await sessions_of(url, stage)
    await watch.leave()

    async def is_gone():
        return await sessions_of(url, stage) == set()

    await until(is_gone)
    assert reported.retries == reported.errors == []
    resumed = watch.resume()
    if resumed is not None:
        await resumed
    count = len(reported.counts)
    await reported.wait(lambda reported: len(reported.counts) > count)
    (other,) = await sessions_of(url, stage)
    assert other != session, "a session's name is not used again"


async def test_a_named_session_confirms_soon(watcher, url, stage, reported):
    await watcher(url, stage, "ann", "tv", **reported.callbacks())
    await reported.wait(lambda reported: len(reported.counts) >= 2)
    assert await sessions_of(url, stage) == {"tv"}


async def test_a_viewer_outlives_a_killed_node(watcher, make_node, stage, reported):
    node = make_node()
    node.start()
    await watcher(node.url, stage, "ann", **reported.callbacks())
    await reported.wait(lambda reported: reported.counts)
    node.kill()
    await reported.wait(lambda reported: reported.retries)
    counted = len(reported.counts)
    node.start()
    await reported.wait(lambda reported: len(reported.counts) > counted)
    assert await sessions_of(node.url, stage) and not reported.errors
    error, seconds = reported.retries[0]
    assert "no answer" in error.detail and 0.5 <= seconds <= 1


async def test_the_network_is_back(watcher, make_node, stage, reported):
    node = make_node()
    watch = await watcher(node.url, stage, "ann", **reported.callbacks())
    await reported.wait(lambda reported: len(reported.retries) >= 4)  # The next try is 4 to 8 s away.
    node.start()
    back = watch.online()
    if back is not None:
        await back
    await reported.wait(lambda reported: reported.counts)
    assert len(reported.retries) == 4


async def test_a_refusal_is_reported_and_is_the_end(watcher, keyed_url, secret, stage, reported):
    token = sign_token(secret, viewer="bob", stage=stage, ttl=60)
    watch = await watcher(keyed_url, stage, "ann", token=token, **reported.callbacks())
    await reported.wait(lambda reported: reported.errors)
    (error,) = reported.errors
    assert isinstance(error, HousecountError) and (error.status, error.code) == (403, "token_mismatch")
    await watch.leave()
    assert reported.counts == reported.retries == []


async def test_tokens_are_renewed_without_a_leave(watcher, keyed_url, key, secret, stage, reported):
    asked = []

    def token():
        asked.append(sign_token(secret, viewer="ann", stage=stage, ttl=2))
        return asked[-1]

    await watcher(keyed_url, stage, "ann", token=token, **reported.callbacks())
    await reported.wait(lambda reported: len(reported.counts) >= 6)
    assert len(asked) >= 3 and not reported.errors, "each holds for 2 s, and is replaced after three quarters of them"
    async with AsyncClient(keyed_url, key=key) as client:
        (watched,) = [row async for row in client.list_stage_watch(stage, intervals=True)]
    assert len(watched.intervals) == 1 and watched.watch_ms > 4_000, "no gap"


async def test_a_token_that_ends_unseen_is_replaced_after_401(watcher, keyed_url, secret, stage, reported, monkeypatch):
    # The client cannot read when it ends, as with encrypted tokens.
    monkeypatch.setattr("housecount._watch.token_times_ms", lambda token: (None, None))
    asked = []

    async def token():
        asked.append(sign_token(secret, viewer="ann", stage=stage, ttl=2))
        return asked[-1]

    await watcher(keyed_url, stage, "ann", token=token, **reported.callbacks())
    await reported.wait(lambda reported: len(asked) >= 3)
    await reported.wait(lambda reported: len(reported.counts) >= 6)
    assert not reported.errors


async def test_a_token_source_that_fails_is_asked_again(watcher, keyed_url, secret, stage, reported):
    asked = []

    def token():
        asked.append(True)
        if len(asked) == 1:
            raise OSError("the backend is away")
        return sign_token(secret, viewer="ann", stage=stage, ttl=60)

    await watcher(keyed_url, stage, "ann", token=token, **reported.callbacks())
    await reported.wait(lambda reported: reported.counts)
    assert "the backend is away" in reported.retries[0][0].detail


def test_a_closed_watch_says_so(url, stage):
    with Client(url) as client:
        with client.watch(stage, "ann") as watch:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            watch.resume()
        watch.close()


async def test_a_displaced_watch_ends(watcher, keyed_url, secret, stage, reported):
    viewer = f"viewer of {stage}"
    token = sign_token(secret, viewer=viewer, stage=stage, ttl=60, streams=1)
    await watcher(keyed_url, stage, viewer, "phone", token=token, **reported.callbacks())
    await reported.wait(lambda reported: reported.counts)
    async with AsyncClient(keyed_url) as client:
        async with client.watch(stage, viewer, "tv", replaces="phone", token=token):
            await reported.wait(lambda reported: reported.errors)
            refused = Reports()
            await watcher(keyed_url, stage, viewer, "laptop", token=token, **refused.callbacks())
            await refused.wait(lambda refused: refused.errors)
    assert [(error.status, error.code) for error in reported.errors] == [(409, "displaced")] and not reported.retries
    (error,) = refused.errors
    assert error.code == "too_many_streams" and [each.session for each in error.active] == ["tv"]
