//! The hash of a run. The same seed has the same hash wherever it runs. The hash changes if any
//! stored or answered byte changes.

#![allow(clippy::unwrap_used)] // a process that can't be started fails the test

use std::process::Command;

use housecount_core::mutants::Mutant;
use housecount_sim::digest::RunHash;
use housecount_sim::plan::SimPlan;
use housecount_sim::run::{run, run_plan};

/// Seeds with and without an archive.
const SEEDS: std::ops::Range<u64> = 0..4;

/// Lines that the program prints for [`SEEDS`].
fn printed() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_housecount-sim"));
    let output = command.args(["--seeds", "4", "--hashes"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// For one process, see `seeds::the_same_seed_is_the_same_run`.
#[test]
fn a_seed_has_one_hash_in_this_and_in_two_other_processes() {
    let archives = SEEDS.map(|seed| SimPlan::of(seed).archive);
    assert!(archives.clone().any(|archive| archive.is_none()));
    assert!(archives.clone().flatten().count() > 0);
    let hashes: Vec<(u64, RunHash)> =
        SEEDS.map(|seed| (seed, run(seed, None, false).unwrap().run_hash)).collect();
    let mut lines: Vec<String> =
        hashes.iter().map(|(seed, hash)| format!("{seed} {hash}\n")).collect();
    lines.push(format!("{} seeds {}\n", hashes.len(), RunHash::combined(hashes)));
    let lines = lines.concat();
    assert_eq!(printed(), lines, "output of the first process");
    assert_eq!(printed(), lines, "output of the second process");
}

#[test]
fn other_seeds_and_known_bugs_have_other_hashes() {
    let hash = |seed, mutant| run(seed, mutant, false).unwrap().run_hash;
    let hashes: Vec<RunHash> = SEEDS.map(|seed| hash(seed, None)).collect();
    for (seed, of_seed) in SEEDS.zip(&hashes) {
        assert_eq!(hashes.iter().filter(|hash| *hash == of_seed).count(), 1, "seed {seed}");
    }
    for mutant in [Mutant::CreditSilence, Mutant::AckEarly, Mutant::LeaveAll] {
        let differs =
            SEEDS.zip(&hashes).any(|(seed, of_seed)| hash(seed, Some(mutant)) != *of_seed);
        assert!(differs, "{mutant:?}");
    }
}

/// The same audience and faults with another window length, so that the stored bytes differ.
#[test]
fn another_window_has_another_hash() {
    let of = |window_ms| {
        let plan = SimPlan { window_ms, ..SimPlan::of(0) };
        run_plan(plan, None, false).unwrap().run_hash
    };
    assert_ne!(of(60_000), of(300_000));
}
