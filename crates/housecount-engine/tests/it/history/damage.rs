//! Damaged versions: what `verify` finds, and what an export does.

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::ErrorKind;
use housecount_core::ids::StageId;
use housecount_core::item::Attr;
use housecount_core::keys::Key;
use housecount_core::stage::StageConfig;
use housecount_engine::internals::{StageStore, history};
use housecount_reports::verify::verify;
use housecount_test::timed_test;

use crate::support::stage::{BASE, Stage, WINDOW_MS, an_hour, range};

/// A committed hour, and a stage with four versions: created, changed, deleted, and created again.
async fn stage() -> Stage {
    let stage = an_hour(6).await;
    let node = StageStore::new(Some(stage.cold()), true, WINDOW_MS);
    let id = StageId::parse("stage-1").unwrap();
    let config = StageConfig {
        stage: "stage-1".into(),
        customer: Some("ACME".into()),
        ..StageConfig::default()
    };
    node.create(config.clone(), BASE).await.unwrap();
    node.edit(&id, BASE, |config| config.customer = Some("OTHER".into())).await.unwrap();
    node.delete(&id, BASE).await.unwrap();
    node.create(config, BASE).await.unwrap();
    stage
}

fn version(number: u32) -> Key {
    Key::Version { stage: "stage-1".into(), number }
}

async fn problems(stage: &Stage) -> Vec<String> {
    verify(&stage.cold(), range(), None, |_| ()).await.unwrap().problems
}

/// Error of an export that can't be made; `None` if it can.
async fn refusal(stage: &Stage) -> Option<String> {
    let error = history::read(&*stage.cold, "stage-1").await.err()?;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    Some(error.to_string())
}

#[timed_test]
async fn versions_that_are_as_written_agree() {
    let stage = stage().await;
    let found = verify(&stage.cold(), range(), None, |_| ()).await.unwrap();
    assert_eq!((found.problems, found.versions), (Vec::new(), 4));
    let one = verify(&stage.cold(), range(), Some("stage-0"), |_| ()).await.unwrap();
    assert_eq!((one.problems, one.versions), (Vec::new(), 0), "other stages are not checked");
    assert_eq!(refusal(&stage).await, None);
}

#[timed_test]
async fn a_version_that_is_missing_is_found() {
    let stage = stage().await;
    stage.cold.delete(vec![version(2)]).await.unwrap();
    let problems = problems(&stage).await;
    let deletes = "STAGE#stage-1: version 3";
    assert!(problems.contains(&"STAGE#stage-1: version 2 is missing".to_string()), "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.starts_with(deletes)), "{problems:?}");
    assert!(refusal(&stage).await.unwrap().contains("version 2 is missing; `housecount verify`"));
}

#[timed_test]
async fn a_version_that_cannot_be_read_is_found() {
    let stage = stage().await;
    let mut item = stage.cold.get(&version(2)).await.unwrap().unwrap();
    item.remove("effectiveFrom");
    stage.cold.put(vec![KeyedItem { key: version(2), item }]).await.unwrap();
    let expected =
        "STAGE#stage-1 / VERSION#0002: attribute `effectiveFrom` is missing or of another type";
    assert!(problems(&stage).await.contains(&expected.to_string()));
    assert!(refusal(&stage).await.unwrap().starts_with(expected));
    // An item that claims to be another version.
    let item = stage.cold.get(&version(1)).await.unwrap().unwrap();
    stage.cold.put(vec![KeyedItem { key: version(2), item }]).await.unwrap();
    let expected = "STAGE#stage-1 / VERSION#0002: it contains another version";
    assert!(problems(&stage).await.contains(&expected.to_string()));
    assert!(refusal(&stage).await.unwrap().starts_with(expected));
}

#[timed_test]
async fn versions_out_of_order_are_found() {
    let stage = stage().await;
    let mut item = stage.cold.get(&version(2)).await.unwrap().unwrap();
    item.insert("changedAt".to_string(), Attr::N(BASE.0 - 1));
    stage.cold.put(vec![KeyedItem { key: version(2), item }]).await.unwrap();
    let expected = "STAGE#stage-1: version 2 is earlier than the version that it follows";
    assert_eq!(problems(&stage).await, [expected]);
}

/// Another program has changed the configuration, or its copy in the list. Or the last version is
/// gone.
#[timed_test]
async fn a_configuration_that_no_version_made_is_found() {
    let stage = stage().await;
    let key = Key::Config { stage: "stage-1".into() };
    let listed = Key::StageListEntry { stage: "stage-1".into() };
    let config = stage.cold.get(&key).await.unwrap().unwrap();
    let mut changed = config.clone();
    changed.insert("customer".to_string(), Attr::S("ANOTHER".into()));
    stage.cold.put(vec![KeyedItem { key: key.clone(), item: changed }]).await.unwrap();
    let differs =
        |what: &str| format!("{what}: it differs from version 4, the last one (it has 4)");
    assert_eq!(problems(&stage).await, [differs("STAGE#stage-1 / CONFIG")]);
    assert_eq!(refusal(&stage).await, None, "exports use the versions only");
    stage.cold.delete(vec![key.clone(), listed.clone()]).await.unwrap();
    let missing = |what: &str| format!("{what}: it is missing, although version 4 created it");
    assert_eq!(problems(&stage).await, ["STAGE#stage-1 / CONFIG", "STAGES / stage-1"].map(missing));
    stage.cold.delete(vec![version(4)]).await.unwrap();
    let records = [key, listed].map(|key| KeyedItem { key, item: config.clone() });
    stage.cold.put(records.to_vec()).await.unwrap();
    let there = |what: &str| format!("{what}: it exists, although the last version deleted it");
    assert_eq!(problems(&stage).await, ["STAGE#stage-1 / CONFIG", "STAGES / stage-1"].map(there));
    // Without any version, no reader knows which configuration applied when.
    stage.cold.delete((1..=4).map(version).collect()).await.unwrap();
    assert!(
        refusal(&stage).await.unwrap().contains("the versions that CONFIG refers to are missing")
    );
}
