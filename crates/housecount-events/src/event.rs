//! An event of a stage or of the counts, and its JSON.

use std::sync::Arc;

use housecount_core::fold::Count;
use housecount_core::time::UnixMs;
use serde::Serialize;
use utoipa::ToSchema;

/// An event, with its place in the chain of all events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceEvent {
    /// Number of the event, from 1, without gaps. A stage's events are in the order of their
    /// numbers.
    pub seq: u64,
    /// Time of the event on the log's clock, which is also that of its count.
    pub at: UnixMs,
    /// Subject and kind of the event.
    pub change: AudienceChange,
    /// Count of the stage, or of all stages together; `None` where no count is complete.
    pub count: Option<Count>,
}

/// Subject and kind of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudienceChange {
    /// A stage has its first viewers.
    Opened(Arc<str>),
    /// A stage has no viewers any more.
    Emptied(Arc<str>),
    /// A stage has at least, or no longer about, a number of viewers.
    Threshold {
        /// The stage.
        stage: Arc<str>,
        /// The number.
        threshold: u64,
        /// Whether the stage has reached it. Otherwise it has fallen below.
        is_up: bool,
    },
    /// A stage has lost many viewers in a short time.
    Drop {
        /// The stage.
        stage: Arc<str>,
        /// Viewers before.
        peak: u64,
        /// Last time at which it had them.
        peak_at: UnixMs,
    },
    /// Counts are no longer complete. The time is the last at which they were.
    CountIncomplete {
        /// Whether earlier counts stand in.
        is_recovering: bool,
    },
    /// Counts are complete again.
    CountComplete,
    /// A month would cost more than the node's limit.
    BudgetExceeded(BudgetExcess),
}

/// Projected cost of a month, and the limit that it exceeds, in millionths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExcess {
    /// Projected cost.
    pub month_micro_usd: u64,
    /// The limit.
    pub limit_micro_usd: u64,
}

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum EventType {
    /// A stage has its first viewers.
    #[serde(rename = "stage.opened")]
    StageOpened,
    /// A stage has no viewers any more.
    #[serde(rename = "stage.emptied")]
    StageEmptied,
    /// A stage has crossed a configured number of viewers.
    #[serde(rename = "stage.threshold")]
    StageThreshold,
    /// A stage has lost many viewers in a short time.
    #[serde(rename = "stage.drop")]
    StageDrop,
    /// Counts are no longer complete.
    #[serde(rename = "count.incomplete")]
    CountIncomplete,
    /// Counts are complete again.
    #[serde(rename = "count.complete")]
    CountComplete,
    /// A month would cost more than the limit.
    #[serde(rename = "budget.exceeded")]
    BudgetExceeded,
}

impl EventType {
    /// All types.
    pub const ALL: [EventType; 7] = [
        EventType::StageOpened,
        EventType::StageEmptied,
        EventType::StageThreshold,
        EventType::StageDrop,
        EventType::CountIncomplete,
        EventType::CountComplete,
        EventType::BudgetExceeded,
    ];

