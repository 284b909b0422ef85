//! Counts as they change: who may watch which, by a token in a header or, as a browser's EventSource must, in the query.

use hyper::Method;
use serde_json::json;

use super::raw::ask;
use super::{in_s, payload, refused, strict, token};
use crate::support::sse::Events;
use housecount::auth::Payload;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_counts_needs_a_token_for_its_stages() {
    let node = strict().await;
    let (ann, all) = (token(&payload("ann", "match-*")), token(&payload("ann", "*")));
    let beat = json!({ "stage": "match-1", "viewer": "ann" }).to_string();
    let (status, _) = node.client.call_as(&ann, Method::POST, "/v1/heartbeat", beat).await.unwrap();
    assert_eq!(status, 200);

    let ended = token(&Payload { exp: in_s(-5.0), ..payload("ann", "match-*") });
    for (query, expected) in [
        ("?stage=match-1".to_string(), (401, "token_missing")),
        (String::new(), (401, "token_missing")),
        ("?stage=match-1&token=".to_string(), (401, "token_invalid")),
        (format!("?stage=match-1&token={ann}x"), (401, "token_invalid")),
        (format!("?stage=match-1&token={ended}"), (401, "token_expired")),
        (format!("?stage=other&token={ann}"), (403, "token_mismatch")),
        // One that it is for doesn't open another.
        (format!("?stage=match-1&stage=other&token={ann}"), (403, "token_mismatch")),
        (format!("?token={ann}"), (403, "token_mismatch")),
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
