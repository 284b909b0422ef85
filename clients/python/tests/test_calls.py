"""Every call, by both clients, against a real node."""

import asyncio
import time
from datetime import date, datetime, timedelta, timezone

import pytest
from conftest import until

from housecount import Heartbeat, HousecountError, LiveCount, StatsResponse


async def test_heartbeat_and_leave(client, stage):
    one = await client.send_heartbeat(stage, "ann", "tab 1")
    assert (one.viewers, one.sessions, one.complete, one.recovering, one.coalesced) == (1, 1, True, False, None)
    assert 0 < one.next_ms < 4_000
    two = await client.send_heartbeat(stage, "zoë", None)
    assert (two.viewers, two.sessions) == (2, 2)
    viewer = await client.show_viewer("zoë")
    assert viewer.online and [each.sessions for each in viewer.stages if each.stage == stage] == [[""]]
    assert await client.send_leave(stage, "ann", "tab 1") is None

    async def is_left():
        return (await client.show_stage(stage)).viewers == 1

    # zoë's ttl is 4 s: she must be there still when ann has gone.
    await client.send_heartbeat(stage, "zoë")
    await until(is_left)


async def test_batches_of_more_than_a_call_takes(client, stage):
    beats = [Heartbeat(stage, f"viewer-{index}") for index in range(20_003)]
    beats[3] = Heartbeat("a stage with spaces", "ann")
    beats[10_007] = Heartbeat(stage, "")
    outcome = await client.send_heartbeats(beats)
    assert outcome.accepted == 20_001
    assert [(each.index, each.code) for each in outcome.rejected] == [(3, "invalid_stage"), (10_007, "invalid_viewer")]
    assert (await client.show_stage(stage)).viewers == 20_001


async def test_batches_of_more_bytes_than_a_call_takes(client, stage):
    beats = [Heartbeat(stage, f"{index:05}{'ü' * 60}", "s" * 128) for index in range(9_000)]
    assert (await client.send_heartbeats(iter(beats))).accepted == 9_000
    assert (await client.show_stage(stage)).viewers == 9_000


async def test_a_batch_that_is_refused_whole_names_each(client, stage):
    outcome = await client.send_heartbeats([Heartbeat(stage, "a\nb"), Heartbeat("ü", "ann")])
    assert outcome.accepted == 0 and outcome.coalesced is None
    assert [(each.index, each.code) for each in outcome.rejected] == [(0, "invalid_viewer"), (1, "invalid_stage")]
    assert (await client.send_heartbeats([])).accepted == 0


async def test_coalesced_heartbeats_are_reported(client, stage):
    outcome = await client.send_heartbeats([Heartbeat(stage, "ann", "tab")] * 30)
    assert outcome.accepted == 30 and outcome.coalesced is not None and 0 < outcome.coalesced < 30


async def test_lists_are_read_page_by_page(client, stage):
    await client.send_heartbeats([Heartbeat(f"{stage}-{index}", f"viewer-{index}") for index in range(5)])
    await client.send_heartbeats([Heartbeat(stage, f"viewer-{index}") for index in range(7)])
    stages = [each.stage async for each in client.list_stages(limit=2) if each.stage.startswith(f"{stage}-")]
    assert stages == [f"{stage}-{index}" for index in range(5)]
    pages = [page async for page in client.list_stage_viewers(stage, limit=3).pages()]
    assert len(pages) >= 3 and all(page.complete for page in pages)
    seen = {viewer.viewer async for viewer in client.list_stage_viewers(stage, limit=3)}
    assert seen == {f"viewer-{index}" for index in range(7)}


