//! Reports of a real node over HTTP, and of the command beside it.

use std::time::Duration;

use housecount_core::limits::{BROADCASTS_MAX, HISTORY_STEPS_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use super::plain::{self, Asked};
use crate::support::node::{Node, housecount};

const TTL_MS: u64 = 3_000;
const QUICK: [&str; 6] = [
    "interval=1s",
    "ttl=3s",
    "window=1s",
    "leave_grace=50ms",
    "limits.session_beats=0",
    "broadcast_gap=1s",
];
/// Well below the ttl, so that a busy machine leaves no gap in a proof.
const BEAT_EVERY: Duration = Duration::from_millis(150);

fn ms(body: &Value, field: &str) -> u64 {
    body[field].as_u64().unwrap_or_else(|| panic!("no {field} in {body}"))
}

/// Whether two answers are the same, but for the last digit of a fraction, which a parser of JSON
/// may change.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= one.abs().max(other.abs()) * 1e-14
        }
        _ => one == other,
    }
}

/// Sends an event, and returns the time of the count.
async fn say(node: &Node, call: &str, stage: &str, viewer: &str) -> u64 {
    let body = json!({ "stage": stage, "viewer": viewer });
    let (status, body) = node.call(Method::POST, call, body).await;
    assert!(status == 200 || status == 204, "{body}");
    body["asOf"].as_u64().unwrap_or_default()
}

/// Beats for these viewers until the log's clock has passed `until`. Returns its time.
async fn watch(node: &Node, who: &[(&str, &str)], until: u64) -> u64 {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    loop {
        ticks.tick().await;
        let mut now = 0;
        for (stage, viewer) in who {
            now = say(node, "/v1/heartbeat", stage, viewer).await;
        }
        if now > until {
            return now;
        }
    }
}

async fn intervals(node: &Node, range: &str) -> Vec<plain::Interval> {
    let mut found = Vec::new();
    for stage in ["s", "t"] {
        let page = node.get(&format!("/v1/stages/{stage}/watch?{range}&intervals=true")).await;
        for row in page["watch"].as_array().unwrap() {
            let viewer = row["viewer"].as_str().unwrap();
            for span in row["intervals"].as_array().unwrap() {
                found.push((stage.into(), viewer.into(), ms(span, "from"), ms(span, "to")));
            }
        }
    }
    found
}

/// A node on which ann and bob watched `s`. Then ann left, and eve came to `t`. Also returns a time
/// before the first beat, and one after the last beat up to which all is committed.
async fn played() -> (Node, u64, u64) {
    let node = Node::ready(&QUICK).await;
    let start = say(&node, "/v1/heartbeat", "s", "once").await;
    let first = watch(&node, &[("s", "ann"), ("s", "bob")], start + 2_000).await;
    say(&node, "/v1/leave", "s", "ann").await;
    let second = watch(&node, &[("s", "bob"), ("t", "eve")], first + 1_500).await;
    let range = format!("from={start}&to={}", second + 1);
    // Everything else that is known has come once its ttl and the next window have passed.
    let end = second + 3 * TTL_MS;
    crate::support::eventually("the ledger has all of it", async || {
        ms(&node.get(&format!("/v1/stages/s/watch?{range}")).await, "committedTo") > end
    })
    .await;
    (node, start - 1_000, end)
}

#[timed_test(flavor = "multi_thread")]
async fn reports_of_a_node_and_of_the_command_are_those_of_a_plain_program() {
    let (node, from, to) = played().await;
    let wide = format!("from={}&to={}", from - 60_000, to);
    let rows = intervals(&node, &wide).await;
    let range = format!("from={from}&to={to}&step=1s&cohort=2s&before=30s");
    for (stage, path) in [
        (Some("s"), "/v1/stages/s/report"),
        (Some("s"), "/v1/stage/report?stage=s"),
        (None, "/v1/report"),
    ] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let found = node.get(&format!("{path}{joint}{range}")).await;
        let asked = Asked {
            stage,
            from,
            to,
            step_ms: 1_000,
            cohort_ms: 2_000,
            before_ms: 30_000,
            ttl_ms: TTL_MS,
            known_to: u64::MAX / 2,
        };
        let expected = plain::report(&rows, &asked);
        for (name, value) in expected.as_object().unwrap() {
            assert!(is_same(&found[name], value), "{name} of {path}: {} {value}", found[name]);
        }
        assert_eq!((ms(&found, "from"), ms(&found, "to")), (from, to));
        assert_eq!((&found["complete"], ms(&found, "ttlMs")), (&json!(true), TTL_MS));
        let viewers = if stage.is_some() { 2 } else { 3 };
        assert_eq!(ms(&found, "uniqueViewers"), viewers, "a single heartbeat is in no figure");
        assert_eq!((ms(&found, "joins"), ms(&found, "leaves")), (viewers, viewers));
    }
}

