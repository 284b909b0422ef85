//! Every viewer's watch time equals the oracle's, to the millisecond.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use housecount_core::event::EventKind;
use housecount_core::limits::VIEWER_SEATS_WALKED_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_test::timed_test;

use crate::support::crowd::Rng;
use crate::support::stage::{
    BASE, HOUR_MS, LATENESS_MS, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS, WatchMs, oracle,
};

const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };

/// Viewers on stages for some hours, with churn, tabs and reloads. Their beats are lost, come
/// twice, or come late because their node was cut off.
fn audience(viewers: u64, stages: u64, ms: u64, seed: u64) -> Vec<LoggedEvent> {
    let (mut rng, mut sent) = (Rng(seed), Vec::new());
    for n in 0..viewers {
        let mut at = BASE.plus(rng.below(ms * 2 / 3));
        // Some viewers come back, often to another stage.
        for _ in 0..=rng.below(3) {
            let stage = format!("stage-{}", rng.below(stages));
            let tabs = 1 + u64::from(rng.below(4) == 0);
            for tab in 0..tabs {
                let start = at.plus(rng.below(MINUTE_MS));
                let stay = rng.lognormal(25.0 * MINUTE_MS as f64, 1.0) as u64;
                let end = start.plus(stay).min(BASE.plus(ms));
                let session =
                    if rng.below(2) == 0 { String::new() } else { format!("tab-{n}-{tab}") };
                visit(
                    &mut rng,
                    &mut sent,
                    &stage,
                    &format!("viewer-{n}"),
                    session,
                    Span::new(start, end),
                );
            }
            at = at.plus(rng.below(ms / 3));
        }
    }
    let twice: Vec<LoggedEvent> = sent.iter().filter(|_| rng.below(50) == 0).cloned().collect();
    sent.extend(twice.into_iter().map(|twice| LoggedEvent {
        logged: twice.logged.plus(1 + rng.below(5 * MINUTE_MS)),
        ..twice
    }));
    sent.retain(|event| event.at < BASE.plus(ms));
    sent
}

/// Viewers with more tabs on a stage than the fold walks through.
fn many_tabs(viewers: u64, ms: u64, seed: u64) -> Vec<LoggedEvent> {
    let (mut rng, mut sent) = (Rng(seed), Vec::new());
    for viewer in (0..viewers).map(|n| format!("tabbed-{n}")) {
        let at = BASE.plus(rng.below(ms * 2 / 3));
        for tab in 0..2 * VIEWER_SEATS_WALKED_MAX {
            let start = at.plus(rng.below(5 * MINUTE_MS));
            let end = start.plus(rng.below(25 * MINUTE_MS)).min(BASE.plus(ms));
            let session = if tab == 0 { String::new() } else { format!("tab-{tab}") };
            visit(&mut rng, &mut sent, "stage-0", &viewer, session, Span::new(start, end));
        }
    }
    sent.retain(|event| event.at < BASE.plus(ms));
    sent
}

