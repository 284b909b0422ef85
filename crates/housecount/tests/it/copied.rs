//! `housecount copy`: all rows arrive, an interrupted copy continues, and other data is never mixed
//! in.

use std::path::Path;
use std::process::Output;

use housecount_backend::cold::bulk::{Bulk, StoredRow};
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_core::item::{Attr, Item};
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::node::{Node, housecount};

const STAGES: u64 = 7;
const SNAPSHOTS: u64 = 60;

/// Fills a folder with rows of every type, including one chunk of the largest size and a lease.
async fn fill(folder: &Path) {
    let cold = SqliteCold::open(folder).unwrap();
    let mut records = Vec::new();
    for n in 0..SNAPSHOTS {
        let item = Item::from([
            ("viewerCount".to_string(), Attr::N(n)),
            ("ttl".to_string(), Attr::N(4_000_000_000 + n)),
            ("recovering".to_string(), Attr::Bool(n % 2 == 0)),
        ]);
        let stage = format!("stage-{}", n % STAGES);
        records.push(KeyedItem {
            key: Key::Snapshot { stage, at: UnixMs(1_790_000_000_000 + n) },
            item,
        });
    }
    for n in 0..STAGES {
        let tags = Attr::StringMap([("sport".to_string(), "chess".to_string())].into());
        let bytes = Attr::B(vec![n as u8; 50_000 * n as usize]);
        let name = Attr::S(format!("Zoë {n}"));
        let attributes = [("tags", tags), ("bytes", bytes), ("name", name)];
        let item = attributes.into_iter().map(|(name, attr)| (name.to_string(), attr)).collect();
        records.push(KeyedItem { key: Key::Config { stage: format!("stage-{n}") }, item });
    }
    let lease = Item::from([("until".to_string(), Attr::N(5))]);
    records.push(KeyedItem { key: Key::Lease { name: "snapshot".to_string() }, item: lease });
    cold.put(records).await.unwrap();
}

async fn rows(cold: &dyn Bulk) -> Vec<StoredRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = cold.scan(after).await.unwrap();
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.retain(|row| !row.pk.starts_with("LEASE#"));
    rows.sort_by(|a, b| (&a.pk, &a.sk).cmp(&(&b.pk, &b.sk)));
    rows
}

fn copy(from: &str, to: &str) -> Output {
    housecount().args(["copy", "--json", "--from", from, "--to", to]).output().unwrap()
}

