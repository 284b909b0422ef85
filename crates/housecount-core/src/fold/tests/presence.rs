//! Compares the fold with an oracle that is slow and obviously right.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::event::{EventKind, EventRef, SessionLabels};
use crate::fold::*;
use crate::limits::STAGE_IDLE_MS;
use crate::time::UnixMs;

const RULES: Rules = Rules { ttl_ms: 120, leave_grace_ms: 3 };

type TestEvent = EventRef<'static>;

fn beat(at: u64, viewer: &'static str, session: &'static str) -> TestEvent {
    EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "stage", viewer, session },
    }
}

fn leave(at: u64, viewer: &'static str, session: &'static str) -> TestEvent {
    EventRef { kind: EventKind::Leave, ..beat(at, viewer, session) }
}

fn displace(at: u64, viewer: &'static str, session: &'static str) -> TestEvent {
    EventRef { kind: EventKind::Displace, ..beat(at, viewer, session) }
}

fn fold(events: &[TestEvent], now: u64) -> Fold {
    let mut presence = Fold::new(RULES, 1, false);
    for event in events {
        presence.apply(event);
    }
    presence.advance(UnixMs(now));
    presence
}

/// Applies promise 1 literally, over all events.
pub(super) fn oracle_online(
    events: &[TestEvent],
    now: u64,
) -> BTreeSet<(&'static str, &'static str, &'static str)> {
    let covers = |l: &&TestEvent, b: &&TestEvent| {
        let (is_leave, is_own) = (l.kind == EventKind::Leave, l.ids.session == b.ids.session);
        l.kind != EventKind::Beat
            && l.ids.stage == b.ids.stage
            && l.ids.viewer == b.ids.viewer
            && (is_own || (is_leave && l.ids.session.is_empty()))
            && l.at >= b.at
            && l.at.0 + if is_leave { RULES.leave_grace_ms } else { 0 } <= now
    };
    let beats = events.iter().filter(|e| e.kind == EventKind::Beat && e.at.0 <= now);
    beats
        .filter(|b| now < b.at.0 + RULES.ttl_ms && !events.iter().any(|l| covers(&l, b)))
        .map(|b| (b.ids.stage, b.ids.viewer, b.ids.session))
        .collect()
}

fn check_against_oracle(presence: &Fold, events: &[TestEvent], now: u64) {
    let online = oracle_online(events, now);
    for stage in STAGES {
        let here: Vec<_> = online.iter().filter(|o| o.0 == stage).collect();
        let viewers: BTreeSet<_> = here.iter().map(|o| o.1).collect();
        let count = Count { viewers: viewers.len() as u64, sessions: here.len() as u64 };
        assert_eq!(presence.count(stage), count, "{stage} at {now}");
        let mut listed: Vec<String> =
            presence.viewers_of(stage, None, 100).into_iter().map(|w| w.id).collect();
        listed.sort_unstable();
        assert_eq!(listed, viewers.iter().map(|v| v.to_string()).collect::<Vec<_>>());
    }
    for (viewer, session) in
        VIEWERS.iter().flat_map(|viewer| SESSIONS.map(|session| (*viewer, session)))
    {
        let asked = STAGES.map(|stage| Some(Ids { stage, viewer, session }));
        assert_eq!(
            presence.are_online(asked),
            STAGES.map(|stage| online.contains(&(stage, viewer, session)))
        );
        for stage in STAGES {
            let among = presence.session_context(stage, viewer, session);
            let here = online.iter().filter(|o| (o.0, o.1) == (stage, viewer));
            assert_eq!(
                (among.is_online, among.here, among.count),
                (online.contains(&(stage, viewer, session)), here.count(), presence.count(stage))
            );
            let is_online = online.contains(&(stage, viewer, session));
            let status = oracle_standing(events, stage, viewer, session).filter(|_| is_online);
            let last = presence.last_events(Ids { stage, viewer, session });
            assert_eq!((last.standing_beat(), last.is_online), (status, is_online));
        }
    }
    for (viewer, stage) in VIEWERS.iter().flat_map(|viewer| STAGES.map(|stage| (*viewer, stage))) {
        check_sessions(presence, &online, events, stage, viewer);
    }
    for viewer in VIEWERS {
        // A beat that is too old for presence may lack in `since`, which the test in order checks.
        let names = |streams: Vec<Stream>| -> BTreeSet<(String, String)> {
            streams.into_iter().map(|stream| (stream.stage, stream.session)).collect()
        };
        let streams = oracle_streams(events, &online, viewer);
        assert_eq!(names(presence.streams(viewer)), names(streams));
    }
    let viewers: BTreeSet<_> = online.iter().map(|o| o.1).collect();
    let stages: BTreeSet<_> = online.iter().map(|o| o.0).collect();
    let count = Count { viewers: viewers.len() as u64, sessions: online.len() as u64 };
    assert_eq!(presence.totals(), Totals { count, stages: stages.len() as u64 }, "totals at {now}");
}

