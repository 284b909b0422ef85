//! Requests that two programs may read in two ways. A proxy in front of a node could let pass what
//! the node reads as another request.

use housecount_test::timed_test;

use super::raw::{all, ask};
use super::{payload, refused, strict, token};

const BEAT: &str = r#"{"stage":"s","viewer":"ann"}"#;

#[timed_test(flavor = "multi_thread")]
async fn two_credentials_are_refused_even_if_both_are_good() {
    let node = strict().await;
    let good = format!("authorization: Bearer {}", token(&payload("ann", "s")));
    let ask = |headers: &[String]| ask(&node, "POST /v1/heartbeat", headers, BEAT).1;
    assert_eq!(ask(std::slice::from_ref(&good)).0, 200);
    for other in [
        good.as_str(),
        "authorization: Bearer a.b.c",
        "Authorization: Basic eA==",
        "x-api-key: hck_0",
        "x-api-key:",
    ] {
        for headers in [[good.clone(), other.to_string()], [other.to_string(), good.clone()]] {
            assert_eq!(refused(&ask(&headers)), (401, "unauthorized"), "{other}");
        }
    }
    for scheme in ["Basic", "Token", ""] {
        let headers = [good.replace("Bearer", scheme)];
        assert_eq!(refused(&ask(&headers)), (401, "unauthorized"), "{scheme}");
    }
    assert_eq!(ask(&[good.replace("Bearer", "bearer")]).0, 200, "schemes are case-insensitive");
}

/// A second request never hides in the body of the first, however the length is given.
#[timed_test(flavor = "multi_thread")]
async fn a_body_has_one_length() {
    let node = strict().await;
    let good = token(&payload("ann", "s"));
    let hidden = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("{:x}\r\n{BEAT}\r\n0\r\n\r\n{hidden}", BEAT.len());
    let (short, long) = (BEAT.len(), BEAT.len() + hidden.len());
    for (lengths, body) in [
        (
            format!("content-length: {short}\r\ncontent-length: {long}\r\n"),
            format!("{BEAT}{hidden}"),
        ),
        (
            format!("content-length: {long}\r\ncontent-length: {short}\r\n"),
            format!("{BEAT}{hidden}"),
        ),
        (format!("content-length: {short}, {long}\r\n"), format!("{BEAT}{hidden}")),
        (format!("content-length: +{short}\r\n"), format!("{BEAT}{hidden}")),
        (
            format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunked.len()),
            chunked.clone(),
        ),
        (
            format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", chunked.len()),
            chunked.clone(),
        ),
        ("transfer-encoding: chunked, identity\r\n".to_string(), chunked.clone()),
        ("transfer-encoding: xchunked\r\n".to_string(), chunked.clone()),
        ("transfer-encoding : chunked\r\n".to_string(), chunked.clone()),
        (format!("content-length: {short}\r\n x: folded\r\n"), format!("{BEAT}{hidden}")),
        (format!("content-length : {short}\r\n"), format!("{BEAT}{hidden}")),
    ] {
        let request = format!(
            "POST /v1/heartbeat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {good}\r\n{lengths}\r\n{body}"
        );
        let answers = all(&node, &request);
        // Of two lengths the stronger counts, and the connection ends (RFC 9112, 6.3).
        let both = lengths.contains("content-length: ")
            && lengths.contains("transfer-encoding: chunked\r\n");
        let expected = if both { "HTTP/1.1 200" } else { "HTTP/1.1 400" };
        assert!(answers.starts_with(expected), "{lengths:?}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{lengths:?}: {answers}");
    }
    // Two whole requests get two answers.
    let request = format!(
        "POST /v1/heartbeat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {good}\r\ncontent-length: {short}\r\n\r\n{BEAT}{hidden}"
    );
    assert_eq!(all(&node, &request).matches("HTTP/1.1 200").count(), 2);
}
