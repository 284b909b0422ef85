//! A crowd on one stage: memory per viewer, and whether a heartbeat costs more when there are many
//! viewers.

use anyhow::Context;

use super::batch::{self, CALL_BEATS};
use super::{Ground, costs};
use crate::results::{Figures, figure};
use crate::viewers::mix;

/// Number of calls for the cost of a known viewer's heartbeat.
const KNOWN_CALLS: usize = 300;

/// Measures with few viewers first, and then with many.
pub fn measure(ground: Ground<'_>) -> anyhow::Result<Figures> {
    let Ground { running, sizes, .. } = ground;
    let (few, many) = sizes.crowd;
    let redis = running.redis.as_ref().context("this load wants a Redis")?;

    batch::fill(running, 0..few, 1)?;
    let few_us = known_us(ground, few)?;
    let (resident, stored) = (running.resident()?, redis.used_memory()?);

    batch::fill(running, few..many, 1)?;
    let a_viewer =
        |after: u64, before: u64| after.saturating_sub(before) as f64 / (many - few).max(1) as f64;
    let viewer_bytes = a_viewer(running.resident()?, resident);
    let redis_viewer_bytes = a_viewer(redis.used_memory()?, stored);
    let many_us = known_us(ground, many)?;

    Ok(Figures::from([
        (figure::VIEWER_BYTES, viewer_bytes),
        (figure::REDIS_VIEWER_BYTES, redis_viewer_bytes),
        (figure::FEW_US, few_us),
        (figure::MANY_US, many_us),
    ]))
}

/// Returns the server's CPU per heartbeat of known viewers, in random order.
fn known_us(ground: Ground<'_>, viewers: usize) -> anyhow::Result<f64> {
    let running = ground.running;
    let before = running.used()?;
    let report = batch::run(running, &|call| {
        let anybody = |n| usize::try_from(mix(n as u64)).unwrap_or_default() % viewers.max(1);
        let some = call * CALL_BEATS..(call + 1) * CALL_BEATS;
        (call < KNOWN_CALLS).then(|| batch::request(some.map(anybody), 1))
    })?;
    let costs = costs(running.spent_since(&before)?, report.beats as f64);
    costs.get(figure::SERVER_US).copied().context("no cost")
}
