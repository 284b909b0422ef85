//! The ledger as users see it: real nodes, real heartbeats, the API and the commands.

use std::sync::atomic::Ordering;
use std::time::Duration;

use housecount_core::limits::{HISTORY_STEPS_MAX, PAGE_STEPS_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::node::{Node, housecount};
use crate::support::redis::{Flavour, Server};

const QUICK: [&str; 6] = [
    "interval=1s",
    "ttl=3s",
    "window=1s",
    "snapshot_interval=1s",
    "leave_grace=50ms",
    "limits.session_beats=0",
];
/// Well below the ttl, so that a busy machine leaves no gap in a proof.
const BEAT_EVERY: Duration = Duration::from_millis(150);

fn ms(body: &Value, field: &str) -> u64 {
    body[field].as_u64().unwrap_or_else(|| panic!("no {field} in {body}"))
}

async fn say(node: &Node, stage: &str, viewer: &str, session: &str) -> u64 {
    let body = json!({ "stage": stage, "viewer": viewer, "session": session });
    let (status, body) = node.call(Method::POST, "/v1/heartbeat", body).await;
    assert_eq!(status, 200, "{body}");
    ms(&body, "asOf")
}

/// Beats for all of `who`, alternating between the nodes, until the ledger of `node` is committed
/// up to `to`.
async fn party(nodes: &[&Node], who: &[(&str, &str, &str)], node: &Node, to: u64) {
    let mut turns = nodes.iter().cycle();
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    for _ in 0..400 {
        ticks.tick().await;
        let at = turns.next().unwrap();
        for (stage, viewer, session) in who {
            say(at, stage, viewer, session).await;
        }
        if ms(&node.get("/v1/stages/s/watch").await, "committedTo") >= to {
            return;
        }
    }
    panic!("the ledger did not reach {to}");
}

fn rows(body: &Value) -> &Vec<Value> {
    body["watch"].as_array().unwrap()
}

fn sum(body: &Value) -> u64 {
    rows(body).iter().map(|row| ms(row, "watchMs")).sum()
}

fn run(arguments: &[&str]) -> (i32, String) {
    let output = housecount().args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&printed).into_owned())
}

#[timed_test(flavor = "multi_thread")]
async fn watch_time_by_viewer() {
    let mut node = Node::ready(&QUICK).await;
    let start = say(&node, "s", "once", "").await;
    let who = [("s", "ann", "tab-1"), ("s", "ann", "tab-2"), ("s", "bob", ""), ("t", "bob", "")];
    party(&[&node], &who, &node, start + 3_000).await;

    let (from, to) = (start - 500, start + 2_500);
    let range = format!("from={from}&to={to}");
    let stage = node.get(&format!("/v1/stages/s/watch?{range}&intervals=true")).await;
    assert_eq!(
        (stage["complete"].clone(), ms(&stage, "from"), ms(&stage, "to")),
        (json!(true), from, to)
    );
    assert_eq!(ms(&stage, "ttlMs"), 3_000, "the answer has the node's ttl");
    let names: Vec<&str> = rows(&stage).iter().map(|row| row["viewer"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "bob"], "a single heartbeat proves nothing");
    for row in rows(&stage) {
        // There is one interval without a gap, and two tabs are one viewer.
        let whole = json!([{ "from": row["firstAt"], "to": row["lastAt"] }]);
        assert_eq!(row["intervals"], whole);
        assert_eq!(ms(row, "watchMs"), ms(row, "lastAt") - ms(row, "firstAt"));
        assert_eq!(ms(row, "lastAt"), to);
        assert!(ms(row, "firstAt") >= start);
    }
    let bob = node.get(&format!("/v1/viewers/bob/watch?{range}")).await;
    assert_eq!(
        rows(&bob).iter().map(|row| row["stage"].as_str().unwrap()).collect::<Vec<_>>(),
        ["s", "t"]
    );
    assert_eq!(rows(&bob)[0]["watchMs"], rows(&stage)[1]["watchMs"]);

    // Conservation: the integral of the number of viewers is the sum of their watch times.
    let history = node.get(&format!("/v1/stages/s/history?{range}&step=1s")).await;
    assert_eq!(ms(&history, "ttlMs"), 3_000);
    let mut integral = 0.0;
    let steps = history["history"].as_array().unwrap();
    for (n, step) in steps.iter().enumerate() {
        let next = steps.get(n + 1).map_or(to, |next| ms(next, "at"));
        integral += step["avg"].as_f64().unwrap() * (next - ms(step, "at")) as f64;
        assert!(ms(step, "min") <= ms(step, "max") && ms(step, "max") <= 2, "{step}");
    }
    assert_eq!(integral.round() as u64, sum(&stage));

    // The same figures stage by stage, and for all stages together.
    let all = node.get(&format!("/v1/watch?{range}&step=1s")).await;
    assert_eq!(ms(&all, "ttlMs"), 3_000);
    let of = |n: usize| (rows(&all)[n]["stage"].as_str().unwrap(), ms(&rows(&all)[n], "watchMs"));
    assert_eq!((rows(&all).len(), of(0)), (2, ("s", sum(&stage))));
    assert_eq!(of(1), ("t", ms(&rows(&bob)[1], "watchMs")));
    let averages: Vec<&Value> = steps.iter().map(|step| &step["avg"]).collect();
    assert_eq!(rows(&all)[0]["history"].as_array().unwrap().iter().collect::<Vec<_>>(), averages);
    let both = node.get(&format!("/v1/history?{range}&step=1s")).await;
    for (n, step) in both["history"].as_array().unwrap().iter().enumerate() {
        let sum: f64 = rows(&all).iter().map(|row| row["history"][n].as_f64().unwrap()).sum();
        assert!((sum - step["avg"].as_f64().unwrap()).abs() < 1e-9, "step {n}: {sum}, {step}");
    }
    assert_eq!((both.get("stage"), both["history"].as_array().unwrap().len()), (None, steps.len()));
    let second = node.get(&format!("/v1/watch?{range}&limit=1&cursor=s")).await;
    assert_eq!((&rows(&second)[0]["stage"], &second["cursor"]), (&json!("t"), &Value::Null));
    assert_eq!(node.get(&format!("/v1/watch?{range}&limit=1")).await["cursor"], "s");

    // Page by page the rows are the same.
    let first = node.get(&format!("/v1/stages/s/watch?{range}&intervals=true&limit=1")).await;
    assert_eq!((rows(&first).len(), &first["cursor"]), (1, &json!("ann")));
    let second =
        node.get(&format!("/v1/stages/s/watch?{range}&intervals=true&limit=1&cursor=ann")).await;
    assert_eq!((&rows(&second)[0], &second["cursor"]), (&rows(&stage)[1], &Value::Null));

    node.kill();
    node.restart();
    node.until_ready().await;
    let again = node.get(&format!("/v1/stages/s/watch?{range}&intervals=true")).await;
    assert_eq!(rows(&again), rows(&stage), "watch time is unchanged after kill -9");
}

