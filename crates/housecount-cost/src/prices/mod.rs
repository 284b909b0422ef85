//! Every price, from one dated file (`prices.toml`, with the source of each).
//!
//! The file is parsed outside this crate. This module has the types of its content, and computes
//! the cost of a quantity. [`infrastructure`] has the types of machines and bytes.

mod file;
pub mod infrastructure;

use housecount_core::units::Units;
use serde::Deserialize;

use self::infrastructure::{
    AddressPrice, BalancerPrices, CdnPrices, DiskPrice, DnsPrices, EgressPrices, GB, Machine,
    NatPrices, ZonePrice,
};
pub use super::money::Usd;
use super::{MONTH_HOURS, share};

/// Prices that come with this program: a TOML text of [`Prices`].
pub const DEFAULT_PRICES: &str = include_str!("../prices.toml");
/// Version of DynamoDB's list prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceList {
    /// Since November 2024.
    Now,
    /// Until November 2024.
    Before,
}

/// All prices of a region.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "file::PriceFile")]
pub struct Prices {
    /// Region and date, for people.
    pub name: String,
    /// DynamoDB, on demand.
    pub dynamodb: OnDemand,
    /// DynamoDB, by provisioned capacity.
    pub provisioned: Provisioned,
    /// DynamoDB's storage.
    pub storage: Storage,
    /// Redis that scales by itself.
    pub serverless: Serverless,
    /// IVS, whose audience housecount counts.
    pub ivs: Ivs,
    /// Redis nodes, of each engine the smaller ones first.
    pub node: Vec<RedisNode>,
    /// Bytes to the internet.
    pub egress: EgressPrices,
    /// Prices of balancers.
    pub balancer: BalancerPrices,
    /// Virtual machines.
    pub machine: Vec<Machine>,
    /// Price of a public address.
    pub address: AddressPrice,
    /// Bytes between zones.
    pub zone: ZonePrice,
    /// Content delivery network.
    pub cdn: CdnPrices,
    /// Prices of a NAT gateway.
    pub nat: NatPrices,
    /// Prices of DNS.
    pub dns: DnsPrices,
    /// Price of a disk.
    pub disk: DiskPrice,
    /// Sections that the file does not have. Their prices are those that come with this program.
    pub builtin_sections: Vec<&'static str>,
}

/// Prices of DynamoDB on demand, per million units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnDemand {
    /// Write request units.
    pub write_million: Usd,
    /// Read request units.
    pub read_million: Usd,
    /// Write request units until November 2024.
    pub write_million_before: Usd,
    /// Read request units until November 2024.
    pub read_million_before: Usd,
}

/// Prices of DynamoDB by provisioned capacity, per unit and hour.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioned {
    /// A write unit.
    pub write_hour: Usd,
    /// A read unit.
    pub read_hour: Usd,
    /// Write units free of charge.
    pub write_free: u64,
    /// Read units free of charge.
    pub read_free: u64,
}

/// Prices of DynamoDB's storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Price per GB and month.
    pub gb_month: Usd,
    /// GB free of charge.
    pub gb_free: u64,
}

/// Prices of ElastiCache Serverless.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serverless {
    /// Price per GB (10^9 bytes) and hour.
    pub gb_hour: Usd,
    /// Minimum of bytes that are charged.
    pub bytes_min: u64,
    /// Price per million ElastiCache processing units. Each is a command, or a KB of one.
    pub ecpu_million: Usd,
}

/// Price of IVS real-time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ivs {
    /// Price per participant and hour.
    pub participant_hour: Usd,
}

/// Server that a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheEngine {
    /// Valkey, the fork of Redis.
    Valkey,
    /// Redis OSS.
    Redis,
}

/// An ElastiCache node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisNode {
    /// Node type.
    pub name: String,
    /// Server that it runs.
    pub engine: CacheEngine,
    /// Price per hour.
    pub hour: Usd,
    /// `maxmemory` of the node.
    pub bytes_max: u64,
    /// CPU that Redis may use all day, in percent of a core. A file may leave it out.
    pub cpu_percent: Option<u64>,
}

impl RedisNode {
    /// Returns the price of a month.
    #[must_use]
    pub fn month(&self) -> Usd {
        self.hour.times(MONTH_HOURS)
    }

    /// Returns the CPU that Redis may use all day, in thousandths of a core. An unknown node type
    /// has one core, because Redis runs commands on one thread.
    #[must_use]
    pub fn cpu_permille(&self) -> u64 {
        self.cpu_percent.unwrap_or(100).saturating_mul(10)
    }
}

