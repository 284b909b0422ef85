//! Tokens that have been verified, so that each is verified once and not with every heartbeat.
//!
//! They are known by half of their SHA-256: whoever made another token with 128 bits of a viewer's could speak as that viewer, and
//! nobody can. Only what a key has signed gets in, so nobody without a key can fill it, or choose what is in it. One cache for all workers: a player that comes on another
//! connection is known, and a shard's lock is held for a look-up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use housecount_core::limits::TOKENS_CACHED_MAX;
use parking_lot::Mutex;

use super::claims::Claims;

/// The first half of a token's SHA-256.
pub type Digest = [u8; 16];

/// What a token is known by.
pub fn digest(token: &str) -> Digest {
    let mut half = Digest::default();
    half.copy_from_slice(&super::digest(token.as_bytes())[..size_of::<Digest>()]);
    half
}

/// More than there are cores, so that workers hardly meet.
const SHARDS: usize = 64;

/// A map's hash of a digest is eight bytes of the digest: they are as good as random, and nobody without a key chooses them.
#[derive(Default)]
struct OfDigest(u64);

impl Hasher for OfDigest {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Of an array the length comes first, by `write_usize`, and ends here too; then its bytes, which are what counts.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }
}

type Known = HashMap<Digest, Claims, BuildHasherDefault<OfDigest>>;

/// See the module's text.
#[derive(Debug)]
pub struct Cache {
    shards: Vec<Mutex<Shard>>,
    /// Of each shard's half.
    half_max: usize,
}

/// Two halves: when the young one is full the old one is forgotten, and what was asked for since has come over. So it is
/// bounded, what is used stays, and nothing is searched for what has expired.
#[derive(Debug, Default)]
struct Shard {
    young: Known,
    old: Known,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache::new(TOKENS_CACHED_MAX)
    }
}

impl Cache {
    fn new(tokens_max: usize) -> Cache {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Cache { shards, half_max: (tokens_max / SHARDS / 2).max(1) }
    }

    fn shard(&self, digest: &Digest) -> &Mutex<Shard> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }

    /// What a token claims, if it has been verified.
    pub fn get(&self, digest: &Digest) -> Option<Claims> {
        let mut shard = self.shard(digest).lock();
        if let Some(claims) = shard.young.get(digest) {
            return Some(claims.clone());
        }
        let claims = shard.old.remove(digest)?;
        self.put(&mut shard, digest, claims.clone());
        Some(claims)
    }

    /// A token has been verified.
    pub fn insert(&self, digest: &Digest, claims: Claims) {
        self.put(&mut self.shard(digest).lock(), digest, claims);
    }

    fn put(&self, shard: &mut Shard, digest: &Digest, claims: Claims) {
        if shard.young.len() >= self.half_max {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(*digest, claims);
    }

    /// The keys have changed: everything is to be verified anew.
    pub fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::super::Rules;
    use super::super::claims::Payload;
    use super::*;

    fn claims() -> Claims {
        let (sub, stage) = ("v".to_string(), "s".to_string());
        let payload = Payload { sub, stage, session: None, exp: 1.0, nbf: None, aud: None };
        Claims::judge(payload, &Rules { audience: None, leeway_ms: 0 }, UnixMs(0)).unwrap()
    }

    fn digest(n: usize) -> Digest {
        super::digest(&n.to_string())
    }

    #[test]
    fn tokens_cached_max_bounds_it_and_what_is_used_stays() {
        assert!(Cache::default().half_max * 2 * SHARDS <= TOKENS_CACHED_MAX);
        let cache = Cache::new(1_024);
        for n in 0..20_000 {
            cache.insert(&digest(n), claims());
            assert!(cache.get(&digest(0)).is_some(), "it is used all the time");
        }
        let kept = (0..20_000).filter(|n| {
            let shard = cache.shard(&digest(*n)).lock();
            shard.young.contains_key(&digest(*n)) || shard.old.contains_key(&digest(*n))
        });
        assert!((512..=1_024).contains(&kept.count()));
        assert!(cache.get(&digest(19_999)).is_some());
        cache.clear();
        assert!(cache.get(&digest(19_999)).is_none());
    }
}