/// The commands read what a running node writes.
#[timed_test(flavor = "multi_thread")]
async fn export_and_verify_beside_a_running_node() {
    let node = Node::ready(&QUICK).await;
    let body = json!({ "stage": "s", "customer": "acme", "tags": { "sport": "chess, fast" } });
    assert_eq!(node.call(Method::POST, "/v1/stages", body).await.0, 201);
    let start = say(&node, "s", "ann", "").await;
    party(&[&node], &[("s", "ann", ""), ("s", "bob", ""), ("t", "bob", "")], &node, start + 3_000)
        .await;
    let (from, to) = (start.to_string(), (start + 2_500).to_string());
    let data = node.data().display().to_string();
    let common = ["--from", &from, "--to", &to, "--data", &data];

    let (code, printed) = run(&[&["verify"][..], &common].concat());
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("all agrees"), "{printed}");
    let (code, printed) = run(&[&["verify", "--json"][..], &common].concat());
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &found["agrees"]), (0, &json!(true)));

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("watch.csv").display().to_string();
    let (code, printed) = run(&[&["export", "--out", &out][..], &common].concat());
    assert_eq!(code, 0, "{printed}");
    let csv = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "stage,viewer,watch_ms,first_at_ms,last_at_ms,customer,name,tags");
    let exported: u64 =
        lines[1..].iter().map(|line| line.split(',').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    let proven =
        found["stages"].as_array().unwrap().iter().map(|stage| ms(stage, "watchMs")).sum::<u64>();
    assert_eq!((lines.len(), exported), (4, proven));
    assert!(lines[1].ends_with(r#",acme,,"{""sport"":""chess, fast""}""#), "{}", lines[1]);

    let grouped = [
        "export",
        "--group",
        "customer",
        "--round",
        "viewer-minute",
        "--format",
        "ndjson",
        "--out",
        "-",
    ];
    let (code, printed) = run(&[&grouped[..], &common].concat());
    let months: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, months.len()), (0, 2), "{printed}");
    assert_eq!((&months[1]["customer"], ms(&months[1], "billed_minutes")), (&json!("acme"), 2));
    assert_eq!(months.iter().map(|month| ms(month, "watch_ms")).sum::<u64>(), proven);

    let parquet = folder.path().join("watch.parquet").display().to_string();
    let (code, printed) =
        run(&[&["export", "--format", "parquet", "--out", &parquet][..], &common].concat());
    assert_eq!(code, 0, "{printed}");
    let bytes = std::fs::read(&parquet).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));

    // An export beyond committed time is refused, and leaves no partial file.
    let late = folder.path().join("late.csv").display().to_string();
    let (code, printed) =
        run(&["export", "--out", &late, "--from", &from, "--to", "2100-01-01", "--data", &data]);
    assert_eq!(code, 2);
    assert!(printed.contains("use --to") && printed.contains("--partial"), "{printed}");
    let nowhere = folder.path().join("no/such/folder.csv").display().to_string();
    assert_eq!(run(&[&["export", "--out", &nowhere][..], &common].concat()).0, 2);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["watch.csv", "watch.parquet"]);
    let (code, printed) = run(&["verify", "--from", &from, "--to", "2100-01-01", "--data", &data]);
    assert_eq!(code, 1);
    assert!(
        printed.contains("NOT all agrees") && printed.contains("the ledger ends at"),
        "{printed}"
    );
    let early = ["verify", "--from", "2001-01-01", "--to", "2001-01-02", "--data", &data];
    let (code, printed) = run(&early);
    assert!(code == 1 && printed.contains("the ledger begins at 20"), "{printed}");
    let (code, printed) = run(&["verify", "--from", &to, "--to", &from, "--data", &data]);
    assert!(code == 2 && printed.contains("is not before"), "{printed}");
    let (code, printed) = run(&["verify", "--from", &from, "--to", &to, "--data", "/nowhere"]);
    assert!(code == 2 && printed.contains("there is no cold tier in"), "{printed}");
}

