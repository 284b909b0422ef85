//! The contract of every cold tier.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::cold::{
    Cold, Condition, KeyedItem, Page, Purpose, PutOutcome, TransactOutcome, Write,
};
use housecount_backend::error::ErrorKind;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::{ITEM_BYTES_MAX, SWEEP_ROWS_MAX, WRITE_BATCH_ITEMS};
use housecount_core::time::UnixMs;
use housecount_sim::plan::SimPlan;
use housecount_sim::world::World;
use housecount_stores::cold::{SqliteCold, TableOptions};
use housecount_test::timed_test;
use serde_json::json;

use crate::support::dynamo::{Dynamo, cold_at};

async fn keeps_the_contract(cold: &dyn Cold) {
    cold.check().await.unwrap();
    put_replaces(cold).await;
    every_type_comes_back(cold).await;
    item_bytes_max_fits(cold).await;
    many_are_put_and_deleted(cold).await;
    a_key_may_come_twice(cold).await;
    a_range_is_read_in_order(cold).await;
    conditions_hold(cold).await;
    a_transaction_is_all_or_nothing(cold).await;
    cold.put(Vec::new()).await.unwrap();
    cold.delete(Vec::new()).await.unwrap();
}

fn item(n: u64) -> Item {
    Item::from([("n".to_string(), Attr::N(n))])
}

fn snapshot(stage: &str, at: u64) -> Key {
    Key::Snapshot { stage: stage.to_string(), at: UnixMs(1_790_000_000_000 + at) }
}

async fn put_replaces(cold: &dyn Cold) {
    let key = Key::Config { stage: "put".to_string() };
    assert_eq!(cold.get(&key).await.unwrap(), None);
    for n in [1, 2, 2] {
        cold.put(vec![KeyedItem { key: key.clone(), item: item(n) }]).await.unwrap();
        assert_eq!(cold.get(&key).await.unwrap(), Some(item(n)));
    }
    cold.delete(vec![key.clone()]).await.unwrap();
    cold.delete(vec![key.clone()]).await.unwrap();
    assert_eq!(cold.get(&key).await.unwrap(), None);
}

async fn every_type_comes_back(cold: &dyn Cold) {
    let key = Key::Config { stage: "types/e?%#".to_string() };
    let texts =
        [("sport".to_string(), "chess ♞".to_string()), ("empty".to_string(), String::new())];
    let item = Item::from([
        ("s".to_string(), Attr::S("Zoë\n".to_string())),
        ("n".to_string(), Attr::N(u64::MAX)),
        ("b".to_string(), Attr::B((0..=255).collect())),
        ("bool".to_string(), Attr::Bool(true)),
        ("texts".to_string(), Attr::StringMap(texts.into())),
    ]);
    cold.put(vec![KeyedItem { key: key.clone(), item: item.clone() }]).await.unwrap();
    assert_eq!(cold.get(&key).await.unwrap(), Some(item));
}

/// Stores an item as large as any that housecount writes.
async fn item_bytes_max_fits(cold: &dyn Cold) {
    let key = Key::Config { stage: "large".to_string() };
    let item = Item::from([("b".to_string(), Attr::B(vec![0xa5; ITEM_BYTES_MAX - 100]))]);
    cold.put(vec![KeyedItem { key: key.clone(), item: item.clone() }]).await.unwrap();
    assert_eq!(cold.get(&key).await.unwrap(), Some(item));
}

async fn many_are_put_and_deleted(cold: &dyn Cold) {
    let count = WRITE_BATCH_ITEMS as u64 * 4 + 3;
    let records = (0..count).map(|n| KeyedItem { key: snapshot("many", n), item: item(n) });
    cold.put(records.collect()).await.unwrap();
    let range = KeyRange::snapshots("many", UnixMs::ZERO, UnixMs::MAX);
    assert_eq!(cold.query(&range, &Page::first(10_000)).await.unwrap().len() as u64, count);
    cold.delete((0..count).map(|n| snapshot("many", n)).collect()).await.unwrap();
    assert_eq!(cold.query(&range, &Page::first(10_000)).await.unwrap(), []);
}

/// A batch may name a key twice, although DynamoDB itself would refuse the batch.
async fn a_key_may_come_twice(cold: &dyn Cold) {
    let range = KeyRange::snapshots("twice", UnixMs::ZERO, UnixMs::MAX);
    let records = [1, 2, 3, 2, 1]
        .into_iter()
        .zip(0..)
        .map(|(at, n)| KeyedItem { key: snapshot("twice", at), item: item(n) });
    cold.put(records.collect()).await.unwrap();
    let rows = cold.query(&range, &Page::first(10)).await.unwrap();
    let found: Vec<Item> = rows.into_iter().map(|(_, item)| item).collect();
    assert_eq!(found, [item(4), item(3), item(2)], "the last write stays");
    cold.delete([1, 2, 3, 2, 1].map(|at| snapshot("twice", at)).to_vec()).await.unwrap();
    assert_eq!(cold.query(&range, &Page::first(10)).await.unwrap(), []);
}

