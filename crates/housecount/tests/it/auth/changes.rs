//! Key changes on a running node: the text that may replace keys, and the loss of the last key.
//! Also, the secrets in addresses are not shown.

use housecount_access::auth::operators::new_key;
use housecount_access::auth::{Scope, jwt};
use housecount_test::timed_test;
use serde_json::json;

use super::raw::ask;
use super::tokens::{beat, by_secret};
use super::{ED, OTHER, node, payload, refused};
use crate::support::eventually;
use crate::support::node::{Node, housecount};

const ED_JWK: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"EH-t1KadgyS7s3ZZY9RpwILPP8DFN-l-belSPxzfAtI"}"#;
const OTHER_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"other","x":"wifQNqhOK2GzPDVbg5BVCwI5B2YHrnqqhHN4oZopv8s"}"#;

/// Public text in the place of public keys is never a secret. Otherwise any reader of that text
/// could sign a token.
#[timed_test(flavor = "multi_thread")]
async fn public_text_in_the_place_of_public_keys_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, log) = (folder.path().join("jwks.json"), folder.path().join("log"));
    let write = |text: &str| std::fs::write(&keys, text).unwrap();
    write(&format!("\u{feff}{{\"keys\":[{ED_JWK}]}}"));
    let node = Node::start_logging(
        std::fs::File::create(&log).unwrap(),
        &[
            "log=memory:",
            "cold=none",
            "log_level=info",
            "limits.session_beats=0",
            "auth.viewer=required",
            &format!("auth.viewer_keys={}", keys.display()),
        ],
    );
    node.until_ready().await;
    let printed = || std::fs::read_to_string(&log).unwrap();
    let good = jwt::sign(&payload("ann", "s"), ED, Some("ed".to_string())).unwrap();
    assert_eq!(beat(&node, Some(&good), "s", "ann").0, 200);
    let html =
        format!("<!DOCTYPE html>\n<html><body>{}</body></html>\n", "502 Bad Gateway ".repeat(4));
    for (text, why) in [
        (html.clone(), "write a secret as secret:TEXT"),
        (format!("[{ED_JWK}]"), "write a secret as secret:TEXT"),
        (format!("\u{feff}[{ED_JWK}]"), "write a secret as secret:TEXT"),
        (format!("secret:{html}"), "a secret must be one line"),
        (format!("secret:{}", "opensesame".repeat(4)), "restart the node if that is intended"),
    ] {
        let before = printed().matches(why).count();
        write(&text);
        eventually("the node has read the file", async || printed().matches(why).count() > before)
            .await;
        assert_eq!(beat(&node, Some(&good), "s", "ann").0, 200, "{text}");
        for secret in [
            text.as_str(),
            text.trim(),
            text.trim_start_matches("secret:"),
            text.trim_start_matches('\u{feff}'),
        ] {
            for kid in [None, Some("ed")] {
                let forged = by_secret(&payload("eve", "s"), secret, kid);
                assert_eq!(
                    refused(&beat(&node, Some(&forged), "s", "eve")),
                    (401, "token_invalid"),
                    "{text}"
                );
            }
        }
        // Good keys are accepted again, and the next error logs another line.
        write(&format!("{{\"keys\":[{ED_JWK},{OTHER_JWK}]}}"));
        let other = jwt::sign(&payload("bob", "s"), OTHER, Some("other".to_string())).unwrap();
        eventually("the other key works", async || beat(&node, Some(&other), "s", "bob").0 == 200)
            .await;
        write(&format!("{{\"keys\":[{ED_JWK}]}}"));
        eventually("the other key is revoked", async || {
            beat(&node, Some(&other), "s", "bob").0 == 401
        })
        .await;
    }
    // The last key can be revoked, too.
    write("{\"keys\":[]}");
    eventually("the last key is revoked", async || beat(&node, Some(&good), "s", "ann").0 == 401)
        .await;
    drop(node);
    assert!(
        !printed().contains("opensesame") && !printed().contains("Bad Gateway"),
        "{}",
        printed()
    );
}

