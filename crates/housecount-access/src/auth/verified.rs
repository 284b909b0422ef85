//! Cache of verified tokens, so that a token is verified once and not with every heartbeat.
//!
//! An entry is a keyed hash of a token and an event, and the token's expiry. A lookup only asks
//! whether the same bytes came before. The hash is SipHash-2-4 of 128 bits. Its key is random and
//! is never shown, and its values never leave the process. Half of it is compared, so an attacker
//! finds an entry once in 2^60 guesses. Only a token that a key has signed gets an entry.
//!
//! The table consists of lines. The hash of the token alone chooses the first line of an entry, so
//! that it is prefetched before the event is known. If the first line is full, the other half of
//! the hash chooses a second one.
//!
//! A line has eight entries of two words: the expiry, and the half of the hash that is compared.
//! The second is XORed with the first, so that a race of two writers leaves an entry that matches
//! no hash.
//!
//! Where both lines are full, the entry that expires first is evicted, and its token is verified
//! again. Entries that belong to another line, because the table has doubled since, are replaced
//! first.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::limits::VERIFIED_TOKENS_MAX;
use housecount_core::time::UnixMs;
use housecount_engine::internals::UnstampedEvent;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::cache_table::CacheLineTable;

/// Entries per line.
const WAYS: usize = 8;
/// Initial number of lines: 32 KiB.
const LINES_MIN: usize = 1 << 8;
/// Bits of an expiry in Unix ms, which last until the year 2109. The bits above hold the part of
/// the hash that chooses the line.
const END_BITS: u32 = 42;

const _: () = assert!(VERIFIED_TOKENS_MAX / WAYS <= 1 << (64 - END_BITS));

/// Cache of verified tokens, as keyed hashes of a token and the event that it allowed.
#[derive(Debug)]
pub struct VerifiedCache {
    key: HashKey,
    /// Number of times that the cache was cleared.
    epoch: AtomicU64,
    lines: CacheLineTable<CacheLine>,
}

/// Key of the hash. `Debug` never shows it.
struct HashKey([u8; 16]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(key)")
    }
}

/// Hash of a token, to which the event is yet to be added.
#[derive(Clone)]
pub struct TokenHash {
    epoch: u64,
    near: u64,
    hasher: SipHasher24,
}

/// Hash of an event and the token that it came with.
#[derive(Clone, Copy)]
pub struct CacheKey {
    epoch: u64,
    /// Hash that chooses the first line.
    near: u64,
    /// Hash that chooses the second line.
    far: u64,
    tag: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheLine([CacheEntry; WAYS]);

/// Entry of a line. An unused entry is zero.
#[derive(Debug, Default)]
struct CacheEntry {
    /// Half of the hash, XORed with `end`.
    tag: AtomicU64,
    end: AtomicU64,
}

impl CacheLine {
    /// Finds the entry with this tag that expires after `now`, and its expiry.
    fn find(&self, tag: u64, now: UnixMs) -> Option<(&CacheEntry, UnixMs)> {
        self.0.iter().find_map(|entry| {
            let end = entry.end.load(Ordering::Relaxed);
            let is_it = entry.tag.load(Ordering::Relaxed) ^ end == tag && now.0 < end_ms(end);
            is_it.then(|| (entry, UnixMs(end_ms(end))))
        })
    }
}

impl CacheEntry {
    /// Writes the entry. `hash` is the one that chose the line.
    fn set(&self, tag: u64, hash: u64, ends: UnixMs) {
        let end = hash << END_BITS | end_ms(ends.0.min((1 << END_BITS) - 1));
        self.end.store(end, Ordering::Relaxed);
        self.tag.store(tag ^ end, Ordering::Relaxed);
    }
}

/// Expiry of an entry's token, in Unix ms.
fn end_ms(end: u64) -> u64 {
    end & ((1 << END_BITS) - 1)
}

impl TokenHash {
    /// Adds the event that came with the token.
    pub fn with_event(mut self, event: &UnstampedEvent<'_>) -> CacheKey {
        self.hasher.write(event.ids.viewer.as_bytes());
        self.hasher.write(event.ids.stage.as_bytes());
        self.hasher.write(event.ids.session.as_bytes());
        // The lengths mark the boundaries between the three ids. Each length fits its half, since
        // all ids are shorter than a request.
        self.hasher.write_u64((event.ids.viewer.len() as u64) << 32 | event.ids.stage.len() as u64);
        let hash = self.hasher.finish128();
        // `| 1` makes the second line differ from the first at any size of the table.
        CacheKey {
            epoch: self.epoch,
            near: self.near,
            far: self.near ^ (hash.h1 | 1),
            tag: hash.h2,
        }
    }
}

impl VerifiedCache {
    /// An empty cache. Its hashes are keyed by `key`, which no client must know.
    #[must_use]
    pub fn new(key: [u8; 16]) -> VerifiedCache {
        let lines = CacheLineTable::new(LINES_MIN, VERIFIED_TOKENS_MAX / WAYS);
        VerifiedCache { key: HashKey(key), epoch: AtomicU64::new(0), lines }
    }

    /// Hashes a token that has arrived, and prefetches its line from memory.
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

    /// Returns the expiry of an entry that is valid now.
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

