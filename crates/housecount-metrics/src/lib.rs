//! Metrics of this process, for `/metrics`, through the crate `prometheus-client`.
//!
//! A metric's doc comment is its help text. Counts of viewers are not stored here. Each scrape
//! reads them from the hub, so that they have one definition. A metric per heartbeat costs one
//! addition. Metrics that cost more (times, sizes) are observed once per batch.

mod cost;
mod format;
pub mod holds;
mod labels;
mod list;
#[cfg(tokio_unstable)]
pub mod polls;
mod process;

use std::sync::atomic::AtomicU64;

use housecount_backend::meter::UnitCounters;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use self::cost::CostMetrics;
pub use self::format::MetricsFormat;
use self::holds::{Hold, HoldTimes, LockHolds};
pub use self::labels::{
    CodeLabel, CostLabel, DeliveryLabel, KindLabel, LabelKeyLabel, PathLabel, RouteLabel,
    StageLabel, TrafficLabel, TransportLabel, WebhookLabel,
};
use self::list::metrics;
use self::process::ProcessCollector;

/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

/// A histogram from 0.1 ms to 3.3 s, doubling.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 16))
}

metrics! {
    /// Counters and gauges that this node updates as it works.
    pub struct NodeMetrics {
        // ingest
        /// Beats and leaves taken in
        events: "events" => Family<KindLabel, Counter>,
        /// Beats and leaves acknowledged to their senders, by transport; over a WebSocket one
        /// answer may cover several
        acknowledged: "acknowledged_events" => Family<TransportLabel, Counter>,
        /// Beats above their session's limit that got the answer of its last logged beat, without
        /// the log, by transport
        coalesced: "coalesced_beats" => Family<TransportLabel, Counter>,
        /// Heartbeats and requests refused, by reason
        rejected: "rejected" => Family<CodeLabel, Counter>,
        /// Labels of new sessions replaced by `other`, because a limit of different labels was
        /// reached, by key
        labels_other: "labels_other" => Family<LabelKeyLabel, Counter>,
        /// Events refused because too many wait for the log
        events_shed: "events_shed" => Counter,
        /// Events given up because the log was unavailable for too long
        events_expired: "events_expired" => Counter,
        /// Events waiting for the log
        append_queue: "append_queue_events" => Gauge,
        /// Events in one append
        batch_events: "batch_events" => Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 12)),
        /// Time of an append
        append: "append" in Seconds => Histogram = times(),
        /// Time from the first event of a batch to its acknowledgement, once per batch. No event in
        /// the batch waits longer
        ack_latency: "ack_latency" in Seconds => Histogram = times(),
        /// Appends that failed and were retried
        append_failures: "append_failures" => Counter,

        // follow
        /// Records read from the log
        records_read: "records_read" => Counter,
        /// Records that could not be decoded
        records_corrupt: "records_corrupt" => Counter,
        /// Partitions rebuilt in the log after a loss
        log_rebuilds: "log_rebuilds" => Counter,
        /// Events read that were too old to count
        too_old: "events_too_old" => Counter,
        /// Reads of the log that failed and were retried
        read_failures: "read_failures" => Counter,

        // ledger and archive
        /// Events too late to be credited
        uncredited: "events_uncredited" => Counter,
        /// Windows of the ledger written
        commits: "commits" => Counter,
        /// Windows that could not be written and were retried
        commit_failures: "commit_failures" => Counter,
        /// Bytes of the ledger's chunks written
        commit_bytes: "commit" in Bytes => Counter,
        /// End of the last window in the ledger, Unix time; 0 before the first
        committed: "committed_timestamp" in Seconds => Seconds,
        /// Bytes of the archive's chunks written
        archive_bytes: "archive" in Bytes => Counter,
        /// Heartbeats written as items
        archive_items: "archive_items" => Counter,
        /// Items of the archive that the cold tier refuses as invalid and that are left out
        archive_refused: "archive_refused" => Counter,
        /// Beats not archived because their session is unknown
        archive_unresolved: "archive_unresolved" => Counter,
        /// Writes to the archive that failed and were retried
        archive_failures: "archive_failures" => Counter,
        /// Time up to which the archive has the log's events, Unix time; 0 before the first
        archived: "archived_timestamp" in Seconds => Seconds,

        // snapshots
        /// Snapshots of all stages written
        snapshots: "snapshots" => Counter,
        /// Snapshots that failed and were retried
        snapshot_failures: "snapshot_failures" => Counter,
        /// Time of the last snapshot by this node, Unix time; 0 before the first
        snapshot_last: "snapshot_last_timestamp" in Seconds => Seconds,
        /// Stages in the last snapshot
        snapshot_stages: "snapshot_stages" => Gauge,

        // events
        /// Events of stages and counts that this node wrote, by type
        stage_events: "stage_events" => Family<KindLabel, Counter>,
        /// 1 if this node writes events and delivers them to webhooks
        event_writer: "event_writer" => Gauge,
        /// Events that could not be written and were retried
        event_write_failures: "event_write_failures" => Counter,
        /// Times at which samples of the counts were dropped before they could be evaluated
        event_samples_lost: "event_samples_lost" => Counter,
        /// Deliveries to webhooks by this node, by webhook and outcome: accepted, failed or
        /// given_up
        webhook_deliveries: "webhook_deliveries" => Family<DeliveryLabel, Counter>,
        /// Events that wait for a webhook, on the node that delivers
        webhook_pending: "webhook_pending_events" => Family<WebhookLabel, Gauge>,
        /// Time of the oldest event that waits for a webhook, Unix time; 0 if none waits
        webhook_oldest: "webhook_oldest_timestamp" in Seconds => Family<WebhookLabel, Seconds>,
        /// 1 if the last delivery to a webhook failed, on the node that delivers
        webhook_failing: "webhook_failing" => Family<WebhookLabel, Gauge>,

        // HTTP
        /// Failed accepts of a connection, for example for lack of file descriptors
        accept_failures: "accept_failures" => Counter,
        /// Open connections
        connections: "connections" => Gauge,
        /// Limit of open connections (`connections_max`)
        connections_max: "connections_max" => Gauge,
        /// Connections closed at once because their address had reached its limit
        /// (`limits.address_connections`)
        connections_refused: "connections_refused" => Counter,
        /// Bytes of clients' connections: in (from clients) and out, below TLS, by transport
        client_bytes: "client" in Bytes => Family<TrafficLabel, Counter>,
        /// TLS handshakes: full or resumed
        tls_handshakes: "tls_handshakes" => Family<KindLabel, Counter>,
        /// Open subscriptions of live counts.
        subscribers: "subscribers" => Gauge,
        /// Online viewers of the stages with most viewers (`metrics_stages`)
        stage_viewers: "stage_viewers" => Family<StageLabel, Gauge>,
        /// Open WebSockets
        websockets: "websockets" => Gauge,
        /// Answered requests
        requests: "requests" => Family<RouteLabel, Counter>,
        /// Time to the beginning of an answer; heartbeats and leaves are in the time of their batch
        /// instead
        request: "request" in Seconds => Family<PathLabel, Histogram> = Family::new_with_constructor(times),
    }
}

