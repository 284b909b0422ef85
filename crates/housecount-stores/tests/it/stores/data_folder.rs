//! The folder of a store. Its loss is a failed store, and not a surprise at the next start.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::log::Position;
use housecount_core::fold::HandleKey;
use housecount_core::item::Item;
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

/// Parts of a store that can be lost, and whether a copy takes the part's place.
fn losses(folder: &Path, database: &str) -> Vec<(PathBuf, bool)> {
    let files =
        [folder.to_path_buf(), folder.join(database), folder.join(format!("{database}-wal"))];
    files.into_iter().flat_map(|path| [(path.clone(), false), (path, true)]).collect()
}

/// Copies a file, or a folder of files.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.unwrap();
}

#[timed_test(flavor = "multi_thread")]
async fn a_file_log_that_is_gone_or_replaced_takes_and_answers_nothing() {
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("log"), above.path().join("aside"));
    let log = LogTarget::File(folder.clone()).open("").await.unwrap();
    let mut last = log.append(0, Bytes::from_static(b"before")).await.unwrap();
    for (path, is_replaced) in losses(&folder, "log.sqlite") {
        std::fs::rename(&path, &aside).unwrap();
        if is_replaced {
            copy(&aside, &path);
        }
        let named = format!("{}", path.display());
        for error in [
            log.append(0, Bytes::from_static(b"lost")).await.unwrap_err(),
            log.maintain(0, UnixMs::ZERO, UnixMs::ZERO).await.unwrap_err(),
            log.note_committed(0, UnixMs(1)).await.unwrap_err(),
            log.read(0, Position::START, HandleKey::default()).await.unwrap_err(),
            log.read_once(0, Position::START).await.unwrap_err(),
        ] {
            let message = error.to_string();
            let how = if is_replaced { "was replaced" } else { "was deleted or moved" };
            assert!(
                error.is_temporary() && message.contains(&named) && message.contains(how),
                "{message}"
            );
        }
        // Once restored it is the same log, and may hold the appends made meanwhile.
        if is_replaced {
            remove(&path);
        }
        std::fs::rename(&aside, &path).unwrap();
        let next = log.append(0, Bytes::from_static(b"after")).await.unwrap();
        assert!(next > last);
        last = next;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn an_embedded_cold_tier_that_is_gone_or_replaced_takes_and_answers_nothing() {
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("cold"), above.path().join("aside"));
    let cold = SqliteCold::open(&folder).unwrap();
    let key = Key::Lease { name: "test".to_string() };
    let record = || vec![KeyedItem { key: key.clone(), item: Item::new() }];
    cold.put(record()).await.unwrap();
    for (path, is_replaced) in losses(&folder, "items.sqlite") {
        std::fs::rename(&path, &aside).unwrap();
        if is_replaced {
            copy(&aside, &path);
        }
        for message in [cold.put(record()).await.unwrap_err(), cold.get(&key).await.unwrap_err()] {
            assert!(message.to_string().contains(&format!("{}", path.display())), "{message}");
        }
        if is_replaced {
            remove(&path);
        }
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(cold.get(&key).await.unwrap(), Some(Item::new()));
    }
}
