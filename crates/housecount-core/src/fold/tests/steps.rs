//! Cost of a call while it holds the fold's lock, counted in seats that it reads. It is bounded by
//! the request, however many sessions a viewer has made before.

use std::collections::BTreeSet;

use crate::event::{EventKind, EventRef, SessionLabels};
use crate::fold::*;
use crate::record::RecordEntry;
use crate::span::Span;
use crate::time::UnixMs;

const RULES: Rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };
const KEY: HandleKey = HandleKey(7);
/// Maximum number of seats that an event may read, or a query that isn't about all of a viewer.
const STEPS_MAX: usize = 128;
const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };

/// Counts the seats that `work` reads.
fn steps<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = touched::so_far();
    let done = work();
    (touched::so_far() - before, done)
}

#[track_caller]
fn few<T>(work: impl FnOnce() -> T) -> T {
    let (steps, done) = steps(work);
    assert!(steps <= STEPS_MAX, "the call visited {steps} seats");
    done
}

/// Ids of a viewer's sessions: each on a stage of its own, or all on one.
struct Sessions {
    stages: Vec<String>,
    sessions: Vec<String>,
}

impl Sessions {
    fn on_stages_of_their_own(count: usize) -> Sessions {
        Sessions {
            stages: (0..count).map(|n| format!("stage-{n}")).collect(),
            sessions: vec![String::new(); count],
        }
    }

    fn on_one_stage(count: usize) -> Sessions {
        Sessions {
            stages: vec!["stage".to_string(); count],
            sessions: (0..count).map(|n| n.to_string()).collect(),
        }
    }

    fn len(&self) -> usize {
        self.stages.len()
    }

    fn event(&self, n: usize, kind: EventKind, at: u64) -> EventRef<'_> {
        let (stage, session) = (&*self.stages[n], &*self.sessions[n]);
        EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(at),
            kind,
            ids: Ids { stage, viewer: "ann", session },
        }
    }
}

/// Builds a fold with one beat of each session, at the same time.
fn joined(all: &Sessions, keeps_proof: bool) -> Fold {
    let mut fold = Fold::new(RULES, 1, keeps_proof);
    fold.set_key(0, KEY);
    for n in 0..all.len() {
        few(|| fold.apply(&all.event(n, EventKind::Beat, 1_000)));
    }
    fold.advance(UnixMs(1_000));
    assert_eq!(fold.totals().count.sessions, all.len() as u64);
    fold
}

fn fold_entries(fold: &mut Fold, entry: RecordEntry<'_>) {
    fold.apply_all(0, &[entry], entry.at(), |_| ());
}

/// Makes all calls to the fold that a player's request makes.
fn next_event(fold: &mut Fold, event: EventRef<'_>) {
    let EventRef { ids: Ids { stage, viewer, session }, .. } = event;
    few(|| fold.are_online([Some(Ids { stage, viewer, session })]));
    few(|| fold.session_context(stage, viewer, session));
    few(|| fold.online_sessions(stage, viewer, 20));
    few(|| fold.last_beat(stage, viewer, session));
    let entry = few(|| fold.record_entries(&[event], event.at)).remove(0);
    few(|| fold_entries(fold, entry));
    few(|| fold.resolve_entry(&entry, |event| assert!(event.is_some())));
    few(|| fold.count(stage));
}

#[test]
fn beats_and_leaves_of_a_viewer_on_thousands_of_stages_take_few_steps() {
    let all = Sessions::on_stages_of_their_own(9_000);
    let mut fold = joined(&all, true);
    for n in 0..all.len() {
        next_event(&mut fold, all.event(n, EventKind::Beat, 2_000));
        next_event(&mut fold, all.event(n, EventKind::Leave, 3_000 + n as u64));
    }
    for n in 0..all.len() as u64 {
        few(|| fold.advance(UnixMs(3_000 + n + RULES.leave_grace_ms)));
        assert_eq!(fold.totals().count.sessions, all.len() as u64 - n - 1);
    }
}

