//! Quotas: sessions of a viewer on a stage, viewers of a stage, and new stages per minute.
//!
//! The fold knows which sessions are there. A session on its way to the log is held here until it
//! is acknowledged. Otherwise several sessions that come at once could all take the last place. In
//! the worst case a session is refused that would just have fitted. To admit or refuse a session
//! takes the same time, however many its viewer has, because both read counts that are kept.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use housecount_core::event::{EventKind, Ids};
use housecount_core::fold::SessionContext;
use housecount_core::limits::VIEWER_SESSIONS_KEPT_MAX;
use housecount_engine::internals::Hub;
use housecount_engine::internals::UnstampedEvent;
use parking_lot::Mutex;

use super::AdmissionError;
use super::settings::AdmissionSettings;

/// Period in which new stages are counted.
const MINUTE_MS: u64 = 60_000;
/// Time after which a viewer with too many kept sessions is to try again.
const KEPT_RETRY_MS: u64 = 30_000;

/// Number of sessions on their way to the log, by the hash of the room that they take.
pub(super) type PendingCounts = Mutex<HashMap<u64, u64, RandomState>>;

/// A count that a session takes room of.
#[derive(Clone, Copy, Debug, Hash)]
enum Room<'a> {
    /// Its viewer's sessions on the stage.
    Here(&'a str, &'a str),
    /// The stage's sessions.
    Stage(&'a str),
    /// Its viewer's sessions on all stages. Only a session that is not kept yet takes this room.
    Viewer(&'a str),
}

/// Quotas: sessions per viewer, viewers per stage, new stages per minute.
#[derive(Debug)]
pub struct Quotas {
    sessions_max: Option<usize>,
    viewers_max: Option<u64>,
    stages_max: Option<usize>,
    leave_grace_ms: u64,
    hasher: RandomState,
    coming: Arc<PendingCounts>,
    opened: Mutex<NewStages>,
}

/// Stages that were opened in a minute, by their hashes.
#[derive(Debug, Default)]
struct NewStages {
    minute: u64,
    stages: HashSet<u64, RandomState>,
}

/// Room that is held for a session on its way to the log.
#[derive(Debug)]
pub struct Reservation {
    coming: Arc<PendingCounts>,
    keys: [Option<u64>; 3],
}

impl Reservation {
    /// Creates a reservation of one place that the caller has counted under `key`.
    pub(super) fn new(coming: &Arc<PendingCounts>, key: u64) -> Reservation {
        Reservation { coming: coming.clone(), keys: [Some(key), None, None] }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut coming = self.coming.lock();
        for key in self.keys.into_iter().flatten() {
            if let Some(count) = coming.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    coming.remove(&key);
                }
            }
        }
    }
}

impl Quotas {
    /// Creates the quotas that are set.
    #[must_use]
    pub fn new(settings: &AdmissionSettings, leave_grace_ms: u64) -> Quotas {
        Quotas {
            sessions_max: settings.sessions_per_viewer,
            viewers_max: settings.viewers_per_stage,
            stages_max: settings.new_stages_per_minute,
            leave_grace_ms,
            hasher: RandomState::default(),
            coming: Arc::default(),
            opened: Mutex::default(),
        }
    }

    /// Whether any quota is set.
    #[must_use]
    pub fn any_set(&self) -> bool {
        self.sessions_max.is_some() || self.viewers_max.is_some() || self.stages_max.is_some()
    }

    /// Reserves room for the session of an event. A beat takes room if its session is not online. A
    /// leave takes room if its session is not known, since the fold keeps that as well. Returns
    /// `None` if the event takes none.
    ///
    /// # Errors
    /// Returns `TooManySessions`, `StageFull` or `TooManyStages` if room is lacking.
    pub fn reserve(
        &self,
        hub: &Hub,
        event: &UnstampedEvent<'_>,
        now_ms: u64,
    ) -> Result<Option<Box<Reservation>>, AdmissionError> {
        let Ids { stage, viewer, session } = event.ids;
        let is_beat = event.kind == EventKind::Beat;
        let among = || hub.session_context(stage, viewer, session);
        let takes_none =
            |among: &SessionContext| if is_beat { among.is_online } else { among.is_known };
        if takes_none(&among()) {
            return Ok(None);
        }
        let mut coming = self.coming.lock();
        // Read again under the lock: a session that was folded since has left the way to the log.
        let among = among();
        let key = |room: Room<'_>, is_taken: bool| is_taken.then(|| self.hasher.hash_one(room));
        let keys = [
            key(Room::Here(stage, viewer), is_beat),
            key(Room::Stage(stage), is_beat),
            key(Room::Viewer(viewer), !among.is_known),
        ];
        let on_the_way = keys.map(|key| key.and_then(|key| coming.get(&key)).copied().unwrap_or(0));
        self.check(&among, on_the_way, event, now_ms)?;
        for key in keys.into_iter().flatten() {
            *coming.entry(key).or_default() += 1;
        }
        drop(coming);
        Ok(Some(Box::new(Reservation { coming: self.coming.clone(), keys })))
    }