#[timed_test(flavor = "multi_thread")]
async fn broadcasts_and_comparisons() {
    let (node, from, to) = played().await;
    let all = node.get(&format!("/v1/stages/s/broadcasts?from={from}&to={to}")).await;
    let found = all["broadcasts"].as_array().unwrap();
    assert_eq!((found.len(), ms(&all, "gapMs")), (1, 1_000));
    let whole = &found[0];
    assert_eq!((&whole["ongoing"], ms(whole, "uniqueViewers")), (&json!(false), 2));
    let (begin, end) = (ms(whole, "from"), ms(whole, "to"));
    let report = node.get(&format!("/v1/stages/s/report?from={begin}&to={end}")).await;
    assert_eq!((ms(whole, "joins"), ms(whole, "leaves")), (2, 2), "all who came have left");
    for name in ["watchMs", "peakViewers", "peakAt", "averageViewers", "joins", "leaves", "views"] {
        assert_eq!(whole[name], report[name], "{name}");
    }
    let one = node.get(&format!("/v1/stage/broadcasts?stage=s&from={from}&to={to}&limit=1")).await;
    assert_eq!(one["broadcasts"], all["broadcasts"]);
    let none = node.get(&format!("/v1/stages/empty/broadcasts?from={from}&to={to}")).await;
    assert_eq!(none["broadcasts"], json!([]));

    let sides = format!("/v1/compare?a=s@{begin}..{end}&b=t@{from}..{to}");
    let compared = node.get(&sides).await;
    assert_eq!(compared["a"]["watchMs"], report["watchMs"]);
    assert_eq!((&compared["b"]["stage"], ms(&compared["b"], "uniqueViewers")), (&json!("t"), 1));
}

#[timed_test(flavor = "multi_thread")]
async fn broadcasts_max_and_other_wrong_wishes_are_refused_by_name() {
    let node = Node::ready(&QUICK).await;
    let more = BROADCASTS_MAX + 1;
    for (path, part) in [
        (
            format!("/v1/stages/s/broadcasts?limit={more}"),
            format!("limit={more} is not from 1 to 100"),
        ),
        ("/v1/stages/s/broadcasts?gap=5".into(), "gap=5 is not a duration".into()),
        ("/v1/stages/s/report?step=1ms".into(), "step=1ms is not a duration".into()),
        ("/v1/stages/s/report?step=1s".into(), format!("at most {HISTORY_STEPS_MAX} are allowed")),
        ("/v1/report?cohort=x".into(), "cohort=x is not a duration".into()),
        ("/v1/report?stage=s".into(), "`stage`".into()),
        ("/v1/compare?a=s@1..2".into(), "`b`".into()),
        (
            "/v1/compare?a=s@2026-10-01..2026-10-02&b=s@1..2".into(),
            "b=s@1..2: to=2 is before 2001-01-01".into(),
        ),
        ("/v1/compare?a=s&b=s@2026-10-01..2026-10-02".into(), "a=s is not STAGE@FROM..TO".into()),
    ] {
        let (status, body) = node.call(Method::GET, &path, Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_query")), "{path}");
        assert!(body["detail"].as_str().unwrap().contains(&part), "{path}: {body}");
    }
    let bare = Node::ready(&["log=memory:", "cold=none"]).await;
    let (status, body) = bare.call(Method::GET, "/v1/report", Value::Null).await;
    assert_eq!((status, &body["code"]), (501, &json!("no_cold_tier")));
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = housecount().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[timed_test(flavor = "multi_thread")]
async fn the_command_reports_what_the_api_does_beside_the_running_node() {
    let (node, from, to) = played().await;
    let api = node.get(&format!("/v1/stages/s/report?from={from}&to={to}&step=1s")).await;
    let data = node.data().to_str().unwrap();
    let (from, to) = (from.to_string(), to.to_string());
    let common = ["report", "--stage", "s", "--from", &from, "--to", &to, "--step", "1s"];
    let with = |more: &[&str]| {
        run(&[&common[..], &["--data", data, "--set", "ttl=3s", "--set", "interval=1s"], more]
            .concat())
    };
    let (code, json, complaint) = with(&["--format", "json"]);
    assert_eq!((code, &*complaint), (0, ""), "{json}");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), api);

    let (code, text, _) = with(&[]);
    assert_eq!(code, 0);
    assert!(text.starts_with("s\n") && text.contains("Unique viewers      2\n"), "{text}");
    let page = node.data().join("report.html");
    let (code, printed, _) = with(&["--format", "html", "--out", page.to_str().unwrap()]);
    assert_eq!((code, &*printed), (0, ""));
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));

    let late = ["report", "--from", &from, "--to", "2100-01-01", "--data", data];
    let (code, _, complaint) = run(&late);
    assert!(code == 2 && complaint.contains("the ledger ends at"), "{complaint}");
    assert!(complaint.contains("or add --partial"), "{complaint}");
}
