//! A few of the seeds that the command runs, and the bugs that the checks must find.

#![allow(clippy::unwrap_used)] // a runtime that can't be made fails the test

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::mutants::Mutant;
use housecount_sim::run::{SeedOutcome, run};

/// Runs seeds on all cores, and checks each outcome.
fn each(seeds: std::ops::Range<u64>, look: impl Fn(&SeedOutcome) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    look(&run(seed, None, false).unwrap());
                }
            });
        }
    });
}

#[test]
fn two_hundred_seeds_are_clean() {
    let (counts, exact, rows) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (versions, events, labels) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let label_sums = AtomicU64::new(0);
    each(0..200, |outcome| {
        assert_eq!(outcome.violation, None, "seed {}", outcome.seed);
        counts.fetch_add(outcome.figures.counts, Ordering::Relaxed);
        exact.fetch_add(outcome.figures.exact, Ordering::Relaxed);
        rows.fetch_add(outcome.figures.rows_exact, Ordering::Relaxed);
        versions.fetch_add(outcome.figures.versions, Ordering::Relaxed);
        events.fetch_add(outcome.figures.stage_events, Ordering::Relaxed);
        labels.fetch_add(outcome.figures.labels, Ordering::Relaxed);
        label_sums.fetch_add(outcome.figures.label_sums, Ordering::Relaxed);
    });
    // Checks that hardly ever apply would show nothing.
    let (counts, exact, rows) = (counts.into_inner(), exact.into_inner(), rows.into_inner());
    assert!(
        exact > counts / 2 && counts > 1_000_000,
        "only {exact} of {counts} counts had one right answer"
    );
    assert!(rows > 5_000, "only {rows} rows of watch time");
    let versions = versions.into_inner();
    assert!(versions > 2_000, "only {versions} versions of configurations");
    let events = events.into_inner();
    assert!(events > 4_000, "only {events} events of stages");
    let (labels, label_sums) = (labels.into_inner(), label_sums.into_inner());
    assert!(labels > counts / 4, "only {labels} counts by label had one right answer");
    assert!(label_sums > 100, "only {label_sums} sums of watch time by label");
}

#[test]
fn the_same_seed_is_the_same_run() {
    each(1_000..1_012, |outcome| assert_eq!(run(outcome.seed, None, false).unwrap(), *outcome));
}

#[test]
fn known_bugs_are_found() {
    for mutant in Mutant::ALL {
        let found =
            (0..1_000).find(|seed| run(*seed, Some(mutant), false).unwrap().violation.is_some());
        assert!(found.is_some(), "no seed finds {mutant:?}");
    }
}
