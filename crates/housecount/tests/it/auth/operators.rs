//! Operators' keys. They cover the scope that each route needs, the routes that each key opens, and
//! key changes on a running node.

use housecount_access::auth::Scope;
use housecount_access::auth::operators::{SCOPES, new_key};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::raw::ask;
use super::{SECRET, node, payload, prefixed, refused, token};
use crate::support::eventually;
use crate::support::node::{Node, housecount};

/// A file with a key of each scope, and the keys.
pub(super) fn keys() -> (NamedTempFile, Vec<(Scope, String)>) {
    let file = NamedTempFile::new().unwrap();
    let made = SCOPES.map(|scope| (scope, new_key(scope.name(), &[scope])));
    let entries: Vec<&str> = made.iter().map(|(_, (_, entry))| entry.as_str()).collect();
    std::fs::write(file.path(), entries.join("\n")).unwrap();
    (file, made.into_iter().map(|(scope, (key, _))| (scope, key)).collect())
}

pub(super) fn key(keys: &[(Scope, String)], scope: Scope) -> &str {
    &keys.iter().find(|(of, _)| *of == scope).unwrap().1
}

async fn keyed(file: &NamedTempFile) -> Node {
    let operators = format!("auth.operator_keys={}", file.path().display());
    let viewers = format!("auth.viewer_keys=secret:{SECRET}");
    node(&[&operators, "auth.viewer=required", &viewers]).await
}

fn with_key(node: &Node, line: &str, key: &str) -> (u16, Value) {
    ask(node, line, &[format!("authorization: Bearer {key}")], "").1
}

/// Calls every operation of /openapi.json without a key, with a wrong one, and with each key.
#[timed_test(flavor = "multi_thread")]
async fn every_route_needs_the_scope_it_says_and_none_is_forgotten() {
    let (file, keys) = keys();
    let node = keyed(&file).await;
    let api = node.get("/openapi.json").await;
    let schemes: Vec<&String> =
        api["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["apiKey", "operatorKey", "viewerToken"]);
    let (mut open, mut guarded) = (Vec::new(), 0);
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let line = format!(
                "{} {}",
                method.to_uppercase(),
                path.replace("{stage}", "s").replace("{viewer}", "v").replace("{userId}", "v")
            );
            let named = operation["security"].as_array().cloned().unwrap_or_default();
            let Some(scope) = named.iter().find_map(|each| each["operatorKey"][0].as_str()) else {
                open.push(line);
                continue;
            };
            guarded += 1;
            let scope: Scope = scope.parse().unwrap();
            assert_eq!(refused(&ask(&node, &line, &[], "").1), (401, "unauthorized"), "{line}");
            for wrong in ["", "hck_", "x", &key(&keys, scope)[..40], &token(&prefixed("v", ""))] {
                assert_eq!(
                    refused(&with_key(&node, &line, wrong)),
                    (401, "unauthorized"),
                    "{line}"
                );
            }
            for (other, key) in &keys {
                let answer = with_key(&node, &line, key);
                if *other == scope {
                    assert!(![401, 403].contains(&answer.0), "{line}: {answer:?}");
                    let by_other_header = ask(&node, &line, &[format!("x-api-key: {key}")], "").1;
                    assert!(
                        ![401, 403].contains(&by_other_header.0),
                        "{line}: {by_other_header:?}"
                    );
                } else {
                    assert_eq!(refused(&answer), (403, "forbidden"), "{line} with {other}");
                    let printed = answer.1["detail"]
                        .as_str()
                        .or(answer.1["error"]["message"].as_str())
                        .unwrap();
                    assert!(printed.contains(&format!("`{scope}`")), "{answer:?}");
                }
            }
        }
    }
    assert_eq!(
        open,
        [
            "GET /api/health",
            "GET /health",
            "GET /healthz",
            "GET /readyz",
            "POST /v1/heartbeat",
            "POST /v1/leave",
            "GET /v1/live",
            "GET /v1/public/count",
            "GET /v1/ws"
        ],
        "every other call needs a key"
    );
    assert!(guarded >= 16, "{guarded}");
    for page in ["/", "/assets/app.js", "/docs/", "/openapi.json", "/healthz", "/readyz"] {
        assert_eq!(ask(&node, &format!("GET {page}"), &[], "").1.0, 200, "{page}");
    }
    assert!(
        !api["paths"]["/v1/stages"]["get"].is_null()
            && !api["paths"]["/v1/stages"]["post"].is_null()
    );
}

