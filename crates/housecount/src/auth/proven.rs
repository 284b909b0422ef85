//! What players have proven they may say, so that a token is verified once and not with every heartbeat.
//!
//! Kept is a keyed hash of a token and what was said with it, and when the token ends: that the same bytes come again is all
//! that is asked. The hash is SipHash-2-4 of 128 bits, whose key nobody knows and whose values nobody sees. Half of it says in which line
//! of a table it lies, the other half is compared: whoever guesses finds one that is there once in 2^61 attempts. Only what a
//! key has signed gets in.
//!
//! A line has eight, and two rows: the ends, and the halves that are compared. These lie there mixed with their ends, so that
//! what two writers who meet leave behind fits nothing. Where a line is full, what ends first is forgotten, and verified anew; or
//! what came before the table doubled, and is looked for in another line since.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::limits::PROVEN_MAX;
use housecount_core::time::UnixMs;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::chance;
use crate::ingest::Said;
use crate::lines::Lines;

/// Entries of a line.
const WAYS: usize = 8;
/// Lines of the table at first: 32 KiB.
const LINES_MIN: usize = 1 << 8;
/// Bits of an end, in Unix ms: until the year 2109. Above are as many bits of the line's half as it has room for.
const END_BITS: u32 = 42;

const _: () = assert!(PROVEN_MAX / WAYS <= 1 << (64 - END_BITS));

/// See the module's text.
#[derive(Debug)]
pub struct Proven {
    key: Key,
    /// How often all was forgotten.
    epoch: AtomicU64,
    lines: Lines<Line>,
}

/// Never shown.
struct Key([u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(key)")
    }
}

/// What was said, and with which token.
#[derive(Clone, Copy)]
pub struct Mark {
    line: u64,
    tag: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line {
    /// Each mixed with its end. Never used: zero, as the end is.
    tags: [AtomicU64; WAYS],
    ends: [AtomicU64; WAYS],
}

impl Line {
    /// The end of the entry with this tag.
    fn end(&self, tag: u64) -> Option<u64> {
        let mut entries = self.tags.iter().zip(&self.ends);
        entries.find_map(|(mixed, end)| {
            let end = end.load(Ordering::Relaxed);
            (mixed.load(Ordering::Relaxed) ^ end == tag).then_some(end)
        })
    }
}

/// When an entry's token ends, in Unix ms.
fn end_ms(end: u64) -> u64 {
    end & ((1 << END_BITS) - 1)
}

impl Default for Proven {
    fn default() -> Proven {
        let lines = Lines::new(LINES_MIN, PROVEN_MAX / WAYS);
        Proven { key: Key(chance::any()), epoch: AtomicU64::new(0), lines }
    }
}

impl Proven {
    /// What is said with a token now.
    pub fn mark(&self, token: &str, said: &Said<'_>) -> Mark {
        let mut hasher = SipHasher24::new_with_key(&self.key.0);
        hasher.write(token.as_bytes());
        hasher.write(said.viewer.as_bytes());
        hasher.write(said.stage.as_bytes());
        hasher.write(said.session.as_bytes());
        // Where one ends and the next begins; all are shorter than a request.
        hasher.write_u64((token.len() as u64) << 32 | said.viewer.len() as u64);
        hasher.write_u64(said.stage.len() as u64);
        hasher.write_u64(self.epoch.load(Ordering::Acquire));
        let hash = hasher.finish128();
        Mark { line: hash.h1, tag: hash.h2 }
    }

    /// Whether it was proven, and still is.
    pub fn has(&self, mark: Mark, now: UnixMs) -> bool {
        let is_good = |end: &u64| now.0 < end_ms(*end);
        if self.lines.of(mark.line).end(mark.tag).is_some_and(|end| is_good(&end)) {
            return true;
        }
        let before = self.lines.before(mark.line).find_map(|line| line.end(mark.tag).filter(is_good));
        if let Some(end) = before {
            self.insert(mark, UnixMs(end_ms(end)), now);
        }
        before.is_some()
    }