metrics! {
    /// Gauges that a scrape reads from the node.
    pub struct LiveGauges {
        /// Distinct online viewers
        viewers: "viewers" => Gauge,
        /// Online sessions
        sessions: "sessions" => Gauge,
        /// Stages with online viewers
        stages: "stages" => Gauge,
        /// 1 if the counts are known to be complete
        complete: "complete" => Gauge,
        /// 1 if the node may receive traffic
        ready: "ready" => Gauge,
        /// Unix time of the counts, on the log's clock
        as_of: "as_of_timestamp" in Seconds => Seconds,
        /// Time by which the counts are behind the log's clock
        fold_lag: "fold_lag" in Seconds => Seconds,
        /// Time for which the counts' clock has stood still. It stands while the log is not read to
        /// its end, or refuses this node's writes
        log_lag: "log_lag" in Seconds => Seconds,
    }
}

/// All metrics of one node.
#[derive(Debug)]
pub struct Metrics {
    ours: Registry,
    counted: NodeMetrics,
    live: LiveGauges,
    /// Cost of this node's calls so far, and of a month of them.
    pub cost: CostMetrics,
    /// Counters of acknowledged events, by transport.
    pub acknowledged: Transports,
    /// Counters of coalesced beats, by transport.
    pub coalesced: Transports,
}

