//! Online viewers by the values of a label: of a stage or of all, and as a stream.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use housecount_core::fold::CountsByLabel;
use housecount_core::ids::StageId;
use housecount_core::limits::LIVE_EVERY_MS_MIN;
use housecount_engine::{CountStatus, WithStatus};
use serde::Serialize;
use tokio::time::sleep;
use utoipa::ToSchema;

use super::by_label::WantedLabel;
use super::live::CountStatusBody;
use crate::node::Node;

/// Online viewers by the values of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LabelCounts)]
#[serde(rename_all = "camelCase")]
pub struct LabelCountsBody {
    /// Key of the label.
    key: String,
    /// Viewers of each value, the most first. A viewer whose sessions have several values is in
    /// each of them, once.
    values: Vec<ValueCountBody>,
    /// Number of values that are left out, because they have fewer viewers than the setting
    /// `labels_floor`; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    below_floor: Option<u64>,
    /// Number of values that are left out after the first 1,000; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    omitted: Option<u64>,
}

/// Online viewers of one value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LabelCount)]
pub struct ValueCountBody {
    /// The value; null for sessions without the label.
    value: Option<String>,
    /// Distinct online viewers.
    viewers: u64,
}

impl LabelCountsBody {
    pub(super) fn new(wanted: &WantedLabel, counts: CountsByLabel) -> LabelCountsBody {
        let count = |(value, viewers): (String, u64)| ValueCountBody {
            value: (!value.is_empty()).then_some(value),
            viewers,
        };
        let number = |values: usize| (values > 0).then_some(values as u64);
        LabelCountsBody {
            key: wanted.key.clone(),
            values: counts.values.into_iter().map(count).collect(),
            below_floor: number(counts.below_floor),
            omitted: number(counts.omitted),
        }
    }
}

/// Counts of a stage by label, as `/v1/live` sends them.
#[derive(Debug, Serialize)]
struct LabelEvent<'a> {
    /// The stage; missing for all stages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    by: &'a LabelCountsBody,
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Counts by label that were sent, with their status.
type SentCounts = Option<(LabelCountsBody, CountStatus)>;

/// The counts by label that a subscriber follows.
struct LabelFeed {
    node: Arc<Node>,
    wanted: WantedLabel,
    /// Stages, or `None` for all together, with the counts that were sent last.
    stages: Vec<(Option<StageId>, SentCounts)>,
}

impl LabelFeed {
    /// Returns an event for each stage whose counts or status have changed.
    fn take_changed(&mut self) -> String {
        let mut text = String::new();
        for (stage, sent) in &mut self.stages {
            let stage = stage.as_ref().map(StageId::as_str);
            let wanted = &self.wanted;
            let counts = self.node.engine.hub.label_counts(stage, &wanted.key, wanted.floor);
            let WithStatus { value, status } =
                counts.map(|value| LabelCountsBody::new(wanted, value));
            let is_known = sent.as_ref().is_some_and(|(counts, before)| {
                *counts == value
                    && (before.complete, before.recovering) == (status.complete, status.recovering)
            });
            if is_known {
                continue;
            }
            let event = LabelEvent { stage, by: &value, status: status.into() };
            let data = serde_json::to_string(&event).unwrap_or_default();
            let _ = write!(text, "event: labels\ndata: {data}\n\n");
            *sent = Some((value, status));
        }
        text
    }
}

/// Streams the counts by label of some stages, or of all together (`None`), as they change. `every`
/// is the least time between two pieces, at least a second.
pub(super) fn events(
    node: Arc<Node>,
    wanted: WantedLabel,
    stages: impl IntoIterator<Item = Option<StageId>>,
    every: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let stages = stages.into_iter().map(|stage| (stage, None)).collect();
    let every = every.max(Duration::from_millis(LIVE_EVERY_MS_MIN));
    let feed = LabelFeed { node, wanted, stages };
    stream::unfold((feed, Duration::ZERO), move |(mut feed, mut wait)| async move {
        loop {
            sleep(wait).await;
            wait = every;
            let text = feed.take_changed();
            if !text.is_empty() {
                return Some((Ok(text.into()), (feed, wait)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_values_that_are_left_out_are_shown_if_there_are_any() {
        let wanted = WantedLabel { key: "country".to_string(), floor: 1 };
        let json = |counts| serde_json::to_string(&LabelCountsBody::new(&wanted, counts)).unwrap();
        let all = CountsByLabel { values: vec![(String::new(), 1)], ..CountsByLabel::default() };
        assert_eq!(json(all), r#"{"key":"country","values":[{"value":null,"viewers":1}]}"#);
        let some = CountsByLabel { values: Vec::new(), omitted: 3, below_floor: 4 };
        assert_eq!(json(some), r#"{"key":"country","values":[],"belowFloor":4,"omitted":3}"#);
    }
}
