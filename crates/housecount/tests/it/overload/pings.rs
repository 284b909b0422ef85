//! WebSocket clients that ping and never read. The tests cover the node's memory for them, and when
//! it disconnects them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use housecount_core::limits::{ANSWER_READ_MS_MAX, WS_WRITE_BUFFER_BYTES_MAX};
use housecount_test::timed_test;
use tokio::net::TcpSocket;
use tokio::runtime::Handle;

use crate::support::eventually;
use crate::support::node::Node;

/// Memory that a node may gain, whatever clients that never read send to it.
const GROWTH_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// The longest payload of a ping (RFC 6455, 5.5).
const PING_BYTES: usize = 125;
const PINGS: usize = 1_000;

/// A thousand pings, masked with zeros.
fn pings() -> Vec<u8> {
    [&[0x89, 0x80 | PING_BYTES as u8, 0, 0, 0, 0][..], &[b'p'; PING_BYTES]].concat().repeat(PINGS)
}

/// Opens a WebSocket with the smallest receive buffer of its system. Unread answers then wait at
/// the node.
async fn upgraded(address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let address = address.trim_start_matches("http://").parse().map_err(std::io::Error::other)?;
    let mut stream = socket.connect(address).await?.into_std()?;
    stream.set_nonblocking(false)?;
    let request = "GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    Ok(stream)
}

/// Bytes that the clients have sent, and how often one was disconnected.
#[derive(Default)]
struct Flood {
    has_ended: AtomicBool,
    bytes: AtomicU64,
    let_go: AtomicU64,
}

impl Flood {
    /// Starts `clients` clients, each of which sends `bytes_max`.
    fn begin(node: &Node, clients: usize, bytes_max: u64) -> (Arc<Flood>, Vec<JoinHandle<()>>) {
        let flood = Arc::new(Flood::default());
        let threads = (0..clients).map(|_| {
            let (flood, address, runtime) =
                (flood.clone(), node.address.clone(), Handle::current());
            std::thread::spawn(move || flood.send(&runtime, &address, bytes_max))
        });
        let threads = threads.collect();
        (flood, threads)
    }

    fn sent(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn let_go(&self) -> u64 {
        self.let_go.load(Ordering::Relaxed)
    }

    fn end(&self, clients: Vec<JoinHandle<()>>) {
        self.has_ended.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    }

    /// Pings on one connection, and on a new one after a disconnect. It ends with the flood or
    /// after `bytes_max`.
    fn send(&self, runtime: &Handle, address: &str, bytes_max: u64) {
        let (pings, mut sent) = (pings(), 0);
        let goes_on = |sent: u64| !self.has_ended.load(Ordering::Relaxed) && sent < bytes_max;
        while goes_on(sent) {
            let Ok(mut stream) = runtime.block_on(upgraded(address)) else { continue };
            // The timeout lets it notice the end of the flood.
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let mut at = 0;
            while goes_on(sent) {
                match stream.write(&pings[at..]) {
                    Ok(written) => {
                        at = (at + written) % pings.len();
                        sent += written as u64;
                        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
                    }
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => {
                        self.let_go.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
    }
}

/// Causes far more pongs than the system's own buffers take.
#[timed_test(flavor = "multi_thread")]
async fn ws_write_buffer_bytes_max_bounds_what_clients_that_never_read_cost() {
    const CLIENTS: usize = 4;
    const BYTES: u64 = 16 * 1024 * 1024;
    const { assert!(CLIENTS * WS_WRITE_BUFFER_BYTES_MAX * 16 < GROWTH_BYTES_MAX as usize) };
    let node = Node::ready(&["log=memory:", "cold=none", "workers=2"]).await;
    let before = node.own_bytes();
    let (flood, clients) = Flood::begin(&node, CLIENTS, BYTES);
    eventually("all pings are sent", async || flood.sent() >= CLIENTS as u64 * BYTES).await;
    let grown = node.own_bytes().saturating_sub(before);
    flood.end(clients);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    node.beat("s", "still-there").await;
}

/// The client pings and reads nothing, so that its pongs wait. It is disconnected although it still
/// sends.
#[timed_test(flavor = "multi_thread")]
async fn a_websocket_whose_client_takes_nothing_is_closed() {
    const { assert!(ANSWER_READ_MS_MAX < 45_000, "the test would take too long") };
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let mut idle = upgraded(&node.address).await.unwrap();
    let (flood, clients) = Flood::begin(&node, 1, u64::MAX);
    eventually("the client is disconnected", async || flood.let_go() > 0).await;
    flood.end(clients);
    eventually("only the idle connection is left", async || {
        node.metric("housecount_websockets ").await == 1.0
    })
    .await;
    // This client has been silent for as long.
    idle.write_all(&[0x89, 0x80, 0, 0, 0, 0]).unwrap();
    let mut pong = [0; 2];
    idle.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0x8a, 0]);
}

/// Runs a hundred clients for a minute. docs/PROOFS.md has the command.
#[timed_test(flavor = "multi_thread")]
#[ignore = "takes a minute and all cores"]
async fn a_hundred_clients_that_ping_and_never_read() {
    const CLIENTS: usize = 100;
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let before = node.own_bytes();
    let mut most = before;
    let (flood, clients) = Flood::begin(&node, CLIENTS, u64::MAX);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(node.own_bytes());
    }
    flood.end(clients);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{CLIENTS} clients sent {:.0} MiB of pings in 60 s and read nothing; {} were let go; the node had {:.1} MiB \
         before and {:.1} MiB at most, {:.1} MiB more",
        mib(flood.sent()),
        flood.let_go(),
        mib(before),
        mib(most),
        mib(most - before)
    );
    assert!(most - before < GROWTH_BYTES_MAX, "memory grew by {} bytes", most - before);
    assert!(flood.let_go() > 0, "some clients were disconnected");
    node.beat("s", "still-there").await;
}