#[timed_test(flavor = "multi_thread")]
async fn the_last_operator_key_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let (key, entry) = new_key("ops", &[Scope::Read]);
    let operators = format!("auth.operator_keys={}", file.display());
    let status = |node: &Node| ask(node, "GET /v1/stats", &[format!("x-api-key: {key}")], "").1.0;
    std::fs::write(&file, &entry).unwrap();
    let node = node(&[&operators]).await;
    for none in ["", "# no keys\n"] {
        assert_eq!(status(&node), 200);
        std::fs::write(&file, none).unwrap();
        eventually("the operator's key is revoked", async || status(&node) == 401).await;
        assert_eq!(
            ask(&node, "GET /v1/stats", &[], "").1.0,
            401,
            "an empty file still requires a key"
        );
        std::fs::write(&file, &entry).unwrap();
        eventually("the key works again", async || status(&node) == 200).await;
    }
    // A missing file doesn't count as a file without keys.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(status(&node), 200);
    // A restart with an empty key file doesn't open the node.
    std::fs::write(&file, "").unwrap();
    let again = super::node(&[&operators]).await;
    assert_eq!((status(&again), ask(&again, "GET /v1/stats", &[], "").1.0), (401, 401));
}

/// Passwords in addresses are in no line of the log, at any level. A JWKS URL can't have one.
#[timed_test(flavor = "multi_thread")]
async fn an_address_is_logged_without_its_secrets() {
    let refused = |setting: &str| {
        let output = housecount()
            .args(["serve", "--listen", "127.0.0.1:0", "--set", setting])
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), printed.lines().count()), (Some(2), 1), "{printed}");
        assert!(!printed.contains("opensesame"), "{printed}");
    };
    for address in ["user:opensesame@", "opensesame@", ":opensesame@", "user:open/opensesame@"] {
        refused(&format!("auth.viewer_jwks_url=http://{address}127.0.0.1:1/jwks"));
        refused(&format!("auth.viewer_jwks_url=https://{address}id.example/jwks"));
        refused(&format!("otlp=ftp://{address}collector.example"));
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let node = Node::start_logging(
        std::fs::File::create(&log).unwrap(),
        &[
            "log=memory:",
            "cold=none",
            "interval=300ms",
            "ttl=1s",
            "limits.session_beats=0",
            "log_level=trace,h2=info",
            "otlp=http://user:opensesame@127.0.0.1:1/at?key=opensesame",
            "auth.viewer=optional",
            "auth.viewer_jwks_url=http://127.0.0.1:1/jwks?key=opensesame",
        ],
    );
    node.until_ready().await;
    let printed = || std::fs::read_to_string(&log).unwrap();
    let token = jwt::sign(&payload("ann", "s"), ED, None).unwrap();
    assert_eq!(refused_code(&node, &token), (503, "keys_unavailable".to_string()));
    eventually("both outages are logged", async || {
        node.beat("s", "bob").await; // an append has a span
        printed().contains("viewers' keys can't be fetched")
            && printed().contains("can't send traces")
    })
    .await;
    let metrics = ask(&node, "GET /metrics", &[], "");
    drop(node);
    let shown = format!("{}{}", printed(), metrics.0);
    for visible in ["http://127.0.0.1:1/at", "http://127.0.0.1:1/jwks"] {
        assert!(shown.contains(visible), "{shown}");
    }
    let leak = shown.lines().find(|line| line.contains("opensesame"));
    assert_eq!(leak, None);
}

fn refused_code(node: &Node, token: &str) -> (u16, String) {
    let body = json!({ "stage": "s", "viewer": "ann" }).to_string();
    let answer =
        ask(node, "POST /v1/heartbeat", &[format!("authorization: Bearer {token}")], &body).1;
    let (status, code) = refused(&answer);
    (status, code.to_string())
}
