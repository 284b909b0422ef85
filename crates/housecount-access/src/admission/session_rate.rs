//! Rate limit of sessions: a table of token buckets (`bucket`), by a keyed hash of the session's
//! ids.
//!
//! Eight buckets share a cache line. A full line evicts the fullest bucket. Among equally full ones
//! it evicts the bucket that was used longest ago. So the table can only be too generous, and
//! hardly to a session that beats often. Two sessions share a bucket if 31 more bits of their
//! hashes are equal. That is rare enough for quotas to hold, although a session with a recent beat
//! is not checked against them.
//!
//! The table doubles when it is too small for the audience (see [`CacheLineTable`]), up to
//! `RATE_LIMITED_SESSIONS_MAX`. Half of the sessions then begin with a full bucket, at most seven
//! times in a node's life. No lock is needed: a thread that finds an entry changed reads it again.

use std::cmp::Reverse;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use housecount_core::event::EventKind;
use housecount_core::limits::{COALESCE_MS_MAX, RATE_LIMITED_SESSIONS_MAX};
use housecount_engine::internals::UnstampedEvent;

use super::bucket::{Bucket, OverLimit, TAG_BITS, tick};
use crate::cache_table::CacheLineTable;

/// Entries of a line.
const WAYS: usize = 8;
/// Lines of the table at first: 64 KiB, for 8,000 sessions.
const LINES_MIN: usize = 1 << 10;

/// Hash of a session's ids.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey(u64);

impl SessionKey {
    /// Returns the bits that do not choose its line.
    fn tag(self) -> u64 {
        self.0 >> (64 - TAG_BITS)
    }
}

/// Buckets of all sessions.
#[derive(Debug)]
pub struct SessionRateLimiter {
    /// Tokens that come back per second; `None` without a limit.
    per_second: Option<NonZeroU32>,
    interval_ticks: u64,
    hasher: RandomState,
    lines: CacheLineTable<RateLine>,
}

impl SessionRateLimiter {
    /// Creates an empty table, for players that are to beat every `interval_ms`.
    #[must_use]
    pub fn new(per_second: Option<NonZeroU32>, interval_ms: u64) -> SessionRateLimiter {
        SessionRateLimiter {
            per_second,
            interval_ticks: tick(interval_ms).max(1),
            hasher: RandomState::default(),
            lines: CacheLineTable::new(LINES_MIN, RATE_LIMITED_SESSIONS_MAX / WAYS),
        }
    }

    /// Returns the events that a session may log per second; `None` without a limit.
    #[must_use]
    pub fn per_second(&self) -> Option<NonZeroU32> {
        self.per_second
    }

    /// Returns the session of an event.
    #[must_use]
    pub fn session(&self, event: &UnstampedEvent<'_>) -> SessionKey {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(event.ids.viewer.as_bytes());
        hasher.write(event.ids.stage.as_bytes());
        hasher.write(event.ids.session.as_bytes());
        // The lengths mark where one id ends and the next begins.
        hasher.write_u64((event.ids.viewer.len() as u64) << 32 | event.ids.stage.len() as u64);
        SessionKey(hasher.finish())
    }

    /// Prefetches the lines of sessions that will be looked up next.
    pub fn prefetch(&self, sessions: impl IntoIterator<Item = SessionKey>) {
        for session in sessions {
            self.lines.prefetch(session.0);
        }
    }

    /// Returns a session's bucket at `now_ms`, of `clock::mono_ms`.
    #[must_use]
    pub fn find(&self, session: SessionKey, now_ms: u64) -> RateSlot<'_> {
        RateSlot::of(self, session, self.lines.of(session.0), tick(now_ms))
    }

    /// Clears the mark that a session's last event was a beat. That beat was not logged after all,
    /// or a leave of all sessions came since.
    pub fn forget_beat(&self, session: SessionKey, now_ms: u64) {
        loop {
            let found = self.find(session, now_ms);
            let is_done = !found.is_own
                || found.entry.without_beat() == found.entry
                || found.line.change(found.at, found.entry, found.entry.without_beat());
            if is_done {
                return;
            }
        }
    }
}

/// The place of a session's bucket, or the place that it will take.
#[derive(Clone, Copy, Debug)]
pub struct RateSlot<'a> {
    limiter: &'a SessionRateLimiter,
    session: SessionKey,
    line: &'a RateLine,
    at: usize,
    /// The session's own bucket, or the one that will be evicted for it.
    entry: Bucket,
    is_own: bool,
    now: u64,
}

