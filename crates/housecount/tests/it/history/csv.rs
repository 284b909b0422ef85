//! CSV files as spreadsheets open them. All that players and operators sent is text there, and
//! never a formula.

use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

use super::served::{QUICK, ms, watch_until};
use crate::support::node::{Node, housecount};

/// Exports from the node's data; returns the bytes, or the error's text.
fn export(node: &Node, (from, to): (u64, u64), more: &[&str]) -> Result<Vec<u8>, String> {
    let (from, to, data) = (from.to_string(), to.to_string(), node.data().display().to_string());
    let common = ["export", "--from", &from, "--to", &to, "--data", &data, "--out", "-"];
    let output = housecount().args(common).args(more).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(output.stdout) } else { Err(printed) }
}

#[timed_test(flavor = "multi_thread")]
async fn formulas_are_text_in_every_csv_file() {
    let node = Node::ready(&[&QUICK[..], &["archive=packed", "archive_flush=1s"]].concat()).await;
    let stage = json!({ "stage": "=s", "customer": "+ACME", "name": "-1", "tags": { "=a": "@b" } });
    let (status, made) = node.call(Method::POST, "/v1/stages", stage).await;
    assert_eq!(status, 201, "{made}");
    let range = (ms(&made, "effectiveFrom"), ms(&made, "effectiveFrom") + 4_000);
    watch_until(&node, &[("=s", "@ann")], range.1).await;
    let text = |more: &[&str]| String::from_utf8(export(&node, range, more).unwrap()).unwrap();

    let guarded = text(&[]);
    let line = guarded.lines().nth(1).unwrap();
    assert!(line.starts_with("'=s,'@ann,"), "{line}");
    assert!(line.ends_with(r#",'+ACME,'-1,"{""=a"":""@b""}""#), "{line}");
    let raw = text(&["--csv", "raw"]);
    let line = raw.lines().nth(1).unwrap();
    assert!(line.starts_with("=s,@ann,") && line.contains(",+ACME,-1,"), "{line}");
    let excel = text(&["--csv", "excel"]);
    assert_eq!(
        excel.strip_prefix('\u{feff}'),
        Some(guarded.as_str()),
        "the Excel form only adds a byte order mark"
    );
    let grouped = text(&["--group", "customer"]);
    assert!(grouped.lines().nth(1).unwrap().starts_with("'+ACME,"), "{grouped}");
    let beats = text(&["--raw"]);
    assert!(beats.lines().nth(1).unwrap().starts_with("'=s,'@ann,"), "{beats}");
    let ndjson = text(&["--format", "ndjson"]);
    assert!(ndjson.contains(r#""viewer":"@ann""#), "{ndjson}");
    let refused = export(&node, range, &["--format", "ndjson", "--csv", "raw"]).unwrap_err();
    assert!(refused.contains("--csv is for --format csv"), "{refused}");
}