/// Returns the session's last beat, if no leave covers it, in effect or not.
fn oracle_standing(
    events: &[TestEvent],
    stage: &str,
    viewer: &str,
    session: &str,
) -> Option<UnixMs> {
    let here = || events.iter().filter(move |e| (e.ids.stage, e.ids.viewer) == (stage, viewer));
    let last = here()
        .filter(|e| e.kind == EventKind::Beat && e.ids.session == session)
        .map(|e| e.at)
        .max()?;
    let covers = |l: &TestEvent| match l.kind {
        EventKind::Beat => false,
        EventKind::Leave => l.ids.session == session || l.ids.session.is_empty(),
        EventKind::Displace => l.ids.session == session,
    };
    (!here().any(|l| covers(l) && l.at >= last)).then_some(last)
}

/// Returns the viewer's online sessions that no leave will end.
fn oracle_streams(
    events: &[TestEvent],
    online: &BTreeSet<(&'static str, &'static str, &'static str)>,
    viewer: &str,
) -> Vec<Stream> {
    let of_viewer = online.iter().filter(|o| o.1 == viewer);
    let mut streams: Vec<Stream> = of_viewer
        .filter(|o| oracle_standing(events, o.0, o.1, o.2).is_some())
        .map(|(stage, viewer, session)| {
            let ids = Ids { stage, viewer, session };
            let beats = events.iter().filter(|e| e.kind == EventKind::Beat && e.ids == ids);
            let beats: BTreeSet<UnixMs> = beats.map(|beat| beat.at).collect();
            let mut since = *beats.last().unwrap();
            for beat in beats.iter().rev() {
                since = if since.since(*beat) <= RULES.ttl_ms { *beat } else { since };
            }
            Stream { since, stage: stage.to_string(), session: session.to_string() }
        })
        .collect();
    streams.sort_unstable();
    streams
}

/// Checks that the sessions with the latest beats come first.
fn check_sessions(
    presence: &Fold,
    online: &BTreeSet<(&'static str, &'static str, &'static str)>,
    events: &[TestEvent],
    stage: &str,
    viewer: &str,
) {
    let last_beat = |session: &str| {
        let applied_events = events
            .iter()
            .filter(|e| (e.ids.stage, e.ids.viewer, e.ids.session) == (stage, viewer, session));
        applied_events.filter(|e| e.kind == EventKind::Beat).map(|e| e.at).max().unwrap()
    };
    let sessions = presence.online_sessions(stage, viewer, 9);
    let expected: BTreeSet<_> =
        online.iter().filter(|o| (o.0, o.1) == (stage, viewer)).map(|o| o.2.to_string()).collect();
    assert_eq!(sessions.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(sessions.is_sorted_by(|a, b| last_beat(a) >= last_beat(b)), "{sessions:?}");
    assert_eq!(presence.online_sessions(stage, viewer, 1), sessions.get(..1).unwrap_or_default());
}

const STAGES: [&str; 3] = ["stage", "stage-2", "stage-3"];
const VIEWERS: [&str; 4] = ["ann", "bob", "cy", "dee0c0de-5a1e-4b0b-8a11-0123456789ab"];
const SESSIONS: [&str; 3] = ["", "tab-1", "7ab20000-5a1e-4b0b-8a11-0123456789ab"];

fn events() -> impl Strategy<Value = Vec<TestEvent>> {
    let event = (1u64..600, 0..6usize, 0..3usize, 0..4usize, 0..3usize).prop_map(
        |(at, kind, stage, viewer, session)| EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(at),
            kind: match kind {
                0 => EventKind::Leave,
                1 => EventKind::Displace,
                _ => EventKind::Beat,
            },
            ids: Ids { stage: STAGES[stage], viewer: VIEWERS[viewer], session: SESSIONS[session] },
        },
    );
    proptest::collection::vec(event, 1..40)
}

/// Returns the answers of a state, which must equal those of a node built from its checkpoint.
fn answers(presence: &Fold) -> String {
    let stages: Vec<_> =
        STAGES.iter().map(|s| (presence.count(s), presence.viewers_of(s, None, 9))).collect();
    let viewers: Vec<_> = VIEWERS.iter().map(|v| presence.viewer(v)).collect();
    format!("{:?} {stages:?} {viewers:?}", presence.totals())
}

/// A displaced session ends at once and alone. Its time until then stays, and its next beat counts.
#[test]
fn a_displaced_session_ends_at_once() {
    let events = [beat(10, "ann", "a"), beat(20, "ann", "b"), displace(30, "ann", "a")];
    let mut presence = fold(&events, 29);
    assert_eq!(presence.count("stage"), Count { viewers: 1, sessions: 2 });
    // Admission need not wait until time has come so far.
    assert!(presence.session_context("stage", "ann", "a").is_displaced);
    assert_eq!(presence.streams("ann").len(), 1);
    presence.advance(UnixMs(30));
    assert_eq!(presence.online_sessions("stage", "ann", 9), ["b"]);
    assert!(presence.session_context("stage", "ann", "a").is_displaced);
    assert!(!presence.session_context("stage", "ann", "b").is_displaced);
    // A displacement of the session without a name is no leave of all.
    presence.apply(&displace(31, "ann", ""));
    presence.advance(UnixMs(40));
    assert_eq!(presence.online_sessions("stage", "ann", 9), ["b"]);
    presence.apply(&beat(41, "ann", "a"));
    assert_eq!(presence.count("stage"), Count { viewers: 1, sessions: 2 });
    assert!(!presence.session_context("stage", "ann", "a").is_displaced);
}

#[test]
fn the_same_streams_end_on_every_node() {
    let stream = |since: u64, session: &str| Stream {
        since: UnixMs(since),
        stage: "stage".to_string(),
        session: session.to_string(),
    };
    let all = [stream(5, "b"), stream(9, "c"), stream(5, "a")];
    let excess = |policy: StreamsPolicy, max| {
        let excess = policy.excess(all.to_vec(), max);
        excess.into_iter().map(|stream| stream.session).collect::<Vec<_>>()
    };
    assert_eq!(excess(StreamsPolicy::Displace, 1), ["a", "b"]);
    assert_eq!(excess(StreamsPolicy::Displace, 2), ["a"]);
    assert_eq!(excess(StreamsPolicy::Refuse, 1), ["b", "c"]);
    assert_eq!(excess(StreamsPolicy::Refuse, 2), ["c"]);
    for policy in [StreamsPolicy::Refuse, StreamsPolicy::Displace] {
        assert!(excess(policy, 3).is_empty() && excess(policy, 4).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Events in order, with a check at every millisecond.
    #[test]
    fn counts_equal_the_oracle_at_every_millisecond(mut events in events()) {
        events.sort();
        let mut presence = Fold::new(RULES, 1, false);
        let mut applied_events = 0;
        for now in 1..800 {
            while applied_events < events.len() && events[applied_events].at.0 == now {
                presence.apply(&events[applied_events]);
                applied_events += 1;
            }
            presence.advance(UnixMs(now));
            check_against_oracle(&presence, &events[..applied_events], now);
            let online = oracle_online(&events[..applied_events], now);
            for viewer in VIEWERS {
                let mut streams = presence.streams(viewer);
                streams.sort_unstable();
                let expected = oracle_streams(&events[..applied_events], &online, viewer);
                prop_assert_eq!(streams, expected);
            }
        }
        prop_assert_eq!(presence.totals(), Totals::default());
        prop_assert_eq!(presence.len(), 0, "all sessions are dropped");
    }

    /// Each event arrives up to 100 ms late, some twice, in any order, between any two ticks.
    #[test]
    fn late_and_repeated_events_change_nothing(
        events in events(),
        delays in proptest::collection::vec(0u64..100, 80),
        repeat in 1..3usize,
    ) {
        let mut arrivals: Vec<(u64, TestEvent)> = events
            .iter()
            .cycle()
            .take(events.len() * repeat)
            .zip(delays)
            .map(|(e, delay)| (e.at.0 + delay, *e))
            .collect();
        arrivals.sort_by_key(|(at, _)| *at);
        let mut presence = Fold::new(RULES, 1, false);
        for now in 1..800 {
            arrivals.iter().filter(|(at, _)| *at == now).for_each(|(_, e)| { presence.apply(e); });
            presence.advance(UnixMs(now));
            let known: Vec<TestEvent> = arrivals.iter().filter(|(at, _)| *at <= now).map(|(_, e)| *e).collect();
            check_against_oracle(&presence, &known, now);
        }
    }

    /// Any order, any repetition, any split by ticks: the same answers.
    #[test]
    fn the_state_is_a_function_of_the_set(
        (events, shuffled) in events().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        ticks in proptest::collection::vec(0u64..600, 40),
    ) {
        let now = 600;
        let straight = fold(&events, now);
        let mut other = Fold::new(RULES, 1, false);
        for (event, tick) in shuffled.iter().chain(&events).zip(ticks.iter().cycle()) {
            // Time may pass between two events, but never beyond the events that follow.
            other.advance(UnixMs(*tick.min(&RULES.leave_grace_ms)));
            other.apply(event);
        }
        other.advance(UnixMs(now));
        prop_assert_eq!(answers(&straight), answers(&other));
    }

    /// Time that advances a few seats at a time ends in the same state as in one step. At each time
    /// between, the counts are right except for seats of that millisecond.
    #[test]
    fn time_advances_in_slices(events in events(), from in 0u64..500, by in 1u64..400, seats_max in 1..4usize) {
        let events: Vec<TestEvent> = events.into_iter().filter(|event| event.at.0 <= from).collect();
        let mut presence = fold(&events, from);
        let (target, mut calls) = (UnixMs(from + by), 0);
        while !presence.advance_some(target, seats_max) {
            prop_assert!(presence.now() <= target);
            let before = presence.now().0.saturating_sub(1);
            let (online, earlier) = (oracle_online(&events, presence.now().0), oracle_online(&events, before));
            let sessions = presence.totals().count.sessions as usize;
            let (least, most) = (online.intersection(&earlier).count(), online.union(&earlier).count());
            prop_assert!((least..=most).contains(&sessions));
            calls += 1;
            prop_assert!(calls <= 20 * events.len() + 20, "the list ends");
        }
        check_against_oracle(&presence, &events, target.0);
    }

    /// A checkpoint rebuilds the state: the same answers now and at every later time.
    #[test]
    fn a_checkpoint_rebuilds_the_state(events in events(), now in 1u64..600) {
        let known: Vec<TestEvent> = events.iter().filter(|e| e.at.0 <= now).copied().collect();
        let mut first = fold(&known, now);
        let mut second = Fold::new(RULES, 1, false);
        first.checkpoint_events(0, 0..usize::MAX, UnixMs::ZERO).for_each(|e| { second.apply(&e.event()); });
        for later in now..now + 130 {
            first.advance(UnixMs(later));
            second.advance(UnixMs(later));
            prop_assert_eq!(answers(&first), answers(&second), "at {}", later);
        }
    }

    /// Joined pages are the whole list, with any page size.
    #[test]
    fn pages_join_to_the_whole(events in events(), limit in 1..4usize) {
        let presence = fold(&events, 500);
        let mut paged: Vec<PresenceView> = Vec::new();
        loop {
            let after = paged.last().map(|w| w.id.clone());
            let page = presence.viewers_of("stage", after.as_deref(), limit);
            prop_assert!(page.len() <= limit);
            if page.is_empty() { break; }
            paged.extend(page);
        }
        prop_assert_eq!(paged, presence.viewers_of("stage", None, 100));
    }
}

fn viewers(presence: &Fold) -> u64 {
    presence.count("stage").viewers
}

#[test]
fn online_from_the_first_beat_until_ttl_after_the_last() {
    let mut presence = fold(&[beat(1_000, "ann", ""), beat(1_050, "ann", "")], 1_169);
    assert_eq!(viewers(&presence), 1);
    presence.advance(UnixMs(1_170));
    assert_eq!(viewers(&presence), 0);
}

#[test]
fn a_leave_takes_effect_after_its_grace() {
    let mut presence = fold(&[beat(1_000, "ann", "a"), leave(1_010, "ann", "a")], 1_012);
    assert_eq!(viewers(&presence), 1);
    presence.advance(UnixMs(1_013));
    assert_eq!(viewers(&presence), 0);
}

#[test]
fn a_reload_does_not_flap() {
    let mut presence = fold(&[beat(1_000, "ann", "a"), leave(1_010, "ann", "a")], 1_011);
    presence.apply(&beat(1_012, "ann", "b"));
    for now in 1_012..1_132 {
        presence.advance(UnixMs(now));
        assert_eq!(viewers(&presence), 1, "at {now}");
    }
    assert_eq!(presence.count("stage").sessions, 1);
}

#[test]
fn closing_one_of_two_tabs_keeps_the_viewer() {
    let events = [beat(1_000, "ann", "a"), beat(1_000, "ann", "b"), leave(1_010, "ann", "a")];
    let presence = fold(&events, 1_050);
    assert_eq!(presence.count("stage"), Count { viewers: 1, sessions: 1 });
}

#[test]
fn a_leave_without_a_session_ends_them_all() {
    let events = [beat(1_000, "ann", ""), beat(1_000, "ann", "b"), leave(1_010, "ann", "")];
    assert_eq!(fold(&events, 1_050).count("stage"), Count::default());
}

#[test]
fn a_late_beat_older_than_a_leave_changes_no_count() {
    for session in ["a", ""] {
        let mut presence = fold(&[beat(1_000, "ann", "a"), leave(1_020, "ann", session)], 1_030);
        presence.apply(&beat(1_015, "ann", "a"));
        presence.apply(&beat(1_020, "ann", "a"));
        assert_eq!(viewers(&presence), 0);
        presence.apply(&beat(1_021, "ann", "a"));
        assert_eq!(viewers(&presence), 1);
    }
}

#[test]
fn a_leave_may_come_before_the_beat_it_covers() {
    let mut presence = fold(&[leave(1_020, "ann", "")], 1_030);
    presence.apply(&beat(1_015, "ann", "a"));
    assert_eq!(viewers(&presence), 0);
    assert!(presence.stage("stage").is_none(), "a leave alone creates no stage");
}

/// The leave alone schedules the next check for 1,710. The beat that follows moves it to 1,450, in
/// the same second.
#[test]
fn a_late_beat_expires_in_time_within_the_second_that_has_come() {
    let mut presence = fold(&[leave(1_590, "ann", "a")], 1_200);
    presence.apply(&beat(1_330, "ann", "a"));
    presence.advance(UnixMs(1_449));
    assert_eq!(viewers(&presence), 1);
    presence.advance(UnixMs(1_450));
    assert_eq!(viewers(&presence), 0);
}

#[test]
fn a_too_old_event_is_reported() {
    let mut presence = fold(&[], 1_000);
    assert_eq!(presence.apply(&beat(880, "ann", "")), ApplyOutcome::TooOld);
    assert_eq!(presence.apply(&beat(881, "ann", "")), ApplyOutcome::Applied);
}

#[test]
fn a_viewer_on_two_stages_is_one_viewer() {
    let events = [
        beat(1_000, "ann", ""),
        EventRef {
            ids: Ids { stage: "stage-2", ..beat(1_000, "ann", "").ids },
            ..beat(1_000, "ann", "")
        },
    ];
    let totals = fold(&events, 1_001).totals();
    assert_eq!(totals, Totals { count: Count { viewers: 1, sessions: 2 }, stages: 2 });
}

#[test]
fn an_idle_stage_keeps_its_peak_for_an_hour() {
    let mut presence = fold(&[beat(1_000, "ann", ""), beat(1_000, "bob", "")], 1_001);
    presence.advance(UnixMs(1_120));
    assert_eq!(presence.stage("stage").map(|s| (s.count.viewers, s.peak)), Some((0, 2)));
    presence.advance(UnixMs(1_120).plus(STAGE_IDLE_MS));
    assert_eq!(presence.stage("stage"), None);
}

#[test]
fn the_past_folded_at_once_is_no_peak() {
    let mut presence = Fold::new(RULES, 1, false);
    for (n, viewer) in VIEWERS.iter().enumerate() {
        let at = 1_000 + n as u64 * 200;
        presence.apply(&beat(at, viewer, ""));
    }
    presence.advance(UnixMs(1_601));
    presence.reset_peaks();
    assert_eq!(presence.stage("stage").map(|s| (s.count.viewers, s.peak)), Some((1, 1)));
}

#[test]
fn memory_is_given_back() {
    let mut presence = Fold::new(RULES, 1, false);
    for now in 1..2_000u64 {
        let viewer: &'static str = VIEWERS[(now % 4) as usize];
        presence.apply(&beat(now, viewer, SESSIONS[(now % 3) as usize]));
        presence.advance(UnixMs(now));
    }
    assert!(presence.len() <= 12);
    assert!(presence.looks.len() <= 12, "{}", presence.looks.len());
    presence.advance(UnixMs(10_000));
    presence.advance(UnixMs(10_000_000));
    assert_eq!(
        (presence.len(), presence.looks.len(), presence.stages_after(None, usize::MAX).views.len()),
        (0, 0, 0)
    );
}
