//! A session's token bucket in eight bytes. It holds how many events the session may still log, and
//! whether the last one was a beat.
//!
//! The rule counts in ticks of a sixteenth of a second. A bucket holds [`SESSION_BURST`] tokens. An
//! event takes one token, and the rate is the number of tokens that come back per second. A leave
//! may owe [`SESSION_LEAVES_SPARE`] tokens more, so that a session that beats without end can still
//! leave. A refused event changes nothing. This file reads no clock and knows no table.

use std::num::NonZeroU32;

use housecount_core::event::EventKind;
use housecount_core::limits::{SESSION_BEATS_MAX, SESSION_BURST, SESSION_LEAVES_SPARE};

/// Ticks of a second.
pub const TICKS_PER_S: u64 = 16;
/// Parts of a token. They are as many as the ticks of a second, so that each tick brings back a
/// whole number of parts.
const TOKEN: u64 = TICKS_PER_S;

/// Bits of an entry for the tokens missing when the last event was logged. From the lowest bit, an
/// entry holds these, whether that event was a beat, its tick, and the tag.
const MISSING_BITS: u32 = 8;
const BEAT: u64 = 1 << MISSING_BITS;
const AT_SHIFT: u32 = MISSING_BITS + 1;
/// Bits of the tick, which repeats after 12 days. A session that comes back after exactly that time
/// looks as if it had never left.
const AT_BITS: u32 = 24;
const AT_MASK: u64 = (1 << AT_BITS) - 1;
/// Bits of a tag.
pub const TAG_BITS: u32 = 64 - AT_BITS - AT_SHIFT;
/// Largest lag of a reader's clock behind the writer's. Threads read the clock one after the other,
/// and a batch reads it once.
const SKEW_TICKS: u64 = TICKS_PER_S;

const _: () = {
    assert!((SESSION_BURST + SESSION_LEAVES_SPARE) as u64 * TOKEN < 1 << MISSING_BITS);
    // A bucket that refills within a tick would limit less than its rate.
    assert!((SESSION_BEATS_MAX as u64) < SESSION_BURST as u64 * TICKS_PER_S);
};

/// Returns the tick of a time in ms.
pub fn tick(ms: u64) -> u64 {
    ms * TICKS_PER_S / 1_000
}

/// A session's bucket, as of its last logged event. Zero is a place that was never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(pub u64);

/// An event beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// Time until the session may log such an event.
    pub retry_ms: u64,
}

impl Bucket {
    fn new(tag: u64, now: u64, is_beat: bool, missing: u64) -> Bucket {
        let beat = if is_beat { BEAT } else { 0 };
        Bucket(tag << (64 - TAG_BITS) | (now & AT_MASK) << AT_SHIFT | beat | missing)
    }

    /// Returns the bucket of a session that has logged nothing yet.
    pub fn full(tag: u64, now: u64) -> Bucket {
        Bucket::new(tag, now, false, 0)
    }

    /// Whether the bucket belongs to this session. Each logged event takes a whole token, so a used
    /// bucket is never zero, which marks a place that was never used.
    pub fn is_of(self, tag: u64) -> bool {
        self.0 != 0 && self.0 >> (64 - TAG_BITS) == tag
    }

    /// Returns the ticks since the last logged event.
    pub fn age(self, now: u64) -> u64 {
        self.latest(now).wrapping_sub(self.0 >> AT_SHIFT) & AT_MASK
    }

    /// Returns `now`, or the time of the last event where the reader's clock is behind it.
    fn latest(self, now: u64) -> u64 {
        let ahead = (self.0 >> AT_SHIFT).wrapping_sub(now) & AT_MASK;
        if ahead <= SKEW_TICKS { now + ahead } else { now }
    }

    /// Whether the last logged event was a beat, less than `ticks` ago.
    pub fn has_beat_within(self, ticks: u64, now: u64) -> bool {
        self.0 & BEAT != 0 && self.age(now) < ticks
    }

