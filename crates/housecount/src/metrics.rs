//! What is counted about this process, for `/metrics`, through the crate `prometheus-client`.
//!
//! Help texts stand beside the names, once. Counts of viewers are not kept here: they are asked of the hub at
//! each scrape, so that there is one definition of them.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

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

/// `route` and `status` of an answered request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// The route's pattern, never the path itself.
    pub route: String,
    /// The status code.
    pub status: u16,
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

/// DynamoDB's capacity units.
pub type UnitsShown = Family<UnitLabel, Counter<f64, AtomicU64>>;
/// A figure that may be a fraction.
type Figure = Gauge<f64, AtomicU64>;

/// All metrics of one node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Beats and leaves taken in.
    pub events: Family<KindLabel, Counter>,
    /// Heartbeats and requests refused.
    pub rejected: Family<CodeLabel, Counter>,
    /// Events not taken because too many wait for the log.
    pub shed: Counter,
    /// Events given up because the log was away for too long.
    pub late: Counter,
    /// Events that came too late to be credited in the ledger.
    pub uncredited: Counter,
    /// Windows of the ledger written or taken over.
    pub commits: Counter,
    /// Windows that could not be written, and were tried again.
    pub commit_failures: Counter,
    /// Bytes of chunks written.
    pub commit_bytes: Counter,
    /// Bytes of chunks of the archive written.
    pub archive_bytes: Counter,
    /// Heartbeats written as items.
    pub archive_items: Counter,
    /// Beats that could not be archived, because nobody knows their session any more.
    pub archive_nameless: Counter,
    /// Tries to write to the archive that failed, and were made again.
    pub archive_failures: Counter,
    /// Up to when the archive has what the log took, as far as this node has heard, Unix s.
    pub archived: Gauge<f64, AtomicU64>,
    /// Up to when the ledger has all partitions, as far as this node has heard, Unix s.
    pub committed: Gauge<f64, AtomicU64>,
    /// Events waiting for the log.
    pub waiting: Gauge,
    /// Events in one append.
    pub batch_events: Histogram,
    /// Seconds an append took.
    pub append_seconds: Histogram,
    /// Appends that failed and were tried again.
    pub append_failures: Counter,
    /// Records read from the log.
    pub records_read: Counter,
    /// Records whose bytes could not be read, and were passed over.
    pub records_corrupt: Counter,
    /// Tries to accept a connection that failed: most often for want of file descriptors.
    pub accept_failures: Counter,
    /// Partitions told all over again, because the log had lost something.
    pub retold: Counter,
    /// Events read from the log that were too old to change any count.
    pub too_old: Counter,
    /// Reads of the log that failed and were tried again.
    pub read_failures: Counter,
    /// Snapshots of all stages written.
    pub snapshots: Counter,
    /// Snapshots that failed and were tried again.
    pub snapshot_failures: Counter,
    /// When the last snapshot was taken.
    pub snapshot_last: Gauge<f64, AtomicU64>,
    /// Stages in the last snapshot.
    pub snapshot_stages: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Those of them that are WebSockets.
    pub websockets: Gauge,
    /// Answered requests.
    pub requests: Family<RouteLabel, Counter>,
    /// What this node's calls have cost, and what a month of them would.
    pub cost: CostMetrics,
    viewers: Gauge,
    sessions: Gauge,
    stages: Gauge,
    complete: Gauge,
    as_of: Gauge<f64, AtomicU64>,
}

/// Of `housecount_cost_*` and `housecount_redis_*`. Set at each scrape, from what `cost` reckons.
#[derive(Debug, Default)]
pub struct CostMetrics {
    /// So far, by what for.
    pub usd: Family<CostLabel, Figure>,
    /// A month like the last hour, by what for.
    pub month_usd: Family<CostLabel, Figure>,
    /// The same altogether, with storage and Redis.
    pub total_month_usd: Figure,
    /// Whether that is above the limit.
    pub is_exceeded: Gauge,
    /// What the guard has decided.
    pub stretch: Gauge,
    /// Commands sent.
    pub redis_commands: Gauge,
    /// Bytes sent, and received.
    pub redis_bytes: Family<KindLabel, Gauge>,
    /// Bytes in its memory.
    pub redis_memory: Gauge,
}

