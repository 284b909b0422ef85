//! Real servers for tests, each started by the test that needs it and ended with it.

pub mod cold;
#[path = "../../../../housecount-core/tests/crowd/mod.rs"]
pub mod crowd;
pub mod dynamo;
pub mod faulty;
pub mod node;
pub mod proxy;
pub mod redis;

use std::net::TcpListener;
use std::time::Duration;

/// A port that nobody has just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks until the answer is yes. The bound is for tests that hang, not for speed.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came to be that {what}");
}
