//! Limit of a viewer's streams, for a heartbeat on its way to the log.

use std::borrow::Cow;

use housecount_access::admission::AdmissionError;
use housecount_access::admission::streams::{StreamAdmission, StreamDemand};
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::ids::SessionId;
use housecount_engine::internals::{IngestError, UnstampedEvent};

use super::admit::AdmissionRequest;
use super::error::Problem;
use crate::node::Node;

/// Place of a heartbeat's stream, with the streams that it displaces.
#[derive(Debug)]
pub struct StreamPlace(StreamAdmission);

impl StreamPlace {
    /// Returns the displacements to log before the heartbeat of `viewer`.
    pub fn displacements<'a>(
        &'a self,
        viewer: &'a str,
    ) -> impl Iterator<Item = UnstampedEvent<'a>> {
        self.0.displaced.iter().map(move |stream| UnstampedEvent {
            kind: EventKind::Displace,
            ids: Ids { stage: &stream.stage, viewer, session: &stream.session },
            labels: SessionLabels::NONE,
        })
    }

    /// Enqueues the displacements. They are in the log once a later event of the viewer is.
    ///
    /// # Errors
    /// Returns the [`IngestError`] of `Ingest::enqueue`.
    pub fn enqueue(&self, node: &Node, viewer: &str) -> Result<(), IngestError> {
        self.displacements(viewer)
            .try_for_each(|event| node.engine.ingest.enqueue(event, false).map(drop))
    }
}

impl<'a> AdmissionRequest<'a> {
    /// Checks a heartbeat against its viewer's limit of streams.
    ///
    /// `claim` returns the limit in its token, if it has one, and is called only if it matters.
    /// `replaces` is the session whose place it takes.
    ///
    /// # Errors
    /// Returns a 409 `Problem` if the session was displaced, or no place is free for it. Returns
    /// the `Problem` of `claim`, and a 400 one for an invalid `replaces`.
    pub async fn limit_streams(
        self,
        node: &Node,
        replaces: Option<&str>,
        claim: impl AsyncFnOnce() -> Result<Option<usize>, Problem>,
    ) -> Result<AdmissionRequest<'a>, Problem> {
        let limits = &node.admission.streams;
        if !limits.is_on() || self.kind() != EventKind::Beat {
            return Ok(self);
        }
        if !limits.needs_demand(&node.engine.hub, &self.event())? {
            return Ok(self);
        }
        replaces.map(SessionId::check).transpose()?;
        let replaces = replaces.map(|session| node.admission.names.session(Cow::Borrowed(session)));
        let demand = StreamDemand { claim: claim().await?, replaces: replaces.as_deref() };
        let admitted = limits.admit(&node.engine.hub, &self.event(), demand)?;
        let is_own_displaced = admitted.is_own_displaced;
        let place = StreamPlace(admitted);
        if is_own_displaced {
            place.enqueue(node, self.event().ids.viewer)?;
            return Err(AdmissionError::Displaced.into());
        }
        Ok(self.with_stream(place))
    }
}