/// Counters of one metric by transport. They are resolved once, because every heartbeat needs one.
#[derive(Debug)]
pub struct Transports {
    /// One heartbeat per HTTP call.
    pub http: Counter,
    /// Many heartbeats per HTTP call.
    pub batch: Counter,
    /// Heartbeats over a WebSocket.
    pub ws: Counter,
}

impl Transports {
    fn of(family: &Family<TransportLabel, Counter>) -> Transports {
        let came = |transport| family.get_or_create_owned(&TransportLabel { transport });
        Transports { http: came("http"), batch: came("batch"), ws: came("ws") }
    }
}

/// Values that the node has at a scrape.
#[derive(Clone, Debug, Default)]
pub struct GaugeValues {
    /// Distinct online viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
    /// Stages with online viewers.
    pub stages: u64,
    /// Whether the counts are complete.
    pub complete: bool,
    /// Time of the counts, in Unix ms.
    pub as_of_ms: u64,
    /// Time for which the counts' clock has stood still. It stands while the log is not read to its
    /// end, or refuses this node's writes.
    pub log_lag_ms: u64,
    /// Time by which the counts are behind the log's clock.
    pub fold_lag_ms: u64,
    /// Whether the node may receive traffic.
    pub ready: bool,
    /// Hold times of the fold's lock, by place.
    pub holds: Vec<(Hold, HoldTimes)>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (counted, live) = (NodeMetrics::default(), LiveGauges::default());
        let mut ours = Registry::with_prefix("housecount");
        counted.register(&mut ours);
        live.register(&mut ours);
        let cost = CostMetrics::default();
        cost.register_all(&mut ours);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "Version of this node", build);
        let (acknowledged, coalesced) =
            (Transports::of(&counted.acknowledged), Transports::of(&counted.coalesced));
        Metrics { ours, counted, live, cost, acknowledged, coalesced }
    }
}

impl std::ops::Deref for Metrics {
    type Target = NodeMetrics;

    fn deref(&self) -> &NodeMetrics {
        &self.counted
    }
}

