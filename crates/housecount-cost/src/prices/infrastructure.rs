//! Prices of everything beside the stores: machines, disks, bytes, balancers, addresses and DNS.

use serde::Deserialize;

use crate::money::Usd;
use crate::{MONTH_HOURS, share};

/// Bytes of a GB, as AWS bills them.
pub const GB: u64 = 1 << 30;
/// Seconds of a month.
const MONTH_SECONDS: u64 = MONTH_HOURS * 3_600;

/// Price of a GB within a range of the month's volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Charged GB at which this range ends; `None` for the last range.
    pub gb_max: Option<u64>,
    /// Price per GB.
    pub gb: Usd,
}

/// Prices of bytes to the internet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressPrices {
    /// GB per month free of charge.
    pub gb_free: u64,
    /// Ranges of the volume beyond, in ascending order.
    pub tier: Vec<Tier>,
}

/// Prices of both kinds of balancers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerPrices {
    /// Application Load Balancer.
    pub alb: CapacityPrice,
    /// Network Load Balancer with a TCP listener.
    pub nlb: CapacityPrice,
}

/// Price of a balancer, whose load is billed in capacity units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityPrice {
    /// Price per hour.
    pub hour: Usd,
    /// Price per capacity unit and hour.
    pub unit_hour: Usd,
    /// New connections per second of a capacity unit.
    pub unit_new: u64,
    /// Active connections of a capacity unit.
    pub unit_active: u64,
    /// GB per hour of a capacity unit, both directions together.
    pub unit_gb: u64,
}

/// Virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Instance type.
    pub name: String,
    /// Price per hour.
    pub hour: Usd,
    /// Bytes of memory.
    pub bytes: u64,
    /// Number of virtual CPUs.
    pub vcpus: u64,
    /// Percentage of each virtual CPU that may be used all day without further charge.
    pub baseline_percent: u64,
}

/// Price of a public IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressPrice {
    /// Price per hour.
    pub hour: Usd,
}

/// Price of bytes between availability zones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZonePrice {
    /// Price per GB, charged to each machine that sends or receives it.
    pub gb: Usd,
}

/// Prices of a content delivery network, paid as you go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdnPrices {
    /// GB per month to viewers free of charge.
    pub gb_free: u64,
    /// Ranges of the volume beyond, in ascending order.
    pub tier: Vec<Tier>,
    /// Price per GB from viewers to the machines.
    pub origin_gb: Usd,
    /// Requests per month free of charge.
    pub requests_free: u64,
    /// Price per million HTTPS requests. A WebSocket is one request.
    pub request_million: Usd,
}

/// Prices of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatPrices {
    /// Price per hour, in each zone that has one.
    pub hour: Usd,
    /// Price per GB.
    pub gb: Usd,
}

/// Prices of DNS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsPrices {
    /// Price per zone and month.
    pub zone_month: Usd,
    /// Price per health check and month.
    pub check_month: Usd,
    /// Price per million queries.
    pub query_million: Usd,
}

/// Price of a machine's disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPrice {
    /// Price per GB and month.
    pub gb_month: Usd,
}

/// Returns the cost of `bytes`, of which `gb_free` GB are free and the others fall into ranges.
fn tiered(bytes: u64, gb_free: u64, tiers: &[Tier]) -> Usd {
    let charged = bytes.saturating_sub(gb_free.saturating_mul(GB));
    let (mut from, mut sum) = (0, Usd(0));
    for tier in tiers {
        let end = tier.gb_max.map_or(u64::MAX, |gb| gb.saturating_mul(GB)).min(charged);
        sum = sum.plus(Usd(share(end.saturating_sub(from), tier.gb.0, GB)));
        from = end;
    }
    sum
}

/// Checks that ranges ascend and that the last one has no end.
fn check_tiers(section: &str, tiers: &[Tier]) -> Result<(), String> {
    let ends: Vec<u64> = tiers.iter().map(|tier| tier.gb_max.unwrap_or(u64::MAX)).collect();
    let is_open = |tier: &Tier| tier.gb_max.is_none();
    if !tiers.last().is_some_and(is_open) || tiers.iter().filter(|tier| is_open(tier)).count() > 1 {
        return Err(format!("`{section}.tier`: the last entry, and only it, has no gb_max"));
    }
    if !ends.is_sorted() {
        return Err(format!("`{section}.tier`: the entries are not sorted by gb_max"));
    }
    Ok(())
}

