//! A node without operator keys. It answers operators' calls of this machine only, asked directly,
//! and only with bodies that are declared as JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use housecount_test::timed_test;
use serde_json::Value;

use super::node;
use crate::support::node::Node;

const BEAT: &str = r#"{"stage":"s","viewer":"ann"}"#;
const TO_PLAYER: &str = r#"{"userId":"ann","stageArn":"s","participantId":"p"}"#;

/// Status and problem of an answer. The body is read for errors only, since a stream has no end.
fn ask(node: &Node, line: &str, headers: &[String], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(node.address.trim_start_matches("http://")).unwrap();
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    stream
        .write_all(format!("{line}\r\n{headers}{length}connection: close\r\n\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = BufReader::new(stream);
    let mut first = String::new();
    answer.read_line(&mut first).unwrap();
    let status =
        first.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut rest = String::new();
    if status >= 400 {
        answer.read_to_string(&mut rest).unwrap();
    }
    (status, rest)
}

fn log_messages(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

/// HTTP versions and headers of indirect requests. They come from a page of another site, through a
/// proxy, or by a foreign name that leads to this node.
fn indirect(host: &str) -> Vec<(&'static str, Vec<String>)> {
    let here = format!("host: {host}");
    let with = |more: &str| log_messages(&[&here, more]);
    vec![
        ("HTTP/1.1", log_messages(&["host: evil.example"])),
        ("HTTP/1.1", log_messages(&["host: localhost.evil.example:7400"])),
        ("HTTP/1.1", log_messages(&["host: "])),
        ("HTTP/1.0", log_messages(&[&here])),
        ("HTTP/1.1", with("x-forwarded-for: 203.0.113.7")),
        ("HTTP/1.1", with("X-Forwarded-For: 127.0.0.1")),
        ("HTTP/1.1", with("forwarded: for=203.0.113.7")),
        ("HTTP/1.1", with("via: 1.1 proxy")),
        ("HTTP/1.1", with("x-forwarded-for:")),
        ("HTTP/1.1", with("x-real-ip: 203.0.113.7")),
        ("HTTP/1.1", with("x-forwarded-proto: https")),
        ("HTTP/1.1", with("origin: https://evil.example")),
        ("HTTP/1.1", with("origin: http://127.0.0.1:1")),
        ("HTTP/1.1", with("origin: null")),
        ("HTTP/1.1", with(&format!("origin: http://{host}\r\norigin: https://evil.example"))),
    ]
}

/// Every operator's route of /openapi.json, and live counts of all stages.
async fn operators_routes(node: &Node) -> Vec<(String, &'static str)> {
    let api = node.get("/openapi.json").await;
    let mut lines = vec![
        ("GET /v1/live".to_string(), ""),
        ("GET /v1/live?token=x".to_string(), ""),
        ("GET /v1/live?stage=s&totals=true".to_string(), ""),
        ("GET /v1/live?t%6ftals=true&stage=s".to_string(), ""),
    ];
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            let scope = security
                .iter()
                .find_map(|each| each["operatorKey"][0].as_str().map(str::to_string));
            if !matches!(scope.as_deref(), None | Some("beats")) {
                let path = path
                    .replace("{stage}", "s")
                    .replace("{stageArn}", "s")
                    .replace("{viewer}", "v");
                let path = path.replace("{userId}", "v");
                let body =
                    if method == "post" && path == "/v1/stages" { r#"{"stage":"s"}"# } else { "" };
                lines.push((format!("{} {path}", method.to_uppercase()), body));
            }
        }
    }
    assert!(lines.len() >= 20, "{lines:?}");
    lines
}

#[timed_test(flavor = "multi_thread")]
async fn operators_calls_are_answered_to_this_machine_asked_directly() {
    let node = node(&[]).await;
    let host = node.address.trim_start_matches("http://").to_string();
    let port = host.rsplit(':').next().unwrap();
    for (line, body) in operators_routes(&node).await {
        let json = "content-type: application/json".to_string();
        for (version, mut headers) in indirect(&host) {
            headers.push(json.clone());
            let (status, answer) = ask(&node, &format!("{line} {version}"), &headers, body);
            assert_eq!(status, 401, "{line} {version} {headers:?}: {answer}");
            assert!(answer.contains("set auth.operator_keys"), "{answer}");
            assert!(answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
        }
        for named in [
            log_messages(&[&format!("host: {host}")]),
            log_messages(&[&format!("host: localhost:{port}")]),
            log_messages(&["host: LOCALHOST"]),
            log_messages(&[&format!("host: [::1]:{port}")]),
            log_messages(&[&format!("host: {host}"), &format!("origin: http://{host}")]),
            log_messages(&[
                &format!("host: localhost:{port}"),
                &format!("origin: http://localhost:{port}"),
            ]),
        ] {
            let headers = [named, vec![json.clone()]].concat();
            let (status, answer) = ask(&node, &format!("{line} HTTP/1.1"), &headers, body);
            assert!(![0, 401, 403, 415].contains(&status), "{line} {headers:?}: {status} {answer}");
        }
    }
    assert!(node.viewers("s").await == 0);
}

/// Players' calls are answered from any page and through any proxy.
#[timed_test(flavor = "multi_thread")]
async fn players_calls_are_answered_to_all() {
    let node = node(&["limits.session_beats=0"]).await;
    let host = node.address.trim_start_matches("http://").to_string();
    for (version, headers) in indirect(&host) {
        for (line, body) in [
            ("POST /v1/heartbeat", BEAT),
            ("POST /v1/leave", BEAT),
            ("POST /api/viewer/rejoin", TO_PLAYER),
            ("POST /api/viewer/heartbeat", TO_PLAYER),
            ("POST /api/viewer/leave", TO_PLAYER),
            ("GET /v1/live?stage=s", ""),
            ("GET /healthz", ""),
            ("GET /readyz", ""),
            ("GET /health", ""),
            ("GET /api/health", ""),
            ("GET /openapi.json", ""),
        ] {
            let headers = [headers.clone(), log_messages(&["content-type: text/plain"])].concat();
            let (status, answer) = ask(&node, &format!("{line} {version}"), &headers, body);
            assert!([200, 204].contains(&status), "{line} {headers:?}: {status} {answer}");
        }
    }
}

/// In a container the peer is a network bridge, and the name is the machine's. Pages of other sites
/// are still refused.
#[timed_test(flavor = "multi_thread")]
async fn an_insecure_node_refuses_other_sites_pages_only() {
    let node = node(&["insecure=true", "cors.operator_origins=https://ops.example"]).await;
    for (is_taken, headers) in [
        (true, log_messages(&["host: box.example"])),
        (
            true,
            log_messages(&["host: box.example", "x-forwarded-for: 203.0.113.7", "via: 1.1 proxy"]),
        ),
        (true, log_messages(&["host: box.example", "origin: https://box.example"])),
        (true, log_messages(&["host: box.example", "origin: https://ops.example"])),
        (false, log_messages(&["host: box.example", "origin: https://evil.example"])),
        (false, log_messages(&["host: box.example", "origin: http://box.example:3000"])),
        (false, log_messages(&["host: box.example", "origin: null"])),
    ] {
        for line in [
            "GET /v1/stats",
            "GET /v1/live",
            "GET /metrics",
            "POST /v1/admin/restore",
            "GET /api/stats",
        ] {
            let (status, answer) = ask(&node, &format!("{line} HTTP/1.1"), &headers, "");
            assert_eq!(status != 401, is_taken, "{line} {headers:?}: {status} {answer}");
        }
    }
    let text = log_messages(&["host: box.example", "content-type: text/plain"]);
    assert_eq!(ask(&node, "POST /v1/stages HTTP/1.1", &text, r#"{"stage":"s"}"#).0, 415);
}

/// Pages of other sites can send text, forms, and bodies without a type. Before they send JSON,
/// browsers ask the node.
#[timed_test(flavor = "multi_thread")]
async fn what_operators_send_says_that_it_is_json() {
    let node = Node::ready(&["log=memory:"]).await;
    let new = r#"{"stage":"s"}"#;
    let post = |line: &str, kind: Option<&str>, body: &str| {
        let kind = kind.map(|kind| format!("content-type: {kind}"));
        let headers: Vec<String> =
            [Some("host: localhost".to_string()), kind].into_iter().flatten().collect();
        ask(&node, &format!("{line} HTTP/1.1"), &headers, body)
    };
    for kind in [
        None,
        Some("text/plain"),
        Some("text/plain;charset=UTF-8"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=application/json"),
        Some("text/plain; application/json"),
        Some("application/jsonp"),
        Some(""),
    ] {
        for line in [
            "POST /v1/stages",
            "PATCH /v1/stages/s",
            "POST /v1/admin/snapshot",
            "POST /v1/admin/restore",
        ] {
            let (status, answer) = post(line, kind, new);
            assert_eq!(status, 415, "{line} {kind:?}: {answer}");
            assert!(
                answer.contains("unsupported_media_type") && answer.contains("application/json"),
                "{answer}"
            );
        }
    }
    let (_, stages) = node.call(hyper::Method::GET, "/v1/stages", Value::Null).await;
    assert_eq!(stages["stages"], Value::Array(vec![]));
    assert_eq!(post("POST /v1/stages", Some("Application/JSON; charset=utf-8"), new).0, 201);
    assert_eq!(post("PATCH /v1/stages/s", Some("application/json"), r#"{"name":"x"}"#).0, 200);
    // An empty body needs no content type.
    for kind in [None, Some("text/plain")] {
        assert_eq!(post("POST /v1/admin/snapshot", kind, "").0, 200);
        assert_eq!(post("POST /v1/stages", kind, "").0, 400);
    }
}

/// A page can make any number of calls, but the operator gets one line in the log.
#[timed_test(flavor = "multi_thread")]
async fn refusals_are_one_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let node = Node::start_logging(log, &["log=memory:", "cold=none", "log_level=info"]);
    node.until_ready().await;
    let host = node.address.trim_start_matches("http://").to_string();
    for (version, headers) in indirect(&host) {
        assert_eq!(ask(&node, &format!("GET /v1/stats?opensesame {version}"), &headers, "").0, 401);
    }
    drop(node);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("operator call rejected")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("set auth.operator_keys") && lines[0].contains("Host"), "{log}");
    assert!(!log.contains("evil.example") && !log.contains("opensesame"), "{log}");
}
