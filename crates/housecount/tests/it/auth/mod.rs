//! Safety on the open internet. Each row of the table of threats in docs/SECURITY.md has a test
//! here, against the real binary.

mod changes;
mod keyless;
mod limited;
mod live;
mod load;
mod operators;
mod optional;
pub mod raw;
mod smuggling;
mod streams;
mod tokens;
mod ws;

use housecount_access::auth::{Payload, jwt};
use serde_json::Value;

use crate::support::node::Node;

/// A secret such as a platform may use.
pub const SECRET: &str = "correct horse battery staple, and more of it";

const RSA: &str = include_str!("keys/rsa.pem");
const EC: &str = include_str!("keys/ec.pem");
const ED: &str = include_str!("keys/ed.pem");
const OTHER: &str = include_str!("keys/other.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");
const EC_PUBLIC: &str = include_str!("keys/ec.pub.pem");
const ED_PUBLIC: &str = include_str!("keys/ed.pub.pem");

/// Public keys, under the `kid`s that tokens name.
fn public_keys() -> String {
    format!("kid: rsa\n{RSA_PUBLIC}\nkid: ec\n{EC_PUBLIC}\nkid: ed\n{ED_PUBLIC}")
}

/// Unix time in seconds, the given number of seconds from now.
fn in_s(seconds: f64) -> f64 {
    housecount_backend::clock::wall_clock().0 as f64 / 1_000.0 + seconds
}

/// Claims for one viewer and stage that are valid for an hour.
fn payload(viewer: &str, stage: &str) -> Payload {
    let (sub, stage) = (viewer.to_string(), Some(stage.to_string()));
    Payload {
        sub,
        stage,
        stage_prefix: None,
        session: None,
        streams: None,
        labels: None,
        exp: in_s(3_600.0),
        nbf: None,
        aud: None,
    }
}

/// The same claims, for all stages that begin with a prefix.
fn prefixed(viewer: &str, prefix: &str) -> Payload {
    Payload { stage: None, stage_prefix: Some(prefix.to_string()), ..payload(viewer, "") }
}

/// A token signed with the secret.
fn token(payload: &Payload) -> String {
    jwt::sign(payload, &format!("secret:{SECRET}"), None).unwrap()
}

/// A node with these settings that keeps its data in memory.
async fn node(settings: &[&str]) -> Node {
    let fast = ["log=memory:", "cold=none", "interval=1s", "ttl=3s", "leave_grace=200ms"];
    Node::ready(&[&fast[..], settings].concat()).await
}

/// A node that requires tokens, signed with the secret.
async fn strict() -> Node {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    node(&["auth.viewer=required", "auth.leeway=0s", &keys]).await
}

/// Status and code of an answer.
fn refused(answer: &(u16, Value)) -> (u16, &str) {
    // Errors of the drop-in API have their own shape.
    let code = match answer.1["error"]["code"].as_str() {
        Some("UNAUTHORIZED") => "unauthorized",
        Some("FORBIDDEN") => "forbidden",
        _ => answer.1["code"].as_str().unwrap_or_default(),
    };
    (answer.0, code)
}
