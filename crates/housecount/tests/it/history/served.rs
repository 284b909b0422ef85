//! History as operators use it, by a real node, the API and the commands.

use std::path::Path;
use std::time::Duration;

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_core::keys::Key;
use housecount_core::limits::STAGE_VERSIONS_MAX;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::ConfigVersion;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::node::{Node, housecount};

pub const QUICK: [&str; 5] =
    ["interval=1s", "ttl=3s", "window=2s", "leave_grace=50ms", "limits.session_beats=0"];

const ANN: [(&str, &str); 1] = [("s", "ann")];

pub fn ms(body: &Value, field: &str) -> u64 {
    body[field].as_u64().unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// Beats for these viewers, each on a stage, until the ledger is committed up to `to`.
pub async fn watch_until(node: &Node, who: &[(&str, &str)], to: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    for _ in 0..400 {
        ticks.tick().await;
        for (stage, viewer) in who {
            node.beat(stage, viewer).await;
        }
        if ms(&node.get("/v1/stages/s/watch").await, "committedTo") >= to {
            return;
        }
    }
    panic!("the ledger did not reach {to}");
}

fn export(data: &Path, (from, to): (u64, u64), more: &[&str]) -> String {
    let (from, to, data) = (from.to_string(), to.to_string(), data.display().to_string());
    let common = ["export", "--from", &from, "--to", &to, "--data", &data, "--out", "-"];
    let output = housecount().args(common).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The customers of an export, by line.
fn customers(csv: &str) -> Vec<String> {
    csv.lines().skip(1).map(|line| line.split(',').next().unwrap().to_string()).collect()
}

/// The issue's own example: a committed month names ACME, whatever the stage becomes afterwards.
#[timed_test(flavor = "multi_thread")]
async fn a_committed_range_is_exported_the_same_after_patch_and_delete() {
    let node = Node::ready(&QUICK).await;
    let acme = json!({ "stage": "s", "customer": "ACME", "tags": { "sport": "chess" } });
    let (status, made) = node.call(Method::POST, "/v1/stages", acme).await;
    assert_eq!(status, 201, "{made}");
    let from = ms(&made, "effectiveFrom");
    watch_until(&node, &ANN, from + 4_000).await;
    let range = (from, from + 4_000);
    let grouped = ["--group", "customer"];
    let (by_customer, by_viewer) =
        (export(node.data(), range, &grouped), export(node.data(), range, &[]));
    assert_eq!(customers(&by_customer), ["ACME"]);
    let same = |when: &str| {
        assert_eq!(export(node.data(), range, &grouped), by_customer, "{when}");
        assert_eq!(export(node.data(), range, &[]), by_viewer, "{when}");
    };

    // `--partial` exports what there is of an unfinished range, up to where the ledger is complete.
    let (data, start) = (node.data().display().to_string(), from.to_string());
    let partial = [
        "export",
        "--partial",
        "--from",
        &start,
        "--to",
        "2100-01-01",
        "--data",
        &data,
        "--out",
        "-",
    ];
    let output = housecount().args(partial).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let ends = printed.trim().strip_prefix("housecount: the export ends at ").unwrap_or(&printed);
    let ends =
        housecount_server::calendar::parse(ends.strip_suffix(", where the ledger ends").unwrap())
            .unwrap()
            .0;
    assert!(ends >= range.1, "{printed}");

    let other = json!({ "customer": "OTHER", "tags": null });
    let (status, patched) = node.call(Method::PATCH, "/v1/stages/s", other).await;
    let patched_from = ms(&patched, "effectiveFrom");
    assert!(status == 200 && patched_from >= range.1, "{patched}");
    same("after PATCH");
    watch_until(&node, &ANN, patched_from + 4_000).await;
    same("after PATCH, and more commits");
    let again = export(node.data(), (from, ends), &[]);
    assert_eq!(
        again,
        String::from_utf8_lossy(&output.stdout),
        "an export of the committed part is final too"
    );

    let (status, deleted) = node.call(Method::DELETE, "/v1/stages/s", Value::Null).await;
    let deleted_from = ms(&deleted, "effectiveFrom");
    assert!(status == 200 && deleted["stage"] == "s" && deleted_from > patched_from, "{deleted}");
    same("after DELETE");
    watch_until(&node, &ANN, deleted_from + 4_000).await;
    same("after DELETE, and more commits");

    // The whole range: each customer up to the moment that the API answered.
    let all = export(node.data(), (from, deleted_from + 4_000), &["--format", "ndjson"]);
    let rows: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row["customer"].as_str().unwrap(), &row["tags"], ms(row, "first_at_ms")))
        .collect();
    let (chess, none) = (json!({ "sport": "chess" }), json!({}));
    let expected = [("ACME", &chess), ("OTHER", &none), ("", &none)];
    assert_eq!(shown.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(), expected, "{all}");
    assert_eq!((shown[1].2, shown[2].2), (patched_from, deleted_from), "{all}");
    assert_eq!(
        (ms(&rows[0], "last_at_ms"), ms(&rows[1], "last_at_ms")),
        (patched_from, deleted_from)
    );
    let customers = customers(&export(node.data(), (from, deleted_from + 4_000), &grouped));
    assert_eq!(customers, ["", "ACME", "OTHER"]);

    let (from, to) = (from.to_string(), (deleted_from + 4_000).to_string());
    let data = node.data().display().to_string();
    let output = housecount()
        .args(["verify", "--from", &from, "--to", &to, "--data", &data])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("3 versions of stages' configurations"),
        "{printed}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn a_stage_that_was_changed_too_often_says_so() {
    let dynamo = Dynamo::start().await;
    let url = dynamo.url("table");
    assert!(housecount().args(["table", "create", "--cold", &url]).status().unwrap().success());
    let cold = dynamo.cold("table").await;
    let records = (1..STAGE_VERSIONS_MAX).map(|number| {
        let customer = Some(format!("customer {number}"));
        let config = StageConfig { stage: "s".into(), customer, ..StageConfig::default() };
        let (changed_at, config) = (UnixMs(1_790_000_000_000), Some(config));
        let version = ConfigVersion {
            stage: "s".into(),
            number,
            changed_at,
            effective_from: changed_at,
            config,
        };
        KeyedItem { key: Key::Version { stage: "s".into(), number }, item: version.to_item() }
    });
    cold.put(records.collect()).await.unwrap();
    let node = Node::ready(&[&format!("cold={url}")]).await;
    let (status, body) = node.call(Method::PATCH, "/v1/stages/s", json!({ "customer": "x" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("too_many_changes")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("has had 999 changes"), "{body}");
    assert_eq!(node.call(Method::DELETE, "/v1/stages/s", Value::Null).await.0, 200);
    let (status, body) = node.call(Method::POST, "/v1/stages", json!({ "stage": "s" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("too_many_changes")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("use another stage id"), "{body}");
}

/// Ids that look alike: composed and decomposed, in another case, with a space. Each is a viewer of
/// its own, live and in the export.
#[timed_test(flavor = "multi_thread")]
async fn ids_are_bytes() {
    const ALIKE: [&str; 5] = ["Ann", "Zoe\u{308}", "Zo\u{eb}", "ann", "ann "];
    let node = Node::ready(&QUICK).await;
    let who = ALIKE.map(|viewer| ("s", viewer));
    for (stage, viewer) in who {
        node.beat(stage, viewer).await;
    }
    assert_eq!(node.viewers("s").await, ALIKE.len() as u64);
    let from = ms(&node.stats().await, "asOf");
    watch_until(&node, &who, from + 2_000).await;
    let csv = export(node.data(), (from, from + 2_000), &[]);
    let viewers: Vec<&str> =
        csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(viewers, ALIKE, "rows are sorted by bytes");
}