#[test]
fn beats_and_leaves_of_thousands_of_sessions_on_a_stage_take_few_steps() {
    let all = Sessions::on_one_stage(9_000);
    let mut fold = joined(&all, false);
    for n in (0..all.len()).step_by(7) {
        next_event(&mut fold, all.event(n, EventKind::Beat, 2_000));
        next_event(&mut fold, all.event(n, EventKind::Leave, 3_000 + n as u64));
    }
    fold.advance(UnixMs(20_000));
    let left = fold.totals().count.sessions;
    assert_eq!(left as usize, all.len() - all.len().div_ceil(7));
}

/// Each has labels, and some change them by an earlier claim.
#[test]
fn labels_of_thousands_of_sessions_take_few_steps() {
    let values: Vec<String> = (0..30).map(|n| format!("{n}")).collect();
    for all in [Sessions::on_stages_of_their_own(3_000), Sessions::on_one_stage(3_000)] {
        let mut fold = Fold::new(RULES, 1, false);
        fold.set_key(0, KEY);
        fold.set_label_keys(&["country".to_string()]);
        let event = |n: usize, value: usize, age| EventRef {
            labels: SessionLabels::parse("country", &values[value % 30], age).unwrap(),
            ..all.event(n, EventKind::Beat, 1_000)
        };
        (0..all.len()).for_each(|n| {
            few(|| fold.apply(&event(n, n, 0)));
        });
        (0..all.len()).step_by(3).for_each(|n| {
            few(|| fold.apply(&event(n, n + 1, 10)));
        });
        let counts = fold.label_counts(None, "country", 1).values;
        assert_eq!((counts.len(), counts.iter().all(|(_, viewers)| *viewers == 1)), (20, true));
        for n in 0..all.len() {
            next_event(&mut fold, all.event(n, EventKind::Leave, 2_000 + n as u64));
            few(|| fold.advance(UnixMs(2_000 + n as u64 + RULES.leave_grace_ms)));
        }
        assert_eq!(fold.label_counts(None, "country", 1).values, []);
    }
}

/// A leave of all sessions costs one step for each session that it ends, once. Sessions with later
/// beats cost nothing.
#[test]
fn a_leave_of_all_sessions_takes_a_step_for_each_that_it_ends() {
    let all = Sessions::on_one_stage(3_000);
    let mut fold = joined(&all, false);
    let of_all = |at| EventRef {
        ids: Ids { session: "", ..all.event(0, EventKind::Leave, at).ids },
        ..all.event(0, EventKind::Leave, at)
    };
    for n in 0..all.len() {
        fold.apply(&all.event(n, EventKind::Beat, 2_000));
    }
    for at in 1_001..1_500 {
        few(|| fold.apply(&of_all(at)));
        few(|| fold.advance(UnixMs(at + RULES.leave_grace_ms)));
    }
    assert_eq!(fold.totals().count.sessions, all.len() as u64, "every session is online");
    few(|| fold.apply(&of_all(5_000)));
    let (ended, ()) = steps(|| fold.advance(UnixMs(5_000 + RULES.leave_grace_ms)));
    assert_eq!(fold.totals().count.sessions, 0);
    assert!(ended <= all.len() * STEPS_MAX, "{ended}");
    for at in 8_001..8_500 {
        few(|| fold.apply(&of_all(at)));
        few(|| fold.advance(UnixMs(at + RULES.leave_grace_ms)));
    }
}

/// Sessions that expire all at one time, and are pruned.
#[test]
fn each_session_that_expires_takes_few_steps() {
    for all in [Sessions::on_stages_of_their_own(3_000), Sessions::on_one_stage(3_000)] {
        for keeps_proof in [false, true] {
            let mut fold = joined(&all, keeps_proof);
            let (expired, ()) = steps(|| {
                fold.advance(UnixMs(200_000));
                fold.advance(UnixMs(400_000));
            });
            assert_eq!(fold.totals().count.sessions, 0);
            let (forgotten, ()) = steps(|| fold.prune(0, 0..fold.places(), UnixMs(300_000)));
            assert!(fold.is_empty());
            assert!(expired.max(forgotten) <= all.len() * STEPS_MAX, "{expired}, {forgotten}");
        }
    }
}

