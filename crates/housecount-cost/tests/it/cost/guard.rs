//! The cost guard, which limits the cost of a running engine.

use std::sync::Arc;

use housecount_backend::clock::mono_ms;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::log::MemoryLog;
use housecount_core::fold::Count;
use housecount_core::keys::Key;
use housecount_core::limits::{COST_GUARD_HOLD_MS, COST_GUARD_WARMUP_MS, SNAPSHOT_STRETCH_MAX};
use housecount_core::snapshot::Snapshot;
use housecount_core::time::UnixMs;
use housecount_cost::guard::{BudgetGuard, BudgetLimit};
use housecount_cost::prices::DEFAULT_PRICES;
use housecount_cost::{CostSettings, CostTracker, Usd};
use housecount_engine::Settings;
use housecount_engine::internals::EngineRunner;
use housecount_test::timed_test;

use crate::support::cold::FaultyCold;

fn snapshots(from: u64, count: u64) -> Vec<KeyedItem> {
    let snapshot = |n| {
        let count = Count { viewers: 1, sessions: 1 };
        let at = UnixMs(1_790_000_000_000 + n);
        let snapshot = Snapshot { stage: "s".into(), at, count, peak: 1, recovering: false };
        KeyedItem { key: Key::Snapshot { stage: "s".into(), at }, item: snapshot.to_item(1_000) }
    };
    (from..from + count).map(snapshot).collect()
}

/// Passes more than an hour to the guard, in the test's own minutes.
#[timed_test(flavor = "multi_thread")]
async fn the_guard_stretches_what_it_may_and_comes_back() {
    let prices = toml::from_str(DEFAULT_PRICES).unwrap();
    let limit = Some(BudgetLimit { month: Usd(100_000), guard: BudgetGuard::Stretch });
    let cold = Arc::new(FaultyCold::new().await);
    let log = Arc::new(MemoryLog::default());
    let mut engine = EngineRunner::new(Settings::default(), log, Some(cold.clone()));
    let costs = CostTracker::start(&CostSettings { prices, limit, machine: None }, &mut engine);
    let started_ms = mono_ms();
    let at = |minute: u64| started_ms + 1_000 + minute * 60_000;
    let (judged, held) = (COST_GUARD_WARMUP_MS / 60_000, COST_GUARD_HOLD_MS / 60_000);
    let decided = || {
        let decided = costs.figures().decided;
        (decided.is_exceeded, decided.stretch, costs.stretch().get())
    };
    // Ten writes per minute cost $0.27 a month.
    for minute in 1..=3 * held {
        cold.put(snapshots(minute * 10, 10)).await.unwrap();
        costs.sample(at(minute));
        let is_exceeded = minute >= judged;
        let stretch = if minute >= held { SNAPSHOT_STRETCH_MAX } else { 1 };
        assert_eq!(decided(), (is_exceeded, stretch, stretch), "minute {minute}");
    }
    // Without further writes the rate falls step by step, and then the guard stretches nothing.
    let mut changes = vec![decided()];
    for minute in 3 * held + 1..=5 * held {
        costs.sample(at(minute));
        if decided() != changes[changes.len() - 1] {
            changes.push(decided());
        }
    }
    assert_eq!(changes.first(), Some(&(true, SNAPSHOT_STRETCH_MAX, SNAPSHOT_STRETCH_MAX)));
    assert_eq!(changes.last(), Some(&(false, 1, 1)), "{changes:?}");
    assert!(
        changes.len() <= 1 + SNAPSHOT_STRETCH_MAX as usize,
        "the guard oscillates: {changes:?}"
    );
}
