//! Real servers for tests, each started by the test that needs it and ended with it. Also logs and
//! cold tiers with faults on demand.
//!
//! Tests of several crates share them. `./test` installs the programs.

#![allow(missing_docs)] // names say it, as in the tests
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too
#![allow(clippy::new_without_default)] // `new` starts programs and writes files

pub mod certificates;
pub mod cold;
pub mod committed_crowd;
#[path = "../../housecount-core/tests/crowd/mod.rs"]
pub mod crowd;
pub mod dynamo;
pub mod emulator;
pub mod faulty;
pub mod hour;
pub mod redis;
pub mod sentinel;
pub mod stage;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Redis Cluster's offset from a server's port to the port of its bus.
const BUS_PORT_OFFSET: u16 = 10_000;

/// Returns a free port whose bus port is free as well. Each test gets another one. All are below
/// the ports that systems give to connections (32768 and up on Linux). So no other program takes it
/// before the server starts.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        // Other processes start at other numbers.
        let n =
            std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (n % u32::from(BUS_PORT_OFFSET)) as u16;
        if is_free(port) && is_free(port + BUS_PORT_OFFSET) {
            return port;
        }
    }
}

/// Repeats the question until the answer is yes. The bound catches tests that hang; it doesn't
/// measure speed.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("timed out; never true: {what}");
}