impl<'a> RateSlot<'a> {
    fn of(
        limiter: &'a SessionRateLimiter,
        session: SessionKey,
        line: &'a RateLine,
        now: u64,
    ) -> RateSlot<'a> {
        let entries = line.entries();
        let own = entries.iter().position(|entry| entry.is_of(session.tag()));
        let use_of =
            |entry: Bucket| (entry.missing(limiter.per_second, now), Reverse(entry.age(now)));
        let least = || {
            let unused = entries.iter().position(|entry| *entry == Bucket::default());
            unused.unwrap_or_else(|| (0..WAYS).min_by_key(|at| use_of(entries[*at])).unwrap_or(0))
        };
        let at = own.unwrap_or_else(least);
        RateSlot { limiter, session, line, at, entry: entries[at], is_own: own.is_some(), now }
    }

    fn bucket(&self) -> Bucket {
        if self.is_own { self.entry } else { Bucket::full(self.session.tag(), self.now) }
    }

    /// Whether the session's last event was a beat that was admitted within an interval. It is then
    /// online, and needs no room.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.is_own && self.entry.has_beat_within(self.limiter.interval_ticks, self.now)
    }

    /// Whether the session's last event was a beat that was admitted less than [`COALESCE_MS_MAX`]
    /// ago.
    #[must_use]
    pub fn has_recent_beat(&self) -> bool {
        self.is_own && self.entry.has_beat_within(tick(COALESCE_MS_MAX), self.now)
    }

    /// Checks whether the session may log an event now.
    ///
    /// # Errors
    /// Returns `OverLimit` if it may not.
    pub fn check(&self, kind: EventKind) -> Result<(), OverLimit> {
        self.bucket().spend(self.limiter.per_second, kind, self.now).map(drop)
    }

    /// Takes a token of the session for an event that will be logged.
    ///
    /// # Errors
    /// Returns `OverLimit`, and changes nothing.
    pub fn spend(mut self, kind: EventKind) -> Result<(), OverLimit> {
        loop {
            let spent = self.bucket().spend(self.limiter.per_second, kind, self.now)?;
            if self.line.change(self.at, self.entry, spent) {
                break;
            }
            self = RateSlot::of(self.limiter, self.session, self.line, self.now);
        }
        if self.evicts_active() {
            self.limiter.lines.note_eviction();
        }
        Ok(())
    }

    /// Whether the session takes the place of another bucket that is still of use. Such a bucket is
    /// not full, or its session is admitted.
    fn evicts_active(&self) -> bool {
        let entry = self.entry;
        let is_of_use = entry.missing(self.limiter.per_second, self.now) > 0
            || entry.has_beat_within(self.limiter.interval_ticks, self.now);
        !self.is_own && is_of_use
    }
}

/// A line of the table.
#[derive(Debug, Default)]
#[repr(align(64))]
struct RateLine([AtomicU64; WAYS]);

impl RateLine {
    fn entries(&self) -> [Bucket; WAYS] {
        std::array::from_fn(|at| Bucket(self.0[at].load(Ordering::Relaxed)))
    }

