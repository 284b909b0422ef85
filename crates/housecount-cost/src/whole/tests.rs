//! The whole bill against sums by hand, and against its goals.

use proptest::prelude::*;

use super::*;
use crate::prices::ours;

fn plan(viewers: u64) -> WholePlan {
    let of = AudienceProfile { viewers, stages: (viewers / 100).max(1), ..Default::default() };
    WholePlan { of, ..WholePlan::default() }
}

fn own(plan: &WholePlan) -> WholeBill {
    housecount(&ours(), plan).unwrap()
}

/// Bytes in DynamoDB after a month.
fn own_bytes(viewers: u64) -> u64 {
    let setup = Deployment { nodes: 2, ..Deployment::default() };
    plans::housecount(&plan(viewers).of, &setup, LogBackend::DynamoDb, ArchiveKind::Off)
        .stored_bytes
}

fn line(bill: &WholeBill, id: &str) -> Usd {
    bill.lines.iter().find(|line| line.id == id).unwrap().month
}

#[test]
fn ten_thousand_viewers_by_hand() {
    let bill = own(&plan(10_000));
    // 876 million heartbeats of 86 B, 7.3 million stays of 3,282 B and as many of 1,101 B.
    let bytes = 876_000_000 * 86 + 7_300_000 * (3_282 + 1_101);
    assert_eq!(bill.traffic.bytes_out, bytes);
    assert_eq!(bill.traffic.connections, 14_600_000);
    assert!(bytes < 100 * GB, "the first 100 GB are free of charge");
    assert_eq!(line(&bill, "egress"), Usd(0));
    let bytes = 8_760_000_000 * 86 + 73_000_000 * (3_282 + 1_101);
    let egress = Usd(share(bytes - 100 * GB, 90_000, GB));
    assert_eq!(line(&own(&plan(100_000)), "egress"), egress);
    assert_eq!((bill.nodes, bill.machine.as_str()), (2, "t4g.nano"));
    assert_eq!(line(&bill, "machines"), Usd(2 * 730 * 4_200));
    assert_eq!(line(&bill, "disks"), Usd(2 * 8 * 80_000));
    assert_eq!(line(&bill, "addresses"), Usd(2 * 730 * 5_000));
    assert_eq!(line(&bill, "balancer"), Usd(0));
    // A zone, two checks, and 50 resolvers that ask every five minutes.
    assert_eq!(line(&bill, "dns"), Usd(500_000 + 1_000_000 + 50 * 8_760 * 400_000 / 1_000_000));
    assert_eq!((bill.log, line(&bill, "redis")), (LogBackend::DynamoDb, Usd(0)));
    assert_eq!(line(&bill, "zones"), Usd(0));
    // The units fit the provisioned ones that are free of charge.
    let rest = Usd(bill.total().0 - line(&bill, "dynamodb").0);
    assert_eq!(bill.provisioned_total(&ours()), rest.plus(ours().stored(own_bytes(10_000))));
    assert!(rest <= Usd(17_000_000), "{rest}");
    assert_eq!(bill.per_million_viewer_hours(), Some(Usd(share(bill.total().0, 10, 73))));
}

/// Goals: $22 at 10,000; $141 and $124 at 100,000; $1,215 and $1,050 at a million.
#[test]
fn goals_are_reached() {
    for (viewers, at_most, at_40_seconds) in
        [(1_000, 22, 22), (10_000, 22, 22), (100_000, 141, 124), (1_000_000, 1_215, 1_050)]
    {
        let usual = plan(viewers);
        let rarer = WholePlan { of: AudienceProfile { interval_ms: 40_000, ..usual.of }, ..usual };
        let (usual, rarer) = (own(&usual).total(), own(&rarer).total());
        assert!(usual <= Usd(at_most * 1_000_000), "{viewers}: {usual}");
        assert!(rarer <= Usd(at_40_seconds * 1_000_000), "{viewers}, 40 s: {rarer}");
    }
}

#[test]
fn machines_grow_with_the_audience() {
    let of = |viewers| {
        let bill = own(&plan(viewers));
        (bill.nodes, bill.machine, bill.log)
    };
    let two = |name: &str, log| (2, name.to_string(), log);
    assert_eq!(of(1_000), two("t4g.nano", LogBackend::DynamoDb));
    assert_eq!(of(50_000), two("t4g.micro", LogBackend::Redis));
    assert_eq!(of(100_000), two("t4g.small", LogBackend::Redis));
    assert_eq!(of(1_000_000), (3, "t4g.large".to_string(), LogBackend::Redis));
    // Each node holds all viewers, and no listed machine has the memory for 100 million.
    assert_eq!(housecount(&ours(), &plan(100_000_000)), None);
}

