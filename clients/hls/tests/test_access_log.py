"""Lines of real logs: nginx 1.22 (combined, and JSON by `escape=json`), and addresses as each server writes them."""

from datetime import datetime, timedelta, timezone

import pytest

from housecount import Heartbeat
from housecount_hls import access_log
from housecount_hls.access_log import LATE_S_MAX, STAGES, AccessLog
from housecount_hls.identity import VIEWER_BYTES_MAX, Identity

SALT = b"salt" * 8
PLAYER = "Lavf/59.27.100"
NOW = datetime(2026, 11, 29, 22, 0, 0, tzinfo=timezone.utc)
DEVICE = Identity(SALT, "viewer").from_address("127.0.0.1", PLAYER)


def combined(uri, *, status=200, at=NOW, method="GET", player=PLAYER, address="127.0.0.1", more=""):
    return (
        f'{address} - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "{method} {uri} HTTP/1.1" {status} 94376 "-" "{player}"{more}\n'
    )


def log(kind="nginx-rtmp", **fields):
    return AccessLog(Identity(SALT, "viewer"), STAGES[kind], **fields)


def beats(line, kind="nginx-rtmp", **fields):
    return log(kind, **fields).parse_line(line, NOW.timestamp())


@pytest.mark.parametrize(
    ("kind", "uri", "stage"),
    [
        ("nginx-rtmp", "/hls/match-1-42.ts", "match-1"),
        ("nginx-rtmp", "/hls/match-1/42.ts", "match-1"),
        ("nginx-rtmp", "/hls/match-1_720p/42.ts", "match-1"),
        ("nginx-rtmp", "/hls/match%2D1-42.ts?x=1", "match-1"),
        ("nginx-rtmp", "/hls/match-1-1790000000123.ts", "match-1"),
        ("srs", "/live/livestream-12.ts?hls_ctx=a8s7d", "live/livestream"),
        ("srs", "/live/livestream-12.m4s", "live/livestream"),
        ("mediamtx", "/cameras/hall-2/a1b2c3_video1_seg7.mp4?session=x", "cameras/hall-2"),
        ("mediamtx", "/hall/3f2a_part12.mp4", "hall"),
        ("mediamtx", "/hall/3f2a_main_seg0.ts", "hall"),
        ("owncast", "/hls/0/stream-Xy12_-7.ts", "hls"),
    ],
)
def test_segments_name_their_stage(kind, uri, stage):
    assert beats(combined(uri), kind) == [Heartbeat(stage, DEVICE)]
    assert beats(combined(uri), kind, stage="mine") == [Heartbeat("mine", DEVICE)]


@pytest.mark.parametrize(
    "line",
    [
        combined("/hls/match-1.m3u8"),
        combined("/hls/match-1-42.ts", status=404),
        combined("/hls/match-1-42.ts", status=502),
        combined("/hls/match-1-42.ts", method="HEAD"),
        combined("/index.html"),
        combined("/hls/poster.jpg"),
        "\n",
    ],
)
def test_other_requests_count_no_viewer(line):
    assert beats(line) == []


@pytest.mark.parametrize("status", [200, 206, 304])
def test_segments_may_come_in_ranges_or_from_a_cache(status):
    assert len(beats(combined("/hls/match-1-42.ts", status=status))) == 1


def test_a_field_of_the_log_names_the_viewer():
    uri = "/hls/match-1-42.ts"
    assert beats(combined(uri, more=' "ann"')) == [Heartbeat("match-1", "ann", DEVICE)]
    assert beats(combined(uri, more=' "-"')) == [Heartbeat("match-1", DEVICE)]
    line = (
        '{"msec":"%.3f","remote_addr":"127.0.0.1","request_method":"GET","request_uri":"%s","status":"200",'
        '"http_user_agent":"Lavf/59.27.100","viewer":"zoë \\"z\\""}\n'
    )
    assert beats(line % (NOW.timestamp(), uri)) == [Heartbeat("match-1", 'zoë "z"', DEVICE)]
    iso = '{"time_iso8601":"2026-11-29T23:00:00+01:00","request_method":"GET","request_uri":"%s","status":200}' % uri
    assert len(beats(iso)) == 1


