//! Figures of the past by the values of a label.

use axum::response::Response;
use housecount_core::ids::StageId;
use housecount_core::limits::PAGE_STEPS_MAX;
use housecount_core::span::Span;
use housecount_reports::labelled::{LabelReport, LabelTotals, LabelTotalsRequest};
use housecount_reports::read::{self, Sources};
use housecount_reports::request::ReportRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::StageAccess;
use super::answer::json_in_background;
use super::error::Problem;
use super::extract::bad_query;
use super::watch::CoverageBody;
use crate::node::Node;

/// A label by which a caller wants figures.
#[derive(Clone, Debug)]
pub(super) struct WantedLabel {
    pub(super) key: String,
    /// Smallest number of viewers of a value that the caller may see.
    pub(super) floor: u64,
}

impl WantedLabel {
    /// Checks the parameter `by`.
    ///
    /// # Errors
    /// Returns a 400 `Problem` that names the keys of this node.
    pub(super) fn parse(
        node: &Node,
        access: &StageAccess,
        by: Option<&String>,
    ) -> Result<Option<WantedLabel>, Problem> {
        let Some(key) = by else { return Ok(None) };
        check_key(node, key)?;
        let floor = if access.is_limited() { node.settings.labels_floor } else { 1 };
        Ok(Some(WantedLabel { key: key.clone(), floor }))
    }

    /// Reads the main figures of a report by value.
    pub(super) async fn report(
        self,
        node: &Node,
        sources: Sources,
        request: ReportRequest,
    ) -> Result<LabelReport, Problem> {
        let read = async move {
            Ok(read::report_by(&sources, &request, &self.key, self.floor, &mut |_| ()).await)
        };
        Ok(node.engine.scans.run(read).await??.value)
    }

    /// Reads watch time and concurrency by value, with a history if steps have a length. Also
    /// returns the part of the range that the ledger has.
    pub(super) async fn totals(
        self,
        node: &Node,
        sources: Sources,
        range: Span,
        stage: Option<&StageId>,
        step_ms: Option<u64>,
    ) -> Result<(LabelTotals, CoverageBody), Problem> {
        let stage = stage.map(ToString::to_string);
        let request =
            LabelTotalsRequest { range, step_ms, stage, key: self.key, floor: self.floor };
        let read = async move { Ok(read::totals_by(&sources, &request).await) };
        let read = node.engine.scans.run(read).await??;
        let cover = CoverageBody::new(node, range, read.committed_to);
        let steps = read.value.values.iter().flat_map(|value| &value.history).map(Vec::len);
        let steps = steps.sum::<usize>() as u64;
        if steps > PAGE_STEPS_MAX {
            return Err(bad_query(format!(
                "{} values of {} have {steps} steps; at most {PAGE_STEPS_MAX} are allowed; use a \
                 longer step",
                read.value.values.len(),
                read.value.key
            )));
        }
        Ok((read.value, cover))
    }
}

/// Checks that a label has a key of this node.
///
/// # Errors
/// Returns a 400 `Problem` that names the keys.
pub(super) fn check_key(node: &Node, key: &str) -> Result<(), Problem> {
    let keys = &node.admission.labels.settings.keys;
    if keys.iter().any(|known| known == key) {
        return Ok(());
    }
    let known = keys.iter().collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none; see the setting labels" } else { &known };
    Err(bad_query(format!("by={key} is not a label of this node ({known})")))
}

/// Watch time by the values of a label.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LabelWatchResponse)]
pub struct LabelWatchBody {
    /// The stage; missing for all stages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// Watch time of each value.
    by: LabelTotals,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Answers with watch time by value, of a stage or of all.
pub(super) async fn watch(
    node: &Node,
    sources: Sources,
    range: Span,
    stage: Option<StageId>,
    wanted: WantedLabel,
) -> Result<Response, Problem> {
    let (by, cover) = wanted.totals(node, sources, range, stage.as_ref(), None).await?;
    let stage = stage.map(|stage| stage.to_string());
    json_in_background(move || LabelWatchBody { stage, by, cover }).await
}

/// Checks that a list by label has no parameter that only lists of rows have.
///
/// # Errors
/// Returns a 400 `Problem` that names the first one.
pub(super) fn check_alone(others: &[(&str, bool)]) -> Result<(), Problem> {
    match others.iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(bad_query(format!("{name} does not apply with by; leave it out"))),
        None => Ok(()),
    }
}
