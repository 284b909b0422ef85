//! Admission of players' events: all checks between the check of the ids and the log.

use std::borrow::Cow;

use housecount_access::admission::quotas::Reservation;
use housecount_access::admission::session_rate::SessionKey;
use housecount_access::admission::{Admission, AdmissionError, AdmittedLabels};
use housecount_backend::clock::mono_ms;
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::ids::StageId;
use housecount_engine::internals::StageClosed;
use housecount_engine::internals::{IngestError, PendingAck, UnstampedEvent};
use smallvec::SmallVec;

use super::error::Problem;
use super::streams::StreamPlace;
use crate::node::Node;

/// Number of events looked up at once.
pub const ADMISSION_CHUNK: usize = 32;

/// A heartbeat or leave that asks for admission, with its ids as the log will have them.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    kind: EventKind,
    stage: &'a str,
    viewer: Cow<'a, str>,
    session: Cow<'a, str>,
    /// Key of its rate limit.
    session_key: SessionKey,
    /// Whether its session takes no room.
    is_already_admitted: bool,
    /// Place of its stream, if its viewer's streams are limited and it needs one.
    stream: Option<Box<StreamPlace>>,
    /// Labels of its session, if that may be a new one.
    labels: Option<Box<AdmittedLabels>>,
}

/// Places that an event holds on its way to the log.
#[derive(Debug)]
pub struct HeldPlaces {
    _quota: Option<Box<Reservation>>,
    _stream: Option<Box<StreamPlace>>,
    _labels: Option<Box<AdmittedLabels>>,
}

/// An event that was admitted.
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

/// Result of admission for a heartbeat or leave.
#[derive(Debug)]
pub enum AdmissionOutcome<'a> {
    /// The event may be enqueued.
    Admitted(AdmittedEvent<'a>),
    /// The beat is not logged.
    Surplus(SurplusBeat<'a>),
}

impl<'a> AdmissionRequest<'a> {
    /// Creates a request for an event whose ids have been checked.
    pub fn new(node: &Node, event: UnstampedEvent<'a>) -> AdmissionRequest<'a> {
        let names = &node.admission.names;
        let (viewer, session) =
            (names.viewer(event.ids.viewer.into()), names.session(event.ids.session.into()));
        AdmissionRequest::named(node, event.kind, event.ids.stage, viewer, session)
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
            ids: Ids { stage, viewer: &viewer, session: &session },
            labels: SessionLabels::NONE,
        });
        AdmissionRequest {
            kind,
            stage,
            viewer,
            session,
            session_key: paced,
            is_already_admitted: false,
            stream: None,
            labels: None,
        }
    }

    /// Returns the kind of its event.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns the key of its session.
    pub fn session_key(&self) -> SessionKey {
        self.session_key
    }

    /// Sets the labels of its session.
    #[must_use]
    pub fn with_admitted_labels(self, labels: AdmittedLabels) -> AdmissionRequest<'a> {
        AdmissionRequest { labels: Some(Box::new(labels)), ..self }
    }

    /// Sets the place of its stream.
    #[must_use]
    pub fn with_stream(self, place: StreamPlace) -> AdmissionRequest<'a> {
        AdmissionRequest { stream: Some(Box::new(place)), ..self }
    }

    /// Returns the event.
    pub fn event(&self) -> UnstampedEvent<'_> {
        let AdmissionRequest { kind, stage, viewer, session, labels, .. } = self;
        let labels = labels.as_ref().map_or(SessionLabels::NONE, |admitted| admitted.labels());
        UnstampedEvent { kind: *kind, ids: Ids { stage, viewer, session }, labels }
    }

    /// Checks that a heartbeat's stage is open. A leave needs no open stage.
    ///
    /// # Errors
    /// Returns a 404 `Problem` for a stage that is not open. Returns a 503 one if that cannot be
    /// known just now.
    pub async fn require_open_stage(self, node: &Node) -> Result<AdmissionRequest<'a>, Problem> {
        if self.kind == EventKind::Beat {
            check_open(node, self.stage).await?;
        }
        Ok(self)
    }

    /// Admits the event at `now_ms`, of `clock::mono_ms`. Its stage is open.
    ///
    /// # Errors
    /// Returns a 429 `Problem` for a leave beyond its session's limit, and where room is lacking.
    pub fn admit(self, node: &Node, now_ms: u64) -> Result<AdmissionOutcome<'a>, Problem> {
        match node.admission.admit(
            &node.engine.hub,
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
    /// Returns the event, with its ids as the log will have them.
    pub fn event(&self) -> UnstampedEvent<'_> {
        match self {
            AdmissionOutcome::Admitted(admitted) => admitted.event(),
            AdmissionOutcome::Surplus(surplus) => surplus.request.event(),
        }
    }

    /// Enqueues the event, or coalesces it.
    ///
    /// # Errors
    /// Returns the errors of [`AdmittedEvent::enqueue`] and [`SurplusBeat::coalesce`].
    pub fn enqueue(&self, node: &Node) -> Result<PendingAck, Problem> {
        match self {
            AdmissionOutcome::Admitted(admitted) => Ok(admitted.enqueue(node)?),
            AdmissionOutcome::Surplus(surplus) => surplus.coalesce(node),
        }
    }

    /// Returns the places that it holds, which the caller keeps until the event is acknowledged.
    pub fn into_places(self) -> Option<HeldPlaces> {
        let AdmissionOutcome::Admitted(AdmittedEvent { request, admitted }) = self else {
            return None;
        };
        let (quota, stream) = (admitted.reservation, request.stream);
        let labels = request.labels.filter(|labels| labels.holds_new());
        (quota.is_some() || stream.is_some() || labels.is_some()).then_some(HeldPlaces {
            _quota: quota,
            _stream: stream,
            _labels: labels,
        })
    }
}

