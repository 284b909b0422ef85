//! Limit of a viewer's streams over all stages.
//!
//! A stream is an online session that no leave will end. The fold knows them on every node. A
//! session on its way to the log is held here until it is acknowledged, as quotas do. Two nodes may
//! still admit one each. So each beat of a viewer with several streams checks their number again,
//! and the excess is displaced, in an order that all nodes share.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use housecount_core::event::Ids;
use housecount_core::fold::{Stream, StreamsPolicy};
use housecount_core::mutants::{Mutant, is_on};
use housecount_engine::internals::{Hub, UnstampedEvent};

use super::AdmissionError;
use super::quotas::{PendingCounts, Reservation};
use super::settings::StreamSettings;

/// Limit of a viewer's streams.
#[derive(Debug)]
pub struct StreamLimits {
    settings: Option<StreamSettings>,
    hasher: RandomState,
    coming: Arc<PendingCounts>,
}

/// Limit that holds for one beat.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamDemand<'a> {
    /// Limit in the viewer's token; it overrides the setting.
    pub claim: Option<usize>,
    /// Session on the same stage whose place the beat's session takes.
    pub replaces: Option<&'a str>,
}

/// Outcome for a beat that its viewer's limit allows.
#[derive(Debug)]
pub struct StreamAdmission {
    /// Streams to displace before the beat is logged.
    pub displaced: Vec<Stream>,
    /// Whether the beat's own session is among them. The beat is then refused.
    pub is_own_displaced: bool,
    /// Room that the stream takes, to be kept until its beat is acknowledged.
    pub reservation: Option<Box<Reservation>>,
}

impl StreamLimits {
    /// Creates the limit, if one is set.
    #[must_use]
    pub fn new(settings: Option<StreamSettings>) -> StreamLimits {
        StreamLimits { settings, hasher: RandomState::default(), coming: Arc::default() }
    }

    /// Whether a limit is set.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// Whether the viewer's limit must be known to admit a beat. It need not for the usual next
    /// beat of a viewer's only stream.
    ///
    /// # Errors
    /// Returns [`AdmissionError::Displaced`] if the beat's session was displaced.
    pub fn needs_demand(
        &self,
        hub: &Hub,
        event: &UnstampedEvent<'_>,
    ) -> Result<bool, AdmissionError> {
        let Ids { stage, viewer, session } = event.ids;
        let among = hub.session_context(stage, viewer, session);
        if among.is_displaced {
            return Err(AdmissionError::Displaced);
        }
        Ok(!among.is_online || among.sessions > 1)
    }

    fn max(&self, claim: Option<usize>) -> Option<usize> {
        self.settings.map(|settings| claim.unwrap_or(settings.max))
    }

    /// Checks a beat against its viewer's limit.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooManyStreams`] if no place is free, and none becomes free.
    pub fn admit(
        &self,
        hub: &Hub,
        event: &UnstampedEvent<'_>,
        demand: StreamDemand<'_>,
    ) -> Result<StreamAdmission, AdmissionError> {
        let (Some(settings), Some(max)) = (self.settings, self.max(demand.claim)) else {
            return Ok(StreamAdmission::free());
        };
        let policy = settings.policy;
        let Ids { stage, viewer, session } = event.ids;
        let is = |stream: &Stream, named: &str| stream.stage == stage && stream.session == named;
        let key = self.hasher.hash_one(viewer);
        let mut coming = self.coming.lock();
        // Read under the lock: a session that is folded meanwhile is in one of both counts.
        let streams = hub.streams(viewer);
        if streams.iter().any(|stream| is(stream, session)) {
            let max = if is_on(Mutant::KeepExcess) { usize::MAX } else { max };
            let displaced = policy.excess(streams, max);
            let is_own_displaced = displaced.iter().any(|stream| is(stream, session));
            return Ok(StreamAdmission { displaced, is_own_displaced, reservation: None });
        }
        let is_replaced =
            |stream: &Stream| demand.replaces.is_some_and(|replaced| is(stream, replaced));
        let (mut displaced, others): (Vec<Stream>, Vec<Stream>) =
            streams.into_iter().partition(is_replaced);
        let on_the_way = coming.get(&key).copied().unwrap_or(0) as usize;
        let left = max.saturating_sub(on_the_way + 1);
        if others.len() + on_the_way >= max {
            if policy == StreamsPolicy::Refuse || max == 0 {
                return Err(AdmissionError::TooManyStreams { max, active: others });
            }
            displaced.extend(policy.excess(others, left));
        }
        *coming.entry(key).or_default() += 1;
        drop(coming);
        let reservation = Some(Box::new(Reservation::new(&self.coming, key)));
        Ok(StreamAdmission { displaced, is_own_displaced: false, reservation })
    }
}

impl StreamAdmission {
    fn free() -> StreamAdmission {
        StreamAdmission { displaced: Vec::new(), is_own_displaced: false, reservation: None }
    }
}