async fn a_range_is_read_in_order(cold: &dyn Cold) {
    let records = (0..20).map(|n| KeyedItem { key: snapshot("range", n), item: item(n) });
    let other = KeyedItem { key: Key::Config { stage: "range".to_string() }, item: item(99) };
    cold.put(records.chain([other]).collect()).await.unwrap();
    let numbers = async |from: u64, to: u64, page: Page| -> Vec<u64> {
        let at = |n| UnixMs(1_790_000_000_000 + n);
        let rows =
            cold.query(&KeyRange::snapshots("range", at(from), at(to)), &page).await.unwrap();
        let n = |item: &Item| housecount_core::item::number(item, "n").unwrap();
        rows.iter().map(|(_, item)| n(item)).collect()
    };
    assert_eq!(numbers(5, 8, Page::first(100)).await, [5, 6, 7, 8], "both ends are in the range");
    assert_eq!(numbers(0, 100, Page::first(3)).await, [0, 1, 2]);
    assert_eq!(numbers(0, 100, Page::last(3)).await, [19, 18, 17]);
    let behind = Page { after: Some(snapshot("range", 4).sk()), ..Page::first(2) };
    assert_eq!(numbers(0, 100, behind).await, [5, 6]);
    assert_eq!(numbers(50, 100, Page::first(2)).await, Vec::<u64>::new());
}

async fn conditions_hold(cold: &dyn Cold) {
    let key = Key::Lease { name: "test".to_string() };
    let put = async |n, condition| {
        cold.put_if(KeyedItem { key: key.clone(), item: item(n) }, condition).await.unwrap()
    };
    let at_most = |value| Condition::AbsentOrAtMost { attr: "n", value };
    assert_eq!(put(10, Condition::Absent).await, PutOutcome::Done);
    assert_eq!(put(20, Condition::Absent).await, PutOutcome::ConditionFailed(item(10)));
    assert_eq!(
        put(10, Condition::Absent).await,
        PutOutcome::Done,
        "a repeated write of the same item succeeds"
    );
    assert_eq!(put(20, at_most(9)).await, PutOutcome::ConditionFailed(item(10)));
    assert_eq!(put(20, at_most(10)).await, PutOutcome::Done);
    cold.delete(vec![key.clone()]).await.unwrap();
    assert_eq!(put(30, at_most(0)).await, PutOutcome::Done);
    let is = |n| Condition::Equals { attr: "n", value: Attr::N(n) };
    assert_eq!(put(40, is(29)).await, PutOutcome::ConditionFailed(item(30)));
    assert_eq!(put(40, is(30)).await, PutOutcome::Done);
    assert_eq!(
        put(40, is(30)).await,
        PutOutcome::Done,
        "a repeated write of the same item succeeds"
    );
    let of_bytes = |value: &[u8]| Item::from([("b".to_string(), Attr::B(value.to_vec()))]);
    let replace = async |from: &[u8], to: &[u8]| {
        let condition = Condition::Equals { attr: "b", value: Attr::B(from.to_vec()) };
        cold.put_if(KeyedItem { key: key.clone(), item: of_bytes(to) }, condition).await.unwrap()
    };
    assert_eq!(replace(b"old", b"new").await, PutOutcome::ConditionFailed(item(40)));
    cold.put(vec![KeyedItem { key: key.clone(), item: of_bytes(b"old") }]).await.unwrap();
    assert_eq!(replace(b"old", b"new").await, PutOutcome::Done);
    assert_eq!(replace(b"old", b"other").await, PutOutcome::ConditionFailed(of_bytes(b"new")));
    cold.delete(vec![key.clone()]).await.unwrap();
    assert_eq!(
        put(50, is(30)).await,
        PutOutcome::ConditionFailed(Item::new()),
        "the item is missing"
    );
}

