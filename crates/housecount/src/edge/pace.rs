//! How often a session may speak: so many times an interval, counted from the first.
//!
//! The counts lie in a table, by a keyed hash of the session's ids, eight to a line of the cache. Where a line is full, whoever
//! has said least in it is forgotten and begins anew: so it can only be too generous, and hardly to anybody who says much. Two
//! sessions share a count if 31 bits more of their hashes are the same: so few that caps, which are asked once an interval, hold.
//!
//! The table doubles when it is too small for the audience (see [`Lines`]), up to `PACED_SESSIONS_MAX`. Half of the sessions
//! begin anew then, seven times in a node's life at most. There is no lock: who finds an entry changed meanwhile looks again.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use housecount_core::limits::PACED_SESSIONS_MAX;

use crate::ingest::Said;
use crate::lines::Lines;

/// Entries of a line.
const WAYS: usize = 8;
/// Lines of the table at first: 64 KiB, for 8,000 sessions.
const LINES_MIN: usize = 1 << 10;
/// Parts of an interval: so exact is when one began, and when it is over.
const TICKS: u64 = 64;
/// Bits of an entry: its tag above, then when its interval began, then whether it is welcome, then how often was spoken.
const COUNT_BITS: u32 = 10;
const WELCOME: u64 = 1 << COUNT_BITS;
const BEGAN_BITS: u32 = 21;
const BEGAN_SHIFT: u32 = COUNT_BITS + 1;
const TAG_BITS: u32 = 64 - BEGAN_BITS - BEGAN_SHIFT;
/// How often one may be allowed to speak at most.
pub const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// A session, by its hash.
#[derive(Clone, Copy, Debug)]
pub struct Session(u64);

impl Session {
    /// The part that doesn't say where it lies; of no entry that was never used.
    fn tag(self) -> u64 {
        self.0 >> (64 - TAG_BITS) | 1
    }
}

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

/// See the module's text.
#[derive(Debug)]
pub struct Pace {
    /// None: as often as it likes.
    max: Option<NonZeroU32>,
    interval_ms: u64,
    hasher: RandomState,
    lines: Lines<Line>,
}

/// An entry's parts. Never used: zero, which has said nothing.
#[derive(Clone, Copy, Debug)]
struct Entry(u64);

impl Entry {
    fn new(tag: u64, began: u64, is_welcome: bool, count: u64) -> Entry {
        let began = (began & ((1 << BEGAN_BITS) - 1)) << BEGAN_SHIFT;
        let welcome = if is_welcome { WELCOME } else { 0 };
        Entry(tag << (BEGAN_BITS + BEGAN_SHIFT) | began | welcome | count)
    }

    fn tag(self) -> u64 {
        self.0 >> (BEGAN_BITS + BEGAN_SHIFT)
    }

    fn count(self) -> u64 {
        self.0 & u64::from(COUNT_MAX)
    }

