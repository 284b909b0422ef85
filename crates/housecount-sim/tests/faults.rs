//! Each fault by itself, on three nodes with an audience. Nothing is lost, and all is right again
//! in time. docs/OPERATIONS.md names these tests in its table.

#![allow(clippy::unwrap_used)] // a runtime that can't be made fails the test

use housecount_sim::plan::{Fault, FaultKind, SimPlan};
use housecount_sim::run::{SeedOutcome, run_plan};

const MINUTE_MS: u64 = 60_000;

/// A plan of faults, each as (from minute, to minute, kind).
fn plan(faults: &[(u64, u64, FaultKind)]) -> SimPlan {
    let fault = |(from, to, kind): &(u64, u64, FaultKind)| Fault {
        from_ms: from * MINUTE_MS,
        to_ms: to * MINUTE_MS,
        kind: *kind,
    };
    SimPlan {
        nodes: 3,
        partitions: 2,
        viewers: 30,
        stages: 2,
        window_ms: MINUTE_MS,
        snapshot_interval_ms: MINUTE_MS,
        is_acknowledged_early: false,
        has_events: true,
        faults: faults.iter().map(fault).collect(),
        faults_end_ms: faults.iter().map(|(_, to, _)| to * MINUTE_MS).max().unwrap_or(0),
        ..SimPlan::of(1)
    }
}

fn happens(faults: &[(u64, u64, FaultKind)]) -> SeedOutcome {
    let outcome = run_plan(plan(faults), None, false).unwrap();
    assert_eq!(outcome.violation, None, "{faults:?}");
    assert!(outcome.figures.exact > 100 && outcome.figures.rows > 30, "{:?}", outcome.figures);
    outcome
}

fn loses_nothing(faults: &[(u64, u64, FaultKind)]) {
    assert_eq!(happens(faults).figures.losses, 0, "{faults:?}");
}

#[test]
fn a_node_dies_or_stops() {
    loses_nothing(&[(6, 9, FaultKind::NodeKilled(1))]);
    loses_nothing(&[(6, 9, FaultKind::NodeStopped(1))]);
}

#[test]
fn every_node_dies() {
    loses_nothing(&[(6, 9, FaultKind::AllKilled)]);
}

#[test]
fn every_node_is_replaced_one_after_the_other() {
    loses_nothing(&[
        (6, 7, FaultKind::NodeStopped(0)),
        (7, 8, FaultKind::NodeStopped(1)),
        (8, 9, FaultKind::NodeStopped(2)),
    ]);
}

#[test]
fn a_node_is_cut_off() {
    loses_nothing(&[(6, 11, FaultKind::NodeCutOff(1))]);
}

#[test]
fn the_log_is_emptied() {
    loses_nothing(&[(6, 6, FaultKind::LogEmptied)]);
}

#[test]
fn the_log_is_emptied_while_the_only_node_that_knows_is_cut_off() {
    loses_nothing(&[
        (5, 9, FaultKind::NodeKilled(1)),
        (5, 9, FaultKind::NodeKilled(2)),
        (7, 15, FaultKind::NodeCutOff(0)),
        (8, 8, FaultKind::LogEmptied),
    ]);
}

#[test]
fn the_log_is_away_or_stands_still() {
    loses_nothing(&[(6, 10, FaultKind::LogUnavailable)]);
    loses_nothing(&[(6, 10, FaultKind::LogFrozen)]);
}

#[test]
fn the_log_can_be_read_and_not_written() {
    loses_nothing(&[(6, 8, FaultKind::WritesRefused(None))]);
    loses_nothing(&[(6, 12, FaultKind::WritesRefused(Some(1)))]);
    loses_nothing(&[(6, 12, FaultKind::WritesTimeOut(None))]);
    loses_nothing(&[(6, 8, FaultKind::WritesTimeOut(Some(1)))]);
    loses_nothing(&[(6, 12, FaultKind::AppendsRefused(None))]);
    loses_nothing(&[(6, 8, FaultKind::AppendsRefused(Some(1)))]);
}

/// Longer than `lateness_max`: unacknowledged events are given up, and all is right again in time.
#[test]
fn the_log_can_be_read_and_not_written_for_hours() {
    loses_nothing(&[(6, 126, FaultKind::WritesRefused(None))]);
    loses_nothing(&[(6, 126, FaultKind::AppendsRefused(Some(1)))]);
}

#[test]
fn a_node_starts_while_the_log_stands_still() {
    loses_nothing(&[(6, 13, FaultKind::LogFrozen), (7, 9, FaultKind::NodeStopped(0))]);
}

#[test]
fn the_log_fails_over_to_a_replica_that_lags() {
    loses_nothing(&[(6, 6, FaultKind::LogFailedOver), (9, 9, FaultKind::LogFailedOver)]);
}

#[test]
fn the_logs_clock_is_set_forward_and_back() {
    loses_nothing(&[(6, 6, FaultKind::LogClock(600_000))]);
    loses_nothing(&[
        (6, 6, FaultKind::LogClock(-600_000)),
        (9, 10, FaultKind::NodeKilled(1)),
        (14, 15, FaultKind::AllKilled),
    ]);
}

#[test]
fn a_machines_clock_is_set() {
    loses_nothing(&[
        (6, 6, FaultKind::NodeClock(1, 600_000)),
        (8, 8, FaultKind::NodeClock(1, -600_000)),
    ]);
}

#[test]
fn answers_are_lost_messages_slow_and_doubled() {
    loses_nothing(&[(6, 9, FaultKind::RepliesLost)]);
    loses_nothing(&[(6, 9, FaultKind::Slow)]);
    loses_nothing(&[(6, 9, FaultKind::AppendsDuplicated)]);
}

#[test]
fn the_cold_tier_is_away_for_an_hour_while_every_node_is_replaced() {
    loses_nothing(&[(6, 66, FaultKind::ColdUnavailable), (30, 31, FaultKind::AllKilled)]);
}

#[test]
fn the_cold_tier_throttles_lies_and_is_slow() {
    loses_nothing(&[(6, 12, FaultKind::ColdThrottled)]);
    loses_nothing(&[(6, 12, FaultKind::ColdFailsAfterWrite)]);
    loses_nothing(&[(6, 12, FaultKind::ColdSlow)]);
}

#[test]
fn two_nodes_hold_every_lease() {
    loses_nothing(&[(6, 12, FaultKind::LeasesGrantedToAll)]);
}

/// The documented double fault: only events since the last written window are lost.
#[test]
fn everything_hot_is_lost() {
    assert!(happens(&[(6, 9, FaultKind::HotLost)]).figures.losses > 0);
}
