//! Usage and cost of an audience under each well-known plan and under housecount's own. Each plan
//! is a formula, with the rule it comes from.

use housecount_core::limits::WRITE_BATCH_ITEMS;
use housecount_core::units::{INDEX_BYTES, Units, WRITE_BYTES};

use super::own_usage::{self, Deployment, times_a_month};
use super::prices::{PriceList, Prices, Usd};
pub use super::redis_size::RedisRequirements;
use super::wire::usual;
use super::{MONTH_MS, share};

/// Audience whose cost is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudienceProfile {
    /// Concurrent viewers, all month.
    pub viewers: u64,
    /// Number of stages.
    pub stages: u64,
    /// Average time that a viewer stays.
    pub stay_ms: u64,
    /// Time between two heartbeats.
    pub interval_ms: u64,
}

impl Default for AudienceProfile {
    fn default() -> AudienceProfile {
        AudienceProfile { viewers: 10_000, stages: 100, stay_ms: 1_800_000, interval_ms: 30_000 }
    }
}

impl AudienceProfile {
    /// Returns the heartbeats per month.
    #[must_use]
    pub fn beats_a_month(&self) -> u64 {
        share(self.viewers, MONTH_MS, self.interval_ms)
    }

    /// Returns the stays per month.
    #[must_use]
    pub fn stays_a_month(&self) -> u64 {
        share(self.viewers, MONTH_MS, self.stay_ms)
    }

    /// Returns the average CPU of a task with this time per heartbeat, in thousandths of a core.
    #[must_use]
    pub fn beat_cpu_permille(&self, ns: u64) -> u64 {
        share(self.viewers.saturating_mul(ns), 1, self.interval_ms.saturating_mul(1_000))
    }

    /// Returns the hours watched per month, all viewers together.
    #[must_use]
    pub fn viewer_hours(&self) -> u64 {
        self.viewers.saturating_mul(super::MONTH_HOURS)
    }
}

/// Kind of plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// An item per heartbeat, without Redis.
    PureDynamoDb,
    /// Redis only.
    PureRedis,
    /// Redis for live counts, and counts in DynamoDB every five minutes.
    Hybrid,
    /// The hybrid plan, and every heartbeat in DynamoDB, 25 per call.
    Batched,
    /// This program.
    Housecount,
}

impl PlanKind {
    /// Returns the plan's id in the API.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            PlanKind::PureDynamoDb => "pure-dynamodb",
            PlanKind::PureRedis => "pure-redis",
            PlanKind::Hybrid => "hybrid",
            PlanKind::Batched => "batched",
            PlanKind::Housecount => "housecount",
        }
    }
}

/// A plan, and its usage per month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostPlan {
    /// Kind of plan.
    pub kind: PlanKind,
    /// Name for people.
    pub name: &'static str,
    /// Flags with which housecount runs this plan.
    pub run_by: &'static str,
    /// Data lost in the worst single failure.
    pub loses: &'static str,
    /// Units of DynamoDB, by purpose.
    pub parts: Vec<(&'static str, Units)>,
    /// Requirements of Redis, if the plan has one.
    pub redis: Option<RedisRequirements>,
    /// Bytes stored in DynamoDB after a month.
    pub stored_bytes: u64,
}

/// Cost of a plan per month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Cost of DynamoDB's requests.
    pub requests: Usd,
    /// Cost of DynamoDB's storage, after a month.
    pub storage: Usd,
    /// Cost of the smallest Valkey node with enough memory and CPU, or of several or serverless.
    pub redis: Usd,
}

impl Bill {
    /// Returns the sum of all parts.
    #[must_use]
    pub fn total(&self) -> Usd {
        self.requests.plus(self.storage).plus(self.redis)
    }
}

impl CostPlan {
    /// Returns the units of all parts together.
    #[must_use]
    pub fn units(&self) -> Units {
        self.parts.iter().fold(Units::default(), |sum, (_, units)| sum.plus(*units))
    }

    /// Returns the bill at on-demand prices.
    #[must_use]
    pub fn bill(&self, prices: &Prices, list: PriceList) -> Bill {
        let redis = self.redis.map_or(Usd(0), |need| need.month(prices));
        Bill {
            requests: prices.units(self.units(), list),
            storage: prices.stored(self.stored_bytes),
            redis,
        }
    }
}

