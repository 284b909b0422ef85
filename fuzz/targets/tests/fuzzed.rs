//! A bounded run of the fuzzing targets, over their corpora and changed inputs. `fuzz/` runs them
//! for any length of time.

#![allow(clippy::unwrap_used)] // a corpus that can't be read fails the test

use std::path::Path;

use housecount_fuzz_targets::TARGETS;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Changed inputs per target.
const CHANGED: usize = 20_000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One input made from another, as fuzzers do it.
fn changed(chance: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[chance.random_range(0..corpus.len())].clone();
    for _ in 0..chance.random_range(1..4) {
        let at = chance.random_range(0..=bytes.len());
        match chance.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = chance.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, chance.random()),
            _ => {
                let other = &corpus[chance.random_range(0..corpus.len())];
                let from = chance.random_range(0..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn whatever_the_bytes_they_are_read_or_refused() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let read = corpus.iter().filter(|bytes| target(bytes)).count();
        // A corpus of only good, or only bad, inputs reaches little code.
        assert!(
            read >= 2 && read < corpus.len(),
            "{name}: {read} of {} inputs are read",
            corpus.len()
        );
        let mut chance = SmallRng::seed_from_u64(7);
        let read = (0..CHANGED).filter(|_| target(&changed(&mut chance, &corpus))).count();
        assert!(read > 0 && read < CHANGED, "{name}: {read} of {CHANGED} changed inputs are read");
    }
}

/// The targets of `fuzz/` need a nightly compiler, so no other test builds them.
#[test]
fn each_target_is_called_by_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    for (name, _) in TARGETS {
        let text = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
        assert!(text.contains(&format!("housecount_fuzz_targets::{name}(bytes)")), "{name}");
    }
}