#[test]
fn each_choice_shows_in_its_line() {
    let usual = plan(10_000);
    let bill = own(&usual);
    let with = |change: &dyn Fn(&mut WholePlan)| {
        let mut plan = usual;
        change(&mut plan);
        own(&plan)
    };
    let nlb = with(&|plan| plan.front = Front::Nlb);
    let alb = with(&|plan| plan.front = Front::Alb);
    assert!(line(&nlb, "balancer") < line(&alb, "balancer"));
    // 10,000 connections are 3.33 units of an ALB.
    assert_eq!(line(&alb, "balancer"), Usd(16_425_000 + 3_333 * 5_840));
    assert_eq!((line(&alb, "dns"), line(&alb, "addresses")), (Usd(500_000), Usd(7_300_000)));
    let cdn = with(&|plan| plan.front = Front::CloudFront);
    assert_eq!(line(&cdn, "egress"), Usd(0), "within the free TB");
    // 14.6 million connections, of which 10 are free.
    assert!(line(&cdn, "balancer") > Usd(4_600_000));
    let fetch =
        with(&|plan| (plan.front, plan.transport) = (Front::CloudFront, PlayerTransport::H2));
    assert_eq!(fetch.traffic.requests, 876_000_000 + 14_600_000, "a request per heartbeat");
    assert!(line(&fetch, "balancer") > Usd(880_600_000));
    for transport in [PlayerTransport::H2, PlayerTransport::H1] {
        let other = with(&|plan| plan.transport = transport);
        assert!(line(&other, "egress") > line(&bill, "egress"), "{transport:?}");
    }
    let looked_at = with(&|plan| plan.lookers = 1_000);
    // An event per second: 340.8 MiB a month each, and the stays of the onlookers.
    let events = looked_at.traffic.bytes_out - bill.traffic.bytes_out;
    assert_eq!(events, 1_000 * 2_628_000 * 136 + 1_460_000 / 2 * (3_282 + 1_101));
    let rarely = with(&|plan| (plan.lookers, plan.every_ms) = (1_000, 5_000));
    assert!(rarely.traffic.bytes_out < looked_at.traffic.bytes_out);
    let new = with(&|plan| plan.returning_percent = 0);
    assert_eq!(new.traffic.bytes_out, 876_000_000 * 86 + 14_600_000 * 3_282);
    let redis = with(&|plan| plan.log = Some(LogBackend::Redis));
    assert_eq!((redis.log, line(&redis, "redis")), (LogBackend::Redis, Usd(9_344_000)));
    assert!(line(&redis, "zones") > Usd(0) && redis.total() > bill.total());
    let three = with(&|plan| plan.nodes = Some(3));
    assert_eq!((three.nodes, line(&three, "addresses")), (3, Usd(10_950_000)));
}

#[test]
fn the_usual_way_is_dearer() {
    for viewers in [1_000, 10_000, 100_000, 1_000_000] {
        let (own, usual) = (own(&plan(viewers)), usual_way(&ours(), &plan(viewers)).unwrap());
        assert!(usual.total() > own.total(), "{viewers}: {}", usual.total());
        let ids = |bill: &WholeBill| bill.lines.iter().map(|line| line.id).collect::<Vec<_>>();
        assert_eq!(ids(&usual), ids(&own));
    }
    let million = usual_way(&ours(), &plan(1_000_000)).unwrap();
    // 33,333 heartbeats per second take seven cores.
    assert_eq!((million.nodes, million.machine.as_str()), (3, "c7g.xlarge"));
    assert!(line(&million, "redis") > Usd(90_000_000), "by CPU, not a t4g.micro");
}

#[test]
fn shares_sum_to_a_hundred() {
    let mut bill = own(&plan(1));
    for (months, expected) in [
        (vec![1, 1, 1], vec![34, 33, 33]),
        (vec![0, 7], vec![0, 100]),
        (vec![995, 5], vec![100, 0]),
        (vec![0, 0], vec![0, 0]),
    ] {
        let lines = months.into_iter().map(|month| BillLine {
            id: "",
            name: "",
            detail: String::new(),
            month: Usd(month),
        });
        bill.lines = lines.collect();
        assert_eq!(bill.shares(), expected);
    }
}

proptest! {
    #[test]
    fn shares_always_sum_to_a_hundred(
        viewers in 1u64..2_000_000, front in 0usize..4, transport in 0usize..3,
        lookers in 0u64..100_000,
    ) {
        let plan = WholePlan {
            front: [Front::None, Front::Nlb, Front::Alb, Front::CloudFront][front],
            transport: PlayerTransport::ALL[transport],
            lookers,
            ..plan(viewers)
        };
        let bill = own(&plan);
        prop_assert_eq!(bill.shares().iter().sum::<u64>(), 100);
    }

    #[test]
    fn no_number_is_too_large(
        viewers: u64, stages: u64, stay_ms: u64, interval_ms: u64, lookers: u64, every_ms: u64,
        nodes: Option<u64>, returning_percent: u64,
    ) {
        let of = AudienceProfile { viewers, stages, stay_ms, interval_ms };
        let plan = WholePlan { of, lookers, every_ms, nodes, returning_percent, ..plan(1) };
        for bill in [housecount(&ours(), &plan), usual_way(&ours(), &plan)].into_iter().flatten() {
            let _ = (bill.total(), bill.shares());
        }
    }
}
