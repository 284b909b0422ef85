//! Row 11: the CPU cost of 3,333 heartbeats per second on one node, and on eight nodes with the
//! same log.

use std::net::SocketAddr;

use super::crowd::Bodies;
use super::outcomes::{Goal, Outcomes, Phase, Place};
use super::probe::{Sample, Samples};
use super::scene::Start;
use crate::http::post;
use crate::load::open;
use crate::viewers;

/// Rows of this scene.
pub const ROWS: [u8; 1] = [11];
const RATE: usize = 3_333;
const VIEWERS: usize = 100_000;
/// Goal for the ratio of node CPU, eight nodes to one.
const RATIO_MAX: f64 = 1.5;
/// Goal for the CPU of Redis per further node, ms per second.
const REDIS_MS_MAX: f64 = 4.0;

/// Runs the scene with one node and then with eight.
///
/// # Errors
/// Returns an error if a node fails or refuses a heartbeat.
pub fn run(start: &Start<'_>, outcomes: &mut Outcomes) -> anyhow::Result<()> {
    let place = Place { build: start.build, row: 11 };
    let mut one_s = None;
    for count in [1, 8] {
        let who = if count == 1 { "1 node".to_string() } else { format!("{count} nodes") };
        eprintln!("     {who} at {RATE} heartbeats/s");
        let ground = start.nodes(count, &[])?;
        let seconds = start.plan.phase.as_secs().max(1);
        let addresses: Vec<SocketAddr> = ground.nodes.iter().map(|node| node.address).collect();
        Bodies::of_size(0..VIEWERS.min(start.plan.viewers), 1, 1_000)
            .fill(ground.node()?.address)?;
        let beats = VIEWERS.min(start.plan.viewers);
        let requests: Vec<Vec<u8>> =
            (0..beats).map(|n| post("/v1/heartbeat", &viewers::beat(n, 1))).collect();
        let mut connections = open::connect(&addresses, RATE)?;
        let mut send = |seconds: u64| {
            let count = RATE * usize::try_from(seconds).unwrap_or(1);
            open::run(&mut connections, open::Schedule { requests: &requests, count, rate: RATE })
        };
        send(2)?;
        let before = ground.used()?;
        let report = send(seconds)?;
        let spent = ground.spent_since(&before)?;
        let (node_ms, redis_ms) =
            (1e3 * spent.nodes_s / spent.took_s, 1e3 * spent.redis_s / spent.took_s);
        outcomes.figure(place, &format!("{who}, node CPU, ms/s"), node_ms, 1, Goal::none());
        outcomes.figure(place, &format!("{who}, Redis CPU, ms/s"), redis_ms, 1, Goal::none());
        match one_s {
            None => one_s = Some((node_ms, redis_ms)),
            Some((one_ms, one_redis_ms)) => {
                let what = "node CPU, 8 nodes against 1";
                outcomes.figure(place, what, node_ms / one_ms, 2, Goal::at_most(RATIO_MAX));
                let a_node = (redis_ms - one_redis_ms) / (count as f64 - 1.0);
                let what = "Redis CPU of each further node, ms/s";
                outcomes.figure(place, what, a_node, 2, Goal::at_most(REDIS_MS_MAX));
            }
        }
        // The load keeps only a histogram, so its buckets are expanded into one sample per
        // heartbeat.
        let sample =
            |us: u64| Sample { due_ms: 0.0, took_ms: us as f64 / 1e3, own_ms: None, is_ok: true };
        let values = report.times.iter_recorded();
        let all = values.flat_map(|value| {
            let count = usize::try_from(value.count_at_value()).unwrap_or_default();
            std::iter::repeat_n(sample(value.value_iterated_to()), count)
        });
        let others = 100.0 * spent.others_s
            / spent.took_s
            / std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let phase = Phase { heartbeats: Samples(all.collect()), others, ..Phase::default() };
        outcomes.beats(place, &format!("{who}, all of {RATE}/s"), &phase, Goal::none());
    }
    Ok(())
}