    /// Checks that there is room. The array holds the sessions on their way: of the viewer on the
    /// stage, on the stage, and of the viewer on all stages.
    fn check(
        &self,
        among: &SessionContext,
        [here, all, kept]: [u64; 3],
        event: &UnstampedEvent<'_>,
        now_ms: u64,
    ) -> Result<(), AdmissionError> {
        if let Some(max) = self.sessions_max.filter(|_| !among.is_known) {
            let max = max.max(VIEWER_SESSIONS_KEPT_MAX);
            if among.sessions as u64 + kept >= max as u64 {
                let place = "on all stages, including recent ones";
                return Err(AdmissionError::TooManySessions {
                    max,
                    scope: place,
                    retry_ms: KEPT_RETRY_MS,
                });
            }
        }
        if !among.is_stage_known {
            self.open(event.ids.stage, now_ms)?;
        }
        if event.kind != EventKind::Beat {
            return Ok(());
        }
        let sessions = among.here as u64 + here;
        if let Some(max) = self.sessions_max.filter(|max| sessions >= *max as u64) {
            // Sessions that have left are online for the grace. So a player that was often opened
            // and closed can retry after it.
            let retry_ms = self.leave_grace_ms;
            return Err(AdmissionError::TooManySessions { max, scope: "on this stage", retry_ms });
        }
        let viewers = among.count.viewers + all;
        match self.viewers_max.filter(|max| sessions == 0 && viewers >= *max) {
            Some(max) => Err(AdmissionError::StageFull { max }),
            None => Ok(()),
        }
    }

    /// Opens a stage that is not known.
    fn open(&self, stage: &str, now_ms: u64) -> Result<(), AdmissionError> {
        let Some(max) = self.stages_max else { return Ok(()) };
        let stage = self.hasher.hash_one(stage);
        let mut opened = self.opened.lock();
        if opened.minute != now_ms / MINUTE_MS {
            *opened = NewStages { minute: now_ms / MINUTE_MS, ..NewStages::default() };
        }
        if opened.stages.contains(&stage) {
            return Ok(());
        }
        if opened.stages.len() >= max {
            return Err(AdmissionError::TooManyStages {
                retry_ms: MINUTE_MS - now_ms % MINUTE_MS,
                max,
            });
        }
        opened.stages.insert(stage);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::{EventRef, SessionLabels};
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;

    use super::*;

    const RULES: Rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };

