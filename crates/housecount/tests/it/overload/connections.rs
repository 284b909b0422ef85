//! More connections than file descriptors, as many idle ones as the system allows a process, and
//! clients that read nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use housecount_core::limits::ANSWER_READ_MS_MAX;
use housecount_test::timed_test;
use hyper::Method;

use crate::support::eventually;
use crate::support::node::{Node, housecount};

pub fn connect(node: &Node) -> TcpStream {
    TcpStream::connect(node.address.trim_start_matches("http://")).unwrap()
}

/// Asks on a connection that stays open; returns false without an answer.
fn is_answered(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut answer = [0; 12];
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// Reads the rest of an answer, so that the next answer can be recognized.
fn drain(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut rest = [0; 4_096];
    while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
    stream.set_nonblocking(false).unwrap();
}

#[timed_test(flavor = "multi_thread")]
async fn without_file_descriptors_open_connections_stay_and_others_wait() {
    let node = Node::ready_with_files(96, &["log=memory:", "cold=none", "workers=2"]).await;
    // An old connection, since the test's own client may lose its place.
    let mut old = connect(&node);
    assert!(is_answered(&mut old));
    drain(&mut old);
    let others: Vec<TcpStream> = (0..200).map(|_| connect(&node)).collect();
    eventually("accepts fail", async || {
        assert!(is_answered(&mut old), "an open connection is served");
        drain(&mut old);
        node_metric(&mut old, "housecount_accept_failures_total") > 0
    })
    .await;
    let mut late = connect(&node);
    assert!(!is_answered(&mut late), "a new connection is not served");
    drop(others);
    eventually("new connections are served again", async || is_answered(&mut connect(&node))).await;
    node.beat("s", "v").await;
    assert_eq!(node.viewers("s").await, 1);
}

/// A figure of `/metrics`, over an open connection, since a new one may be impossible.
fn node_metric(stream: &mut TcpStream, name: &str) -> u64 {
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // The OpenMetrics format marks its end.
    let request =
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: application/openmetrics-text\r\n\r\n";
    stream.write_all(request).unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 4_096]);
    while let Ok(read) = stream.read(&mut buffer) {
        text.extend_from_slice(&buffer[..read]);
        if read == 0 || text.ends_with(b"# EOF\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Number of connections that the system allows one process, up to 20,000.
pub fn connections() -> usize {
    let result = Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap();
    let limit = String::from_utf8_lossy(&result.stdout).trim().parse().unwrap_or(1_000_000_usize);
    limit.saturating_sub(400).min(20_000)
}

#[timed_test(flavor = "multi_thread")]
async fn twenty_thousand_idle_connections_cost_little() {
    let (count, all) = (connections(), connections() + 400);
    let node = Node::ready_with_files(all, &["log=memory:", "cold=none"]).await;
    let before = node.own_bytes();
    // Players over WebSockets, which beat once in half a minute. No other connection idles for
    // longer.
    let load = [
        "load",
        "--url",
        &node.address,
        "--viewers",
        &count.to_string(),
        "--transport",
        "ws",
        "--interval",
        "30s",
        "--duration",
        "300s",
    ];
    let mut players = Command::new("sh")
        .args(["-c", &format!("ulimit -n {all} && exec \"$0\" \"$@\"")])
        .arg(housecount().get_program())
        .args(load)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("all players are connected", async || {
        node.metric("housecount_websockets ").await >= count as f64
    })
    .await;
    let grown = node.own_bytes().saturating_sub(before);
    let a_connection = grown / count as u64;
    // A connection takes 5 KiB in a release build (docs/PERFORMANCE.md), and the viewer. A build
    // for tests has larger futures.
    assert!(a_connection < 24 * 1024, "{a_connection} bytes per connection of {count}");
    println!("{count} idle connections, {a_connection} bytes each, the viewers included");
    node.beat("s", "one-more").await;
    players.kill().unwrap();
    players.wait().unwrap();
    eventually("all players are disconnected", async || {
        node.metric("housecount_websockets ").await == 0.0
    })
    .await;
}

/// A client sends requests without a pause and reads nothing. Others are served meanwhile, and the
/// client is disconnected after `ANSWER_READ_MS_MAX`.
#[timed_test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_closed() {
    const { assert!(ANSWER_READ_MS_MAX < 60_000, "the test would take too long") };
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let mut deaf = connect(&node);
    // A busy machine also pauses for a second. A shorter timeout could end the writes while the
    // buffers still have room.
    deaf.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let asks = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    // Writes until neither side's buffers accept any more.
    while deaf.write_all(asks.as_bytes()).is_ok() {}
    assert_eq!(node.client.call(Method::GET, "/healthz", "").await.unwrap().0, 200);
    // The client's own connection is checked, since this test may have several others.
    deaf.set_nonblocking(true).unwrap();
    let is_let_go =
        |result: std::io::Result<usize>| result.is_err_and(|e| e.kind() != ErrorKind::WouldBlock);
    eventually("the client is disconnected", async || is_let_go(deaf.write(b"G"))).await;
}

/// One address may have two connections. A third is closed at once, until one of them ends.
#[timed_test(flavor = "multi_thread")]
async fn connections_of_an_address_are_limited() {
    let node = Node::ready(&["log=memory:", "cold=none", "limits.address_connections=2"]).await;
    // The node's own client in this test has one connection.
    let mut second = connect(&node);
    assert!(is_answered(&mut second));
    drain(&mut second);
    let mut third = connect(&node);
    let _ = third.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut answer = Vec::new();
    assert!(matches!(third.read_to_end(&mut answer), Ok(0) | Err(_)) && answer.is_empty());
    assert_eq!(node_metric(&mut second, "housecount_connections_refused_total"), 1);
    // The place is free once the connection ends, also for a WebSocket.
    drop(second);
    let upgrade = "GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let open = || {
        let mut stream = connect(&node);
        let mut status = [0; 12];
        let _ = stream.write_all(upgrade.as_bytes());
        let is_open = stream.read_exact(&mut status).is_ok() && status == *b"HTTP/1.1 101";
        is_open.then_some(stream)
    };
    for _ in 0..3 {
        let mut socket = None;
        eventually("new connections are accepted again", async || {
            socket = socket.take().or_else(open);
            socket.is_some()
        })
        .await;
        assert!(open().is_none());
    }
    node.beat("s", "v").await;
}

