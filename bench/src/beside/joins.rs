//! Row 8: viewers join at 200,000 per second, in batches of 10,000.

use std::time::{Duration, Instant};

use super::crowd::{Bodies, Crowd};
use super::outcomes::Goal;
use super::scene::{BEAT_OFTEN, Scene};

/// Rows of this scene.
pub const ROWS: [u8; 1] = [8];
const RATE: usize = 200_000;
const BATCH: usize = 10_000;
/// Minimum of viewers that join, so that the probe sends heartbeats beside the joins.
const JOINERS_MIN: usize = 500_000;

/// Runs the scene.
///
/// # Errors
/// Returns an error if a node fails or refuses a call.
pub fn run(mut scene: Scene<'_>) -> anyhow::Result<()> {
    let joiners = scene.plan.viewers.max(JOINERS_MIN);
    let bodies = Bodies::of_size(0..joiners, 1, BATCH);
    let goal = Goal::at_most(20.0);
    let (took, report) =
        scene.beside(8, "joins, a heartbeat each 10 ms", BEAT_OFTEN, goal, |ground| {
            let start = Instant::now();
            let report = Crowd::start(ground.node()?.address, &bodies, RATE, true).wait()?;
            Ok((start.elapsed(), report))
        })?;
    let joined = report.calls * BATCH.min(joiners);
    let a_second = joined as f64 / took.max(Duration::from_millis(1)).as_secs_f64();
    scene.figure(8, "viewers who joined", Some(joined as f64), 0, Goal::none());
    scene.figure(8, "joins a second", Some(a_second), 0, Goal::none());
    let refused = (report.errors > 0).then_some(report.errors as f64);
    scene.figure(8, "batches refused", refused, 0, Goal::none());
    Ok(())
}