/// Asserts one interval without a gap, from the first beat until `to`.
async fn is_unbroken(node: &Node, viewer: &str, from: u64, to: u64) {
    let path = format!("/v1/viewers/{viewer}/watch?from={}&to={to}&intervals=true", from - 1_000);
    let body = node.get(&path).await;
    assert_eq!(body["complete"], true, "{body}");
    let [row] = &rows(&body)[..] else { panic!("{body}") };
    let whole = json!([{ "from": row["firstAt"], "to": to }]);
    assert_eq!(row["intervals"], whole, "{viewer}");
    assert!(ms(row, "firstAt") <= from + 1_000, "{row}");
}

async fn two_nodes(partitions: u16) -> (Server, Dynamo, [Node; 2], Vec<String>) {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    let made = run(&["table", "create", "--cold", &dynamo.url("table")]);
    assert_eq!(made.0, 0, "{}", made.1);
    let mut settings: Vec<String> = QUICK.iter().map(ToString::to_string).collect();
    settings.extend([
        format!("log={}?partitions={partitions}", redis.url()),
        format!("cold={}", dynamo.url("table")),
    ]);
    let set: Vec<&str> = settings.iter().map(String::as_str).collect();
    let (a, b) = (Node::ready(&set).await, Node::ready(&set).await);
    (redis, dynamo, [a, b], settings)
}

/// Redis loses everything, and a node starts after that. Then the nodes with the old knowledge die.
/// The time that was proven before is still committed.
#[timed_test(flavor = "multi_thread")]
async fn proof_outlives_redis_and_the_nodes_that_made_it() {
    let (redis, dynamo, [mut a, mut b], settings) = two_nodes(1).await;
    let who = [("s", "ann", ""), ("s", "bob", "tab")];
    let start = say(&a, "s", "ann", "").await;
    party(&[&a, &b], &who, &a, start + 2_000).await;
    let path = format!("/v1/stages/s/watch?from={start}&to={}&intervals=true", start + 1_500);
    let watch = async |node: &Node| node.get(&path).await["watch"].take();
    assert_eq!(watch(&a).await, watch(&b).await, "both nodes read the same");

    // From here on no window can be committed, until the nodes with the old knowledge are gone.
    dynamo.faults.throttled.store(u32::MAX, Ordering::SeqCst);
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    for turn in 0..20 {
        ticks.tick().await;
        if turn == 10 {
            assert_eq!(redis.command("FLUSHALL"), "+OK");
        }
        for (stage, viewer, session) in who {
            say(if turn % 2 == 0 { &a } else { &b }, stage, viewer, session).await;
        }
    }
    // Until both nodes have rewritten their part of the log.
    let is_marked = || redis.command("HGET hc:{0}:meta whole").contains('1');
    crate::support::eventually("the log is complete", async || {
        say(&a, "s", "ann", "").await;
        say(&b, "s", "bob", "tab").await;
        is_marked()
    })
    .await;
    a.kill();
    b.kill();
    dynamo.faults.throttled.store(0, Ordering::SeqCst);
    let set: Vec<&str> = settings.iter().map(String::as_str).collect();
    let c = Node::start(&set);
    c.until_ready().await;
    let now = say(&c, "s", "ann", "").await;
    say(&c, "s", "bob", "tab").await;
    // The new node took a moment to start, which may have been longer than a ttl. Proof continues
    // after it.
    party(&[&c], &who, &c, now + 2_000).await;
    let body = c
        .get(&format!("/v1/viewers/ann/watch?from={}&to={now}&intervals=true", start - 1_000))
        .await;
    let first = &rows(&body)[0]["intervals"][0];
    assert!(ms(first, "from") <= start + 1_000, "{body}");
    assert!(
        ms(first, "to") - ms(first, "from") >= 20 * 150,
        "watch time from before the loss is missing: {body}"
    );
    let (code, printed) = run(&[
        "verify",
        "--from",
        &start.to_string(),
        "--to",
        &now.to_string(),
        "--cold",
        &dynamo.url("table"),
    ]);
    assert_eq!(code, 0, "{printed}");
}

