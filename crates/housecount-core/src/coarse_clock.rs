//! Bounds of a clock whose answers are whole seconds.
//!
//! An answer contains its second, and the clock was read between the request and the answer. Each
//! answer therefore bounds the difference of that clock and this process's own. Answers from all
//! parts of the second together bound it to some milliseconds. The clock is always within the
//! bounds, unless it was set or this process was suspended. Then an answer contradicts the bounds,
//! and they start again from that answer.

use crate::time::UnixMs;

/// Allowed drift of two clocks, in millionths: ten times that of a quartz.
const DRIFT_MILLIONTHS: u64 = 200;

/// Bounds known so far. `mono` is any clock of this process that never goes backwards, in ms.
#[derive(Clone, Debug, Default)]
pub struct CoarseClock {
    known: Option<OffsetBounds>,
}

/// Lower and upper bound of the difference of the two clocks, each with the time at which it was
/// found.
#[derive(Clone, Copy, Debug)]
struct OffsetBounds {
    low: (i64, u64),
    high: (i64, u64),
}

impl OffsetBounds {
    /// Returns the bounds widened by the possible drift since they were found.
    fn at(self, mono_ms: u64) -> (i64, i64) {
        let drift_ms = |since_ms: u64| {
            signed(
                (mono_ms.saturating_sub(since_ms).saturating_mul(DRIFT_MILLIONTHS))
                    .div_ceil(1_000_000),
            )
        };
        let ((low_ms, low_at), (high_ms, high_at)) = (self.low, self.high);
        (low_ms.saturating_sub(drift_ms(low_at)), high_ms.saturating_add(drift_ms(high_at)))
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl CoarseClock {
    /// Updates the bounds from an answer with its `second` (in ms), and the times of request and
    /// answer.
    pub fn observe(&mut self, sent_mono_ms: u64, received_mono_ms: u64, second: UnixMs) {
        // `mono` is cut to whole ms, so the answer may have arrived nearly one ms later.
        let low_ms = signed(second.0).saturating_sub(signed(received_mono_ms)).saturating_sub(1);
        let high_ms = signed(second.0).saturating_add(1_000).saturating_sub(signed(sent_mono_ms));
        let (low, high) = ((low_ms, received_mono_ms), (high_ms, received_mono_ms));
        let Some(known) = self.known else { return self.known = Some(OffsetBounds { low, high }) };
        let before = known.at(received_mono_ms);
        let both = OffsetBounds {
            low: if low_ms >= before.0 { low } else { known.low },
            high: if high_ms <= before.1 { high } else { known.high },
        };
        let (least, most) = both.at(received_mono_ms);
        self.known = Some(if least <= most { both } else { OffsetBounds { low, high } });
    }

    /// Returns the earliest and the latest possible time of the clock, or `None` before the first
    /// answer.
    #[must_use]
    pub fn bounds(&self, mono_ms: u64) -> Option<(UnixMs, UnixMs)> {
        let (low_ms, high_ms) = self.known?.at(mono_ms);
        let time = |offset_ms: i64| UnixMs(mono_ms.saturating_add_signed(offset_ms));
        Some((time(low_ms), time(high_ms.saturating_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any delays and phases, with a clock that drifts nearly as far as allowed.
        #[test]
        fn the_clock_is_within_its_bounds(
            calls in proptest::collection::vec((0u64..3_000, 0u64..400, 0u64..400), 1..80),
            fast in any::<bool>(),
            ahead_ms in 0u64..100_000,
        ) {
            let drift = if fast { 1_000_150 } else { 999_850 };
            let truth = |mono_ms: u64| 1_700_000_000_000 + ahead_ms + mono_ms * drift / 1_000_000;
            let (mut clock, mut mono_ms) = (CoarseClock::default(), 0);
            prop_assert!(clock.bounds(0).is_none());
            for (wait_ms, there_ms, back_ms) in calls {
                let sent_ms = mono_ms + wait_ms;
                let reading = truth(sent_ms + there_ms);
                mono_ms = sent_ms + there_ms + back_ms;
                clock.observe(sent_ms, mono_ms, UnixMs(reading - reading % 1_000));
                for later_ms in [0, 999, 60_000] {
                    let (low, high) = clock.bounds(mono_ms + later_ms).unwrap();
                    let now = truth(mono_ms + later_ms);
                    prop_assert!(low.0 <= now && now <= high.0, "{low} {now} {high}");
                }
            }
        }
    }

    #[test]
    fn answers_from_all_parts_of_the_second_say_it_to_milliseconds() {
        let mut clock = CoarseClock::default();
        for mono_ms in (0..1_100).step_by(10) {
            let now = 1_700_000_000_345 + mono_ms;
            clock.observe(mono_ms, mono_ms + 2, UnixMs(now - now % 1_000));
        }
        let (low, high) = clock.bounds(1_100).unwrap();
        assert!(high.since(low) < 20, "{low} {high}");
    }

    #[test]
    fn a_contradicting_answer_restarts_the_bounds() {
        let mut clock = CoarseClock::default();
        clock.observe(0, 1, UnixMs(1_700_000_000_000));
        clock.observe(10, 11, UnixMs(1_600_000_000_000));
        let (low, high) = clock.bounds(11).unwrap();
        assert!(
            low <= UnixMs(1_600_000_000_000)
                && UnixMs(1_600_000_000_000) <= high
                && high.since(low) < 1_100
        );
    }
}
