//! Memory that a viewer costs a node. Run with:
//! `cargo test --release -p housecount-engine --test it -- --ignored --nocapture memory::`

use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{HandleKey, Rules};
use housecount_core::time::UnixMs;
use housecount_engine::internals::Hub;

const VIEWERS: u64 = 1_000_000;
const RULES: Rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };
const START: u64 = 1_790_000_000_000;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// An id of 36 characters, as most players have.
fn viewer(n: u64) -> String {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        mixed >> 32,
        mixed & 0xffff,
        n & 0xfff,
        n >> 12 & 0xfff,
        n
    )
}

/// A million viewers on one stage, who beat every 30 s for ten minutes. Each batch is sent,
/// appended and read, as a record is.
#[test]
#[ignore = "a figure: takes half a minute"]
fn of_a_viewer() {
    let hub = Hub::new(RULES, 1, true);
    hub.set_key(0, HandleKey(7));
    let before = resident_bytes();
    for round in 0..20u64 {
        for from in (0..VIEWERS).step_by(1_000) {
            let now = UnixMs(START + round * 30_000 + from * 30_000 / VIEWERS);
            let names: Vec<String> = (from..from + 1_000).map(viewer).collect();
            let event = |viewer| EventRef {
                labels: SessionLabels::NONE,
                at: now,
                kind: EventKind::Beat,
                ids: Ids { stage: "stage-1", viewer, session: "" },
            };
            let events: Vec<_> = names.iter().map(|name| event(name.as_str())).collect();
            hub.apply_record(0, &hub.record_entries(&events, now, &[]), now);
            hub.advance(now);
        }
    }
    assert_eq!(hub.count("stage-1").value.viewers, VIEWERS);
    let each = (resident_bytes() - before) as f64 / VIEWERS as f64;
    println!(
        "{each:.1} B a viewer of {VIEWERS}, 36-character ids, one stage, with what they have proven"
    );
}
