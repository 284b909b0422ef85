//! The edge: what is decided about a request before the log hears of it, from what this node knows alone.
//!
//! Whose address it is and how much that may send (`address`), how often a session may speak (`pace`), who may still come
//! (`caps`), and under which names the ids go on (`names`). Everything behind it takes what is in the log as it is: nodes that
//! limit differently never differ about who is online.

pub mod address;
pub mod caps;
pub mod names;
pub mod pace;

use std::num::NonZeroU32;

use self::address::Addresses;
pub use self::address::Whence;
use self::caps::{Caps, Held};
use self::names::Names;
use self::pace::{Pace, Session, Spoken};
use crate::config::EdgeSettings;
use crate::hub::Hub;
use crate::ingest::Said;
use housecount_core::event::Kind;
use housecount_core::fold::Ids;

/// Why something isn't taken in just now, though nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// The address has sent too much.
    TooManyRequests {
        /// When it may send again.
        retry_ms: u64,
    },
    /// The session has said too much in this interval.
    TooManyBeats {
        /// When the next interval begins.
        retry_ms: u64,
        /// How often it may speak in one.
        max: NonZeroU32,
    },
    /// The viewer has too many sessions.
    TooManySessions {
        /// So many it may have, as is said where.
        max: usize,
        /// Where.
        place: &'static str,
    },
    /// The stage has all the viewers that it may have.
    StageFull {
        /// So many.
        max: u64,
    },
    /// Too many stages were opened in this minute.
    TooManyStages {
        /// When the next minute begins.
        retry_ms: u64,
        /// So many may be.
        max: usize,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Edge {
    /// Whose requests these are.
    pub addresses: Addresses,
    /// Under which names ids go on.
    pub names: Names,
    pace: Pace,
    caps: Caps,
}

impl Edge {
    /// The edge of a node whose players are to beat every `interval_ms`.
    #[must_use]
    pub fn new(settings: &EdgeSettings, interval_ms: u64) -> Edge {
        Edge {
            addresses: Addresses::new(settings),
            names: settings.names.clone(),
            pace: Pace::new(settings.session_beats, interval_ms),
            caps: Caps::new(settings),
        }
    }

    /// The session that says something.
    #[must_use]
    pub fn session(&self, said: &Said<'_>) -> Session {
        self.pace.session(said)
    }

    /// That a session is to be welcomed: what is known of it is on its way from memory from now on.
    pub fn look_ahead(&self, session: Session) {
        self.pace.look_ahead([session]);
    }

    /// Of many that are to be welcomed, whom nobody need make room for: they were welcome in this interval already, or are online.
    /// Cache misses overlap, since all are looked for at once.
    pub fn are_in<const N: usize>(
        &self,
        hub: &Hub,
        asked: [Option<(Said<'_>, Session)>; N],
        now_ms: u64,
    ) -> [bool; N] {
        self.pace.look_ahead(asked.iter().flatten().map(|(_, session)| *session));
        let mut are_in = asked.map(|asked| {
            asked.is_some_and(|(_, session)| {
                !self.caps.are_any() || self.pace.find(session, now_ms).has_begun()
            })
        });
        let others: [Option<Ids<'_>>; N] = std::array::from_fn(|n| {
            let (Said { stage, viewer, session, .. }, _) = asked[n].filter(|_| !are_in[n])?;
            Some(Ids { stage, viewer, session })
        });
        if others.iter().any(Option::is_some) {
            let online = hub.are_online(others);
            are_in.iter_mut().zip(online).for_each(|(is_in, is_online)| *is_in |= is_online);
        }
        are_in
    }

    /// That what was said may be taken in at `now_ms`, of `clock::mono_ms`; `is_in` if nobody need make room for it. What is given
    /// back is to be kept until it is acknowledged.
    ///
    /// # Errors
    /// See [`Unwelcome`]. Nothing was taken in.
    pub fn welcome(
        &self,
        hub: &Hub,
        said: &Said<'_>,
        session: Session,
        is_in: bool,
        now_ms: u64,
    ) -> Result<Option<Box<Held>>, Unwelcome> {
        let found = self.pace.find(session, now_ms);
        let mut held = None;
        // Once an interval: who was welcome at its start is until its end.
        if said.kind == Kind::Beat && self.caps.are_any() && !is_in && !found.has_begun() {
            held = self.caps.room_for(hub, said, now_ms)?;
        }
        match self.pace.note(found) {
            Spoken::Enough { retry_ms, max } => Err(Unwelcome::TooManyBeats { retry_ms, max }),
            Spoken::Well => Ok(held),
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventRef;
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;

    use super::*;

    /// Room is made for nobody who is in; and for everybody where there is no cap.
    #[test]
    fn who_was_welcome_or_is_online_is_in() {
        let hub = Hub::new(Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 }, 1, false);
        let said = |viewer| Said { kind: Kind::Beat, stage: "s", viewer, session: "" };
        let capped = EdgeSettings { sessions_per_viewer: Some(1), ..EdgeSettings::default() };
        for (settings, others_are_in) in [(capped, false), (EdgeSettings::default(), true)] {
            let edge = Edge::new(&settings, 30_000);
            let at = UnixMs(1_000);
            let online = EventRef { at, kind: Kind::Beat, stage: "s", viewer: "online", session: "" };
            hub.apply([online], at);
            let welcome = said("welcome");
            let asked = |viewer| Some((said(viewer), edge.session(&said(viewer))));
            assert!(edge.welcome(&hub, &welcome, edge.session(&welcome), false, 0).is_ok());
            let are_in = edge.are_in(&hub, [asked("other"), asked("online"), None, asked("welcome")], 1);
            assert_eq!(are_in, [others_are_in, true, false, true]);
            // It may come in all the same: that is what is asked then.
            let other = said("other");
            assert!(edge.welcome(&hub, &other, edge.session(&other), are_in[0], 1).is_ok());
        }
    }
}