/// Checks the sections whose values depend on each other.
///
/// # Errors
/// Returns a message with the key and the problem.
pub(super) fn check(
    egress: &EgressPrices,
    cdn: &CdnPrices,
    balancer: &BalancerPrices,
    machines: &[Machine],
) -> Result<(), String> {
    check_tiers("egress", &egress.tier)?;
    check_tiers("cdn", &cdn.tier)?;
    for (name, kind) in [("alb", &balancer.alb), ("nlb", &balancer.nlb)] {
        if kind.unit_new == 0 || kind.unit_active == 0 || kind.unit_gb == 0 {
            return Err(format!("`balancer.{name}`: the size of a capacity unit is 0"));
        }
    }
    if machines.is_empty() {
        return Err("`machine`: there must be at least one entry".to_string());
    }
    for Machine { name, vcpus, baseline_percent, bytes, .. } in machines {
        if *vcpus == 0 || *bytes == 0 || !(1..=100).contains(baseline_percent) {
            return Err(format!(
                "`machine`: {name} needs bytes, vcpus and a baseline_percent from 1 to 100"
            ));
        }
    }
    Ok(())
}

impl EgressPrices {
    /// Returns the cost of a month in which `bytes` go to the internet.
    #[must_use]
    pub fn month(&self, bytes: u64) -> Usd {
        tiered(bytes, self.gb_free, &self.tier)
    }
}

impl CapacityPrice {
    /// Returns the cost of a month with an even load. Only the dimension that needs the most
    /// capacity units is billed.
    #[must_use]
    pub fn month(&self, new_connections: u64, active_connections: u64, bytes: u64) -> Usd {
        let milli_units = [
            share(new_connections, 1_000, self.unit_new.saturating_mul(MONTH_SECONDS)),
            share(active_connections, 1_000, self.unit_active),
            share(bytes, 1_000, self.unit_gb.saturating_mul(GB).saturating_mul(MONTH_HOURS)),
        ];
        let most = milli_units.into_iter().max().unwrap_or(0);
        let units = share(self.unit_hour.0.saturating_mul(MONTH_HOURS), most, 1_000);
        self.hour.times(MONTH_HOURS).plus(Usd(units))
    }
}

impl Machine {
    /// Returns the price of a month.
    #[must_use]
    pub fn month(&self) -> Usd {
        self.hour.times(MONTH_HOURS)
    }

    /// Returns the CPU that may be used all day, in thousandths of a core.
    #[must_use]
    pub fn cpu_permille(&self) -> u64 {
        self.vcpus.saturating_mul(self.baseline_percent).saturating_mul(10)
    }
}

impl CdnPrices {
    /// Returns the cost of a month in which `bytes` go to viewers.
    #[must_use]
    pub fn egress_month(&self, bytes: u64) -> Usd {
        tiered(bytes, self.gb_free, &self.tier)
    }

    /// Returns the cost of a month of requests, and of their bytes to the machines.
    #[must_use]
    pub fn requests_month(&self, requests: u64, bytes_in: u64) -> Usd {
        let charged = requests.saturating_sub(self.requests_free);
        Usd(share(bytes_in, self.origin_gb.0, GB)).plus(Usd(share(
            charged,
            self.request_million.0,
            1_000_000,
        )))
    }
}

impl DnsPrices {
    /// Returns the cost of a month of one zone.
    #[must_use]
    pub fn month(&self, queries: u64, checks: u64) -> Usd {
        let queries = Usd(share(queries, self.query_million.0, 1_000_000));
        self.zone_month.plus(self.check_month.times(checks)).plus(queries)
    }
}

#[cfg(test)]
mod tests {
    use crate::prices::ours;

    use super::*;