/// A proxy's connections are not limited. Its WebSockets and streams are, by the client that the
/// proxy names.
#[timed_test(flavor = "multi_thread")]
async fn websockets_and_streams_behind_a_proxy_are_limited() {
    let node = Node::ready(&[
        "log=memory:",
        "cold=none",
        "limits.address_connections=2",
        "proxies=127.0.0.0/8",
    ])
    .await;
    let ask = |line: &str, client: &str| {
        let mut stream = connect(&node);
        let request = format!(
            "GET {line} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), stream)
    };
    let (socket, stream) = (ask("/v1/ws", "192.0.2.1"), ask("/v1/live?stage=s", "192.0.2.1"));
    assert_eq!((&*socket.0, &*stream.0), ("101", "200"));
    for line in ["/v1/ws", "/v1/live?stage=s"] {
        assert_eq!(ask(line, "192.0.2.1").0, "429", "{line}");
        assert_eq!(
            ask(line, "6.6.6.6, 192.0.2.1").0,
            "429",
            "{line}: a client's own header has no effect"
        );
    }
    assert_eq!(ask("/healthz", "192.0.2.1").0, "200", "a request holds no connection");
    let others: Vec<_> = (2..8).map(|n| ask("/v1/ws", &format!("192.0.2.{n}"))).collect();
    assert!(
        others.iter().all(|(status, _)| status == "101"),
        "the proxy's connections are not limited"
    );
    assert_eq!(node.metric("housecount_rejected_total{code=\"too_many_connections\"}").await, 4.0);
    let mut again = Vec::new();
    for gone in [socket.1, stream.1] {
        drop(gone);
        eventually("new connections are accepted again", async || {
            let (status, stream) = ask("/v1/ws", "192.0.2.1");
            again.push(stream);
            status == "101"
        })
        .await;
    }
}
