//! Cost of this node's calls, and the cost guard that limits it. Consumed units are priced for the
//! last hour and for a month at its rate. Beside them is the cost of the known plans for the same
//! audience.
//!
//! Figures are of this node alone. Each node pays for its own calls, so the figures of several
//! nodes add up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::cold::Cold;
use housecount_backend::log::{Log, LogUsage};
use housecount_backend::meter::{Meter, Purpose};
use housecount_core::limits::COST_GUARD_WARMUP_MS;
use housecount_core::time::UnixMs;
use housecount_core::units::Units;
use housecount_engine::ArchiveFormat;
use housecount_engine::internals::BeatFloor;
use housecount_engine::internals::EngineState;
use housecount_engine::internals::Hub;
use housecount_engine::internals::SnapshotSpacing;
use housecount_metrics::{CostLabel, KindLabel, Metrics, TrafficLabel};
use housecount_net::traffic::{ClientTraffic, ClientTransport};
use parking_lot::Mutex;

use crate::bill::{Usage, UsageSample, UsageWindow, bytes_per_month, per_month};
use crate::guard::{self, BudgetLimit, GuardState, Projection, decide};
use crate::own_usage::{self, Deployment};
use crate::plans::{
    self, ArchiveKind, AudienceProfile, Bill, CostPlan, LogBackend, RedisRequirements,
};
use crate::prices::{CacheEngine, PriceList};
use crate::report::{CostReport, EgressCost, MachineCost, PurposeCost, RedisCost};
use crate::{MONTH_MS, Prices, Usd, share};

/// Size of the disk of a machine: the smallest that the images of Linux distributions ask for.
const MACHINE_DISK_GB: u64 = 8;
/// Number of purposes.
const N: usize = Purpose::ALL.len();

/// Settings of the cost.
#[derive(Clone, Debug)]
pub struct CostSettings {
    /// Content of the file `prices`.
    pub prices: Prices,
    /// `cost.monthly_limit_usd` and `cost.guard`; `None` for a limit of 0.
    pub limit: Option<BudgetLimit>,
    /// `cost.machine`, or the machine by memory; `None` if none is counted.
    pub machine: Option<String>,
}

/// Cost of this node's calls, computed from its meters, and the cost guard.
#[derive(Debug)]
pub struct CostTracker {
    /// Prices of the units.
    pub prices: Prices,
    /// Monthly limit, if one is set.
    pub limit: Option<BudgetLimit>,
    /// Bytes of clients' connections.
    pub traffic: Arc<ClientTraffic>,
    machine: Option<MachineCost>,
    setup: Deployment,
    interval_ms: u64,
    /// Interval that the guard may ask players for.
    slow_ms: u64,
    beat_floor: Arc<BeatFloor>,
    place: LogBackend,
    kept: ArchiveKind,
    cold: Option<Arc<dyn Cold>>,
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    stretch: Arc<SnapshotSpacing>,
    state: Mutex<TrackerState>,
}

#[derive(Debug)]
struct TrackerState {
    since: UnixMs,
    readings: UsageWindow<N>,
    /// Time up to which watch time is added up, and the number of viewers at that time.
    watched: (u64, u64),
    watched_ms: u64,
    stored_bytes: Option<u64>,
    decided: GuardState,
    /// Projected cost of a month when the guard last decided.
    projected: Usd,
}

impl CostTracker {
    /// Starts the count.
    #[must_use]
    pub fn new(cost: &CostSettings, engine: &EngineState) -> CostTracker {
        let (now_ms, settings, log) = (mono_ms(), &engine.settings, engine.log.clone());
        let setup = Deployment {
            window_ms: settings.window_ms,
            snapshot_interval_ms: settings.snapshot_interval_ms,
            snapshot_retention_ms: settings.snapshot_retention_ms,
            archive_flush_ms: settings
                .archive
                .map_or(Deployment::default().archive_flush_ms, |kept| kept.flush_ms),
            ..Deployment::default()
        };
        let place = match log.consumed() {
            LogUsage::Redis(_) => LogBackend::Redis,
            LogUsage::Units(_) => LogBackend::DynamoDb,
            LogUsage::Nothing => LogBackend::Here,
        };
        let kept = settings.archive.map_or(ArchiveKind::Off, |kept| match kept.form {
            ArchiveFormat::Packed => ArchiveKind::Packed,
            ArchiveFormat::Items => ArchiveKind::Items,
        });
        let mut costs = CostTracker {
            prices: cost.prices.clone(),
            limit: cost.limit,
            traffic: Arc::default(),
            machine: cost.machine.as_deref().and_then(|name| machine(&cost.prices, name)),
            setup,
            interval_ms: settings.interval_ms,
            slow_ms: settings.rules.ttl_ms / 3,
            beat_floor: engine.beat_floor.clone(),
            place,
            kept,
            cold: engine.cold.clone(),
            log,
            hub: engine.hub.clone(),
            clock: engine.clock.clone(),
            stretch: engine.snapshot_spacing.clone(),
            state: Mutex::new(TrackerState {
                since: UnixMs::ZERO,
                readings: UsageWindow::new(UsageSample {
                    at_ms: now_ms,
                    units: [Units::default(); N],
                    watched_ms: 0,
                    egress_bytes: 0,
                }),
                watched: (now_ms, 0),
                watched_ms: 0,
                stored_bytes: None,
                decided: GuardState::at(now_ms),
                projected: Usd(0),
            }),
        };
        let units = costs.units();
        let first = UsageSample { at_ms: now_ms, units, watched_ms: 0, egress_bytes: 0 };
        costs.state.get_mut().readings = UsageWindow::new(first);
        costs
    }