/// Queries of operators and of the ledger about all of a viewer.
#[test]
fn each_session_of_an_answer_takes_few_steps() {
    for all in [Sessions::on_stages_of_their_own(3_000), Sessions::on_one_stage(3_000)] {
        let mut fold = joined(&all, true);
        for n in 0..all.len() {
            fold.apply(&all.event(n, EventKind::Beat, 2_000));
        }
        let (shown, watching) = steps(|| fold.viewer("ann"));
        assert_eq!(watching.iter().map(|w| w.sessions.len()).sum::<usize>(), all.len());
        let mut found = 0;
        let (proven, ()) = steps(|| fold.for_each_proven(0, ALWAYS, |_| found += 1));
        assert_eq!(found, watching.len());
        assert!(shown.max(proven) <= all.len() * STEPS_MAX, "{shown}, {proven}");
        few(|| fold.proven("stage-7", "ann", ALWAYS));
    }
}

/// A node that begins to read the log after the ids. It first knows a viewer's sessions by handle
/// only, and then by their ids.
#[test]
fn sessions_known_by_handle_only_take_few_steps() {
    for all in [Sessions::on_stages_of_their_own(3_000), Sessions::on_one_stage(3_000)] {
        let mut fold = Fold::new(RULES, 1, true);
        fold.set_key(0, KEY);
        for at in [1_000, 2_000] {
            for n in 0..all.len() {
                let event = all.event(n, EventKind::Beat, at);
                let handle = Handle::of(KEY, event.ids.stage, event.ids.viewer, event.ids.session);
                few(|| fold_entries(&mut fold, RecordEntry::ByHandle { at: event.at, handle }));
            }
        }
        assert!(!fold.is_fully_resolved());
        for n in 0..all.len() {
            few(|| {
                fold_entries(&mut fold, RecordEntry::Full(all.event(n, EventKind::Beat, 3_000)))
            });
        }
        assert!(fold.is_fully_resolved());
        assert_eq!(fold.totals().count.sessions, all.len() as u64);
    }
}

/// A page of a stage's viewers costs its rows, wherever it starts and however many viewers the
/// stage has.
#[test]
fn a_page_takes_a_step_for_each_row() {
    let mut fold = Fold::new(RULES, 1, false);
    let names: BTreeSet<String> = (0..100_000).map(|n| format!("{n:05}")).collect();
    for viewer in &names {
        fold.apply(&EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(1),
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer, session: "" },
        });
    }
    let mut listed: Vec<String> = Vec::new();
    loop {
        let (looked_at, page) =
            steps(|| fold.viewers_of("s", listed.last().map(String::as_str), 1_000));
        assert!(looked_at <= 1_000 * 10, "the call visited {looked_at} seats");
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|view| view.id));
    }
    assert_eq!(listed.len(), names.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
}

/// A viewer who has more sessions than are walked through, and then fewer again.
#[test]
fn viewer_seats_walked_max_is_passed_both_ways() {
    let all = Sessions::on_stages_of_their_own(2 * crate::limits::VIEWER_SEATS_WALKED_MAX);
    let mut fold = Fold::new(RULES, 1, false);
    for round in 0..3u64 {
        let begins = 1_000 + round * 1_000_000;
        for n in 0..all.len() {
            fold.apply(&all.event(n, EventKind::Beat, begins + n as u64));
            assert_eq!(fold.viewer("ann").len(), n + 1);
        }
        for n in 0..all.len() as u64 {
            // A session that no count contains is removed a second later at the latest.
            fold.advance(UnixMs(begins + n + RULES.ttl_ms));
            assert_eq!(fold.viewer("ann").len() as u64, all.len() as u64 - n - 1);
        }
        fold.advance(UnixMs(begins + 500_000));
        assert!(fold.is_empty());
    }
}
