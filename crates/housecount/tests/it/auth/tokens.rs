//! Viewers' tokens over HTTP: what they allow, and every way of forging one.

use housecount_access::auth::{AudienceClaim, Payload, jwt};
use housecount_core::limits::TOKEN_BYTES_MAX;
use housecount_test::timed_test;
use serde_json::{Value, json};

use super::raw::{ask, say};
use super::{
    EC, ED, OTHER, RSA, RSA_PUBLIC, SECRET, in_s, node, payload, prefixed, public_keys, refused,
    strict, token,
};
use crate::support::eventually;
use crate::support::node::{Node, housecount};

pub(super) fn beat(node: &Node, token: Option<&str>, stage: &str, viewer: &str) -> (u16, Value) {
    say(node, "/v1/heartbeat", token, &json!({ "stage": stage, "viewer": viewer }))
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in bytes.as_ref().chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            out.push(DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char);
        }
    }
    out
}

/// A token with a forged header, and with the claims and signature of another token.
fn with_header(header: Value, token: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", base64url(header.to_string()))
}

/// A token signed by HS256 with any text, as a forger would sign it.
pub(super) fn by_secret(payload: &Payload, secret: &str, kid: Option<&str>) -> String {
    signed_by(&serde_json::to_string(payload).unwrap(), secret, kid)
}

/// A token with these claims, signed with the secret. The claims need not fit our types.
fn of_claims(claims: &str) -> String {
    signed_by(claims, SECRET, None)
}

fn signed_by(claims: &str, secret: &str, kid: Option<&str>) -> String {
    let header = json!({ "alg": "HS256", "kid": kid }).to_string();
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", base64url(signature))
}

#[timed_test(flavor = "multi_thread")]
async fn a_token_of_each_algorithm_lets_its_viewer_beat_and_leave() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), public_keys()).unwrap();
    let keys = format!("auth.viewer_keys={}", file.path().display());
    let node = node(&["auth.viewer=required", &keys]).await;
    for (kid, key) in [("rsa", RSA), ("ec", EC), ("ed", ED)] {
        let token = jwt::sign(&prefixed(kid, "match-"), key, Some(kid.to_string())).unwrap();
        for _ in 0..2 {
            assert_eq!(beat(&node, Some(&token), "match-1", kid).0, 200, "{kid}");
        }
        let leave = json!({ "stage": "match-1", "viewer": kid });
        assert_eq!(say(&node, "/v1/leave", Some(&token), &leave).0, 204, "{kid}");
        // A token that names an unknown key, or names no key, is refused.
        let by_name =
            jwt::sign(&payload("ann", "s"), key, Some("none of these".to_string())).unwrap();
        assert_eq!(refused(&beat(&node, Some(&by_name), "s", "ann")), (401, "token_invalid"));
        let nameless = jwt::sign(&payload("ann", "s"), key, None).unwrap();
        assert_eq!(refused(&beat(&node, Some(&nameless), "s", "ann")), (401, "token_invalid"));
    }
    // The file changes, and the node verifies again the tokens that it had verified with it.
    let token = jwt::sign(&payload("ann", "s"), ED, Some("ed".to_string())).unwrap();
    assert_eq!(beat(&node, Some(&token), "s", "ann").0, 200);
    std::fs::write(file.path(), public_keys().replace("kid: ed\n", "kid: old\n")).unwrap();
    eventually("the key is revoked", async || beat(&node, Some(&token), "s", "ann").0 == 401).await;
}

#[timed_test(flavor = "multi_thread")]
async fn a_token_is_for_its_viewer_stage_and_session() {
    let node = strict().await;
    let ann = token(&payload("ann", "match-1"));
    assert_eq!(beat(&node, Some(&ann), "match-1", "ann").0, 200);
    for (stage, viewer) in
        [("match-1", "bob"), ("match-2", "ann"), ("match-", "ann"), ("match-11", "ann")]
    {
        for path in ["/v1/heartbeat", "/v1/leave"] {
            let heartbeat = json!({ "stage": stage, "viewer": viewer });
            assert_eq!(
                refused(&say(&node, path, Some(&ann), &heartbeat)),
                (403, "token_mismatch"),
                "{heartbeat}"
            );
        }
    }
    let bound = token(&Payload { session: Some("tab".to_string()), ..payload("ann", "match-1") });
    let with = |session: &str| json!({ "stage": "match-1", "viewer": "ann", "session": session });
    assert_eq!(say(&node, "/v1/heartbeat", Some(&bound), &with("tab")).0, 200);
    for path in ["/v1/heartbeat", "/v1/leave"] {
        let without = json!({ "stage": "match-1", "viewer": "ann" });
        for heartbeat in [with("other"), without] {
            assert_eq!(
                refused(&say(&node, path, Some(&bound), &heartbeat)),
                (403, "token_mismatch"),
                "{heartbeat}"
            );
        }
    }
    assert_eq!(node.viewers("match-1").await, 1);
}