    fn event<'a>(stage: &'a str, viewer: &'a str, session: &'a str) -> UnstampedEvent<'a> {
        UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage, viewer, session },
            labels: SessionLabels::NONE,
        }
    }

    fn fold(hub: &Hub, event: &UnstampedEvent<'_>) {
        hub.apply([EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(1_000),
            kind: event.kind,
            ids: event.ids,
        }]);
    }

    fn quotas(sessions: usize, viewers: u64, stages: usize) -> Quotas {
        Quotas::new(
            &AdmissionSettings {
                sessions_per_viewer: (sessions > 0).then_some(sessions),
                viewers_per_stage: (viewers > 0).then_some(viewers),
                new_stages_per_minute: (stages > 0).then_some(stages),
                ..AdmissionSettings::default()
            },
            RULES.leave_grace_ms,
        )
    }

    #[test]
    fn pending_sessions_take_room_too() {
        let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(2, 0, 0));
        let room = |session| quotas.reserve(&hub, &event("s", "ann", session), 0);
        let first = room("1").unwrap();
        let second = room("2").unwrap();
        let full =
            AdmissionError::TooManySessions { max: 2, scope: "on this stage", retry_ms: 3_000 };
        assert_eq!(room("3").map(drop), Err(full.clone()));
        assert!(quotas.reserve(&hub, &event("s", "bob", "3"), 0).is_ok());
        assert!(quotas.reserve(&hub, &event("t", "ann", "3"), 0).is_ok());
        drop(second); // it was refused
        fold(&hub, &event("s", "ann", "1"));
        drop(first);
        assert!(room("1").unwrap().is_none(), "the session is already online");
        let third = room("3").unwrap();
        assert!(third.is_some());
        assert_eq!(room("4").map(drop), Err(full));
        drop(third);
        assert!(quotas.coming.lock().is_empty());
    }

    #[test]
    fn a_full_stage_takes_another_session_of_a_present_viewer() {
        let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(0, 1, 0));
        fold(&hub, &event("s", "ann", "1"));
        assert!(quotas.reserve(&hub, &event("s", "ann", "2"), 0).is_ok());
        let full = Err(AdmissionError::StageFull { max: 1 });
        assert_eq!(quotas.reserve(&hub, &event("s", "bob", ""), 0).map(drop), full);
        assert!(quotas.reserve(&hub, &event("t", "bob", ""), 0).is_ok());
    }

    #[test]
    fn stages_per_minute_are_limited() {
        let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(0, 0, 2));
        let opens =
            |stage, now_ms| quotas.reserve(&hub, &event(stage, "ann", ""), now_ms).map(drop);
        assert_eq!(
            (opens("a", 50_000), opens("b", 50_000), opens("a", 50_000)),
            (Ok(()), Ok(()), Ok(()))
        );
        let too_many = Err(AdmissionError::TooManyStages { retry_ms: 10_000, max: 2 });
        assert_eq!(opens("c", 50_000), too_many);
        fold(&hub, &event("c", "bob", ""));
        assert_eq!((opens("c", 50_000), opens("d", 60_000)), (Ok(()), Ok(())));
    }

    /// Session names, each used on a stage of its own, so that no stage has too many sessions.
    fn many() -> Vec<String> {
        (0..2 * VIEWER_SESSIONS_KEPT_MAX).map(|n| n.to_string()).collect()
    }

    fn kept_too_many() -> AdmissionError {
        let place = "on all stages, including recent ones";
        AdmissionError::TooManySessions {
            max: VIEWER_SESSIONS_KEPT_MAX,
            scope: place,
            retry_ms: KEPT_RETRY_MS,
        }
    }

    #[test]
    fn viewer_sessions_kept_max_bounds_what_is_kept() {
        let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(20, 0, 0));
        for session in &many()[..VIEWER_SESSIONS_KEPT_MAX] {
            fold(&hub, &event(session, "visitor", session));
        }
        let room = |kind, session| {
            quotas.reserve(&hub, &UnstampedEvent { kind, ..event("s", "visitor", session) }, 0)
        };
        assert_eq!(room(EventKind::Beat, "one more").map(drop), Err(kept_too_many()));
        assert_eq!(room(EventKind::Leave, "one more").map(drop), Err(kept_too_many()));
        let known =
            |kind| quotas.reserve(&hub, &UnstampedEvent { kind, ..event("7", "visitor", "7") }, 0);
        assert!(
            known(EventKind::Beat).unwrap().is_none() && known(EventKind::Leave).unwrap().is_none()
        );
        assert!(quotas.reserve(&hub, &event("s", "another visitor", "one more"), 0).is_ok());
    }

    /// All come at once, as in one batch over many stages. Those on their way count too, leaves as
    /// well as beats.
    #[test]
    fn viewer_sessions_kept_max_counts_pending_sessions() {
        for kind in [EventKind::Beat, EventKind::Leave] {
            let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(20, 0, 0));
            let many = many();
            let rooms = many.iter().map(|n| {
                quotas.reserve(&hub, &UnstampedEvent { kind, ..event(n, "visitor", "") }, 0)
            });
            let (held, refused): (Vec<_>, Vec<_>) = rooms.partition(Result::is_ok);
            assert_eq!(held.len(), VIEWER_SESSIONS_KEPT_MAX);
            assert!(refused.into_iter().all(|room| room.unwrap_err() == kept_too_many()));
            drop(held);
            assert!(quotas.coming.lock().is_empty());
        }
    }

    /// A leave puts no viewer online, but opens a stage as a beat does: the node keeps both.
    #[test]
    fn a_leave_takes_the_room_that_it_needs() {
        let (hub, quotas) = (Hub::new(RULES, 1, false), quotas(1, 1, 1));
        fold(&hub, &event("s", "ann", "1"));
        let leave = |stage, session| {
            quotas
                .reserve(
                    &hub,
                    &UnstampedEvent { kind: EventKind::Leave, ..event(stage, "ann", session) },
                    0,
                )
                .map(drop)
        };
        assert_eq!(
            (leave("s", "1"), leave("s", "2"), leave("s", ""), leave("t", "")),
            (Ok(()), Ok(()), Ok(()), Ok(()))
        );
        assert_eq!(
            leave("u", ""),
            Err(AdmissionError::TooManyStages { retry_ms: MINUTE_MS, max: 1 })
        );
    }
}
