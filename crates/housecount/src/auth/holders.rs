//! Viewers who have shown a token, where tokens are optional: while one of theirs lasts, nothing is
//! said in their name without one.
//!
//! A node knows those who have shown it theirs; other nodes don't. Kept as in `proven`: a keyed
//! hash and an end, bounded, and what is forgotten for want of room is known again with the
//! viewer's next heartbeat.

use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;

use super::verified::{CacheKey, VerifiedCache};
use crate::ingest::UnstampedEvent;

/// Viewers who have shown a token that has not ended yet.
#[derive(Debug, Default)]
pub struct Holders(VerifiedCache);

impl Holders {
    fn mark(&self, viewer: &str) -> CacheKey {
        let nothing = UnstampedEvent { kind: EventKind::Beat, stage: "", viewer: "", session: "" };
        self.0.hash_token(viewer.as_bytes()).with_event(&nothing)
    }

    /// A viewer has shown a token that ends then.
    pub fn note(&self, viewer: &str, ends: UnixMs, now: UnixMs) {
        self.0.extend(self.mark(viewer), ends, now);
    }

    /// Whether a token that the viewer has shown lasts still.
    pub fn has(&self, viewer: &str, now: UnixMs) -> bool {
        self.0.until(self.mark(viewer), now).is_some()
    }

    /// Keys have changed: a token that was shown may be good no longer.
    pub fn forget(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_known_until_the_last_token_ends() {
        let holders = Holders::default();
        let (now, soon, late) = (UnixMs(1_000), UnixMs(2_000), UnixMs(3_000));
        for ends in [late, soon] {
            holders.note("ann", ends, now);
        }
        assert!(holders.has("ann", soon) && !holders.has("ann", late) && !holders.has("bob", now));
        holders.note("bob", now, now);
        assert!(!holders.has("bob", now), "it has ended");
        holders.forget();
        assert!(!holders.has("ann", soon));
    }
}