fn copied(from: &str, to: &str) -> Value {
    let output = copy(from, to);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that a copy ends with exit code 2 and one line; returns the line.
fn refused(from: &str, to: &str) -> String {
    let output = copy(from, to);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert_eq!(printed.trim_end().lines().count(), 1, "{printed}");
    printed
}

fn embedded(folder: &Path) -> String {
    format!("embedded:{}", folder.display())
}

#[timed_test(flavor = "multi_thread")]
async fn all_rows_arrive_in_a_table_and_back_and_an_interrupted_copy_goes_on() {
    let above = tempfile::tempdir().unwrap();
    let (first, second) = (above.path().join("first"), above.path().join("second"));
    fill(&first).await;
    let before = rows(&SqliteCold::open_to_read(&first).unwrap()).await;
    let dynamo = Dynamo::start().await;
    let (first, table) = (embedded(&first), dynamo.url("audience"));
    assert!(refused(&first, &table).contains("housecount table create"), "the table is missing");
    dynamo.make_table("audience");

    // The last page is refused, as if the copy were killed halfway.
    *dynamo.faults.refuses.lock().unwrap() = "STAGE#stage-6".to_string();
    refused(&first, &table);
    let there = rows(&dynamo.cold("audience").await).await.len() as u64;
    dynamo.faults.refuses.lock().unwrap().clear();
    let done = copied(&first, &table);
    let all = SNAPSHOTS + STAGES;
    assert!((1..all).contains(&there), "{there} of {all} rows were copied");
    assert_eq!(
        (done["written"].as_u64(), done["there"].as_u64()),
        (Some(all - there), Some(there))
    );
    assert!(done["writeUnits"].as_u64() > Some(all - there), "{done}");
    assert_eq!(rows(&dynamo.cold("audience").await).await, before);

    // A row of another program is left out, and so is a row of a log.
    for (pk, attribute) in [("OTHER", json!({ "L": [] })), ("LOG#0", json!({ "N": "1" }))] {
        let item = json!({ "pk": { "S": pk }, "sk": { "S": "x" }, "a": attribute });
        dynamo.call("PutItem", json!({ "TableName": "audience", "Item": item }));
    }
    let done = copied(&table, &embedded(&second));
    assert_eq!((done["written"].as_u64(), done["foreign"].as_u64()), (Some(all), Some(1)));
    assert_eq!(rows(&SqliteCold::open_to_read(&second).unwrap()).await, before);
    assert_eq!(
        copied(&table, &embedded(&second))["there"].as_u64(),
        Some(all),
        "every row is already there"
    );
    assert!(refused(&first, &table).contains("has other data than the source, such as OTHER / x"));
}

#[timed_test(flavor = "multi_thread")]
async fn a_target_with_other_data_is_refused() {
    let above = tempfile::tempdir().unwrap();
    let (from, to) = (above.path().join("from"), above.path().join("to"));
    fill(&from).await;
    let name = |folder: &Path| embedded(folder);
    copied(&name(&from), &name(&to));
    let put = async |key: Key| {
        let cold = SqliteCold::open(&to).unwrap();
        cold.put(vec![KeyedItem { key, item: Item::new() }]).await.unwrap();
    };
    put(Key::Config { stage: "stage-3".to_string() }).await;
    let before = rows(&SqliteCold::open_to_read(&to).unwrap()).await;
    assert!(
        refused(&name(&from), &name(&to))
            .contains("such as STAGE#stage-3 / CONFIG; choose an empty target")
    );
    assert_eq!(rows(&SqliteCold::open_to_read(&to).unwrap()).await, before);
    let other = above.path().join("other");
    drop(SqliteCold::open(&other).unwrap());
    assert!(refused(&name(&other), &name(&to)).contains("has other data than the source"));
    assert!(refused(&name(&to), &name(&to)).contains("give two cold tiers"));
    assert!(refused("none", &name(&to)).contains("--from none: there is nothing to copy"));
    let nowhere = above.path().join("nowhere");
    assert!(refused(&name(&nowhere), &name(&to)).contains("there is no cold tier in"));
    assert!(!nowhere.exists());
}

#[timed_test(flavor = "multi_thread")]
async fn a_tier_with_a_node_on_it_is_refused() {
    let mut node = Node::ready(&["log=memory:"]).await;
    let (theirs, other) = (node.data().join("cold"), tempfile::tempdir().unwrap());
    drop(SqliteCold::open(&other.path().join("cold")).unwrap());
    let (theirs, other) = (embedded(&theirs), embedded(&other.path().join("cold")));
    for (from, to) in [(&theirs, &other), (&other, &theirs)] {
        assert!(refused(from, to).contains("is in use by another housecount"));
    }
    node.stop();
    copied(&theirs, &other);
    // In a table only a lease shows that a node works on it.
    let dynamo = Dynamo::start().await;
    dynamo.make_table("audience");
    let cold = dynamo.cold("audience").await;
    let until = Attr::N(housecount_backend::clock::wall_clock().0 + 60_000);
    let lease = Item::from([("until".to_string(), until)]);
    let key = Key::Lease { name: "ledger-1-0".to_string() };
    cold.put(vec![KeyedItem { key, item: lease }]).await.unwrap();
    let empty = tempfile::tempdir().unwrap();
    let (table, empty) = (dynamo.url("audience"), embedded(&empty.path().join("cold")));
    for (from, to) in [(&other, &table), (&table, &empty)] {
        let printed = refused(from, to);
        assert!(printed.contains("a node is using dynamodb://audience"), "{printed}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_target_with_some_of_the_rows_gets_the_others() {
    let above = tempfile::tempdir().unwrap();
    let (from, to) = (above.path().join("from"), above.path().join("to"));
    fill(&from).await;
    let all = rows(&SqliteCold::open_to_read(&from).unwrap()).await;
    // The first and the last row of each partition key. Rows that the target lacks are between
    // them.
    let runs = all.chunk_by(|a, b| a.pk == b.pk);
    let ends: Vec<StoredRow> =
        runs.flat_map(|run| [run[0].clone(), run[run.len() - 1].clone()]).collect();
    let cold = SqliteCold::open(&to).unwrap();
    cold.put_rows(ends.clone()).await.unwrap();
    drop(cold);
    let done = copied(&embedded(&from), &embedded(&to));
    assert_eq!((done["there"].as_u64(), done["written"].as_u64()), {
        let there = ends.len() as u64;
        (Some(there), Some(all.len() as u64 - there))
    });
    assert_eq!(rows(&SqliteCold::open_to_read(&to).unwrap()).await, all);
}