    /// Returns the spacing of snapshots as the guard decides it, for the snapshot task.
    #[must_use]
    pub fn stretch(&self) -> Arc<SnapshotSpacing> {
        self.stretch.clone()
    }

    /// Projected cost of a month, if it exceeds the limit.
    #[must_use]
    pub fn exceeded_month(&self) -> Option<Usd> {
        let state = self.state.lock();
        state.decided.is_exceeded.then_some(state.projected)
    }

    /// Refreshes the size of the cold tier's table.
    pub async fn refresh_storage(&self) {
        let Some(cold) = &self.cold else { return };
        // The size is informative only, so a failed read keeps the previous one.
        if let Ok(Some(bytes)) = cold.stored_bytes().await {
            self.state.lock().stored_bytes = Some(bytes);
        }
    }

    /// Takes a reading at `now_ms` on this node's own clock, and lets the guard decide.
    pub fn sample(&self, now_ms: u64) {
        let reading = self.reading(now_ms);
        self.state.lock().readings.push(reading);
        let Some(limit) = self.limit else { return };
        let (figures, spent) = self.figures_at(now_ms);
        if spent.ms < COST_GUARD_WARMUP_MS {
            return;
        }
        let of = |purpose: Purpose| figures.spending[purpose as usize].month;
        let flushed = Units::writes(spent.units[Purpose::Log as usize].writes);
        let flushes = self.prices.units(per_month(flushed, spent.ms), PriceList::Now);
        let egress = figures.egress.month;
        let month = figures.month.plus(egress);
        // Heartbeats are most of the egress, so it falls in proportion to them.
        let egress_unslowed = match figures.decided.is_slowed {
            true => Usd(share(egress.0, self.slow_ms, self.interval_ms)),
            false => egress,
        };
        let snapshots = of(Purpose::Snapshots);
        let projected = Projection { month, snapshots, flushes, egress, egress_unslowed };
        let before = figures.decided;
        let decided = decide(before, projected, limit, now_ms);
        let mut state = self.state.lock();
        (state.decided, state.projected) = (decided, month);
        drop(state);
        self.stretch.set(decided.stretch);
        self.beat_floor.set_ms(if decided.is_slowed { self.slow_ms } else { 0 });
        self.hub.set_extra_delay(self.log.set_append_spacing(guard::flushes(decided.stretch)));
        log_guard_change(before, decided, month, limit);
    }

    fn units(&self) -> [Units; N] {
        let mut units = [Units::default(); N];
        let mut add = |meter: &Meter| {
            for purpose in Purpose::ALL {
                let sum = &mut units[purpose as usize];
                *sum = sum.plus(meter.units(purpose));
            }
        };
        if let Some(cold) = &self.cold {
            add(&cold.meter());
        }
        if let LogUsage::Units(meter) = self.log.consumed() {
            add(&meter);
        }
        units
    }

    fn reading(&self, now_ms: u64) -> UsageSample<N> {
        let viewers = self.hub.totals().value.0.viewers;
        let units = self.units();
        let mut state = self.state.lock();
        if state.since == UnixMs::ZERO {
            state.since = self.clock.now().unwrap_or_default();
        }
        let (at_ms, before) = std::mem::replace(&mut state.watched, (now_ms, viewers));
        let both = before.saturating_add(viewers);
        let watched_ms = both.saturating_mul(now_ms.saturating_sub(at_ms)) / 2;
        state.watched_ms = state.watched_ms.saturating_add(watched_ms);
        let egress_bytes = self.traffic.egress_bytes();
        UsageSample { at_ms: now_ms, units, watched_ms: state.watched_ms, egress_bytes }
    }

