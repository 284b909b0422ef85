//! Tests of the board.

use housecount_core::time::UnixMs;
use proptest::prelude::*;

use super::*;
use crate::live::pending::{LOOK_EVERY_MS, STAGES_PER_HOLD};

fn shown(viewers: u64) -> PublishedCount {
    let status = CountStatus { as_of: UnixMs(7), complete: true, recovering: false };
    PublishedCount { count: Count { viewers, sessions: viewers }, stages: None, status }
}

#[test]
fn live_every_ms_min_is_kept_between_two_messages_of_a_stage() {
    let mut board = LatestCounts::new(1);
    board.update("s", shown(1), 5_000);
    let mut receiver = board.follow("s").unwrap();
    for (viewers, after_ms) in [(2, 1), (3, LIVE_EVERY_MS_MIN - 1)] {
        board.update("s", shown(viewers), 5_000 + after_ms);
    }
    assert!(!receiver.has_changed().unwrap());
    board.update("s", shown(4), 5_000 + LIVE_EVERY_MS_MIN);
    assert_eq!(receiver.borrow_and_update().number, 2);
    board.update("s", shown(4), 5_000 + 9 * LIVE_EVERY_MS_MIN);
    assert!(!receiver.has_changed().unwrap(), "an equal count sends nothing");
}

#[test]
fn live_events_per_second_slow_a_stage_down_to_live_every_ms_max() {
    let mut board = LatestCounts::new(1);
    board.update("s", shown(1), 0);
    let follow = |board: &LatestCounts, count: u64| -> Vec<_> {
        (0..count).map(|_| board.follow("s").unwrap()).collect()
    };
    let mut followers = follow(&board, LIVE_EVENTS_PER_SECOND);
    assert!(board.update("s", shown(2), LIVE_EVERY_MS_MIN), "a message per second for each");
    followers.extend(follow(&board, LIVE_EVENTS_PER_SECOND));
    assert!(!board.update("s", shown(3), 3 * LIVE_EVERY_MS_MIN - 1), "one in two seconds");
    assert!(board.update("s", shown(3), 3 * LIVE_EVERY_MS_MIN));
    board.events_per_second = 1;
    assert!(!board.update("s", shown(4), 3 * LIVE_EVERY_MS_MIN + LIVE_EVERY_MS_MAX - 1));
    assert!(board.update("s", shown(4), 3 * LIVE_EVERY_MS_MIN + LIVE_EVERY_MS_MAX));
    drop(followers);
    let made_ms = 3 * LIVE_EVERY_MS_MIN + LIVE_EVERY_MS_MAX;
    assert!(board.update("s", shown(5), made_ms + LIVE_EVERY_MS_MIN), "no subscriber is left");
}

#[test]
fn live_forget_ms_after_the_last_subscriber_all_is_evicted() {
    let mut board = LatestCounts::new(1);
    board.update("s", shown(1), 5_000);
    board.update("empty", shown(0), 5_000);
    let receiver = board.follow("s").unwrap();
    assert_eq!(board.number_of("00000001-2"), Some(2));
    board.update("emptied", shown(1), 5_000);
    board.update("emptied", shown(0), 6_000);
    board.evict_idle(6_000);
    assert!(board.follow("empty").is_none() && board.follow("emptied").is_some());
    board.evict_idle(6_001 + LIVE_FORGET_MS);
    assert!(board.follow("emptied").is_none() && board.number_of("00000001-2") == Some(2));
    drop(receiver);
    board.evict_idle(6_001 + LIVE_FORGET_MS);
    assert_eq!(
        board.number_of("00000001-2"),
        Some(2),
        "a disconnected subscriber can still resume"
    );
    board.evict_idle(6_002 + 2 * LIVE_FORGET_MS);
    assert!(board.follow("s").is_none() && board.by_number.is_empty());
    assert_eq!(board.number_of("00000001-2"), None, "a late subscriber can't resume");
    assert_eq!([board.number_of("00000002-2"), board.number_of("00000002-5")], [Some(2), None]);
    assert_eq!([board.number_of(""), board.number_of("x-1"), board.number_of("1-")], [None; 3]);
}

#[test]
fn live_empty_stages_max_bounds_what_is_named_without_viewers() {
    let mut board = LatestCounts::new(1);
    let mut followed = Vec::new();
    for n in 0..LIVE_EMPTY_STAGES_MAX {
        let stage = n.to_string();
        assert!(board.has_room_for(&stage, &shown(0)));
        board.update(&stage, shown(0), 0);
        followed.push(board.follow(&stage).unwrap());
    }
    assert!(!board.has_room_for("one more", &shown(0)));
    for (stage, viewers) in [("watched", 1), ("7", 0), (ALL, 0)] {
        assert!(board.has_room_for(stage, &shown(viewers)), "{stage}");
    }
    // A stage that gets viewers makes room, and so does one without subscribers.
    board.update("7", shown(1), LIVE_EVERY_MS_MIN);
    assert!(board.has_room_for("one more", &shown(0)));
    board.update("one more", shown(0), LIVE_EVERY_MS_MIN);
    assert!(!board.has_room_for("another", &shown(0)));
    board.evict_idle(LIVE_EVERY_MS_MIN);
    assert!(board.has_room_for("another", &shown(0)));
    drop(followed);
    board.evict_idle(LIVE_EVERY_MS_MIN);
    assert_eq!((board.unwatched, board.entries.len()), (0, 1), "only the watched entry is left");
}

