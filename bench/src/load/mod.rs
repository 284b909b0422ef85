//! The loads, one per file. Each bounds itself and returns figures.

mod batch;
mod crowd;
mod idle;
mod log_bytes;
pub mod open;
mod signed;
mod socket;
mod wrk;

use hdrhistogram::Histogram;

use crate::args::Sizes;
use crate::contender::{Load, Setup};
use crate::results::{Figures, figure};
use crate::running::{Place, Running, Spent, tokens_of};

/// Result of a load.
#[derive(Debug)]
pub enum Outcome {
    /// The load was measured.
    Figures(Figures),
    /// The contender does not support the load.
    Skipped(String),
}

/// Inputs of every load.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The running contender.
    pub running: &'a Running,
    /// Its processes and settings.
    pub setup: Setup,
    /// Sizes and durations.
    pub sizes: &'a Sizes,
    /// Folders of the run.
    pub place: &'a Place,
}

/// Runs a load on a running contender.
pub fn run(load: Load, ground: Ground<'_>) -> anyhow::Result<Outcome> {
    match load {
        Load::Saturated(connections) => wrk::run(ground, connections).map(Outcome::Figures),
        Load::Open(rate) => open::measure(ground, rate).map(Outcome::Figures),
        Load::Batch => batch::measure(ground).map(Outcome::Figures),
        Load::WebSocket => socket::measure(ground),
        Load::IdleHttp => idle::measure(ground).map(Outcome::Figures),
        Load::IdleWebSocket => socket::measure_idle(ground),
        Load::Crowd => crowd::measure(ground).map(Outcome::Figures),
        Load::LogBytes(shape) => log_bytes::measure(ground, shape).map(Outcome::Figures),
    }
}

/// Sends one heartbeat of each viewer to housecount, so that a load measures beats of known
/// viewers.
pub fn introduce(ground: Ground<'_>) -> anyhow::Result<()> {
    match (ground.setup, tokens_of(ground.setup)) {
        (_, Some(signed)) => signed::introduce(ground, signed),
        (Setup::Housecount { .. }, None) => {
            batch::fill(ground.running, 0..ground.sizes.viewers, ground.sizes.stages).map(drop)
        }
        _ => Ok(()),
    }
}

/// Creates a histogram from 1 us to 1 min, with 3 significant digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Returns the CPU per heartbeat: of the servers, of Redis, and of both.
fn costs(spent: Spent, beats: f64) -> Figures {
    let beats = beats.max(1.0);
    let mut figures = Figures::from([
        (figure::SERVER_US, spent.server_us / beats),
        (figure::ALL_US, (spent.server_us + spent.redis_us.unwrap_or_default()) / beats),
    ]);
    figures.extend(spent.redis_us.map(|us| (figure::REDIS_US, us / beats)));
    figures
}

/// Returns the median and the 99 % quantile of a histogram of microseconds, in ms.
fn latencies(times: &Histogram<u64>) -> [(&'static str, f64); 2] {
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    [(figure::P50_MS, ms(0.5)), (figure::P99_MS, ms(0.99))]
}
