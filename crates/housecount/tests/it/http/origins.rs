//! Pages that may read answers: patterns of origins, and what a preflight allows.

use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_test::timed_test;

use super::{Answer, FAST, ask};
use crate::support::node::{Node, housecount};

fn preflight(node: &Node, path: &str, origin: &str, wanted: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", wanted),
    ];
    ask(node, "OPTIONS", path, &headers, "")
}

#[timed_test(flavor = "multi_thread")]
async fn pages_of_apps_and_of_all_hosts_below_a_domain_may_call() {
    let origins = "cors.origins=https://*.example.org,capacitor://localhost,ionic://localhost,null,http://localhost:3000";
    let node = Node::ready(&[&FAST[..], &[origins]].concat()).await;
    for (origin, is_allowed) in [
        ("https://www.example.org", true),
        ("https://pr-12.preview.example.org", true),
        ("capacitor://localhost", true),
        ("ionic://localhost", true),
        ("null", true),
        ("http://localhost:3000", true),
        ("https://example.org", false),
        ("http://www.example.org", false),
        ("https://www.example.org:8443", false),
        ("https://www.example.org.evil.example", false),
        ("https://evilexample.org", false),
        ("https://localhost", false),
        ("http://localhost", false),
        ("*", false),
        ("https://*.example.org", false),
    ] {
        let expected = is_allowed.then_some(origin);
        let body = r#"{"stage":"s","viewer":"ann"}"#;
        let answer = ask(&node, "POST", "/v1/heartbeat", &[("origin", origin)], body);
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(answer.header("vary"), Some("origin"), "{origin}");
        let answer = preflight(&node, "/v1/heartbeat", origin, "content-type");
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(answer.status == 204, is_allowed, "{origin}");
    }
}

/// `null` is the origin of any site's sandboxed frame. It may be allowed to read an operator's
/// answers, but a node without keys doesn't answer it.
#[timed_test(flavor = "multi_thread")]
async fn null_is_no_site_that_a_node_without_keys_knows() {
    let origins = "cors.operator_origins=null,https://*.ops.example";
    let node = Node::ready(&[&FAST[..], &[origins]].concat()).await;
    for (origin, status) in [
        ("null", 401),
        ("https://a.ops.example", 200),
        ("https://ops.example", 401),
        ("https://a.ops.example.evil.example", 401),
    ] {
        let answer = ask(&node, "GET", "/v1/stats", &[("origin", origin)], "");
        assert_eq!(answer.status, status, "{origin}: {}", answer.body);
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_preflight_allows_tracing_headers() {
    let node = Node::ready(&FAST).await;
    let wanted = "content-type,content-encoding,traceparent,tracestate,baggage,sentry-trace,authorization,x-api-key,last-event-id";
    for path in ["/v1/heartbeat", "/v1/leave", "/v1/live?stage=s", "/api/viewer/rejoin"] {
        let answer = preflight(&node, path, "https://fans.example", wanted);
        assert_eq!(answer.status, 204, "{path}");
        let allowed = answer.header("access-control-allow-headers").unwrap();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        let missing: Vec<_> = wanted.split(',').filter(|name| !allowed.contains(name)).collect();
        assert!(missing.is_empty(), "{path}: {missing:?} are not in {allowed:?}");
    }
}

/// The table of docs/IVS.md, on a node with keys. Preflight and answer allow the front-end's
/// origin, and the key opens the calls of its scopes.
#[timed_test(flavor = "multi_thread")]
async fn a_drop_in_front_end_on_another_origin_has_what_it_needs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (key, entry) = new_key("studio", &[Scope::Read, Scope::Beats]);
    std::fs::write(file.path(), entry).unwrap();
    let keys = format!("auth.operator_keys={}", file.path().display());
    let origin = "https://studio.example.org";
    let sites = format!("cors.operator_origins={origin}");
    let node = Node::ready(&[&FAST[..], &[&keys, &sites]].concat()).await;
    let body = r#"{"userId":"ann","stageArn":"s","participantId":"p"}"#;
    for (method, path, body, any_origin) in [
        ("POST", "/api/viewer/rejoin", body, true),
        ("POST", "/api/viewer/heartbeat", body, true),
        ("GET", "/api/health", "", true),
        ("GET", "/api/viewer/list/s", "", false),
        ("GET", "/api/viewer/duration?userId=ann&stageArn=s", "", false),
        ("GET", "/api/viewer/history/ann", "", false),
        ("GET", "/api/stats", "", false),
        ("POST", "/api/viewer/leave", body, true),
    ] {
        let asked = preflight(&node, path, origin, "content-type,x-api-key");
        let allowed = if any_origin { "*" } else { origin };
        assert_eq!(asked.header("access-control-allow-origin"), Some(allowed), "{path}");
        assert!(
            asked.header("access-control-allow-headers").unwrap().contains("x-api-key"),
            "{path}"
        );
        let headers = [("origin", origin), ("content-type", "application/json")];
        let with_key = [&headers[..], &[("x-api-key", &key)]].concat();
        let answer = ask(&node, method, path, &with_key, body);
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, Some(allowed)),
            "{path}"
        );
        let status = if path.ends_with("health") { 200 } else { 401 };
        assert_eq!(
            ask(&node, method, path, &headers, body).status,
            status,
            "{path} without the key"
        );
    }
    let elsewhere = preflight(&node, "/api/stats", "https://other.example", "x-api-key");
    assert_eq!(elsewhere.header("access-control-allow-origin"), None);
}

#[test]
fn a_pattern_that_no_page_can_match_stops_the_start() {
    for (origins, part) in [
        ("https://a.*.example.org", "`https://a.*.example.org` can't match any page"),
        ("https://*", "can't match any page"),
        ("*.example.org", "write a scheme and a host"),
        ("https://a.example, https://*example.org", "`https://*example.org` can't match any page"),
        ("https://a.example/", "without a path"),
        ("https://a.example:443", "browsers leave out :443"),
        ("https://A.example", "lower case"),
    ] {
        for name in ["cors.origins", "cors.operator_origins"] {
            let output = housecount()
                .args(["serve", "--listen", "127.0.0.1:0", "--log", "memory:", "--cold", "none"])
                .args(["--set", &format!("{name}={origins}")])
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{origins}: {error}");
            assert!(error.contains(name) && error.contains(part), "{origins}: {error}");
            assert_eq!(error.trim().lines().count(), 1, "{error}");
        }
    }
}