    /// Replaces an entry. Returns false if it is not `old` any more.
    fn change(&self, at: usize, old: Bucket, new: Bucket) -> bool {
        // No other memory depends on an entry.
        self.0[at].compare_exchange(old.0, new.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::{Ids, SessionLabels};
    use housecount_core::limits::SESSION_BURST;

    use super::*;

    fn event_of(viewer: &str) -> UnstampedEvent<'_> {
        UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer, session: "" },
            labels: SessionLabels::NONE,
        }
    }

    fn limiter() -> SessionRateLimiter {
        SessionRateLimiter::new(NonZeroU32::new(2), 30_000)
    }

    impl SessionRateLimiter {
        fn is_admitted(&self, session: SessionKey, now_ms: u64) -> bool {
            self.find(session, now_ms).is_admitted()
        }

        fn event(
            &self,
            session: SessionKey,
            kind: EventKind,
            now_ms: u64,
        ) -> Result<(), OverLimit> {
            let found = self.find(session, now_ms);
            let spent = found.spend(kind);
            assert_eq!(found.check(kind), spent);
            spent
        }

        fn beat(&self, session: SessionKey, now_ms: u64) -> Result<(), OverLimit> {
            self.event(session, EventKind::Beat, now_ms)
        }
    }

    #[test]
    fn each_session_has_a_burst_and_then_two_a_second() {
        let limiter = limiter();
        let ann = limiter.session(&event_of("ann"));
        for round in 0..3 {
            let now = 7_000 + round * 60_000;
            assert!(!limiter.is_admitted(ann, now));
            (0..SESSION_BURST).for_each(|_| assert_eq!(limiter.beat(ann, now), Ok(())));
            assert_eq!(limiter.beat(ann, now), Err(OverLimit { retry_ms: 500 }));
            assert_eq!(limiter.beat(limiter.session(&event_of("bob")), now), Ok(()));
            let logged = (1..=3_000).filter(|ms| limiter.beat(ann, now + ms).is_ok());
            assert_eq!(logged.collect::<Vec<_>>(), [500, 1_000, 1_500, 2_000, 2_500, 3_000]);
            assert!(limiter.is_admitted(ann, now + 3_000 + 29_000));
        }
    }

    #[test]
    fn coalesce_ms_max_is_how_long_ago_the_last_beat_may_be() {
        let limiter = limiter();
        let ann = limiter.session(&event_of("ann"));
        let has_recent_beat = |now| limiter.find(ann, now).has_recent_beat();
        assert!(!has_recent_beat(7_000));
        limiter.beat(ann, 7_000).unwrap();
        assert!(
            has_recent_beat(7_000)
                && has_recent_beat(6_999)
                && has_recent_beat(7_000 + COALESCE_MS_MAX - 1)
        );
        assert!(!has_recent_beat(7_000 + COALESCE_MS_MAX));
        limiter.event(ann, EventKind::Leave, 7_100).unwrap();
        assert!(!has_recent_beat(7_100), "the session has left since");
    }

    #[test]
    fn a_leave_or_an_unlogged_beat_revokes_the_admission() {
        let limiter = limiter();
        let ann = limiter.session(&event_of("ann"));
        for (kind, now) in [
            (EventKind::Leave, 0),
            (EventKind::Beat, 1),
            (EventKind::Leave, 2),
            (EventKind::Beat, 3),
        ] {
            assert_eq!(limiter.event(ann, kind, now), Ok(()));
            assert_eq!(limiter.is_admitted(ann, now), kind == EventKind::Beat);
        }
        limiter.forget_beat(ann, 4);
        assert!(!limiter.is_admitted(ann, 4) && !limiter.find(ann, 4).has_recent_beat());
        (4..SESSION_BURST).for_each(|_| assert_eq!(limiter.beat(ann, 5), Ok(())));
        assert!(limiter.beat(ann, 5).is_err(), "a forgotten beat's token stays spent");
        assert!(limiter.is_admitted(ann, 6), "a refused beat changes nothing");
    }

    #[test]
    fn where_one_id_ends_matters() {
        let limiter = SessionRateLimiter::new(None, 1);
        let of = |stage, viewer, session| {
            limiter
                .session(&UnstampedEvent {
                    kind: EventKind::Beat,
                    ids: Ids { stage, viewer, session },
                    labels: SessionLabels::NONE,
                })
                .0
        };
        assert_ne!(of("s", "ab", "c"), of("s", "a", "bc"));
        assert_ne!(of("s", "a", "bc"), of("sb", "a", "c"));
        assert_eq!(of("s", "a", "c"), of("s", "a", "c"));
    }

    /// Beats once for each of this many other sessions.
    fn crowd(limiter: &SessionRateLimiter, sessions: usize, now_ms: u64) {
        let hasher = foldhash::quality::FixedState::with_seed(7);
        for n in 0..sessions as u64 {
            limiter.beat(SessionKey(hasher.hash_one(n)), now_ms).unwrap();
        }
    }

    #[test]
    fn rate_limited_sessions_max_evicts_the_fullest_buckets() {
        let limiter = limiter();
        crowd(&limiter, 2 * RATE_LIMITED_SESSIONS_MAX, 0);
        assert_eq!(limiter.lines.bytes(), RATE_LIMITED_SESSIONS_MAX * 8);
        let loud = limiter.session(&event_of("loud"));
        (0..SESSION_BURST).for_each(|_| assert_eq!(limiter.beat(loud, 0), Ok(())));
        // A session of the crowd may have a second beat before its bucket is evicted.
        let hasher = foldhash::quality::FixedState::with_seed(9);
        for n in 0..2 * RATE_LIMITED_SESSIONS_MAX as u64 {
            limiter.beat(SessionKey(hasher.hash_one(n)), 1).unwrap();
        }
        assert!(limiter.beat(loud, 2).is_err());
        assert_eq!(limiter.lines.bytes(), RATE_LIMITED_SESSIONS_MAX * 8);
    }

    /// Quotas are not checked for sessions that are admitted already.
    #[test]
    fn a_session_without_events_is_not_admitted() {
        let limiter = limiter();
        crowd(&limiter, 100_000, 0);
        let hasher = foldhash::quality::FixedState::with_seed(8);
        let admitted = (0..100_000_u64)
            .filter(|n| limiter.is_admitted(SessionKey(hasher.hash_one(n)), 1))
            .count();
        assert_eq!(admitted, 0);
    }

    #[test]
    fn the_table_is_as_large_as_its_audience() {
        for per_second in [NonZeroU32::new(2), None] {
            let limiter = SessionRateLimiter::new(per_second, 30_000);
            for sessions in [1_024, 10_000, 100_000] {
                (0..9).for_each(|interval| crowd(&limiter, sessions, interval * 30_000));
                let bytes = limiter.lines.bytes();
                assert!(
                    (8 * sessions..=64 * sessions).contains(&bytes),
                    "{bytes} bytes for {sessions} sessions"
                );
            }
        }
    }
}
