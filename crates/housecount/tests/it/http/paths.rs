//! Paths with ids in them, and the same calls with the ids in the query. The second form is for
//! clients behind proxies that decode `%2F`.

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use super::{ARN, FAST, ask, get, operations};
use crate::support::node::Node;

fn encoded(id: &str) -> String {
    id.replace('/', "%2F")
}

/// Removes the fields that differ from one moment to the next.
fn steady(mut body: Value) -> Value {
    for field in ["asOf", "to", "from", "committedTo", "complete", "recovering"] {
        if let Some(fields) = body.as_object_mut() {
            fields.remove(field);
        }
    }
    body
}

#[timed_test(flavor = "multi_thread")]
async fn both_forms_of_a_call_answer_alike() {
    let node = Node::ready(&FAST).await;
    node.beat(ARN, "a/b").await;
    node.beat(ARN, "a/b").await;
    let (stage, viewer) = (encoded(ARN), encoded("a/b"));
    let range = "from=2026-11-01&to=2026-11-02";
    for (path, by_query) in [
        (format!("/v1/stages/{stage}"), "/v1/stage?stage=STAGE".to_string()),
        (
            format!("/v1/stages/{stage}/viewers?limit=5"),
            "/v1/stage/viewers?limit=5&stage=STAGE".to_string(),
        ),
        (
            format!("/v1/stages/{stage}/history?{range}"),
            format!("/v1/stage/history?stage=STAGE&{range}"),
        ),
        (
            format!("/v1/stages/{stage}/watch?{range}"),
            format!("/v1/stage/watch?stage=STAGE&{range}"),
        ),
        (
            format!("/v1/stages/{stage}/snapshots?{range}"),
            format!("/v1/stage/snapshots?stage=STAGE&{range}"),
        ),
        (format!("/v1/viewers/{viewer}"), "/v1/viewer?viewer=VIEWER".to_string()),
        (
            format!("/v1/viewers/{viewer}/watch?{range}"),
            format!("/v1/viewer/watch?viewer=VIEWER&{range}"),
        ),
    ] {
        let expected = steady(node.get(&path).await);
        // A slash in a query needs no encoding, but may be encoded.
        for (stage, viewer) in [(&stage, &viewer), (&ARN.to_string(), &"a/b".to_string())] {
            let by_query = by_query.replace("STAGE", stage).replace("VIEWER", viewer);
            assert_eq!(steady(node.get(&by_query).await), expected, "{by_query}");
        }
    }
    assert_eq!(node.get(&format!("/v1/stage?stage={ARN}")).await["viewers"], 1);
    let watching = node.get("/v1/viewer?viewer=a/b").await;
    assert_eq!((&watching["online"], &watching["stages"][0]["stage"]), (&json!(true), &json!(ARN)));
}

#[timed_test(flavor = "multi_thread")]
async fn a_stage_is_changed_and_deleted_by_its_query_form() {
    let node = Node::ready(&FAST).await;
    let path = format!("/v1/stage?stage={ARN}");
    let (status, _) = node.call(Method::PATCH, &path, json!({ "name": "x" })).await;
    assert_eq!(status, 404, "the stage is not configured");
    assert_eq!(node.call(Method::POST, "/v1/stages", json!({ "stage": ARN })).await.0, 201);
    let (status, body) = node.call(Method::PATCH, &path, json!({ "name": "The final" })).await;
    assert_eq!((status, &body["name"], &body["stage"]), (200, &json!("The final"), &json!(ARN)));
    assert_eq!(node.get(&format!("/v1/stages/{}", encoded(ARN))).await["name"], "The final");
    let (status, body) = node.call(Method::DELETE, &path, Value::Null).await;
    assert_eq!(
        (status, &body["stage"], body["effectiveFrom"].is_u64()),
        (200, &json!(ARN), true),
        "{body}"
    );
    assert_eq!(node.call(Method::DELETE, &path, Value::Null).await.0, 404);
    assert_eq!(ask(&node, "POST", &path, &[], "").status, 405);
}

