//! Counts an audience in its own process: the log in a file, watch time in SQLite.
//!
//! ```sh
//! cargo run -p housecount-engine --example embed -- 127.0.0.1:3000 ./data
//! curl -X POST localhost:3000/show/ann      # a heartbeat: ann watches show
//! curl localhost:3000/show                  # viewers of show
//! ```

use std::env::args;
use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use housecount_engine::{Engine, Ids, Settings};
use housecount_stores::{open_cold, open_log};

async fn beat(
    State(engine): State<Arc<Engine>>,
    Path((stage, viewer)): Path<(String, String)>,
) -> Result<String, (StatusCode, String)> {
    let next = engine.beat(Ids { stage: &stage, viewer: &viewer, session: "" }).await;
    let next = next.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    Ok(format!("next heartbeat in {} s\n", next.as_secs()))
}

async fn count(State(engine): State<Arc<Engine>>, Path(stage): Path<String>) -> String {
    let count = engine.count(&stage);
    let prefix = if count.status.complete { "" } else { "at least " };
    format!("{prefix}{} viewers\n", count.value.viewers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_string());
    let data = args().nth(2).unwrap_or_else(|| "./data".to_string());
    let log = open_log(&format!("file:{data}/log")).await?;
    let cold = open_cold(&format!("embedded:{data}/cold")).await?;
    let engine = Arc::new(Engine::start(Settings::default(), log, Some(cold)).await?);
    let routes = Router::new()
        .route("/{stage}", get(count))
        .route("/{stage}/{viewer}", axum::routing::post(beat))
        .with_state(engine);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}
