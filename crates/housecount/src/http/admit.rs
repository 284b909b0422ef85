//! Who is let in: what is asked of all that a player says, once its ids are checked, before it is
//! taken in.

use std::borrow::Cow;

use housecount_core::event::EventKind;
use housecount_core::ids::StageId;
use smallvec::SmallVec;

use super::error::Problem;
use crate::admission::quotas::Reservation;
use crate::admission::session_rate::SessionKey;
use crate::admission::{Admission, AdmissionError};
use crate::clock::mono_ms;
use crate::ingest::{IngestError, PendingAck, UnstampedEvent};
use crate::node::Node;
use crate::stages::StageClosed;

/// So many are asked for at once.
pub const ADMISSION_CHUNK: usize = 32;

/// What is to be let in, under the names that go on from here.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    kind: EventKind,
    stage: &'a str,
    viewer: Cow<'a, str>,
    session: Cow<'a, str>,
    /// By which its pace is known.
    session_key: SessionKey,
    /// Nobody need make room for it.
    is_already_admitted: bool,
}

/// What may be taken in.
#[derive(Debug)]
pub struct AdmittedEvent<'a> {
    request: AdmissionRequest<'a>,
    admitted: Admission,
}

/// A beat beyond its session's limit. It is answered by the session's last logged beat, or refused.
#[derive(Debug)]
pub struct SurplusBeat<'a> {
    request: AdmissionRequest<'a>,
    has_recent_beat: bool,
    refusal: AdmissionError,
}

/// A heartbeat or leave that the edge has looked at.
#[derive(Debug)]
pub enum AdmissionOutcome<'a> {
    /// It may be taken in.
    Admitted(AdmittedEvent<'a>),
    /// It is not logged.
    Surplus(SurplusBeat<'a>),
}

impl<'a> AdmissionRequest<'a> {
    /// What was said, whose ids have been checked.
    pub fn new(node: &Node, event: UnstampedEvent<'a>) -> AdmissionRequest<'a> {
        let names = &node.admission.names;
        let (viewer, session) =
            (names.viewer(event.viewer.into()), names.session(event.session.into()));
        AdmissionRequest::named(node, event.kind, event.stage, viewer, session)
    }

    fn named(
        node: &Node,
        kind: EventKind,
        stage: &'a str,
        viewer: Cow<'a, str>,
        session: Cow<'a, str>,
    ) -> AdmissionRequest<'a> {
        let paced = node.admission.session_key(&UnstampedEvent {
            kind,
            stage,
            viewer: &viewer,
            session: &session,
        });
        AdmissionRequest {
            kind,
            stage,
            viewer,
            session,
            session_key: paced,
            is_already_admitted: false,
        }
    }

    fn event(&self) -> UnstampedEvent<'_> {
        let AdmissionRequest { kind, stage, viewer, session, .. } = self;
        UnstampedEvent { kind: *kind, stage, viewer, session }
    }

    /// That its stage is open.
    ///
    /// # Errors
    /// 404 for a stage that isn't; 503 if that can't be known just now.
    pub async fn require_open_stage(self, node: &Node) -> Result<AdmissionRequest<'a>, Problem> {
        if self.kind == EventKind::Beat {
            check_open(node, self.stage).await?;
        }
        Ok(self)
    }

    /// Lets it in at `now_ms`, of `clock::mono_ms`; its stage is open.
    ///
    /// # Errors
    /// 429 for a leave beyond its session's limit, and where there is no room.
    pub fn admit(self, node: &Node, now_ms: u64) -> Result<AdmissionOutcome<'a>, Problem> {
        match node.admission.admit(
            &node.hub,
            &self.event(),
            self.session_key,
            self.is_already_admitted,
            now_ms,
        ) {
            Ok(admitted) => {
                Ok(AdmissionOutcome::Admitted(AdmittedEvent { request: self, admitted }))
            }
            Err(refusal @ AdmissionError::TooManyBeats { has_recent_beat, .. })
                if self.kind == EventKind::Beat =>
            {
                Ok(AdmissionOutcome::Surplus(SurplusBeat {
                    request: self,
                    has_recent_beat,
                    refusal,
                }))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl AdmissionOutcome<'_> {
    /// The event, under the names that go on.
    pub fn event(&self) -> UnstampedEvent<'_> {
        match self {
            AdmissionOutcome::Admitted(admitted) => admitted.event(),
            AdmissionOutcome::Surplus(surplus) => surplus.request.event(),
        }
    }

    /// Takes the event in, or coalesces it.
    ///
    /// # Errors
    /// As [`AdmittedEvent::enqueue`] and [`SurplusBeat::coalesce`].
    pub fn enqueue(&self, node: &Node) -> Result<PendingAck, Problem> {
        match self {
            AdmissionOutcome::Admitted(admitted) => Ok(admitted.enqueue(node)?),
            AdmissionOutcome::Surplus(surplus) => surplus.coalesce(node),
        }
    }

    /// What is to be kept until it is acknowledged.
    pub fn into_reservation(self) -> Option<Box<Reservation>> {
        match self {
            AdmissionOutcome::Admitted(admitted) => admitted.admitted.reservation,
            AdmissionOutcome::Surplus(_) => None,
        }
    }
}

