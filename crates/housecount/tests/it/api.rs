//! The API as players and operators use it, with good requests and every kind of bad request.

use housecount_core::limits::{
    BATCH_BEATS_MAX, BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX, HEADER_BYTES_MAX, PAGE_ROWS_DEFAULT,
    STAGE_ID_BYTES_MAX,
};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::node::Node;

const FAST: [&str; 4] = ["log=memory:", "interval=1s", "ttl=3s", "leave_grace=200ms"];

/// Sends one request, byte for byte; returns the answer's status and body.
fn raw(node: &Node, request: &str) -> (u16, Value) {
    say(node, request, false)
}

fn say(node: &Node, request: &str, then_hang_up: bool) -> (u16, Value) {
    use std::io::{Read, Write};
    let address = node.address.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    if then_hang_up {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn post(node: &Node, path: &str, content_type: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    raw(node, &request)
}

fn check(answer: (u16, Value), status: u16, code: &str, named: &str) {
    let (found, body) = answer;
    assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
    let detail = body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(named), "{detail:?} does not name {named:?}");
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["type"].is_string(), "RFC 9457: {body}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_heartbeat_is_answered_with_its_own_count() {
    let node = Node::ready(&FAST).await;
    let body = node.beat("arn:aws:ivs:eu-west-1:1:stage/AbC", "ann").await;
    assert_eq!((body["viewers"].as_u64(), body["sessions"].as_u64()), (Some(1), Some(1)));
    assert!(body["asOf"].as_u64() > Some(1_700_000_000_000) && body["recovering"].is_boolean());
    let next_ms = body["nextMs"].as_u64().unwrap();
    assert!((900..=1_000).contains(&next_ms), "{next_ms} is not between the interval and ttl/3");
    // `sendBeacon`'s content type, a charset, another session, unknown fields, nulls.
    let beat = r#"{"stage":"s","viewer":"bob","session":null,"extra":{"a":[1]}}"#;
    assert_eq!(post(&node, "/v1/heartbeat", "text/plain;charset=UTF-8", beat).0, 200);
    let beat = r#"{"stage":"s","viewer":"bob","session":"tab-2"}"#;
    let (_, body) = post(&node, "/v1/heartbeat", "application/json; charset=utf-8", beat);
    assert_eq!((body["viewers"].as_u64(), body["sessions"].as_u64()), (Some(1), Some(2)));
    let stats = node.stats().await;
    assert_eq!(
        (&stats["viewers"], &stats["sessions"], &stats["stages"]),
        (&json!(2), &json!(3), &json!(2))
    );
}

/// Players' calls bypass the router, yet their answers have the same headers.
#[timed_test(flavor = "multi_thread")]
async fn answers_have_the_same_headers_on_every_path() {
    use std::io::{Read, Write};
    let node = Node::ready(&FAST).await;
    let head = |method: &str, path: &str, body: &str| {
        let mut stream =
            std::net::TcpStream::connect(node.address.trim_start_matches("http://")).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let is_fixed =
            |line: &&str| !line.starts_with("date") && !line.starts_with("content-length");
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_string));
        assert!(length.is_none_or(|length| length == body.len().to_string()), "{answer}");
        head.lines().filter(is_fixed).collect::<Vec<_>>().join("\n")
    };
    let beat = r#"{"stage":"s","viewer":"ann"}"#;
    let common = "x-content-type-options: nosniff\ncache-control: no-store\nconnection: close";
    let ok = format!("HTTP/1.1 200 OK\ncontent-type: application/json\n{common}");
    let player = "cache-control: no-store\nconnection: close";
    let player_ok = format!("HTTP/1.1 200 OK\ncontent-type: application/json\n{player}");
    assert_eq!(head("GET", "/v1/stats", ""), ok);
    assert_eq!(head("POST", "/v1/heartbeat", beat), player_ok);
    assert_eq!(head("POST", "/v1/heartbeat?", beat), ok);
    assert_eq!(head("POST", "/v1/heartbeats", &format!("[{beat}]")), ok);
    assert_eq!(head("POST", "/v1/leave", beat), format!("HTTP/1.1 204 No Content\n{player}"));
    let problem = format!("content-type: application/problem+json\n{common}");
    assert_eq!(head("POST", "/v1/heartbeat", "{}"), format!("HTTP/1.1 400 Bad Request\n{problem}"));
    assert_eq!(head("POST", "/v1/heartbeat/", beat), format!("HTTP/1.1 404 Not Found\n{problem}"));
    assert_eq!(head("GET", "/v1/stages/x", ""), format!("HTTP/1.1 404 Not Found\n{problem}"));
    let metrics = node.client.call(Method::GET, "/metrics", "").await.unwrap().1;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for (route, status, count) in [
        ("/v1/heartbeat", 200, 2),
        ("/v1/heartbeat", 400, 1),
        ("/v1/leave", 204, 1),
        ("/v1/stats", 200, 1),
    ] {
        let line =
            format!("housecount_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn leaves_and_expiry() {
    let node = Node::ready(&FAST).await;
    for viewer in ["ann", "bob", "cy"] {
        node.beat("s", viewer).await;
    }
    assert_eq!(node.viewers("s").await, 3);
    let leave = json!({ "stage": "s", "viewer": "ann" });
    assert_eq!(node.call(Method::POST, "/v1/leave", leave).await.0, 204);
    let unknown = json!({ "stage": "nowhere", "viewer": "unknown" });
    assert_eq!(node.call(Method::POST, "/v1/leave", unknown).await.0, 204);
    crate::support::eventually("ann has left", async || node.viewers("s").await == 2).await;
    crate::support::eventually("the other viewers time out", async || node.viewers("s").await == 0)
        .await;
    assert_eq!(node.get("/v1/stages/s").await["peak"], 3);
    assert_eq!(node.status("/v1/stages/nowhere").await, 404, "a leave creates no stage");
}

#[timed_test(flavor = "multi_thread")]
async fn bad_heartbeats_are_refused_by_name() {
    let node = Node::ready(&FAST).await;
    let beat = |body: &str| post(&node, "/v1/heartbeat", "application/json", body);
    check(beat(r#"{"viewer":"v"}"#), 400, "invalid_stage", "stage is missing");
    check(beat(r#"{"stage":"s"}"#), 400, "invalid_viewer", "viewer is missing");
    check(beat(r#"{"stage":"","viewer":"v"}"#), 400, "invalid_stage", "stage is empty");
    check(beat(r#"{"stage":"s","viewer":""}"#), 400, "invalid_viewer", "viewer is empty");
    check(beat(r#"{"stage":"a b","viewer":"v"}"#), 400, "invalid_stage", "without spaces");
    check(beat(r#"{"stage":"s","viewer":"a\nb"}"#), 400, "invalid_viewer", "no control characters");
    check(
        beat(r#"{"stage":"s","viewer":"v","session":"\u0007"}"#),
        400,
        "invalid_session",
        "no control",
    );
    let long = |n: usize| "x".repeat(n);
    check(
        beat(&json!({ "stage": long(STAGE_ID_BYTES_MAX + 1), "viewer": "v" }).to_string()),
        400,
        "invalid_stage",
        "at most 256",
    );
    check(
        beat(&json!({ "stage": "s", "viewer": long(129) }).to_string()),
        400,
        "invalid_viewer",
        "at most 128",
    );
    let session = json!({ "stage": "s", "viewer": "v", "session": long(129) }).to_string();
    check(beat(&session), 400, "invalid_session", "at most 128");
    check(
        beat(r#"{"stage":5,"viewer":"v"}"#),
        400,
        "invalid_stage",
        "stage is a number; send a string",
    );
    check(beat(r#"["stage"]"#), 400, "invalid_body", "not a JSON object");
    check(beat(r#"{"stage":"s","#), 400, "invalid_body", "EOF");
    check(beat(""), 400, "invalid_body", "EOF");
    check(beat("\u{feff}{}"), 400, "invalid_stage", "stage is missing");
    check(beat("\u{feff}\u{feff}{}"), 400, "invalid_body", "not a JSON object");
    let padded = format!("{}{}", r#"{"stage":"s","viewer":"v"}"#, " ".repeat(BEAT_BODY_BYTES_MAX));
    check(beat(&padded), 413, "body_too_large", "65536 bytes");
    check(
        post(&node, "/v1/heartbeat", "text/html", "{}"),
        415,
        "unsupported_media_type",
        "text/html",
    );
    check(
        post(&node, "/v1/leave", "application/json", "{}"),
        400,
        "invalid_stage",
        "stage is missing",
    );
    let truncated = "POST /v1/heartbeat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 90\r\n\r\n{\"sta";
    check(say(&node, truncated, true), 400, "body_truncated", "truncated");
    assert_eq!(node.stats().await["viewers"], 0, "a truncated body counts no viewer");
    let metrics = node.client.call(Method::GET, "/metrics", "").await.unwrap().1;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    assert!(metrics.contains("housecount_rejected_total{code=\"invalid_stage\"} 7"), "{metrics}");
}

#[timed_test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_queries() {
    let node = Node::ready(&FAST).await;
    let get = |path: &str| {
        raw(&node, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    };
    check(get("/v1/heartbeat"), 405, "method_not_allowed", "/v1/heartbeat does not support GET");
    check(get("/v1/ws"), 426, "upgrade_required", "WebSockets");
    check(get("/v1/nothing"), 404, "not_found", "/openapi.json");
    check(get("/v1/stages/a%zzb"), 400, "invalid_path", "byte 12");
    check(get("/v1/stages/a%2"), 400, "invalid_path", "byte 12");
    check(get("/v1/stages/%ff"), 400, "invalid_path", "UTF-8");
    check(get("/v1/stages/a%20b"), 400, "invalid_stage", "without spaces");
    check(get("/v1/stages/unknown"), 404, "stage_not_found", "`unknown`");
    check(get("/v1/viewers/%0a"), 400, "invalid_viewer", "no control characters");
    check(get("/v1/stages?limit=0"), 400, "invalid_query", "limit=0");
    check(get("/v1/stages?limit=1001"), 400, "invalid_query", "1 to 1000");
    check(get("/v1/stages?limit=many"), 400, "invalid_query", "limit");
    check(get("/v1/stages?cursor=%C3%A9"), 400, "invalid_query", "cursor");
    check(get("/v1/stages/s/viewers?cursor=%0a"), 400, "invalid_query", "cursor");
    let last = "~".repeat(STAGE_ID_BYTES_MAX);
    assert_eq!(get(&format!("/v1/stages?cursor={last}")).1["stages"], json!([]));
    check(get("/v1/stages/s/snapshots?from=yesterday"), 400, "invalid_query", "from=yesterday");
    let long = "h".repeat(HEADER_BYTES_MAX);
    let (status, _) = raw(
        &node,
        &format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\nconnection: close\r\n\r\n"),
    );
    assert_eq!(status, 431, "headers are limited");
    assert_eq!(raw(&node, "NONSENSE\r\n\r\n").0, 400);
    assert_eq!(node.status("/healthz").await, 200, "the node still answers");
}

#[timed_test(flavor = "multi_thread")]
async fn many_heartbeats_at_once() {
    let node = Node::ready(&FAST).await;
    let array = json!([
        { "stage": "s", "viewer": "ann" },
        { "stage": "s", "viewer": "" },
        { "stage": "s", "viewer": 5 },
        { "stage": "s", "viewer": "bob", "session": "tab" },
        "nonsense",
    ]);
    let (status, body) = post(&node, "/v1/heartbeats", "application/json", &array.to_string());
    assert_eq!((status, &body["accepted"]), (200, &json!(2)));
    let rejected: Vec<(u64, &str)> = body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["code"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(1, "invalid_viewer"), (2, "invalid_viewer"), (4, "invalid_body")]);
    assert_eq!(node.viewers("s").await, 2);

    let lines = "{\"stage\":\"t\",\"viewer\":\"ann\"}\n{\"stage\":\"t\",\n\n{\"stage\":\"t\",\"viewer\":\"bob\"}\r\n";
    let (status, body) = post(&node, "/v1/heartbeats", "application/x-ndjson", lines);
    assert_eq!(
        (status, &body["accepted"], &body["rejected"][0]["index"]),
        (200, &json!(2), &json!(1)),
        "{body}"
    );
    assert_eq!(node.viewers("t").await, 2);

    let many = |n: usize| {
        let beats: Vec<Value> =
            (0..n).map(|n| json!({ "stage": "u", "viewer": format!("v{n}") })).collect();
        post(&node, "/v1/heartbeats", "application/json", &Value::from(beats).to_string())
    };
    check(many(BATCH_BEATS_MAX + 1), 413, "too_many_heartbeats", "at most 10000");
    let (status, body) = many(BATCH_BEATS_MAX);
    assert_eq!((status, &body["accepted"]), (200, &json!(10_000)));
    assert_eq!(node.viewers("u").await, 10_000);

    let batch = |kind: &str, body: &str| post(&node, "/v1/heartbeats", kind, body);
    check(batch("application/json", "[{]"), 400, "invalid_body", "not a JSON array");
    check(batch("application/json", ""), 400, "invalid_body", "no heartbeats");
    check(batch("application/xml", "[]"), 415, "unsupported_media_type", "application/xml");
    check(
        batch("application/json", &" ".repeat(BODY_BYTES_MAX + 1)),
        413,
        "body_too_large",
        "1048576 bytes",
    );
    assert_eq!(batch("application/json", "[]"), (200, json!({ "accepted": 0, "rejected": [] })));
}

#[timed_test(flavor = "multi_thread")]
async fn stages_are_configured_listed_and_forgotten() {
    let node = Node::ready(&FAST).await;
    let arn = "arn:aws:ivs:eu-west-1:1:stage/AbC";
    let path = "/v1/stages/arn:aws:ivs:eu-west-1:1:stage%2FAbC";
    let new = json!({ "stage": arn, "name": "The final", "tags": { "sport": "chess" }, "customer": "ACME" });
    let (status, body) = node.call(Method::POST, "/v1/stages", new.clone()).await;
    assert_eq!((status, &body["name"], &body["viewers"]), (201, &json!("The final"), &json!(0)));
    let made_from = body["effectiveFrom"].as_u64().unwrap();
    check(node.call(Method::POST, "/v1/stages", new).await, 409, "stage_exists", "PATCH");
    node.beat(arn, "ann").await;
    let change = json!({ "name": null, "tags": { "sport": null, "round": "2" } });
    let (status, body) = node.call(Method::PATCH, path, change.clone()).await;
    let changed_from = body["effectiveFrom"].as_u64().unwrap();
    assert!(status == 200 && changed_from >= made_from, "{body}");
    let again = node.call(Method::PATCH, path, change).await.1;
    assert_eq!(again["effectiveFrom"], changed_from, "an equal change keeps the version in force");
    let body = node.get(path).await;
    assert_eq!(
        (&body["customer"], &body["tags"], &body["viewers"]),
        (&json!("ACME"), &json!({ "round": "2" }), &json!(1))
    );
    assert!(body.get("name").is_none() && body["configured"] == true && body["createdAt"].is_u64());

    for stage in ["a", "b", "z"] {
        node.beat(stage, "ann").await;
    }
    node.call(Method::POST, "/v1/stages", json!({ "stage": "c" })).await;
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = node.get(&format!("/v1/stages?limit=2{cursor}")).await;
        let stages = page["stages"].as_array().unwrap();
        assert!(stages.len() <= 2);
        listed.extend(
            stages
                .iter()
                .map(|s| (s["stage"].as_str().unwrap().to_string(), s["configured"] == true)),
        );
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('/', "%2F")),
            None => break,
        }
    }
    let expected = [("a", false), (arn, true), ("b", false), ("c", true), ("z", false)];
    assert_eq!(listed, expected.map(|(stage, configured)| (stage.to_string(), configured)));

    let (status, body) = node.call(Method::DELETE, path, Value::Null).await;
    assert_eq!((status, &body["stage"]), (200, &json!(arn)));
    assert!(
        body["effectiveFrom"].as_u64().unwrap() > changed_from,
        "the change applies from the end of the window: {body}"
    );
    check(
        node.call(Method::DELETE, path, Value::Null).await,
        404,
        "stage_not_found",
        "not configured",
    );
    assert_eq!(node.get(path).await["configured"], false, "the stage still has viewers");
    check(
        node.call(Method::PATCH, path, json!({})).await,
        404,
        "stage_not_found",
        "POST /v1/stages",
    );

    let array = post(&node, "/v1/stages", "application/json", r#"["d"]"#);
    check(array, 400, "invalid_body", "not a JSON object");
    let nothing = json!({ "stage": "d", "tags": null });
    assert_eq!(node.call(Method::POST, "/v1/stages", nothing).await.0, 201);
    let tagged = json!({ "tags": { "a": "b" } });
    assert_eq!(
        node.call(Method::PATCH, "/v1/stages/d", tagged).await.1["tags"],
        json!({ "a": "b" })
    );
    let untagged = node.call(Method::PATCH, "/v1/stages/d", json!({ "tags": null })).await.1;
    assert!(untagged.get("tags").is_none(), "{untagged}");
    let bad = json!({ "stage": "d", "name": "n".repeat(257) });
    check(
        node.call(Method::POST, "/v1/stages", bad).await,
        400,
        "invalid_stage_config",
        "name has 257 bytes",
    );
    check(
        node.call(Method::POST, "/v1/stages", json!({ "stage": "" })).await,
        400,
        "invalid_stage",
        "empty",
    );
    check(
        node.call(Method::POST, "/v1/stages", json!({ "name": "x" })).await,
        400,
        "invalid_body",
        "stage",
    );
}

#[timed_test(flavor = "multi_thread")]
async fn unconfigured_stages_can_be_closed() {
    let node = Node::ready(&[&FAST[..], &["stages.auto=false"]].concat()).await;
    let beat = json!({ "stage": "s", "viewer": "ann" });
    let answer = node.call(Method::POST, "/v1/heartbeat", beat.clone()).await;
    check(answer, 404, "stage_not_found", "stages.auto is false");
    assert_eq!(node.call(Method::POST, "/v1/stages", json!({ "stage": "s" })).await.0, 201);
    assert_eq!(node.call(Method::POST, "/v1/heartbeat", beat).await.0, 200);
}

#[timed_test(flavor = "multi_thread")]
async fn viewers_by_name() {
    let node = Node::ready(&["log=memory:"]).await;
    node.beat_many("s", 0, 250).await;
    let tab = json!({ "stage": "t", "viewer": "viewer-7", "session": "tab" });
    node.call(Method::POST, "/v1/heartbeat", tab).await;
    let first = node.get("/v1/stages/s/viewers").await;
    assert_eq!(first["viewers"].as_array().unwrap().len(), PAGE_ROWS_DEFAULT);
    let cursor = first["cursor"].as_str().unwrap();
    let second = node.get(&format!("/v1/stages/s/viewers?limit=200&cursor={cursor}")).await;
    assert_eq!(second["viewers"].as_array().unwrap().len(), 150);
    assert!(second.get("cursor").is_none());
    let viewer = node.get("/v1/viewers/viewer-7").await;
    assert_eq!(viewer["online"], true);
    assert_eq!(viewer["stages"][0]["stage"], "s");
    assert_eq!(
        viewer["stages"][1],
        json!({ "stage": "t", "sessions": ["tab"], "lastBeatAt": viewer["stages"][1]["lastBeatAt"] })
    );
    let unknown = node.get("/v1/viewers/unknown").await;
    assert_eq!((&unknown["online"], &unknown["stages"]), (&json!(false), &json!([])));
}

#[timed_test(flavor = "multi_thread")]
async fn without_a_cold_tier() {
    let node = Node::ready(&[&FAST[..], &["cold=none"]].concat()).await;
    node.beat("s", "ann").await;
    assert_eq!(node.get("/v1/stages").await["stages"][0]["viewers"], 1);
    check(
        node.call(Method::POST, "/v1/stages", json!({ "stage": "s" })).await,
        501,
        "no_cold_tier",
        "cold = none",
    );
    check(
        node.call(Method::POST, "/v1/admin/snapshot", Value::Null).await,
        501,
        "no_cold_tier",
        "cold = none",
    );
    // The log is new and no snapshot says more, so the node reports that its counts are incomplete.
    let stats = node.stats().await;
    assert_eq!((&stats["complete"], &stats["recovering"]), (&json!(false), &json!(true)));
    crate::support::eventually("counts are complete after one ttl", async || {
        node.stats().await["complete"] == true
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn openapi_describes_every_route() {
    let node = Node::ready(&FAST).await;
    let api = node.get("/openapi.json").await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut names = std::collections::BTreeSet::new();
    for (path, methods) in [
        ("/v1/heartbeat", vec!["post"]),
        ("/v1/heartbeats", vec!["post"]),
        ("/v1/leave", vec!["post"]),
        ("/v1/ws", vec!["get"]),
        ("/v1/stats", vec!["get"]),
        ("/v1/stages", vec!["get", "post"]),
        ("/v1/stages/{stage}", vec!["get", "patch", "delete"]),
        ("/v1/stages/{stage}/viewers", vec!["get"]),
        ("/v1/stages/{stage}/snapshots", vec!["get"]),
        ("/v1/viewers/{viewer}", vec!["get"]),
        ("/v1/admin/snapshot", vec!["post"]),
        ("/v1/admin/restore", vec!["post"]),
        ("/healthz", vec!["get"]),
        ("/readyz", vec!["get"]),
        ("/metrics", vec!["get"]),
    ] {
        for method in methods {
            let name = api["paths"][path][method]["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_string()), "two operations have the id {name}");
            let responses = api["paths"][path][method]["responses"].as_object().unwrap();
            let is_described =
                |response: &Value| response["description"].as_str().is_some_and(|d| !d.is_empty());
            assert!(responses.values().all(is_described), "{method} {path}: {responses:?}");
        }
    }
}

/// Clients that begin a request and then stall are disconnected, in the headers and in the body.
#[timed_test(flavor = "multi_thread")]
async fn header_read_ms_max_and_body_read_ms_max() {
    let node = Node::ready(&FAST).await;
    let address = node.address.trim_start_matches("http://").to_string();
    let headers = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"POST /v1/heartbeat HTTP/1.1\r\nhost: localhost\r\n").unwrap();
        stream.read(&mut [0; 64]).unwrap_or(0)
    });
    let request = "POST /v1/heartbeat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90\r\nconnection: close\r\n\r\n{\"sta";
    check(raw(&node, request), 408, "body_too_slow", "10000 ms");
    headers.await.unwrap();
    assert_eq!(node.status("/healthz").await, 200);
}
