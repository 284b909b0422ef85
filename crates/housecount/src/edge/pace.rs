//! How often a session may speak: so many times an interval, counted from the first.
//!
//! The counts lie in a table of fixed size, by a keyed hash of the session's ids, eight to a line of the cache. Where a line
//! is full, whoever has said least in it is forgotten and begins anew: so it can only be too generous, and hardly to anybody
//! who says much. Two sessions whose hashes are the same share a count; of a million sessions one pair in a thousand runs does.

use std::num::NonZeroU32;

use foldhash::quality::RandomState;
use housecount_core::limits::PACED_SESSIONS_MAX;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};

use crate::ingest::Said;

/// Entries of a line.
const WAYS: usize = 8;
/// Parts of the table with a lock each: far more than there are workers.
const SHARDS: usize = 64;
/// Parts of an interval: so exact is when one began.
const TICKS: u64 = 64;
/// Bits of an entry: its tag above, then when its interval began, then how often was spoken.
const COUNT_BITS: u32 = 10;
const BEGAN_BITS: u32 = 22;
/// How often one may be allowed to speak at most.
pub const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// A session, by its hash.
#[derive(Clone, Copy, Debug)]
pub struct Session(u64);

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// It may be taken in.
    Well,
    /// The session has said enough.
    Enough {
        /// When its next interval begins.
        retry_ms: u64,
        /// How often it may speak in one.
        max: NonZeroU32,
    },
}

/// See the module's text. `PACED_SESSIONS_MAX` entries of eight bytes; those that were never used cost nothing.
#[derive(Debug)]
pub struct Pace {
    /// None: as often as it likes.
    max: Option<NonZeroU32>,
    interval_ms: u64,
    hasher: RandomState,
    shards: Box<[Mutex<Vec<u64>>]>,
}

/// An entry's parts.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn new(tag: u64, began: u64, count: u64) -> Entry {
        Entry(tag << 32 | (began & ((1 << BEGAN_BITS) - 1)) << COUNT_BITS | count)
    }

    fn tag(self) -> u64 {
        self.0 >> 32
    }

    fn count(self) -> u64 {
        self.0 & u64::from(COUNT_MAX)
    }

    /// How many ticks ago its interval began. (One of 65,536 intervals ago looks new, and harms nobody.)
    fn age(self, now: u64) -> u64 {
        let began = self.0 >> COUNT_BITS & ((1 << BEGAN_BITS) - 1);
        now.wrapping_sub(began) & ((1 << BEGAN_BITS) - 1)
    }

    /// How much was said in an interval that isn't over.
    fn said(self, now: u64) -> u64 {
        if self.age(now) < TICKS { self.count() } else { 0 }
    }
}

impl Pace {
    /// So often a session may speak in an interval.
    #[must_use]
    pub fn new(max: Option<NonZeroU32>, interval_ms: u64) -> Pace {
        let shard = |_| Mutex::new(vec![0; PACED_SESSIONS_MAX / SHARDS]);
        Pace {
            max: max.map(|max| max.min(NonZeroU32::new(COUNT_MAX).unwrap_or(max))),
            interval_ms: interval_ms.max(1),
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(shard).collect(),
        }
    }

    /// The session that says something.
    #[must_use]
    pub fn session(&self, said: &Said<'_>) -> Session {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(said.viewer.as_bytes());
        hasher.write(said.stage.as_bytes());
        hasher.write(said.session.as_bytes());
        // Where one id ends and the next begins.
        hasher.write_u64((said.viewer.len() as u64) << 32 | said.stage.len() as u64);
        Session(hasher.finish())
    }

    fn ticks(&self, now_ms: u64) -> u64 {
        now_ms * TICKS / self.interval_ms
    }