    /// How many ticks ago its interval began. (One of 32,768 intervals ago looks new, and harms nobody.)
    fn age(self, now: u64) -> u64 {
        now.wrapping_sub(self.0 >> BEGAN_SHIFT) & ((1 << BEGAN_BITS) - 1)
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
        Pace {
            max: max.map(|max| max.min(NonZeroU32::new(COUNT_MAX).unwrap_or(max))),
            interval_ms: interval_ms.max(1),
            hasher: RandomState::default(),
            lines: Lines::new(LINES_MIN, PACED_SESSIONS_MAX / WAYS),
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

    /// These will be asked for next: what is known of them is on its way from memory from now on.
    pub fn look_ahead(&self, sessions: impl IntoIterator<Item = Session>) {
        for session in sessions {
            self.lines.look_ahead(session.0);
        }
    }

    fn ticks(&self, now_ms: u64) -> u64 {
        now_ms * TICKS / self.interval_ms
    }

    /// What a session has said until now.
    #[must_use]
    pub fn find(&self, session: Session, now_ms: u64) -> Found<'_> {
        Found::of(session, self.lines.of(session.0), self.ticks(now_ms))
    }

    /// A session isn't welcome any more, though it said nothing itself.
    pub fn take_back(&self, session: Session, now_ms: u64) {
        loop {
            let found = self.find(session, now_ms);
            let is_done = !found.is_welcome()
                || found.line.change(found.at, found.entry, Entry(found.entry.0 & !WELCOME));
            if is_done {
                return;
            }
        }
    }

    /// A session speaks. `is_welcome` if its next words are in this interval: after a beat that was let in, and not after a leave.
    pub fn note(&self, mut found: Found<'_>, is_welcome: bool) -> Spoken {
        let max = u64::from(self.max.map_or(COUNT_MAX, NonZeroU32::get));
        while !found.change(max, is_welcome) {
            found = Found::of(found.session, found.line, found.now);
        }
        if found.forgets() {
            self.lines.note_forgotten();
        }
        match self.max {
            Some(limit) if found.said() >= max => {
                let left = TICKS - found.now.wrapping_sub(found.began());
                Spoken::Enough { retry_ms: (left * self.interval_ms / TICKS).max(1), max: limit }
            }
            _ => Spoken::Well,
        }
    }
}

/// Where a session's entry is, or will be.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    session: Session,
    line: &'a Line,
    at: usize,
    /// What is there: the session's own, or whose place it takes.
    entry: Entry,
    is_own: bool,
    now: u64,
}

impl<'a> Found<'a> {
    fn of(session: Session, line: &'a Line, now: u64) -> Found<'a> {
        let entries = line.entries();
        let own = entries.iter().position(|entry| entry.tag() == session.tag());
        let least = || (0..WAYS).min_by_key(|at| entries[*at].said(now)).unwrap_or(0);
        let at = own.unwrap_or_else(least);
        Found { session, line, at, entry: entries[at], is_own: own.is_some(), now }
    }

    /// How much the session has said in an interval that isn't over.
    fn said(&self) -> u64 {
        if self.is_own { self.entry.said(self.now) } else { 0 }
    }

    /// Whether it was let in in such an interval, and has said no leave since: nobody need ask whether there is room for it.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.said() > 0 && self.entry.0 & WELCOME != 0
    }

    fn began(&self) -> u64 {
        if self.said() > 0 { self.now.wrapping_sub(self.entry.age(self.now)) } else { self.now }
    }

    /// It says one thing more, of `max` that are counted. False if somebody else was here meanwhile.
    fn change(&self, max: u64, is_welcome: bool) -> bool {
        let entry = Entry::new(self.session.tag(), self.began(), is_welcome, (self.said() + 1).min(max));
        self.line.change(self.at, self.entry, entry)
    }

    /// Whether somebody is forgotten for it who has said something in an interval that isn't over.
    fn forgets(&self) -> bool {
        !self.is_own && self.entry.said(self.now) > 0
    }
}

/// A line of the table.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

impl Line {
    fn entries(&self) -> [Entry; WAYS] {
        std::array::from_fn(|at| Entry(self.0[at].load(Ordering::Relaxed)))
    }

    /// False if it isn't `old` any more.
    fn change(&self, at: usize, old: Entry, new: Entry) -> bool {
        // Nothing else is read by what an entry says.
        self.0[at].compare_exchange(old.0, new.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::Kind;

    use super::*;

    fn said(viewer: &str) -> Said<'_> {
        Said { kind: Kind::Beat, stage: "s", viewer, session: "" }
    }

    impl Pace {
        fn is_welcome(&self, session: Session, now_ms: u64) -> bool {
            self.find(session, now_ms).is_welcome()
        }

        fn speak(&self, session: Session, now_ms: u64) -> Spoken {
            self.note(self.find(session, now_ms), true)
        }
    }

    #[test]
    fn a_session_may_speak_so_often_an_interval() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        let ann = pace.session(&said("ann"));
        for round in 0..3 {
            let now = 7_000 + round * 30_000;
            assert!(!pace.is_welcome(ann, now));
            for n in 0..10 {
                assert_eq!(pace.speak(ann, now + n * 100), Spoken::Well, "{n}");
            }
            for again in [1_000, 2_000] {
                let Spoken::Enough { retry_ms, .. } = pace.speak(ann, now + again) else { panic!() };
                assert!((29_000 - again..=30_000 - again + 500).contains(&retry_ms), "{retry_ms}");
            }
            assert_eq!(pace.speak(pace.session(&said("bob")), now), Spoken::Well);
            assert!(pace.is_welcome(ann, now + 29_000));
        }
    }

