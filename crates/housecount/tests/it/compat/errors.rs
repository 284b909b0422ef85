//! Every error in the shape of the drop-in API, whichever part of the node made it.

use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_core::limits::{BEAT_BODY_BYTES_MAX, DROP_IN_DAYS_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{bad, get, good, post};
use crate::auth::raw::ask;
use crate::support::free_port;
use crate::support::node::Node;

async fn plain() -> Node {
    Node::ready(&["log=memory:", "cold=none", "limits.session_beats=0"]).await
}

#[timed_test(flavor = "multi_thread")]
async fn missing_fields_are_named() {
    let node = plain().await;
    let all = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    for (path, field) in [
        ("rejoin", "userId"),
        ("rejoin", "stageArn"),
        ("rejoin", "participantId"),
        ("heartbeat", "userId"),
        ("heartbeat", "stageArn"),
        ("leave", "userId"),
        ("leave", "stageArn"),
    ] {
        for without in [Some(Value::Null), Some(json!("")), None] {
            let mut body = all.clone();
            match without {
                Some(without) => body[field] = without,
                None => drop(body.as_object_mut().unwrap().remove(field)),
            }
            let (message, details) = bad(post(&node, path, body).await, 400, "VALIDATION_ERROR");
            assert!(message.contains(field), "{path} without {field}: {message}");
            assert_eq!(details, json!({ "missingFields": [field] }), "{path}");
        }
    }
    let every = json!({ "missingFields": ["userId", "stageArn", "participantId"] });
    assert_eq!(bad(post(&node, "rejoin", json!({})).await, 400, "VALIDATION_ERROR").1, every);
    let both = json!({ "missingFields": ["userId", "stageArn"] });
    assert_eq!(bad(post(&node, "heartbeat", json!({})).await, 400, "VALIDATION_ERROR").1, both);
    let asked = node.call(Method::GET, "/api/viewer/duration?userId=", Value::Null).await;
    assert_eq!(bad(asked, 400, "VALIDATION_ERROR").1, both);
}

#[timed_test(flavor = "multi_thread")]
async fn wrong_fields_are_named() {
    let node = plain().await;
    let all = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    let wrong = [
        json!(9_007_199_254_740_993_u64),
        json!(1e300),
        json!(1.5),
        json!(true),
        json!(["a"]),
        json!({ "a": 1 }),
        json!("a\nb"),
        json!("x".repeat(257)),
    ];
    for field in ["userId", "stageArn", "participantId"] {
        for value in &wrong {
            for path in ["rejoin", "heartbeat", "leave"] {
                let mut body = all.clone();
                body[field] = value.clone();
                let (message, details) =
                    bad(post(&node, path, body).await, 400, "VALIDATION_ERROR");
                assert!(message.contains(field), "{message}");
                assert_eq!(details, json!({ "invalidFields": [field] }), "{path} {value}");
            }
        }
    }
    for body in [json!([1]), json!("x"), json!(7)] {
        bad(post(&node, "rejoin", body).await, 400, "VALIDATION_ERROR");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn wrong_questions_are_refused() {
    let node = plain().await;
    for (path, status, code) in [
        ("/api/viewer/duration?userId=ann&stageArn=s&from=never", 400, "VALIDATION_ERROR"),
        ("/api/viewer/duration?userId=ann&stageArn=s", 501, "NOT_IMPLEMENTED"),
        ("/api/viewer/history/ann", 501, "NOT_IMPLEMENTED"),
        ("/api/viewer/stats/s", 501, "NOT_IMPLEMENTED"),
        ("/api/viewer/list/a%20b", 400, "VALIDATION_ERROR"),
        ("/api/viewer/list/a%zz", 400, "VALIDATION_ERROR"),
        ("/api/viewer/history/a%0Ab", 400, "VALIDATION_ERROR"),
        ("/api/stats/stages?arn=a%20b", 400, "VALIDATION_ERROR"),
    ] {
        bad(node.call(Method::GET, path, Value::Null).await, status, code);
    }
    let beyond = (DROP_IN_DAYS_MAX + 1).to_string();
    for (name, path, wrong) in [
        ("limit", "/api/viewer/history/ann", ["0", "1001", "-1", "x"]),
        ("days", "/api/viewer/history/ann", ["0", &beyond, "-1", "x"]),
        ("days", "/api/viewer/stats/s", ["0", &beyond, "1.5", ""]),
    ] {
        for value in wrong {
            let asked =
                node.call(Method::GET, &format!("{path}?{name}={value}"), Value::Null).await;
            let (message, _) = bad(asked, 400, "VALIDATION_ERROR");
            assert!(message.contains(name), "{message}");
        }
    }
    let longest = format!("/api/viewer/stats/s?days={DROP_IN_DAYS_MAX}");
    bad(node.call(Method::GET, &longest, Value::Null).await, 501, "NOT_IMPLEMENTED");
}

/// Errors that no handler of this API makes: unknown paths, other methods, large bodies, other
/// types.
#[timed_test(flavor = "multi_thread")]
async fn what_no_handler_has_made_has_the_shape_too() {
    let node = plain().await;
    for path in [
        "/api",
        "/api/",
        "/api/none",
        "/api/viewer",
        "/api/viewer/list",
        "/api/viewer/list/a/b",
        "/health/x",
        "/ws/x",
    ] {
        let (message, _) = bad(node.call(Method::GET, path, Value::Null).await, 404, "NOT_FOUND");
        assert!(message.contains(path), "{message}");
    }
    for (method, path) in [
        (Method::GET, "/api/viewer/rejoin"),
        (Method::DELETE, "/api/viewer/heartbeat"),
        (Method::PUT, "/api/stats"),
        (Method::POST, "/health"),
        (Method::POST, "/api/health"),
        (Method::OPTIONS, "/api/viewer/list/s"),
    ] {
        bad(node.call(method, path, Value::Null).await, 405, "METHOD_NOT_ALLOWED");
    }
    let large =
        json!({ "userId": "x".repeat(BEAT_BODY_BYTES_MAX), "stageArn": "s", "participantId": "p" });
    let (_, answer) = ask(&node, "POST /api/viewer/rejoin", &[], &large.to_string());
    bad(answer, 413, "PAYLOAD_TOO_LARGE");
    let form = ["content-type: application/x-www-form-urlencoded".to_string()];
    let (_, answer) = ask(&node, "POST /api/viewer/heartbeat", &form, "userId=ann");
    bad(answer, 415, "UNSUPPORTED_MEDIA_TYPE");
    let (_, answer) = ask(&node, "POST /api/viewer/heartbeat", &[], "{");
    bad(answer, 400, "VALIDATION_ERROR");
    let (head, answer) = ask(&node, "GET /ws", &[], "");
    bad(answer, 426, "UPGRADE_REQUIRED");
    assert!(head.to_lowercase().contains("upgrade: websocket"), "{head}");
    // Other APIs keep their own shape.
    let (_, problem) = node.call(Method::GET, "/v1/none", Value::Null).await;
    assert_eq!((&problem["code"], &problem["success"]), (&json!("not_found"), &Value::Null));
}

#[timed_test(flavor = "multi_thread")]
async fn keys_and_scopes() {
    let file = NamedTempFile::new().unwrap();
    let (beats, beats_entry) = new_key("beats", &[Scope::Beats]);
    let (read, read_entry) = new_key("read", &[Scope::Read]);
    std::fs::write(file.path(), format!("{beats_entry}\n{read_entry}")).unwrap();
    let node =
        Node::ready(&["log=memory:", &format!("auth.operator_keys={}", file.path().display())])
            .await;
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" }).to_string();
    let key = |key: &str| vec![format!("x-api-key: {key}")];
    for (line, body, right, wrong) in [
        ("POST /api/viewer/rejoin", &*ann, &beats, &read),
        ("POST /api/viewer/heartbeat", &ann, &beats, &read),
        ("POST /api/viewer/leave", &ann, &beats, &read),
        ("GET /api/viewer/list/s", "", &read, &beats),
        ("GET /api/viewer/duration?userId=ann&stageArn=s", "", &read, &beats),
        ("GET /api/viewer/history/ann", "", &read, &beats),
        ("GET /api/viewer/stats/s", "", &read, &beats),
        ("GET /api/stats", "", &read, &beats),
        ("GET /api/stats/viewers", "", &read, &beats),
        ("GET /api/stats/stages", "", &read, &beats),
    ] {
        let (head, answer) = ask(&node, line, &[], body);
        bad(answer, 401, "UNAUTHORIZED");
        assert!(head.to_lowercase().contains("www-authenticate: bearer"), "{head}");
        bad(ask(&node, line, &key("hck_x"), body).1, 401, "UNAUTHORIZED");
        bad(ask(&node, line, &key(wrong), body).1, 403, "FORBIDDEN");
        good(ask(&node, line, &key(right), body).1);
    }
    bad(ask(&node, "GET /ws", &[], "").1, 401, "UNAUTHORIZED");
    bad(ask(&node, "GET /ws", &key(&beats), "").1, 403, "FORBIDDEN");
    for path in ["/health", "/api/health"] {
        good(ask(&node, &format!("GET {path}"), &[], "").1);
    }
}

/// Without keys, operators' calls are for this machine only, and health is for all.
#[timed_test(flavor = "multi_thread")]
async fn without_keys_only_players_calls_and_health_are_open() {
    let node = plain().await;
    let proxied = ["x-forwarded-for: 203.0.113.7".to_string()];
    for path in [
        "/api/viewer/list/s",
        "/api/viewer/history/ann",
        "/api/viewer/stats/s",
        "/api/stats",
        "/api/stats/viewers",
        "/api/stats/stages",
        "/ws",
    ] {
        let (message, _) =
            bad(ask(&node, &format!("GET {path}"), &proxied, "").1, 401, "UNAUTHORIZED");
        assert!(message.contains("set auth.operator_keys"), "{message}");
    }
    for path in ["/health", "/api/health"] {
        good(ask(&node, &format!("GET {path}"), &proxied, "").1);
    }
}

/// An address that sends too much gets this shape, also when it is refused before any route. Health
/// may always be asked.
#[timed_test(flavor = "multi_thread")]
async fn too_much_is_answered_in_the_shape() {
    let node = Node::ready(&[
        "log=memory:",
        "cold=none",
        "limits.address_per_second=1",
        "limits.address_burst=40",
    ])
    .await;
    let mut answers = Vec::new();
    for _ in 0..80 {
        let (head, answer) = ask(&node, "GET /api/stats", &[], "");
        if answer.0 != 200 {
            assert!(head.to_lowercase().contains("retry-after: "), "{head}");
            answers.push(answer);
        }
    }
    assert!(!answers.is_empty());
    answers.into_iter().for_each(|answer| drop(bad(answer, 429, "RATE_LIMITED")));
    for path in ["/health", "/api/health"] {
        good(node.call(Method::GET, path, Value::Null).await);
    }
    let node = Node::ready(&["log=memory:", "cold=none", "limits.session_beats=1"]).await;
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    good(post(&node, "rejoin", ann.clone()).await);
    // Every heartbeat is answered, whatever their number; leaves are not.
    let mut last = post(&node, "leave", ann.clone()).await;
    for _ in 0..100 {
        if last.0 != 200 {
            break;
        }
        last = post(&node, "leave", ann.clone()).await;
    }
    bad(last, 429, "RATE_LIMITED");
}

#[timed_test(flavor = "multi_thread")]
async fn a_node_that_is_ready_is_healthy() {
    let node = plain().await;
    for path in ["/health", "/api/health"] {
        let mut health = get(&node, path).await;
        assert!(health["uptime"].take().as_f64() > Some(0.0));
        let expected = json!({
            "status": "healthy", "uptime": null, "version": env!("CARGO_PKG_VERSION"),
            "services": { "redis": "connected" }
        });
        assert_eq!(health, expected);
    }
}

/// No Redis listens at the address of this node's log.
#[timed_test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_log_is_not() {
    let node = Node::start(&[&format!("log=redis://127.0.0.1:{}", free_port()), "cold=none"]);
    for path in ["/health", "/api/health"] {
        let (_, details) =
            bad(node.call(Method::GET, path, Value::Null).await, 503, "SERVICE_UNAVAILABLE");
        assert_eq!(details, json!({ "services": { "redis": "disconnected" } }));
    }
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    bad(post(&node, "rejoin", ann).await, 503, "SERVICE_UNAVAILABLE");
}

/// A stage that is not open is answered as not found.
#[timed_test(flavor = "multi_thread")]
async fn a_stage_that_is_not_open_is_not_found() {
    let node = Node::ready(&["stages.auto=false"]).await;
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    bad(post(&node, "rejoin", ann.clone()).await, 404, "NOT_FOUND");
    assert_eq!(node.call(Method::POST, "/v1/stages", json!({ "stage": "s" })).await.0, 201);
    good(post(&node, "rejoin", ann).await);
}
