//! Number and type of the machines that an audience needs.

use super::prices::Prices;
use super::prices::infrastructure::Machine;
use super::wire::SYSTEM_BYTES;

/// Smallest number of nodes of an `auto` size: one may fail, and no acknowledged event is lost.
pub const NODES_MIN: u64 = 2;

/// Demand of an audience on the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Memory that every node needs.
    pub bytes_each: u64,
    /// Memory that the nodes share, for connections.
    pub bytes_shared: u64,
    /// CPU that every node needs, in thousandths of a core.
    pub cpu_each: u64,
    /// CPU that the nodes share, in thousandths of a core.
    pub cpu_shared: u64,
}

/// Machines of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet<'a> {
    /// Type of each machine.
    pub machine: &'a Machine,
    /// Number of machines.
    pub nodes: u64,
}

/// Returns the smallest number of nodes of this type, of which one may fail. Returns `None` if a
/// machine is too small for the part that every node needs.
fn nodes_of(machine: &Machine, demand: &Demand) -> Option<u64> {
    let each = SYSTEM_BYTES.saturating_add(demand.bytes_each);
    let bytes = machine.bytes.checked_sub(each).filter(|bytes| *bytes > 0)?;
    let cpu = machine.cpu_permille().checked_sub(demand.cpu_each).filter(|cpu| *cpu > 0)?;
    let left = demand.bytes_shared.div_ceil(bytes).max(demand.cpu_shared.div_ceil(cpu)).max(1);
    Some(left.saturating_add(1).max(NODES_MIN))
}

/// Chooses machines for a demand, for `nodes` of them or for as few as possible.
///
/// All machines but one hold the whole demand, and a single machine holds all of it. Of the
/// machines with the fewest nodes the cheapest is chosen, since each node reads the whole log and
/// needs an address. Returns `None` if no machine is large enough.
#[must_use]
pub fn fleet<'a>(prices: &'a Prices, demand: &Demand, nodes: Option<u64>) -> Option<Fleet<'a>> {
    let fitting = prices.machine.iter().filter_map(|machine| {
        let least = nodes_of(machine, demand)?;
        match nodes {
            None => Some(Fleet { machine, nodes: least }),
            // One node alone does the work of the one that is left of two.
            Some(nodes) => (nodes.max(NODES_MIN) >= least).then_some(Fleet { machine, nodes }),
        }
    });
    fitting.min_by_key(|fleet| (fleet.nodes, fleet.machine.hour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::ours;

    const NOTHING: Demand = Demand { bytes_each: 0, bytes_shared: 0, cpu_each: 0, cpu_shared: 0 };

    fn chosen(demand: &Demand, nodes: Option<u64>) -> Option<(u64, String)> {
        fleet(&ours(), demand, nodes).map(|fleet| (fleet.nodes, fleet.machine.name.clone()))
    }

    #[test]
    fn one_node_may_fail() {
        let of = |demand, nodes| chosen(&demand, nodes).unwrap();
        let two = |name: &str| (2, name.to_string());
        assert_eq!(of(NOTHING, None), two("t4g.nano"));
        // A nano has 320 MiB beside the system. The other one is to hold all.
        let nano = 320 << 20;
        assert_eq!(of(Demand { bytes_shared: nano, ..NOTHING }, None), two("t4g.nano"));
        assert_eq!(of(Demand { bytes_shared: nano + 1, ..NOTHING }, None), two("t4g.micro"));
        assert_eq!(of(Demand { bytes_each: nano, ..NOTHING }, None), two("t4g.micro"));
        // A nano may use a tenth of a core all day.
        assert_eq!(of(Demand { cpu_shared: 100, ..NOTHING }, None), two("t4g.nano"));
        assert_eq!(of(Demand { cpu_shared: 101, ..NOTHING }, None), two("t4g.micro"));
        assert_eq!(of(Demand { cpu_shared: 60, cpu_each: 41, ..NOTHING }, None), two("t4g.micro"));
        // More than one machine holds: the fewest nodes.
        let large = (8_192 - 192) << 20;
        assert_eq!(of(Demand { bytes_shared: large, ..NOTHING }, None), two("t4g.large"));
        let (nodes, name) = of(Demand { bytes_shared: large + 1, ..NOTHING }, None);
        assert_eq!((nodes, name.as_str()), (3, "t4g.large"));
        assert_eq!(of(Demand { cpu_shared: 4_000, ..NOTHING }, None), two("c7g.xlarge"));
    }

    #[test]
    fn a_number_of_nodes_may_be_given() {
        let demand = Demand { bytes_shared: 640 << 20, ..NOTHING };
        let of = |nodes| chosen(&demand, Some(nodes)).unwrap();
        assert_eq!(of(1), (1, "t4g.micro".to_string()));
        assert_eq!(of(2), (2, "t4g.micro".to_string()));
        assert_eq!(of(3), (3, "t4g.nano".to_string()));
        assert_eq!(of(50), (50, "t4g.nano".to_string()));
        assert_eq!(chosen(&Demand { bytes_shared: 1 << 40, ..NOTHING }, Some(2)), None);
        assert_eq!(chosen(&Demand { bytes_each: 1 << 40, ..NOTHING }, None), None);
        let all =
            Demand { bytes_each: 0, bytes_shared: u64::MAX, cpu_each: 0, cpu_shared: u64::MAX };
        assert!(chosen(&all, None).is_some());
    }
}