async fn a_transaction_is_all_or_nothing(cold: &dyn Cold) {
    let key = |number| snapshot("transact", number);
    let write = |number, n, condition| Write::Put {
        record: KeyedItem { key: key(number), item: item(n) },
        condition,
    };
    let there = async || {
        let range = KeyRange::snapshots("transact", UnixMs::ZERO, UnixMs::MAX);
        let rows = cold.query(&range, &Page { consistent: true, ..Page::first(10) }).await.unwrap();
        rows.iter()
            .map(|(_, item)| housecount_core::item::number(item, "n").unwrap())
            .collect::<Vec<_>>()
    };
    let is = |n| Some(Condition::Equals { attr: "n", value: Attr::N(n) });
    let both = || vec![write(1, 10, Some(Condition::Absent)), write(2, 20, None)];
    assert_eq!(cold.transact(both()).await.unwrap(), TransactOutcome::Done);
    assert_eq!(there().await, [10, 20]);
    assert_eq!(
        cold.transact(both()).await.unwrap(),
        TransactOutcome::ConditionFailed,
        "also for equal items"
    );
    let one_is_refused = vec![write(1, 11, is(10)), write(3, 30, None), write(2, 21, is(19))];
    assert_eq!(cold.transact(one_is_refused).await.unwrap(), TransactOutcome::ConditionFailed);
    assert_eq!(there().await, [10, 20], "a refused transaction writes nothing");
    let absent = vec![write(3, 30, is(30)), Write::Delete(key(1))];
    assert_eq!(
        cold.transact(absent).await.unwrap(),
        TransactOutcome::ConditionFailed,
        "a condition on a missing item fails"
    );
    let at_most = Some(Condition::AbsentOrAtMost { attr: "n", value: 10 });
    let all =
        vec![write(1, 12, at_most), write(3, 30, Some(Condition::Absent)), Write::Delete(key(2))];
    assert_eq!(cold.transact(all).await.unwrap(), TransactOutcome::Done);
    assert_eq!(there().await, [12, 30]);
    let nothing_there = vec![Write::Delete(key(2)), Write::Delete(key(4))];
    assert_eq!(
        cold.transact(nothing_there).await.unwrap(),
        TransactOutcome::Done,
        "a delete of a missing item succeeds"
    );
    assert_eq!(cold.transact(Vec::new()).await.unwrap(), TransactOutcome::Done);
    cold.delete(vec![key(1), key(3)]).await.unwrap();
}

#[timed_test(flavor = "multi_thread")]
async fn embedded_in_memory() {
    keeps_the_contract(&SqliteCold::memory().unwrap()).await;
}

#[timed_test(flavor = "multi_thread")]
async fn embedded_in_a_folder() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("cold");
    let cold = SqliteCold::open(&folder).unwrap();
    keeps_the_contract(&cold).await;
    let record = KeyedItem { key: snapshot("kept", 1), item: item(1) };
    cold.put(vec![record.clone()]).await.unwrap();
    assert_eq!(SqliteCold::open(&folder).unwrap_err().kind(), ErrorKind::Held);
    drop(cold);
    let again = SqliteCold::open(&folder).unwrap();
    assert_eq!(again.get(&record.key).await.unwrap(), Some(record.item));
}

/// The embedded store meters the units that a table would have consumed, before there is a table.
#[timed_test(flavor = "multi_thread")]
async fn embedded_counts_the_units_of_a_table() {
    let dynamo = Dynamo::start().await;
    let table = dynamo.cold("table").await;
    table.create_table(&TableOptions::default(), |_| ()).await.unwrap();
    let embedded = SqliteCold::memory().unwrap();
    let tiers: [&dyn Cold; 2] = [&table, &embedded];
    for cold in tiers {
        keeps_the_contract(cold).await;
        several_pages_are_read(cold).await;
    }
    for purpose in Purpose::ALL {
        assert_eq!(embedded.meter().units(purpose), table.meter().units(purpose), "{purpose:?}");
    }
    assert_eq!(embedded.meter().put_bytes(), table.meter().put_bytes());
}

/// DynamoDB ends a page of a query after 1 MB, and rounds up the units of each page.
async fn several_pages_are_read(cold: &dyn Cold) {
    let large = |n: u64| {
        Item::from([("b".to_string(), Attr::B(vec![0xa5; (n % 7) as usize * 40_000 + 13]))])
    };
    for n in 0..30 {
        cold.put(vec![KeyedItem { key: snapshot("pages", n), item: large(n) }]).await.unwrap();
    }
    let range = KeyRange::snapshots("pages", UnixMs::ZERO, UnixMs::MAX);
    for page in [Page::first(100), Page::last(17), Page { consistent: true, ..Page::first(100) }] {
        assert_eq!(cold.query(&range, &page).await.unwrap().len(), page.limit.min(30));
    }
}