def test_an_invalid_id_is_ignored():
    uri = "/hls/match-1-42.ts?viewer="
    assert beats(combined(uri + "a" * VIEWER_BYTES_MAX)) == [Heartbeat("match-1", "a" * VIEWER_BYTES_MAX, DEVICE)]
    for bad in ("a" * (VIEWER_BYTES_MAX + 1), "a%0Ab", ""):
        assert beats(combined(uri + bad)) == [Heartbeat("match-1", DEVICE)]


@pytest.mark.parametrize(
    ("kind", "playlist", "segment"),
    [
        ("nginx-rtmp", "/hls/match-1.m3u8", "/hls/match-1-42.ts"),
        ("nginx-rtmp", "/hls/match-1/index.m3u8", "/hls/match-1/42.ts"),
        ("srs", "/live/livestream.m3u8", "/live/livestream-12.ts"),
        ("mediamtx", "/hall/index.m3u8", "/hall/3f2a_main_seg0.ts"),
        ("mediamtx", "/hall/main_stream.m3u8", "/hall/3f2a_main_seg0.ts"),
    ],
)
def test_a_playlist_names_the_viewer_of_the_segments_that_follow(kind, playlist, segment):
    mine, now = log(kind), NOW.timestamp()
    assert mine.parse_line(combined(f"{playlist}?viewer=ann"), now) == [], "a paused player loads playlists too"
    (beat,) = mine.parse_line(combined(segment), now + 5)
    assert (beat.viewer, beat.session) == ("ann", DEVICE)
    # Equal players of one address can't be distinguished: both watch.
    mine.parse_line(combined(f"{playlist}?viewer=bob"), now + 6)
    assert {beat.viewer for beat in mine.parse_line(combined(segment), now + 7)} == {"ann", "bob"}
    assert {beat.viewer for beat in mine.parse_line(combined(segment, player="VLC/3"), now + 7)} != {"ann", "bob"}
    later = now + access_log.VIEWER_ID_S_MAX + 7
    assert [beat.viewer for beat in mine.parse_line(combined(segment, at=NOW + timedelta(seconds=67)), later)] == [
        DEVICE
    ]


def test_the_kept_ids_are_bounded(monkeypatch):
    monkeypatch.setattr(access_log, "DEVICES_MAX", 2)
    mine, now = log(), NOW.timestamp()
    for each in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        mine.parse_line(combined(f"/hls/match-1.m3u8?viewer={each}", address=each), now)
    named = [
        mine.parse_line(combined("/hls/match-1-1.ts", address=each), now)[0].session
        for each in ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    ]
    assert [each is not None for each in named] == [False, True, True]


def test_playlists_count_where_a_cdn_serves_the_segments():
    assert beats(combined("/hls/match-1.m3u8?viewer=ann"), playlists=True) == [Heartbeat("match-1", "ann", DEVICE)]
    assert beats(combined("/hls/match-1.m3u8"), playlists=True) == [Heartbeat("match-1", DEVICE)]


def test_old_and_unreadable_lines_are_counted():
    mine, now = log(), NOW.timestamp()
    uri = "/hls/match-1-42.ts"
    assert len(mine.parse_line(combined(uri, at=NOW - timedelta(seconds=LATE_S_MAX)), now)) == 1
    assert mine.parse_line(combined(uri, at=NOW - timedelta(seconds=LATE_S_MAX + 1)), now) == []
    assert (mine.skipped.late, mine.skipped.unreadable) == (1, 0)
    for line in ("not a log\n", "{not json\n", "[1]\n", combined(uri).replace("Nov", "Foo")):
        assert mine.parse_line(line, now) == []
    assert (mine.skipped.late, mine.skipped.unreadable) == (1, 4)


def test_unnamed_viewers_are_distinguished_by_address_and_player():
    uri = "/hls/match-1-42.ts"
    lines = [combined(uri), combined(uri, player="VLC/3"), combined(uri, address="::1"), combined(uri)]
    viewers = [beats(line)[0].viewer for line in lines]
    assert len(set(viewers)) == 3 and viewers[0] == viewers[3]
    assert not any("127.0.0.1" in viewer for viewer in viewers)
    assert Identity(b"other", "viewer").from_address("127.0.0.1", PLAYER) != DEVICE
