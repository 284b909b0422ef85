"""Labels: sent in heartbeats and tokens, read by `by`."""

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from conftest import until

from housecount import AsyncClient, Heartbeat, HousecountError, LiveLabels, sign_token


def viewers_of(by):
    return {row.value: row.viewers for row in by.values}


async def test_counts_by_label(client, stage):
    await client.send_heartbeat(stage, "ann", "tv", labels={"country": "NO", "device": "tv"})
    await client.send_heartbeats(
        [
            Heartbeat(stage, "ann", "phone", {"country": "NO", "device": "phone"}),
            Heartbeat(stage, "bob", labels={"country": "SE"}),
            Heartbeat(stage, "cid"),
        ]
    )
    seen = await client.show_stage(stage, by="country")
    assert seen.viewers == 3 and seen.by.key == "country"
    assert viewers_of(seen.by) == {"NO": 1, "SE": 1, None: 1}
    seen = await client.show_stage(stage, by="device")
    assert viewers_of(seen.by) == {"tv": 1, "phone": 1, None: 2}, "ann has two devices"
    plain = await client.show_stage(stage)
    assert plain.by is None and plain.labels == ["country", "device"]
    stats = await client.show_stats(by="country")
    assert stats.by.key == "country" and viewers_of(stats.by)["NO"] >= 1


async def test_wrong_labels_are_refused(client, stage):
    for call in (
        client.send_heartbeat(stage, "ann", labels={"colour": "red"}),
        client.send_heartbeat(stage, "ann", labels={"country": "x" * 33}),
    ):
        with pytest.raises(HousecountError) as error:
            await call
        assert error.value.code == "invalid_labels"
    outcome = await client.send_heartbeats([Heartbeat(stage, "ann", labels={"colour": "red"}), Heartbeat(stage, "bob")])
    assert outcome.accepted == 1 and [each.code for each in outcome.rejected] == ["invalid_labels"]
    with pytest.raises(HousecountError) as error:
        await client.show_stats(by="colour")
    assert error.value.code == "invalid_query" and "country" in error.value.detail


async def test_live_counts_by_label(client, stage):
    seen = []
    async for event in client.stream_counts(stage, by="country"):
        if isinstance(event, LiveLabels):
            assert event.stage == stage and event.by.key == "country"
            seen.append(viewers_of(event.by))
            if len(seen) == 1:
                await client.send_heartbeat(stage, "ann", labels={"country": "NO"})
            if seen[-1] == {"NO": 1}:
                break
    assert seen[0] == {}
    async for event in client.stream_counts(totals=True, by="country"):
        if isinstance(event, LiveLabels):
            assert event.stage is None and viewers_of(event.by)["NO"] >= 1
            break


async def test_the_past_by_label(client, stage):
    began = datetime.now(timezone.utc)
    beats = [
        Heartbeat(stage, "ann", labels={"country": "NO"}),
        Heartbeat(stage, "bob", labels={"country": "SE"}),
        Heartbeat(stage, "cid"),
    ]
    await client.send_heartbeats(beats)
    await asyncio.sleep(1.1)  # The time that is watched.
    await client.send_heartbeats(beats)
    ended = datetime.now(timezone.utc)
    watch = await client.show_stage_watch_by_label(stage, "country", from_=began, to=ended)
    assert watch.stage == stage and viewers_of(watch.by) == {"NO": 1, "SE": 1, None: 1}
    assert all(row.watch_ms >= 1_000 and row.peak_viewers == 1 for row in watch.by.values)
    everything = await client.show_watch_by_label("country", from_=began, to=ended)
    assert everything.stage is None and viewers_of(everything.by)["SE"] >= 1
    history = await client.show_stage_history(stage, from_=began, to=ended, step="1s", by="country")
    assert viewers_of(history.by) == {"NO": 1, "SE": 1, None: 1} and history.by.values[0].history
    assert (await client.show_history(from_=began, step=timedelta(seconds=1), by="country")).by.key == "country"
    report = await client.show_stage_report(stage, from_=began, to=ended, by="country")
    assert report.unique_viewers == 3
    assert {row.value: row.unique_viewers for row in report.by.values} == {"NO": 1, "SE": 1, None: 1}
    assert (await client.show_report(from_=began, to=ended)).unique_viewers >= 3


async def test_a_tokens_labels_win(connect, keyed_url, key, secret, stage):
    player, operator = connect(keyed_url), connect(keyed_url, key=key)
    token = sign_token(secret, viewer="ann", stage=stage, ttl=60, labels={"country": "NO"})
    await player.send_heartbeat(stage, "ann", labels={"country": "SE", "device": "tv"}, token=token)
    assert viewers_of((await operator.show_stage(stage, by="country")).by) == {"NO": 1}
    assert viewers_of((await operator.show_stage(stage, by="device")).by) == {"tv": 1}


async def test_a_watch_keeps_its_labels(url, stage):
    async with AsyncClient(url) as client:
        watch = client.watch(stage, "ann", labels={"device": "tv"})

        async def is_on_tv():
            viewer = await client.show_viewer("ann")
            return any(each.stage == stage for each in viewer.stages) and viewers_of(
                (await client.show_stage(stage, by="device")).by
            ) == {"tv": 1}

        await until(is_on_tv)
        await watch.leave()
        watch.resume()
        await until(is_on_tv)
        await watch.leave()


async def test_a_viewer_has_so_many_streams(connect, keyed_url, secret, stage):
    client, viewer = connect(keyed_url), f"viewer of {stage}"
    token = sign_token(secret, viewer=viewer, stage=stage, ttl=60, streams=1)
    await client.send_heartbeat(stage, viewer, "phone", token=token)
    with pytest.raises(HousecountError) as error:
        await client.send_heartbeat(stage, viewer, "tv", token=token)
    assert (error.value.status, error.value.code) == (409, "too_many_streams")
    assert [(each.stage, each.session, each.since > 0) for each in error.value.active] == [(stage, "phone", True)]
    await client.send_heartbeat(stage, viewer, "tv", replaces="phone", token=token)
    with pytest.raises(HousecountError) as error:
        await client.send_heartbeat(stage, viewer, "phone", token=token)
    assert (error.value.status, error.value.code) == (409, "displaced")
