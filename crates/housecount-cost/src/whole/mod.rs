//! The whole monthly bill of an audience: machines, disks, bytes, balancer, addresses, DNS, Redis
//! and DynamoDB.

use housecount_core::units::Units;

use super::own_usage::Deployment;
use super::plans::{self, ArchiveKind, AudienceProfile, CostPlan, LogBackend};
use super::prices::infrastructure::GB;
use super::prices::{CacheEngine, PriceList, Prices, Usd};
use super::redis_size::RedisRequirements;
use super::sizing::{Demand, Fleet, fleet};
use super::wire::{self, PlayerTransport, usual};
use super::{MONTH_HOURS, MONTH_MS, share};

const MONTH_SECONDS: u64 = MONTH_HOURS * 3_600;
/// Size of a machine's disk, GB. The operating system needs most of it.
const DISK_GB: u64 = 8;
/// Zones over which machines are spread.
const ZONES: u64 = 3;
/// Zones in which a balancer has an address.
const BALANCER_ADDRESSES: u64 = 2;
/// Viewers per DNS resolver, and the time for which a resolver keeps an answer. Assumptions: a
/// resolver of a provider serves many viewers, and the records have a TTL of five minutes.
const RESOLVER_VIEWERS: u64 = 200;
const DNS_TTL_SECONDS: u64 = 300;

/// Entry between players and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// DNS alone: each node has an address, and a health check.
    None,
    /// Network Load Balancer with a TCP listener.
    Nlb,
    /// Application Load Balancer.
    Alb,
    /// CloudFront, paid as you go.
    CloudFront,
}

impl Front {
    /// Returns the name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Front::None => "DNS",
            Front::Nlb => "NLB",
            Front::Alb => "ALB",
            Front::CloudFront => "CloudFront",
        }
    }
}

/// Audience, and how it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholePlan {
    /// Audience that is counted.
    pub of: AudienceProfile,
    /// Way in which players send heartbeats.
    pub transport: PlayerTransport,
    /// Entry between players and nodes.
    pub front: Front,
    /// Number of nodes; `None` for as few as possible, of which one may fail.
    pub nodes: Option<u64>,
    /// Place of the log; `None` for the cheaper of Redis and DynamoDB.
    pub log: Option<LogBackend>,
    /// Concurrent onlookers of live counts, each on one busy stage.
    pub lookers: u64,
    /// Time between two events of an onlooker's stage.
    pub every_ms: u64,
    /// Percentage of stays whose browser still has a TLS ticket of an earlier stay.
    pub returning_percent: u64,
}

impl Default for WholePlan {
    fn default() -> WholePlan {
        WholePlan {
            of: AudienceProfile::default(),
            transport: PlayerTransport::Ws,
            front: Front::None,
            nodes: None,
            log: None,
            lookers: 0,
            every_ms: 1_000,
            returning_percent: 50,
        }
    }
}

/// Traffic of a month between players and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes to players.
    pub bytes_out: u64,
    /// Bytes from players.
    pub bytes_in: u64,
    /// New connections.
    pub connections: u64,
    /// Requests, as a content delivery network counts them.
    pub requests: u64,
}

/// Line of the whole bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillLine {
    /// Id for programs.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Quantity that is paid for.
    pub detail: String,
    /// Cost of a month.
    pub month: Usd,
}

/// The whole bill of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeBill {
    /// All lines, the same ones in each bill.
    pub lines: Vec<BillLine>,
    /// Number of machines.
    pub nodes: u64,
    /// Type of each machine.
    pub machine: String,
    /// Place of the log.
    pub log: LogBackend,
    /// Traffic between players and nodes.
    pub traffic: Traffic,
    /// Units of DynamoDB, which the bill charges on demand.
    pub units: Units,
    /// Hours watched per month, all viewers together.
    pub viewer_hours: u64,
}

impl WholeBill {
    /// Returns the sum of all lines.
    #[must_use]
    pub fn total(&self) -> Usd {
        self.lines.iter().fold(Usd(0), |sum, line| sum.plus(line.month))
    }

