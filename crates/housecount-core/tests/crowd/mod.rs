//! Simulated crowd from a seed, for figures: beats with the stays, gaps and ids that the figures
//! mention.
//!
//! Viewers arrive as a Poisson stream, stay for a lognormal time, and beat every interval (at most
//! a tenth earlier). Sometimes they are silent for longer than a ttl, and most send a leave. The
//! same seed gives the same crowd.

#![allow(missing_docs, dead_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use housecount_core::beat_schedule::next_gap_ms;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::time::UnixMs;

/// Mean delay of a scheduled beat in ms, beyond the minimum of 10 ms, by a timer and a network.
const LAG_MS: f64 = 40.0;

/// Form of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStyle {
    /// 16 characters of A-Z, a-z, 0-9, - and _: 96 bits each, as of nanoid and most tokens.
    Base64Url16,
    /// 16 hexadecimal digits.
    Hex16,
    /// 36 characters of a random UUID.
    Uuid,
}

/// Parameters of a crowd. All times are in ms.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub viewers: u64,
    pub stages: u64,
    /// Whether some stages are watched more than others, as in reality (Zipf), or all alike.
    pub zipf: bool,
    pub ids: IdStyle,
    pub stay_ms: f64,
    pub sigma: f64,
    pub gaps_per_hour: f64,
    pub interval_ms: u64,
    /// Whether players beat as scheduled, plus the delay of timers and the network, like
    /// housecount's own players. If not, they beat every interval, at most a tenth earlier.
    pub is_scheduled: bool,
    pub seed: u64,
}

/// The crowd of the ledger's figures: 10,000 viewers who stay 30 minutes on average.
pub const USUAL: Shape = Shape {
    viewers: 10_000,
    stages: 100,
    zipf: true,
    ids: IdStyle::Base64Url16,
    stay_ms: 1_800_000.0,
    sigma: 1.2,
    gaps_per_hour: 0.5,
    interval_ms: 30_000,
    is_scheduled: false,
    seed: 7,
};

/// Random numbers by SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(n)) >> 64) as u64
    }

    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    pub fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

/// A viewer who is present.
#[derive(Debug)]
struct Here {
    viewer: String,
    stage: u32,
    leaves_ms: u64,
    silent_from_ms: u64,
    silent_to_ms: u64,
}

/// Simulated audience from a seed. Calls back with events in order of time.
#[derive(Debug)]
pub struct Crowd {
    shape: Shape,
    rng: Rng,
    stages: Vec<String>,
    popularity: Vec<f64>,
    next: BinaryHeap<Reverse<(u64, usize)>>,
    here: Vec<Option<Here>>,
    free: Vec<usize>,
    arrival_ms: f64,
    base: UnixMs,
}

impl Crowd {
    /// Creates a crowd without viewers at `base`. It grows to its size within some mean stays.
    pub fn new(shape: Shape, base: UnixMs) -> Crowd {
        let mut sum = 0.0;
        let weight = |rank: u64| if shape.zipf { 1.0 / rank as f64 } else { 1.0 };
        let popularity = (1..=shape.stages).map(|rank| {
            sum += weight(rank);
            sum
        });
        let popularity = popularity.collect();
        let mut rng = Rng(shape.seed);
        let stages = (0..shape.stages).map(|_| {
            let id: String = (0..12)
                .map(|_| {
                    char::from(
                        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                            [rng.below(62) as usize],
                    )
                })
                .collect();
            format!("arn:aws:ivs:us-east-1:123456789012:stage/{id}")
        });
        let stages = stages.collect();
        Crowd {
            shape,
            rng,
            stages,
            popularity,
            next: BinaryHeap::new(),
            here: Vec::new(),
            free: Vec::new(),
            arrival_ms: 0.0,
            base,
        }
    }