impl Metrics {
    /// Encodes all metrics in one of the formats that Prometheus reads.
    #[must_use]
    pub fn encode(&self, now: GaugeValues, format: MetricsFormat) -> String {
        let (count, seconds) =
            (|n: u64| i64::try_from(n).unwrap_or(i64::MAX), |ms: u64| ms as f64 / 1_000.0);
        let live = &self.live;
        live.viewers.set(count(now.viewers));
        live.sessions.set(count(now.sessions));
        live.stages.set(count(now.stages));
        live.complete.set(i64::from(now.complete));
        live.ready.set(i64::from(now.ready));
        live.as_of.set(seconds(now.as_of_ms));
        live.fold_lag.set(seconds(now.fold_lag_ms));
        live.log_lag.set(seconds(now.log_lag_ms));
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector));
        process.register_collector(Box::new(LockHolds(now.holds)));
        #[cfg(tokio_unstable)]
        process.register_collector(Box::new(polls::PollTimes));
        let mut out = String::new();
        // A write to a string can't fail.
        let _ = text::encode_registry(&mut out, &self.ours);
        let _ = text::encode(&mut out, &process);
        match format {
            MetricsFormat::Text => format::as_text(&out),
            MetricsFormat::OpenMetrics => out,
        }
    }

    /// Counters of an answered event.
    pub fn answered(&self, is_coalesced: bool) -> &Transports {
        if is_coalesced { &self.coalesced } else { &self.acknowledged }
    }

    /// Registers the counters of a store's consumed units.
    pub fn register_units(&mut self, name: &'static str, units: UnitCounters) {
        let help = "DynamoDB capacity units consumed, as its replies report";
        self.ours.register(name, help, units);
    }

    /// Number of beats, or of leaves, accepted so far.
    #[must_use]
    pub fn events_total(&self, kind: &'static str) -> u64 {
        self.events.get_or_create(&KindLabel { kind }).get()
    }

    /// Counts a refusal.
    pub fn count_rejection(&self, code: &str) {
        self.rejected.get_or_create(&CodeLabel { code: code.to_string() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_encoded_with_help_and_unit_in_both_formats() {
        let metrics = Metrics::default();
        metrics.events.get_or_create(&KindLabel { kind: "beat" }).inc_by(3);
        metrics.acknowledged.ws.inc();
        let live =
            GaugeValues { viewers: 41, complete: true, as_of_ms: 1_500, ..GaugeValues::default() };
        let series = [
            "housecount_events_total{kind=\"beat\"} 3",
            "housecount_acknowledged_events_total{transport=\"ws\"} 1",
            "housecount_viewers 41",
            "housecount_complete 1",
            "housecount_as_of_timestamp_seconds 1.5",
            concat!("housecount_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ];
        let of_text = [
            "# HELP housecount_events_total Beats and leaves taken in.",
            "# TYPE housecount_events_total counter",
            "# TYPE housecount_build_info gauge",
        ];
        let of_open_metrics = [
            "# HELP housecount_events Beats and leaves taken in.",
            "# TYPE housecount_events counter",
            "# TYPE housecount_build info",
            "# UNIT housecount_as_of_timestamp_seconds seconds",
            "# EOF",
        ];
        for (format, own, others) in [
            (MetricsFormat::Text, &of_text[..], &of_open_metrics[..]),
            (MetricsFormat::OpenMetrics, &of_open_metrics, &of_text),
        ] {
            let text = metrics.encode(live.clone(), format);
            let count = |line: &str| text.lines().filter(|l| *l == line).count();
            assert!(series.iter().chain(own).all(|line| count(line) == 1), "{text}");
            assert!(others.iter().all(|line| count(line) == 0), "{text}");
        }
    }

    #[test]
    fn the_time_for_which_a_lock_is_held_is_a_histogram_by_place() {
        let mut times = HoldTimes { sum_ns: 3_000_000, ..HoldTimes::default() };
        (times.buckets[0], times.buckets[3], times.buckets[13]) = (2, 1, 1);
        let live = GaugeValues { holds: vec![(Hold::List, times)], ..GaugeValues::default() };
        let text = Metrics::default().encode(live, MetricsFormat::Text);
        for line in [
            "# TYPE housecount_lock_hold_seconds histogram",
            "housecount_lock_hold_seconds_bucket{le=\"0.000001\",place=\"list\"} 2",
            "housecount_lock_hold_seconds_bucket{le=\"0.000025\",place=\"list\"} 3",
            "housecount_lock_hold_seconds_bucket{le=\"1.0\",place=\"list\"} 3",
            "housecount_lock_hold_seconds_bucket{le=\"+Inf\",place=\"list\"} 4",
            "housecount_lock_hold_seconds_sum{place=\"list\"} 0.003",
            "housecount_lock_hold_seconds_count{place=\"list\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_described_as_the_system_says() {
        let text = Metrics::default().encode(GaugeValues::default(), MetricsFormat::Text);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).parse::<f64>().unwrap()
        };
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as f64;
        // Other tests open and close files meanwhile.
        assert!(value("process_open_fds") > 0.0 && value("process_open_fds") < open + 1_000.0);
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_threads") >= 1.0);
        let started = value("process_start_time_seconds");
        let now = housecount_backend::clock::wall_clock().0 as f64 / 1_000.0;
        assert!(started <= now + 1.0 && started > now - 86_400.0 * 365.0, "{started} {now}");
    }
}
