//! The only file that reads the machine's clocks.
//!
//! All other code uses the log's clock ([`LogClock`]), or `mono_ms`, which never goes backwards and
//! means nothing outside this process.

#![allow(clippy::disallowed_methods)]

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use housecount_core::clock::LogClock;
use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the first call in this process.
#[must_use]
pub fn mono_ms() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(simulated) = crate::sim::mono_ms() {
        return simulated;
    }
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Measures a duration on this machine, for metrics and for the length of slices. Counts and
/// billing never use it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts a stopwatch now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Wall clock of this machine, for logs without a clock of their own, and for file names.
#[must_use]
pub fn wall_clock() -> UnixMs {
    #[cfg(feature = "sim")]
    if let Some(simulated) = crate::sim::wall_ms() {
        return UnixMs(simulated);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The clock of an embedded log. It starts at this machine's time when the log is opened, and is
/// monotonic from then on. So a step of the machine's clock neither ends all sessions nor proves
/// time twice.
#[derive(Debug)]
pub struct MonotonicClock {
    opened: UnixMs,
    opened_mono_ms: u64,
}

impl MonotonicClock {
    /// Starts a clock now, but not before `floor`, which is the last time that the log already has.
    #[must_use]
    pub fn starting_at_least(floor: UnixMs) -> MonotonicClock {
        MonotonicClock { opened: wall_clock().max(floor), opened_mono_ms: mono_ms() }
    }

    /// Current time on this clock.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.opened.plus(mono_ms().saturating_sub(self.opened_mono_ms))
    }
}

/// The log's clock as this node knows it. All tasks that stamp events or exchange with the log
/// share it.
#[derive(Debug, Default)]
pub struct SharedClock(Mutex<StampState>);

#[derive(Debug, Default)]
struct StampState {
    clock: LogClock,
    last_leave: UnixMs,
    /// Time by which this node's reading was ahead of the log's clock at the last exchange.
    ahead_ms: u64,
}

impl SharedClock {
    /// Current time of the log; `None` before the first exchange with it.
    pub fn now(&self) -> Option<UnixMs> {
        self.0.lock().clock.now(mono_ms())
    }

    /// Stamps an event that has just arrived; `None` before the first exchange with the log.
    ///
    /// A leave or displacement covers beats of its own millisecond, so a beat after it gets a later
    /// stamp.
    /// Otherwise the leave would end the beat of a quick reload.
    pub fn stamp(&self, kind: EventKind) -> Option<UnixMs> {
        let mut stamper = self.0.lock();
        let now = stamper.clock.now(mono_ms())?;
        match kind {
            EventKind::Beat => Some(now.max(stamper.last_leave.plus(1))),
            EventKind::Leave | EventKind::Displace => {
                stamper.last_leave = now;
                Some(now)
            }
        }
    }

    /// Advances the clock to a time that another node has reached.
    pub fn advance_to(&self, stamp: UnixMs) {
        self.0.lock().clock.advance_to(mono_ms(), stamp);
    }

    /// Records an exchange that was sent at `sent_mono_ms` and has just been answered.
    pub fn observe(&self, sent_mono_ms: u64, log: UnixMs) {
        let mut stamper = self.0.lock();
        let now_ms = mono_ms();
        stamper.clock.observe(sent_mono_ms, now_ms, log);
        stamper.ahead_ms = stamper.clock.now(now_ms).unwrap_or_default().since(log);
    }

    /// Time by which stamps may be ahead of the positions of their records. It is some
    /// milliseconds, unless the log's clock has stepped back.
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
