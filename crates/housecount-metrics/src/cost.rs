//! Metrics `housecount_cost_*` and `housecount_redis_*`. Each scrape sets them from the figures of
//! `housecount_cost`.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{CostLabel, KindLabel};
use super::list::metrics;

/// A gauge with fractions.
type Figure = Gauge<f64, AtomicU64>;

metrics! {
    /// Cost of this node's calls so far, and of a month of them.
    pub struct CostMetrics {
        /// Cost of this node's calls so far
        usd: "cost_usd" => Family<CostLabel, Figure>,
        /// Cost of a month at the rate of the last hour
        month_usd: "cost_month_usd" => Family<CostLabel, Figure>,
        /// Cost of a month at that rate, with storage and Redis
        total_month_usd: "cost_total_month_usd" => Figure,
        /// Cost of a month at that rate, with bytes to clients and the machine too
        whole_month_usd: "cost_whole_month_usd" => Figure,
        /// 1 if a month's calls and bytes cost more than cost.monthly_limit_usd
        is_exceeded: "cost_limit_exceeded" => Gauge,
        /// Factor by which the cost guard spaces snapshots
        stretch: "cost_stretch" => Gauge,
        /// 1 if the cost guard has asked players for a heartbeat every ttl/3 only
        is_slowed: "cost_beats_slowed" => Gauge,
        /// Number of flushes to a log in DynamoDB that the cost guard merges into one
        flush_stretch: "cost_flush_stretch" => Gauge,
        /// Commands that this node has sent to Redis
        redis_commands: "redis_commands" => Gauge,
        /// Bytes sent to Redis and answered by it, without its protocol
        redis_bytes: "redis_payload" in Bytes => Family<KindLabel, Gauge>,
        /// Memory that Redis uses, by its last answer
        redis_memory: "redis_memory" in Bytes => Gauge,
        /// Memory of the fullest Redis server as a share of its maxmemory; 0 without a maxmemory
        redis_memory_share: "redis_memory_used_ratio" => Figure,
        /// 1 if the maxmemory-policy of Redis may evict the log
        redis_evicting: "redis_evicting" => Gauge,
    }
}

impl CostMetrics {
    /// Registers all metrics.
    pub(super) fn register_all(&self, registry: &mut Registry) {
        self.register(registry);
    }
}