#[timed_test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_taken_and_the_answer_says_what_to_send() {
    let node = strict().await;
    let heartbeat = json!({ "stage": "s", "viewer": "ann" });
    for path in ["/v1/heartbeat", "/v1/leave"] {
        let (head, answer) = ask(&node, &format!("POST {path}"), &[], &heartbeat.to_string());
        assert_eq!(refused(&answer), (401, "token_missing"));
        assert!(head.contains("www-authenticate: Bearer realm=\"housecount\"\r\n"), "{head}");
    }
    // A beacon can't send headers, so its token is in the body.
    let ann = token(&payload("ann", "s"));
    let beacon = json!({ "stage": "s", "viewer": "ann", "token": ann });
    assert_eq!(say(&node, "/v1/heartbeat", None, &beacon).0, 200);
    assert_eq!(say(&node, "/v1/leave", None, &beacon).0, 204);
    let wrong = json!({ "stage": "s", "viewer": "bob", "token": ann });
    assert_eq!(refused(&say(&node, "/v1/leave", None, &wrong)), (403, "token_mismatch"));
    // The token in the header counts, if there is one.
    assert_eq!(
        refused(&say(&node, "/v1/heartbeat", Some("x.y.z"), &beacon)),
        (401, "token_invalid")
    );
    // Several heartbeats at once need an operator's key, which this node doesn't have.
    let many = json!([heartbeat]);
    assert_eq!(refused(&say(&node, "/v1/heartbeats", Some(&ann), &many)), (401, "unauthorized"));
    assert_eq!(refused(&say(&node, "/v1/heartbeats", None, &many)), (401, "unauthorized"));
}

#[timed_test(flavor = "multi_thread")]
async fn optional_means_that_a_token_must_be_right_if_there_is_one() {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let node = node(&["auth.viewer=optional", &keys]).await;
    assert_eq!(beat(&node, None, "s", "ann").0, 200);
    assert_eq!(beat(&node, Some(&token(&payload("ann", "s"))), "s", "ann").0, 200);
    assert_eq!(
        refused(&beat(&node, Some(&token(&payload("bob", "s"))), "s", "ann")),
        (403, "token_mismatch")
    );
    assert_eq!(refused(&beat(&node, Some("x.y.z"), "s", "ann")), (401, "token_invalid"));
}

#[timed_test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), public_keys()).unwrap();
    let keys = format!("auth.viewer_keys={}", file.path().display());
    let node = node(&["auth.viewer=required", &keys]).await;
    let good = jwt::sign(&payload("ann", "s"), ED, Some("ed".to_string())).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let eves = jwt::sign(&payload("eve", "s"), OTHER, Some("ed".to_string())).unwrap();
    let eves_claims = eves.split('.').nth(1).unwrap();
    let unsigned = |alg: &str| {
        let header = base64url(json!({ "alg": alg, "typ": "JWT" }).to_string());
        [format!("{header}.{eves_claims}."), format!("{header}.{eves_claims}.{}", parts[2])]
    };
    let mut forged: Vec<String> =
        ["none", "None", "nOnE", "NONE", ""].into_iter().flat_map(unsigned).collect();
    // Key confusion: a public key is not a secret, whatever algorithm the token names.
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim(), super::EC_PUBLIC, super::ED_PUBLIC] {
        for kid in [None, Some("rsa"), Some("ec"), Some("ed")] {
            forged.push(by_secret(&payload("eve", "s"), secret, kid));
        }
    }
    // First another key's signature, claims or algorithm. Then keys that the token itself brings,
    // and headers that the node doesn't know.
    forged.push(eves.clone());
    forged.push(format!("{}.{eves_claims}.{}", parts[0], parts[2]));
    forged.push(jwt::sign(&payload("eve", "s"), EC, Some("ed".to_string())).unwrap());
    forged.push(jwt::sign(&payload("eve", "s"), RSA, Some("ec".to_string())).unwrap());
    for header in [
        json!({ "alg": "HS256", "kid": "ed" }),
        json!({ "alg": "RS256", "kid": "ed" }),
        json!({ "alg": "EdDSA", "kid": "../../dev/null" }),
        json!({ "alg": "EdDSA", "kid": "ed", "crit": ["exp"] }),
        json!({ "alg": "EdDSA", "jku": "http://127.0.0.1:1/jwks", "kid": "eve" }),
        json!({ "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" } }),
    ] {
        forged.push(with_header(header.clone(), &good));
        forged.push(with_header(header, &eves));
    }
    // Truncated, extended and changed tokens.
    forged.extend([
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}."),
        format!("{good}A"),
        good.replacen('e', "f", 1),
    ]);
    forged.push(good[..good.len() - 2].to_string());
    forged.extend([".".to_string(), "..".to_string(), "a.b.c".to_string()]);
    // Longer than `TOKEN_BYTES_MAX`.
    forged.push(format!("{}.{}.{}", parts[0], "A".repeat(TOKEN_BYTES_MAX), parts[2]));
    for forged in forged {
        for viewer in ["eve", "ann"] {
            let answer = beat(&node, Some(&forged), "s", viewer);
            assert_eq!(refused(&answer), (401, "token_invalid"), "{forged}");
            let shown = answer.1.to_string();
            assert!(forged.len() < 8 || !shown.contains(&forged), "{shown}");
        }
    }
    assert_eq!(node.viewers("s").await, 0);
    assert_eq!(beat(&node, Some(&good), "s", "ann").0, 200);
}

