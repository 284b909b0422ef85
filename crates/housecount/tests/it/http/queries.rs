//! Query parameters of `/v1`. Unknown and repeated ones are refused by name.

use housecount_test::timed_test;
use serde_json::json;

use super::{FAST, ask, get, operations};
use crate::support::node::Node;

fn refused(answer: &super::Answer, named: &str, hint: &str) {
    let (code, detail) = answer.problem();
    assert_eq!((answer.status, &*code), (400, "invalid_query"), "{}", answer.body);
    assert!(
        detail.contains(named) && detail.contains(hint),
        "{detail:?} does not name {named:?} and {hint:?}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn every_call_refuses_what_its_document_does_not_name() {
    let node = Node::ready(&FAST).await;
    let api = node.get("/openapi.json").await;
    for (path, operations) in
        api["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/v1/"))
    {
        for (method, operation) in operations.as_object().unwrap() {
            let answer = &operation["responses"]["400"]["content"]["application/problem+json"];
            assert!(answer.is_object(), "{method} {path} does not describe 400");
        }
    }
    for (method, path, names) in operations(&node).await {
        // Far from every name, so that none is suggested.
        let answer = ask(&node, &method, &format!("{path}?wwwwwwww=1"), &[], "");
        refused(&answer, "`wwwwwwww`", names.first().map_or("it has no parameters", |name| name));
        for name in names {
            let answer = ask(&node, &method, &format!("{path}?{name}=&{name}[]=1"), &[], "");
            refused(&answer, &format!("`{name}[]`"), &format!("did you mean `{name}`?"));
        }
    }
}

/// Each of these was answered 200 before, with another result than the caller meant.
#[timed_test(flavor = "multi_thread")]
async fn a_misspelt_parameter_is_named_with_the_nearest_one() {
    let node = Node::ready(&FAST).await;
    for (path, named, hint) in [
        (
            "/v1/live?stage[]=a",
            "`stage[]`",
            "did you mean `stage`? Repeat it for several: stage=A&stage=B",
        ),
        ("/v1/live?stage%5B%5D=a&stage%5B%5D=b", "`stage[]`", "did you mean `stage`?"),
        ("/v1/live?stages=a", "`stages`", "did you mean `stage`?"),
        ("/v1/live?stage=a&total=true", "`total`", "did you mean `totals`?"),
        ("/v1/live?stage=a&totals=1", "totals=1", "true or false"),
        ("/v1/watch?start=2026-11-01&end=2026-12-01", "`start`", "from, to, step, limit, cursor"),
        ("/v1/stages/s/watch?From=2026-11-01", "`From`", "did you mean `from`?"),
        ("/v1/stages/s/history?setp=5m", "`setp`", "did you mean `step`?"),
        ("/v1/history?limit=5", "`limit`", "from, to, step"),
        ("/v1/stages?Limit=5", "`Limit`", "did you mean `limit`?"),
        ("/v1/stages/s/viewers?limit=5&offset=10", "`offset`", "limit, cursor"),
        ("/v1/stages/s/snapshots?form=2026-11-01", "`form`", "did you mean `from`?"),
        ("/v1/viewers/v/watch?interval=true", "`interval`", "did you mean `intervals`?"),
        ("/v1/stats?stage=s", "`stage`", "its parameters are by"),
        ("/v1/cost?month=1", "`month`", "it has no parameters"),
        ("/v1/stages/s?verbose", "`verbose`", "its parameters are by"),
        ("/v1/ws?tokn=x", "`tokn`", "did you mean `token`?"),
        ("/v1/stages?limit=5&cursor=%zz", "percent-encoding", "byte 15"),
        ("/v1/stages?cursor=%ff", "UTF-8", ""),
    ] {
        refused(&get(&node, path), named, hint);
    }
    let beat = json!({ "stage": "s", "viewer": "ann" }).to_string();
    for path in ["/v1/heartbeat?token=x", "/v1/leave?session=1", "/v1/heartbeats?stage=s"] {
        refused(
            &ask(&node, "POST", path, &[], &beat),
            "is not a query parameter",
            "it has no parameters",
        );
    }
    assert_eq!(node.stats().await["viewers"], 0, "a refused request counts no viewer");
    for path in ["/v1/stats?", "/v1/stages?&", "/v1/stages?limit=5&"] {
        assert_eq!(get(&node, path).status, 200, "{path}");
    }
    assert_eq!(ask(&node, "POST", "/v1/heartbeat?", &[], &beat).status, 200);
    assert_eq!(ask(&node, "HEAD", "/v1/stats?x=1", &[], "").status, 400);
}

#[timed_test(flavor = "multi_thread")]
async fn a_parameter_that_is_given_twice_is_refused() {
    let node = Node::ready(&FAST).await;
    for (path, named) in [
        ("/v1/live?totals=true&totals=false", "`totals` is given more than once"),
        ("/v1/stages?limit=5&limit=6", "`limit` is given more than once"),
        ("/v1/watch?from=2026-11-01&from=2026-10-01", "`from` is given more than once"),
        ("/v1/stage?stage=a&stage=b", "`stage` is given more than once"),
        ("/v1/viewer?viewer=a&viewer=b", "`viewer` is given more than once"),
    ] {
        refused(&get(&node, path), named, "send it once");
    }
}

/// The drop-in API, pages and probes are called by programs that were not made for housecount.
#[timed_test(flavor = "multi_thread")]
async fn outside_v1_unknown_parameters_are_ignored() {
    let node = Node::ready(&FAST).await;
    for path in [
        "/?utm_source=mail",
        "/assets/app.js?v=2",
        "/docs/?x=1",
        "/openapi.json?x=1",
        "/healthz?x=1",
        "/readyz?x=1",
        "/metrics?name[]=x",
        "/health?x=1",
        "/api/health?x=1",
        "/api/stats?_=1795948578",
        "/api/stats/viewers?x=1",
        "/api/viewer/list/s?x=1",
    ] {
        let answer = get(&node, path);
        assert!(matches!(answer.status, 200 | 404), "{path}: {} {}", answer.status, answer.body);
        assert_ne!(answer.problem().0, "invalid_query", "{path}");
    }
}

/// A call without a key learns nothing, and a player's page can read the error.
#[timed_test(flavor = "multi_thread")]
async fn keys_are_asked_for_first_and_players_pages_read_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    std::fs::write(&keys, "# none yet\n").unwrap();
    let setting = format!("auth.operator_keys={}", keys.display());
    let node = Node::ready(&[&FAST[..], &[&setting]].concat()).await;
    assert_eq!(get(&node, "/v1/stats?x=1").status, 401);
    let page = [("origin", "https://fans.example")];
    let answer = ask(&node, "GET", "/v1/live?stage[]=a", &page, "");
    refused(&answer, "`stage[]`", "did you mean");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}
