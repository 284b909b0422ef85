//! Interrupt moderation, as network cards do it: packets that arrive while batches linger are read
//! together, a while later.
//!
//! A worker that waits for the next packet wakes up for each, and at low rates that is most of a
//! heartbeat's cost. Yet nearly all of these heartbeats wait until their batch has lingered. So
//! while no other work waits, workers sleep for a part of that time, whatever arrives. A batch does
//! not linger longer for it. All workers are awake before it ends, while its append is in progress,
//! and while all lanes are empty. (With several lanes, an empty lane's first event may wait for a
//! sleep on behalf of another lane.)

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::limits::WAKE_COALESCE_MS_MAX;
use tokio::time::Instant;

/// Divisor of `linger` for the longest single sleep, so that a batch spans many sleeps.
const LINGER_DIVISOR: u32 = 5;

/// Time before the end of a batch at which workers wake up. A wakeup takes a tenth of it, and the
/// packets that they then read are to join the batch.
const WAKE_MARGIN: Duration = Duration::from_micros(500);

/// Demand of a lane on idle workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneDemand {
    /// The lane is empty, so the first event must not wait.
    Nothing,
    /// Events until this time may be read together.
    CoalesceUntil(Instant),
    /// Each event must be read at once: an append is in progress, or an event may make a batch due.
    Immediate,
}

const NOTHING: u64 = u64::MAX;
const ALL: u64 = 0;

/// Coalescing of workers' wakeups while batches linger. Lanes set their demand, and workers read
/// it.
#[derive(Debug)]
pub struct WakeCoalescer {
    started: Instant,
    /// By lane, the end of coalescing in microseconds since `started`, or one of the constants
    /// above.
    lanes: Box<[AtomicU64]>,
    sleep: Duration,
}

/// A coalescer for workers that never sleep.
impl Default for WakeCoalescer {
    fn default() -> WakeCoalescer {
        WakeCoalescer::new(0, Duration::ZERO)
    }
}

impl WakeCoalescer {
    /// A coalescer for this number of lanes, whose batches linger for `linger`.
    #[must_use]
    pub fn new(lanes: u16, linger: Duration) -> WakeCoalescer {
        let lanes = (0..lanes).map(|_| AtomicU64::new(ALL)).collect();
        let sleep = (linger / LINGER_DIVISOR).min(Duration::from_millis(WAKE_COALESCE_MS_MAX));
        WakeCoalescer { started: Instant::now(), lanes, sleep }
    }

    /// Sets the demand of a lane from now on.
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

    /// Time for which an idle worker may sleep, whatever arrives.
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
    use housecount_test::timed_test;

    #[timed_test(start_paused = true)]
    async fn workers_sleep_while_all_that_is_waited_for_is_that_batches_linger() {
        let ms = Duration::from_millis;
        let coalescer = WakeCoalescer::new(2, ms(10));
        assert_eq!(coalescer.sleep_duration(), ms(0), "no lane has set a demand");
        coalescer.set_demand(0, LaneDemand::Nothing);
        coalescer.set_demand(1, LaneDemand::Nothing);
        assert_eq!(coalescer.sleep_duration(), ms(0), "the first event does not wait");
        coalescer.set_demand(1, LaneDemand::CoalesceUntil(Instant::now() + ms(9)));
        assert_eq!(coalescer.sleep_duration(), ms(2));
        coalescer.set_demand(0, LaneDemand::CoalesceUntil(Instant::now() + ms(1)));
        assert_eq!(
            coalescer.sleep_duration(),
            ms(1) - WAKE_MARGIN,
            "workers sleep until the first batch ends"
        );
        tokio::time::advance(ms(5)).await;
        assert_eq!(coalescer.sleep_duration(), ms(0), "one batch is due");
        coalescer.set_demand(0, LaneDemand::Immediate);
        assert_eq!(coalescer.sleep_duration(), ms(0), "an append has begun");
        coalescer.set_demand(0, LaneDemand::Nothing);
        assert_eq!(coalescer.sleep_duration(), ms(2));
    }

    /// Tests `WAKE_COALESCE_MS_MAX`.
    #[timed_test(start_paused = true)]
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
