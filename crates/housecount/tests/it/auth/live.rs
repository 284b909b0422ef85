//! Access to live counts. A token opens them for its stages, in a header or in the query, as a
//! browser's `EventSource` needs it.

use housecount_access::auth::operators::new_key;
use housecount_access::auth::{Payload, Scope, jwt};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;
use tempfile::NamedTempFile;

use super::raw::ask;
use super::{in_s, node, payload, prefixed, refused, strict, token};
use crate::support::eventually;
use crate::support::sse::Events;

#[timed_test(flavor = "multi_thread")]
async fn a_stream_of_counts_needs_a_token_for_its_stages() {
    let node = strict().await;
    let (ann, all) = (token(&prefixed("ann", "match-")), token(&prefixed("ann", "")));
    let beat = json!({ "stage": "match-1", "viewer": "ann" }).to_string();
    let (status, _) = node.client.call_as(&ann, Method::POST, "/v1/heartbeat", beat).await.unwrap();
    assert_eq!(status, 200);

    let ended = token(&Payload { exp: in_s(-5.0), ..prefixed("ann", "match-") });
    for (query, expected) in [
        ("?stage=match-1".to_string(), (401, "token_missing")),
        (String::new(), (401, "token_missing")),
        ("?stage=match-1&token=".to_string(), (401, "token_invalid")),
        (format!("?stage=match-1&token={ann}x"), (401, "token_invalid")),
        (format!("?stage=match-1&token={ended}"), (401, "token_expired")),
        (format!("?stage=other&token={ann}"), (403, "token_mismatch")),
        // A token for one of the stages doesn't open the other.
        (format!("?stage=match-1&stage=other&token={ann}"), (403, "token_mismatch")),
        (format!("?token={ann}"), (403, "token_mismatch")),
        // A star doesn't mean all stages.
        (format!("?token={}", token(&payload("ann", "*"))), (403, "token_mismatch")),
        (format!("?stage=match-1&totals=true&token={ann}"), (403, "token_mismatch")),
    ] {
        let answer = ask(&node, &format!("GET /v1/live{query}"), &[], "").1;
        assert_eq!(refused(&answer), expected, "{query}: {answer:?}");
    }
    let bearer = |token: &str| [format!("authorization: Bearer {token}")];
    let answer = ask(&node, "GET /v1/live?stage=other", &bearer(&ann), "").1;
    assert_eq!(refused(&answer), (403, "token_mismatch"));

    for query in [format!("?stage=match-1&token={ann}"), format!("?token={all}")] {
        let mut events = Events::open(&node.address, &format!("/v1/live{query}"), None).await;
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.name.as_str(), &event.data["stage"], &event.data["viewers"]),
            ("count", &json!("match-1"), &json!(1))
        );
    }
}

/// Reads a stream to its end; returns the code of its last event and skips the others.
async fn ending(mut events: Events) -> String {
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    let last = last.unwrap();
    assert_eq!(last.name, "end", "{last:?}");
    assert!(last.data["detail"].as_str().unwrap().contains("get another one"), "{last:?}");
    last.data["code"].as_str().unwrap().to_string()
}

#[timed_test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let node = strict().await;
    for query in ["stage=s&stage=t", "totals=true"] {
        let short = token(&Payload { exp: in_s(2.0), ..prefixed("ann", "") });
        let events =
            Events::open(&node.address, &format!("/v1/live?{query}&token={short}"), None).await;
        assert_eq!(ending(events).await, "token_expired", "{query}");
    }
    eventually("no subscriber is left", async || {
        node.metric("housecount_subscribers ").await == 0.0
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key_and_others_go_on() {
    let (operators, viewers) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let (removed, first) = new_key("removed", &[Scope::Read]);
    let (kept, second) = new_key("kept", &[Scope::Read, Scope::Beats]);
    std::fs::write(operators.path(), format!("{first}\n{second}")).unwrap();
    std::fs::write(viewers.path(), super::public_keys()).unwrap();
    let node = node(&[
        "auth.viewer=required",
        &format!("auth.viewer_keys={}", viewers.path().display()),
        &format!("auth.operator_keys={}", operators.path().display()),
    ])
    .await;
    let by = async |credential: &str| {
        let header = ("authorization", format!("Bearer {credential}"));
        Events::open_with(&node.address, "/v1/live?stage=s", &[header]).await
    };
    let (gone, mut stays) = (by(&removed).await, by(&kept).await);
    stays.next().await.unwrap();
    std::fs::write(operators.path(), &second).unwrap();
    assert_eq!(ending(gone).await, "key_removed");

    let signed =
        |key: &str, kid: &str| jwt::sign(&payload("ann", "s"), key, Some(kid.to_string())).unwrap();
    let (gone, mut also_stays) =
        (by(&signed(super::EC, "ec")).await, by(&signed(super::ED, "ed")).await);
    also_stays.next().await.unwrap();
    std::fs::write(viewers.path(), format!("kid: ed\n{}", super::ED_PUBLIC)).unwrap();
    assert_eq!(ending(gone).await, "key_removed");

    let beat = json!([{ "stage": "s", "viewer": "bob" }]).to_string();
    let (status, _) =
        node.client.call_as(&kept, Method::POST, "/v1/heartbeats", beat).await.unwrap();
    assert_eq!(status, 200);
    for events in [&mut stays, &mut also_stays] {
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["viewers"]), ("count", &json!(1)));
    }
}
