//! `OPTIONS` as balancers send it.

use super::{FAST, exchange};
use crate::support::node::Node;

/// HAProxy's default check is `OPTIONS / HTTP/1.0`; `OPTIONS *` is older ones'.
#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_server_is_204_with_allow() {
    let node = Node::ready(&FAST).await;
    let all = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";
    for (request, allow) in [
        ("OPTIONS / HTTP/1.0\r\n\r\n", "GET, HEAD, OPTIONS"),
        ("OPTIONS / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "GET, HEAD, OPTIONS"),
        ("OPTIONS * HTTP/1.0\r\n\r\n", all),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", all),
    ] {
        let answer = exchange(&node, request);
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)), "{request}");
        assert_eq!(answer.body, "", "{request}");
    }
    assert_eq!(exchange(&node, "GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").status, 404);
}