/// Bytes of a heartbeat as an item: keys with an ARN and a time, and four attributes. This is well
/// below a write unit.
const HEARTBEAT_BYTES: u64 = 230;
/// Bytes of a viewer in Redis the usual way, as a key each: an ARN and an id, with Redis's own
/// overhead.
const KEY_BYTES: u64 = 250;

/// Plan with an item of less than a KB per viewer, which every heartbeat replaces.
///
/// To answer, the server reads the viewer's item (consistently, less than 4 KB). So each heartbeat
/// takes a write unit and a read unit.
#[must_use]
pub fn pure_dynamodb(of: &AudienceProfile) -> CostPlan {
    let beats = of.beats_a_month();
    CostPlan {
        kind: PlanKind::PureDynamoDb,
        name: "pure DynamoDB",
        run_by: "--archive items, for the writes",
        loses: "nothing",
        parts: vec![("heartbeats", Units { writes: beats, read_halves: beats.saturating_mul(2) })],
        redis: None,
        stored_bytes: of.viewers.saturating_mul(HEARTBEAT_BYTES + INDEX_BYTES),
    }
}

fn usual_redis(of: &AudienceProfile) -> RedisRequirements {
    // A SETEX and a count for each heartbeat.
    RedisRequirements {
        bytes: of.viewers.saturating_mul(KEY_BYTES),
        commands: of.beats_a_month().saturating_mul(2),
        cpu_permille: of.beat_cpu_permille(usual::REDIS_BEAT_CPU_NS),
    }
}

/// Plan with a key per viewer, and no data that outlives Redis.
#[must_use]
pub fn pure_redis(of: &AudienceProfile) -> CostPlan {
    CostPlan {
        kind: PlanKind::PureRedis,
        name: "pure Redis",
        run_by: "--log redis: --cold none",
        loses: "all data on a restart",
        parts: Vec::new(),
        redis: Some(usual_redis(of)),
        stored_bytes: 0,
    }
}

/// Plan with Redis, and an item of less than a KB for each stage's count every five minutes. Counts
/// are kept 30 days. The plan has no watch time.
#[must_use]
pub fn hybrid(of: &AudienceProfile) -> CostPlan {
    let counts = of.stages.saturating_mul(times_a_month(SYNC_MS));
    CostPlan {
        kind: PlanKind::Hybrid,
        name: "hybrid",
        run_by: "--log redis: --cold dynamodb:",
        loses: "up to 5 min, and keeps counts only",
        parts: vec![("counts", Units::writes(counts))],
        stored_bytes: counts.saturating_mul(HEARTBEAT_BYTES + INDEX_BYTES),
        ..pure_redis(of)
    }
}

/// Interval at which the hybrid plan writes.
const SYNC_MS: u64 = 300_000;

/// Returns the units of watch records as an item per viewer, as the hybrid plan is often drawn.
/// Each viewer takes a write every five minutes.
#[must_use]
pub fn watch_items(of: &AudienceProfile) -> Units {
    Units::writes(of.viewers.saturating_mul(times_a_month(SYNC_MS)))
}

/// The hybrid plan, and every heartbeat as an item, 25 per BatchWriteItem. DynamoDB bills a batch
/// item by item, each rounded up to a KB, so it takes as many units as single writes.
#[must_use]
pub fn batched(of: &AudienceProfile) -> CostPlan {
    let (beats, counts) = (of.beats_a_month(), hybrid(of));
    CostPlan {
        kind: PlanKind::Batched,
        name: "batched heartbeats",
        run_by: "--archive items",
        loses: "30 s",
        parts: vec![("heartbeats", Units::writes(beats))],
        stored_bytes: beats.saturating_mul(HEARTBEAT_BYTES + INDEX_BYTES),
        ..counts
    }
}

/// Returns the units that descriptions of that plan usually count: one for each KB of a batch's 25
/// items together.
#[must_use]
pub fn batched_as_claimed(of: &AudienceProfile) -> Units {
    let batch = WRITE_BATCH_ITEMS as u64;
    Units::writes(share(of.beats_a_month(), (batch * HEARTBEAT_BYTES).div_ceil(WRITE_BYTES), batch))
}

/// Place of housecount's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBackend {
    /// In this process, or on its disk.
    Here,
    /// In Redis.
    Redis,
    /// In DynamoDB.
    DynamoDb,
}

/// Kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// No archive.
    Off,
    /// Packed chunks.
    Packed,
    /// An item per heartbeat.
    Items,
}

