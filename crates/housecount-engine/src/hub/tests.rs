//! Tests of `asOf`, and of whether counts are complete.

use housecount_core::event::SessionLabels;
use housecount_core::fold::Walk;
use housecount_core::limits::{
    SEATS_AGED_PER_HOLD_MAX, SEATS_PER_HOLD_MAX, SEATS_REBUILT_PER_HOLD_MAX, STAGES_PER_HOLD_MAX,
    VIEWERS_PER_HOLD_MAX,
};
use housecount_core::span::Span;
use housecount_test::timed_test;

use super::*;
use crate::ledger::Proofs;

/// `asOf` is the time up to which everything was read. A record of this node's own may come after
/// others that it has not read.
#[test]
fn as_of_stays_with_an_append_of_its_own() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    let at = UnixMs(12_000);
    let beat = EventRef {
        labels: SessionLabels::NONE,
        at,
        kind: EventKind::Beat,
        ids: Ids { stage: "s", viewer: "bob", session: "" },
    };
    hub.apply_record(0, &[RecordEntry::Full(beat)], at);
    let answer = hub.count("s");
    assert_eq!((answer.value.viewers, answer.status.as_of), (1, UnixMs(9_999)));
}

/// Counts are incomplete immediately, not only after `LOG_STALE_MS`.
#[test]
fn counts_are_not_complete_while_the_log_refuses_writes() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    assert!(hub.count("s").status.complete);
    hub.writes().refuse(0);
    assert!(!hub.count("s").status.complete && !hub.totals().status.complete);
    hub.writes().accept(0);
    assert!(hub.count("s").status.complete);
}

#[test]
fn as_of_is_held_back_by_what_is_late() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    for (held_back_ms, as_of) in [(0, 9_999), (150, 9_849), (0, 9_999)] {
        hub.set_extra_delay(held_back_ms);
        assert_eq!(hub.count("s").status.as_of, UnixMs(as_of));
    }
}

/// Creates a hub with this number of viewers, each on stage `s` and on a stage of its own.
fn crowded(viewers: usize) -> Hub {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    let at = UnixMs(12_000);
    for i in 0..viewers {
        let (viewer, stage) = (format!("v{i:06}"), format!("stage-{i:06}"));
        let beat = |stage| EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage, viewer: &viewer, session: "" },
        };
        hub.apply([beat("s"), beat(stage.as_str())]);
    }
    hub
}

/// A page over the bound is joined from slices, and a page of the bound is one slice.
#[timed_test]
async fn stages_per_hold_max_bounds_a_slice_and_no_page() {
    let hub = crowded(3 * STAGES_PER_HOLD_MAX);
    for limit in
        [1, STAGES_PER_HOLD_MAX - 1, STAGES_PER_HOLD_MAX, STAGES_PER_HOLD_MAX + 1, usize::MAX]
    {
        let (mut after, mut ids) = (None, Vec::new());
        loop {
            let page = hub.stages_page(after.as_deref(), limit).await.value;
            assert!(page.len() <= limit);
            after = page.last().map(|view| view.stage.to_string());
            let is_last = page.len() < limit;
            ids.extend(page.into_iter().map(|view| view.stage));
            if is_last {
                break;
            }
        }
        let own = (0..3 * STAGES_PER_HOLD_MAX).map(|i| format!("stage-{i:06}"));
        assert!(
            ids.iter().map(|id| &**id).eq(std::iter::once("s".to_string()).chain(own)),
            "{limit}"
        );
    }
    let slice = hub.stages_after(None, STAGES_PER_HOLD_MAX).value;
    assert_eq!(slice.views.len(), STAGES_PER_HOLD_MAX);
}

