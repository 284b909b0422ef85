//! A customer who is a person, forgotten in past versions of configuration. Exports differ in the
//! name only.

use std::sync::Arc;

use housecount::export::{
    self, BillingRounding, CsvStyle, ExportFormat, ExportRequest, atomic_file,
};
use housecount::forget::configuration::{
    self, ForgetConfigurationError, ForgetConfigurationReport,
};
use housecount_backend::cold::Cold;
use housecount_core::ids::StageId;
use housecount_core::limits::EXPORT_ROWS_MAX;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_engine::internals::StageStore;
use housecount_reports::verify::verify;
use housecount_server::calendar::PeriodUnit;
use housecount_test::timed_test;

use crate::ledger::stage::{MINUTE_MS, Stage, WINDOW_MS, an_hour, range};

const JANE: &str = "Jane Doe";

fn config(stage: &str, customer: &str) -> StageConfig {
    StageConfig {
        stage: stage.into(),
        customer: Some(customer.into()),
        tags: [("host".to_string(), JANE.to_string()), ("sport".to_string(), "chess".to_string())]
            .into(),
        ..StageConfig::default()
    }
}

async fn exported(stage: &Stage) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let request = ExportRequest {
        range: range(),
        stage: None,
        by_customer: false,
        by_label: None,
        intervals: false,
        period: PeriodUnit::Month,
        zone: None,
        round: BillingRounding::None,
        format: ExportFormat::Csv(CsvStyle::Raw),
        rows_max: EXPORT_ROWS_MAX,
    };
    let cold = stage.cold();
    atomic_file::write_atomically(&out, async |out| {
        export::write(&cold, &request, out, |_| ()).await
    })
    .await
    .unwrap();
    std::fs::read_to_string(out).unwrap()
}

async fn forget(
    cold: &Arc<dyn Cold>,
    stage: Option<&str>,
    is_dry_run: bool,
) -> Result<ForgetConfigurationReport, ForgetConfigurationError> {
    let request = configuration::ForgetConfigurationRequest {
        text: JANE.into(),
        stage: stage.map(str::to_string),
        is_dry_run,
    };
    configuration::forget(cold, &request, |_| ()).await
}

#[timed_test]
async fn a_customer_is_forgotten_and_sums_stay() {
    let stage = an_hour(6).await;
    // The configurations are to look as if they had been made before the watched hour.
    stage.cold.delete(vec![housecount_core::keys::Key::Fence]).await.unwrap();
    stage.cold.put(vec![fence(UnixMs::ZERO)]).await.unwrap();
    let node = StageStore::new(Some(stage.cold()), true, WINDOW_MS);
    let minute = |n: u64| range().from.plus(n * MINUTE_MS);
    let id = |stage: &str| StageId::parse(stage).unwrap();
    node.create(config("stage-0", JANE), minute(0)).await.unwrap();
    node.create(config("stage-1", "ACME"), minute(0)).await.unwrap();
    node.create(config("never-watched", JANE), minute(0)).await.unwrap();
    node.edit(&id("stage-0"), minute(30), |config| config.customer = Some("OTHER".into()))
        .await
        .unwrap();
    let before = exported(&stage).await;
    assert!(before.contains(JANE));

    let Err(ForgetConfigurationError::InForce(stages)) = forget(&stage.cold(), None, false).await
    else {
        panic!("a value in force is not forgotten")
    };
    assert_eq!(stages, ["never-watched", "stage-0", "stage-1"], "the tag is still in force");
    node.delete(&id("never-watched"), minute(40)).await.unwrap();
    for stage in ["stage-0", "stage-1"] {
        node.edit(&id(stage), minute(40), |config| drop(config.tags.remove("host"))).await.unwrap();
    }
    node.edit(&id("stage-0"), minute(50), |config| config.name = Some("Jane Doe's".into()))
        .await
        .unwrap();
    let before = exported(&stage).await;
    let dry = forget(&stage.cold(), Some("stage-0"), true).await.unwrap();
    assert_eq!((dry.versions, dry.stages, dry.pseudonym), (2, 1, None));
    assert_eq!(exported(&stage).await, before, "a dry run changes nothing");
    let done = forget(&stage.cold(), Some("stage-0"), false).await.unwrap();
    let pseudonym = done.pseudonym.unwrap();
    let after = exported(&stage).await;
    let of = |text: &str, stage: &str| -> String {
        text.lines()
            .filter(|line| line.starts_with(stage))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let expected =
        of(&before, "stage-0").replace("\"\"Jane Doe\"\"", &format!("\"\"{pseudonym}\"\""));
    assert_eq!(of(&after, "stage-0"), expected.replace(",Jane Doe,", &format!(",{pseudonym},")));
    assert_eq!(of(&after, "stage-1"), of(&before, "stage-1"), "only stage-0 changes");
    assert!(of(&after, "stage-0").contains("Jane Doe's"), "a part of a longer text stays");
    let again = forget(&stage.cold(), Some("stage-0"), false).await.unwrap();
    assert_eq!((again.versions, again.pseudonym), (0, None), "nothing is left to forget");
    // The stages are those of the ledger and of the list; a stage in neither must be named.
    let rest = forget(&stage.cold(), None, false).await.unwrap();
    assert_eq!((rest.versions, rest.stages), (1, 1), "only the tag of stage-1 is left");
    let unlisted = forget(&stage.cold(), Some("never-watched"), false).await.unwrap();
    assert_eq!((unlisted.versions, unlisted.stages), (1, 1));
    assert!(!exported(&stage).await.contains(&format!("{JANE},")));
    let found = verify(&stage.cold(), range(), None, |_| ()).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
}

fn fence(committed_to: UnixMs) -> housecount_backend::cold::KeyedItem {
    let item = housecount_core::fence::CommitFence { committed_to }.to_item();
    housecount_backend::cold::KeyedItem { key: housecount_core::keys::Key::Fence, item }
}
