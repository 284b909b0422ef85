//! Viewers who have shown a token, where tokens are optional. Until the last token of such a viewer
//! expires, no event is accepted in the viewer's name without one.
//!
//! Each node knows only the viewers whose tokens it has seen itself. As in `verified`, an entry is
//! a keyed hash and an expiry, and their number is bounded. An entry that was evicted comes back
//! with the viewer's next heartbeat.

use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::time::UnixMs;
use housecount_engine::internals::UnstampedEvent;

use super::verified::{CacheKey, VerifiedCache};

/// Viewers who have shown a token that has not expired yet.
#[derive(Debug)]
pub struct Holders(VerifiedCache);

impl Holders {
    pub(super) fn new(key: [u8; 16]) -> Holders {
        Holders(VerifiedCache::new(key))
    }

    fn mark(&self, viewer: &str) -> CacheKey {
        let nothing = UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage: "", viewer: "", session: "" },
            labels: SessionLabels::NONE,
        };
        self.0.hash_token(viewer.as_bytes()).with_event(&nothing)
    }

    /// Records that a viewer has shown a token that expires at `ends`.
    pub fn note(&self, viewer: &str, ends: UnixMs, now: UnixMs) {
        self.0.extend(self.mark(viewer), ends, now);
    }

    /// Whether a token that the viewer has shown is still valid.
    pub fn has(&self, viewer: &str, now: UnixMs) -> bool {
        self.0.until(self.mark(viewer), now).is_some()
    }

    /// Removes all holders. Called when keys change, because a token that was shown may not be
    /// valid any more.
    pub fn forget(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_known_until_the_last_token_ends() {
        let holders = Holders::new([7; 16]);
        let (now, soon, late) = (UnixMs(1_000), UnixMs(2_000), UnixMs(3_000));
        for ends in [late, soon] {
            holders.note("ann", ends, now);
        }
        assert!(holders.has("ann", soon) && !holders.has("ann", late) && !holders.has("bob", now));
        holders.note("bob", now, now);
        assert!(!holders.has("bob", now), "the token has expired");
        holders.forget();
        assert!(!holders.has("ann", soon));
    }
}