#[timed_test(flavor = "multi_thread")]
async fn expired_early_and_others_tokens_are_refused() {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let node =
        node(&["auth.viewer=required", "auth.leeway=0s", "auth.audience=housecount", &keys]).await;
    let aud = |aud: AudienceClaim| Payload { aud: Some(aud), ..payload("ann", "s") };
    let ours = || aud(AudienceClaim::Many(vec!["other".to_string(), "housecount".to_string()]));
    let answer = |payload: &Payload| beat(&node, Some(&token(payload)), "s", "ann");
    assert_eq!(answer(&ours()).0, 200);
    assert_eq!(refused(&answer(&Payload { exp: in_s(-1.0), ..ours() })), (401, "token_expired"));
    assert_eq!(
        refused(&answer(&Payload { nbf: Some(in_s(600.0)), ..ours() })),
        (401, "token_invalid")
    );
    assert_eq!(refused(&answer(&payload("ann", "s"))), (401, "token_invalid"));
    assert_eq!(
        refused(&answer(&aud(AudienceClaim::One("other".to_string())))),
        (401, "token_invalid")
    );
    // An `exp` in milliseconds, or one that isn't a number, gets an answer that names the mistake.
    let claims =
        |exp: &str| format!(r#"{{"sub":"ann","stage":"s","aud":"housecount","exp":{exp}}}"#);
    let in_ms = (in_s(600.0) * 1_000.0).to_string();
    let ahead = in_s(3_654.0 * 86_400.0).to_string();
    for exp in [
        in_ms.as_str(),
        &ahead,
        "1e300",
        "1e999",
        "-1",
        "-1e300",
        "\"1790000000\"",
        "null",
        "true",
        "[]",
        "{}",
    ] {
        let answer = beat(&node, Some(&of_claims(&claims(exp))), "s", "ann");
        assert_eq!(refused(&answer), (401, "token_invalid"), "{exp}: {answer:?}");
        let detail = answer.1["detail"].as_str().unwrap();
        assert!(detail.contains("seconds, not milliseconds"), "{exp}: {detail}");
    }
    let ten_years = in_s(3_652.0 * 86_400.0).to_string();
    assert_eq!(beat(&node, Some(&of_claims(&claims(&ten_years))), "s", "ann").0, 200);
    let head = ask(
        &node,
        "POST /v1/heartbeat",
        &["authorization: Bearer a.b.c".to_string()],
        r#"{"stage":"s","viewer":"ann"}"#,
    )
    .0;
    assert!(
        head.contains("www-authenticate: Bearer realm=\"housecount\", error=\"invalid_token\""),
        "{head}"
    );
}

/// A stolen token allows what its viewer may do and nothing else, until it ends. That also holds on
/// a node that already knows the token.
#[timed_test(flavor = "multi_thread")]
async fn a_stolen_token_is_worth_something_until_it_ends() {
    let node = strict().await;
    let stolen = token(&Payload { exp: in_s(2.0), ..payload("ann", "s") });
    for _ in 0..3 {
        assert_eq!(beat(&node, Some(&stolen), "s", "ann").0, 200);
    }
    assert_eq!(refused(&beat(&node, Some(&stolen), "s", "eve")), (403, "token_mismatch"));
    eventually("the token has expired", async || {
        refused(&beat(&node, Some(&stolen), "s", "ann")) == (401, "token_expired")
    })
    .await;
}

/// Tokens and keys appear in no log line, metric or answer, at any log level.
#[timed_test(flavor = "multi_thread")]
async fn a_token_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let node = Node::start_logging(
        log,
        &[
            "log=memory:",
            "cold=none",
            "auth.viewer=required",
            &keys,
            "log_level=housecount=trace,hyper=trace",
        ],
    );
    node.until_ready().await;
    let good = token(&payload("ann", "s"));
    let mine = good.rsplit('.').next().unwrap();
    let beacon = json!({ "stage": "s", "viewer": "ann", "token": good });
    let mut shown = String::new();
    for (line, headers, body) in [
        (
            "POST /v1/heartbeat".to_string(),
            vec![format!("authorization: Bearer {good}")],
            beacon.to_string(),
        ),
        (
            "POST /v1/heartbeat".to_string(),
            vec![format!("authorization: Bearer {good}x")],
            beacon.to_string(),
        ),
        ("POST /v1/leave".to_string(), vec![], beacon.to_string().replace("ann", "bob")),
        ("POST /v1/heartbeat".to_string(), vec![], beacon.to_string().replace("\"s\"", "5")),
        (format!("GET /v1/ws?token={good}"), vec![], String::new()),
        (format!("GET /v1/nothing?token={good}"), vec![], String::new()),
        (format!("GET /v1/stats?token={good}"), vec![], String::new()),
        ("GET /metrics".to_string(), vec![], String::new()),
    ] {
        let (head, answer) = ask(&node, &line, &headers, &body);
        shown += &format!("{head}{}", answer.1);
    }
    drop(node);
    shown += &std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(shown.contains("200 OK") && shown.contains("401"), "{shown}");
    assert!(!shown.contains(mine) && !shown.contains(SECRET), "{shown}");
}

