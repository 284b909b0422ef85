//! Redis that a plan needs: its memory, its CPU, and the nodes with enough of both.

use super::money::Usd;
use super::prices::{CacheEngine, HEADROOM, Prices, RedisNode};

/// Memory, commands and CPU that a plan needs of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisRequirements {
    /// Bytes in its memory.
    pub bytes: u64,
    /// Commands per month.
    pub commands: u64,
    /// CPU on average, in thousandths of a core.
    pub cpu_permille: u64,
}

/// Redis nodes of one type, among which keys are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisNodes<'a> {
    /// Type of each node.
    pub node: &'a RedisNode,
    /// Number of nodes.
    pub count: u64,
}

impl RedisNodes<'_> {
    /// Returns the price of a month.
    #[must_use]
    pub fn month(&self) -> Usd {
        self.node.month().times(self.count)
    }
}

impl RedisRequirements {
    /// Returns the number of nodes of this type that have enough memory and CPU.
    fn count(&self, node: &RedisNode) -> u64 {
        let by_memory = self.bytes.div_ceil((node.bytes_max / HEADROOM).max(1));
        let by_cpu = self.cpu_permille.div_ceil(node.cpu_permille().max(1));
        by_memory.max(by_cpu).max(1)
    }

    /// Returns the smallest node that is enough alone, or the cheapest nodes that are enough
    /// together.
    #[must_use]
    pub fn nodes<'a>(&self, prices: &'a Prices, engine: CacheEngine) -> Option<RedisNodes<'a>> {
        let all = || {
            let of = prices.node.iter().filter(|node| node.engine == engine);
            of.map(|node| RedisNodes { node, count: self.count(node) })
        };
        let alone = all().find(|nodes| nodes.count == 1);
        alone.or_else(|| all().min_by_key(|nodes| (nodes.month(), nodes.count)))
    }

    /// Returns the cost of a month: one node if one is enough, otherwise the cheaper of several
    /// nodes and serverless.
    #[must_use]
    pub fn month(&self, prices: &Prices) -> Usd {
        let serverless = prices.serverless(self.bytes, self.commands);
        match self.nodes(prices, CacheEngine::Valkey) {
            Some(nodes) if nodes.count == 1 => nodes.month(),
            Some(nodes) => nodes.month().min(serverless),
            None => serverless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::ours;

    fn chosen(bytes: u64, cpu_permille: u64) -> (u64, String) {
        let prices = ours();
        let needs = RedisRequirements { bytes, commands: 0, cpu_permille };
        let nodes = needs.nodes(&prices, CacheEngine::Valkey).unwrap();
        (nodes.count, nodes.node.name.clone())
    }

    #[test]
    fn memory_and_cpu_must_both_be_enough() {
        let one = |name: &str| (1, name.to_string());
        assert_eq!(chosen(1, 0), one("cache.t4g.micro"));
        assert_eq!(chosen(268_435_457, 0), one("cache.t4g.small"));
        // A micro may use a fifth of a core all day, a medium two fifths.
        assert_eq!(chosen(1, 200), one("cache.t4g.micro"));
        assert_eq!(chosen(1, 201), one("cache.t4g.small"));
        assert_eq!(chosen(1, 401), one("cache.m7g.large"));
        // More than a core: several nodes, the cheapest.
        assert_eq!(chosen(1, 1_001), (3, "cache.t4g.small".to_string()));
        assert_eq!(chosen(20_000_000_000, 0), (3, "cache.r6g.large".to_string()));
    }

    #[test]
    fn serverless_is_taken_where_it_is_cheaper_than_many_nodes() {
        let prices = ours();
        let needs = RedisRequirements { bytes: 1, commands: 0, cpu_permille: 50_000 };
        assert_eq!(needs.month(&prices), prices.serverless(1, 0));
        let needs = RedisRequirements { commands: u64::MAX, ..needs };
        assert!(needs.month(&prices) < prices.serverless(1, u64::MAX));
    }
}