    #[test]
    fn bytes_are_charged_by_range() {
        let egress = ours().egress;
        assert_eq!(egress.month(0), Usd(0));
        assert_eq!(egress.month(100 * GB), Usd(0));
        assert_eq!(egress.month(101 * GB), Usd(90_000));
        let tb = 1_024 * GB;
        // 10 TB at $0.09, 40 at $0.085, 100 at $0.07 and one at $0.05.
        assert_eq!(egress.month(100 * GB + 10 * tb), Usd(921_600_000));
        assert_eq!(egress.month(100 * GB + 50 * tb), Usd(921_600_000 + 3_481_600_000));
        let all = 921_600_000 + 3_481_600_000 + 7_168_000_000 + 51_200_000;
        assert_eq!(egress.month(100 * GB + 151 * tb), Usd(all));
        assert!(egress.month(u64::MAX) > Usd(all));
    }

    #[test]
    fn a_balancer_charges_its_dearest_dimension() {
        let BalancerPrices { alb, nlb } = ours().balancer;
        let hours = Usd(16_425_000);
        assert_eq!((alb.month(0, 0, 0), nlb.month(0, 0, 0)), (hours, hours));
        // 9,000 connections are 3 units of an ALB and 0.09 of an NLB.
        assert_eq!(alb.month(0, 9_000, 0), hours.plus(Usd(3 * 730 * 8_000)));
        assert_eq!(nlb.month(0, 9_000, 0), hours.plus(Usd(90 * 730 * 6)));
        // 50 new connections per second are 2 units, 1,460 GB are 2.
        assert_eq!(alb.month(50 * 730 * 3_600, 3_000, 0), hours.plus(Usd(2 * 730 * 8_000)));
        assert_eq!(alb.month(0, 3_000, 1_460 * GB), hours.plus(Usd(2 * 730 * 8_000)));
        assert!(alb.month(u64::MAX, u64::MAX, u64::MAX) > hours);
    }

    #[test]
    fn machines_addresses_disks_and_dns() {
        let prices = ours();
        let nano = prices.machine("t4g.nano").unwrap();
        assert_eq!((nano.month(), nano.cpu_permille()), (Usd(3_066_000), 100));
        assert_eq!(prices.machine("t4g.huge"), None);
        // Linux reports less than the nominal size, so the next larger machine is meant.
        let of = |bytes| prices.machine_of(bytes).map(|machine| machine.name.as_str());
        assert_eq!(of(1), Some("t4g.nano"));
        assert_eq!(of(7_800_000_000), Some("t4g.large"));
        assert_eq!(of(u64::MAX), None);
        assert_eq!(prices.address_month(2), Usd(7_300_000));
        assert_eq!(prices.disk_month(8), Usd(640_000));
        assert_eq!(prices.crossing_month(10 * GB), Usd(100_000));
        assert_eq!(prices.dns.month(1_000_000, 2), Usd(500_000 + 1_000_000 + 400_000));
    }

    #[test]
    fn a_cdn_charges_bytes_and_requests() {
        let cdn = ours().cdn;
        assert_eq!(cdn.egress_month(1_024 * GB), Usd(0));
        assert_eq!(cdn.egress_month(1_025 * GB), Usd(85_000));
        assert_eq!(cdn.requests_month(10_000_000, 0), Usd(0));
        assert_eq!(cdn.requests_month(11_000_000, GB), Usd(20_000 + 1_000_000));
    }

    #[test]
    fn sections_are_checked() {
        let wrong = |change: fn(&mut crate::Prices)| {
            let mut prices = ours();
            change(&mut prices);
            prices.check().unwrap_err()
        };
        assert!(wrong(|p| p.egress.tier.clear()).contains("`egress.tier`"));
        assert!(
            wrong(|p| p.cdn.tier.swap(0, 1)).contains("`cdn.tier`: the entries are not sorted")
        );
        assert!(wrong(|p| p.egress.tier.truncate(1)).contains("has no gb_max"));
        assert!(wrong(|p| p.balancer.nlb.unit_gb = 0).contains("`balancer.nlb`"));
        assert!(wrong(|p| p.machine.clear()).contains("`machine`"));
        assert!(wrong(|p| p.machine[0].baseline_percent = 101).contains("baseline_percent"));
    }
}