    /// Returns each line's share in whole percent. The shares sum to 100: those with the largest
    /// remainders are rounded up. All are 0 if the bill is.
    #[must_use]
    pub fn shares(&self) -> Vec<u64> {
        let total = u128::from(self.total().0).max(1);
        let parts: Vec<u128> =
            self.lines.iter().map(|line| u128::from(line.month.0) * 100).collect();
        let mut shares: Vec<u64> =
            parts.iter().map(|part| u64::try_from(part / total).unwrap_or(0)).collect();
        let mut by_rest: Vec<usize> = (0..parts.len()).collect();
        by_rest.sort_by_key(|n| std::cmp::Reverse(parts[*n] % total));
        let sum: u64 = shares.iter().sum();
        let left = if self.total() == Usd(0) { 0 } else { 100_u64.saturating_sub(sum) };
        for n in by_rest.into_iter().take(usize::try_from(left).unwrap_or(0)) {
            shares[n] += 1;
        }
        shares
    }

    /// Returns the sum of all lines with provisioned instead of on-demand capacity of DynamoDB.
    #[must_use]
    pub fn provisioned_total(&self, prices: &Prices) -> Usd {
        let on_demand = prices.units(self.units, PriceList::Now);
        Usd(self.total().0.saturating_sub(on_demand.0)).plus(prices.provisioned(self.units))
    }

    /// Returns the cost of a million viewer hours; `None` if no viewer watched.
    #[must_use]
    pub fn per_million_viewer_hours(&self) -> Option<Usd> {
        (self.viewer_hours > 0).then(|| Usd(share(self.total().0, 1_000_000, self.viewer_hours)))
    }
}

fn mix(n: u64, percent: u64, of: u64, other: u64) -> u64 {
    let some = share(n, percent.min(100), 100);
    let others = n.saturating_sub(some);
    some.saturating_mul(of).saturating_add(others.saturating_mul(other))
}

/// Returns the traffic of a month of players and onlookers.
#[must_use]
pub fn traffic(plan: &WholePlan) -> Traffic {
    let (of, bytes) = (&plan.of, plan.transport.bytes());
    let onlookers = AudienceProfile { viewers: plan.lookers, ..*of };
    let stays = of.stays_a_month().saturating_add(onlookers.stays_a_month());
    let events = share(plan.lookers, MONTH_MS, plan.every_ms);
    let beats = of.beats_a_month();
    let stays_out = mix(stays, plan.returning_percent, bytes.return_out, bytes.first_out);
    let requests = match plan.transport {
        // A connection is one request, and a leave goes over it.
        PlayerTransport::Ws => stays,
        // A leave is a request, and so is an onlooker's stream.
        PlayerTransport::H2 | PlayerTransport::H1 => beats.saturating_add(stays),
    };
    Traffic {
        bytes_out: beats
            .saturating_mul(bytes.beat_out)
            .saturating_add(stays_out)
            .saturating_add(events.saturating_mul(wire::LIVE_EVENT_OUT)),
        bytes_in: beats
            .saturating_mul(bytes.beat_in)
            .saturating_add(stays.saturating_mul(bytes.stay_in))
            .saturating_add(events.saturating_mul(wire::LIVE_EVENT_IN)),
        connections: stays,
        requests,
    }
}

/// Returns the demand of the plan on its machines.
fn demand(plan: &WholePlan, traffic: &Traffic) -> Demand {
    let of = &plan.of;
    let sockets = of.viewers.saturating_add(plan.lookers);
    let handshakes = share(traffic.connections, wire::HANDSHAKE_CPU_NS, MONTH_SECONDS) / 1_000_000;
    let follow = of.beat_cpu_permille(wire::FOLLOW_CPU_NS);
    Demand {
        bytes_each: of.viewers.saturating_mul(wire::VIEWER_BYTES),
        bytes_shared: sockets.saturating_mul(plan.transport.socket_bytes()),
        cpu_each: wire::IDLE_CPU_PERMILLE.saturating_add(follow),
        cpu_shared: of.beat_cpu_permille(plan.transport.beat_cpu_ns()).saturating_add(handshakes),
    }
}

