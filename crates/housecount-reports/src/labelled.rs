//! Figures by label. The same types are the answer of the API and the output of the command.
//!
//! A viewer with two values at once is in the figures of both. So the sum over the values may
//! exceed the whole, and each value conserves by itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use housecount_core::span::Span;
use serde::Serialize;
use utoipa::ToSchema;

use crate::figures::ReportHead;
use crate::value_totals::ValueTotals;

/// Main figures of a report by the values of a label.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelReport {
    /// Key of the label.
    pub key: String,
    /// Figures of each value, those with the most watch time first.
    pub values: Vec<ValueReport>,
    /// Number of values that are left out, because they have fewer viewers than the setting
    /// `labels_floor`; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_floor: Option<u64>,
}

/// Main figures of one value of a label.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueReport {
    /// The value; null for sessions without the label.
    pub value: Option<String>,
    /// Its figures.
    #[serde(flatten)]
    pub head: ReportHead,
}

impl LabelReport {
    /// Creates the figures of the values with at least `floor` viewers.
    pub(crate) fn new(
        key: &str,
        heads: impl Iterator<Item = (Box<str>, ReportHead)>,
        floor: u64,
    ) -> LabelReport {
        let heads = heads.filter(|(_, head)| head.unique_viewers > 0);
        let (mut values, hidden) = split(heads, |head| head.unique_viewers, floor);
        values.sort_by(|(a, of_a), (b, of_b)| {
            of_b.watch_ms.cmp(&of_a.watch_ms).then_with(|| a.cmp(b))
        });
        let values = values.into_iter();
        let values = values.map(|(value, head)| ValueReport { value: shown(&value), head });
        LabelReport { key: key.to_string(), values: values.collect(), below_floor: hidden }
    }
}

/// Request of watch time by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelTotalsRequest {
    /// Range of the figures.
    pub range: Span,
    /// Length of a step of the history; `None` for no history.
    pub step_ms: Option<u64>,
    /// The stage; `None` for all stages together.
    pub stage: Option<String>,
    /// Key of the label.
    pub key: String,
    /// Smallest number of viewers of a value that is shown.
    pub floor: u64,
}

/// Watch time and concurrency by the values of a label.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelTotals {
    /// Key of the label.
    pub key: String,
    /// Figures of each value, those with the most watch time first.
    pub values: Vec<ValueTotal>,
    /// Number of values that are left out, because they have fewer viewers than the setting
    /// `labels_floor`; missing if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_floor: Option<u64>,
}

/// Watch time and concurrency of one value of a label.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueTotal {
    /// The value; null for sessions without the label.
    pub value: Option<String>,
    /// Sum of watch time, ms.
    pub watch_ms: u64,
    /// Distinct viewers with watch time.
    pub viewers: u64,
    /// Largest number of viewers at once.
    pub peak_viewers: u64,
    /// Average number of viewers, step by step; only with a history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<f64>>,
}

impl LabelTotals {
    /// Creates the figures of the values that a request shows.
    pub(crate) fn new(
        request: &LabelTotalsRequest,
        folds: BTreeMap<Box<str>, ValueTotals>,
    ) -> LabelTotals {
        let folds = folds.into_iter().filter(|(_, fold)| fold.viewers() > 0);
        let (mut values, hidden) = split(folds, ValueTotals::viewers, request.floor);
        values.sort_by_key(|(_, fold)| Reverse(fold.watch_ms()));
        let total = |(value, fold): (Box<str>, ValueTotals)| {
            let (watch_ms, viewers) = (fold.watch_ms(), fold.viewers());
            let (steps, peak) = fold.finish();
            let average = |step: &housecount_ledger::curve::Step| {
                step.integral_ms as f64 / step.span.ms().max(1) as f64
            };
            let history = request.step_ms.map(|_| steps.iter().map(average).collect());
            ValueTotal {
                value: shown(&value),
                watch_ms,
                viewers,
                peak_viewers: peak.viewers,
                history,
            }
        };
        LabelTotals {
            key: request.key.clone(),
            values: values.into_iter().map(total).collect(),
            below_floor: hidden,
        }
    }
}

/// Values with their figures.
type Values<T> = Vec<(Box<str>, T)>;

/// Splits off the values with fewer viewers than `floor`, and returns their number.
fn split<T>(
    all: impl Iterator<Item = (Box<str>, T)>,
    viewers: impl Fn(&T) -> u64,
    floor: u64,
) -> (Values<T>, Option<u64>) {
    let (shown, hidden): (Values<T>, Values<T>) = all.partition(|(_, of)| viewers(of) >= floor);
    let hidden = hidden.len() as u64;
    (shown, (hidden > 0).then_some(hidden))
}

fn shown(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_string())
}
