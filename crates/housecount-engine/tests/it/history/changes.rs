//! Changes of configuration by several nodes, some of them slow or refused. No change is lost, and
//! no change touches a committed window.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::ErrorKind;
use housecount_core::ids::StageId;
use housecount_core::keys::Key;
use housecount_core::limits::{CHANGE_TRIES_MAX, CHANGE_WAIT_MS_MAX, STAGE_VERSIONS_MAX};
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::{ConfigVersion, TooManyVersions};
use housecount_engine::internals::fence::Fence;
use housecount_engine::internals::{ChangeError, ChangedStage};
use housecount_engine::internals::{StageStore, history};
use housecount_test::timed_test;

use crate::support::cold::FaultyCold;
use crate::support::eventually;
use crate::support::stage::{BASE, MINUTE_MS, WINDOW_MS};

fn stage() -> StageId {
    StageId::parse("s").unwrap()
}

fn config(customer: &str) -> StageConfig {
    StageConfig { stage: "s".into(), customer: Some(customer.into()), ..StageConfig::default() }
}

/// A node's store of stages.
fn node(cold: &Arc<FaultyCold>) -> Arc<StageStore> {
    Arc::new(StageStore::new(Some(cold.clone()), true, WINDOW_MS))
}

async fn customer(
    node: &StageStore,
    customer: &str,
    now: UnixMs,
) -> Result<ChangedStage, ChangeError> {
    node.edit(&stage(), now, |config| config.customer = Some(customer.to_string())).await
}

/// Versions of the stage. They must have no fault, and agree with its configuration.
async fn versions(cold: &FaultyCold) -> Vec<ConfigVersion> {
    let (history, damage) = history::read_past_damage(&*cold.cold, "s").await.unwrap();
    assert_eq!(damage, Vec::<String>::new());
    history.versions().to_vec()
}

fn window() -> UnixMs {
    BASE.aligned(WINDOW_MS)
}

#[timed_test]
async fn changes_apply_to_whole_windows() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    let at = |minutes: u64| window().plus(minutes * MINUTE_MS);
    let made = node.create(config("ACME"), at(1)).await.unwrap();
    assert_eq!((made.effective_from, made.config), (at(0), Some(config("ACME"))));
    assert_eq!(customer(&node, "OTHER", at(6)).await.unwrap().effective_from, at(5));
    let same = customer(&node, "OTHER", at(21)).await.unwrap();
    assert_eq!(same.effective_from, at(5), "an equal change makes no version");
    let deleted = node.delete(&stage(), at(22)).await.unwrap();
    assert_eq!((deleted.effective_from, deleted.config), (at(25), None));
    assert!(matches!(node.delete(&stage(), at(23)).await, Err(ChangeError::NotConfigured)));
    assert!(matches!(customer(&node, "X", at(23)).await, Err(ChangeError::NotConfigured)));
    // Configured again in the window of its deletion.
    assert_eq!(node.create(config("THIRD"), at(24)).await.unwrap().effective_from, at(20));
    assert!(matches!(node.create(config("X"), at(24)).await, Err(ChangeError::AlreadyConfigured)));
    let versions = versions(&cold).await;
    let customers: Vec<_> =
        versions.iter().map(|v| v.config.as_ref().and_then(|c| c.customer.clone())).collect();
    let expected =
        [Some("ACME"), Some("OTHER"), None, Some("THIRD")].map(|name| name.map(str::to_string));
    assert_eq!(customers, expected);
}

/// Two nodes change one stage at once, many times. No change is lost, and the configuration is the
/// one that the last change made.
#[timed_test(flavor = "multi_thread")]
async fn no_change_of_two_nodes_is_lost() {
    const CHANGES: usize = 20;
    let cold = Arc::new(FaultyCold::new().await);
    let nodes = [node(&cold), node(&cold)];
    nodes[0].create(config("ACME"), BASE).await.unwrap();
    let mut changes = tokio::task::JoinSet::new();
    for n in 0..CHANGES {
        for (of, node) in nodes.iter().enumerate() {
            let (node, tag) = (node.clone(), format!("{of}-{n}"));
            changes.spawn(async move {
                loop {
                    let changed = node
                        .edit(&stage(), BASE, |config| {
                            drop(config.tags.insert(tag.clone(), String::new()))
                        })
                        .await;
                    match changed {
                        Err(ChangeError::Store(error)) if error.is_temporary() => {}
                        changed => return changed.unwrap().effective_from,
                    }
                }
            });
        }
    }
    assert_eq!(changes.join_all().await, [window(); 2 * CHANGES]);
    let versions = versions(&cold).await;
    assert_eq!(versions.len(), 1 + 2 * CHANGES);
    assert_eq!(versions.last().unwrap().config.as_ref().unwrap().tags.len(), 2 * CHANGES);
    let listed = nodes[1].list(None, 10).await.unwrap();
    assert_eq!(Some(&listed[0]), versions.last().unwrap().config.as_ref());
}