    fn id(&mut self) -> String {
        let rng = &mut self.rng;
        let of = |alphabet: &[u8], rng: &mut Rng| {
            char::from(alphabet[rng.below(alphabet.len() as u64) as usize])
        };
        match self.shape.ids {
            IdStyle::Base64Url16 => (0..16)
                .map(|_| {
                    of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rng)
                })
                .collect(),
            IdStyle::Hex16 => format!("{:016x}", rng.number()),
            IdStyle::Uuid => {
                let (a, b) = (rng.number(), rng.number());
                format!(
                    "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                    a >> 32,
                    a & 0xffff,
                    (a >> 16) & 0xfff,
                    0x8000 | (b >> 48 & 0x3fff),
                    b & 0xffff_ffff_ffff
                )
            }
        }
    }

    fn arrive(&mut self, at_ms: u64) {
        let stay_ms = self.rng.lognormal(self.shape.stay_ms, self.shape.sigma) as u64;
        let point = self.rng.unit() * self.popularity.last().copied().unwrap_or(1.0);
        let stage =
            self.popularity.partition_point(|sum| *sum < point).min(self.stages.len() - 1) as u32;
        let viewer = self.id();
        let mut here = Here {
            viewer,
            stage,
            leaves_ms: at_ms + stay_ms.max(1),
            silent_from_ms: u64::MAX,
            silent_to_ms: 0,
        };
        self.plan_silence(&mut here, at_ms);
        let place = self.free.pop().unwrap_or_else(|| {
            self.here.push(None);
            self.here.len() - 1
        });
        self.here[place] = Some(here);
        self.next.push(Reverse((at_ms, place)));
    }

    fn plan_silence(&mut self, here: &mut Here, at_ms: u64) {
        let gap_mean_ms = 3_600_000.0 / self.shape.gaps_per_hour.max(1e-9);
        here.silent_from_ms = at_ms + self.rng.exponential(gap_mean_ms) as u64;
        here.silent_to_ms = here.silent_from_ms + 120_000 + self.rng.exponential(240_000.0) as u64;
    }

    /// Plays until `until_ms` after the base.
    pub fn play(&mut self, until_ms: u64, mut with: impl FnMut(EventRef<'_>)) {
        let between_ms = self.shape.stay_ms / self.shape.viewers as f64;
        loop {
            let beat_ms = self.next.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            if beat_ms.min(self.arrival_ms as u64) >= until_ms {
                return;
            }
            if (self.arrival_ms as u64) < beat_ms {
                let at_ms = self.arrival_ms as u64;
                self.arrival_ms += self.rng.exponential(between_ms);
                self.arrive(at_ms);
                continue;
            }
            let Some(Reverse((at_ms, place))) = self.next.pop() else { continue };
            let Some(mut here) = self.here[place].take() else { continue };
            let at = self.base.plus(at_ms);
            let is_leave = at_ms >= here.leaves_ms;
            if !is_leave || self.rng.below(10) < 7 {
                let kind = if is_leave { EventKind::Leave } else { EventKind::Beat };
                with(EventRef {
                    labels: SessionLabels::NONE,
                    at,
                    kind,
                    ids: Ids {
                        stage: &self.stages[here.stage as usize],
                        viewer: &here.viewer,
                        session: "",
                    },
                });
            }
            if is_leave {
                self.free.push(place);
                continue;
            }
            let interval_ms = self.shape.interval_ms;
            let mut next_ms = at_ms
                + if self.shape.is_scheduled {
                    next_gap_ms(interval_ms, &here.viewer, "", at)
                        + 10
                        + self.rng.exponential(LAG_MS) as u64
                } else {
                    interval_ms - self.rng.below(interval_ms / 10)
                };
            if next_ms > here.silent_from_ms {
                next_ms = next_ms.max(here.silent_to_ms);
                self.plan_silence(&mut here, next_ms);
            }
            let next_ms = next_ms.min(here.leaves_ms.max(at_ms + 1));
            self.next.push(Reverse((next_ms, place)));
            self.here[place] = Some(here);
        }
    }
}
