//! What players have proven they may say, so that a token is verified once and not with every
//! heartbeat.
//!
//! Kept is a keyed hash of a token and what was said with it, and when the token ends: that the
//! same bytes come again is all that is asked. The hash is SipHash-2-4 of 128 bits, whose key
//! nobody knows and whose values nobody sees. Half of it is compared: whoever guesses finds one
//! that is there once in 2^60 attempts. Only what a key has signed gets in.
//!
//! It lies in a table, in a line that follows from the token alone, so that it is on its way from
//! memory before anybody knows what is said; if there is no room, in one that follows from the
//! other half of the hash. A line has eight, and an entry two words: its end, and the half that is
//! compared, mixed with its end, so that what two writers who meet leave behind fits nothing. Where
//! both lines are full, what ends first is forgotten, and verified anew; or what came before the
//! table doubled, and is looked for in other lines since.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::limits::VERIFIED_TOKENS_MAX;
use housecount_core::time::UnixMs;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::cache_table::CacheLineTable;
use crate::ingest::UnstampedEvent;
use crate::rng;

/// Entries of a line.
const WAYS: usize = 8;
/// Lines of the table at first: 32 KiB.
const LINES_MIN: usize = 1 << 8;
/// Bits of an end, in Unix ms: until the year 2109. Above are as many bits of what says its line as
/// it has room for.
const END_BITS: u32 = 42;

const _: () = assert!(VERIFIED_TOKENS_MAX / WAYS <= 1 << (64 - END_BITS));

/// Cache of verified tokens, as keyed hashes of a token and its claims.
#[derive(Debug)]
pub struct VerifiedCache {
    key: HashKey,
    /// How often all was forgotten.
    epoch: AtomicU64,
    lines: CacheLineTable<CacheLine>,
}

/// Never shown.
struct HashKey([u8; 16]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(key)")
    }
}

/// A token that has come; it isn't known yet what is said with it.
#[derive(Clone)]
pub struct TokenHash {
    epoch: u64,
    near: u64,
    hasher: SipHasher24,
}

/// What was said, and with which token.
#[derive(Clone, Copy)]
pub struct CacheKey {
    epoch: u64,
    /// Where it lies if there is room.
    near: u64,
    /// Where else.
    far: u64,
    tag: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheLine([CacheEntry; WAYS]);

/// Never used: zero.
#[derive(Debug, Default)]
struct CacheEntry {
    /// Mixed with its end.
    tag: AtomicU64,
    end: AtomicU64,
}

impl CacheLine {
    /// The entry with this tag that ends after `now`, and its end.
    fn find(&self, tag: u64, now: UnixMs) -> Option<(&CacheEntry, UnixMs)> {
        self.0.iter().find_map(|entry| {
            let end = entry.end.load(Ordering::Relaxed);
            let is_it = entry.tag.load(Ordering::Relaxed) ^ end == tag && now.0 < end_ms(end);
            is_it.then(|| (entry, UnixMs(end_ms(end))))
        })
    }
}

impl CacheEntry {
    /// Ends then, in a line of this hash.
    fn set(&self, tag: u64, hash: u64, ends: UnixMs) {
        let end = hash << END_BITS | end_ms(ends.0.min((1 << END_BITS) - 1));
        self.end.store(end, Ordering::Relaxed);
        self.tag.store(tag ^ end, Ordering::Relaxed);
    }
}

/// When an entry's token ends, in Unix ms.
fn end_ms(end: u64) -> u64 {
    end & ((1 << END_BITS) - 1)
}

impl Default for VerifiedCache {
    fn default() -> VerifiedCache {
        let lines = CacheLineTable::new(LINES_MIN, VERIFIED_TOKENS_MAX / WAYS);
        VerifiedCache { key: HashKey(rng::random()), epoch: AtomicU64::new(0), lines }
    }
}

impl TokenHash {
    /// What is said with it.
    pub fn with_event(mut self, event: &UnstampedEvent<'_>) -> CacheKey {
        self.hasher.write(event.viewer.as_bytes());
        self.hasher.write(event.stage.as_bytes());
        self.hasher.write(event.session.as_bytes());
        // Where one ends and the next begins; all are shorter than a request.
        self.hasher.write_u64((event.viewer.len() as u64) << 32 | event.stage.len() as u64);
        let hash = self.hasher.finish128();
        // Another line, whatever the table's size.
        CacheKey {
            epoch: self.epoch,
            near: self.near,
            far: self.near ^ (hash.h1 | 1),
            tag: hash.h2,
        }
    }
}

impl VerifiedCache {
    /// A token has come: what is known of it is on its way from memory from now on.
    pub fn hash_token(&self, token: &[u8]) -> TokenHash {
        let mut hasher = SipHasher24::new_with_key(&self.key.0);
        let epoch = self.epoch.load(Ordering::Acquire);
        hasher.write_u64(epoch);
        hasher.write_u64(token.len() as u64);
        hasher.write(token);
        let near = hasher.finish128().h1;
        self.lines.prefetch(near);
        TokenHash { epoch, near, hasher }
    }

