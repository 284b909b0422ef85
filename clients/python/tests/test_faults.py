"""Nodes that are away, come back, or ask for patience."""

import asyncio
import time

import httpx
import pytest

from housecount import Heartbeat, HousecountError, LiveCount, LiveReset


async def test_a_call_waits_for_a_node_that_starts(connect, make_node, stage):
    node = make_node()
    client = connect(node.url, retry_for=60)
    calls = [
        asyncio.ensure_future(call)
        for call in (
            client.send_heartbeat(stage, "ann"),
            client.send_heartbeats([Heartbeat(stage, "bob")]),
            client.create_stage(stage),  # No connection was made: nothing can have been carried out.
        )
    ]
    await asyncio.to_thread(node.start)
    beat, batch, made = await asyncio.gather(*calls)
    assert (beat.viewers or 0) >= 1 and batch.accepted == 1 and made.configured


async def test_without_retries_the_error_comes_at_once(connect, make_node, stage):
    client = connect(make_node().url, retry_for=0)
    with pytest.raises(HousecountError, match="no answer") as error:
        await client.send_heartbeat(stage, "ann")
    assert (error.value.status, error.value.code) == (None, "")


async def test_retry_after_is_waited_for(connect, make_node, stage):
    node = make_node("limits.address_per_second=1", "limits.address_burst=5")
    node.start()
    async with httpx.AsyncClient() as raw:
        body = {"stage": stage, "viewer": "raw"}
        answers = [await raw.post(f"{node.url}/v1/heartbeat", json=body) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and float(refused[0].headers["retry-after"]) >= 1, "the node asks for patience"
    began = time.monotonic()
    client = connect(node.url)
    assert (await client.send_heartbeat(stage, "ann")).viewers == 2
    assert time.monotonic() - began >= 0.99, "not before the node said"
    with pytest.raises(HousecountError) as error:
        for _ in range(8):
            await connect(node.url, retry_for=0).send_heartbeat(stage, "bob")
    assert error.value.code == "too_many_requests" and error.value.retry_after and error.value.retry_after >= 1


async def test_a_stream_comes_back_after_a_kill(connect, make_node, stage):
    node = make_node()
    node.start()
    client = connect(node.url, retry_for=60)
    seen = []

    async def read():
        async for event in client.stream_counts(stage):
            seen.append(event)
            if len(seen) == 1:
                node.kill()
                await asyncio.to_thread(node.start)
                await client.send_heartbeat(stage, "ann")
            if isinstance(event, LiveCount) and event.viewers == 1:
                break

    await asyncio.wait_for(read(), 60)
    assert any(isinstance(event, LiveReset) for event in seen), "another process cannot tell what was missed"


async def test_what_is_no_node_is_named(connect, url):
    client = connect(f"{url}/docs", retry_for=0)
    with pytest.raises(HousecountError) as error:
        await client.show_stats()
    assert error.value.status == 404