#[test]
fn live_write_bytes_are_sent_at_once() {
    let mut board = LatestCounts::new(1);
    (0..2_000).for_each(|n| {
        board.update(&format!("stage-{n}"), shown(n), 0);
    });
    let (mut number, mut pieces) = (0, Vec::new());
    while let Some((text, reached)) = board.after(number, false, Encoding::Full) {
        (number, pieces) = (reached, [pieces, vec![text.len()]].concat());
    }
    assert_eq!(number, 2_000);
    let (last, full) = pieces.split_last().unwrap();
    let is_full = |bytes: &usize| (LIVE_WRITE_BYTES..LIVE_WRITE_BYTES + 512).contains(bytes);
    assert!(full.len() >= 2 && full.iter().all(is_full) && *last < LIVE_WRITE_BYTES, "{pieces:?}");
}

fn looked_at(board: &mut LatestCounts, now_mono_ms: u64) -> Vec<String> {
    let (mut all, mut due) = (Vec::new(), None);
    while let Some(next) = board.pending.due(due.as_ref(), now_mono_ms) {
        all.extend(next.stages.iter().map(|stage| stage.to_string()));
        due = Some(next);
    }
    all
}

#[test]
fn only_changed_stages_that_a_subscriber_follows_are_looked_at() {
    let (mut board, status) = (LatestCounts::new(1), shown(0).status);
    assert!(!board.note_trust(status));
    board.update("a", shown(1), 0);
    let receiver = board.follow("a").unwrap();
    board.mark("a".into());
    board.mark("b".into());
    assert_eq!(looked_at(&mut board, 1_000), ["a"], "no subscriber follows b");
    board.note_pending(&"a".into(), shown(2), LIVE_EVERY_MS_MIN - 1);
    assert_eq!(looked_at(&mut board, 1_001), ["a"], "the last message is too recent");
    board.note_pending(&"a".into(), shown(2), LIVE_EVERY_MS_MIN);
    assert!(looked_at(&mut board, 2_000).is_empty());
    assert_eq!(receiver.borrow().number, 2);
    // A subscriber of all stages gets those that the board lacked, once.
    board.count(true, true);
    assert!(board.note_trust(status));
    let stages: Vec<String> = (0..3 * STAGES_PER_HOLD).map(|n| format!("s{n:04}")).collect();
    stages.iter().for_each(|stage| board.mark(stage.as_str().into()));
    assert!(!board.note_trust(status));
    assert_eq!(looked_at(&mut board, 9_000), stages);
    assert!(
        looked_at(&mut board, 9_000 + LOOK_EVERY_MS - 1).is_empty(),
        "the next look is not due yet"
    );
    for stage in looked_at(&mut board, 9_000 + LOOK_EVERY_MS) {
        board.note_pending(&stage.as_str().into(), shown(1), 9_500);
    }
    assert!(looked_at(&mut board, 20_000).is_empty());
    // When counts become incomplete, every entry has a change to report.
    assert!(board.note_trust(CountStatus { complete: false, ..status }));
    assert_eq!(looked_at(&mut board, 30_000).len(), stages.len() + 1);
    board.count(false, true);
    drop(receiver);
    for stage in looked_at(&mut board, 40_000) {
        board.note_pending(&stage.as_str().into(), shown(9), 40_000);
    }
    assert!(board.pending.is_empty(), "no pending message without a subscriber");
}

proptest! {
    /// A subscriber that reads piece by piece, however slowly, ends with the latest of every
    /// stage. It gets nothing twice.
    #[test]
    fn slow_readers_skip_to_the_latest(
        notes in proptest::collection::vec((0..5u8, 0..4u64), 1..60), read_every in 1..20usize,
    ) {
        let mut board = LatestCounts::new(1);
        let (mut number, mut received) = (0, BTreeMap::new());
        let read = |board: &LatestCounts, number: &mut u64, received: &mut BTreeMap<u8, u64>| {
            while let Some((text, reached)) = board.after(*number, false, Encoding::Full) {
                let text = String::from_utf8(text.to_vec()).unwrap();
                for message in text.split_terminator("\n\n") {
                    let data = message.split_once("data: ").unwrap().1;
                    let data: serde_json::Value = serde_json::from_str(data).unwrap();
                    let stage = data["stage"].as_str().unwrap().parse().unwrap();
                    received.insert(stage, data["viewers"].as_u64().unwrap());
                }
                assert!(reached > *number);
                *number = reached;
            }
        };
        let mut latest = BTreeMap::new();
        for (n, (stage, viewers)) in notes.iter().enumerate() {
            board.update(&stage.to_string(), shown(*viewers), n as u64 * LIVE_EVERY_MS_MIN);
            latest.insert(*stage, *viewers);
            if n % read_every == 0 {
                read(&board, &mut number, &mut received);
            }
        }
        read(&board, &mut number, &mut received);
        prop_assert_eq!(received, latest);
    }
}