    /// Until when it is proven, if it is now.
    pub fn until(&self, mark: CacheKey, now: UnixMs) -> Option<UnixMs> {
        let here = |hash| self.lines.of(hash).find(mark.tag, now);
        if let Some((_, end)) = here(mark.near).or_else(|| here(mark.far)) {
            return Some(end);
        }
        let mut before =
            [mark.near, mark.far].into_iter().flat_map(|hash| self.lines.previous_lines(hash));
        let (_, end) = before.find_map(|line| line.find(mark.tag, now))?;
        self.insert(mark, end, now);
        Some(end)
    }

    /// Whether nothing was forgotten since it was marked.
    pub fn is_current(&self, mark: CacheKey) -> bool {
        mark.epoch == self.epoch.load(Ordering::Acquire)
    }

    /// It was proven by a token that ends then.
    pub fn insert(&self, mark: CacheKey, ends: UnixMs, now: UnixMs) {
        let near = self.room(mark.near, now).map(|entry| (mark.near, entry));
        let free = near.or_else(|| self.room(mark.far, now).map(|entry| (mark.far, entry)));
        let (hash, entry) = free.unwrap_or_else(|| {
            self.lines.note_eviction();
            (mark.far, self.first_to_end(mark.far, mark.tag))
        });
        entry.set(mark.tag, hash, ends);
    }

    /// It is proven until then at least: another token for the same may have proven it before.
    pub fn extend(&self, mark: CacheKey, ends: UnixMs, now: UnixMs) {
        let here =
            |hash| self.lines.of(hash).find(mark.tag, now).map(|(entry, end)| (hash, entry, end));
        match here(mark.near).or_else(|| here(mark.far)) {
            Some((_, _, end)) if end >= ends => {}
            Some((hash, entry, _)) => entry.set(mark.tag, hash, ends),
            None => self.insert(mark, ends, now),
        }
    }

    /// Until when an entry in a line is of use: until its token ends, if it is looked for there.
    fn useful_until_ms(&self, entry: &CacheEntry, hash: u64) -> u64 {
        let end = entry.end.load(Ordering::Relaxed);
        if self.lines.same_line(end >> END_BITS, hash) { end_ms(end) } else { 0 }
    }

    /// An entry of a line that is of no use to anybody.
    fn room(&self, hash: u64, now: UnixMs) -> Option<&CacheEntry> {
        self.lines.of(hash).0.iter().find(|entry| self.useful_until_ms(entry, hash) <= now.0)
    }

    /// The one of a line that is of use for the shortest time; any of them (`random`), where several
    /// are.
    fn first_to_end(&self, hash: u64, any: u64) -> &CacheEntry {
        let line = &self.lines.of(hash).0;
        let from = any as usize % WAYS;
        let until_ms = |at: &usize| self.useful_until_ms(&line[at % WAYS], hash);
        let first = (from..from + WAYS).min_by_key(until_ms).unwrap_or(from);
        &line[first % WAYS]
    }

    /// Tokens are judged by something else from now on: everything is to be proven anew. What was
    /// marked before and is proven after is of no use to anybody.
    pub fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventKind;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000);
    const ENDS: UnixMs = UnixMs(2_000);

    impl VerifiedCache {
        fn contains(&self, mark: CacheKey, now: UnixMs) -> bool {
            self.until(mark, now).is_some()
        }
    }

