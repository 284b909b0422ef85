//! The edge: what is decided about a request before the log hears of it, from what this node knows
//! alone.
//!
//! Whose address it is and how much that may send (`address`), how many connections it may have
//! (`connections`), how often a session may speak (`session_rates`), who may still come (`quotas`), and under
//! which names the ids go on (`names`). Everything behind it takes what is in the log as it is:
//! nodes that limit differently never differ about who is online.

mod bucket;
pub mod client_addr;
pub mod connections;
pub mod pseudonyms;
pub mod quotas;
pub mod rate_table;
pub mod session_rate;
mod settings;

use std::num::NonZeroU32;
use std::sync::Arc;

use self::bucket::OverLimit;
use self::client_addr::AddressLimiter;
pub use self::client_addr::ClientAddr;
pub use self::connections::AddressConnection;
use self::connections::AddressConnections;
use self::pseudonyms::Pseudonymizer;
use self::quotas::{Quotas, Reservation};
use self::session_rate::{SessionKey, SessionRateLimiter};
pub use self::settings::AdmissionSettings;
use crate::hub::Hub;
use crate::ingest::UnstampedEvent;
use housecount_core::event::EventKind;
use housecount_core::fold::Ids;
use housecount_core::limits::VIEWER_SESSIONS_KEPT_MAX;