/// A node stalls between its read and its write, while another node commits the window.
#[timed_test(flavor = "multi_thread")]
async fn a_change_that_comes_late_applies_to_later_time() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    node.create(config("ACME"), BASE.minus(WINDOW_MS)).await.unwrap();
    let closed = cold.gate.write().await;
    let held = cold.held.load(Ordering::SeqCst);
    let late = tokio::spawn({
        let node = node.clone();
        async move { customer(&node, "OTHER", BASE).await.unwrap() }
    });
    eventually("the change waits", async || cold.held.load(Ordering::SeqCst) > held).await;
    let committed_to = window().plus(3 * WINDOW_MS);
    Fence::default().raise(&*cold.cold, committed_to).await.unwrap();
    drop(closed);
    assert_eq!(late.await.unwrap().effective_from, committed_to);
    let history = history::read(&*cold.cold, "s").await.unwrap();
    assert_eq!(history.in_force(committed_to.minus(1)), Some(&config("ACME")));
    // A node whose clock is behind.
    let lagging = customer(&node, "THIRD", BASE.minus(5 * WINDOW_MS)).await.unwrap();
    assert_eq!(lagging.effective_from, committed_to);
    assert!(versions(&cold).await.is_sorted_by_key(|version| version.changed_at));
}

/// The fence only rises, whichever node raises it.
#[timed_test]
async fn the_fence_only_rises() {
    let cold = FaultyCold::new().await;
    let (mut one, mut other) = (Fence::default(), Fence::default());
    for (to, expected) in
        [(BASE.plus(2), BASE.plus(2)), (BASE.plus(1), BASE.plus(2)), (BASE.plus(5), BASE.plus(5))]
    {
        one.raise(&cold, to).await.unwrap();
        assert_eq!(
            housecount_engine::internals::fence::read(&cold).await.unwrap().committed_to,
            expected
        );
    }
    other.raise(&cold, BASE.plus(3)).await.unwrap();
    assert_eq!(
        housecount_engine::internals::fence::read(&cold).await.unwrap().committed_to,
        BASE.plus(5)
    );
    let calls = cold.calls.load(Ordering::SeqCst);
    one.raise(&cold, BASE.plus(4)).await.unwrap();
    assert_eq!(cold.calls.load(Ordering::SeqCst), calls, "a known fence costs no call");
}

#[timed_test]
async fn a_change_whose_answer_was_lost_is_made_once() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    cold.belied.store(1, Ordering::SeqCst);
    node.create(config("ACME"), BASE).await.unwrap();
    cold.belied.store(1, Ordering::SeqCst);
    assert_eq!(customer(&node, "OTHER", BASE).await.unwrap().effective_from, window());
    cold.belied.store(1, Ordering::SeqCst);
    node.delete(&stage(), BASE).await.unwrap();
    assert_eq!(versions(&cold).await.len(), 3);
}

#[timed_test]
async fn a_change_is_tried_change_tries_max_times() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    node.create(config("ACME"), BASE).await.unwrap();
    cold.refused.store(CHANGE_TRIES_MAX - 1, Ordering::SeqCst);
    customer(&node, "OTHER", BASE).await.unwrap();
    cold.refused.store(CHANGE_TRIES_MAX, Ordering::SeqCst);
    let Err(ChangeError::Store(error)) = customer(&node, "THIRD", BASE).await else {
        panic!("the change fails")
    };
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.to_string().contains("stage s"), "{error}");
    assert_eq!(versions(&cold).await.len(), 2, "a failed change writes no version");
}