    /// Returns the same bucket, without a last beat.
    pub fn without_beat(self) -> Bucket {
        Bucket(self.0 & !BEAT)
    }

    /// Returns the parts of tokens that are missing now.
    pub fn missing(self, per_second: Option<NonZeroU32>, now: u64) -> u64 {
        let Some(per_second) = per_second else { return 0 };
        let back = self.age(now).saturating_mul(u64::from(per_second.get()));
        (self.0 & (BEAT - 1)).saturating_sub(back)
    }

    /// Takes a token for an event, if there is one. Without a limit there always is.
    ///
    /// # Errors
    /// Returns [`OverLimit`]; the bucket stays as it is.
    pub fn spend(
        self,
        per_second: Option<NonZeroU32>,
        kind: EventKind,
        now: u64,
    ) -> Result<Bucket, OverLimit> {
        let tokens =
            SESSION_BURST + if kind == EventKind::Leave { SESSION_LEAVES_SPARE } else { 0 };
        let missing = self.missing(per_second, now) + TOKEN;
        let over = missing.saturating_sub(u64::from(tokens) * TOKEN);
        match per_second.filter(|_| over > 0) {
            Some(per_second) => {
                let ticks = over.div_ceil(u64::from(per_second.get()));
                Err(OverLimit { retry_ms: (ticks * 1_000).div_ceil(TICKS_PER_S) })
            }
            None => {
                let tag = self.0 >> (64 - TAG_BITS);
                Ok(Bucket::new(tag, self.latest(now), kind == EventKind::Beat, missing))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: u64 = 7;

    /// The same rule with a counter that is filled tick by tick, and with nothing packed.
    struct Oracle {
        per_second: i64,
        tick: u64,
        tokens: i64,
        last: Option<(EventKind, u64)>,
    }

    impl Oracle {
        const BURST: i64 = (SESSION_BURST * 16) as i64;
        const DEBT: i64 = (SESSION_LEAVES_SPARE * 16) as i64;

        fn new(per_second: u32, tick: u64) -> Oracle {
            Oracle { per_second: i64::from(per_second), tick, tokens: Oracle::BURST, last: None }
        }

        fn go_on(&mut self, tick: u64) {
            for _ in self.tick..tick {
                self.tokens = (self.tokens + self.per_second).min(Oracle::BURST);
            }
            self.tick = tick;
        }

        fn event(&mut self, kind: EventKind) -> bool {
            let left_min = if kind == EventKind::Leave { -Oracle::DEBT } else { 0 };
            let is_logged = self.tokens - 16 >= left_min;
            if is_logged {
                self.tokens -= 16;
                self.last = Some((kind, self.tick));
            }
            is_logged
        }

        fn has_beat_within(&self, ticks: u64) -> bool {
            self.last.is_some_and(|(kind, at)| kind == EventKind::Beat && self.tick - at < ticks)
        }
    }

    fn events() -> impl Strategy<Value = Vec<(u64, bool)>> {
        // Most gaps are short, so that the limit is reached; some fill the bucket.
        let gap = prop_oneof![8 => 0_u64..40, 3 => 40_u64..1_500, 1 => 0_u64..200_000];
        proptest::collection::vec((gap, proptest::bool::weighted(0.2)), 1..300)
    }

    proptest! {
        /// Compares session_beats_max, session_burst and session_leaves_spare with an oracle. The
        /// same events are logged. A refused event is logged after exactly the answered time, and
        /// not a tick sooner. The last beat is known.
        #[test]
        fn a_bucket_refills_as_the_oracle_does(
            per_second in 1..=SESSION_BEATS_MAX,
            start in 0_u64..1 << 30,
            events in events(),
        ) {
            let rate = NonZeroU32::new(per_second);
            let mut now_ms = start;
            let mut oracle = Oracle::new(per_second, tick(start));
            let mut bucket = Bucket::full(TAG, tick(start));
            let mut logged = Vec::new();
            for (gap_ms, is_leave) in events {
                now_ms += gap_ms;
                let (now, kind) = (tick(now_ms), if is_leave { EventKind::Leave } else { EventKind::Beat });
                oracle.go_on(now);
                match bucket.spend(rate, kind, now) {
                    Ok(spent) => {
                        prop_assert!(oracle.event(kind), "the oracle refuses an admitted event");
                        bucket = spent;
                        logged.push(now_ms);
                    }
                    Err(OverLimit { retry_ms }) => {
                        prop_assert!(!oracle.event(kind), "the oracle admits a refused event");
                        // Counted from the tick's own start, since `retry_ms` is in ms of whole
                        // ticks.
                        let wait = retry_ms * TICKS_PER_S / 1_000;
                        prop_assert!(wait > 0 && bucket.spend(rate, kind, now + wait).is_ok());
                        prop_assert!(bucket.spend(rate, kind, now + wait - 1).is_err());
                    }
                }
                prop_assert!(bucket.is_of(TAG) || logged.is_empty());
                for ticks in [1, TICKS_PER_S, 480] {
                    prop_assert_eq!(bucket.has_beat_within(ticks, now), oracle.has_beat_within(ticks));
                }
            }
            // In any span of time, a session logs at most the burst, the spare leaves, and the
            // tokens that come back meanwhile.
            for (first, from) in logged.iter().enumerate() {
                for (last, to) in logged.iter().enumerate().skip(first) {
                    let ticks = tick(*to) - tick(*from);
                    let most = u64::from(SESSION_BURST + SESSION_LEAVES_SPARE)
                        + (ticks * u64::from(per_second)).div_ceil(TICKS_PER_S);
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }
    }

    #[test]
    fn session_leaves_spare_lets_an_exhausted_session_leave() {
        let rate = NonZeroU32::new(2);
        let spend = |bucket: Bucket, kind| bucket.spend(rate, kind, 1_000);
        let beats = (0..SESSION_BURST)
            .try_fold(Bucket::full(TAG, 0), |bucket, _| spend(bucket, EventKind::Beat));
        let empty = beats.unwrap();
        assert_eq!(spend(empty, EventKind::Beat), Err(OverLimit { retry_ms: 500 }));
        let leaves =
            (0..SESSION_LEAVES_SPARE).try_fold(empty, |bucket, _| spend(bucket, EventKind::Leave));
        let owing = leaves.unwrap();
        assert_eq!(spend(owing, EventKind::Leave), Err(OverLimit { retry_ms: 500 }));
        assert_eq!(
            spend(owing, EventKind::Beat),
            Err(OverLimit { retry_ms: 1_500 }),
            "debts are paid first"
        );
    }

    #[test]
    fn a_reader_whose_clock_is_behind_fills_no_bucket() {
        let rate = NonZeroU32::new(2);
        let beats = (0..SESSION_BURST)
            .try_fold(Bucket::full(TAG, 5), |bucket, _| bucket.spend(rate, EventKind::Beat, 100));
        let empty = beats.unwrap();
        assert!(empty.spend(rate, EventKind::Beat, 100 - SKEW_TICKS).is_err());
        assert!(empty.has_beat_within(1, 99));
        assert_eq!(
            empty.spend(rate, EventKind::Leave, 99),
            empty.spend(rate, EventKind::Leave, 100)
        );
    }

    #[test]
    fn without_a_limit_every_event_is_logged() {
        let mut bucket = Bucket::full(TAG, 0);
        for now in [0, 0, 0, 1, 7, 1 << 40] {
            for kind in [EventKind::Beat, EventKind::Leave, EventKind::Beat] {
                bucket = bucket.spend(None, kind, now).unwrap();
                assert_eq!(bucket.has_beat_within(1, now), kind == EventKind::Beat);
            }
        }
        assert!(!bucket.without_beat().has_beat_within(1, 1 << 40));
    }
}