    fn with<T>(&self, session: Session, with: impl FnOnce(u64, &mut [u64]) -> T) -> T {
        let lines = PACED_SESSIONS_MAX / SHARDS / WAYS;
        let (shard, line) = (session.0 as usize % SHARDS, session.0 as usize / SHARDS % lines);
        // No entry is zero.
        with(session.0 >> 32 | 1, &mut self.shards[shard].lock()[line * WAYS..(line + 1) * WAYS])
    }

    /// Whether a session has spoken in an interval that isn't over.
    #[must_use]
    pub fn has_begun(&self, session: Session, now_ms: u64) -> bool {
        let now = self.ticks(now_ms);
        self.with(session, |tag, line| {
            line.iter().any(|entry| Entry(*entry).tag() == tag && Entry(*entry).said(now) > 0)
        })
    }

    /// A session speaks.
    pub fn note(&self, session: Session, now_ms: u64) -> Spoken {
        let now = self.ticks(now_ms);
        let max = self.max.map_or(u64::from(COUNT_MAX), |max| u64::from(max.get()));
        let (said, age) = self.with(session, |tag, line| {
            let known = line.iter().position(|entry| Entry(*entry).tag() == tag);
            let least = || (0..WAYS).min_by_key(|at| Entry(line[*at]).said(now)).unwrap_or(0);
            let at = known.unwrap_or_else(least);
            let entry = Entry(line[at]);
            let said = if known.is_some() { entry.said(now) } else { 0 };
            let began = if said == 0 { now } else { now.wrapping_sub(entry.age(now)) };
            line[at] = Entry::new(tag, began, (said + 1).min(max)).0;
            (said, now.wrapping_sub(began))
        });
        match self.max {
            Some(limit) if said >= max => {
                let retry_ms = (TICKS - age) * self.interval_ms / TICKS;
                Spoken::Enough { retry_ms: retry_ms.max(1), max: limit }
            }
            _ => Spoken::Well,
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::Kind;

    use super::*;

    fn said(viewer: &str) -> Said<'_> {
        Said { kind: Kind::Beat, stage: "s", viewer, session: "" }
    }

    #[test]
    fn a_session_may_speak_so_often_an_interval() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        let ann = pace.session(&said("ann"));
        for round in 0..3 {
            let now = 7_000 + round * 30_000;
            assert!(!pace.has_begun(ann, now));
            for n in 0..10 {
                assert_eq!(pace.note(ann, now + n * 100), Spoken::Well, "{n}");
            }
            for again in [1_000, 2_000] {
                let Spoken::Enough { retry_ms, .. } = pace.note(ann, now + again) else { panic!() };
                assert!((29_000 - again..=30_000 - again + 500).contains(&retry_ms), "{retry_ms}");
            }
            assert_eq!(pace.note(pace.session(&said("bob")), now), Spoken::Well);
            assert!(pace.has_begun(ann, now + 29_000));
        }
    }

    #[test]
    fn where_one_id_ends_matters() {
        let pace = Pace::new(None, 1);
        let of = |stage, viewer, session| pace.session(&Said { kind: Kind::Beat, stage, viewer, session }).0;
        assert_ne!(of("s", "ab", "c"), of("s", "a", "bc"));
        assert_ne!(of("s", "a", "bc"), of("sb", "a", "c"));
        assert_eq!(of("s", "a", "c"), of("s", "a", "c"));
    }

    #[test]
    fn paced_sessions_max_forgets_who_says_least() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        let loud = pace.session(&said("loud"));
        (0..10).for_each(|_| assert_eq!(pace.note(loud, 0), Spoken::Well));
        // As many again as there is room for, and each says a word.
        for n in 0..2 * PACED_SESSIONS_MAX as u64 {
            pace.note(Session(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 1);
        }
        assert!(matches!(pace.note(loud, 2), Spoken::Enough { .. }));
        let bytes: usize = pace.shards.iter().map(|shard| shard.lock().capacity() * 8).sum();
        assert_eq!(bytes, PACED_SESSIONS_MAX * 8);
    }
}