#[timed_test(flavor = "multi_thread")]
async fn no_path_and_no_method_leads_around_a_key() {
    let (file, _) = keys();
    let node = keyed(&file).await;
    for line in [
        "GET /v1/stats",
        "HEAD /v1/stats",
        "GET /v1/stats?x",
        "GET /v1/stages/..%2fstats",
        "GET /v1/stages/%2e%2e",
        "GET /v1/stages/%2F%2Fhealthz",
        "DELETE /v1/stages/s",
        "GET /metrics",
        "POST /v1/admin/snapshot",
        "GET http://x/v1/stats",
        "GET http://healthz/v1/stats",
        "GET /v1/stages/healthz",
    ] {
        assert_eq!(ask(&node, line, &[], "").1.0, 401, "{line}");
    }
    for line in [
        "GET //v1/stats",
        "GET /v1//stats",
        "GET /v1/stats/",
        "GET /v1/./stats",
        "GET /healthz/../v1/stats",
        "GET /V1/stats",
        "GET /v1/stats;x",
        "GET /v1%2fstats",
        "GET /healthz/v1/stats",
        "GET /v1/stages/a/b",
        "GET /v1/stages/../stats",
    ] {
        assert_eq!(refused(&ask(&node, line, &[], "").1), (404, "not_found"), "{line}");
    }
    for line in [
        "POST /v1/stats",
        "PUT /v1/stages/s",
        "OPTIONS /v1/stats",
        "TRACE /v1/stats",
        "GET /v1/admin/snapshot",
    ] {
        assert!([401, 405].contains(&ask(&node, line, &[], "").1.0), "{line}");
    }
    let overrides =
        ["x-http-method-override: DELETE", "x-method-override: DELETE", "x-original-url: /healthz"];
    for header in overrides {
        assert_eq!(ask(&node, "GET /v1/stages/s", &[header.to_string()], "").1.0, 401, "{header}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn keys_change_without_a_restart_and_a_broken_file_changes_nothing() {
    let (file, keys) = keys();
    let node = keyed(&file).await;
    let old = key(&keys, Scope::Read);
    assert_eq!(with_key(&node, "GET /v1/stats", old).0, 200);
    let (new, entry) = new_key("new", &[Scope::Read, Scope::Stages]);
    std::fs::write(file.path(), "[[key]]\nname = ").unwrap();
    // The node reads the next file after this one, or instead of it. Either way the old key works
    // until the new one does.
    std::fs::write(file.path(), &entry).unwrap();
    eventually("the new key works", async || with_key(&node, "GET /v1/stats", &new).0 == 200).await;
    assert_eq!(refused(&with_key(&node, "GET /v1/stats", old)), (401, "unauthorized"));
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(with_key(&node, "GET /v1/stages", &new).0, 200);
}

/// An array or lines of heartbeats need the scope whatever viewers need. That holds over HTTP/1 as
/// a player's page sends them, too. Single heartbeats stay players' calls.
#[timed_test(flavor = "multi_thread")]
async fn many_heartbeats_at_once_need_the_scope_beats_where_operators_have_keys() {
    let (file, keys) = keys();
    for (policy, of_a_player) in [("off", 200), ("optional", 200), ("required", 401)] {
        let operators = format!("auth.operator_keys={}", file.path().display());
        let viewers = format!("auth.viewer_keys=secret:{SECRET}");
        let node = node(&[&operators, &viewers, &format!("auth.viewer={policy}")]).await;
        let many = json!([{ "stage": "s", "viewer": "ann" }, { "stage": "t", "viewer": "bob" }])
            .to_string();
        let one = json!({ "stage": "s", "viewer": "ann" }).to_string();
        let post =
            |headers: &[String], body: &str| ask(&node, "POST /v1/heartbeats", headers, body).1;
        let token = format!("authorization: Bearer {}", token(&payload("ann", "s")));
        for body in [&many, &one, &"[]".to_string()] {
            assert_eq!(refused(&post(&[], body)), (401, "unauthorized"), "{policy}");
            assert_eq!(
                refused(&post(std::slice::from_ref(&token), body)),
                (401, "unauthorized"),
                "{policy}"
            );
        }
        for scope in [Scope::Read, Scope::Stages, Scope::Admin] {
            let key = format!("x-api-key: {}", key(&keys, scope));
            assert_eq!(refused(&post(&[key], &many)), (403, "forbidden"), "{policy}");
        }
        assert_eq!(
            with_key(&node, "GET /v1/stats", key(&keys, Scope::Read)).1["viewers"],
            0,
            "{policy}"
        );
        for header in ["x-api-key: ", "authorization: Bearer "] {
            let key = format!("{header}{}", key(&keys, Scope::Beats));
            assert_eq!(post(&[key], &many).1["accepted"], 2, "{policy}");
        }
        assert_eq!(ask(&node, "POST /v1/heartbeat", &[], &one).1.0, of_a_player, "{policy}");
        // The key is not a viewer's token.
        let headers = [format!("authorization: Bearer {}", key(&keys, Scope::Beats))];
        let taken_for_a_token = ask(&node, "POST /v1/heartbeat", &headers, &one).1;
        assert_eq!(taken_for_a_token.0, if policy == "off" { 200 } else { 401 }, "{policy}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_public_address_needs_keys() {
    let refuses = |more: &[&str], named: &str| {
        let output = housecount()
            .args(["serve", "--log", "memory:", "--cold", "none"])
            .args(more)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), printed.lines().count()), (Some(2), 1), "{printed}");
        assert!(printed.contains(named), "{printed}");
        assert!(!printed.contains("opensesame"), "{printed}");
    };
    refuses(&["--listen", "0.0.0.0:0"], "set auth.operator_keys, or start with --insecure");
    refuses(&["--listen", "[::]:0"], "set auth.operator_keys, or start with --insecure");
    refuses(
        &["--listen", "127.0.0.1:0", "--set", "auth.operator_keys=/nowhere/keys.toml"],
        "/nowhere/keys.toml",
    );
    let short = "auth.viewer_keys=secret:opensesame";
    refuses(
        &["--listen", "127.0.0.1:0", "--set", short],
        "`auth.viewer_keys`: the setting: a secret has 10 bytes",
    );
    // The limits `KEYS_BYTES_MAX` and `VIEWER_KEYS_MAX`.
    let file = NamedTempFile::new().unwrap();
    let named = format!("auth.viewer_keys={}", file.path().display());
    std::fs::write(file.path(), "x".repeat(housecount_core::limits::KEYS_BYTES_MAX + 1)).unwrap();
    refuses(&["--listen", "127.0.0.1:0", "--set", &named], "the file has more than 262144 bytes");
    let pems =
        format!("{}\n", super::ED_PUBLIC).repeat(housecount_core::limits::VIEWER_KEYS_MAX + 1);
    std::fs::write(file.path(), pems).unwrap();
    refuses(&["--listen", "127.0.0.1:0", "--set", &named], "at most 64 are allowed");
}

#[timed_test(flavor = "multi_thread")]
async fn our_own_commands_send_a_key() {
    let (file, keys) = keys();
    let operators = format!("auth.operator_keys={}", file.path().display());
    let node = Node::ready(&["log=memory:", &operators]).await;
    let key_file = NamedTempFile::new().unwrap();
    std::fs::write(key_file.path(), format!("{}\n", key(&keys, Scope::Admin))).unwrap();
    let snapshot = ["snapshot", "--url", &node.address];
    assert_eq!(housecount().args(snapshot).output().unwrap().status.code(), Some(2));
    let with = housecount().args(snapshot).arg("--key-file").arg(key_file.path()).output().unwrap();
    assert!(with.status.success(), "{}", String::from_utf8_lossy(&with.stderr));
    assert_eq!(node.client.call(Method::GET, "/v1/stats", "").await.unwrap().0, 401);
}

#[test]
fn the_command_shows_a_key_once_and_its_entry() {
    let output = housecount()
        .args(["key", "new", "--name", "grafana", "--scope", "read,stages"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let key = printed.lines().find_map(|line| line.strip_prefix("# hck_")).unwrap();
    assert_eq!((key.len(), printed.matches(key).count()), (64, 1));
    // All of the output may go into the file as it is, since the key is in a comment.
    let file: toml::Table = printed.parse().unwrap();
    assert_eq!(file["key"][0]["scopes"], toml::Value::from(vec!["read", "stages"]));
    let wrong =
        housecount().args(["key", "new", "--name", "x", "--scope", "write"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("read, stages, admin, beats"));
}
