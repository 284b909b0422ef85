//! Cost of events: DynamoDB's units, as the embedded cold tier counts them. docs/OPERATIONS.md has
//! the figures for a month.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::{Cold, Purpose};
use housecount_core::units::Units;
use housecount_test::timed_test;
use housecount_test_support::cold::FaultyCold;

use crate::world::EventNode;

/// Virtual hours of the measurement.
const HOURS: u64 = 4;

#[timed_test]
async fn two_nodes_write_a_lease_twice_a_minute_and_a_unit_per_second_with_events() {
    let cold = Arc::new(FaultyCold::new().await);
    let mut writer = EventNode::new(cold.clone(), "1".into(), 0);
    let mut other = EventNode::new(cold.clone(), "2".into(), 200);
    let mut units = [Purpose::Leases, Purpose::Events].map(|_| Units::default());
    let (warm, mut with_events) = (60, 0);
    for second in 0..warm + HOURS * 3_600 {
        if second == warm {
            units = [Purpose::Leases, Purpose::Events].map(|of| cold.meter().units(of));
        }
        // A stage opens or empties once per minute.
        let viewers = second / 60 % 2;
        with_events += u64::from(second >= warm && second % 60 == 0);
        let counts = BTreeMap::from([("a", viewers)]);
        for node in [&mut writer, &mut other] {
            node.sample(second, &counts);
            node.tick().await;
        }
    }
    let [leases, events] = [(Purpose::Leases, units[0]), (Purpose::Events, units[1])]
        .map(|(of, before)| cold.meter().units(of).since(before));
    println!("{HOURS} h: leases {leases:?}, events {events:?}, {with_events} seconds with events");
    let halves = |reads: u64| 2 * reads;
    assert_eq!((leases.writes, leases.read_halves), (HOURS * 120, halves(HOURS * 180)));
    assert_eq!((events.writes, events.read_halves), (with_events, 0));
}
