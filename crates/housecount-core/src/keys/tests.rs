//! Stored names are frozen, and can be parsed back.

use super::*;
use crate::limits::{
    SESSION_ID_BYTES_MAX, SORT_KEY_BYTES_MAX, STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
};

/// Frozen: other programs read the first two, and stored data has them all.
#[test]
fn keys_are_frozen() {
    let at = UnixMs(1_790_000_000_000);
    let stage = || "arn:aws:ivs:s/1".to_string();
    let names = |key: Key| (key.pk(), key.sk());
    let pair = |pk: &str, sk: &str| (pk.to_string(), sk.to_string());
    assert_eq!(
        names(Key::Snapshot { stage: stage(), at }),
        pair("STAGE#arn:aws:ivs:s/1", "SNAPSHOT#1790000000000")
    );
    assert_eq!(names(Key::Config { stage: stage() }), pair("STAGE#arn:aws:ivs:s/1", "CONFIG"));
    assert_eq!(
        names(Key::Version { stage: stage(), number: 7 }),
        pair("STAGE#arn:aws:ivs:s/1", "VERSION#0007")
    );
    assert_eq!(names(Key::Fence), pair("FENCE#ledger", "FENCE"));
    assert_eq!(names(Key::StageListEntry { stage: stage() }), pair("STAGES", "arn:aws:ivs:s/1"));
    assert_eq!(names(Key::PublicCount { stage: stage() }), pair("PUBLICCOUNTS", "arn:aws:ivs:s/1"));
    assert_eq!(names(Key::PublicCountHead), pair("PUBLICCOUNTS#HEAD", "HEAD"));
    assert_eq!(names(Key::Roster { at, part: 2 }), pair("ROSTER", "1790000000000#0002"));
    assert_eq!(names(Key::Lease { name: "snapshot".into() }), pair("LEASE#snapshot", "LEASE"));
    let chain = Chain { series: Series::Ledger, partitions: 8, partition: 3 };
    let archive = Chain { series: Series::Archive, ..chain };
    assert_eq!(
        names(Key::Series { series: Series::Ledger, partitions: 8 }),
        pair("LEDGERS", "00008")
    );
    assert_eq!(
        names(Key::Series { series: Series::Archive, partitions: 1 }),
        pair("ARCHIVES", "00001")
    );
    assert_eq!(
        names(Key::Chunk { chain: archive, window: at }),
        pair("ARCHIVE#8#3", "1790000000000")
    );
    assert_eq!(names(Key::ItemArchiveCursor { chain: archive }), pair("ARCHIVE#8#3", "ITEMS"));
    assert_eq!(
        names(Key::Heartbeat { stage: stage(), at, viewer: "ann".into(), session: "tab".into() }),
        pair("STAGE#arn:aws:ivs:s/1", "HEARTBEAT#1790000000000#ann#tab")
    );
    assert_eq!(
        names(Key::Heartbeat { stage: stage(), at, viewer: "50%#1".into(), session: "%23".into() }),
        pair("STAGE#arn:aws:ivs:s/1", "HEARTBEAT#1790000000000#50%25%231#%2523")
    );
    let day = UnixMs(1_789_948_800_000);
    assert_eq!(
        names(Key::HeartbeatDay { day, stage: stage() }),
        pair("HEARTBEATS", "1789948800000#arn:aws:ivs:s/1")
    );
    assert_eq!(names(Key::Chunk { chain, window: at }), pair("LEDGER#8#3", "1790000000000"));
    assert_eq!(
        names(Key::ChunkPart { chain, window: at, crc: 0xbeef, part: 12 }),
        pair("LEDGER#8#3", "1790000000000#0000beef#0012")
    );
    assert_eq!(names(Key::EventBatch { first: 42 }), pair("EVENTS", "BATCH#0000000000042"));
    let state = Key::EventState { next: 42, part: 1 };
    assert_eq!(names(state.clone()), pair("EVENTS", "STATE#0000000000042#0001"));
    assert_eq!(Key::of_event_state(&state.sk()), Some(state));
    assert_eq!(Key::of_event_state("STATE#42#1"), None);
    assert_eq!(
        names(Key::WebhookProgress { name: "billing".into() }),
        pair("EVENTS", "WEBHOOK#billing")
    );
    assert_eq!(log_pk(3), "LOG#3");
    assert_eq!(log_sk(at, 0xbeef, 0), "1790000000000#0000beef");
    assert_eq!(log_sk(at, 0xbeef, 2), "1790000000000#0000beef#0002");
    assert!(
        log_sk(at, 0xbeef, 2) < log_sk(at, 0xbeef, u32::MAX)
            && log_sk(at, 1, 0).as_str() < LOG_META_SK
    );
    for (writer, part) in [(0xbeef, 0), (7, 12)] {
        assert_eq!(parse_log_sk(&log_sk(at, writer, part)), Some((at, writer, part)));
    }
    assert_eq!(parse_log_sk(LOG_META_SK), None);
    assert_eq!(redis_stream("hc:", 3), "hc:{3}:log");
    assert_eq!(redis_meta("hc:", 3), "hc:{3}:meta");
    assert_eq!(redis_count("hc:", "s/1"), "hc:viewers:s/1");
}

/// Ids that look like parts of keys. No two heartbeats share a sort key, and each key can be parsed
/// back to its heartbeat.
#[test]
fn no_two_heartbeats_share_a_key() {
    let ids = [
        "", "#", "##", "%", "%2", "%23", "%25", "%2523", "a", "a#", "#a", "a#b", "b#c", "a%23b",
        "é#",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (viewer, session) in ids.iter().flat_map(|viewer| ids.map(|session| (*viewer, session))) {
        let (viewer, session) = (viewer.to_string(), session.to_string());
        let key =
            Key::Heartbeat { stage: "s".into(), at: UnixMs(1_790_000_000_000), viewer, session };
        assert!(seen.insert(key.sk()), "{key:?}");
        assert_eq!(Key::of_heartbeat("s", &key.sk()), Some(key));
    }
    for other in [
        "HEARTBEAT#1790000000000#a",
        "HEARTBEAT#1#a#b#c",
        "HEARTBEAT#1#%2#",
        "HEARTBEAT#01#a#",
        "CONFIG",
    ] {
        assert_eq!(Key::of_heartbeat("s", other), None, "{other}");
    }
}

#[test]
fn sort_key_bytes_max_holds_the_longest_ids() {
    let (viewer, session) = ("#".repeat(VIEWER_ID_BYTES_MAX), "%".repeat(SESSION_ID_BYTES_MAX));
    let key = Key::Heartbeat { stage: "s".into(), at: UnixMs(MS_OF_13_DIGITS), viewer, session };
    assert!(key.sk().len() <= SORT_KEY_BYTES_MAX, "{}", key.sk().len());
    let stage = "s".repeat(STAGE_ID_BYTES_MAX);
    assert!(
        Key::HeartbeatDay { day: UnixMs(MS_OF_13_DIGITS), stage }.sk().len() <= SORT_KEY_BYTES_MAX
    );
}
