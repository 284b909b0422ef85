//! Labels of the metrics. Each has a few values that the code names. Only `stage` has values that
//! clients choose, and is bounded by a setting.

use prometheus_client::encoding::EncodeLabelSet;

/// Label `code`: the reason of a refusal, as in the API's errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The code.
    pub code: String,
}

/// Label `stage`: id of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabel {
    /// The stage.
    pub stage: String,
}

/// Label `webhook`: name of a webhook, as an operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WebhookLabel {
    /// The name.
    pub webhook: String,
}

/// Labels `webhook` and `outcome` (accepted, failed or given_up) of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabel {
    /// Name of the webhook.
    pub webhook: String,
    /// The outcome.
    pub outcome: &'static str,
}

/// Label `kind`: beat or leave, or the type of an event of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The kind.
    pub kind: &'static str,
}

/// Label `key`: key of a label of sessions, as an operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LabelKeyLabel {
    /// The key.
    pub key: String,
}

/// Label `place`: the reason of a hold of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PlaceLabel {
    /// The place.
    pub place: &'static str,
}

/// Label `worker`: number of a worker thread, from 1.
#[cfg(tokio_unstable)]
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WorkerLabel {
    /// The number.
    pub worker: u64,
}

/// Label `transport`: http (one heartbeat per call), batch (many per call) or ws.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TransportLabel {
    /// The transport.
    pub transport: &'static str,
}

/// Labels `transport` (h1, h2 or ws) and `direction` (in or out) of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TrafficLabel {
    /// The transport.
    pub transport: &'static str,
    /// The direction.
    pub direction: &'static str,
}

/// Labels `route` and `status` of an answered request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// The route's pattern, never the path itself.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// Label `route` alone, where more labels would be too many series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PathLabel {
    /// The route's pattern, never the path itself.
    pub route: String,
}

/// Labels `purpose` and `store` (cold or log) of a cost.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CostLabel {
    /// The purpose.
    pub purpose: &'static str,
    /// The store.
    pub store: &'static str,
}