/// All work on an audience of 100,000 is done in slices. Each hold of the lock is checked as it
/// ends. The results cover the whole audience.
#[timed_test]
async fn seats_per_hold_max_bounds_all_that_is_done_with_a_large_audience() {
    const VIEWERS: usize = 50_000; // each on two stages
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, true);
    let proofs = Proofs::new(hub.fold(), 3_600_000, 5_000);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    for at in [12_000, 15_000] {
        for i in 0..VIEWERS {
            let (viewer, stage) = (format!("v{i:06}"), format!("stage-{}", i % 1_000));
            let beat = |stage| EventRef {
                labels: SessionLabels::NONE,
                at: UnixMs(at),
                kind: EventKind::Beat,
                ids: Ids { stage, viewer: &viewer, session: "" },
            };
            hub.apply([beat("s"), beat(stage.as_str())]);
        }
    }
    hub.advance(UnixMs(16_000));
    assert_eq!(hub.totals().value, (Count { viewers: 50_000, sessions: 100_000 }, 1_001));
    assert_eq!(hub.roster().await.value.stages.len(), 1_001);

    // Lists, and the changed stages that the live board takes.
    let (mut listed, mut after) = (0, None);
    loop {
        let page = hub.viewers_of("s", after.as_deref(), VIEWERS_PER_HOLD_MAX).value;
        listed += page.len();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
    }
    assert_eq!(listed, VIEWERS);
    let changed =
        std::iter::from_fn(|| Some(hub.take_changed_stages()).filter(|slice| !slice.is_empty()));
    assert_eq!(changed.flatten().count(), 1_001);

    // PLACES_PER_HOLD_MAX bounds the walks of the ledger: all viewers, changed viewers, and the
    // events that are rewritten to a log that lost all.
    let (within, mut ms) = (Span::new(UnixMs::ZERO, UnixMs::MAX), 0);
    proofs.for_each_proven(0, within, |proven| {
        ms += proven.spans.iter().map(|span| span.ms()).sum::<u64>()
    });
    assert_eq!(ms, 100_000 * 3_000);
    let (mut found, settled) = (0, UnixMs(20_000));
    let walk = Walk { partition: 0, within, settled, reach: UnixMs(15_000) };
    assert_eq!(proofs.for_each_changed_since(&walk, |_| found += 1), 100_000);
    assert_eq!(found, 0);
    let (mut rebuilt, mut place) = (0, 0);
    loop {
        let slice = place..place + SEATS_REBUILT_PER_HOLD_MAX;
        let read = |events: &mut dyn Iterator<Item = CheckpointEvent<'_>>| {
            events.filter(|event| event.event().kind == EventKind::Beat).count()
        };
        let (events, places) = hub.with_checkpoint(0, slice, UnixMs::ZERO, read);
        (rebuilt, place) = (rebuilt + events, place + SEATS_REBUILT_PER_HOLD_MAX);
        if place >= places {
            break;
        }
    }
    assert_eq!(rebuilt, 200_000);

    // All leave at once, by age, and then all proof is pruned.
    const { assert!(SEATS_AGED_PER_HOLD_MAX * 64 <= SEATS_PER_HOLD_MAX) };
    hub.advance(UnixMs(24_000));
    assert_eq!(hub.totals().value, (Count::default(), 0));
    proofs.note_committed(0, UnixMs(10_000_000));
    proofs.prune(0);
    assert!(proofs.is_empty());
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "seats in one hold of the lock (List)")]
fn a_hold_of_too_many_seats_is_found() {
    let hub = crowded(SEATS_PER_HOLD_MAX / 2);
    let _ = hub.viewers_of("s", None, usize::MAX);
}

#[test]
fn holds_are_timed_by_place() {
    let hub = crowded(3);
    let count = |hold: Hold| {
        let (_, times) = hub.gauge_values().holds.into_iter().find(|(at, _)| *at == hold)?;
        Some(times.buckets.iter().sum::<u64>())
    };
    assert_eq!(
        (count(Hold::Events), count(Hold::List), count(Hold::Look)),
        (Some(3), Some(0), None)
    );
    let _ = hub.viewers_of("s", None, 3);
    assert_eq!((count(Hold::Events), count(Hold::List)), (Some(3), Some(1)));
}

/// A session's ids are logged again with the labels of its first beat, and their age.
#[test]
fn records_carry_the_labels_of_sessions() {
    let rules = Rules { ttl_ms: 9_000, leave_grace_ms: 100 };
    let hub = Hub::new(rules, 1, true).with_labels(&["device".to_string(), "country".to_string()]);
    assert_eq!(hub.label_keys(), ["country", "device"]);
    let both = "country\u{1}device";
    let event = |at, labels| EventRef {
        labels,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s", viewer: "ann", session: "tab" },
    };
    let phone = SessionLabels::parse(both, "NO\u{1}phone", 0).unwrap();
    hub.apply([event(1_000, phone)]);
    hub.go_live();
    hub.advance(UnixMs(1_001));
    let later = [event(2_000, SessionLabels::NONE), event(900, SessionLabels::NONE)];
    let places = hub.label_places(later.len());
    let expected = [event(2_000, phone.aged(1_000)), later[1]].map(RecordEntry::Full);
    assert_eq!(hub.record_entries(&later, UnixMs(2_000), &places), expected);
    assert_eq!(hub.full_entries(&later, &places), expected);
    assert_eq!(
        hub.preceding_beats(&expected.map(|_| later[0])),
        [event(1_000, SessionLabels::NONE)]
    );
    let counts = hub.label_counts(Some("s"), "device", 1);
    assert_eq!(counts.value.values, [("phone".to_string(), 1)]);
    let stage = hub.stage_by_label("s", "device", 1).value;
    assert_eq!((stage.0.unwrap().count.viewers, &stage.1), (1, &counts.value));
    let totals = hub.totals_by_label("device", 1).value;
    assert_eq!((totals.0.0.viewers, totals.0.1, &totals.1), (1, 1, &counts.value));
    assert_eq!((counts.status.as_of, counts.status.complete), (UnixMs(1_000), true));
    assert!(Hub::new(rules, 1, true).label_places(9).is_empty(), "labels are off");
}