    /// Whether the cache has not been cleared since this key was made.
    pub fn is_current(&self, mark: CacheKey) -> bool {
        mark.epoch == self.epoch.load(Ordering::Acquire)
    }

    /// Inserts an entry for a verified token that expires at `ends`.
    pub fn insert(&self, mark: CacheKey, ends: UnixMs, now: UnixMs) {
        let near = self.room(mark.near, now).map(|entry| (mark.near, entry));
        let free = near.or_else(|| self.room(mark.far, now).map(|entry| (mark.far, entry)));
        let (hash, entry) = free.unwrap_or_else(|| {
            self.lines.note_eviction();
            (mark.far, self.first_to_end(mark.far, mark.tag))
        });
        entry.set(mark.tag, hash, ends);
    }

    /// Extends an entry to `ends`, or inserts it.
    ///
    /// A later expiry stays, since another token may have written the same entry before.
    pub fn extend(&self, mark: CacheKey, ends: UnixMs, now: UnixMs) {
        let here =
            |hash| self.lines.of(hash).find(mark.tag, now).map(|(entry, end)| (hash, entry, end));
        match here(mark.near).or_else(|| here(mark.far)) {
            Some((_, _, end)) if end >= ends => {}
            Some((hash, entry, _)) => entry.set(mark.tag, hash, ends),
            None => self.insert(mark, ends, now),
        }
    }

    /// Time until which an entry of a line can be found: its expiry, or zero if lookups use another
    /// line.
    fn useful_until_ms(&self, entry: &CacheEntry, hash: u64) -> u64 {
        let end = entry.end.load(Ordering::Relaxed);
        if self.lines.same_line(end >> END_BITS, hash) { end_ms(end) } else { 0 }
    }

    /// Finds an entry of a line that is free or not useful any more.
    fn room(&self, hash: u64, now: UnixMs) -> Option<&CacheEntry> {
        self.lines.of(hash).0.iter().find(|entry| self.useful_until_ms(entry, hash) <= now.0)
    }

    /// Returns the entry of a line that is useful for the shortest time.
    ///
    /// `any`, a random number, chooses among equals.
    fn first_to_end(&self, hash: u64, any: u64) -> &CacheEntry {
        let line = &self.lines.of(hash).0;
        let from = any as usize % WAYS;
        let until_ms = |at: &usize| self.useful_until_ms(&line[at % WAYS], hash);
        let first = (from..from + WAYS).min_by_key(until_ms).unwrap_or(from);
        &line[first % WAYS]
    }

    /// Invalidates all entries, because the keys or rules that verified them have changed.
    ///
    /// A key made before the call and inserted after it is never found.
    pub fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventKind;
    use housecount_core::event::{Ids, SessionLabels};

    use super::*;

    const NOW: UnixMs = UnixMs(1_000);
    const ENDS: UnixMs = UnixMs(2_000);

    impl VerifiedCache {
        fn contains(&self, mark: CacheKey, now: UnixMs) -> bool {
            self.until(mark, now).is_some()
        }
    }

    fn event<'a>(stage: &'a str, viewer: &'a str, session: &'a str) -> UnstampedEvent<'a> {
        UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage, viewer, session },
            labels: SessionLabels::NONE,
        }
    }

    #[test]
    fn only_the_same_bytes_are_proven_and_only_until_the_token_ends() {
        let proven = VerifiedCache::new([7; 16]);
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
            VerifiedCache::new([8; 16]).hash_token(b"token").with_event(&event("s", "ann", "tab")),
        ] {
            assert!(!proven.contains(other, NOW));
        }
        // A token allows leaves as it allows beats.
        let leave = UnstampedEvent { kind: EventKind::Leave, ..event("s", "ann", "tab") };
        assert!(proven.contains(proven.hash_token(b"token").with_event(&leave), NOW));
        assert!(proven.is_current(ann));
        proven.clear();
        assert!(!proven.is_current(ann));
        assert!(
            !proven.contains(mark("token", "s", "ann", "tab"), NOW),
            "a cleared token must be verified again"
        );
        assert!(!format!("{proven:?}").contains(&format!("{:?}", proven.key.0)));
    }

    /// A viewer with several tokens is known until the last of them expires.
    #[test]
    fn a_later_end_takes_the_place_of_an_earlier_one() {
        let proven = VerifiedCache::new([7; 16]);
        let mark = || proven.hash_token(b"ann").with_event(&event("", "", ""));
        for (ends, until) in [(2_000, 2_000), (3_000, 3_000), (2_500, 3_000), (3_000, 3_000)] {
            proven.extend(mark(), UnixMs(ends), NOW);
            assert_eq!(proven.until(mark(), NOW), Some(UnixMs(until)));
        }
        assert_eq!(proven.until(mark(), UnixMs(3_000)), None);
        // Two workers may both have missed the entry.
        proven.insert(mark(), UnixMs(4_000), NOW);
        assert_eq!(proven.until(mark(), UnixMs(3_000)), Some(UnixMs(4_000)));
    }

    /// An entry can use its second line as well as the first, which the token alone chooses.
    #[test]
    fn a_token_for_many_sessions_is_known_with_each() {
        let proven = VerifiedCache::new([7; 16]);
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
    fn verified_tokens_max_bounds_it_and_what_ends_last_stays() {
        let proven = VerifiedCache::new([7; 16]);
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
        let proven = VerifiedCache::new([7; 16]);
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
