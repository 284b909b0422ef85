//! Labels: what a metric is told apart by. Each has a few values that the code names, never one
//! that a client chooses.

use prometheus_client::encoding::EncodeLabelSet;

/// `code`: why it was refused, as in the API's errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The code.
    pub code: String,
}

/// `kind`: beat or leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The kind.
    pub kind: &'static str,
}

/// `place`: what a lock was held for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PlaceLabel {
    /// The place.
    pub place: &'static str,
}

/// `worker`: number of a worker thread, from 1.
#[cfg(tokio_unstable)]
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WorkerLabel {
    /// The number.
    pub worker: u64,
}

/// `transport`: how it came: http (one by one), batch (many a call) or ws.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TransportLabel {
    /// The transport.
    pub transport: &'static str,
}

/// `route` and `status` of an answered request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// The route's pattern, never the path itself.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// `route` alone, where more would be too many series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PathLabel {
    /// The route's pattern, never the path itself.
    pub route: String,
}

/// `kind`: read or write; `purpose`: what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UnitLabel {
    /// The kind.
    pub kind: &'static str,
    /// The purpose.
    pub purpose: &'static str,
}

/// `purpose`: what for; `store`: cold or log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CostLabel {
    /// The purpose.
    pub purpose: &'static str,
    /// The store.
    pub store: &'static str,
}
