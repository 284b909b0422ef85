//! Connections that come one after the other, as fast as one client can open them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::connections::{connect, connections};
use crate::support::eventually;
use crate::support::node::Node;

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// SYNs that the machine's listeners have dropped since it was started.
fn dropped_syns() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    names.zip(values).find(|(name, _)| *name == "ListenDrops").unwrap().1.parse().unwrap()
}

/// Opens so many connections on one thread and returns them with the longest that one took.
fn open(node: &Node, count: usize) -> (Vec<TcpStream>, Duration) {
    let mut slowest = Duration::ZERO;
    let open = (0..count).map(|_| {
        let began = Instant::now();
        let stream = connect(node);
        slowest = slowest.max(began.elapsed());
        stream
    });
    let open = open.collect();
    (open, slowest)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo test -p housecount --test it -- --ignored --nocapture overload::connects"]
async fn twenty_thousand_connects_one_after_the_other() {
    let count = connections();
    let node = Node::ready_with_files(count + 400, &["log=memory:", "cold=none"]).await;
    for _ in 0..3 {
        let (dropped, began) = (dropped_syns(), Instant::now());
        let (open, slowest) = open(&node, count);
        let connected = began.elapsed();
        eventually("all are accepted", async || node.metric("housecount_connections ").await >= count as f64)
            .await;
        let accepted = began.elapsed();
        let dropped = dropped_syns() - dropped;
        println!(
            "{count} connects in {connected:.2?}, the slowest {slowest:.2?}; accepted in {accepted:.2?}; {dropped} SYNs dropped"
        );
        drop(open);
        eventually("all are gone", async || node.metric("housecount_connections ").await < 50.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo test -p housecount --test it -- --ignored --nocapture overload::connects"]
async fn ten_thousand_websockets_one_after_the_other() {
    let count = connections().min(10_000);
    let node = Node::ready_with_files(count + 400, &["log=memory:", "cold=none"]).await;
    let (dropped, began) = (dropped_syns(), Instant::now());
    let (mut open, slowest) = open(&node, count);
    for stream in &mut open {
        stream.write_all(UPGRADE.as_bytes()).unwrap();
    }
    for stream in &mut open {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
    }
    let took = began.elapsed();
    let dropped = dropped_syns() - dropped;
    println!("{count} WebSockets in {took:.2?}, the slowest connect {slowest:.2?}; {dropped} SYNs dropped");
}