impl Prices {
    /// Checks prices that were parsed.
    ///
    /// # Errors
    /// Returns a message with the key and the problem.
    pub fn check(&self) -> Result<(), String> {
        for engine in [CacheEngine::Valkey, CacheEngine::Redis] {
            let sizes: Vec<u64> = self
                .node
                .iter()
                .filter(|node| node.engine == engine)
                .map(|node| node.bytes_max)
                .collect();
            if sizes.is_empty() {
                return Err(format!("`node`: no entry has engine = \"{}\"", engine.name()));
            }
            if !sizes.is_sorted() {
                return Err(format!(
                    "`node`: the entries of {} are not sorted by bytes_max",
                    engine.name()
                ));
            }
        }
        infrastructure::check(&self.egress, &self.cdn, &self.balancer, &self.machine)
    }

    /// Returns the cost of a month in which `bytes` go to the internet, by the price ranges.
    #[must_use]
    pub fn egress_month(&self, bytes: u64) -> Usd {
        self.egress.month(bytes)
    }

    /// Returns the machine of this name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machine.iter().find(|machine| machine.name == name)
    }

    /// Returns the cheapest machine with at least this much memory. A running node finds its own
    /// machine by the memory that its kernel reports.
    #[must_use]
    pub fn machine_of(&self, bytes: u64) -> Option<&Machine> {
        let fits = self.machine.iter().filter(|machine| machine.bytes >= bytes);
        fits.min_by_key(|machine| machine.hour)
    }

    /// Returns the cost of a month of `n` public addresses.
    #[must_use]
    pub fn address_month(&self, n: u64) -> Usd {
        self.address.hour.times(MONTH_HOURS).times(n)
    }

    /// Returns the cost of a month of a disk of `gb` GB.
    #[must_use]
    pub fn disk_month(&self, gb: u64) -> Usd {
        self.disk.gb_month.times(gb)
    }

    /// Returns the cost of `bytes` that one machine sends to another zone or receives from it.
    #[must_use]
    pub fn crossing_month(&self, bytes: u64) -> Usd {
        Usd(share(bytes, self.zone.gb.0, GB))
    }

    /// Returns the cost of units on demand, rounded once.
    #[must_use]
    pub fn units(&self, units: Units, list: PriceList) -> Usd {
        let of = &self.dynamodb;
        let (write, read) = match list {
            PriceList::Now => (of.write_million, of.read_million),
            PriceList::Before => (of.write_million_before, of.read_million_before),
        };
        let halves = u128::from(units.writes) * 2 * u128::from(write.0)
            + u128::from(units.read_halves) * u128::from(read.0);
        Usd(u64::try_from((halves + 1_000_000) / 2_000_000).unwrap_or(u64::MAX))
    }

    /// Returns the storage cost of `bytes` per month, if they are the only data of the account.
    #[must_use]
    pub fn stored(&self, bytes: u64) -> Usd {
        let free = self.storage.gb_free.saturating_mul(1 << 30);
        Usd(share(bytes.saturating_sub(free), self.storage.gb_month.0, 1 << 30))
    }

    /// Returns the cost of provisioned capacity for `units` per month at an even rate, used to
    /// [`UTILIZATION_PERCENT`]. Capacity is whole units per second.
    #[must_use]
    pub fn provisioned(&self, units: Units) -> Usd {
        let seconds = MONTH_HOURS * 3_600;
        let needed = |a_month: u64, halves: u64| {
            let a_month = a_month.saturating_mul(100);
            a_month.div_ceil(seconds * halves * UTILIZATION_PERCENT)
        };
        let of = &self.provisioned;
        let write = needed(units.writes, 1).saturating_sub(of.write_free);
        let read = needed(units.read_halves, 2).saturating_sub(of.read_free);
        let an_hour = of.write_hour.times(write).plus(of.read_hour.times(read));
        an_hour.times(MONTH_HOURS)
    }

    /// Returns the utilization, in percent rounded up, above which provisioned writes are cheaper
    /// than on-demand writes.
    #[must_use]
    pub fn provisioned_wins_at_percent(&self) -> u64 {
        // A unit that is used all the time makes 3,600 requests per hour.
        let on_demand_hour = u128::from(self.dynamodb.write_million.0) * 3_600;
        let hour = u128::from(self.provisioned.write_hour.0) * 1_000_000 * 100;
        u64::try_from(hour.div_ceil(on_demand_hour.max(1))).unwrap_or(u64::MAX)
    }

    /// Returns the smallest node that holds `bytes` with [`HEADROOM`], or `None` if no node does.
    #[must_use]
    pub fn node(&self, engine: CacheEngine, bytes: u64) -> Option<&RedisNode> {
        let fits = |node: &&RedisNode| node.engine == engine && bytes <= node.bytes_max / HEADROOM;
        self.node.iter().find(fits)
    }

    /// Returns the cost of a month of serverless Redis with this many bytes and processing units.
    #[must_use]
    pub fn serverless(&self, bytes: u64, ecpus: u64) -> Usd {
        let of = &self.serverless;
        let stored =
            share(bytes.max(of.bytes_min), of.gb_hour.0.saturating_mul(MONTH_HOURS), 1_000_000_000);
        Usd(stored).plus(Usd(share(ecpus, of.ecpu_million.0, 1_000_000)))
    }
}

