//! The embedded cold tier of a node: after a kill, in a read-only folder, and with an older store.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::item::{Attr, Item};
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

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
    let key = Key::Snapshot { stage: format!("stage-{n}"), at: UnixMs(1_790_000_000_000 + n) };
    KeyedItem { key, item: Item::from([("n".to_string(), Attr::N(n))]) }
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
