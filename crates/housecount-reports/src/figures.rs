//! The shape of a report. The same types are the answer of the API and the output of the command.

use serde::Serialize;
use utoipa::ToSchema;

use crate::distribution::WatchTimeClass;

/// Main figures of a report.
///
/// Watch time is proven time within the range. Viewers with a single heartbeat have none, and are
/// in no figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportHead {
    /// Distinct viewers with watch time.
    pub unique_viewers: u64,
    /// Sum of their watch times, ms.
    pub watch_ms: u64,
    /// Mean watch time of a viewer, ms; 0 without viewers.
    pub average_watch_ms: f64,
    /// Smallest watch time that at least half of the viewers don't exceed, ms.
    pub median_watch_ms: u64,
    /// Smallest watch time that at least nine tenths of the viewers don't exceed, ms.
    pub p90_watch_ms: u64,
    /// Largest number of viewers at once. Of all stages, a viewer on two counts on both.
    pub peak_viewers: u64,
    /// First moment with the peak, Unix ms; missing without viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_at: Option<u64>,
    /// Average number of viewers at once over the whole range.
    pub average_viewers: f64,
    /// Views that begin within the range.
    pub joins: u64,
    /// Views that end within the range, also at its end. A view has ended once it is certain that
    /// it does not go on.
    pub leaves: u64,
    /// Views that overlap the range. A view is a viewer's proven time on a stage without a gap of
    /// more than the ttl.
    pub views: u64,
    /// Viewers with watch time in the time before the range too; only with `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returning_viewers: Option<u64>,
    /// Viewers without; only with `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_viewers: Option<u64>,
}

/// A step of a report.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportStep {
    /// Start of the step, Unix ms.
    pub at: u64,
    /// Average number of viewers at once.
    pub avg: f64,
    /// Smallest number of viewers at once.
    pub min: u64,
    /// Largest number of viewers at once.
    pub max: u64,
    /// Views that begin in the step.
    pub joins: u64,
    /// Views that end in the step.
    pub leaves: u64,
    /// Joins divided by the step's length in minutes.
    pub joins_per_minute: f64,
    /// Leaves divided by the step's length in minutes.
    pub leaves_per_minute: f64,
}

/// The part of the first viewers that is watching some time after they came.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPoint {
    /// Time since a viewer's first view began, ms.
    pub after_ms: u64,
    /// Viewers of the cohort for which that moment is within the range.
    pub viewers: u64,
    /// Those of them who are watching at that moment.
    pub watching: u64,
    /// `watching` divided by `viewers`.
    pub share: f64,
}

/// The part of the first viewers that is watching in a minute of the broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionMinute {
    /// Start of the minute, Unix ms. Minutes count from the start of the broadcast.
    pub at: u64,
    /// Viewers of the cohort who are watching at some moment of the minute.
    pub watching: u64,
    /// `watching` divided by the cohort's viewers.
    pub share: f64,
}

/// The part of the first viewers that stays.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Start of the broadcast: the first moment of the range with a viewer, Unix ms.
    pub started_at: u64,
    /// Length of the time from the start in which the cohort came, ms.
    pub cohort_ms: u64,
    /// Viewers of the cohort: those whose first view begins in that time.
    pub viewers: u64,
    /// Those who are watching, by time since they came.
    pub after: Vec<RetentionPoint>,
    /// Those who are watching, by minute of the broadcast; of its first day at most.
    pub minutes: Vec<RetentionMinute>,
}

/// A report of a stage, or of all stages together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = ReportFigures)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Main figures.
    #[serde(flatten)]
    pub head: ReportHead,
    /// Length of a step, ms. Steps are aligned to the epoch; the first and the last may be shorter.
    pub step_ms: u64,
    /// Steps in order of time.
    pub steps: Vec<ReportStep>,
    /// Viewers by watch time.
    pub histogram: Vec<WatchTimeClass>,
    /// The part of the first viewers that stays. Missing for all stages together, and without
    /// viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}