/// What the hub knows at a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveFigures {
    /// Distinct online viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
    /// Stages with somebody online.
    pub stages: u64,
    /// Whether these are all.
    pub complete: bool,
    /// When they were so, Unix ms.
    pub as_of_ms: u64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("housecount"),
            events: Family::default(),
            rejected: Family::default(),
            shed: Counter::default(),
            late: Counter::default(),
            waiting: Gauge::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            append_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            append_failures: Counter::default(),
            records_read: Counter::default(),
            records_corrupt: Counter::default(),
            retold: Counter::default(),
            accept_failures: Counter::default(),
            too_old: Counter::default(),
            read_failures: Counter::default(),
            snapshots: Counter::default(),
            snapshot_failures: Counter::default(),
            uncredited: Counter::default(),
            commits: Counter::default(),
            commit_failures: Counter::default(),
            commit_bytes: Counter::default(),
            archive_bytes: Counter::default(),
            archive_items: Counter::default(),
            archive_nameless: Counter::default(),
            archive_failures: Counter::default(),
            archived: Gauge::default(),
            committed: Gauge::default(),
            snapshot_last: Gauge::default(),
            snapshot_stages: Gauge::default(),
            connections: Gauge::default(),
            websockets: Gauge::default(),
            requests: Family::default(),
            cost: CostMetrics::default(),
            viewers: Gauge::default(),
            sessions: Gauge::default(),
            stages: Gauge::default(),
            complete: Gauge::default(),
            as_of: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("events", "Beats and leaves taken in", self.events.clone());
        r.register("rejected", "Heartbeats and requests refused, by why", self.rejected.clone());
        r.register("shed", "Events not taken because too many wait for the log", self.shed.clone());
        r.register("late", "Events given up because the log was away for too long", self.late.clone());
        r.register("waiting_events", "Events waiting for the log", self.waiting.clone());
        r.register("batch_events", "Events in one append", self.batch_events.clone());
        let seconds = Unit::Seconds;
        r.register_with_unit("append", "Time of an append", seconds.clone(), self.append_seconds.clone());
        r.register(
            "append_failures",
            "Appends that failed and were tried again",
            self.append_failures.clone(),
        );
        r.register("records_read", "Records read from the log", self.records_read.clone());
        r.register("events_too_old", "Events read that were too old to matter", self.too_old.clone());
        r.register("records_corrupt", "Records that could not be read", self.records_corrupt.clone());
        r.register("log_retold", "Partitions told again what the log had lost", self.retold.clone());
        r.register(
            "read_failures",
            "Reads of the log that failed and were tried again",
            self.read_failures.clone(),
        );
        r.register("snapshots", "Snapshots of all stages written", self.snapshots.clone());
        r.register(
            "snapshot_failures",
            "Snapshots that failed and were tried again",
            self.snapshot_failures.clone(),
        );
        let last = self.snapshot_last.clone();
        r.register_with_unit(
            "snapshot_last_timestamp",
            "Unix time of the last snapshot",
            seconds.clone(),
            last,
        );
        r.register("snapshot_stages", "Stages in the last snapshot", self.snapshot_stages.clone());
        r.register("events_uncredited", "Events too late to be credited", self.uncredited.clone());
        r.register("commits", "Windows of the ledger written", self.commits.clone());
        r.register("commit_failures", "Windows that could not be written", self.commit_failures.clone());
        r.register_with_unit("commit", "Chunks written", Unit::Bytes, self.commit_bytes.clone());
        r.register_with_unit(
            "committed_timestamp",
            "End of the last window in the ledger",
            Unit::Seconds,
            self.committed.clone(),
        );
        self.register_archive();
        self.register_cost();
        let r = &mut self.registry;
        let help = "Tries to accept a connection that failed, as for want of file descriptors";
        r.register("accept_failures", help, self.accept_failures.clone());
        r.register("connections", "Open connections", self.connections.clone());
        r.register("websockets", "Open WebSockets", self.websockets.clone());
        r.register("requests", "Answered requests", self.requests.clone());
        r.register("viewers", "Distinct online viewers", self.viewers.clone());
        r.register("sessions", "Online sessions", self.sessions.clone());
        r.register("stages", "Stages with somebody online", self.stages.clone());
        r.register("complete", "1 if the counts are known to be whole", self.complete.clone());
        r.register_with_unit("as_of_timestamp", "Unix time of the counts", seconds, self.as_of.clone());
    }

    fn register_archive(&mut self) {
        let r = &mut self.registry;
        r.register_with_unit(
            "archive",
            "Chunks of the archive written",
            Unit::Bytes,
            self.archive_bytes.clone(),
        );
        r.register("archive_items", "Heartbeats written as items", self.archive_items.clone());
        let help = "Beats not archived, because nobody knows their session any more";
        r.register("archive_nameless", help, self.archive_nameless.clone());
        let help = "Tries to write to the archive that failed, and were made again";
        r.register("archive_failures", help, self.archive_failures.clone());
        let help = "Up to when the archive has what the log took";
        r.register_with_unit("archived_timestamp", help, Unit::Seconds, self.archived.clone());
    }

    fn register_cost(&mut self) {
        let (r, cost) = (&mut self.registry, &self.cost);
        r.register("cost_usd", "What this node's calls have cost so far", cost.usd.clone());
        r.register("cost_month_usd", "What a month like the last hour costs", cost.month_usd.clone());
        r.register("cost_total_month_usd", "The same, with storage and Redis", cost.total_month_usd.clone());
        r.register(
            "cost_limit_exceeded",
            "1 if that is above cost.monthly_limit_usd",
            cost.is_exceeded.clone(),
        );
        let help = "How many times as far apart the cost guard has snapshots taken";
        r.register("cost_stretch", help, cost.stretch.clone());
        r.register("redis_commands", "Commands this node has sent to Redis", cost.redis_commands.clone());
        let help = "Bytes of what Redis was sent and has answered, without its protocol";
        r.register_with_unit("redis_payload", help, Unit::Bytes, cost.redis_bytes.clone());
        let help = "What Redis has in memory, as it last said";
        r.register_with_unit("redis_memory", help, Unit::Bytes, cost.redis_memory.clone());
    }

    /// Everything, in Prometheus's text format.
    #[must_use]
    pub fn encode(&self, live: LiveFigures) -> String {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.viewers.set(count(live.viewers));
        self.sessions.set(count(live.sessions));
        self.stages.set(count(live.stages));
        self.complete.set(i64::from(live.complete));
        self.as_of.set(live.as_of_ms as f64 / 1000.0);
        let mut out = String::new();
        // Writing to a string can't fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Shows what a store consumes, too.
    pub fn show_units(&mut self, name: &'static str, units: UnitsShown) {
        let help = "DynamoDB capacity units consumed, as its replies say";
        self.registry.register(name, help, units);
    }

    /// Beats, or leaves, taken in so far.
    #[must_use]
    pub fn taken(&self, kind: &'static str) -> u64 {
        self.events.get_or_create(&KindLabel { kind }).get()
    }

    /// Counts a refusal.
    pub fn reject(&self, code: &str) {
        self.rejected.get_or_create(&CodeLabel { code: code.to_string() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_encoded_with_help_and_unit() {
        let metrics = Metrics::default();
        metrics.events.get_or_create(&KindLabel { kind: "beat" }).inc_by(3);
        let live = LiveFigures { viewers: 41, complete: true, as_of_ms: 1_500, ..LiveFigures::default() };
        let text = metrics.encode(live);
        for line in [
            "# HELP housecount_events Beats and leaves taken in.",
            "housecount_events_total{kind=\"beat\"} 3",
            "housecount_viewers 41",
            "housecount_complete 1",
            "housecount_as_of_timestamp_seconds 1.5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}
