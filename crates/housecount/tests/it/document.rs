//! Public names in /openapi.json. Clients are generated from it, so its names become types and
//! calls in other programs.

use std::collections::BTreeSet;

use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_test::timed_test;
use serde_json::{Value, json};

use crate::support::node::Node;

const PLAIN: [&str; 2] = ["log=memory:", "cold=none"];

/// First words of operation ids.
const VERBS: [&str; 12] = [
    "change", "check", "compare", "create", "delete", "list", "open", "restore", "save", "send",
    "show", "stream",
];

/// Every operation of a document, as `METHOD path`.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        })
    });
    operations.collect()
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[timed_test(flavor = "multi_thread")]
async fn operation_ids_are_verbs_in_camel_case_and_unique() {
    let node = Node::ready(&PLAIN).await;
    let api = node.get("/openapi.json").await;
    let mut ids = BTreeSet::new();
    for (call, operation) in operations(&api) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(is_camel(id), "{call} has the operation id {id}");
        let verb = id.split(|c: char| c.is_ascii_uppercase()).next().unwrap();
        assert!(VERBS.contains(&verb) && verb != id, "{call} has the operation id {id}");
        assert!(ids.insert(id), "{call} shares the operation id {id}");
    }
    assert!(ids.len() >= 38, "{ids:?}");
    for (call, id) in [
        ("POST /v1/heartbeat", "sendHeartbeat"),
        ("POST /v1/heartbeats", "sendHeartbeats"),
        ("POST /v1/leave", "sendLeave"),
        ("GET /v1/ws", "openWebSocket"),
        ("GET /v1/live", "streamCounts"),
    ] {
        let (_, operation) = operations(&api).into_iter().find(|(each, _)| each == call).unwrap();
        assert_eq!(operation["operationId"], id, "{call}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn schema_names_are_nouns_in_pascal_case() {
    let node = Node::ready(&PLAIN).await;
    let api = node.get("/openapi.json").await;
    let schemas = api["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        assert!(is_pascal(name) && !name.ends_with("Body"), "{name} is not a public name");
    }
    let mut found = BTreeSet::new();
    references(&api, &mut found);
    let unresolved = found.iter().find(|reference| {
        reference
            .strip_prefix("#/components/schemas/")
            .is_none_or(|name| !schemas.contains_key(name))
    });
    assert_eq!(unresolved, None);
    assert_eq!(found.len(), schemas.len(), "every schema is referenced by its name");

    let json_of =
        |content: &Value| content["content"]["application/json"]["schema"]["$ref"].clone();
    let heartbeat = &api["paths"]["/v1/heartbeat"]["post"];
    assert_eq!(json_of(&heartbeat["requestBody"]), "#/components/schemas/HeartbeatRequest");
    assert_eq!(json_of(&heartbeat["responses"]["200"]), "#/components/schemas/HeartbeatResponse");
    let batch = &api["paths"]["/v1/heartbeats"]["post"];
    assert_eq!(json_of(&batch["responses"]["200"]), "#/components/schemas/BatchResponse");
    let drop_in = &api["paths"]["/api/viewer/heartbeat"]["post"];
    assert_eq!(
        json_of(&drop_in["responses"]["200"]),
        "#/components/schemas/DropInHeartbeatResponse"
    );
}

const PLAYERS_CALLS: [&str; 4] =
    ["POST /v1/heartbeat", "POST /v1/leave", "GET /v1/ws", "GET /v1/live"];
const SERVERS_CALLS: [&str; 4] = [
    "POST /v1/heartbeats",
    "POST /api/viewer/rejoin",
    "POST /api/viewer/heartbeat",
    "POST /api/viewer/leave",
];

/// The `security` of these calls on a node with these settings, which is the same for all of them.
async fn security(settings: &[&str], calls: &[&str]) -> Value {
    let node = Node::ready(&[&PLAIN, settings].concat()).await;
    let api = node.get("/openapi.json").await;
    let operations = operations(&api);
    let of_call =
        |call: &&str| &operations.iter().find(|(each, _)| each == call).unwrap().1["security"];
    let mut found: Vec<&Value> = calls.iter().map(of_call).collect();
    found.dedup();
    assert_eq!(found.len(), 1, "{calls:?}: {found:?}");
    found[0].clone()
}

/// A generated client demands a credential for every call that names a scheme. So calls name a
/// scheme only where the node checks it.
#[timed_test(flavor = "multi_thread")]
async fn players_need_a_credential_only_where_it_is_switched_on() {
    let open = [&PLAYERS_CALLS[..], &SERVERS_CALLS].concat();
    assert_eq!(security(&[], &open).await, json!([]));

    let keys = "auth.viewer_keys=secret:correct horse battery staple, and more of it";
    for policy in ["optional", "required"] {
        let viewer = format!("auth.viewer={policy}");
        let with_tokens = security(&[&viewer, keys], &PLAYERS_CALLS).await;
        assert_eq!(with_tokens, json!([{"viewerToken": []}, {}]), "{policy}");
    }

    let with_key = json!([{"operatorKey": ["beats"]}, {"apiKey": ["beats"]}, {}]);
    assert_eq!(security(&["auth.viewer=required", keys], &SERVERS_CALLS).await, with_key);
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, entry) = new_key("beats", &[Scope::Beats]);
    std::fs::write(file.path(), entry).unwrap();
    let keys = format!("auth.operator_keys={}", file.path().display());
    assert_eq!(security(&[&keys], &SERVERS_CALLS).await, with_key);
    assert_eq!(security(&[&keys], &PLAYERS_CALLS).await, json!([]));
}