    /// It was proven by a token that ends then.
    pub fn insert(&self, mark: Mark, ends: UnixMs, now: UnixMs) {
        let line = self.lines.of(mark.line);
        let useful_until_ms = |at: &usize| {
            let end = line.ends[*at].load(Ordering::Relaxed);
            if self.lines.is_same(end >> END_BITS, mark.line) { end_ms(end) } else { 0 }
        };
        let first = (0..WAYS).min_by_key(useful_until_ms).unwrap_or(0);
        if useful_until_ms(&first) > now.0 {
            self.lines.note_forgotten();
        }
        let end = mark.line << END_BITS | end_ms(ends.0.min((1 << END_BITS) - 1));
        line.ends[first].store(end, Ordering::Relaxed);
        line.tags[first].store(mark.tag ^ end, Ordering::Relaxed);
    }

    /// Tokens are judged by something else from now on: everything is to be proven anew. What was marked before and is proven
    /// after is of no use to anybody.
    pub fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::Kind;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000);
    const ENDS: UnixMs = UnixMs(2_000);

    fn said<'a>(stage: &'a str, viewer: &'a str, session: &'a str) -> Said<'a> {
        Said { kind: Kind::Beat, stage, viewer, session }
    }

    #[test]
    fn only_the_same_bytes_are_proven_and_only_until_the_token_ends() {
        let proven = Proven::default();
        let mark = |token, stage, viewer, session| proven.mark(token, &said(stage, viewer, session));
        let ann = mark("token", "s", "ann", "tab");
        assert!(!proven.has(ann, NOW));
        proven.insert(ann, ENDS, NOW);
        assert!(proven.has(mark("token", "s", "ann", "tab"), NOW));
        assert!(proven.has(ann, UnixMs(1_999)) && !proven.has(ann, ENDS));
        for other in [
            mark("token2", "s", "ann", "tab"),
            mark("toke", "s", "nann", "tab"),
            mark("tokena", "s", "nn", "tab"),
            mark("token", "st", "ann", "ab"),
            mark("token", "n", "an", "stab"),
            mark("token", "s", "ann", "tab2"),
            mark("token", "s", "ann", ""),
            Proven::default().mark("token", &said("s", "ann", "tab")),
        ] {
            assert!(!proven.has(other, NOW));
        }
        // Leaves are as good as beats.
        assert!(
            proven.has(proven.mark("token", &Said { kind: Kind::Leave, ..said("s", "ann", "tab") }), NOW)
        );
        proven.forget();
        assert!(!proven.has(mark("token", "s", "ann", "tab"), NOW), "it is marked anew");
        assert!(!format!("{proven:?}").contains(&format!("{:?}", proven.key.0)));
    }

    #[test]
    fn proven_max_bounds_it_and_what_ends_last_stays() {
        let proven = Proven::default();
        let mark = |n: usize| proven.mark(&n.to_string(), &said("s", "v", ""));
        (0..2 * PROVEN_MAX).for_each(|n| proven.insert(mark(n), ENDS, NOW));
        assert_eq!(proven.lines.bytes(), PROVEN_MAX * 16);
        let late = mark(usize::MAX);
        proven.insert(late, UnixMs(3_000), NOW);
        (0..PROVEN_MAX).for_each(|n| proven.insert(mark(n), ENDS, NOW));
        assert!(proven.has(late, UnixMs(2_999)));
        let known = (0..PROVEN_MAX).filter(|n| proven.has(mark(*n), NOW)).count();
        assert!((PROVEN_MAX / 2..PROVEN_MAX).contains(&known), "{known}");
    }

    #[test]
    fn an_audience_is_known_whole_in_little_memory() {
        let proven = Proven::default();
        let mark = |n: usize| proven.mark(&n.to_string(), &said("s", "v", ""));
        let audience = 20_000;
        for _ in 0..20 {
            (0..audience)
                .filter(|n| !proven.has(mark(*n), NOW))
                .for_each(|n| proven.insert(mark(n), ENDS, NOW));
        }
        let missed = (0..audience).filter(|n| !proven.has(mark(*n), NOW)).count();
        assert!(missed * 100 < audience, "{missed}");
        assert!(proven.lines.bytes() <= 128 * audience, "{}", proven.lines.bytes());
    }
}
