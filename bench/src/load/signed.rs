//! Heartbeats that carry a token each. Each token is sent once before the measurement, so the
//! server knows them all, as in the middle of an evening.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, anyhow};

use super::Ground;
use crate::http::{Client, post_as};
use crate::tokens::Signed;
use crate::viewers;

/// Number of connections. That is enough for heartbeats to share an append.
const CONNECTIONS: usize = 64;

/// Sends each token to the server once, and writes the heartbeats and tokens to a file for wrk.
pub fn introduce(ground: Ground<'_>, signed: Signed) -> anyhow::Result<()> {
    let Ground { running, setup, sizes, place } = ground;
    let tokens = signed.tokens(sizes.viewers, sizes.stages)?;
    let file = place.beats(setup);
    let failed = || format!("writing {}", file.display());
    let mut out = BufWriter::new(File::create(&file).with_context(failed)?);
    for (n, token) in tokens.iter().enumerate() {
        writeln!(out, "{}\t{token}", viewers::beat(n, sizes.stages)).with_context(failed)?;
    }
    out.flush().with_context(failed)?;

    let (address, next) = (running.address()?, AtomicUsize::new(0));
    let one = || {
        let mut client = Client::connect(address)?;
        while let Some((n, token)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, tokens.get(n)?)))
        {
            let request = post_as("/v1/heartbeat", &viewers::beat(n, sizes.stages), token);
            client.expect(&request).context("a heartbeat with its token")?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread that sends heartbeats failed")))
        })
    })
}
