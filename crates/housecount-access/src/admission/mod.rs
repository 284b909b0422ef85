//! Admission control: decisions about a request before it reaches the log, from this node's own
//! knowledge.
//!
//! `client_addr` finds a request's address and limits its requests. `connections` limits its
//! connections. `session_rate` limits the events of a session. `quotas` limits new sessions,
//! viewers and stages. `labels` limits the values of labels. `pseudonyms` replaces ids. The code
//! behind admission accepts what is in the log as it is. So nodes that limit differently never
//! differ about who is online.

mod bucket;
pub mod client_addr;
pub mod connections;
pub mod labels;
pub mod pseudonyms;
pub mod quotas;
pub mod rate_table;
pub mod session_rate;
mod settings;
pub mod streams;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use housecount_core::event::EventKind;
use housecount_core::fold::{Ids, Stream};
use housecount_core::limits::VIEWER_SESSIONS_KEPT_MAX;
use housecount_engine::internals::Hub;
use housecount_engine::internals::UnstampedEvent;
use hyper::HeaderMap;

use self::bucket::OverLimit;
use self::client_addr::AddressLimiter;
pub use self::client_addr::ClientAddr;
pub use self::connections::AddressConnection;
use self::connections::AddressConnections;
pub use self::labels::AdmittedLabels;
use self::labels::LabelAdmission;
use self::pseudonyms::Pseudonymizer;
use self::quotas::{Quotas, Reservation};
use self::session_rate::{SessionKey, SessionRateLimiter};
pub use self::settings::{AdmissionSettings, StreamSettings};
use self::streams::StreamLimits;
use crate::labels::LabelValues;

/// Reason why a correct request is not accepted just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmissionError {
    /// The address has sent too much.
    TooManyRequests {
        /// Time until it may send again.
        retry_ms: u64,
    },
    /// The address has all the connections that it may have.
    TooManyConnections {
        /// Limit of connections per address.
        max: usize,
    },
    /// The session has logged as many events as it may.
    TooManyBeats {
        /// Time until it may log another one.
        retry_ms: u64,
        /// Events that it may log per second.
        per_second: NonZeroU32,
        /// Whether its last event was a beat that was admitted less than `COALESCE_MS_MAX` ago.
        has_recent_beat: bool,
    },
    /// The viewer has too many sessions.
    TooManySessions {
        /// Limit of sessions in this scope.
        max: usize,
        /// Scope of the limit, in words.
        scope: &'static str,
        /// Time until one of them may have left.
        retry_ms: u64,
    },
    /// The stage has all the viewers that it may have.
    StageFull {
        /// Limit of viewers on the stage.
        max: u64,
    },
    /// Too many stages were opened in this minute.
    TooManyStages {
        /// Time until the next minute begins.
        retry_ms: u64,
        /// Limit of new stages per minute.
        max: usize,
    },
    /// The viewer watches as much as it may, over all stages.
    TooManyStreams {
        /// The viewer's limit.
        max: usize,
        /// The viewer's streams.
        active: Vec<Stream>,
    },
    /// Another session of the viewer has taken the session's place.
    Displaced,
}

/// Permission to enqueue an event.
#[derive(Debug)]
pub struct Admission {
    /// Room that the event takes, to be kept until it is acknowledged.
    pub reservation: Option<Box<Reservation>>,
    /// Whether the session's last event was a beat that was admitted within an interval. The
    /// session is then counted already.
    pub was_admitted: bool,
}

/// Admission control: rate limits, quotas and pseudonyms, checked before the log.
#[derive(Debug)]
pub struct AdmissionControl {
    /// Finds the clients of requests, and limits their rates.
    pub addresses: AddressLimiter,
    /// Limits the open connections.
    pub connections: Arc<AddressConnections>,
    /// Replaces ids by pseudonyms, where that is set.
    pub names: Pseudonymizer,
    /// Limits the streams of a viewer.
    pub streams: StreamLimits,
    /// Admits the labels of new sessions.
    pub labels: LabelAdmission,
    session_rates: SessionRateLimiter,
    quotas: Quotas,
}

