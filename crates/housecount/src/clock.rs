//! The only file that reads the machine's clocks.
//!
//! Everything else works with the log's clock ([`LogClock`]), or with `mono_ms`, which never goes
//! backwards and means nothing outside this process.

#![allow(clippy::disallowed_methods)]

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use housecount_core::clock::LogClock;
use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since this process first asked.
#[must_use]
pub fn mono_ms() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(simulated) = crate::sim::mono_ms() {
        return simulated;
    }
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Measures how long something takes on this machine: for metrics, and for the length of slices.
/// Never for what is counted.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since it was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// This machine's idea of the time. For logs that have no clock of their own, and for file names.
#[must_use]
pub fn wall_clock() -> UnixMs {
    #[cfg(feature = "sim")]
    if let Some(simulated) = crate::sim::wall_ms() {
        return UnixMs(simulated);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The clock of an embedded log: this machine's time when the log was opened, and a monotonic clock
/// from then on, so that a stepped clock neither times everybody out nor proves time twice.
#[derive(Debug)]
pub struct MonotonicClock {
    opened: UnixMs,
    opened_mono_ms: u64,
}

impl MonotonicClock {
    /// Starts now, but not before `floor`: the last time that the log already has.
    #[must_use]
    pub fn starting_at_least(floor: UnixMs) -> MonotonicClock {
        MonotonicClock { opened: wall_clock().max(floor), opened_mono_ms: mono_ms() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.opened.plus(mono_ms().saturating_sub(self.opened_mono_ms))
    }
}

/// The log's clock as this node knows it, shared by all that stamp and all that exchange.
#[derive(Debug, Default)]
pub struct SharedClock(Mutex<StampState>);

#[derive(Debug, Default)]
struct StampState {
    clock: LogClock,
    last_leave: UnixMs,
    /// By how much our reading was ahead of the log's clock, when that was last heard.
    ahead_ms: u64,
}

impl SharedClock {
    /// The log's time now; `None` before the first exchange with it.
    pub fn now(&self) -> Option<UnixMs> {
        self.0.lock().clock.now(mono_ms())
    }

    /// The time of an event that has just come in; `None` before the first exchange with the log.
    ///
    /// A leave covers beats of its own millisecond, so a beat that comes after a leave is stamped
    /// after it: otherwise a quick reload would be taken for a beat that the leave ended.
    pub fn stamp(&self, kind: EventKind) -> Option<UnixMs> {
        let mut stamper = self.0.lock();
        let now = stamper.clock.now(mono_ms())?;
        match kind {
            EventKind::Beat => Some(now.max(stamper.last_leave.plus(1))),
            EventKind::Leave => {
                stamper.last_leave = now;
                Some(now)
            }
        }
    }

    /// Takes in that another node is as far as this.
    pub fn advance_to(&self, stamp: UnixMs) {
        self.0.lock().clock.advance_to(mono_ms(), stamp);
    }

    /// Takes in an exchange that was sent at `sent_mono_ms` and has just been answered.
    pub fn observe(&self, sent_mono_ms: u64, log: UnixMs) {
        let mut stamper = self.0.lock();
        let now_ms = mono_ms();
        stamper.clock.observe(sent_mono_ms, now_ms, log);
        stamper.ahead_ms = stamper.clock.now(now_ms).unwrap_or_default().since(log);
    }

    /// By how much stamps may be ahead of the positions of their records: some milliseconds, unless
    /// the log's clock has stepped back.
    pub fn ahead_ms(&self) -> u64 {
        self.0.lock().ahead_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_after_a_leave_is_stamped_after_it() {
        let clock = SharedClock::default();
        assert_eq!(clock.stamp(EventKind::Beat), None);
        clock.observe(mono_ms(), UnixMs(1_000_000));
        for _ in 0..1_000 {
            let leave = clock.stamp(EventKind::Leave);
            assert!(clock.stamp(EventKind::Beat) > leave);
        }
    }
}
