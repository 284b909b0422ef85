//! Connections that follow each other as fast as one client can open them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use housecount_test::timed_test;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::connections::connections;
use crate::support::eventually;
use crate::support::node::Node;

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// SYNs that the machine's listeners have dropped since the machine started.
fn dropped_syns() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut rows =
        text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    names.zip(values).find(|(name, _)| *name == "ListenDrops").unwrap().1.parse().unwrap()
}

/// Connections that one client address opens. With half of the system's 28,000 ports in use, the
/// search for a free port takes longer than all else.
const PER_ADDRESS: usize = 10_000;

/// Opens `count` connections one after the other; returns them with the longest time that one took.
/// No two rounds share an address.
async fn open(node: &Node, count: usize, round: usize) -> (Vec<TcpStream>, Duration) {
    let to: SocketAddr = node.address.trim_start_matches("http://").parse().unwrap();
    let (mut slowest, mut open) = (Duration::ZERO, Vec::with_capacity(count));
    for n in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::new(127, 0, round as u8 + 1, (n / PER_ADDRESS) as u8 + 1);
        socket.bind((from, 0).into()).unwrap();
        let began = Instant::now();
        open.push(socket.connect(to).await.unwrap());
        slowest = slowest.max(began.elapsed());
    }
    (open, slowest)
}

#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure: cargo test -p housecount --test it -- --ignored --nocapture overload::connects"]
async fn twenty_thousand_connects_one_after_the_other() {
    let count = connections();
    let node = Node::ready_with_files(count + 400, &["log=memory:", "cold=none"]).await;
    for round in 0..3 {
        let (dropped, began) = (dropped_syns(), Instant::now());
        let (open, slowest) = open(&node, count, round).await;
        let connected = began.elapsed();
        eventually("all connections are accepted", async || {
            node.metric("housecount_connections ").await >= count as f64
        })
        .await;
        let accepted = began.elapsed();
        let dropped = dropped_syns() - dropped;
        println!(
            "{count} connects in {connected:.2?}, the slowest {slowest:.2?}; accepted in {accepted:.2?}; {dropped} SYNs dropped"
        );
        drop(open);
        eventually("all connections are closed", async || {
            node.metric("housecount_connections ").await < 50.0
        })
        .await;
    }
}

#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure: cargo test -p housecount --test it -- --ignored --nocapture overload::connects"]
async fn ten_thousand_websockets_one_after_the_other() {
    let count = connections().min(10_000);
    let node = Node::ready_with_files(count + 400, &["log=memory:", "cold=none"]).await;
    let (dropped, began) = (dropped_syns(), Instant::now());
    let (mut open, slowest) = open(&node, count, 3).await;
    for stream in &mut open {
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    }
    for stream in &mut open {
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
    }
    let took = began.elapsed();
    let dropped = dropped_syns() - dropped;
    println!(
        "{count} WebSockets in {took:.2?}, the slowest connect {slowest:.2?}; {dropped} SYNs dropped"
    );
}

/// Measures the memory of subscribers: while they are there, once they are gone, and after others
/// have come and gone.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure: cargo test -p housecount --test it -- --ignored --nocapture overload::connects"]
async fn memory_of_ten_thousand_streams_that_are_gone() {
    const STREAM: &str = "GET /v1/live?stage=s HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let count = connections().min(10_000);
    let node = Node::ready_with_files(count + 400, &["log=memory:", "cold=none"]).await;
    println!("{:.1} MB before", node.own_bytes() as f64 / 1e6);
    for round in 0..3 {
        let (mut open, _) = open(&node, count, 4 + round).await;
        for stream in &mut open {
            stream.write_all(STREAM.as_bytes()).await.unwrap();
        }
        let subscribed = async || node.metric("housecount_subscribers ").await;
        eventually("all clients are subscribed", async || subscribed().await >= count as f64).await;
        let there = node.own_bytes();
        let closed = Instant::now();
        drop(open);
        eventually("all subscriptions have ended", async || subscribed().await == 0.0).await;
        let took = closed.elapsed();
        println!(
            "{count} streams: {:.1} MB with them, {:.1} MB without; gone in {took:.2?}",
            there as f64 / 1e6,
            node.own_bytes() as f64 / 1e6
        );
    }
    eventually("all connections are closed", async || {
        node.metric("housecount_connections ").await < 5.0
    })
    .await;
    println!("{:.1} MB after", node.own_bytes() as f64 / 1e6);
}