#[timed_test(flavor = "multi_thread")]
async fn an_id_that_is_missing_or_bad_is_named() {
    let node = Node::ready(&FAST).await;
    for (path, code, part) in [
        ("/v1/stage", "invalid_stage", "stage is missing; send it as /v1/stage?stage="),
        ("/v1/stage/viewers?limit=5", "invalid_stage", "send it as /v1/stage/viewers?stage="),
        ("/v1/stage?stage=", "invalid_stage", "stage is empty"),
        ("/v1/stage?stage=a%20b", "invalid_stage", "without spaces"),
        ("/v1/stage?stage=a+b", "invalid_stage", "without spaces"),
        ("/v1/stage?stage=a%zz", "invalid_query", "byte 7"),
        ("/v1/stage?stage=%ff", "invalid_query", "UTF-8"),
        ("/v1/viewer", "invalid_viewer", "viewer is missing; send it as /v1/viewer?viewer="),
        ("/v1/viewer?viewer=%0a", "invalid_viewer", "no control characters"),
        // An id in the path must not be in the query as well.
        ("/v1/stages/s?stage=t", "invalid_query", "`stage`"),
        ("/v1/stages/s/viewers?stage=t", "invalid_query", "`stage`"),
    ] {
        let answer = get(&node, path);
        let (found, detail) = answer.problem();
        assert_eq!((answer.status, &*found), (400, code), "{path}: {detail}");
        assert!(detail.contains(part), "{path}: {detail}");
    }
    // Plus signs and ids in other alphabets arrive unchanged.
    let body = node.get("/v1/viewer?viewer=a%2Bb%20%C3%A9").await;
    assert_eq!(body["viewer"], "a+b é");
}

/// The path as a proxy sends it that decodes what it forwards (nginx: `proxy_pass http://node/;`).
#[timed_test(flavor = "multi_thread")]
async fn a_decoded_slash_is_404_that_says_the_way_out() {
    let node = Node::ready(&FAST).await;
    node.beat(ARN, "ann").await;
    for (path, part) in [
        (format!("/v1/stages/{ARN}"), "encode / in a stage as %2F or use ?stage="),
        (format!("/v1/stages/{ARN}/viewers"), "encode / in a stage as %2F or use ?stage="),
        (format!("/v1/stages/{ARN}/history?step=5m"), "encode / in a stage as %2F or use ?stage="),
        ("/v1/stages/https://a.example/live/viewers".to_string(), "or use ?stage="),
        ("/v1/viewers/a/b".to_string(), "encode / in a viewer as %2F or use ?viewer="),
        (format!("/api/viewer/list/{ARN}"), "encode / in a stage as %2F"),
        ("/v1/nothing".to_string(), "see /openapi.json"),
    ] {
        let answer = get(&node, &path);
        let detail = match answer.json()["error"]["message"].as_str() {
            Some(message) => message.to_string(),
            None => answer.problem().1,
        };
        assert_eq!(answer.status, 404, "{path}: {detail}");
        assert!(detail.contains(part), "{path}: {detail}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn the_document_has_both_forms() {
    let node = Node::ready(&FAST).await;
    let api = node.get("/openapi.json").await;
    let mut names = std::collections::BTreeSet::new();
    for operation in api["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
    {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_string()), "two operations have the id {name}");
    }
    for (path, by_query, methods, id) in [
        ("/v1/stages/{stage}", "/v1/stage", &["get", "patch", "delete"][..], "stage"),
        ("/v1/stages/{stage}/viewers", "/v1/stage/viewers", &["get"], "stage"),
        ("/v1/stages/{stage}/history", "/v1/stage/history", &["get"], "stage"),
        ("/v1/stages/{stage}/watch", "/v1/stage/watch", &["get"], "stage"),
        ("/v1/stages/{stage}/snapshots", "/v1/stage/snapshots", &["get"], "stage"),
        ("/v1/viewers/{viewer}", "/v1/viewer", &["get"], "viewer"),
        ("/v1/viewers/{viewer}/watch", "/v1/viewer/watch", &["get"], "viewer"),
    ] {
        for method in methods {
            let (first, second) = (&api["paths"][path][method], &api["paths"][by_query][method]);
            let place = |operation: &Value| {
                let parameters = operation["parameters"].as_array().unwrap();
                let parameter =
                    parameters.iter().find(|parameter| parameter["name"] == id).unwrap();
                assert_eq!(parameter["required"], true, "{operation}");
                parameter["in"].as_str().unwrap().to_string()
            };
            assert_eq!((&*place(first), &*place(second)), ("path", "query"), "{method} {path}");
            assert_eq!(first["responses"], second["responses"], "{method} {path}");
            assert_eq!(first["security"], second["security"], "{method} {path}");
        }
    }
    assert!(
        operations(&node)
            .await
            .iter()
            .any(|(method, path, _)| method == "DELETE" && path == "/v1/stage")
    );
}