#[timed_test]
async fn a_change_waits_change_wait_ms_max_for_its_turn() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    node.create(config("ACME"), BASE).await.unwrap();
    let closed = cold.gate.write().await;
    let held = cold.held.load(Ordering::SeqCst);
    let first = tokio::spawn({
        let node = node.clone();
        async move { customer(&node, "OTHER", BASE).await.unwrap() }
    });
    eventually("the first one waits for the cold tier", async || {
        cold.held.load(Ordering::SeqCst) > held
    })
    .await;
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert!(matches!(customer(&node, "THIRD", BASE).await, Err(ChangeError::Busy)));
    assert_eq!(started.elapsed().as_millis() as u64 / 10, CHANGE_WAIT_MS_MAX / 10);
    tokio::time::resume();
    drop(closed);
    assert_eq!(first.await.unwrap().config, Some(config("OTHER")));
}

#[timed_test]
async fn stage_versions_max_is_refused_and_deletion_still_possible() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    let version = |number: u32| ConfigVersion {
        stage: "s".into(),
        number,
        changed_at: BASE,
        effective_from: window(),
        config: Some(config(&format!("customer {number}"))),
    };
    let records = (1..STAGE_VERSIONS_MAX - 1).map(|number| KeyedItem {
        key: Key::Version { stage: "s".into(), number },
        item: version(number).to_item(),
    });
    cold.put(records.collect()).await.unwrap();
    customer(&node, "the last one", BASE).await.unwrap();
    let full = |versions| TooManyVersions { versions };
    match customer(&node, "one more", BASE).await {
        Err(ChangeError::TooMany(found)) => assert_eq!(found, full(STAGE_VERSIONS_MAX - 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        node.get(&stage()).await.unwrap(),
        Some(config("the last one")),
        "the configuration is unchanged"
    );
    node.delete(&stage(), BASE).await.unwrap();
    match node.create(config("again"), BASE).await {
        Err(ChangeError::TooMany(found)) => assert_eq!(found, full(STAGE_VERSIONS_MAX)),
        other => panic!("{other:?}"),
    }
    assert_eq!(versions(&cold).await.len(), STAGE_VERSIONS_MAX as usize);
}

/// A table from before versions existed. Its configuration applies to all time until it is changed.
#[timed_test]
async fn a_configuration_without_versions_keeps_the_time_before_a_change() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    let old = StageConfig { created_at: BASE, ..config("ACME") };
    let keys = [Key::Config { stage: "s".into() }, Key::StageListEntry { stage: "s".into() }];
    cold.put(keys.map(|key| KeyedItem { key, item: old.to_item() }).to_vec()).await.unwrap();
    let read = async || history::read(&*cold.cold, "s").await.unwrap();
    assert_eq!(read().await.in_force(UnixMs::ZERO), Some(&old));
    assert!(matches!(node.create(config("X"), BASE).await, Err(ChangeError::AlreadyConfigured)));
    let same = customer(&node, "ACME", BASE.plus(WINDOW_MS)).await.unwrap();
    assert_eq!(same.effective_from, UnixMs::ZERO);
    let changed = customer(&node, "OTHER", BASE.plus(WINDOW_MS)).await.unwrap();
    assert_eq!(changed.effective_from, window().plus(WINDOW_MS));
    let history = read().await;
    assert_eq!(history.versions().len(), 2);
    assert_eq!(history.in_force(changed.effective_from.minus(1)), Some(&old));
    assert_eq!(history.in_force(changed.effective_from), changed.config.as_ref());
}

#[timed_test]
async fn nothing_changes_while_the_cold_tier_is_away() {
    let cold = Arc::new(FaultyCold::new().await);
    let node = node(&cold);
    node.create(config("ACME"), BASE).await.unwrap();
    let calls = cold.calls.load(Ordering::SeqCst);
    customer(&node, "OTHER", BASE).await.unwrap();
    let a_change = cold.calls.load(Ordering::SeqCst) - calls;
    for n in 0..a_change {
        for lies in [false, true] {
            let before = versions(&cold).await;
            cold.fail(n as i64, lies);
            let name = format!("customer {n} {lies}");
            let Err(ChangeError::Store(error)) = customer(&node, &name, BASE).await else {
                panic!("{name}")
            };
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let after = versions(&cold).await;
            // A change is made as a whole or not at all, and repeating it makes it once.
            assert!(
                after == before || lies && n + 1 == a_change && after.len() == before.len() + 1,
                "{name}"
            );
            let again = customer(&node, &name, BASE).await.unwrap();
            assert_eq!(again.config, Some(config(&name)));
            assert_eq!(versions(&cold).await.len(), before.len() + 1);
        }
    }
}
