//! The edge: what is decided about a request before the log hears of it, from what this node knows
//! alone.
//!
//! Whose address it is and how much that may send (`address`), how many connections it may have
//! (`connections`), how often a session may speak (`pace`), who may still come (`caps`), and under
//! which names the ids go on (`names`). Everything behind it takes what is in the log as it is:
//! nodes that limit differently never differ about who is online.

pub mod address;
mod bucket;
pub mod caps;
pub mod connections;
pub mod names;
pub mod pace;
pub mod rate;
mod settings;

use std::num::NonZeroU32;
use std::sync::Arc;

use self::address::Addresses;
pub use self::address::Whence;
use self::bucket::OverLimit;
use self::caps::{Caps, Held};
pub use self::connections::AddressConnection;
use self::connections::AddressConnections;
use self::names::Names;
use self::pace::{Pace, Session};
pub use self::settings::EdgeSettings;
use crate::hub::Hub;
use crate::ingest::Said;
use housecount_core::event::EventKind;
use housecount_core::fold::Ids;
use housecount_core::limits::VIEWER_SESSIONS_KEPT_MAX;

/// Why something isn't taken in just now, though nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// The address has sent too much.
    TooManyRequests {
        /// When it may send again.
        retry_ms: u64,
    },
    /// The address has all the connections that it may have.
    TooManyConnections {
        /// So many.
        max: usize,
    },
    /// The session has logged as many events as it may.
    TooManyBeats {
        /// Time until it may log another one.
        retry_ms: u64,
        /// Events that it may log a second.
        per_second: NonZeroU32,
        /// Its last event was a beat that was let in less than `COALESCE_MS_MAX` ago.
        has_just_beaten: bool,
    },
    /// The viewer has too many sessions.
    TooManySessions {
        /// So many it may have, as is said where.
        max: usize,
        /// Scope of the limit, in words.
        place: &'static str,
        /// Time until one of them may have left.
        retry_ms: u64,
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

/// That something may be taken in.
#[derive(Debug)]
pub struct Admitted {
    /// To be kept until it is acknowledged.
    pub held: Option<Box<Held>>,
    /// The session's last event was a beat that was let in within an interval: so it is counted
    /// already.
    pub was_welcome: bool,
}

/// Admission control: rate limits, quotas and pseudonyms, checked before the log.
#[derive(Debug)]
pub struct Edge {
    /// Whose requests these are.
    pub addresses: Addresses,
    /// Whose connections are open.
    pub connections: Arc<AddressConnections>,
    /// Under which names ids go on.
    pub names: Names,
    pace: Pace,
    caps: Caps,
}

impl Edge {
    /// Creates the edge of a node whose players are to beat every `interval_ms`, and whose leaves
    /// take effect after `leave_grace_ms`.
    #[must_use]
    pub fn new(settings: &EdgeSettings, interval_ms: u64, leave_grace_ms: u64) -> Edge {
        Edge {
            addresses: Addresses::new(settings),
            connections: AddressConnections::new(settings),
            names: settings.names.clone(),
            pace: Pace::new(settings.session_beats, interval_ms),
            caps: Caps::new(settings, leave_grace_ms),
        }
    }

    /// The session that says something.
    #[must_use]
    pub fn session(&self, said: &Said<'_>) -> Session {
        self.pace.session(said)
    }

    /// Takes back that a session's beat was let in: it was not logged after all, and caps are asked
    /// about the next one.
    pub fn take_back(&self, session: Session, now_ms: u64) {
        self.pace.forget_beat(session, now_ms);
    }

    /// Which of many sessions need no room: they are welcome already, or online, or there are no
    /// caps. Cache misses overlap, since all are looked for at once.
    pub fn are_in<const N: usize>(
        &self,
        hub: &Hub,
        asked: [Option<(Said<'_>, Session)>; N],
        now_ms: u64,
    ) -> [bool; N] {
        self.pace.look_ahead(asked.iter().flatten().map(|(_, session)| *session));
        let mut are_in = asked.map(|asked| {
            asked.is_some_and(|(_, session)| {
                !self.caps.are_any() || self.pace.find(session, now_ms).is_welcome()
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

    /// That what was said may be taken in at `now_ms`, of `clock::mono_ms`; `is_in` if nobody need
    /// make room for it.
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
    ) -> Result<Admitted, Unwelcome> {
        let found = self.pace.find(session, now_ms);
        // First, since it costs nothing: a session beyond its limit takes no room.
        found.check(said.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        let was_welcome = found.is_welcome();
        let mut held = None;
        let is_beat = said.kind == EventKind::Beat;
        if self.caps.are_any() && !(is_beat && (is_in || was_welcome)) {
            held = self.caps.room_for(hub, said, now_ms)?;
        }
        found.spend(said.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        if !is_beat && said.session.is_empty() && self.caps.are_any() {
            self.ask_all_again(hub, said, now_ms);
        }
        Ok(Admitted { held, was_welcome })
    }

    fn too_many(&self, over: OverLimit, session: Session, now_ms: u64) -> Unwelcome {
        // Without a limit no event is over it.
        let per_second = self.pace.per_second().unwrap_or(NonZeroU32::MAX);
        let has_just_beaten = self.pace.find(session, now_ms).has_just_beaten();
        Unwelcome::TooManyBeats { retry_ms: over.retry_ms, per_second, has_just_beaten }
    }

    /// A leave ends all of the viewer's sessions on the stage: none of them is welcome any more. As
    /// many are looked at as the viewer may have there, and only for a leave that is taken in.
    fn ask_all_again(&self, hub: &Hub, leave: &Said<'_>, now_ms: u64) {
        for session in hub.online_sessions(leave.stage, leave.viewer, VIEWER_SESSIONS_KEPT_MAX) {
            self.pace.forget_beat(self.session(&Said { session: &session, ..*leave }), now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventRef;
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;

    use super::*;

    fn said(kind: EventKind, viewer: &'static str) -> Said<'static> {
        Said { kind, stage: "s", viewer, session: "" }
    }

    fn edge(viewers_max: Option<u64>) -> Edge {
        Edge::new(
            &EdgeSettings { viewers_per_stage: viewers_max, ..EdgeSettings::default() },
            30_000,
            3_000,
        )
    }

    /// One where so many are online on the stage.
    fn hub(viewers: &[&'static str]) -> Hub {
        let hub = Hub::new(Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 }, 1, false);
        let at = UnixMs(1_000);
        let beat = |viewer: &&'static str| EventRef {
            at,
            kind: EventKind::Beat,
            stage: "s",
            viewer,
            session: "",
        };
        hub.apply(viewers.iter().map(beat));
        hub
    }

    /// One by itself, at a time of this node's own.
    fn welcome(edge: &Edge, hub: &Hub, said: Said<'_>, now_ms: u64) -> Result<(), Unwelcome> {
        edge.welcome(hub, &said, edge.session(&said), false, now_ms).map(drop)
    }

    /// At a full stage, who is in is let in, and nobody else.
    #[test]
    fn whom_nobody_need_make_room_for_is_in() {
        let (hub, capped) = (hub(&["online"]), edge(Some(1)));
        let beat = |viewer| said(EventKind::Beat, viewer);
        let asked = |viewer| Some((beat(viewer), capped.session(&beat(viewer))));
        let are_in = capped.are_in(&hub, [asked("other"), asked("online"), None], 1);
        assert_eq!(are_in, [false, true, false]);
        for (viewer, is_in) in [("other", false), ("online", true)] {
            let came = capped.welcome(&hub, &beat(viewer), capped.session(&beat(viewer)), is_in, 1);
            assert_eq!(came.is_ok(), is_in, "{viewer}");
        }
        assert_eq!(edge(None).are_in(&hub, [asked("other")], 1), [true], "there is no cap");
    }

    /// A viewer's leave without a session ends all of its sessions, which are asked again, too.
    #[test]
    fn a_leave_of_all_sessions_makes_none_welcome() {
        let (edge, nobody, taken) = (edge(Some(1)), hub(&[]), hub(&["taker"]));
        let tab = Said { session: "tab", ..said(EventKind::Beat, "ann") };
        assert_eq!(welcome(&edge, &nobody, tab, 0), Ok(()));
        let at = UnixMs(1_000);
        nobody.apply([EventRef {
            at,
            kind: EventKind::Beat,
            stage: "s",
            viewer: "ann",
            session: "tab",
        }]);
        assert_eq!(welcome(&edge, &taken, tab, 1), Ok(()), "it is");
        assert_eq!(welcome(&edge, &nobody, said(EventKind::Leave, "ann"), 2), Ok(()));
        assert_eq!(welcome(&edge, &taken, tab, 3), Err(Unwelcome::StageFull { max: 1 }));
    }

    /// No cap is passed by a leave, of which nobody asks whether there is room.
    #[test]
    fn a_leave_makes_nobody_welcome() {
        let (nobody, taken, edge) = (hub(&[]), hub(&["taker"]), edge(Some(1)));
        let full = Err(Unwelcome::StageFull { max: 1 });
        assert_eq!(welcome(&edge, &taken, said(EventKind::Leave, "ann"), 0), Ok(()));
        assert_eq!(welcome(&edge, &taken, said(EventKind::Beat, "ann"), 1), full);
        // Who was there, and leaves, and comes back when the place is taken.
        assert_eq!(welcome(&edge, &nobody, said(EventKind::Beat, "ann"), 2), Ok(()));
        assert_eq!(welcome(&edge, &nobody, said(EventKind::Beat, "ann"), 3), Ok(()));
        assert_eq!(welcome(&edge, &nobody, said(EventKind::Leave, "ann"), 4), Ok(()));
        assert_eq!(welcome(&edge, &taken, said(EventKind::Beat, "ann"), 5), full);
    }
}
