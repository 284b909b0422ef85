//! Interrupt moderation, as network cards do it: what comes while batches linger anyway is read at
//! once, a while later.
//!
//! A worker that waits for the next packet is woken for each, and that is most of what a heartbeat
//! costs where few come at once. Yet nearly all of them wait until their batch has lingered. So
//! while nothing else is waited for, workers sleep for a part of that, whatever comes. A batch
//! lingers no longer by it: everybody is awake before it ends, while its append is under way, and
//! while all lanes are empty. (With several lanes, an empty one's first event may be slept through
//! for another one's sake.)

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::limits::WAKE_COALESCE_MS_MAX;
use tokio::time::Instant;

/// The part of `linger` that a worker sleeps for at once, at most: many sleeps make a batch.
const LINGER_DIVISOR: u32 = 5;

/// So much earlier than a batch ends workers get up: to be woken takes a tenth of that, and what
/// they find is to join it.
const WAKE_MARGIN: Duration = Duration::from_micros(500);

/// What a lane wants of workers that have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneDemand {
    /// It is empty: whoever comes first is not to wait.
    Nothing,
    /// Whatever comes until then, and not each by itself.
    CoalesceUntil(Instant),
    /// Each event at once: an append is under way, or what comes may make a batch due.
    Immediate,
}

const NOTHING: u64 = u64::MAX;
const ALL: u64 = 0;

/// Coalescing of workers' wakeups while batches linger. Lanes say what they want, and workers ask.
#[derive(Debug)]
pub struct WakeCoalescer {
    started: Instant,
    /// By lane: microseconds from then on until when more is wanted, or one of the words above.
    lanes: Box<[AtomicU64]>,
    sleep: Duration,
}

/// For workers that never sleep.
impl Default for WakeCoalescer {
    fn default() -> WakeCoalescer {
        WakeCoalescer::new(0, Duration::ZERO)
    }
}

impl WakeCoalescer {
    /// For so many lanes, whose batches linger for so long.
    #[must_use]
    pub fn new(lanes: u16, linger: Duration) -> WakeCoalescer {
        let lanes = (0..lanes).map(|_| AtomicU64::new(ALL)).collect();
        let sleep = (linger / LINGER_DIVISOR).min(Duration::from_millis(WAKE_COALESCE_MS_MAX));
        WakeCoalescer { started: Instant::now(), lanes, sleep }
    }

    /// What a lane wants from now on.
    pub fn set_demand(&self, lane: u16, wants: LaneDemand) {
        let word = match wants {
            LaneDemand::Nothing => NOTHING,
            LaneDemand::CoalesceUntil(until) => {
                until.saturating_duration_since(self.started).as_micros() as u64
            }
            LaneDemand::Immediate => ALL,
        };
        if let Some(lane) = self.lanes.get(usize::from(lane)) {
            lane.store(word, Ordering::Relaxed);
        }
    }

    /// For how long a worker that has nothing to do may sleep, whatever comes.
    #[must_use]
    pub fn sleep_duration(&self) -> Duration {
        let mut earliest = NOTHING;
        for lane in &self.lanes {
            earliest = earliest.min(lane.load(Ordering::Relaxed));
            if earliest == ALL {
                return Duration::ZERO;
            }
        }
        if earliest == NOTHING {
            return Duration::ZERO;
        }
        let until = Duration::from_micros(earliest);
        until.saturating_sub(self.started.elapsed() + WAKE_MARGIN).min(self.sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn workers_sleep_while_all_that_is_waited_for_is_that_batches_linger() {
        let ms = Duration::from_millis;
        let coalescer = WakeCoalescer::new(2, ms(10));
        assert_eq!(coalescer.sleep_duration(), ms(0), "nothing is known yet");
        coalescer.set_demand(0, LaneDemand::Nothing);
        coalescer.set_demand(1, LaneDemand::Nothing);
        assert_eq!(coalescer.sleep_duration(), ms(0), "the first one is not to wait");
        coalescer.set_demand(1, LaneDemand::CoalesceUntil(Instant::now() + ms(9)));
        assert_eq!(coalescer.sleep_duration(), ms(2));
        coalescer.set_demand(0, LaneDemand::CoalesceUntil(Instant::now() + ms(1)));
        assert_eq!(coalescer.sleep_duration(), ms(1) - WAKE_MARGIN, "not until any batch ends");
        tokio::time::advance(ms(5)).await;
        assert_eq!(coalescer.sleep_duration(), ms(0), "one has lingered");
        coalescer.set_demand(0, LaneDemand::Immediate);
        assert_eq!(coalescer.sleep_duration(), ms(0), "its append is under way");
        coalescer.set_demand(0, LaneDemand::Nothing);
        assert_eq!(coalescer.sleep_duration(), ms(2));
    }

    /// sleep_ms_max
    #[tokio::test(start_paused = true)]
    async fn long_linger_does_not_make_workers_sleep_long() {
        for (linger_ms, sleep_us) in [(1, 200), (9, 1_800), (1_000, 1_000 * WAKE_COALESCE_MS_MAX)] {
            let coalescer = WakeCoalescer::new(1, Duration::from_millis(linger_ms));
            coalescer
                .set_demand(0, LaneDemand::CoalesceUntil(Instant::now() + Duration::from_secs(1)));
            assert_eq!(coalescer.sleep_duration(), Duration::from_micros(sleep_us));
        }
    }

    #[test]
    fn workers_do_not_sleep_without_linger() {
        assert_eq!(WakeCoalescer::new(0, Duration::from_secs(1)).sleep_duration(), Duration::ZERO);
        let coalescer = WakeCoalescer::new(1, Duration::ZERO);
        coalescer.set_demand(0, LaneDemand::CoalesceUntil(Instant::now() + Duration::from_secs(1)));
        assert_eq!(coalescer.sleep_duration(), Duration::ZERO);
    }
}