/// DynamoDB deletes expired items by itself; the embedded store sweeps them.
#[timed_test(flavor = "multi_thread")]
async fn sweep_rows_max_bounds_a_step_of_the_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let cold = SqliteCold::open(folder.path()).unwrap();
    let now = UnixMs(1_790_000_000_000);
    let expires = |at_s: u64| Item::from([("ttl".to_string(), Attr::N(at_s))]);
    let expired = (0..SWEEP_ROWS_MAX as u64 + 3)
        .map(|n| KeyedItem { key: snapshot("swept", n), item: expires(now.0 / 1_000 - n) });
    let stays = [expires(now.0 / 1_000 + 1), Item::new(), expires(0)];
    let stays =
        stays.into_iter().zip(900..).map(|(item, n)| KeyedItem { key: snapshot("swept", n), item });
    cold.put(expired.chain(stays).collect()).await.unwrap();
    let range = KeyRange::snapshots("swept", UnixMs::ZERO, UnixMs::MAX);
    let left = async || cold.query(&range, &Page::first(10_000)).await.unwrap().len();
    assert!(cold.sweep(now).await.unwrap(), "more rows have expired");
    assert_eq!(left().await, 3 + 3);
    assert!(!cold.sweep(now).await.unwrap());
    assert_eq!(left().await, 3);
    // Damage to the index of ttls deletes no row.
    let database = rusqlite::Connection::open(folder.path().join("items.sqlite")).unwrap();
    database.execute("UPDATE item SET ttl = 1", []).unwrap();
    assert!(!cold.sweep(now).await.unwrap());
    assert_eq!(left().await, 3);
    assert_eq!(
        cold.meter().units(Purpose::Snapshots).writes,
        SWEEP_ROWS_MAX as u64 + 6,
        "deletions are free"
    );
}

/// The simulated cold tier keeps the contract too, or proofs over it would prove little.
#[timed_test(start_paused = true)]
async fn simulated() {
    housecount_backend::sim::begin(9);
    let world = World::new(SimPlan::of(9), 1_000, false);
    // The test reads as an outside observer. A node's reads may be a second old, as DynamoDB's
    // cheaper reads are.
    keeps_the_contract(&housecount_sim::world::cold::SimCold::observing(world.clone())).await;
    assert_eq!(world.violation(), None, "no item is too large");
    housecount_backend::sim::end();
}

#[timed_test(flavor = "multi_thread")]
async fn dynamodb() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.cold("table").await;
    let error = cold.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(
        error.to_string().contains("housecount table create --cold 'dynamodb://table?"),
        "{error}"
    );
    for _ in 0..2 {
        let mut steps = Vec::new();
        cold.create_table(&TableOptions::default(), |step| steps.push(step.to_string()))
            .await
            .unwrap();
        assert!(steps.contains(&"The table is ACTIVE.".to_string()), "{steps:?}");
    }
    keeps_the_contract(&cold).await;
    let state = cold.table_state().await.unwrap().unwrap();
    assert!(
        state.ttl && state.status == "ACTIVE" && state.billing == "PAY_PER_REQUEST",
        "{state:?}"
    );
    assert!(cold.delete_table().await.unwrap());
    assert!(!cold.delete_table().await.unwrap());
    assert_eq!(cold.table_state().await.unwrap(), None);
}

/// An engine that shares no code with ours keeps the contract, except for the parts that it lacks.
/// `tools/dynamodb/others` runs it.
#[timed_test(flavor = "multi_thread")]
#[ignore = "needs an engine at DYNAMODB_ENDPOINT"]
async fn dynamodb_of_another_engine() {
    #[allow(clippy::disallowed_methods)] // names the engine, not a setting
    let variable = |name| std::env::var(name).unwrap_or_default();
    let table = cold_at(&variable("DYNAMODB_ENDPOINT"), "table").await;
    let created = table.create_table(&TableOptions::default(), |step| println!("{step}")).await;
    let mut differing = Vec::new();
    if let Err(error) = created {
        println!("{error}");
        differing.push("create_table");
    }
    macro_rules! check {
        ($($part:ident),*) => {$(
            let cold = table.clone();
            if tokio::spawn(async move { $part(&cold).await }).await.is_err() {
                differing.push(stringify!($part));
            }
        )*};
    }
    check!(put_replaces, every_type_comes_back, item_bytes_max_fits, many_are_put_and_deleted);
    check!(a_key_may_come_twice, a_range_is_read_in_order, several_pages_are_read, conditions_hold);
    check!(a_transaction_is_all_or_nothing);
    assert_eq!(differing.join(" "), variable("DYNAMODB_LACKS"));
}