/// Returns the bytes per month between nodes and a Redis of another zone.
fn crossing(of: &AudienceProfile, nodes: u64) -> u64 {
    let beats = share(of.viewers, 1_000, of.interval_ms);
    let appends = beats.min(nodes.saturating_mul(wire::REDIS_APPENDS_MAX));
    // Each heartbeat is appended once, and read by each node.
    let copies = nodes.saturating_add(1);
    let a_second = nodes
        .saturating_mul(wire::REDIS_IDLE_BYTES)
        .saturating_add(appends.saturating_mul(wire::REDIS_APPEND_BYTES))
        .saturating_add(share(beats.saturating_mul(copies), wire::REDIS_BEAT_DECIBYTES, 10));
    let elsewhere = nodes.saturating_sub(nodes.div_ceil(ZONES));
    share(a_second.saturating_mul(MONTH_SECONDS), elsewhere, nodes)
}

/// Formats a quantity in units of this size, with a decimal place.
fn in_units(n: u64, unit: u64) -> String {
    let tenths = share(n, 10, unit);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Formats bytes as GB of 2^30 bytes.
fn gigabytes(bytes: u64) -> String {
    if bytes == 0 { "none".to_string() } else { format!("{} GB", in_units(bytes, GB)) }
}

/// Lines of the machines and of all that comes with their number.
fn machine_lines(prices: &Prices, front: Front, fleet: &Fleet<'_>) -> Vec<BillLine> {
    let Fleet { machine, nodes } = *fleet;
    let addresses = match front {
        Front::None | Front::CloudFront => nodes,
        Front::Nlb | Front::Alb => BALANCER_ADDRESSES,
    };
    let line = |id, name, detail, month| BillLine { id, name, detail, month };
    let (month, disk) = (machine.month().times(nodes), prices.disk_month(DISK_GB));
    vec![
        line("machines", "machines", format!("{nodes} x {}", machine.name), month),
        line("disks", "disks", format!("{nodes} x {DISK_GB} GB"), disk.times(nodes)),
        line(
            "addresses",
            "public addresses",
            format!("{addresses} x IPv4"),
            prices.address_month(addresses),
        ),
    ]
}

/// Lines of the traffic: bytes to the internet, the entry, and DNS.
fn traffic_lines(prices: &Prices, plan: &WholePlan, of: &Traffic, nodes: u64) -> Vec<BillLine> {
    let line = |id, name, detail, month| BillLine { id, name, detail, month };
    let sockets = plan.of.viewers.saturating_add(plan.lookers);
    let bytes = of.bytes_out.saturating_add(of.bytes_in);
    let egress = match plan.front {
        Front::CloudFront => prices.cdn.egress_month(of.bytes_out),
        Front::None | Front::Nlb | Front::Alb => prices.egress_month(of.bytes_out),
    };
    let (detail, front) = match plan.front {
        Front::None => ("none".to_string(), Usd(0)),
        Front::Nlb => {
            ("NLB, TCP".to_string(), prices.balancer.nlb.month(of.connections, sockets, bytes))
        }
        Front::Alb => {
            ("ALB".to_string(), prices.balancer.alb.month(of.connections, sockets, bytes))
        }
        Front::CloudFront => {
            let millions = in_units(of.requests, 1_000_000);
            let detail = format!("CloudFront, {millions} million requests");
            (detail, prices.cdn.requests_month(of.requests, of.bytes_in))
        }
    };
    // Queries for an alias of AWS's own endpoints are free of charge, and they need no check.
    let has_records = plan.front == Front::None;
    let resolvers = sockets.div_ceil(RESOLVER_VIEWERS);
    let queries = resolvers.saturating_mul(MONTH_SECONDS / DNS_TTL_SECONDS).min(of.connections);
    let (queries, checks) = if has_records { (queries, nodes) } else { (0, 0) };
    let dns = match plan.front {
        Front::None => {
            format!("1 zone, {checks} checks, {} million queries", in_units(queries, 1_000_000))
        }
        Front::Nlb | Front::Alb | Front::CloudFront => "1 zone".to_string(),
    };
    vec![
        line("egress", "bytes to the internet", gigabytes(of.bytes_out), egress),
        line("balancer", "balancer", detail, front),
        line("dns", "DNS", dns, prices.dns.month(queries, checks)),
    ]
}

/// Lines of the stores, and of the bytes between zones on the way to Redis.
fn store_lines(prices: &Prices, store: &CostPlan, crossing: u64) -> Vec<BillLine> {
    let line = |id, name, detail, month| BillLine { id, name, detail, month };
    let bill = store.bill(prices, PriceList::Now);
    let units = format!("{} million write units", in_units(store.units().writes, 1_000_000));
    let dynamodb = bill.requests.plus(bill.storage);
    vec![
        line("redis", "Redis", redis_detail(prices, store.redis.as_ref()), bill.redis),
        line("dynamodb", "DynamoDB", units, dynamodb),
        line("zones", "cross-zone traffic", gigabytes(crossing), prices.crossing_month(crossing)),
    ]
}

fn redis_detail(prices: &Prices, needs: Option<&RedisRequirements>) -> String {
    let Some(needs) = needs else { return "none".to_string() };
    match needs.nodes(prices, CacheEngine::Valkey) {
        Some(nodes) if nodes.month() == needs.month(prices) => {
            format!("{} x {}", nodes.count, nodes.node.name)
        }
        _ => "serverless Valkey".to_string(),
    }
}

fn bill(
    prices: &Prices,
    plan: &WholePlan,
    fleet: &Fleet<'_>,
    traffic: Traffic,
    store: &CostPlan,
    crossing: u64,
) -> WholeBill {
    let mut lines = traffic_lines(prices, plan, &traffic, fleet.nodes);
    lines.extend(machine_lines(prices, plan.front, fleet));
    lines.extend(store_lines(prices, store, crossing));
    WholeBill {
        lines,
        nodes: fleet.nodes,
        machine: fleet.machine.name.clone(),
        log: if store.redis.is_some() { LogBackend::Redis } else { LogBackend::DynamoDb },
        traffic,
        units: store.units(),
        viewer_hours: plan.of.viewer_hours(),
    }
}

/// Returns the whole bill of housecount; `None` if no machine of the price file is large enough.
#[must_use]
pub fn housecount(prices: &Prices, plan: &WholePlan) -> Option<WholeBill> {
    let traffic = traffic(plan);
    let fleet = fleet(prices, &demand(plan, &traffic), plan.nodes)?;
    let setup = Deployment { nodes: fleet.nodes, ..Deployment::default() };
    let with = |log| {
        let store = plans::housecount(&plan.of, &setup, log, ArchiveKind::Off);
        let is_redis = log == LogBackend::Redis;
        let crossing = if is_redis { crossing(&plan.of, fleet.nodes) } else { 0 };
        bill(prices, plan, &fleet, traffic, &store, crossing)
    };
    match plan.log {
        Some(log) => Some(with(log)),
        None => {
            let bills = [LogBackend::DynamoDb, LogBackend::Redis].map(with);
            bills.into_iter().min_by_key(WholeBill::total)
        }
    }
}

/// Returns the whole bill of the usual way: Express behind an ALB, and a key per viewer in Redis.
///
/// Every five minutes it writes counts and a watch record per viewer to DynamoDB. Records that
/// accumulate over months are left out.
#[must_use]
pub fn usual_way(prices: &Prices, plan: &WholePlan) -> Option<WholeBill> {
    let of = &plan.of;
    let plan = WholePlan { transport: PlayerTransport::H2, front: Front::Alb, lookers: 0, ..*plan };
    let own = traffic(&plan);
    let beats = of.beats_a_month();
    let answers =
        own.bytes_out.saturating_sub(beats.saturating_mul(PlayerTransport::H2.bytes().beat_out));
    let answers = answers.saturating_add(beats.saturating_mul(usual::BEAT_OUT));
    let traffic = Traffic { bytes_out: answers, ..own };
    // The balancer keeps the players' connections and does their handshakes.
    let demand = Demand {
        bytes_each: usual::PROCESS_BYTES,
        bytes_shared: 0,
        cpu_each: 0,
        cpu_shared: of.beat_cpu_permille(usual::BEAT_CPU_NS),
    };
    let fleet = fleet(prices, &demand, None)?;
    let mut store = plans::hybrid(of);
    store.parts.push(("watch records", plans::watch_items(of)));
    Some(bill(prices, &plan, &fleet, traffic, &store, 0))
}

#[cfg(test)]
mod tests;
