//! The embedded cold tier with flipped bits, and beside many readers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use housecount_backend::cold::{Cold, KeyedItem, Page};
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use tokio::time::Instant;

const DATABASE: &str = "items.sqlite";

fn record(n: u64) -> KeyedItem {
    let bytes = vec![n as u8; 200 * (n as usize % 13) + (n as usize % 5) * 2_000];
    let item = Item::from([("n".to_string(), Attr::N(n)), ("b".to_string(), Attr::B(bytes))]);
    let stage = format!("stage-{}", n % 7);
    KeyedItem { key: Key::Snapshot { stage, at: UnixMs(1_790_000_000_000 + n) }, item }
}

/// A flipped bit of the file changes no answer, or causes an error. The error names the file and
/// the remedy. A flip never invents an item.
#[timed_test(flavor = "multi_thread")]
async fn a_flipped_bit_makes_no_item_up() {
    const ROWS: u64 = 60;
    let folder = tempfile::tempdir().unwrap();
    let cold = SqliteCold::open(folder.path()).unwrap();
    cold.put((0..ROWS).map(record).collect()).await.unwrap();
    drop(cold);
    let path = folder.path().join(DATABASE);
    let whole = std::fs::read(&path).unwrap();
    let (mut refused, mut hidden, mut unchanged) = (0, 0, 0);
    // The file's header and schema are in the first bytes.
    for at in (0..100).chain((100..whole.len()).step_by(1_511)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        let (mut errors, mut missing) = (Vec::new(), 0);
        match SqliteCold::open_to_read(folder.path()) {
            Err(error) => errors.push(error),
            Ok(cold) => {
                for n in 0..ROWS {
                    let KeyedItem { key, item } = record(n);
                    match cold.get(&key).await {
                        Ok(Some(found)) => assert_eq!(found, item, "byte {at}"),
                        Ok(None) => missing += 1,
                        Err(error) => errors.push(error),
                    }
                }
                for stage in 0..7 {
                    let range =
                        KeyRange::snapshots(&format!("stage-{stage}"), UnixMs::ZERO, UnixMs::MAX);
                    match cold.query(&range, &Page::first(1_000)).await {
                        Ok(rows) => rows.iter().for_each(|(sk, item)| {
                            let n = housecount_core::item::number(item, "n").unwrap();
                            assert_eq!(
                                (sk, item),
                                (&record(n).key.sk(), &record(n).item),
                                "byte {at}"
                            );
                        }),
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        for error in &errors {
            let printed = error.to_string();
            assert!(printed.contains(DATABASE) && !error.is_temporary(), "byte {at}: {printed}");
        }
        match (errors.len(), missing) {
            (0, 0) => unchanged += 1,
            (0, _) => hidden += 1,
            _ => refused += 1,
        }
    }
    println!("{refused} flips are refused, {hidden} hide rows, {unchanged} change no answer");
    // Most flips without an effect are in free space. A flip in a key hides its row, which `verify`
    // notices in a ledger.
    assert!(refused > unchanged / 4 && hidden < refused / 2, "{refused}, {hidden}, {unchanged}");
}

/// Measures puts alone, beside 1,000 reads of a copy, and beside 1,000 reads of the store itself.
/// The last two differ only in the store's locks. Run with:
/// `cargo test -p housecount-stores --test it -- --ignored --nocapture readers_hold_no_writer`
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure"]
async fn readers_hold_no_writer() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cold = SqliteCold::open(copy.path()).unwrap();
    cold.put((0..2_000).map(record).collect()).await.unwrap();
    drop(cold);
    std::fs::copy(copy.path().join(DATABASE), folder.path().join(DATABASE)).unwrap();
    let cold = SqliteCold::open(folder.path()).unwrap();
    let puts = async |beside: &str, stop: &AtomicBool| {
        let mut took_us = Vec::new();
        for n in 0u64.. {
            if stop.load(Ordering::SeqCst) && n >= 1_000 {
                break;
            }
            let started = Instant::now();
            cold.put(vec![record(n % 2_000)]).await.unwrap();
            took_us.push(started.elapsed().as_micros());
        }
        took_us.sort_unstable();
        let at = |share: f64| took_us[((took_us.len() - 1) as f64 * share) as usize];
        let (count, most) = (took_us.len(), at(1.0));
        println!(
            "{count} puts {beside}: median {} us, p99 {} us, at most {most} us",
            at(0.5),
            at(0.99)
        );
    };
    puts("alone", &AtomicBool::new(true)).await;
    for (beside, read) in
        [("beside readers of a copy", copy.path()), ("beside readers", folder.path())]
    {
        let stop = Arc::new(AtomicBool::new(false));
        let readers = tokio::task::spawn_blocking({
            let (read, stop) = (read.to_path_buf(), stop.clone());
            move || {
                // The reader is its own process, as a command is.
                let mut reader = std::process::Command::new(std::env::current_exe().unwrap());
                reader.args(["--ignored", "--exact", "stores::embedded::a_reader_of_all_rows"]);
                let output = reader.env("STORE_TO_READ", read).output().unwrap();
                stop.store(true, Ordering::SeqCst);
                assert!(output.status.success(), "{output:?}");
            }
        });
        puts(beside, &stop).await;
        readers.await.unwrap();
    }
}

/// Opens the store of `STORE_TO_READ` 1,000 times, and reads a stage each time.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a process of the figure above"]
async fn a_reader_of_all_rows() {
    #[allow(clippy::disallowed_methods)] // from its parent, not a setting
    let Ok(folder) = std::env::var("STORE_TO_READ") else { return };
    for _ in 0..1_000 {
        let reader = SqliteCold::open_to_read(Path::new(&folder)).unwrap();
        let range = KeyRange::snapshots("stage-3", UnixMs::ZERO, UnixMs::MAX);
        assert!(reader.query(&range, &Page::first(1_000)).await.unwrap().len() > 200);
    }
}
