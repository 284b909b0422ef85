//! Memory of an idle keep-alive connection: the growth of the server's resident memory with many of
//! them. Each connection has sent one heartbeat.

use anyhow::{Context, anyhow};

use super::{Ground, introduce};
use crate::http::{Client, post};
use crate::results::{Figures, figure};
use crate::running::Running;
use crate::viewers;

/// Number of threads that open connections. The server never handles more than this many requests
/// at once.
const THREADS: usize = 32;

/// Measures the memory. All viewers beat before, so that only connections are added.
pub fn measure(ground: Ground<'_>) -> anyhow::Result<Figures> {
    let Ground { running, sizes, .. } = ground;
    introduce(ground)?;
    drop(open(running, THREADS, sizes.stages)?);
    let before = running.resident()?;
    let mut connections = open(running, sizes.idle_http, sizes.stages)?;
    let after = running.resident()?;
    // The oldest connections still work, so all of them were measured.
    for client in connections.iter_mut().take(THREADS) {
        client
            .expect(&post("/v1/heartbeat", &viewers::beat(0, sizes.stages)))
            .context("a connection that lay idle")?;
    }
    let bytes = after.saturating_sub(before) as f64 / connections.len().max(1) as f64;
    Ok(Figures::from([(figure::CONNECTION_BYTES, bytes)]))
}

fn open(running: &Running, count: usize, stages: usize) -> anyhow::Result<Vec<Client>> {
    let address = running.address()?;
    let some = |first: usize| {
        (first..count).step_by(THREADS).map(move |n| {
            let mut client = Client::connect(address)?;
            client.expect(&post("/v1/heartbeat", &viewers::beat(n, stages)))?;
            Ok(client)
        })
    };
    std::thread::scope(|scope| {
        let some = &some;
        let threads: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || some(first).collect::<anyhow::Result<Vec<Client>>>()))
            .collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            all.extend(
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread that opens connections failed")))?,
            );
        }
        Ok(all)
    })
}