/// This program: the ledger, snapshots, leases, and if wanted an archive or a log in DynamoDB.
#[must_use]
pub fn housecount(
    of: &AudienceProfile,
    setup: &Deployment,
    log: LogBackend,
    kept: ArchiveKind,
) -> CostPlan {
    let mut parts = vec![
        ("ledger", own_usage::ledger(of, setup)),
        ("snapshots", own_usage::snapshots(of, setup)),
        ("leases", own_usage::leases(setup, kept != ArchiveKind::Off)),
    ];
    let mut stored_bytes = own_usage::stored(of, setup, kept == ArchiveKind::Packed);
    match kept {
        ArchiveKind::Off => {}
        ArchiveKind::Packed => parts.push(("archive", own_usage::archive(of, setup))),
        ArchiveKind::Items => {
            let batched = batched(of);
            parts.push(("archive", batched.units()));
            stored_bytes = stored_bytes.saturating_add(batched.stored_bytes);
        }
    }
    if log == LogBackend::DynamoDb {
        // With one node alone the log would be on its disk.
        let setup = Deployment { nodes: setup.nodes.max(2), ..*setup };
        parts.push(("log", own_usage::log(of, &setup)));
        // A packed archive reads a slot at once. An archive of items reads thirty times as often.
        let again = |every_ms| ("log, for the archive", own_usage::log_again(of, &setup, every_ms));
        match kept {
            ArchiveKind::Off => {}
            ArchiveKind::Packed => parts.push(again(setup.archive_flush_ms)),
            ArchiveKind::Items => parts.push(again(setup.archive_flush_ms / 30)),
        }
    }
    let need = || RedisRequirements {
        bytes: own_usage::redis_bytes(of),
        commands: own_usage::redis_commands(of, setup),
        cpu_permille: own_usage::redis_cpu_permille(of, setup),
    };
    let name = match (log, kept != ArchiveKind::Off) {
        (LogBackend::Redis, false) => "housecount",
        (LogBackend::Redis, true) => "housecount, every heartbeat archived",
        (LogBackend::DynamoDb, false) => "housecount without Redis",
        (LogBackend::DynamoDb, true) => "housecount without Redis, archived",
        (LogBackend::Here, false) => "housecount on one node",
        (LogBackend::Here, true) => "housecount on one node, archived",
    };
    let run_by = match (kept, log) {
        (ArchiveKind::Packed, _) => "the same, --archive packed",
        (ArchiveKind::Items, _) => "the same, --archive items",
        (ArchiveKind::Off, LogBackend::Redis) => "--log redis: --cold dynamodb:",
        (ArchiveKind::Off, LogBackend::DynamoDb) => "--log dynamodb: --cold dynamodb:",
        (ArchiveKind::Off, LogBackend::Here) => "--log file: --cold dynamodb:",
    };
    CostPlan {
        kind: PlanKind::Housecount,
        name,
        run_by,
        loses: "no acknowledged event",
        parts,
        redis: (log == LogBackend::Redis).then(need),
        stored_bytes,
    }
}