impl SurplusBeat<'_> {
    /// Returns a receipt that relies on the session's last logged beat.
    ///
    /// # Errors
    /// Returns a 429 `Problem` if no logged beat is young enough. Returns a 503 one while the log
    /// refuses events.
    pub fn coalesce(&self, node: &Node) -> Result<PendingAck, Problem> {
        let coalesced = node.engine.ingest.coalesce(&self.request.event(), self.has_recent_beat)?;
        coalesced.ok_or_else(|| self.refusal.clone().into())
    }
}

impl AdmittedEvent<'_> {
    /// Returns the event, with its ids as the log will have them.
    pub fn event(&self) -> UnstampedEvent<'_> {
        self.request.event()
    }

    /// Enqueues the event. On an error, its admission is revoked.
    ///
    /// # Errors
    /// Returns the [`IngestError`] of `Ingest::enqueue`.
    pub fn enqueue(&self, node: &Node) -> Result<PendingAck, IngestError> {
        let enqueue = || {
            if let Some(stream) = &self.request.stream {
                stream.enqueue(node, self.event().ids.viewer)?;
            }
            node.engine.ingest.enqueue(self.event(), self.admitted.was_admitted)
        };
        enqueue().inspect_err(|_| self.revoke(node))
    }

    /// Returns the displacements to log before the event.
    pub fn displacements(&self) -> impl Iterator<Item = UnstampedEvent<'_>> {
        let viewer = self.event().ids.viewer;
        self.request.stream.iter().flat_map(move |stream| stream.displacements(viewer))
    }

    /// Withdraws the admission of a beat that was not enqueued, so that no other beat relies on it.
    pub fn revoke(&self, node: &Node) {
        if self.request.kind == EventKind::Beat {
            node.admission.revoke(self.request.session_key, mono_ms());
        }
    }
}

/// Marks which of at most [`ADMISSION_CHUNK`] requests have sessions that are admitted already. One
/// lookup for all takes as long as a lookup for one.
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
    let are_in = node.admission.already_admitted(&node.engine.hub, asked, now_ms);
    requests
        .iter_mut()
        .zip(are_in)
        .for_each(|(request, is_in)| request.is_already_admitted = is_in);
}

/// Makes all checks of an event whose ids have been checked.
///
/// # Errors
/// Returns the errors of [`AdmissionRequest::require_open_stage`] and [`AdmissionRequest::admit`].
pub async fn admit_event<'a>(
    node: &Node,
    event: UnstampedEvent<'a>,
) -> Result<AdmissionOutcome<'a>, Problem> {
    AdmissionRequest::new(node, event).require_open_stage(node).await?.admit(node, mono_ms())
}

/// Makes all checks of a heartbeat whose ids are already as the log has them.
///
/// # Errors
/// Returns the errors of [`AdmissionRequest::require_open_stage`] and [`AdmissionRequest::admit`].
pub async fn admit_pseudonymized<'a>(
    node: &Node,
    stage: &'a str,
    viewer: &'a str,
    session: &'a str,
) -> Result<AdmissionOutcome<'a>, Problem> {
    let request =
        AdmissionRequest::named(node, EventKind::Beat, stage, viewer.into(), session.into());
    let request = request.require_open_stage(node).await?;
    let request = request.limit_streams(node, None, async || Ok(None)).await?;
    request.admit(node, mono_ms())
}

/// Checks that heartbeats may open a stage. Its id has been checked.
///
/// # Errors
/// Returns [`StageClosed`] if the stage is not open, or if that cannot be known just now.
async fn check_open(node: &Node, stage: &str) -> Result<(), StageClosed> {
    if node.engine.stages.is_auto() {
        return Ok(());
    }
    let stage = StageId::parse(stage).map_err(|e| StageClosed::Unknown(e.to_string()))?;
    // In a box, since every connection would otherwise reserve room for this future.
    Box::pin(node.engine.stages.check_open(&stage)).await
}