/// The cold tier is unavailable. Windows wait in the log and in memory, and then all are committed.
#[timed_test(flavor = "multi_thread")]
async fn windows_wait_while_dynamodb_is_away() {
    let (_redis, dynamo, [mut a, b], settings) = two_nodes(2).await;
    let who = [("s", "ann", ""), ("s", "bob", "tab")];
    let start = say(&a, "s", "ann", "").await;
    dynamo.faults.throttled.store(u32::MAX, Ordering::SeqCst);
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    for _ in 0..20 {
        ticks.tick().await;
        for (stage, viewer, session) in who {
            say(&b, stage, viewer, session).await;
        }
    }
    a.kill();
    dynamo.faults.throttled.store(0, Ordering::SeqCst);
    // Another node reads the waiting events from the log, and commits some of them.
    let set: Vec<&str> = settings.iter().map(String::as_str).collect();
    let c = Node::start(&set);
    let to = say(&b, "s", "ann", "").await;
    party(&[&b], &who, &b, to + 1_000).await;
    c.until_ready().await;
    is_unbroken(&b, "ann", start, to).await;
    is_unbroken(&c, "bob", start, to).await;
}

#[timed_test(flavor = "multi_thread")]
async fn bad_questions_are_named() {
    let node = Node::ready(&QUICK).await;
    let status = async |path: &str| {
        let (status, body) = node.call(Method::GET, path, Value::Null).await;
        (status, body["code"].as_str().unwrap_or_default().to_string())
    };
    let bad = (400, "invalid_query".to_string());
    for path in [
        "/v1/stages/s/watch?from=5&to=5",
        "/v1/stages/s/watch?from=yesterday",
        "/v1/stages/s/watch?limit=0",
        "/v1/stages/s/watch?intervals=perhaps",
        "/v1/viewers/v/watch?cursor=a%20b",
        "/v1/stages/s/history?step=5",
        "/v1/stages/s/history?step=10ms",
        "/v1/stages/s/history?step=1s",
        "/v1/stages/s/history?from=2001-01-01&to=18446744073709551615&step=1s",
    ] {
        assert_eq!(status(path).await, bad, "{path}");
    }
    for path in [
        "/v1/stages/s/watch?from=2001-01-01&to=18446744073709551615",
        "/v1/viewers/unknown/watch",
        "/v1/stages/s/history?from=2001-01-01",
    ] {
        assert_eq!(status(path).await.0, 200, "{path}");
    }
    // The largest number of steps that is allowed, and one more.
    let to = 1_790_000_000_000 + HISTORY_STEPS_MAX * 1_000;
    let path = |from: u64| format!("/v1/stages/s/history?from={from}&to={to}&step=1s");
    assert_eq!(status(&path(1_790_000_001_000)).await.0, 200);
    assert_eq!(status(&path(1_789_999_999_000)).await, bad);
    let to = 1_790_000_000_000 + PAGE_STEPS_MAX / 1_000 * 1_000;
    let path = |limit: u64| format!("/v1/watch?from=1790000000000&to={to}&step=1s&limit={limit}");
    assert_eq!(status(&path(1_000)).await.0, 200);
    // A day has 1,441 steps of a minute, or 86,401 of a second, and pages are smaller then. Two
    // days of seconds are too many for one stage.
    for path in ["/v1/watch?step=1m", "/v1/watch?step=1s"] {
        assert_eq!(status(path).await.0, 200, "{path}");
    }
    assert_eq!(status("/v1/watch?from=1790000000000&to=1790172800000&step=1s").await, bad);
    let to = to + 1_000;
    let path = |limit: u64| format!("/v1/watch?from=1790000000000&to={to}&step=1s&limit={limit}");
    assert_eq!((status(&path(900)).await.0, status(&path(1_000)).await), (200, bad));
    let none = Node::ready(&["cold=none"]).await;
    for path in [
        "/v1/stages/s/watch",
        "/v1/viewers/v/watch",
        "/v1/stages/s/history",
        "/v1/history",
        "/v1/watch",
    ] {
        let (status, body) = none.call(Method::GET, path, Value::Null).await;
        assert_eq!((status, &body["code"]), (501, &json!("no_cold_tier")), "{path}");
    }
}
