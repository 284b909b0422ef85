//! The archive of a node: the line that names a refused item, and exports of its rows.

use std::collections::BTreeSet;

use housecount_backend::clock::wall_clock;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount};

/// The line in the process's log names the item by its stage and time, and not by its viewer.
#[timed_test(flavor = "multi_thread")]
async fn an_item_that_is_refused_is_named() {
    let (dynamo, folder) = (Dynamo::start().await, tempfile::tempdir().unwrap());
    dynamo.make_table("audience");
    *dynamo.faults.refuses.lock().unwrap() = "cursed".to_string();
    let sent = folder.path().join("sent");
    let (data, url) =
        (format!("data={}", folder.path().display()), format!("cold={}", dynamo.url("audience")));
    let settings =
        ["interval=1s", "ttl=3s", "archive=items", "archive_flush=1s", "log=memory:", &data, &url];
    let node = Node::start_logging(std::fs::File::create(&sent).unwrap(), &settings);
    node.until_ready().await;
    let beat = node.beat("stage-1", "cursed").await;
    assert!(beat["nextMs"].is_u64());
    eventually("the refused item is counted", async || {
        node.metric("housecount_archive_refused_total ").await == 1.0
    })
    .await;
    let sent = std::fs::read_to_string(&sent).unwrap();
    let line = sent.lines().find(|line| line.contains("refused items of the archive")).unwrap();
    assert!(
        line.contains("STAGE#stage-1 / HEARTBEAT#1") && line.contains("parameter values"),
        "{line}"
    );
    assert!(
        line.contains("a viewer of 6 bytes, a session of 0") && !sent.contains("cursed"),
        "{sent}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn the_archive_is_exported_as_rows() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.url("audience");
    assert!(housecount().args(["table", "create", "--cold", &cold]).status().unwrap().success());
    let export = |arguments: &[&str]| {
        let to = [
            "export",
            "--raw",
            "--cold",
            &cold,
            "--from",
            "2020-01-01",
            "--to",
            "2100-01-01",
            "--out",
            "-",
        ];
        let output = housecount().args(to).args(arguments).output().unwrap();
        let sent =
            String::from_utf8(if output.status.success() { output.stdout } else { output.stderr })
                .unwrap();
        (output.status.code().unwrap(), sent)
    };
    for arguments in [&[][..], &["--stage", "s"]] {
        let (code, sent) = export(arguments);
        assert!(
            code == 2
                && sent.contains("there is no archive")
                && sent.contains("archive = \"packed\""),
            "{sent}"
        );
    }

    let quick = ["interval=1s", "ttl=3s", "window=1s", "snapshot_interval=1s", "archive_flush=1s"];
    for form in ["packed", "items"] {
        let archive = format!("archive={form}");
        let url = format!("cold={cold}");
        let node = Node::ready(&[&quick[..], &[&archive, &url, "log=memory:"]].concat()).await;
        node.beat(form, "ann").await;
        let body = json!({ "stage": form, "viewer": "bob", "session": "tab" });
        assert_eq!(node.call(Method::POST, "/v1/heartbeat", body.clone()).await.0, 200);
        assert_eq!(node.call(Method::POST, "/v1/leave", body).await.0, 204);
        // `asOf` may still be before these events. The clock of this log is the machine's.
        let last = wall_clock().0 as f64 / 1_000.0;
        eventually("all events are archived", async || {
            node.metric("housecount_archived_timestamp_seconds ").await > last
        })
        .await;
        let (code, csv) = export(&["--stage", form]);
        let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(
            (code, &rows[0][..]),
            (0, &["stage", "viewer", "session", "at_ms", "kind"][..]),
            "{csv}"
        );
        let of = |row: &[&str]| [0, 1, 2, 4].map(|column| row[column].to_string());
        let found: BTreeSet<[String; 4]> = rows[1..].iter().map(|row| of(row)).collect();
        let expected = [
            [form, "ann", "", "beat"],
            [form, "bob", "tab", "beat"],
            [form, "bob", "tab", "leave"],
        ];
        let is_kept = |row: &&[&str; 4]| form == "packed" || row[3] == "beat";
        let expected = expected.iter().filter(is_kept).map(|row| row.map(str::to_string)).collect();
        assert_eq!(found, expected);
    }
    // Export of all stages in both forms. The packed form holds one leave more.
    let (code, ndjson) = export(&["--format", "ndjson"]);
    assert_eq!((code, ndjson.lines().count()), (0, 5), "{ndjson}");
    assert_eq!(
        ndjson.lines().filter(|line| line.contains("\"stage\":\"items\"")).count(),
        2,
        "{ndjson}"
    );
    // An unreadable item is named without its viewer, and the others are written.
    dynamo.call(
        "PutItem",
        json!({ "TableName": "audience", "Item": {
            "pk": { "S": "STAGE#items" }, "sk": { "S": "HEARTBEAT#1790000000000#zoe#" },
        }}),
    );
    let output = housecount()
        .args([
            "export",
            "--raw",
            "--cold",
            &cold,
            "--from",
            "2020-01-01",
            "--to",
            "2100-01-01",
            "--out",
            "-",
        ])
        .output()
        .unwrap();
    let (rows, sent) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), rows.lines().count()), (Some(1), 6), "{rows}");
    assert!(
        sent.contains("STAGE#items / HEARTBEAT#1790000000000#…: attribute")
            && !sent.contains("zoe"),
        "{sent}"
    );
}
