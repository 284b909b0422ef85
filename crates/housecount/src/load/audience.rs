//! A simulated audience: the viewers' actions and their times, from a seed. The same seed gives the
//! same audience.
//!
//! The seats are filled one after the other, each by one viewer at a time. A viewer beats every
//! interval, stays for an exponentially distributed time, and leaves. Then another viewer takes the
//! seat. Popularity of stages follows Zipf's law: the second stage has half the viewers of the
//! first, the third a third.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Shape of the audience. All times are in ms.
#[derive(Clone, Debug)]
pub struct AudienceConfig {
    /// Number of concurrent viewers.
    pub viewers: u32,
    /// Number of stages.
    pub stages: u32,
    /// Interval between two beats of a viewer.
    pub interval_ms: u64,
    /// Mean stay of a viewer.
    pub stay_ms: u64,
    /// Mean time for which a seat stays empty; 0 for none.
    pub gap_ms: u64,
    /// Time over which the first viewers arrive.
    pub ramp_ms: u64,
    /// Prefix of every stage's name.
    pub prefix: String,
    /// Seed that decides everything else.
    pub seed: u64,
}

/// Action of a viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewerAction {
    /// Time of the action, from the start.
    pub at_ms: u64,
    /// Number of the stage, from 0.
    pub stage: u32,
    /// Number of the viewer, from 0; never the same twice.
    pub viewer: u64,
    /// Whether the action is a leave and not a heartbeat.
    pub is_leave: bool,
}

/// Endless iterator over the actions of a simulated audience.
#[derive(Debug)]
pub struct SimulatedAudience {
    shape: AudienceConfig,
    rng: SmallRng,
    /// Next action of every seat.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    seats: Vec<SeatOccupancy>,
    /// Cumulative popularity of the stages.
    popularity: Vec<f64>,
    viewers: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeatOccupancy {
    viewer: u64,
    stage: u32,
    leaves_ms: u64,
    is_taken: bool,
}

impl SimulatedAudience {
    /// An audience whose viewers have not arrived yet.
    #[must_use]
    pub fn new(shape: AudienceConfig) -> SimulatedAudience {
        let mut rng = SmallRng::seed_from_u64(shape.seed);
        let ramp_ms = shape.ramp_ms.max(1);
        let next =
            (0..shape.viewers).map(|seat| Reverse((rng.random_range(0..ramp_ms), seat))).collect();
        let mut sum = 0.0;
        let popularity = (1..=shape.stages.max(1)).map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        });
        let popularity = popularity.collect();
        let seats = vec![SeatOccupancy::default(); shape.viewers as usize];
        SimulatedAudience { shape, rng, next, seats, popularity, viewers: 0 }
    }

    /// Name of a stage.
    #[must_use]
    pub fn stage_name(&self, stage: u32) -> String {
        format!("{}{:04}", self.shape.prefix, stage)
    }

    /// Name of a viewer: 36 characters, as most real ids have.
    #[must_use]
    pub fn viewer_name(&self, viewer: u64) -> String {
        // SplitMix64's mixing gives names without a common prefix, so that they cost what real ids
        // do.
        let mix = |mut x: u64| {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let a = mix(viewer ^ self.shape.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let b = mix(a ^ viewer);
        let (c, d) = (a >> 32, (a >> 16) & 0xffff);
        format!("{c:08x}-{d:04x}-{:04x}-{:04x}-{:012x}", a & 0xffff, b >> 48, b & 0xffff_ffff_ffff)
    }

    /// Time of the next action.
    #[must_use]
    pub fn next_at_ms(&self) -> Option<u64> {
        self.next.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    fn exponential(&mut self, mean_ms: u64) -> u64 {
        let uniform: f64 = self.rng.random_range(f64::EPSILON..1.0);
        (-uniform.ln() * mean_ms as f64) as u64
    }

    fn arrive(&mut self, at_ms: u64) -> SeatOccupancy {
        let total = self.popularity.last().copied().unwrap_or(1.0);
        let point = self.rng.random_range(0.0..total);
        let stage = self.popularity.partition_point(|sum| *sum <= point) as u32;
        self.viewers += 1;
        let leaves_ms = at_ms + 1 + self.exponential(self.shape.stay_ms);
        SeatOccupancy { viewer: self.viewers - 1, stage, leaves_ms, is_taken: true }
    }
}

impl Iterator for SimulatedAudience {
    type Item = ViewerAction;

    fn next(&mut self) -> Option<ViewerAction> {
        let Reverse((at_ms, seat)) = self.next.pop()?;
        let mut sitting = self.seats[seat as usize];
        if !sitting.is_taken {
            sitting = self.arrive(at_ms);
        }
        let is_leave = at_ms >= sitting.leaves_ms;
        let again_ms = if is_leave {
            sitting.is_taken = false;
            at_ms + 1 + self.exponential(self.shape.gap_ms)
        } else {
            let interval_ms = self.shape.interval_ms.max(10);
            let jittered_ms = self.rng.random_range(interval_ms * 9 / 10..=interval_ms);
            sitting.leaves_ms.min(at_ms + jittered_ms)
        };
        self.seats[seat as usize] = sitting;
        self.next.push(Reverse((again_ms, seat)));
        Some(ViewerAction { at_ms, stage: sitting.stage, viewer: sitting.viewer, is_leave })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> AudienceConfig {
        AudienceConfig {
            viewers: 100,
            stages: 5,
            interval_ms: 1_000,
            stay_ms: 5_000,
            gap_ms: 0,
            ramp_ms: 1_000,
            prefix: "s-".into(),
            seed: 7,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_audience() {
        let first: Vec<ViewerAction> = SimulatedAudience::new(shape()).take(5_000).collect();
        assert_eq!(first, SimulatedAudience::new(shape()).take(5_000).collect::<Vec<_>>());
        assert_ne!(
            first,
            SimulatedAudience::new(AudienceConfig { seed: 8, ..shape() })
                .take(5_000)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn viewers_beat_in_time_and_leave_once() {
        let mut last = std::collections::HashMap::new();
        for action in SimulatedAudience::new(shape()).take(20_000) {
            if let Some((at_ms, is_leave)) =
                last.insert(action.viewer, (action.at_ms, action.is_leave))
            {
                assert!(!is_leave, "viewer {} continues after a leave", action.viewer);
                assert!(
                    action.at_ms - at_ms <= 1_000,
                    "viewer {} is late with a beat",
                    action.viewer
                );
            }
        }
        let online = last.values().filter(|(_, is_leave)| !is_leave).count();
        assert!((90..=100).contains(&online), "{online}");
    }

    #[test]
    fn names_are_36_characters_and_differ() {
        let audience = SimulatedAudience::new(shape());
        let names: std::collections::HashSet<String> =
            (0..1_000).map(|v| audience.viewer_name(v)).collect();
        assert!(names.len() == 1_000 && names.iter().all(|name| name.len() == 36));
    }
}
