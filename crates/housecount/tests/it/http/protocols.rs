//! Versions of HTTP on the plain port, `OPTIONS` as balancers send it, and WebSockets with
//! subprotocols.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::{H2_STREAMS_MAX, HEADER_READ_MS_MAX};
use housecount_test::timed_test;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Answer, FAST, connect, exchange, get, parse};
use crate::support::node::Node;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

type Client = SendRequest<Full<Bytes>>;

/// An HTTP/2 client by prior knowledge, and the task of its connection.
async fn h2c(node: &Node) -> (Client, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(node.address.trim_start_matches("http://")).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (client, tokio::spawn(connection))
}

fn request(node: &Node, method: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(format!("{}{path}", node.address));
    request.header("content-type", "application/json").body(Full::from(body)).unwrap()
}

/// The node's answer over HTTP/2: its status, and its body as JSON.
async fn call(client: &mut Client, request: Request<Full<Bytes>>) -> (u16, Value) {
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Many players' requests on one connection, as balancers send them that speak HTTP/2 to their
/// servers.
#[timed_test(flavor = "multi_thread")]
async fn http_2_by_prior_knowledge_is_spoken_on_the_plain_port() {
    let node = Node::ready(&FAST).await;
    let (mut client, _connection) = h2c(&node).await;
    let beats = (0..u64::from(H2_STREAMS_MAX)).map(|n| {
        let mut client = client.clone();
        let beat = json!({ "stage": "s", "viewer": format!("viewer-{n}") });
        let request = request(&node, "POST", "/v1/heartbeat", &beat);
        async move { call(&mut client, request).await }
    });
    let answers = futures_util::future::join_all(beats).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(node.stats().await["viewers"], u64::from(H2_STREAMS_MAX));
    for (method, path, body, status) in [
        ("GET", "/v1/stats", Value::Null, 200),
        ("POST", "/v1/leave", json!({ "stage": "s", "viewer": "viewer-1" }), 204),
        ("POST", "/v1/heartbeats", json!([{ "stage": "s", "viewer": "viewer-1" }]), 200),
        ("POST", "/v1/heartbeat", json!({ "stage": "s" }), 400),
        ("GET", "/v1/stats?x=1", Value::Null, 400),
        ("GET", "/v1/nothing", Value::Null, 404),
        ("GET", "/v1/ws", Value::Null, 426),
        ("OPTIONS", "/", Value::Null, 204),
    ] {
        assert_eq!(
            call(&mut client, request(&node, method, path, &body)).await.0,
            status,
            "{method} {path}"
        );
    }
}

/// The bounds of HTTP/2 are the same as over TLS. The first frame announces how many requests may
/// be open.
#[timed_test(flavor = "multi_thread")]
async fn h2_streams_max_is_announced_on_the_plain_port() {
    let node = Node::ready(&FAST).await;
    let mut stream = connect(&node);
    stream.write_all(&[PREFACE, &SETTINGS].concat()).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS: {head:?}");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(streams[2..], H2_STREAMS_MAX.to_be_bytes());
}

/// Bytes that arrive one by one form the same request, in both versions.
#[timed_test(flavor = "multi_thread")]
async fn a_beginning_in_pieces_is_understood() {
    let node = Node::ready(&FAST).await;
    let mut stream = connect(&node);
    stream.set_nodelay(true).unwrap();
    for piece in PREFACE.chunks(1) {
        stream.write_all(piece).unwrap();
    }
    stream.write_all(&SETTINGS).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "{head:?}");

    for text in [
        "POST /v1/heartbeats",
        "PUT /v1/heartbeats",
        "PRI /v1/heartbeats",
        "PRI * HTTP/1.1\r\nx: y\r\n\r\nGET /",
    ] {
        let mut stream = connect(&node);
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "{text} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]"
        );
        for piece in request.as_bytes().chunks(1) {
            // A write may fail: the node answers the last of these early, and closes the
            // connection.
            let _ = stream.write_all(piece);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 "), "{text}: {answer:?}");
        if text.starts_with("POST") {
            assert_eq!(parse(&answer).status, 200, "{answer}");
        }
    }
}

/// Half a preface holds a connection no longer than half a request does. A whole HTTP/1 request is
/// served meanwhile.
#[timed_test(flavor = "multi_thread")]
async fn header_read_ms_max_ends_half_a_preface() {
    const { assert!(HEADER_READ_MS_MAX < 30_000, "the test would take too long") };
    let node = Node::ready(&FAST).await;
    let mut streams: Vec<_> = [&PREFACE[..1], &PREFACE[..23]]
        .map(|part| {
            let mut stream = connect(&node);
            stream.write_all(part).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream
        })
        .into();
    assert_eq!(get(&node, "/healthz").status, 200);
    for stream in &mut streams {
        assert_eq!(
            stream.read(&mut [0; 64]).unwrap(),
            0,
            "the connection is closed without an answer"
        );
    }
}