/// Returns the four well-known plans.
#[must_use]
pub fn standard_plans(of: &AudienceProfile) -> Vec<CostPlan> {
    vec![pure_dynamodb(of), pure_redis(of), hybrid(of), batched(of)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prices::{CacheEngine, ours};

    fn requests(plan: &CostPlan, list: PriceList) -> u64 {
        plan.bill(&ours(), list).requests.0
    }

    /// Computed by hand: 10,000 viewers x 730 h x 120 = 876 million heartbeats.
    #[test]
    fn the_four_plans_are_as_by_hand() {
        let of = AudienceProfile::default();
        assert_eq!(of.beats_a_month(), 876_000_000);
        let pure = pure_dynamodb(&of);
        assert_eq!(requests(&pure, PriceList::Before), 1_314_000_000);
        assert_eq!(requests(&pure, PriceList::Now), 657_000_000);
        assert_eq!(pure.bill(&ours(), PriceList::Now).total(), Usd(657_000_000));
        let redis = pure_redis(&of).bill(&ours(), PriceList::Now);
        assert_eq!((redis.total(), redis.redis), (Usd(9_344_000), Usd(9_344_000)));
        // 100 stages x 8,760.
        assert_eq!(requests(&hybrid(&of), PriceList::Now), 547_500);
        assert_eq!(requests(&hybrid(&of), PriceList::Before), 1_095_000);
        assert_eq!(requests(&batched(&of), PriceList::Now), 547_500_000);
        assert_eq!(requests(&batched(&of), PriceList::Before), 1_095_000_000);
        // 876 million x 330 bytes are 269.2 GiB, of which 25 are free of charge.
        assert_eq!(batched(&of).bill(&ours(), PriceList::Now).storage, Usd(61_056_682));
    }

    /// 33,333 heartbeats per second take Redis 1.86 cores the usual way.
    #[test]
    fn redis_is_chosen_by_its_cpu_too() {
        let of = AudienceProfile { viewers: 1_000_000, ..AudienceProfile::default() };
        let needs = pure_redis(&of).redis.unwrap();
        assert_eq!(needs.cpu_permille, 1_857);
        let month = pure_redis(&of).bill(&ours(), PriceList::Now).redis;
        assert_eq!(month, Usd(5 * 18_688_000), "five t4g.small, not a t4g.micro");
        let own = housecount(&of, &Deployment::default(), LogBackend::Redis, ArchiveKind::Off);
        assert_eq!(own.redis.unwrap().cpu_permille, 20);
    }

    #[test]
    fn what_is_claimed_is_computed() {
        let (of, prices) = (AudienceProfile::default(), ours());
        // 10,000 viewers x 8,760 writes.
        assert_eq!(prices.units(watch_items(&of), PriceList::Now), Usd(54_750_000));
        assert_eq!(prices.units(watch_items(&of), PriceList::Before), Usd(109_500_000));
        // 25 items of 230 bytes are 6 KB, which would be 6 units instead of 25.
        assert_eq!(batched_as_claimed(&of).writes, 876_000_000 * 6 / 25);
    }

    #[test]
    fn ours_is_below_what_it_must_be() {
        let (of, setup, prices) = (AudienceProfile::default(), Deployment::default(), ours());
        let plan = housecount(&of, &setup, LogBackend::Here, ArchiveKind::Packed);
        assert!(
            requests(&plan, PriceList::Now) <= 1_200_000,
            "{:?}",
            plan.bill(&prices, PriceList::Now)
        );
        let archive = prices.units(own_usage::archive(&of, &setup), PriceList::Now);
        assert!(archive <= Usd(350_000), "{archive}");
        let redis = housecount(&of, &setup, LogBackend::Redis, ArchiveKind::Off);
        assert_eq!(
            prices.node(CacheEngine::Valkey, redis.redis.unwrap().bytes).unwrap().name,
            "cache.t4g.micro"
        );
    }

    fn all(of: &AudienceProfile) -> Vec<CostPlan> {
        let setup = Deployment::default();
        let mut plans = standard_plans(of);
        for log in [LogBackend::Here, LogBackend::Redis, LogBackend::DynamoDb] {
            plans.extend(
                [ArchiveKind::Off, ArchiveKind::Packed, ArchiveKind::Items]
                    .map(|kept| housecount(of, &setup, log, kept)),
            );
        }
        plans
    }

    proptest! {
        #[test]
        fn more_viewers_never_cost_less(
            viewers in 0u64..20_000_000, more in 0u64..100_000, stages in 0u64..100_000,
            stay_ms in 60_000u64..86_400_000, interval_ms in 1_000u64..120_000,
        ) {
            let (prices, of) = (ours(), AudienceProfile { viewers, stages, stay_ms, interval_ms });
            let larger = AudienceProfile { viewers: viewers + more, ..of };
            for (one, other) in all(&of).iter().zip(&all(&larger)) {
                for list in [PriceList::Now, PriceList::Before] {
                    let (one, other) = (one.bill(&prices, list), other.bill(&prices, list));
                    prop_assert!(one.requests <= other.requests && one.storage <= other.storage);
                }
                prop_assert!(prices.provisioned(one.units()) <= prices.provisioned(other.units()));
                prop_assert!(one.redis.map(|need| need.bytes) <= other.redis.map(|need| need.bytes));
            }
        }

        #[test]
        fn no_number_is_too_large(viewers: u64, stages: u64, stay_ms: u64, interval_ms: u64) {
            let of = AudienceProfile { viewers, stages, stay_ms, interval_ms };
            for plan in all(&of) {
                let _ = plan.bill(&ours(), PriceList::Before).total();
            }
        }
    }
}