async def test_watch_time(client, stage):
    began = datetime.now(timezone.utc)
    first = await client.send_heartbeat(stage, "ann")
    await client.send_heartbeat(f"{stage}-b", "ann")
    await asyncio.sleep(1.1)  # The time that is watched.
    second = await client.send_heartbeat(stage, "ann")
    await client.send_heartbeat(stage, "bob")
    rows = [row async for row in client.list_stage_watch(stage, from_=began, intervals=True, limit=1)]
    assert [row.viewer for row in rows] == ["ann"], "bob's one heartbeat proves nothing"
    assert rows[0].intervals is not None and len(rows[0].intervals) == 1
    assert rows[0].watch_ms == rows[0].intervals[0].to - rows[0].intervals[0].from_ >= 1_000
    assert second.as_of - first.as_of > 1_000
    of_ann = [
        row
        async for row in client.list_viewer_watch("ann", from_=date.today() - timedelta(days=1))
        if row.stage == stage
    ]
    assert [row.watch_ms for row in of_ann] == [rows[0].watch_ms] and of_ann[0].intervals is None
    totals = [row async for row in client.list_watch(from_=began, limit=1, step="1s") if row.stage == stage]
    assert [row.watch_ms for row in totals] == [rows[0].watch_ms] and totals[0].history
    history = await client.show_stage_history(
        stage, from_=began, to=datetime.now(timezone.utc), step=timedelta(seconds=1)
    )
    assert history.step_ms == 1_000 and history.stage == stage and max(step.max for step in history.history) == 1
    assert history.ttl_ms == 4_000 and (await client.show_history(from_=int(time.time() * 1_000) - 60_000)).history


async def test_snapshots(connect, make_node, stage):
    # A node of its own, since a restore makes all counts of a node provisional for a while.
    node = make_node()
    node.start()
    client = connect(node.url)
    await client.send_heartbeat(stage, "ann")
    saved = await client.save_snapshots()
    assert saved.outcome == "saved" and saved.stages >= 1
    snapshots = [each async for each in client.list_stage_snapshots(stage)]
    assert [each.viewers for each in snapshots] == [1]
    restored = await client.restore_counts()
    assert restored.restored and restored.until is not None


async def test_configuration(client, stage):
    made = await client.create_stage(stage, name="The final", customer="acme", tags={"sport": "judo"})
    assert (made.name, made.customer, made.tags, made.configured) == ("The final", "acme", {"sport": "judo"}, True)
    with pytest.raises(HousecountError) as error:
        await client.create_stage(stage)
    assert (error.value.status, error.value.code) == (409, "stage_exists")
    changed = await client.change_stage(stage, {"customer": None, "tags": {"sport": None, "hall": "2"}})
    assert (changed.name, changed.customer, changed.tags) == ("The final", None, {"hall": "2"})
    assert (await client.delete_stage(stage)).stage == stage
    with pytest.raises(HousecountError) as error:
        await client.show_stage(stage)
    assert error.value.code == "stage_not_found" and stage in str(error.value)


async def test_ids_with_slashes_and_pluses(client):
    arn = "arn:aws:ivs:eu-central-1:1:stage/a+b%2Fc?d&e"
    await client.send_heartbeat(arn, "ann/bob +1&x=%")
    assert (await client.show_stage(arn)).stage == arn
    assert [each.viewer async for each in client.list_stage_viewers(arn)] == ["ann/bob +1&x=%"]
    assert (await client.show_viewer("ann/bob +1&x=%")).online


async def test_stats_and_cost(client, stage):
    await client.send_heartbeat(stage, "ann")
    stats = await client.show_stats()
    assert stats.viewers >= 1 and stats.stages >= 1
    cost = await client.show_cost()
    assert cost.redis is None and cost.limit is None and cost.total.usd >= 0 and cost.plans[0].name


async def test_live_counts(client, stage):
    seen = []
    async for event in client.stream_counts(stage, totals=True):
        seen.append(event)
        counts = [each.viewers for each in seen if isinstance(each, LiveCount)]
        if counts == [0]:
            await client.send_heartbeat(stage, "ann")
        if counts[-1:] == [1]:
            break
    assert any(isinstance(each, StatsResponse) for each in seen)
    assert all(each.complete and each.stage == stage for each in seen if isinstance(each, LiveCount))


async def test_times_are_distinguished(client, stage):
    with pytest.raises(ValueError, match="no time zone"):
        await client.show_history(from_=datetime(2026, 11, 1))
    with pytest.raises(HousecountError) as error:
        await client.show_history(from_=1_795_948_578)
    assert error.value.code == "invalid_query" and "second" in error.value.detail


async def test_refusals_are_not_repeated(client):
    began = time.monotonic()
    for call in (client.send_heartbeat("a b", "ann"), client.send_leave("a", ""), client.show_stage("unknown-stage")):
        with pytest.raises(HousecountError) as error:
            await call
        assert error.value.status in (400, 404) and error.value.detail
    assert time.monotonic() - began < 10, "a call is tried again for 30 s"


def test_an_address_without_a_scheme_is_refused():
    from housecount import Client

    with pytest.raises(ValueError, match="is not an address"):
        Client("count.example.org")
