//! How many bytes the ledger takes. `cargo test --release -p housecount-core --test size -- --ignored --nocapture`

mod crowd;

use crowd::{Crowd, Ids, Shape, USUAL};
use housecount_core::ledger::{Book, Chunk, Draft};
use housecount_core::proof::Proof;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

const WINDOW_MS: u64 = 300_000;
const TTL_MS: u64 = 120_000;
const KEPT_MS: u64 = 3_600_000 + TTL_MS;

#[test]
#[ignore = "a figure, not a check"]
fn bytes() {
    for (name, shape) in [
        ("base64url 16", USUAL),
        ("hex 16", Shape { ids: Ids::Hex16, ..USUAL }),
        ("uuid", Shape { ids: Ids::Uuid, ..USUAL }),
        ("one stage", Shape { stages: 1, ..USUAL }),
        ("10k stages", Shape { stages: 10_000, zipf: false, ..USUAL }),
    ] {
        let base = UnixMs(1_790_000_000_000).aligned(WINDOW_MS);
        let mut crowd = Crowd::new(shape, base);
        let (mut proof, mut book) = (Proof::new(TTL_MS), Book::default());
        let (mut units, mut bytes, mut pairs, mut open) = (0, 0, 0u64, 0u64);
        let (warm, count) = (48, 288);
        for n in 0..warm + count {
            let window = Span::new(base.plus(n * WINDOW_MS), base.plus((n + 1) * WINDOW_MS));
            crowd.play((n + 1) * WINDOW_MS + TTL_MS, |event| {
                proof.apply(&event);
            });
            let mut draft = Draft::new(&book, window, KEPT_MS, window.to.plus(75_000));
            let mut here = 0;
            let within = draft.within();
            proof.each(0..proof.places(), within, |proven| {
                here += u64::from(proven.spans.last().unwrap().to > window.from);
                draft.add(proven);
            });
            let encoded = draft.finish().encode();
            let (chunk, link) = Chunk::decode(&encoded).unwrap();
            book.apply(&chunk, link, &mut ()).unwrap();
            let floor = book.edge().minus(3_600_000);
            proof.refuse_before(floor);
            proof.forget(0..proof.places(), floor.minus(TTL_MS));
            if n >= warm {
                bytes += encoded.len() as u64;
                units += (encoded.len() as u64 + 60).div_ceil(1024);
                pairs += here;
                open += book.open() as u64;
            }
        }
        let month = units as f64 / count as f64 * 8640.0;
        println!(
            "{name}: {} B a window, {:.2} B a viewer-window, {:.2} B of units; open {}, {} a window; {:.3} M units, ${:.3} a month",
            bytes / count,
            bytes as f64 / pairs as f64,
            units as f64 * 1024.0 / pairs as f64,
            open / count,
            pairs / count,
            month / 1e6,
            month * 0.625e-6
        );
    }
}
