//! Each fault by itself, on three nodes, in the middle of an audience: nothing is lost, and all is
//! right again in time. docs/OPERATIONS.md names these tests in its table.

#![allow(clippy::unwrap_used)] // a runtime that can't be made fails the test

use housecount_sim::plan::{Fault, Kind, Plan};
use housecount_sim::run::{Outcome, run_plan};

const MINUTE_MS: u64 = 60_000;

/// Faults as (from minute, to minute, what).
fn plan(faults: &[(u64, u64, Kind)]) -> Plan {
    let fault = |(from, to, kind): &(u64, u64, Kind)| Fault {
        from_ms: from * MINUTE_MS,
        to_ms: to * MINUTE_MS,
        kind: *kind,
    };
    Plan {
        nodes: 3,
        partitions: 2,
        viewers: 30,
        stages: 2,
        window_ms: MINUTE_MS,
        snapshot_interval_ms: MINUTE_MS,
        is_acknowledged_early: false,
        faults: faults.iter().map(fault).collect(),
        mended_ms: faults.iter().map(|(_, to, _)| to * MINUTE_MS).max().unwrap_or(0),
        ..Plan::of(1)
    }
}

fn happens(faults: &[(u64, u64, Kind)]) -> Outcome {
    let outcome = run_plan(plan(faults), None, false).unwrap();
    assert_eq!(outcome.violation, None, "{faults:?}");
    assert!(outcome.figures.exact > 100 && outcome.figures.rows > 30, "{:?}", outcome.figures);
    outcome
}

fn loses_nothing(faults: &[(u64, u64, Kind)]) {
    assert_eq!(happens(faults).figures.losses, 0, "{faults:?}");
}

#[test]
fn a_node_dies_or_stops() {
    loses_nothing(&[(6, 9, Kind::NodeKilled(1))]);
    loses_nothing(&[(6, 9, Kind::NodeStopped(1))]);
}

#[test]
fn every_node_dies() {
    loses_nothing(&[(6, 9, Kind::AllKilled)]);
}

#[test]
fn every_node_is_replaced_one_after_the_other() {
    loses_nothing(&[
        (6, 7, Kind::NodeStopped(0)),
        (7, 8, Kind::NodeStopped(1)),
        (8, 9, Kind::NodeStopped(2)),
    ]);
}

#[test]
fn a_node_is_cut_off() {
    loses_nothing(&[(6, 11, Kind::NodeCutOff(1))]);
}

#[test]
fn the_log_is_emptied() {
    loses_nothing(&[(6, 6, Kind::LogEmptied)]);
}

#[test]
fn the_log_is_emptied_while_the_only_node_that_knows_is_cut_off() {
    loses_nothing(&[
        (5, 9, Kind::NodeKilled(1)),
        (5, 9, Kind::NodeKilled(2)),
        (7, 15, Kind::NodeCutOff(0)),
        (8, 8, Kind::LogEmptied),
    ]);
}

#[test]
fn the_log_is_away_or_stands_still() {
    loses_nothing(&[(6, 10, Kind::LogAway)]);
    loses_nothing(&[(6, 10, Kind::LogFrozen)]);
}

#[test]
fn the_log_can_be_read_and_not_written() {
    loses_nothing(&[(6, 8, Kind::WritesRefused(None))]);
    loses_nothing(&[(6, 12, Kind::WritesRefused(Some(1)))]);
    loses_nothing(&[(6, 12, Kind::WritesTimeOut(None))]);
    loses_nothing(&[(6, 8, Kind::WritesTimeOut(Some(1)))]);
    loses_nothing(&[(6, 12, Kind::AppendsRefused(None))]);
    loses_nothing(&[(6, 8, Kind::AppendsRefused(Some(1)))]);
}

/// Longer than `lateness_max`: what was not acknowledged is given up, and all is right again in
/// time.
#[test]
fn the_log_can_be_read_and_not_written_for_hours() {
    loses_nothing(&[(6, 126, Kind::WritesRefused(None))]);
    loses_nothing(&[(6, 126, Kind::AppendsRefused(Some(1)))]);
}

#[test]
fn a_node_starts_while_the_log_stands_still() {
    loses_nothing(&[(6, 13, Kind::LogFrozen), (7, 9, Kind::NodeStopped(0))]);
}

#[test]
fn the_log_fails_over_to_a_replica_that_lags() {
    loses_nothing(&[(6, 6, Kind::LogBack), (9, 9, Kind::LogBack)]);
}

#[test]
fn the_logs_clock_is_set_forward_and_back() {
    loses_nothing(&[(6, 6, Kind::LogClock(600_000))]);
    loses_nothing(&[
        (6, 6, Kind::LogClock(-600_000)),
        (9, 10, Kind::NodeKilled(1)),
        (14, 15, Kind::AllKilled),
    ]);
}

#[test]
fn a_machines_clock_is_set() {
    loses_nothing(&[(6, 6, Kind::NodeClock(1, 600_000)), (8, 8, Kind::NodeClock(1, -600_000))]);
}

#[test]
fn answers_are_lost_messages_slow_and_doubled() {
    loses_nothing(&[(6, 9, Kind::AnswersLost)]);
    loses_nothing(&[(6, 9, Kind::Slow)]);
    loses_nothing(&[(6, 9, Kind::Doubled)]);
}

#[test]
fn the_cold_tier_is_away_for_an_hour_while_every_node_is_replaced() {
    loses_nothing(&[(6, 66, Kind::ColdAway), (30, 31, Kind::AllKilled)]);
}

#[test]
fn the_cold_tier_throttles_lies_and_is_slow() {
    loses_nothing(&[(6, 12, Kind::ColdThrottled)]);
    loses_nothing(&[(6, 12, Kind::ColdLying)]);
    loses_nothing(&[(6, 12, Kind::ColdSlow)]);
}

#[test]
fn two_nodes_hold_every_lease() {
    loses_nothing(&[(6, 12, Kind::LeaseForAll)]);
}

/// The documented double fault: what was said since the last window that is written is lost, and
/// nothing else.
#[test]
fn everything_hot_is_lost() {
    assert!(happens(&[(6, 9, Kind::HotLost)]).figures.losses > 0);
}