/// Utilization of provisioned capacity: the default target of AWS's auto scaling (DynamoDB
/// Developer Guide, "Managing throughput capacity automatically", 2026-10). An audience that varies
/// with the time of day uses less.
pub const UTILIZATION_PERCENT: u64 = 70;
/// Factor by which a node's `maxmemory` must exceed the data.
///
/// ElastiCache reserves a quarter of `maxmemory`, and half on micro nodes, for backups and
/// failovers (User Guide, "Managing reserved memory", 2026-10). After this reserve the smallest
/// nodes are just large enough, and the others have half as much again.
pub const HEADROOM: u64 = 2;

impl CacheEngine {
    /// Returns the engine's name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CacheEngine::Valkey => "valkey",
            CacheEngine::Redis => "redis",
        }
    }
}

#[cfg(test)]
pub(super) fn ours() -> Prices {
    let prices: Prices = toml::from_str(DEFAULT_PRICES).unwrap();
    prices.check().unwrap();
    prices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_file_has_the_prices_of_the_contract() {
        let prices = ours();
        assert_eq!(prices.name, "us-east-1, 2026-10");
        let million = Units { writes: 1_000_000, read_halves: 2_000_000 };
        assert_eq!(prices.units(million, PriceList::Now), Usd(750_000));
        assert_eq!(prices.units(million, PriceList::Before), Usd(1_500_000));
        // Of 125 units 25 are free, of 125 GB 25, and 70 % of the capacity is used.
        let seconds = MONTH_HOURS * 3_600;
        let steady = Units { writes: 70 * seconds, read_halves: 2 * 70 * seconds };
        assert_eq!(prices.provisioned(steady), Usd(75 * 730 * (650 + 130)));
        assert_eq!(prices.stored(125 << 30), Usd(25_000_000));
        assert_eq!(prices.stored(25 << 30), Usd(0));
        assert_eq!(prices.provisioned_wins_at_percent(), 29);
        // 100 MB at $0.084 per GB-hour.
        assert_eq!(prices.serverless(0, 1_000_000), Usd(6_132_000 + 2_300));
    }

    #[test]
    fn the_smallest_node_that_holds_it_twice() {
        let prices = ours();
        let name = |engine, bytes| {
            prices.node(engine, bytes).map(|node| (node.name.as_str(), node.month()))
        };
        assert_eq!(name(CacheEngine::Valkey, 0), Some(("cache.t4g.micro", Usd(9_344_000))));
        assert_eq!(
            name(CacheEngine::Valkey, 268_435_456),
            Some(("cache.t4g.micro", Usd(9_344_000)))
        );
        assert_eq!(
            name(CacheEngine::Valkey, 268_435_457),
            Some(("cache.t4g.small", Usd(18_688_000)))
        );
        assert_eq!(
            name(CacheEngine::Redis, 7_000_000_000),
            Some(("cache.r6g.large", Usd(150_380_000)))
        );
        assert_eq!(name(CacheEngine::Redis, 1 << 60), None);
    }

    #[test]
    fn what_is_wrong_names_the_key() {
        let read = |text: &str| toml::from_str::<Prices>(text).map(|prices| prices.check());
        let without = |line: &str| DEFAULT_PRICES.replacen(line, "", 1);
        let wrong = |text: String| read(&text).unwrap_err().to_string();
        assert!(wrong(without("write_hour = 0.00065\n")).contains("`write_hour`"));
        assert!(wrong(DEFAULT_PRICES.replacen("gb_month", "gb_moon", 1)).contains("`gb_moon`"));
        assert!(wrong(DEFAULT_PRICES.replacen("= 0.625", "= -0.625", 1)).contains("not a decimal"));
        assert!(
            read(&DEFAULT_PRICES.replace("\"redis\"", "\"valkey\""))
                .unwrap()
                .unwrap_err()
                .contains("`node`")
        );
    }
}
