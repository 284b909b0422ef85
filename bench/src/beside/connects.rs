//! Rows 9 and 10: connections that open one after another, and subscribers that disconnect.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::crowd::Bodies;
use super::outcomes::Goal;
use super::readers::Subscribers;
use super::scene::{BEAT_EVERY, Scene};
use crate::viewers;

/// Rows of this scene.
pub const ROWS: [u8; 2] = [9, 10];
/// Viewers of the scene at most. Connection times do not depend on them.
const VIEWERS_MAX: usize = 20_000;
const CONNECTS: [usize; 2] = [5_000, 10_000];
/// Time limit for the connections of one kind.
const CONNECTS_WAIT: Duration = Duration::from_secs(30);
/// Connect time above which a SYN was lost. The kernel sends a SYN again after 1 s.
const SLOW: Duration = Duration::from_millis(900);
const SUBSCRIBERS: usize = 5_000;
/// Time limit for the node to close idle connections. Longer than the time between two comments of
/// a stream.
const GONE_WAIT: Duration = Duration::from_secs(20);
const HANDSHAKE: &str = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Runs the scene.
///
/// # Errors
/// Returns an error if a node fails or refuses a call.
pub fn run(mut scene: Scene<'_>) -> anyhow::Result<()> {
    let (plan, address) = (scene.plan, scene.ground.node()?.address);
    Bodies::of_size(0..VIEWERS_MAX.min(plan.viewers), 1, 1_000).fill(address)?;
    if plan.has(&[9]) {
        for count in CONNECTS {
            connects(&mut scene, count, "connects", "")?;
        }
        connects(&mut scene, CONNECTS[1], "WebSockets", HANDSHAKE)?;
    }
    if plan.has(&[10]) {
        gone(&mut scene)?;
    }
    Ok(())
}

/// Connections that were opened one after another.
struct Connects {
    took: Duration,
    open: usize,
    slow: usize,
    dropped: u64,
}

fn connects(
    scene: &mut Scene<'_>,
    count: usize,
    kind: &str,
    handshake: &str,
) -> anyhow::Result<()> {
    let what = format!("{count} {kind}, one after the other");
    let done = scene.beside(9, &what, BEAT_EVERY, Goal::none(), |ground| {
        open(ground.node()?.address, count, handshake)
    })?;
    // 20,000 connections in 1 s.
    let goal =
        if handshake.is_empty() { Goal::at_most(count as f64 / 20_000.0) } else { Goal::none() };
    if done.open < count {
        let text = format!("{} in {} s", done.open, CONNECTS_WAIT.as_secs());
        scene.outcomes.text(scene.place(9), &format!("{count} {kind}, s"), text, goal);
    } else {
        scene.figure(9, &format!("{count} {kind}, s"), Some(done.took.as_secs_f64()), 2, goal);
    }
    let slow = Some(done.slow as f64);
    scene.figure(9, &format!("{count} {kind}, SYNs sent again"), slow, 0, Goal::at_most(0.0));
    let dropped = Some(done.dropped as f64);
    scene.figure(
        9,
        &format!("{count} {kind}, drops of listen queues (the kernel's count)"),
        dropped,
        0,
        Goal::none(),
    );
    // All connections are closed now. Wait until the node has closed them too, so that each count
    // starts from the same state.
    let node = scene.ground.node()?;
    node.wait_for("housecount_connections", GONE_WAIT, |open| open < 100.0)?;
    Ok(())
}

fn open(address: SocketAddr, count: usize, handshake: &str) -> anyhow::Result<Connects> {
    let before = listen_drops()?;
    let start = Instant::now();
    let (mut streams, mut slow) = (Vec::with_capacity(count), 0);
    while streams.len() < count && start.elapsed() < CONNECTS_WAIT {
        let at = Instant::now();
        let mut stream = TcpStream::connect(address).context("connecting; raise `ulimit -n`")?;
        slow += usize::from(at.elapsed() > SLOW);
        if !handshake.is_empty() {
            stream.set_read_timeout(Some(CONNECTS_WAIT)).context("a read's time limit")?;
            stream.write_all(handshake.as_bytes()).context("a handshake")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head).context("a handshake's answer")?;
            ensure!(&head == b"HTTP/1.1 101", "a WebSocket was refused");
        }
        streams.push(stream);
    }
    let took = start.elapsed();
    Ok(Connects {
        took,
        open: streams.len(),
        slow,
        dropped: listen_drops()?.saturating_sub(before),
    })
}

/// Returns how many connections the kernel dropped because a listen queue was full. The count is
/// over all listeners of this machine.
fn listen_drops() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/net/netstat").context("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split(' ').position(|name| name == "ListenDrops").context("no ListenDrops")?;
    values
        .split(' ')
        .nth(at)
        .and_then(|value| value.parse().ok())
        .context("ListenDrops is not a number")
}

fn gone(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let node = scene.ground.node()?;
    let path = format!("/v1/live?stage={}", viewers::stage(0, 1));
    let before = node.resident()?;
    let what = format!("{SUBSCRIBERS} subscribers come and go");
    let (open, took, after) = scene.beside(10, &what, BEAT_EVERY, Goal::none(), |ground| {
        let node = ground.node()?;
        let subscribers = Subscribers::open(node.address, &path, SUBSCRIBERS)?;
        std::thread::sleep(Duration::from_secs(1));
        let open = node.resident()?;
        subscribers.close()?;
        let took = node.wait_for("housecount_connections", GONE_WAIT, |open| open < 100.0)?;
        std::thread::sleep(Duration::from_secs(2));
        Ok((open, took, node.resident()?))
    })?;
    let what = "s until the node has closed 5,000 subscribers";
    match took {
        Some(took) => scene.figure(10, what, Some(took.as_secs_f64()), 2, Goal::at_most(1.0)),
        None => {
            let text = format!("more than {}", GONE_WAIT.as_secs());
            scene.outcomes.text(scene.place(10), what, text, Goal::at_most(1.0));
        }
    }
    let a_subscriber = (open - before) / SUBSCRIBERS as f64 / 1024.0;
    scene.figure(10, "KiB a subscriber", Some(a_subscriber), 1, Goal::none());
    scene.figure(10, "MB above before, open", Some((open - before) / 1e6), 1, Goal::none());
    let goal = Goal::at_most_by(None, "returned");
    scene.figure(10, "MB above before, 2 s after", Some((after - before) / 1e6), 1, goal);
    Ok(())
}
