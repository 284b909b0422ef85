//! Bytes of a heartbeat in the log in Redis: the first one of each of 10,000 viewers, and later
//! ones.

use anyhow::{Context, ensure};

use super::batch::{self, CALL_BEATS};
use super::{Ground, open};
use crate::contender::LogShape;
use crate::http::post;
use crate::redis_server::StreamSize;
use crate::results::{Figures, figure};
use crate::viewers;

const VIEWERS: usize = 10_000;
/// Rate of an audience of 100,000 viewers at 30 s. It determines how many heartbeats share a
/// record.
const RATE: usize = 3_333;

/// Reads the size of the stream before the first heartbeats, between them and the later ones, and
/// in the end.
pub fn measure(ground: Ground<'_>, shape: LogShape) -> anyhow::Result<Figures> {
    let Ground { running, sizes, .. } = ground;
    let redis = running.redis.as_ref().context("this load wants a Redis")?;
    let seconds = usize::try_from(sizes.measured.as_secs()).unwrap_or(1);
    // At least two heartbeats of each viewer.
    let later = (RATE * seconds * 3).max(2 * VIEWERS) / VIEWERS * VIEWERS;
    let empty = redis.stream_size()?;
    let joined;
    match shape {
        LogShape::Single { stages } => {
            let requests: Vec<Vec<u8>> =
                (0..VIEWERS).map(|n| post("/v1/heartbeat", &viewers::beat(n, stages))).collect();
            let mut connections = open::connect(&running.addresses, RATE)?;
            let mut send = |count| {
                let schedule = open::Schedule { requests: &requests, count, rate: RATE };
                let report = open::run(&mut connections, schedule)?;
                ensure!(report.errors == 0, "{} heartbeats were not taken", report.errors);
                Ok(())
            };
            send(VIEWERS)?;
            joined = redis.stream_size()?;
            send(later)?;
        }
        LogShape::Batches => {
            batch::fill(running, 0..VIEWERS, 1)?;
            joined = redis.stream_size()?;
            batch::run(running, &|call| {
                let some = call * CALL_BEATS..(call + 1) * CALL_BEATS;
                (some.end <= later).then(|| batch::request(some.map(|n| n % VIEWERS), 1))
            })?;
        }
    }
    let all = redis.stream_size()?;
    let record = |to: StreamSize, from: StreamSize, beats: usize| {
        to.record_bytes.saturating_sub(from.record_bytes) as f64 / beats as f64
    };
    let memory = |to: StreamSize, from: StreamSize, beats: usize| {
        to.memory_bytes.saturating_sub(from.memory_bytes) as f64 / beats as f64
    };
    Ok(Figures::from([
        (figure::JOIN_BYTES, record(joined, empty, VIEWERS)),
        (figure::STEADY_BYTES, record(all, joined, later)),
        (figure::JOIN_MEMORY, memory(joined, empty, VIEWERS)),
        (figure::STEADY_MEMORY, memory(all, joined, later)),
        (
            figure::STEADY_BATCH,
            later as f64 / all.records.saturating_sub(joined.records).max(1) as f64,
        ),
    ]))
}