impl SurplusBeat<'_> {
    /// A receipt that relies on the session's last logged beat.
    ///
    /// # Errors
    /// 429 if there is none that is young enough; 503 while the log refuses events.
    pub fn coalesce(&self, node: &Node) -> Result<PendingAck, Problem> {
        let coalesced = node.ingest.coalesce(&self.request.event(), self.has_recent_beat)?;
        coalesced.ok_or_else(|| self.refusal.clone().into())
    }
}

impl AdmittedEvent<'_> {
    /// What goes on.
    pub fn event(&self) -> UnstampedEvent<'_> {
        self.request.event()
    }

    /// Takes it in.
    ///
    /// # Errors
    /// As [`Ingest::enqueue`](crate::ingest::Ingest::take).
    pub fn enqueue(&self, node: &Node) -> Result<PendingAck, IngestError> {
        node.ingest
            .enqueue(self.event(), self.admitted.was_admitted)
            .inspect_err(|_| self.revoke(node))
    }

    /// It was not taken in, so that no beat may rely on it.
    pub fn revoke(&self, node: &Node) {
        if self.request.kind == EventKind::Beat {
            node.admission.revoke(self.request.session_key, mono_ms());
        }
    }
}

/// Finds out of some that are to be let in now, [`ADMISSION_CHUNK`] at most, who is in already: to
/// ask for each by itself would take as long as for several.
pub fn mark_already_admitted<'a, 'c: 'a>(
    node: &Node,
    requests: impl IntoIterator<Item = &'a mut AdmissionRequest<'c>>,
    now_ms: u64,
) {
    let mut requests: SmallVec<[&mut AdmissionRequest<'_>; ADMISSION_CHUNK]> =
        requests.into_iter().take(ADMISSION_CHUNK).collect();
    let asked: [_; ADMISSION_CHUNK] = std::array::from_fn(|n| {
        requests.get(n).map(|request| (request.event(), request.session_key))
    });
    let are_in = node.admission.already_admitted(&node.hub, asked, now_ms);
    requests
        .iter_mut()
        .zip(are_in)
        .for_each(|(request, is_in)| request.is_already_admitted = is_in);
}

/// All of it, of what a player said, whose ids have been checked.
///
/// # Errors
/// As [`AdmissionRequest::require_open_stage`] and [`AdmissionRequest::admit`].
pub async fn admit_event<'a>(
    node: &Node,
    event: UnstampedEvent<'a>,
) -> Result<AdmissionOutcome<'a>, Problem> {
    AdmissionRequest::new(node, event).require_open_stage(node).await?.admit(node, mono_ms())
}

/// The same of a heartbeat under names that this node knows already.
///
/// # Errors
/// As [`AdmissionRequest::require_open_stage`] and [`AdmissionRequest::admit`].
pub async fn admit_pseudonymized<'a>(
    node: &Node,
    stage: &'a str,
    viewer: &'a str,
    session: &'a str,
) -> Result<AdmissionOutcome<'a>, Problem> {
    let request =
        AdmissionRequest::named(node, EventKind::Beat, stage, viewer.into(), session.into());
    request.require_open_stage(node).await?.admit(node, mono_ms())
}

/// That heartbeats may open a stage, whose id has been checked.
///
/// # Errors
/// See [`StageClosed`].
async fn check_open(node: &Node, stage: &str) -> Result<(), StageClosed> {
    if node.stages.is_auto() {
        return Ok(());
    }
    let stage = StageId::parse(stage).map_err(|e| StageClosed::Unknown(e.to_string()))?;
    // In a box, or every connection would have room for it.
    Box::pin(node.stages.check_open(&stage)).await
}
