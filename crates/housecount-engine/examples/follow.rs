//! Follows a log in Redis beside the nodes that take heartbeats, and prints a stage's count
//! whenever it changes. It takes no events itself.
//!
//! ```sh
//! housecount serve --log redis://127.0.0.1:6379/0 &
//! cargo run -p housecount-engine --example follow -- redis://127.0.0.1:6379/0 show
//! ```

use std::env::args;
use std::error::Error;

use housecount_engine::{Engine, Settings};
use housecount_stores::open_log;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_string());
    let stage = args().nth(2).unwrap_or_else(|| "show".to_string());
    // Settings must equal those of the nodes: the log is kept for as long as `ttl` needs it.
    let engine = Engine::start(Settings::default(), open_log(&url).await?, None).await?;
    let mut counts = engine.subscribe(&stage)?;
    while let Some(count) = counts.next().await {
        let prefix = if count.status.complete { "" } else { "at least " };
        println!("{stage}: {prefix}{} viewers", count.value.viewers);
    }
    Ok(engine.stop().await?)
}