impl AdmissionControl {
    /// Creates the admission control of a node. Its players are to beat every `interval_ms`, and a
    /// leave takes effect after `leave_grace_ms`.
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
            streams: StreamLimits::new(settings.streams),
            labels: LabelAdmission::new(settings.labels.clone()),
        }
    }

    /// Returns the session of an event.
    #[must_use]
    pub fn session_key(&self, event: &UnstampedEvent<'_>) -> SessionKey {
        self.session_rates.session(event)
    }

    /// Returns the labels in a request's headers, if it came from a trusted proxy.
    #[must_use]
    pub fn header_labels(&self, peer: IpAddr, headers: &HeaderMap) -> Option<LabelValues> {
        let settings = &self.labels.settings;
        let is_trusted = !settings.headers.is_empty() && self.addresses.is_proxy(peer);
        is_trusted.then(|| settings.of_headers(headers)).flatten()
    }

    /// Whether a beat may begin a session: it has no recent beat, and is not online. Only such a
    /// beat carries labels.
    #[must_use]
    pub fn may_begin(&self, hub: &Hub, ids: Ids<'_>, session: SessionKey, now_ms: u64) -> bool {
        !self.session_rates.find(session, now_ms).is_admitted()
            && hub.are_online([Some(ids)]) == [false]
    }

    /// Withdraws the admission of a session's beat, which was not logged after all. The quotas are
    /// checked again for its next beat.
    pub fn revoke(&self, session: SessionKey, now_ms: u64) {
        self.session_rates.forget_beat(session, now_ms);
    }

    /// Finds which of many sessions take no room: they are admitted already, or online, or no
    /// quotas are set. All are looked up at once, so that their cache misses overlap.
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
            let (UnstampedEvent { ids: Ids { stage, viewer, session }, .. }, _) =
                asked[n].filter(|_| !are_in[n])?;
            Some(Ids { stage, viewer, session })
        });
        if others.iter().any(Option::is_some) {
            let online = hub.are_online(others);
            are_in.iter_mut().zip(online).for_each(|(is_in, is_online)| *is_in |= is_online);
        }
        are_in
    }

    /// Admits an event at `now_ms`, of `clock::mono_ms`. `is_in` means that its session takes no
    /// room.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooManyBeats`] beyond the session's limit. Returns
    /// `TooManySessions`, `StageFull` or `TooManyStages` where room is lacking. The event counts
    /// nowhere then.
    pub fn admit(
        &self,
        hub: &Hub,
        event: &UnstampedEvent<'_>,
        session: SessionKey,
        is_in: bool,
        now_ms: u64,
    ) -> Result<Admission, AdmissionError> {
        let found = self.session_rates.find(session, now_ms);
        // This comes first, since it costs nothing. A session beyond its limit takes no room.
        found.check(event.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        let was_admitted = found.is_admitted();
        let mut held = None;
        let is_beat = event.kind == EventKind::Beat;
        if self.quotas.any_set() && !(is_beat && (is_in || was_admitted)) {
            held = self.quotas.reserve(hub, event, now_ms)?;
        }
        found.spend(event.kind).map_err(|over| self.too_many(over, session, now_ms))?;
        if !is_beat && event.ids.session.is_empty() && self.quotas.any_set() {
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

    /// Withdraws the admission of all the viewer's sessions on the stage, which a leave without a
    /// session ends. The sessions are bounded by the number that a viewer may have. This is done
    /// only for a leave that is admitted.
    fn ask_all_again(&self, hub: &Hub, leave: &UnstampedEvent<'_>, now_ms: u64) {
        for session in
            hub.online_sessions(leave.ids.stage, leave.ids.viewer, VIEWER_SESSIONS_KEPT_MAX)
        {
            self.session_rates.forget_beat(
                self.session_key(&UnstampedEvent {
                    ids: Ids { session: &session, ..leave.ids },
                    ..*leave
                }),
                now_ms,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::{EventRef, SessionLabels};
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;

    use super::*;

    fn event(kind: EventKind, viewer: &'static str) -> UnstampedEvent<'static> {
        UnstampedEvent {
            kind,
            ids: Ids { stage: "s", viewer, session: "" },
            labels: SessionLabels::NONE,
        }
    }

    fn control(viewers_max: Option<u64>) -> AdmissionControl {
        AdmissionControl::new(
            &AdmissionSettings { viewers_per_stage: viewers_max, ..AdmissionSettings::default() },
            30_000,
            3_000,
        )
    }

    /// Returns a hub with these viewers online on the stage.
    fn hub(viewers: &[&'static str]) -> Hub {
        let hub = Hub::new(Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 }, 1, false);
        let at = UnixMs(1_000);
        let beat = |viewer: &&'static str| EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer, session: "" },
        };
        hub.apply(viewers.iter().map(beat));
        hub
    }

    /// Admits one event by itself, at a time of this node's own clock.
    fn admit(
        control: &AdmissionControl,
        hub: &Hub,
        event: UnstampedEvent<'_>,
        now_ms: u64,
    ) -> Result<(), AdmissionError> {
        control.admit(hub, &event, control.session_key(&event), false, now_ms).map(drop)
    }

    /// A full stage admits a viewer who is online, and no other one.
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

    /// A viewer's leave without a session ends all of its sessions, so their next beats are
    /// checked.
    #[test]
    fn a_leave_of_all_sessions_revokes_each_admission() {
        let (control, empty, taken) = (control(Some(1)), hub(&[]), hub(&["taker"]));
        let tab = UnstampedEvent {
            ids: Ids { session: "tab", ..event(EventKind::Beat, "ann").ids },
            ..event(EventKind::Beat, "ann")
        };
        assert_eq!(admit(&control, &empty, tab, 0), Ok(()));
        let at = UnixMs(1_000);
        empty.apply([EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "ann", session: "tab" },
        }]);
        assert_eq!(admit(&control, &taken, tab, 1), Ok(()), "the session is already admitted");
        assert_eq!(admit(&control, &empty, event(EventKind::Leave, "ann"), 2), Ok(()));
        assert_eq!(admit(&control, &taken, tab, 3), Err(AdmissionError::StageFull { max: 1 }));
    }

    /// A beat after a leave is checked against the cap, although the leave itself was not.
    #[test]
    fn a_leave_admits_no_session() {
        let (empty, taken, control) = (hub(&[]), hub(&["taker"]), control(Some(1)));
        let full = Err(AdmissionError::StageFull { max: 1 });
        assert_eq!(admit(&control, &taken, event(EventKind::Leave, "ann"), 0), Ok(()));
        assert_eq!(admit(&control, &taken, event(EventKind::Beat, "ann"), 1), full);
        // The viewer was there, leaves, and comes back when the place is taken.
        assert_eq!(admit(&control, &empty, event(EventKind::Beat, "ann"), 2), Ok(()));
        assert_eq!(admit(&control, &empty, event(EventKind::Beat, "ann"), 3), Ok(()));
        assert_eq!(admit(&control, &empty, event(EventKind::Leave, "ann"), 4), Ok(()));
        assert_eq!(admit(&control, &taken, event(EventKind::Beat, "ann"), 5), full);
    }
}