#[timed_test(flavor = "multi_thread")]
async fn the_command_makes_tokens() {
    let node = strict().await;
    let run = |more: &[&str]| {
        let output = housecount().args(["token", "--viewer", "ann"]).args(more).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("\u{feff}secret:{SECRET}\n")).unwrap();
    let key = file.path().to_str().unwrap();
    for by in [["--set", &keys], ["--key", key]] {
        let (_, made, heartbeat) =
            run(&[&by[..], &["--ttl", "1h", "--stage-prefix", "match-"]].concat());
        assert_eq!(beat(&node, Some(made.trim()), "match-1", "ann").0, 200, "{heartbeat}");
        // A star is an ordinary character of an id.
        let (_, made, _) = run(&[&by[..], &["--stage", "match-*"]].concat());
        assert_eq!(
            refused(&beat(&node, Some(made.trim()), "match-1", "ann")),
            (403, "token_mismatch")
        );
        assert_eq!(beat(&node, Some(made.trim()), "match-*", "ann").0, 200);
        let (_, made, _) = run(&[&by[..], &["--stage-prefix", ""]].concat());
        assert_eq!(beat(&node, Some(made.trim()), "any", "ann").0, 200);
    }
    let stage = ["--stage", "match-1"];
    for (more, why) in [
        (vec![], "--key FILE"),
        (vec!["--key", key, "--ttl", "3653days"], "--ttl: it must be at most ten years"),
        (vec!["--key", key, "--ttl", "500000000000years"], "--ttl"),
        (vec!["--key", key, "--stage-prefix", "match-"], "cannot be used with"),
    ] {
        let (code, _, heartbeat) = run(&[&stage[..], &more].concat());
        assert!(code == Some(2) && heartbeat.contains(why), "{heartbeat}");
    }
    for (text, why) in [
        ("secret:opensesame", "at least 32"),
        ("opensesame opensesame opensesame opensesame", "write a secret as secret:TEXT"),
        ("[{\"kty\":\"opensesame\"}]", "write a secret as secret:TEXT"),
        ("<html>opensesame opensesame opensesame</html>", "write a secret as secret:TEXT"),
    ] {
        std::fs::write(file.path(), text).unwrap();
        let (code, _, heartbeat) = run(&["--stage", "s", "--key", key]);
        assert!(
            code == Some(2) && heartbeat.contains(why) && !heartbeat.contains("opensesame"),
            "{heartbeat}"
        );
    }
}
