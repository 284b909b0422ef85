//! Estimate of the log's clock between two exchanges with the log.
//!
//! A node stamps events when they arrive, but reads the log's clock only with every append and
//! read. In between it adds its own monotonic clock. Each exchange bounds the difference of the
//! two, because the log read its clock between the node's sending and receiving. An estimate inside
//! these bounds stays as it is; one outside moves to the nearest bound. Slow exchanges (wide
//! bounds) therefore don't disturb it, and fast ones keep it within a round trip.
//!
//! The estimate never goes backwards. The log's clock may, after a failover to a machine that runs
//! behind. Then the estimate runs 1 % slow until the two meet. Frozen time would prove no watch
//! time, and stepped time would prove it twice.

use crate::time::UnixMs;

/// Inverse of the rate at which the estimate may lag its monotonic clock, while it waits for a log
/// that stepped back.
const SLEW_DIVISOR: u64 = 100;

/// An estimate of the log's clock. `mono` is any clock of this process that never goes backwards,
/// in ms.
#[derive(Clone, Debug, Default)]
pub struct LogClock {
    /// Log time minus `mono`; meaningless until the first exchange.
    offset_ms: i64,
    /// Time of the last exchange, on `mono`.
    compared_mono_ms: u64,
    /// Last time that [`now`](Self::now) returned.
    last: UnixMs,
    /// Whether there was an exchange.
    set: bool,
}

impl LogClock {
    /// Updates the estimate from an exchange. The request was sent at `sent_mono_ms`, the answer
    /// arrived at `received_mono_ms`, and the log's clock read `log`.
    pub fn observe(&mut self, sent_mono_ms: u64, received_mono_ms: u64, log: UnixMs) {
        let log = i64::try_from(log.0).unwrap_or(i64::MAX);
        let mono = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let (low, high) =
            (log.saturating_sub(mono(received_mono_ms)), log.saturating_sub(mono(sent_mono_ms)));
        if !self.set || self.offset_ms < low {
            self.offset_ms = low;
        } else if self.offset_ms > high {
            let passed_ms = received_mono_ms.saturating_sub(self.compared_mono_ms);
            let step_ms = mono(passed_ms.div_ceil(SLEW_DIVISOR));
            self.offset_ms = self.offset_ms.saturating_sub(step_ms).max(high);
        }
        self.set = true;
        self.compared_mono_ms = received_mono_ms;
    }

    /// Moves the estimate forward to another node's event stamp, if that is ahead.
    ///
    /// The other node has followed the log since before the log's clock stepped back. All nodes
    /// follow the one that is ahead. Otherwise an event that one node accepts would be old for
    /// another.
    pub fn advance_to(&mut self, mono_ms: u64, stamp: UnixMs) {
        if self.now(mono_ms).is_some_and(|now| now < stamp) {
            let ahead = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            self.offset_ms = ahead(stamp.0).saturating_sub(ahead(mono_ms));
        }
    }

    /// Returns the log's clock now, or `None` before the first exchange. It never returns less than
    /// before.
    pub fn now(&mut self, mono_ms: u64) -> Option<UnixMs> {
        if !self.set {
            return None;
        }
        let mono = i64::try_from(mono_ms).unwrap_or(i64::MAX);
        let estimate = UnixMs(u64::try_from(mono.saturating_add(self.offset_ms)).unwrap_or(0));
        self.last = self.last.max(estimate);
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_before_the_first_exchange() {
        assert_eq!(LogClock::default().now(5), None);
    }

    #[test]
    fn a_slow_exchange_disturbs_nothing() {
        let mut clock = LogClock::default();
        clock.observe(100, 100, UnixMs(1_000_100));
        // The log answered at once, but the answer waited in a socket for a minute.
        clock.observe(200, 60_200, UnixMs(1_000_200));
        assert_eq!(clock.now(60_300), Some(UnixMs(1_060_300)));
    }

    #[test]
    fn follows_a_log_that_steps_forward_at_once() {
        let mut clock = LogClock::default();
        clock.observe(0, 0, UnixMs(1_000_000));
        clock.observe(10, 12, UnixMs(1_600_010));
        assert_eq!(clock.now(12), Some(UnixMs(1_600_010)));
    }

    #[test]
    fn all_nodes_go_by_the_one_that_is_ahead() {
        let mut clock = LogClock::default();
        clock.advance_to(0, UnixMs(7));
        assert_eq!(clock.now(0), None, "the clock is unset before the first observation");
        clock.observe(0, 0, UnixMs(400_000));
        clock.advance_to(100, UnixMs(400_100));
        assert_eq!(clock.now(100), Some(UnixMs(400_100)), "the clock follows the observed time");
        clock.advance_to(100, UnixMs(1_000_000));
        assert_eq!(clock.now(100), Some(UnixMs(1_000_000)));
        clock.observe(200, 200, UnixMs(400_200));
        let now = clock.now(200).unwrap();
        assert!(
            UnixMs(1_000_000) < now && now < UnixMs(1_000_100),
            "the clock runs slower than real time: {now}"
        );
    }

    #[test]
    fn a_log_that_steps_back_slows_it_and_never_turns_it() {
        let mut clock = LogClock::default();
        clock.observe(0, 0, UnixMs(1_000_000));
        let mut last = clock.now(0).unwrap();
        // The log lost ten minutes. With an exchange every 100 ms the estimate keeps running, 1 %
        // slow.
        for tick in 1..=1_000 {
            let mono = tick * 100;
            clock.observe(mono, mono, UnixMs(400_000 + mono));
            let now = clock.now(mono).unwrap();
            assert!(now > last, "time did not advance at {mono}");
            last = now;
        }
        assert_eq!(last, UnixMs(1_099_000));
    }

    proptest! {
        /// With any delays, the estimate stays close to the true clock: within the shortest one-way
        /// delay seen.
        #[test]
        fn stays_within_the_bounds(delays in proptest::collection::vec((0u64..500, 0u64..500), 1..100)) {
            let (mut clock, mut mono, truth) = (LogClock::default(), 10_000u64, 1_700_000_000_000u64);
            let (mut low, mut high) = (u64::MAX, u64::MAX);
            for (there, back) in delays {
                let sent = mono;
                mono += there;
                let read = truth + mono;
                mono += back;
                clock.observe(sent, mono, UnixMs(read));
                low = low.min(back);
                high = high.min(there);
                let now = clock.now(mono).unwrap().0;
                prop_assert!(now >= truth + mono - low && now <= truth + mono + high);
            }
        }
    }
}
