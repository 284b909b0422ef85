//! Content of a price file, and the sections that it may leave out.

use serde::Deserialize;

use super::infrastructure::{
    AddressPrice, BalancerPrices, CdnPrices, DiskPrice, DnsPrices, EgressPrices, Machine,
    NatPrices, ZonePrice,
};
use super::{DEFAULT_PRICES, Ivs, OnDemand, Prices, Provisioned, RedisNode, Serverless, Storage};

/// Content of a price file. Files from before 0.1.0 have the required sections only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceFile {
    name: String,
    dynamodb: OnDemand,
    provisioned: Provisioned,
    storage: Storage,
    serverless: Serverless,
    ivs: Ivs,
    node: Vec<RedisNode>,
    egress: Option<EgressPrices>,
    balancer: Option<BalancerPrices>,
    machine: Option<Vec<Machine>>,
    address: Option<AddressPrice>,
    zone: Option<ZonePrice>,
    cdn: Option<CdnPrices>,
    nat: Option<NatPrices>,
    dns: Option<DnsPrices>,
    disk: Option<DiskPrice>,
}

/// Fills a section that a file lacks with the built-in one, and notes its name.
fn filled<T>(
    name: &'static str,
    given: Option<T>,
    builtin: Option<T>,
    missing: &mut Vec<&'static str>,
) -> Result<T, String> {
    if given.is_none() {
        missing.push(name);
    }
    given.or(builtin).ok_or_else(|| format!("missing section `{name}`"))
}

impl TryFrom<PriceFile> for Prices {
    type Error = String;

    fn try_from(file: PriceFile) -> Result<Prices, String> {
        let ours: PriceFile =
            toml::from_str(DEFAULT_PRICES).map_err(|e| e.message().to_string())?;
        let mut missing = Vec::new();
        let cpu_of = |node: &RedisNode| {
            let same = ours.node.iter().find(|known| known.name == node.name);
            node.cpu_percent.or(same.and_then(|known| known.cpu_percent))
        };
        let node = file.node.into_iter();
        let node = node.map(|node| RedisNode { cpu_percent: cpu_of(&node), ..node }).collect();
        Ok(Prices {
            name: file.name,
            dynamodb: file.dynamodb,
            provisioned: file.provisioned,
            storage: file.storage,
            serverless: file.serverless,
            ivs: file.ivs,
            node,
            egress: filled("egress", file.egress, ours.egress, &mut missing)?,
            balancer: filled("balancer", file.balancer, ours.balancer, &mut missing)?,
            machine: filled("machine", file.machine, ours.machine, &mut missing)?,
            address: filled("address", file.address, ours.address, &mut missing)?,
            zone: filled("zone", file.zone, ours.zone, &mut missing)?,
            cdn: filled("cdn", file.cdn, ours.cdn, &mut missing)?,
            nat: filled("nat", file.nat, ours.nat, &mut missing)?,
            dns: filled("dns", file.dns, ours.dns, &mut missing)?,
            disk: filled("disk", file.disk, ours.disk, &mut missing)?,
            builtin_sections: missing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ours;
    use super::*;
    use crate::Usd;

    /// A price file from before the sections of machines and bytes.
    #[test]
    fn an_older_file_is_filled_from_ours() {
        let (older, newer) = DEFAULT_PRICES.split_once("# Bytes to the internet").unwrap();
        let older = older.replace("cpu_percent", "# cpu_percent").replace("0.0128", "0.02");
        let mut prices: Prices = toml::from_str(&older).unwrap();
        prices.check().unwrap();
        let sections =
            ["egress", "balancer", "machine", "address", "zone", "cdn", "nat", "dns", "disk"];
        assert_eq!(prices.builtin_sections, sections);
        for section in sections {
            assert!(newer.contains(&format!("[{section}")), "{section}");
        }
        assert_eq!(prices.node[0].hour, Usd(20_000));
        assert_eq!(prices.node[0].cpu_permille(), 200);
        prices.node[0].hour = Usd(12_800);
        prices.builtin_sections.clear();
        assert_eq!(prices, ours());
        assert_eq!(ours().builtin_sections, [""; 0]);
        // A machine type that ours does not know has one core.
        let other = older.replace("cache.t4g.micro", "cache.x1.micro");
        assert_eq!(toml::from_str::<Prices>(&other).unwrap().node[0].cpu_permille(), 1_000);
    }
}