    fn event<'a>(stage: &'a str, viewer: &'a str, session: &'a str) -> UnstampedEvent<'a> {
        UnstampedEvent { kind: EventKind::Beat, stage, viewer, session }
    }

    #[test]
    fn only_the_same_bytes_are_proven_and_only_until_the_token_ends() {
        let proven = VerifiedCache::default();
        let mark = |token: &str, stage, viewer, session| {
            proven.hash_token(token.as_bytes()).with_event(&event(stage, viewer, session))
        };
        let ann = mark("token", "s", "ann", "tab");
        assert!(!proven.contains(ann, NOW));
        proven.insert(ann, ENDS, NOW);
        assert!(proven.contains(mark("token", "s", "ann", "tab"), NOW));
        assert!(proven.contains(ann, UnixMs(1_999)) && !proven.contains(ann, ENDS));
        for other in [
            mark("token2", "s", "ann", "tab"),
            mark("toke", "s", "nann", "tab"),
            mark("tokena", "s", "nn", "tab"),
            mark("token", "st", "ann", "ab"),
            mark("token", "n", "an", "stab"),
            mark("token", "s", "ann", "tab2"),
            mark("token", "s", "ann", ""),
            VerifiedCache::default().hash_token(b"token").with_event(&event("s", "ann", "tab")),
        ] {
            assert!(!proven.contains(other, NOW));
        }
        // Leaves are as good as beats.
        let leave = UnstampedEvent { kind: EventKind::Leave, ..event("s", "ann", "tab") };
        assert!(proven.contains(proven.hash_token(b"token").with_event(&leave), NOW));
        assert!(proven.is_current(ann));
        proven.clear();
        assert!(!proven.is_current(ann));
        assert!(!proven.contains(mark("token", "s", "ann", "tab"), NOW), "it is marked anew");
        assert!(!format!("{proven:?}").contains(&format!("{:?}", proven.key.0)));
    }

    /// Whoever is known by several tokens is known until the last of them ends.
    #[test]
    fn a_later_end_takes_the_place_of_an_earlier_one() {
        let proven = VerifiedCache::default();
        let mark = || proven.hash_token(b"ann").with_event(&event("", "", ""));
        for (ends, until) in [(2_000, 2_000), (3_000, 3_000), (2_500, 3_000), (3_000, 3_000)] {
            proven.extend(mark(), UnixMs(ends), NOW);
            assert_eq!(proven.until(mark(), NOW), Some(UnixMs(until)));
        }
        assert_eq!(proven.until(mark(), UnixMs(3_000)), None);
        // Two workers may both have found it missing.
        proven.insert(mark(), UnixMs(4_000), NOW);
        assert_eq!(proven.until(mark(), UnixMs(3_000)), Some(UnixMs(4_000)));
    }

    /// There is more room than that of the line that follows from the token alone.
    #[test]
    fn a_token_for_many_sessions_is_known_with_each() {
        let proven = VerifiedCache::default();
        let sessions: Vec<String> = (0..10 * WAYS).map(|n| n.to_string()).collect();
        let marks = || {
            sessions
                .iter()
                .map(|session| proven.hash_token(b"token").with_event(&event("s", "ann", session)))
        };
        marks().for_each(|mark| proven.insert(mark, ENDS, NOW));
        let known = marks().filter(|mark| proven.contains(*mark, NOW)).count();
        assert_eq!(known, sessions.len());
    }

    #[test]
    fn proven_max_bounds_it_and_what_ends_last_stays() {
        let proven = VerifiedCache::default();
        let mark =
            |n: usize| proven.hash_token(n.to_string().as_bytes()).with_event(&event("s", "v", ""));
        (0..2 * VERIFIED_TOKENS_MAX).for_each(|n| proven.insert(mark(n), ENDS, NOW));
        assert_eq!(proven.lines.bytes(), VERIFIED_TOKENS_MAX * 16);
        let late = mark(usize::MAX);
        proven.insert(late, UnixMs(3_000), NOW);
        (0..VERIFIED_TOKENS_MAX).for_each(|n| proven.insert(mark(n), ENDS, NOW));
        assert!(proven.contains(late, UnixMs(2_999)));
        let known = (0..VERIFIED_TOKENS_MAX).filter(|n| proven.contains(mark(*n), NOW)).count();
        assert!((VERIFIED_TOKENS_MAX / 2..VERIFIED_TOKENS_MAX).contains(&known), "{known}");
    }

    #[test]
    fn an_audience_is_known_whole_in_little_memory() {
        let proven = VerifiedCache::default();
        let mark =
            |n: usize| proven.hash_token(n.to_string().as_bytes()).with_event(&event("s", "v", ""));
        let audience = 20_000;
        for _ in 0..20 {
            (0..audience)
                .filter(|n| !proven.contains(mark(*n), NOW))
                .for_each(|n| proven.insert(mark(n), ENDS, NOW));
        }
        let missed = (0..audience).filter(|n| !proven.contains(mark(*n), NOW)).count();
        assert!(missed * 100 < audience, "{missed}");
        assert!(proven.lines.bytes() <= 128 * audience, "{}", proven.lines.bytes());
    }
}
