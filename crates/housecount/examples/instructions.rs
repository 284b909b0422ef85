//! A fixed piece of the core's work, to count its instructions: `instructions WORK ROUNDS`, where a
//! round is 1,000 events. `bench/instructions` runs it under callgrind with two numbers of rounds;
//! the difference is what the rounds cost.

use std::hint::black_box;

use housecount_core::batch::Batch;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{Fold, HandleKey, Rules};
use housecount_core::record;
use housecount_core::time::UnixMs;

const RULES: Rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };
const NOW: u64 = 1_790_000_000_000;
const EVENTS: usize = 1_000;

fn beats(names: &[String], at: u64) -> Vec<EventRef<'_>> {
    let beat = |viewer| EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "stage-1", viewer, session: "" },
    };
    names.iter().map(|name| beat(name.as_str())).collect()
}

fn names(from: usize) -> Vec<String> {
    (from..from + EVENTS).map(|n| format!("{n:08x}-0000-4000-8000-{n:012x}")).collect()
}

/// All that the core does for a batch of known viewers: gathered, made into entries, encoded,
/// folded.
fn beat(fold: &mut Fold, names: &[String], at: u64) {
    let mut batch = Batch::default();
    beats(names, at).iter().for_each(|event| batch.push(event));
    let events: Vec<EventRef<'_>> = batch.iter().collect();
    let entries = fold.record_entries(&events, UnixMs(at));
    black_box(record::encode(&entries));
    fold.apply_all(0, &entries, UnixMs(at), |_| ());
}

fn main() {
    let mut args = std::env::args().skip(1);
    let work = args.next().unwrap_or_default();
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut fold = Fold::new(RULES, 1, true);
    fold.set_key(0, HandleKey(7));
    let known = names(0);
    beat(&mut fold, &known, NOW);
    for round in 1..=rounds {
        let at = NOW + round as u64;
        match work.as_str() {
            "beat" => beat(&mut fold, &known, at),
            "follow" => {
                let record = record::encode(&fold.record_entries(&beats(&known, at), UnixMs(at)));
                fold.apply_all(0, &record::decode(&record).unwrap_or_default(), UnixMs(at), |_| ());
            }
            _ => beat(&mut fold, &names(round * EVENTS), at),
        }
    }
    black_box(fold.totals());
}
