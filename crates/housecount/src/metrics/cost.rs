//! Of `housecount_cost_*` and `housecount_redis_*`. Set at each scrape, from what `crate::cost`
//! reckons.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{CostLabel, KindLabel};
use super::list::metrics;

/// A figure that may be a fraction.
type Figure = Gauge<f64, AtomicU64>;

metrics! {
    /// What this node's calls have cost, and what a month of them would.
    pub struct CostMetrics {
        /// What this node's calls have cost so far
        usd: "cost_usd" => Family<CostLabel, Figure>,
        /// What a month like the last hour costs
        month_usd: "cost_month_usd" => Family<CostLabel, Figure>,
        /// The same, with storage and Redis
        total_month_usd: "cost_total_month_usd" => Figure,
        /// 1 if that is above cost.monthly_limit_usd
        is_exceeded: "cost_limit_exceeded" => Gauge,
        /// How many times as far apart the cost guard has snapshots taken
        stretch: "cost_stretch" => Gauge,
        /// How many flushes to a log in DynamoDB the cost guard has made one
        flush_stretch: "cost_flush_stretch" => Gauge,
        /// Commands this node has sent to Redis
        redis_commands: "redis_commands" => Gauge,
        /// Bytes of what Redis was sent and has answered, without its protocol
        redis_bytes: "redis_payload" in Bytes => Family<KindLabel, Gauge>,
        /// What Redis has in memory, as it last said
        redis_memory: "redis_memory" in Bytes => Gauge,
        /// The same of its fullest server, as a share of its maxmemory; 0 where it has none
        redis_memory_share: "redis_memory_used_ratio" => Figure,
        /// 1 if its maxmemory-policy may evict the log
        redis_evicting: "redis_evicting" => Gauge,
    }
}

impl CostMetrics {
    /// Shows them all.
    pub(super) fn register_all(&self, registry: &mut Registry) {
        self.register(registry);
    }
}