fn visit(
    rng: &mut Rng,
    sent: &mut Vec<LoggedEvent>,
    stage: &str,
    viewer: &str,
    mut session: String,
    span: Span,
) {
    // One viewer in eight is behind a node that is cut off for a while.
    let cut_from = span.from.plus(rng.below(span.ms().max(1)));
    let cut_ms = if rng.below(8) == 0 { rng.below(50 * MINUTE_MS) } else { 0 };
    let cut = Span::new(cut_from, cut_from.plus(cut_ms));
    let mut repeats = Vec::new();
    let mut say = |at: UnixMs, kind, session: &str, rng: &mut Rng| {
        let is_cut = cut.from <= at && at < cut.to;
        let logged = if is_cut { cut.to.plus(rng.below(3_000)) } else { at.plus(rng.below(40)) };
        let (stage, viewer, session) = (stage.to_string(), viewer.to_string(), session.to_string());
        sent.push(LoggedEvent { at, logged, kind, stage, viewer, session });
    };
    let (mut at, mut last_beat) = (span.from, None);
    while at < span.to {
        if rng.below(40) != 0 {
            // A node that was cut off also repeats the last beat before the events that it held.
            if let Some(last) =
                last_beat.filter(|last| *last < cut.from && cut.from <= at && at < cut.to)
            {
                repeats.push((last, session.clone()));
            }
            last_beat = Some(at);
            say(at, EventKind::Beat, &session, rng);
        }
        match rng.below(60) {
            // A reload: a leave, and a new session a moment later.
            0 => {
                at = at.plus(rng.below(20_000));
                say(at, EventKind::Leave, &session, rng);
                if !session.is_empty() {
                    session.push('r');
                }
                at = at.plus(1 + rng.below(4_000));
            }
            // A pause, often longer than a ttl.
            1 => at = at.plus(rng.below(6 * MINUTE_MS)),
            // A hidden tab beats once a minute.
            2..=5 => at = at.plus(59_000 + rng.below(2_000)),
            _ => at = at.plus(27_000 + rng.below(3_001)),
        }
    }
    if rng.below(10) < 7 {
        let last = span.to.plus(rng.below(10_000));
        say(last, EventKind::Leave, &session, rng);
        if rng.below(5) == 0 {
            say(last.plus(1), EventKind::Leave, "", rng);
        }
    }
    for (at, session) in repeats {
        let (stage, viewer) = (stage.to_string(), viewer.to_string());
        sent.push(LoggedEvent {
            at,
            logged: cut.to,
            kind: EventKind::Beat,
            stage,
            viewer,
            session,
        });
    }
}

/// Times at which windows are due, which is a while after each.
fn dues(ms: u64) -> impl Iterator<Item = UnixMs> {
    let windows = (ms + LATENESS_MS + TTL_MS).div_ceil(WINDOW_MS) + 2;
    (1..=windows).map(|n| BASE.aligned(WINDOW_MS).plus(n * WINDOW_MS + TTL_MS + 1_500))
}

async fn equals_the_oracle(stage: &Stage) {
    let expected = oracle(&stage.events);
    let found = stage.totals(ALWAYS).await;
    let differs = |who: &&(String, String)| expected.get(*who) != found.get(*who);
    let who: Vec<_> = expected.keys().chain(found.keys()).filter(differs).take(3).collect();
    let shown = |of: &WatchMs| who.iter().map(|who| of.get(*who).copied()).collect::<Vec<_>>();
    assert!(who.is_empty(), "{who:?}: {:?} instead of {:?}", shown(&found), shown(&expected));
    // Conservation of watched time, by the other path.
    let mut by_stage: BTreeMap<&str, u64> = BTreeMap::new();
    for ((stage, _), ms) in &expected {
        *by_stage.entry(stage).or_default() += ms;
    }
    let end = stage.events.iter().map(|event| event.at).max().unwrap().plus(TTL_MS);
    for (id, sum) in by_stage {
        assert_eq!(stage.integral(Span::new(BASE.minus(WINDOW_MS), end), id).await, sum, "{id}");
    }
}

