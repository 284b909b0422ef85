"""Tokens and keys, against a node that asks for them."""

import asyncio
import time
from datetime import timedelta

import pytest

from housecount import Heartbeat, HousecountError, sign_token


async def refused(call):
    with pytest.raises(HousecountError) as error:
        await call
    return error.value.status, error.value.code


async def test_signed_tokens_are_taken(connect, keyed_url, secret, stage):
    client = connect(keyed_url)
    assert await refused(client.send_heartbeat(stage, "ann")) == (401, "token_missing")
    for fields in (
        {"stage": stage, "ttl": 60},
        {"stage": stage, "ttl": timedelta(hours=1), "session": "tv"},
        {"stage_prefix": stage[:6], "ttl": 60},
        {"stage_prefix": "", "ttl": 60, "not_before": time.time() - 5},
    ):
        token = sign_token(secret, viewer="ann", **fields)
        assert (await client.send_heartbeat(stage, "ann", "tv", token=token)).viewers == 1
    bare = secret.removeprefix("secret:")
    for same in (bare, bare.encode(), f"{secret}\n"):
        token = sign_token(same, viewer="zoë", stage=stage, ttl=60)
        await client.send_heartbeat(stage, "zoë", token=token)
    await client.send_leave(stage, "zoë", token=token)


async def test_tokens_hold_for_what_they_name_only(connect, keyed_url, secret, stage):
    client = connect(keyed_url)
    token = sign_token(secret, viewer="ann", stage=stage, ttl=60, session="tv")
    assert await refused(client.send_heartbeat(stage, "bob", "tv", token=token)) == (403, "token_mismatch")
    assert await refused(client.send_heartbeat(f"{stage}-b", "ann", "tv", token=token)) == (403, "token_mismatch")
    assert await refused(client.send_heartbeat(stage, "ann", "tab", token=token)) == (403, "token_mismatch")
    forged = sign_token("x" * 32, viewer="ann", stage=stage, ttl=60)
    assert await refused(client.send_heartbeat(stage, "ann", token=forged)) == (401, "token_invalid")
    expired = sign_token(secret, viewer="ann", stage=stage, ttl=-60)
    assert await refused(client.send_heartbeat(stage, "ann", token=expired)) == (401, "token_expired")
    other = sign_token(secret, viewer="ann", stage=stage, ttl=60, audience="elsewhere")
    assert (await refused(client.send_heartbeat(stage, "ann", token=other)))[0] == 401
    unknown = sign_token(secret, viewer="ann", stage=stage, ttl=60, kid="no-such-key")
    # The key has no name, and stands for any.
    assert (await client.send_heartbeat(stage, "ann", token=unknown)).viewers == 1


def test_a_token_that_no_node_would_take_is_not_signed(secret):
    with pytest.raises(ValueError, match="31 bytes"):
        sign_token("x" * 31, viewer="ann", stage="a", ttl=60)
    for fields in ({}, {"stage": "a", "stage_prefix": "a"}):
        with pytest.raises(ValueError, match="not both"):
            sign_token(secret, viewer="ann", ttl=60, **fields)


async def test_operators_calls_need_the_key(connect, keyed_url, key, stage):
    stranger, operator = connect(keyed_url), connect(keyed_url, key=key)
    assert await refused(stranger.show_stats()) == (401, "unauthorized")
    assert await refused(stranger.send_heartbeats([Heartbeat(stage, "ann")])) == (401, "unauthorized")
    assert (await operator.send_heartbeats([Heartbeat(stage, "ann")])).accepted == 1
    assert (await operator.show_stage(stage)).viewers == 1


async def test_a_stream_ends_with_its_token(connect, keyed_url, secret, stage):
    client = connect(keyed_url)
    token = sign_token(secret, viewer="ann", stage=stage, ttl=2)
    counts = []

    async def read():
        async for event in client.stream_counts(stage, token=token):
            counts.append(event.viewers)

    with pytest.raises(HousecountError) as error:
        await asyncio.wait_for(read(), 20)
    assert counts == [0] and error.value.code == "token_expired"
    assert await refused(anext(client.stream_counts(stage, token="no.such.token"))) == (401, "token_invalid")


async def test_a_stage_may_hide_its_count_from_players(connect, keyed_url, key, secret, stage):
    player, operator = connect(keyed_url), connect(keyed_url, key=key)
    await operator.create_stage(stage, public_count="hidden")
    token = sign_token(secret, viewer="ann", stage=stage, ttl=60)
    assert (await player.send_heartbeat(stage, "ann", token=token)).viewers is None
    event = await anext(player.stream_counts(stage, token=token))
    assert (event.stage, event.viewers, event.sessions, event.complete) == (stage, None, None, True)
    assert (await anext(operator.stream_counts(stage))).viewers == 1