/// Why something isn't taken in just now, though nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmissionError {
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
        has_recent_beat: bool,
    },
    /// The viewer has too many sessions.
    TooManySessions {
        /// So many it may have, as is said where.
        max: usize,
        /// Scope of the limit, in words.
        scope: &'static str,
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
pub struct Admission {
    /// To be kept until it is acknowledged.
    pub reservation: Option<Box<Reservation>>,
    /// The session's last event was a beat that was let in within an interval: so it is counted
    /// already.
    pub was_admitted: bool,
}

/// Admission control: rate limits, quotas and pseudonyms, checked before the log.
#[derive(Debug)]
pub struct AdmissionControl {
    /// Whose requests these are.
    pub addresses: AddressLimiter,
    /// Whose connections are open.
    pub connections: Arc<AddressConnections>,
    /// Under which names ids go on.
    pub names: Pseudonymizer,
    session_rates: SessionRateLimiter,
    quotas: Quotas,
}

impl AdmissionControl {
    /// Creates the edge of a node whose players are to beat every `interval_ms`, and whose leaves
    /// take effect after `leave_grace_ms`.
    #[must_use]
    pub fn new(
        settings: &AdmissionSettings,
        interval_ms: u64,
        leave_grace_ms: u64,
    ) -> AdmissionControl {
        AdmissionControl {
            addresses: AddressLimiter::new(settings),
            connections: AddressConnections::new(settings),
            names: settings.names.clone(),
            session_rates: SessionRateLimiter::new(settings.session_beats, interval_ms),
            quotas: Quotas::new(settings, leave_grace_ms),
        }
    }

    /// The session that says something.
    #[must_use]
    pub fn session_key(&self, event: &UnstampedEvent<'_>) -> SessionKey {
        self.session_rates.session(event)
    }

    /// Takes back that a session's beat was let in: it was not logged after all, and caps are asked
    /// about the next one.
    pub fn revoke(&self, session: SessionKey, now_ms: u64) {
        self.session_rates.forget_beat(session, now_ms);
    }

    /// Which of many sessions need no room: they are welcome already, or online, or there are no
    /// caps. Cache misses overlap, since all are looked for at once.
    pub fn already_admitted<const N: usize>(
        &self,
        hub: &Hub,
        asked: [Option<(UnstampedEvent<'_>, SessionKey)>; N],
        now_ms: u64,
    ) -> [bool; N] {
        self.session_rates.prefetch(asked.iter().flatten().map(|(_, session)| *session));
        let mut are_in = asked.map(|asked| {
            asked.is_some_and(|(_, session)| {
                !self.quotas.any_set() || self.session_rates.find(session, now_ms).is_admitted()
            })
        });
        let others: [Option<Ids<'_>>; N] = std::array::from_fn(|n| {
            let (UnstampedEvent { stage, viewer, session, .. }, _) =
                asked[n].filter(|_| !are_in[n])?;
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
    /// See [`AdmissionError`]. Nothing was taken in.
    pub fn admit(
        &self,
        hub: &Hub,
        event: &UnstampedEvent<'_>,
        session: SessionKey,
        is_in: bool,
        now_ms: u64,
    ) -> Result<Admission, AdmissionError> {
        let found = self.session_rates.find(session, now_ms);
        // First, since it costs nothing: a session beyond its limit takes no room.
        found.check(event.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        let was_admitted = found.is_admitted();
        let mut held = None;
        let is_beat = event.kind == EventKind::Beat;
        if self.quotas.any_set() && !(is_beat && (is_in || was_admitted)) {
            held = self.quotas.reserve(hub, event, now_ms)?;
        }
        found.spend(event.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        if !is_beat && event.session.is_empty() && self.quotas.any_set() {
            self.ask_all_again(hub, event, now_ms);
        }
        Ok(Admission { reservation: held, was_admitted })
    }

    fn too_many(&self, over: OverLimit, session: SessionKey, now_ms: u64) -> AdmissionError {
        // Without a limit no event is over it.
        let per_second = self.session_rates.per_second().unwrap_or(NonZeroU32::MAX);
        let has_recent_beat = self.session_rates.find(session, now_ms).has_recent_beat();
        AdmissionError::TooManyBeats { retry_ms: over.retry_ms, per_second, has_recent_beat }
    }

    /// A leave ends all of the viewer's sessions on the stage: none of them is welcome any more. As
    /// many are looked at as the viewer may have there, and only for a leave that is taken in.
    fn ask_all_again(&self, hub: &Hub, leave: &UnstampedEvent<'_>, now_ms: u64) {
        for session in hub.online_sessions(leave.stage, leave.viewer, VIEWER_SESSIONS_KEPT_MAX) {
            self.session_rates.forget_beat(
                self.session_key(&UnstampedEvent { session: &session, ..*leave }),
                now_ms,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventRef;
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;

    use super::*;

    fn event(kind: EventKind, viewer: &'static str) -> UnstampedEvent<'static> {
        UnstampedEvent { kind, stage: "s", viewer, session: "" }
    }

    fn control(viewers_max: Option<u64>) -> AdmissionControl {
        AdmissionControl::new(
            &AdmissionSettings { viewers_per_stage: viewers_max, ..AdmissionSettings::default() },
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
    fn admit(
        control: &AdmissionControl,
        hub: &Hub,
        event: UnstampedEvent<'_>,
        now_ms: u64,
    ) -> Result<(), AdmissionError> {
        control.admit(hub, &event, control.session_key(&event), false, now_ms).map(drop)
    }

    /// At a full stage, who is in is let in, and nobody else.
    #[test]
    fn viewers_that_need_no_room_are_admitted() {
        let (hub, capped) = (hub(&["online"]), control(Some(1)));
        let beat = |viewer| event(EventKind::Beat, viewer);
        let asked = |viewer| Some((beat(viewer), capped.session_key(&beat(viewer))));
        let are_in = capped.already_admitted(&hub, [asked("other"), asked("online"), None], 1);
        assert_eq!(are_in, [false, true, false]);
        for (viewer, is_in) in [("other", false), ("online", true)] {
            let came =
                capped.admit(&hub, &beat(viewer), capped.session_key(&beat(viewer)), is_in, 1);
            assert_eq!(came.is_ok(), is_in, "{viewer}");
        }
        assert_eq!(
            control(None).already_admitted(&hub, [asked("other")], 1),
            [true],
            "there is no cap"
        );
    }

    /// A viewer's leave without a session ends all of its sessions, which are asked again, too.
    #[test]
    fn a_leave_of_all_sessions_revokes_each_admission() {
        let (control, empty, taken) = (control(Some(1)), hub(&[]), hub(&["taker"]));
        let tab = UnstampedEvent { session: "tab", ..event(EventKind::Beat, "ann") };
        assert_eq!(admit(&control, &empty, tab, 0), Ok(()));
        let at = UnixMs(1_000);
        empty.apply([EventRef {
            at,
            kind: EventKind::Beat,
            stage: "s",
            viewer: "ann",
            session: "tab",
        }]);
        assert_eq!(admit(&control, &taken, tab, 1), Ok(()), "it is");
        assert_eq!(admit(&control, &empty, event(EventKind::Leave, "ann"), 2), Ok(()));
        assert_eq!(admit(&control, &taken, tab, 3), Err(AdmissionError::StageFull { max: 1 }));
    }

    /// No cap is passed by a leave, of which nobody asks whether there is room.
    #[test]
    fn a_leave_admits_no_session() {
        let (empty, taken, control) = (hub(&[]), hub(&["taker"]), control(Some(1)));
        let full = Err(AdmissionError::StageFull { max: 1 });
        assert_eq!(admit(&control, &taken, event(EventKind::Leave, "ann"), 0), Ok(()));
        assert_eq!(admit(&control, &taken, event(EventKind::Beat, "ann"), 1), full);
        // Who was there, and leaves, and comes back when the place is taken.
        assert_eq!(admit(&control, &empty, event(EventKind::Beat, "ann"), 2), Ok(()));
        assert_eq!(admit(&control, &empty, event(EventKind::Beat, "ann"), 3), Ok(()));
        assert_eq!(admit(&control, &empty, event(EventKind::Leave, "ann"), 4), Ok(()));
        assert_eq!(admit(&control, &taken, event(EventKind::Beat, "ann"), 5), full);
    }
}