    #[test]
    fn a_leave_is_counted_and_takes_the_welcome_back() {
        let pace = Pace::new(NonZeroU32::new(3), 30_000);
        let ann = pace.session(&said("ann"));
        for (is_welcome, now) in [(false, 0), (true, 1), (false, 2)] {
            assert_eq!(pace.note(pace.find(ann, now), is_welcome), Spoken::Well);
            assert_eq!(pace.is_welcome(ann, now), is_welcome);
        }
        assert!(matches!(pace.note(pace.find(ann, 3), true), Spoken::Enough { .. }));
        assert!(pace.is_welcome(ann, 4), "it is there already, and says too much");
        pace.take_back(ann, 4);
        assert!(!pace.is_welcome(ann, 4));
        assert!(
            matches!(pace.note(pace.find(ann, 5), true), Spoken::Enough { .. }),
            "what was said is counted on"
        );
    }

    #[test]
    fn where_one_id_ends_matters() {
        let pace = Pace::new(None, 1);
        let of = |stage, viewer, session| pace.session(&Said { kind: Kind::Beat, stage, viewer, session }).0;
        assert_ne!(of("s", "ab", "c"), of("s", "a", "bc"));
        assert_ne!(of("s", "a", "bc"), of("sb", "a", "c"));
        assert_eq!(of("s", "a", "c"), of("s", "a", "c"));
    }

    /// So many others that each say a word.
    fn crowd(pace: &Pace, sessions: usize, now_ms: u64) {
        let hasher = foldhash::quality::FixedState::with_seed(7);
        for n in 0..sessions as u64 {
            pace.speak(Session(hasher.hash_one(n)), now_ms);
        }
    }

    #[test]
    fn paced_sessions_max_forgets_who_says_least() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        crowd(&pace, 2 * PACED_SESSIONS_MAX, 0);
        assert_eq!(pace.lines.bytes(), PACED_SESSIONS_MAX * 8);
        let loud = pace.session(&said("loud"));
        (0..10).for_each(|_| assert_eq!(pace.speak(loud, 0), Spoken::Well));
        crowd(&pace, 2 * PACED_SESSIONS_MAX, 1);
        assert!(matches!(pace.speak(loud, 2), Spoken::Enough { .. }));
        assert_eq!(pace.lines.bytes(), PACED_SESSIONS_MAX * 8);
    }

    /// Caps are asked of nobody who is welcome.
    #[test]
    fn who_has_said_nothing_is_not_welcome() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        crowd(&pace, 100_000, 0);
        let hasher = foldhash::quality::FixedState::with_seed(8);
        let welcome = (0..100_000_u64).filter(|n| pace.is_welcome(Session(hasher.hash_one(n)), 1)).count();
        assert_eq!(welcome, 0);
    }

    #[test]
    fn the_table_is_as_large_as_its_audience() {
        let pace = Pace::new(NonZeroU32::new(10), 30_000);
        for sessions in [1_024, 10_000, 100_000] {
            (0..9).for_each(|interval| crowd(&pace, sessions, interval * 30_000));
            let bytes = pace.lines.bytes();
            assert!((8 * sessions..=64 * sessions).contains(&bytes), "{bytes} for {sessions}");
        }
    }
}