    /// Returns all figures as of now.
    #[must_use]
    pub fn figures(&self) -> CostReport {
        self.figures_at(mono_ms()).0
    }

    fn figures_at(&self, now_ms: u64) -> (CostReport, Usage<N>) {
        let reading = self.reading(now_ms);
        let (viewers, stages) = self.hub.totals().value;
        let put_bytes = self.cold.as_ref().map_or(0, |cold| cold.meter().put_bytes());
        let state = self.state.lock();
        let spent = state.readings.last_hour(&reading);
        let cost = |units| self.prices.units(units, PriceList::Now);
        let of = |purpose: Purpose| {
            let (units, hour) = (reading.units[purpose as usize], spent.units[purpose as usize]);
            let month = cost(per_month(hour, spent.ms));
            PurposeCost { purpose, units, usd: cost(units), hour: cost(hour), month }
        };
        let sum =
            |units: &[Units; N]| units.iter().fold(Units::default(), |sum, units| sum.plus(*units));
        let stored_bytes = state.stored_bytes.unwrap_or(put_bytes);
        let audience = AudienceProfile {
            viewers: viewers.viewers,
            stages,
            interval_ms: self.interval_ms,
            ..AudienceProfile::default()
        };
        let (storage, redis) = (self.prices.stored(stored_bytes), self.redis(&audience));
        let fixed = storage.plus(redis.as_ref().map_or(Usd(0), |redis| redis.month));
        let hour = cost(sum(&spent.units));
        let month = cost(per_month(sum(&spent.units), spent.ms)).plus(fixed);
        let month_bytes = bytes_per_month(spent.egress_bytes, spent.ms);
        let egress = EgressCost {
            bytes: reading.egress_bytes,
            month_bytes,
            month: self.prices.egress_month(month_bytes),
        };
        let machine_month = self.machine.as_ref().map_or(Usd(0), |machine| machine.month);
        let figures = CostReport {
            since: state.since,
            as_of: self.clock.now().unwrap_or_default(),
            audience,
            spending: Purpose::ALL.into_iter().map(of).collect(),
            stored_bytes,
            storage,
            total: cost(sum(&reading.units)),
            hour,
            month,
            egress,
            machine: self.machine.clone(),
            whole_month: month.plus(egress.month).plus(machine_month),
            per_million_viewer_hours: per_million(hour, fixed, &spent),
            redis,
            decided: state.decided,
        };
        (figures, spent)
    }

    fn redis(&self, audience: &AudienceProfile) -> Option<RedisCost> {
        let LogUsage::Redis(used) = self.log.consumed() else { return None };
        let node = self.prices.node(CacheEngine::Valkey, used.memory_bytes);
        let commands = own_usage::redis_commands(audience, &self.setup);
        let cpu_permille = own_usage::redis_cpu_permille(audience, &self.setup);
        let needs = RedisRequirements { bytes: used.memory_bytes, commands, cpu_permille };
        let month = needs.month(&self.prices);
        Some(RedisCost { used, node: node.map(|node| node.name.clone()), month })
    }

    /// Returns the cost of each known plan and of this node's own for an audience. The stay is
    /// assumed to be half an hour.
    #[must_use]
    pub fn plans(&self, audience: &AudienceProfile) -> Vec<(CostPlan, Bill)> {
        let own = plans::housecount(audience, &self.setup, self.place, self.kept);
        let all = plans::standard_plans(audience).into_iter().chain([own]);
        all.map(|plan| (plan.bill(&self.prices, PriceList::Now), plan))
            .map(|(bill, plan)| (plan, bill))
            .collect()
    }

    /// Updates `metrics` with the current figures.
    pub fn update_metrics(&self, metrics: &Metrics) {
        let (figures, shown) = (self.figures(), &metrics.cost);
        for of in &figures.spending {
            let label = CostLabel { purpose: of.purpose.name(), store: store_of(of.purpose) };
            shown.usd.get_or_create(&label).set(of.usd.dollars());
            shown.month_usd.get_or_create(&label).set(of.month.dollars());
        }
        shown.total_month_usd.set(figures.month.dollars());
        shown.whole_month_usd.set(figures.whole_month.dollars());
        shown.is_slowed.set(i64::from(figures.decided.is_slowed));
        self.update_traffic(metrics);
        shown.is_exceeded.set(i64::from(figures.decided.is_exceeded));
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        shown.stretch.set(count(figures.decided.stretch));
        let is_flushed = self.place == LogBackend::DynamoDb;
        shown.flush_stretch.set(count(if is_flushed {
            guard::flushes(figures.decided.stretch)
        } else {
            1
        }));
        let used = figures.redis.map(|redis| redis.used).unwrap_or_default();
        shown.redis_commands.set(count(used.commands));
        for (kind, bytes) in [("in", used.bytes_in), ("out", used.bytes_out)] {
            shown.redis_bytes.get_or_create(&KindLabel { kind }).set(count(bytes));
        }
        shown.redis_memory.set(count(used.memory_bytes));
        shown.redis_memory_share.set(used.memory_permille as f64 / 1_000.0);
        shown.redis_evicting.set(i64::from(used.is_evicting));
    }