#[timed_test]
async fn every_viewers_time_is_exact() {
    let ms = 3 * HOUR_MS;
    let mut sent = audience(2_000, 30, ms, 1);
    sent.extend(many_tabs(40, ms, 2));
    let stage = Stage::new(sent).await;
    let late = stage.events.iter().filter(|event| event.logged.since(event.at) > WINDOW_MS).count();
    assert!(
        stage.events.len() > 200_000 && late > 5_000,
        "{} events, {late} late",
        stage.events.len()
    );
    let mut node = stage.node().await;
    for now in dues(ms) {
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    equals_the_oracle(&stage).await;
}

/// Two nodes that read the same log take turns. Or both commit at once without knowing of each
/// other.
#[timed_test]
async fn two_that_commit_at_once_change_nothing() {
    let ms = 3 * HOUR_MS;
    let stage = Stage::new(audience(2_000, 30, ms, 2)).await;
    stage.cold.lease_for_all.store(true, Ordering::SeqCst);
    let (mut a, mut b) = (stage.node().await, stage.node().await);
    for now in dues(ms) {
        stage.hear(&mut a, now).await;
        stage.hear(&mut b, now.minus(1_000)).await;
        let (of_a, of_b) = tokio::join!(a.commit(now), b.commit(now.minus(1_000)));
        of_a.unwrap();
        of_b.unwrap();
    }
    equals_the_oracle(&stage).await;
}

/// The committing node dies at every call that it makes, before or after the call takes effect.
#[timed_test]
async fn a_committer_may_die_at_every_step() {
    let ms = 3 * HOUR_MS;
    let stage = Stage::new(audience(2_000, 30, ms, 3)).await;
    let (mut deaths, mut step) = (0, 0i64);
    let mut survivor = stage.node().await;
    let mut dies = stage.node().await;
    for now in dues(ms) {
        stage.hear(&mut survivor, now).await;
        stage.hear(&mut dies, now).await;
        stage.cold.fail(step / 2, step % 2 == 1);
        let died = dies.commit(now).await.is_err();
        assert_eq!(died, stage.cold.has_failed.load(Ordering::SeqCst));
        stage.cold.fail(-1, false);
        if died {
            deaths += 1;
            // The dead node's memory is lost; the log has the uncommitted events.
            dies = stage.node().await;
        }
        // A commit makes fewer calls than this, whichever way it begins.
        step = (step + 1) % 16;
        // By then the lease has expired.
        survivor.commit(now.plus(WINDOW_MS / 2)).await.unwrap();
    }
    assert!(deaths >= 8, "{deaths}");
    equals_the_oracle(&stage).await;
}

/// The cold tier is unavailable for over an hour. Windows wait, and are committed later.
#[timed_test]
async fn windows_wait_for_the_cold_tier() {
    let ms = 2 * HOUR_MS;
    let stage = Stage::new(audience(300, 10, ms, 4)).await;
    let mut node = stage.node().await;
    for (n, now) in dues(ms).enumerate() {
        stage.cold.away.store((3..18).contains(&n), Ordering::SeqCst);
        stage.hear(&mut node, now).await;
        assert_eq!(node.commit(now).await.is_err(), (3..18).contains(&n));
        if n == 10 {
            // Another node starts meanwhile, and commits later.
            node = stage.node().await;
        }
    }
    equals_the_oracle(&stage).await;
}

/// For hours there are no viewers, and nodes with different knowledge return to the chain. The
/// chain doesn't fork, and late events from before the gap aren't lost in it.
#[timed_test]
async fn a_gap_is_one_chunk() {
    let mut sent = audience(50, 3, HOUR_MS, 5);
    let night_ms = 7 * HOUR_MS;
    sent.extend(audience(50, 3, HOUR_MS, 6).into_iter().map(|event| LoggedEvent {
        at: event.at.plus(night_ms),
        logged: event.logged.plus(night_ms),
        ..event
    }));
    let stage = Stage::new(sent).await;
    stage.cold.lease_for_all.store(true, Ordering::SeqCst);
    let (mut a, mut b) = (stage.node().await, stage.node().await);
    // The last events before the night wait until after it, since the cold tier was unavailable in
    // the evening.
    let evening = BASE.plus(40 * MINUTE_MS);
    for now in dues(night_ms + HOUR_MS) {
        let is_night = now > evening && now < BASE.plus(night_ms);
        stage.cold.away.store(is_night, Ordering::SeqCst);
        stage.hear(&mut a, now).await;
        stage.hear(&mut b, now.minus(WINDOW_MS)).await;
        let (of_a, of_b) = tokio::join!(a.commit(now), b.commit(now.minus(WINDOW_MS)));
        assert!(is_night || (of_a.is_ok() && of_b.is_ok()), "{of_a:?} {of_b:?}");
    }
    equals_the_oracle(&stage).await;
    let chain = housecount_core::keys::Chain {
        series: housecount_core::keys::Series::Ledger,
        partitions: 1,
        partition: 0,
    };
    let mut reading =
        housecount_engine::internals::chain::ChainReader::open(&*stage.cold, chain, UnixMs::ZERO)
            .await
            .unwrap();
    let mut longest_ms = 0;
    while let Some(chunk) = reading.next(&*stage.cold, &mut ()).await.unwrap() {
        longest_ms = chunk.window.ms().max(longest_ms);
    }
    assert!(longest_ms > 3 * HOUR_MS, "{longest_ms}");
}

#[timed_test]
async fn what_comes_too_late_is_refused_and_counted() {
    let beat = |at: u64, logged: u64| LoggedEvent {
        at: BASE.plus(at),
        logged: BASE.plus(logged),
        kind: EventKind::Beat,
        stage: "s".to_string(),
        viewer: "ann".to_string(),
        session: String::new(),
    };
    let now = BASE.aligned(WINDOW_MS).plus(3 * HOUR_MS + TTL_MS);
    let edge = now.minus(TTL_MS).since(BASE);
    let in_time = edge - LATENESS_MS;
    let stage = Stage::new(vec![beat(10_000, 10_000), beat(40_000, 40_000)]).await;
    let mut node = stage.node().await;
    stage.hear(&mut node, now).await;
    node.commit(now).await.unwrap();
    let late = [beat(in_time - 1, edge), beat(in_time, edge), beat(in_time + 30_000, edge)];
    assert_eq!(
        node.hub.apply(late.iter().map(LoggedEvent::event)).uncredited,
        1,
        "one event is too late"
    );
    let next = now.plus(WINDOW_MS);
    node.commit(next).await.unwrap();
    let totals = stage.totals(ALWAYS).await;
    assert_eq!(totals[&("s".to_string(), "ann".to_string())], 30_000 + 30_000);
}

/// All hot data is lost a moment after a commit. Proof continues where the ledger had it end.
#[timed_test]
async fn after_a_total_loss_proof_goes_on_where_it_ended() {
    let window = BASE.aligned(WINDOW_MS).plus(WINDOW_MS);
    let commit_at = window.plus(WINDOW_MS + TTL_MS + 1_000);
    let beats = |viewer: &str, from: UnixMs, to: UnixMs| -> Vec<LoggedEvent> {
        let times = (from.0..=to.0).step_by(30_000).map(UnixMs);
        let sent = |at| LoggedEvent {
            at,
            logged: at,
            kind: EventKind::Beat,
            stage: "s".to_string(),
            viewer: viewer.to_string(),
            session: "tab".to_string(),
        };
        times.map(sent).collect()
    };
    let mut sent = beats("stays", window.plus(20_000), commit_at);
    sent.extend(beats("went", window.plus(20_000), window.plus(WINDOW_MS + 25_000)));
    let stage = Stage::new(sent).await;
    let mut node = stage.node().await;
    stage.hear(&mut node, commit_at).await;
    node.commit(commit_at).await.unwrap();
    drop(node);

    // Only the cold tier is left. Both viewers come back after 40 s.
    let (cold, log) = (stage.cold.clone(), Default::default());
    let lost = Stage { events: Vec::new(), cold, log, labels_of: None };
    let mut node = lost.node().await;
    let carried = housecount_engine::internals::restore_open_spans(&*lost.cold, &node.proofs, &[0])
        .await
        .unwrap();
    assert_eq!(carried, 1, "only the open span is restored");
    let back = commit_at.plus(40_000);
    let again: Vec<LoggedEvent> =
        ["stays", "went"].iter().flat_map(|v| beats(v, back, back.plus(60_000))).collect();
    node.hub.apply(again.iter().map(LoggedEvent::event));
    node.commit(commit_at.plus(WINDOW_MS)).await.unwrap();
    let totals = lost.totals(ALWAYS).await;
    let of = |viewer: &str| totals[&("s".to_string(), viewer.to_string())];
    assert_eq!(of("stays"), back.plus(60_000).since(window.plus(20_000)), "watch time has no gap");
    // Events of this viewer after the window's end are lost with the log, and none are invented.
    let proven = window.plus(WINDOW_MS).since(window.plus(20_000));
    assert_eq!(of("went"), proven + 60_000);
}