#[timed_test(flavor = "multi_thread")]
async fn an_idle_connection_of_either_kind_ends_with_the_node() {
    let mut node = Node::ready(&FAST).await;
    let (mut client, connection) = h2c(&node).await;
    assert_eq!(call(&mut client, request(&node, "GET", "/healthz", &Value::Null)).await.0, 200);
    let mut silent = connect(&node);
    let mut half = connect(&node);
    half.write_all(&PREFACE[..5]).unwrap();
    assert!(tokio::task::block_in_place(|| node.stop()).success());
    connection.await.unwrap().unwrap();
    for stream in [&mut silent, &mut half] {
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
}

/// RFC 9113 has no upgrade from HTTP/1.1 any more. A client that offers one (`curl --http2`)
/// continues in HTTP/1.1.
#[timed_test(flavor = "multi_thread")]
async fn an_upgrade_to_http_2_is_passed_over() {
    let node = Node::ready(&FAST).await;
    let answer = exchange(
        &node,
        "GET /v1/stats HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(
        (answer.status, answer.json()["viewers"].as_u64()),
        (200, Some(0)),
        "{}",
        answer.body
    );
}

/// HAProxy's default check is `OPTIONS / HTTP/1.0`; older checks send `OPTIONS *`.
#[timed_test(flavor = "multi_thread")]
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
    assert_eq!(
        exchange(&node, "GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").status,
        404
    );
}

/// Returns the answer to a WebSocket at this path, whose client offers these subprotocols.
fn upgrade(node: &Node, path: &str, offered: &[&str]) -> Answer {
    let offered: String =
        offered.iter().map(|line| format!("sec-websocket-protocol: {line}\r\n")).collect();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offered}\r\n"
    );
    let mut stream = connect(node);
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let answer = parse(&String::from_utf8(answer).unwrap());
    assert_eq!(answer.status, 101, "{path} {offered}");
    answer
}

/// The subprotocol in the answer to a WebSocket at this path, if its client offers these.
fn subprotocol(node: &Node, path: &str, offered: &[&str]) -> Option<String> {
    upgrade(node, path, offered).header("sec-websocket-protocol").map(str::to_string)
}

/// Each player has this head once per stay, so it has nothing that a client does not need.
#[timed_test(flavor = "multi_thread")]
async fn the_head_of_a_websocket_is_short() {
    let node = Node::ready(&FAST).await;
    let answer = upgrade(&node, "/v1/ws", &["housecount.2"]);
    let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["connection", "upgrade", "sec-websocket-accept", "sec-websocket-protocol"];
    assert_eq!(names, expected);
    // Answers of other statuses have a date, and those of hyper itself too.
    for (request, status) in
        [("GET /healthz HTTP/1.1\r\nhost: x", 200), ("GET /v1/ws HTTP/1.1\r\nx", 400)]
    {
        let answer = exchange(&node, &format!("{request}\r\nconnection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.header("date").is_some()), (status, true), "{request}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_websocket_is_answered_with_its_subprotocol() {
    let node = Node::ready(&FAST).await;
    let ours = Some("housecount.1".to_string());
    for (offered, expected) in [
        (&["housecount.1"][..], &ours),
        (&["x, housecount.1"], &ours),
        (&["x", "housecount.1, y"], &ours),
        (&["housecount.9, housecount.1"], &ours),
        (&["housecount.1, housecount.token.a.b.c"], &ours),
        (&["housecount.token.a.b.c, housecount.1"], &ours),
        (&["housecount.token.a.b.c"], &None),
        (&[], &None),
        (&["x"], &None),
        (&["housecount.9"], &None),
        (&["Housecount.1"], &None),
        (&["housecount.1x"], &None),
        (&[""], &None),
    ] {
        assert_eq!(subprotocol(&node, "/v1/ws", offered), *expected, "{offered:?}");
    }
    // The drop-in socket accepts any subprotocol of its front-end, as the front-end's usual server
    // does.
    for (offered, expected) in [
        (&["stats, other"][..], Some("stats")),
        (&["housecount.1"], Some("housecount.1")),
        (&["a", "b"], Some("a")),
        (&[], None),
        (&[" , "], None),
    ] {
        assert_eq!(subprotocol(&node, "/ws", offered).as_deref(), expected, "{offered:?}");
    }
}