    /// Copies the counts of bytes, which connections add to.
    fn update_traffic(&self, metrics: &Metrics) {
        for transport in ClientTransport::ALL {
            let (bytes_in, bytes_out) = self.traffic.of(transport).socket_bytes();
            for (direction, bytes) in [("in", bytes_in), ("out", bytes_out)] {
                let label = TrafficLabel { transport: transport.name(), direction };
                let counter = metrics.client_bytes.get_or_create(&label);
                counter.inner().store(bytes, Ordering::Relaxed);
            }
        }
    }
}

/// Returns a machine of the price file, with an address and a disk.
fn machine(prices: &Prices, name: &str) -> Option<MachineCost> {
    let machine = prices.machine(name)?;
    let month =
        machine.month().plus(prices.address_month(1)).plus(prices.disk_month(MACHINE_DISK_GB));
    Some(MachineCost { name: machine.name.clone(), month })
}

/// Store of a purpose's items.
#[must_use]
pub fn store_of(purpose: Purpose) -> &'static str {
    if purpose == Purpose::Log { "log" } else { "cold" }
}

/// Cost of a million viewer hours: the requests of `spent`, and its share of the monthly costs.
fn per_million(requests: Usd, standing_month: Usd, spent: &Usage<N>) -> Option<Usd> {
    if spent.watched_ms == 0 {
        return None;
    }
    let micros = u128::from(requests.0) * u128::from(MONTH_MS)
        + u128::from(standing_month.0) * u128::from(spent.ms);
    // The unit is micro-dollars x ms of a month; an hour has 3,600,000 ms.
    let watched = u128::from(spent.watched_ms).saturating_mul(u128::from(MONTH_MS));
    let per = micros.saturating_mul(3_600_000 * 1_000_000) / watched;
    Some(Usd(u64::try_from(per).unwrap_or(u64::MAX)))
}

/// Logs a change of the guard's state, once per change.
fn log_guard_change(before: GuardState, now: GuardState, month: Usd, limit: BudgetLimit) {
    if now.is_exceeded != before.is_exceeded {
        let limit = limit.month;
        if now.is_exceeded {
            tracing::warn!(%month, %limit, "a month like the last hour would cost more than cost.monthly_limit_usd");
        } else {
            tracing::info!(%month, %limit, "a month like the last hour is within cost.monthly_limit_usd again");
        }
    }
    if now.stretch != before.stretch {
        tracing::info!(
            stretch = now.stretch,
            "the cost guard changed the interval of snapshots and of flushes to a DynamoDB log"
        );
    }
    if now.is_slowed != before.is_slowed {
        tracing::info!(
            is_slowed = now.is_slowed,
            "the cost guard changed the interval of heartbeats"
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::plans::PlanKind;

    use super::*;

    #[test]
    fn a_million_viewer_hours() {
        let spent = |ms, watched_ms| Usage {
            ms,
            units: [Units::default(); N],
            watched_ms,
            egress_bytes: 0,
        };
        // 10,000 viewers for an hour: $0.0016 of requests, and one 730th of $9.34.
        let found =
            per_million(Usd(1_600), Usd(9_344_000), &spent(3_600_000, 36_000_000_000)).unwrap();
        assert!(found.0.abs_diff((1_600 + 12_800) * 100) <= 1, "{found:?}");
        assert_eq!(per_million(Usd(1), Usd(1), &spent(3_600_000, 0)), None);
    }

    #[test]
    fn every_plan_has_a_kind_of_its_own() {
        let kinds: Vec<PlanKind> = plans::standard_plans(&AudienceProfile::default())
            .iter()
            .map(|plan| plan.kind)
            .collect();
        assert_eq!(
            kinds,
            [PlanKind::PureDynamoDb, PlanKind::PureRedis, PlanKind::Hybrid, PlanKind::Batched]
        );
    }
}
