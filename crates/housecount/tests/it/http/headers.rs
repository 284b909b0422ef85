//! `Cache-Control`: no cache keeps an answer, except for the files of the dashboard and the
//! documentation.

use housecount_test::timed_test;
use serde_json::json;

use super::{FAST, ask, exchange, get};
use crate::support::node::Node;
use crate::support::sse::Events;

const BEAT: &str = r#"{"stage":"s","viewer":"ann"}"#;

#[timed_test(flavor = "multi_thread")]
async fn no_cache_keeps_an_answer() {
    let node = Node::ready(&[&FAST[..], &["cors.origins=https://a.example"]].concat()).await;
    node.beat("s", "ann").await;
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
    for (method, path, headers, body, status) in [
        ("GET", "/v1/stats", &[][..], "", 200),
        ("HEAD", "/v1/stats", &[], "", 200),
        ("GET", "/v1/stages", &[], "", 200),
        ("GET", "/v1/stages/s", &[], "", 200),
        ("GET", "/v1/stages/s/viewers", &[], "", 200),
        ("GET", "/v1/stage/watch?stage=s", &[], "", 200),
        ("GET", "/v1/viewers/ann", &[], "", 200),
        ("GET", "/v1/history", &[], "", 200),
        ("GET", "/v1/cost", &[], "", 200),
        ("GET", "/metrics", &[], "", 200),
        ("GET", "/openapi.json", &[], "", 200),
        ("GET", "/healthz", &[], "", 200),
        ("GET", "/readyz", &[], "", 200),
        ("GET", "/health", &[], "", 200),
        ("GET", "/api/stats", &[], "", 200),
        ("GET", "/api/viewer/list/s", &[], "", 200),
        ("GET", "/docs", &[], "", 308),
        ("POST", "/v1/heartbeat", &[], BEAT, 200),
        ("POST", "/v1/heartbeats", &[], "[]", 200),
        ("POST", "/v1/leave", &[], BEAT, 204),
        ("POST", "/v1/heartbeat", &[], "{}", 400),
        ("GET", "/v1/stats?x=1", &[], "", 400),
        ("GET", "/v1/stats", &[("origin", "https://b.example")], "", 401),
        ("GET", "/v1/stages/unknown", &[], "", 404),
        ("GET", "/v1/nothing", &[], "", 404),
        ("GET", "/assets/nothing.js", &[], "", 404),
        ("GET", "/docs/nothing.js", &[], "", 404),
        ("GET", "/v1/stages/%zz", &[], "", 400),
        ("GET", "/v1/heartbeat", &[], "", 405),
        ("GET", "/v1/ws", &[], "", 426),
        ("OPTIONS", "/v1/heartbeat", &preflight, "", 204),
        ("OPTIONS", "/", &[], "", 204),
    ] {
        let answer = ask(&node, method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        let count = answer.headers.iter().filter(|(name, _)| name == "cache-control").count();
        assert_eq!(count, 1, "{method} {path}");
    }
    let events = Events::open(&node.address, "/v1/live?stage=s", None).await;
    assert_eq!(events.headers["cache-control"], "no-store");
}

/// The refusal of an address over its limit has `no-store`, too.
#[timed_test(flavor = "multi_thread")]
async fn nor_a_refusal() {
    let limits = ["limits.address_per_second=1", "limits.address_burst=40"];
    let node = Node::ready(&[&FAST[..], &limits].concat()).await;
    let refused =
        (0..60).map(|_| get(&node, "/v1/stats")).find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    // A balancer's check is still answered, and so are the other probes.
    assert_eq!(get(&node, "/healthz").status, 200);
    assert_eq!(ask(&node, "OPTIONS", "/", &[], "").status, 204);
    assert_eq!(exchange(&node, "OPTIONS * HTTP/1.0\r\n\r\n").status, 204);
}

/// Assets are requested each time, and answered 304 while they are the same.
#[timed_test(flavor = "multi_thread")]
async fn assets_are_checked_by_their_tag() {
    let node = Node::ready(&FAST).await;
    for path in ["/", "/docs/"] {
        let answer = get(&node, path);
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-cache")),
            "{path}"
        );
    }
    let page = get(&node, "/");
    let tag = page.header("etag").unwrap();
    let again = ask(&node, "GET", "/", &[("if-none-match", tag)], "");
    assert_eq!((again.status, again.header("cache-control")), (304, Some("no-cache")));
    assert_eq!(json!(again.body), json!(""));
}
