//! The embedded cold tier after a kill, flipped bits, in a read-only folder, and with an older
//! store.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_backend::cold::{Cold, KeyedItem, Page};
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::node::{Node, housecount, housecount_by};

const DATABASE: &str = "items.sqlite";

/// Every acknowledged configuration is still there after kill -9.
#[timed_test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut node = Node::ready(&["log=memory:"]).await;
    for round in 0..3u64 {
        let done = Arc::new(AtomicU64::new(0));
        let (client, counted) =
            (housecount_net::client::Client::new(&node.address).unwrap(), done.clone());
        let writes = tokio::spawn(async move {
            for n in 0u64.. {
                let body = json!({ "stage": format!("stage-{round}-{n:05}") }).to_string();
                match client.call(Method::POST, "/v1/stages", body).await {
                    Ok((status, _)) if (200..300).contains(&status) => {
                        counted.store(n + 1, Ordering::SeqCst)
                    }
                    _ => break,
                }
            }
        });
        while done.load(Ordering::SeqCst) < 20 && !writes.is_finished() {
            tokio::task::yield_now().await;
        }
        node.kill();
        writes.await.unwrap();
        assert!(done.load(Ordering::SeqCst) >= 20);
        node.restart();
        node.until_ready().await;
        for n in 0..done.load(Ordering::SeqCst) {
            let stage = node.get(&format!("/v1/stages/stage-{round}-{n:05}")).await;
            assert_eq!(stage["configured"], true, "{stage}");
        }
    }
}

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

/// Runs the program as an unprivileged user. Root may write anywhere, so the program runs as user
/// 65534 then.
fn run_as_other_user(folder: &Path, args: &[&str]) -> Output {
    const OTHER_USER: u32 = 65_534;
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if is_root {
        for path in [folder.to_path_buf(), folder.join(DATABASE), folder.join("lock")] {
            chown(path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        }
        housecount_by(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    } else {
        housecount()
    };
    command.args(args).output().unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn a_read_only_folder_is_read_and_named() {
    let above = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(above.path(), 0o755);
    let folder = above.path().join("cold");
    let cold = SqliteCold::open(&folder).unwrap();
    cold.put((0..5).map(record).collect()).await.unwrap();
    drop(cold);
    set_mode(&folder.join(DATABASE), 0o400);
    set_mode(&folder.join("lock"), 0o400);
    set_mode(&folder, 0o500);
    let url = format!("embedded:{}", folder.display());
    let printed = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
    let verified = run_as_other_user(&folder, &[&["verify", "--cold", &url][..], &range].concat());
    assert_ne!(verified.status.code(), Some(2), "{}", printed(&verified));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--set", "log=memory:", "--cold", &url];
    let served = run_as_other_user(&folder, &serve);
    let line = printed(&served);
    assert!(!served.status.success(), "{line}");
    let expected = format!(
        "the folder {} and its files must be writable for the user that runs housecount",
        folder.display()
    );
    assert!(line.contains(&expected), "{line}");
    set_mode(&folder, 0o700);
}

/// The store of a version that used an emulator is refused, and never taken for an empty one.
#[timed_test(flavor = "multi_thread")]
async fn an_earlier_versions_store_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cold.sqlite"), "SQLite format 3").unwrap();
    let names = || {
        let entries =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<Vec<_>>()
    };
    let before = names();
    let check = |error: StoreError| {
        let printed = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(
            printed.contains("rename the folder") && printed.contains("with the earlier version"),
            "{printed}"
        );
    };
    check(SqliteCold::open(folder.path()).unwrap_err());
    check(SqliteCold::open_to_read(folder.path()).unwrap_err());
    assert_eq!(names(), before);
    let url = format!("embedded:{}", folder.path().display());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--set", "log=memory:", "--cold", &url];
    let output = housecount().args(serve).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && printed.contains("has the store of an earlier housecount"),
        "{printed}"
    );
    assert_eq!(names(), before);
}

/// Measures puts alone, beside 1,000 reads of a copy, and beside 1,000 reads of the store itself.
/// The last two differ only in the store's locks. Run with:
/// `cargo test -p housecount --test it -- --ignored --nocapture readers_hold_no_writer`
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
