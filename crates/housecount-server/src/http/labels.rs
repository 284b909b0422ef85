//! Labels of a heartbeat's session, on its way to the log.

use axum::http::StatusCode;
use housecount_access::labels::LabelValues;
use housecount_backend::clock::mono_ms;
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_metrics::LabelKeyLabel;

use super::admit::AdmissionRequest;
use super::error::Problem;
use super::heartbeat_json::HeartbeatRequest;
use crate::node::Node;

/// Returns the labels in a body, which a client may choose freely.
///
/// # Errors
/// Returns a 400 `Problem` that names the key.
pub fn of_body(
    node: &Node,
    body: &HeartbeatRequest<'_>,
) -> Result<Option<Box<LabelValues>>, Problem> {
    let Some(json) = body.labels else { return Ok(None) };
    let read = node.admission.labels.settings.keys.of_json(json.get());
    let wrong =
        |why| Problem::new(StatusCode::BAD_REQUEST, "invalid_labels", format!("labels: {why}"));
    Ok(read.map_err(wrong)?.map(Box::new))
}

impl AdmissionRequest<'_> {
    /// Adds the labels of a session that may be a new one. Those of its token come first, then
    /// those of a header, then those of the body. `claim` is called only for such a session.
    ///
    /// # Errors
    /// Returns the `Problem` of `claim`.
    pub async fn with_labels(
        self,
        node: &Node,
        body: SessionLabels<'_>,
        header: Option<&LabelValues>,
        claim: impl AsyncFnOnce() -> Result<Option<LabelValues>, Problem>,
    ) -> Result<Self, Problem> {
        let (control, hub) = (&node.admission, &node.engine.hub);
        if !control.labels.is_on()
            || self.kind() != EventKind::Beat
            || !control.may_begin(hub, self.event().ids, self.session_key(), mono_ms())
        {
            return Ok(self);
        }
        let claim = claim().await?;
        let keys = &control.labels.settings.keys;
        let body = LabelValues::of(keys, &body);
        let Some(values) = keys.merge([claim.as_ref(), header, body.as_ref()]) else {
            return Ok(self);
        };
        let Ids { stage, viewer, .. } = self.event().ids;
        let admitted = control.labels.admit(hub, stage, viewer, &values);
        for key in &admitted.replaced {
            let counter = &node.engine.metrics.labels_other;
            counter.get_or_create(&LabelKeyLabel { key: key.clone() }).inc();
        }
        Ok(self.with_admitted_labels(admitted))
    }
}