    /// Name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EventType::StageOpened => "stage.opened",
            EventType::StageEmptied => "stage.emptied",
            EventType::StageThreshold => "stage.threshold",
            EventType::StageDrop => "stage.drop",
            EventType::CountIncomplete => "count.incomplete",
            EventType::CountComplete => "count.complete",
            EventType::BudgetExceeded => "budget.exceeded",
        }
    }

    /// Type of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl AudienceEvent {
    /// Type of the event.
    #[must_use]
    pub fn kind(&self) -> EventType {
        match self.change {
            AudienceChange::Opened(_) => EventType::StageOpened,
            AudienceChange::Emptied(_) => EventType::StageEmptied,
            AudienceChange::Threshold { .. } => EventType::StageThreshold,
            AudienceChange::Drop { .. } => EventType::StageDrop,
            AudienceChange::CountIncomplete { .. } => EventType::CountIncomplete,
            AudienceChange::CountComplete => EventType::CountComplete,
            AudienceChange::BudgetExceeded(_) => EventType::BudgetExceeded,
        }
    }

    /// Stage of the event; `None` if it is of all stages.
    #[must_use]
    pub fn stage(&self) -> Option<&Arc<str>> {
        match &self.change {
            AudienceChange::Opened(stage)
            | AudienceChange::Emptied(stage)
            | AudienceChange::Threshold { stage, .. }
            | AudienceChange::Drop { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// Id of the event, which no other event has, also in another chain.
    #[must_use]
    pub fn id(&self) -> String {
        format!("evt_{}_{}", self.at, self.seq)
    }

    /// The event as the API and webhooks show it.
    #[must_use]
    pub fn body(&self) -> EventBody {
        let mut body = EventBody {
            id: self.id(),
            seq: self.seq,
            kind: self.kind(),
            at: self.at.0,
            stage: self.stage().map(ToString::to_string),
            viewers: self.count.map(|count| count.viewers),
            sessions: self.count.map(|count| count.sessions),
            as_of: self.at.0,
            complete: true,
            recovering: false,
            threshold: None,
            direction: None,
            peak_viewers: None,
            peak_at: None,
            month_usd: None,
            limit_usd: None,
        };
        match self.change {
            AudienceChange::Threshold { threshold, is_up, .. } => {
                body.threshold = Some(threshold);
                body.direction = Some(if is_up { Crossing::Up } else { Crossing::Down });
            }
            AudienceChange::Drop { peak, peak_at, .. } => {
                (body.peak_viewers, body.peak_at) = (Some(peak), Some(peak_at.0));
            }
            AudienceChange::CountIncomplete { is_recovering } => {
                (body.complete, body.recovering) = (false, is_recovering);
            }
            AudienceChange::BudgetExceeded(of) => {
                body.month_usd = Some(dollars(of.month_micro_usd));
                body.limit_usd = Some(dollars(of.limit_micro_usd));
            }
            _ => {}
        }
        body
    }
}

fn dollars(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1_000_000.0
}

/// Direction in which a threshold is crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ThresholdDirection)]
#[serde(rename_all = "lowercase")]
pub enum Crossing {
    /// The stage has reached the threshold.
    Up,
    /// The stage has fallen below it.
    Down,
}

/// An event.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// Id that no other event has; of a webhook, the header `webhook-id`.
    pub id: String,
    /// Number of the event, from 1. A stage's events are in this order.
    pub seq: u64,
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Time of the event, Unix ms.
    pub at: u64,
    /// The stage; missing for events of all stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Viewers of the stage, or of all stages; missing where no count is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u64>,
    /// Sessions of the stage, or of all stages; missing where no count is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Time of the count, Unix ms.
    pub as_of: u64,
    /// Whether the count is complete. Only `count.incomplete` has `false`.
    pub complete: bool,
    /// Whether earlier counts stand in.
    pub recovering: bool,
    /// `stage.threshold`: the number of viewers that was crossed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// `stage.threshold`: the direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Crossing>,
    /// `stage.drop`: viewers before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_viewers: Option<u64>,
    /// `stage.drop`: last time at which the stage had them, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_at: Option<u64>,
    /// `budget.exceeded`: projected cost of a month, US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_usd: Option<f64>,
    /// `budget.exceeded`: the setting `cost.monthly_limit_usd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_usd: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(change: AudienceChange, count: Option<Count>) -> String {
        let event = AudienceEvent { seq: 7, at: UnixMs(1_790_000_000_000), change, count };
        serde_json::to_string(&event.body()).unwrap()
    }

    #[test]
    fn an_event_is_shown_with_its_count_and_status() {
        let count = Some(Count { viewers: 120, sessions: 130 });
        let change = AudienceChange::Threshold { stage: "s/1".into(), threshold: 100, is_up: true };
        assert_eq!(
            json(change, count),
            r#"{"id":"evt_1790000000000_7","seq":7,"type":"stage.threshold","at":1790000000000,"stage":"s/1","viewers":120,"sessions":130,"asOf":1790000000000,"complete":true,"recovering":false,"threshold":100,"direction":"up"}"#
        );
        assert_eq!(
            json(AudienceChange::CountIncomplete { is_recovering: true }, None),
            r#"{"id":"evt_1790000000000_7","seq":7,"type":"count.incomplete","at":1790000000000,"asOf":1790000000000,"complete":false,"recovering":true}"#
        );
        let excess = BudgetExcess { month_micro_usd: 12_500_000, limit_micro_usd: 10_000_000 };
        let shown = json(AudienceChange::BudgetExceeded(excess), count);
        assert!(shown.ends_with(r#""monthUsd":12.5,"limitUsd":10.0}"#), "{shown}");
    }

    #[test]
    fn each_type_has_the_name_that_its_json_has() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
            assert_eq!(EventType::parse(kind.name()), Some(kind));
        }
        assert_eq!(EventType::parse("stage"), None);
    }
}