#[timed_test(flavor = "multi_thread")]
async fn a_provisioned_table() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.cold("table").await;
    let options = TableOptions { provisioned: Some((5, 7)), ..TableOptions::default() };
    cold.create_table(&options, |_| ()).await.unwrap();
    assert_eq!(cold.table_state().await.unwrap().unwrap().billing, "PROVISIONED");
    let table = dynamo.call("DescribeTable", json!({ "TableName": "table" }));
    assert_eq!(table["Table"]["ProvisionedThroughput"]["WriteCapacityUnits"], 7);
}

#[timed_test(flavor = "multi_thread")]
async fn point_in_time_recovery_is_waited_for() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.cold("table").await;
    dynamo.faults.too_early.store(2, Ordering::SeqCst);
    let options = TableOptions { point_in_time_recovery: true, ..TableOptions::default() };
    let mut steps = Vec::new();
    cold.create_table(&options, |step| steps.push(step.to_string())).await.unwrap();
    assert_eq!(steps.last().map(String::as_str), Some("Point-in-time recovery is on."));
    assert_eq!(dynamo.faults.too_early.load(Ordering::SeqCst), 0, "every injected fault occurred");
}

#[timed_test(flavor = "multi_thread")]
async fn a_table_with_other_keys_is_named() {
    let dynamo = Dynamo::start().await;
    let create = json!({
        "TableName": "other", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
    });
    dynamo.call("CreateTable", create);
    let error = dynamo.cold("other").await.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    let text = error.to_string();
    assert!(
        text.contains("has the keys id (S) HASH, and housecount needs pk (S) HASH, sk (S) RANGE"),
        "{text}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn throttling_drops_nothing() {
    let dynamo = Dynamo::start().await;
    let cold = Arc::new(dynamo.cold("table").await);
    cold.create_table(&TableOptions::default(), |_| ()).await.unwrap();
    dynamo.faults.throttled.store(2, Ordering::SeqCst);
    dynamo.faults.unprocessed.store(6, Ordering::SeqCst);
    let records = (0..100).map(|n| KeyedItem { key: snapshot("throttled", n), item: item(n) });
    cold.put(records.collect()).await.unwrap();
    assert_eq!(dynamo.faults.throttled.load(Ordering::SeqCst), 0, "every injected fault occurred");
    assert_eq!(
        dynamo.faults.unprocessed.load(Ordering::SeqCst),
        0,
        "every injected fault occurred"
    );
    assert_eq!(dynamo.snapshots("table", "throttled").len(), 100);
}

#[timed_test(flavor = "multi_thread")]
async fn a_conditional_put_whose_answer_was_lost_is_done() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.cold("table").await;
    cold.create_table(&TableOptions::default(), |_| ()).await.unwrap();
    dynamo.faults.lying.store(1, Ordering::SeqCst);
    let record = KeyedItem { key: Key::Config { stage: "s".to_string() }, item: item(1) };
    assert_eq!(cold.put_if(record, Condition::Absent).await.unwrap(), PutOutcome::Done);
    assert_eq!(dynamo.faults.lying.load(Ordering::SeqCst), 0, "the injected fault occurred");
}

/// Two transactions that meet at an item. DynamoDB cancels one of them, and refuses a put on it.
#[timed_test(flavor = "multi_thread")]
async fn a_write_that_meets_a_transaction_is_sent_again() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.cold("table").await;
    cold.create_table(&TableOptions::default(), |_| ()).await.unwrap();
    let record = |n| KeyedItem { key: Key::Fence, item: item(n) };
    let write = |n, condition| vec![Write::Put { record: record(n), condition }];
    dynamo.faults.conflicts.store(3, Ordering::SeqCst);
    let put = write(1, Some(Condition::Absent));
    assert_eq!(cold.transact(put).await.unwrap(), TransactOutcome::Done);
    dynamo.faults.conflicts.store(3, Ordering::SeqCst);
    let raised =
        cold.put_if(record(2), Condition::AbsentOrAtMost { attr: "n", value: 2 }).await.unwrap();
    assert_eq!(
        (raised, dynamo.faults.conflicts.load(Ordering::SeqCst)),
        (PutOutcome::Done, 0),
        "every injected fault occurred"
    );
    assert_eq!(cold.get(&Key::Fence).await.unwrap(), Some(item(2)));
    // A cancelled transaction is metered too, at twice the units of its items.
    let before = cold.meter().units(Purpose::Leases);
    assert_eq!(
        cold.transact(write(3, Some(Condition::Absent))).await.unwrap(),
        TransactOutcome::ConditionFailed
    );
    assert_eq!(cold.meter().units(Purpose::Leases).since(before).writes, 2);
    dynamo.faults.conflicts.store(u32::MAX, Ordering::SeqCst);
    let error = cold.transact(write(3, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
}
