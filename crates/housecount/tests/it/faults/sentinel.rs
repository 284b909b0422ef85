//! Redis behind sentinels, under load. The master dies while its replica lags, and a failover is
//! ordered while all servers are up.

use std::time::Duration;

use housecount_test::timed_test;

use super::cluster::{crowd_at, nodes_on};
use super::crowd::EVERY;
use super::tap::Tap;
use super::{BEHIND_REDIS_MS, all_are_counted, refusals_are_in_order, the_ledger_is_exact};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::signal;
use crate::support::redis::{Server, command_at};
use crate::support::sentinel::{MASTER, SentinelSetup};

/// Number of the log's entries on a server.
fn entries(server: &Server) -> u64 {
    server.command("XLEN hc:{0}:log").trim_start_matches(':').parse().unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn a_failover_to_a_replica_that_lacks_the_last_records_loses_nothing() {
    let mut setup = SentinelSetup::start().await;
    let dynamo = Dynamo::start().await;
    let url = setup.url();
    let tap = Tap::on(&url).await;
    let nodes = nodes_on(&url, &dynamo).await;
    let crowd = crowd_at(&nodes);
    let tasks = crowd.go();
    all_are_counted(&nodes, &crowd, "the start").await;
    refusals_are_in_order(&crowd, false);

    crowd.during(Some("the master dies"));
    // Sentinels leave this as it is for the failover's timeout, 10 s.
    assert_eq!(setup.servers[1].command("REPLICAOF 127.0.0.1 1"), "+OK");
    // By now every viewer has sent a beat that the replica lacks.
    tokio::time::sleep(EVERY + Duration::from_secs(1)).await;
    assert!(entries(&setup.servers[0]) > entries(&setup.servers[1]), "the replica lacks records");
    setup.servers[0].kill();
    setup.until_the_master_is(1).await;
    all_are_counted(&nodes, &crowd, "the failover").await;
    for node in &nodes {
        let is_rewritten = async || node.metric("housecount_log_rebuilds_total ").await > 0.0;
        eventually("the node rebuilds the log", is_rewritten).await;
    }
    crowd.during(None);
    refusals_are_in_order(&crowd, true);

    crowd.end();
    tasks.join_all().await;
    the_ledger_is_exact(&nodes[0].client, &dynamo, &tap, &crowd, BEHIND_REDIS_MS).await;
}

/// A machine that stalls for longer than Sentinel waits. When it continues, its Redis still
/// believes that it is the master, and executes the commands left in its sockets.
#[timed_test(flavor = "multi_thread")]
async fn a_master_that_stood_still_and_goes_on_loses_nothing() {
    let setup = SentinelSetup::start().await;
    let dynamo = Dynamo::start().await;
    let url = setup.url();
    let tap = Tap::on(&url).await;
    let nodes = nodes_on(&url, &dynamo).await;
    let crowd = crowd_at(&nodes);
    let tasks = crowd.go();
    all_are_counted(&nodes, &crowd, "the start").await;
    refusals_are_in_order(&crowd, false);

    crowd.during(Some("the master stands still"));
    signal(setup.servers[0].pid(), "STOP");
    setup.until_the_master_is(1).await;
    all_are_counted(&nodes, &crowd, "the failover").await;
    signal(setup.servers[0].pid(), "CONT");
    setup.servers[0].until_it_follows().await;
    all_are_counted(&nodes, &crowd, "the old master went on").await;
    crowd.during(None);
    refusals_are_in_order(&crowd, true);

    crowd.end();
    tasks.join_all().await;
    the_ledger_is_exact(&nodes[0].client, &dynamo, &tap, &crowd, BEHIND_REDIS_MS).await;
}

/// Fails over, and back again. Each time the former master is still up, and answers reads as a
/// replica.
#[timed_test(flavor = "multi_thread")]
async fn a_failover_that_is_ordered_loses_nothing() {
    let setup = SentinelSetup::start().await;
    let dynamo = Dynamo::start().await;
    let url = setup.url();
    let tap = Tap::on(&url).await;
    let nodes = nodes_on(&url, &dynamo).await;
    let crowd = crowd_at(&nodes);
    let tasks = crowd.go();
    all_are_counted(&nodes, &crowd, "the start").await;
    refusals_are_in_order(&crowd, false);

    for to in [1, 0] {
        crowd.during(Some("a failover is ordered"));
        setup.until_all_know_all().await;
        let order = format!("SENTINEL FAILOVER {MASTER}");
        eventually("the failover is accepted", async || {
            command_at(setup.sentinels[0].port, &order) == "+OK"
        })
        .await;
        setup.until_the_master_is(to).await;
        let before = entries(&setup.servers[to]);
        eventually("nodes append to the new master", async || entries(&setup.servers[to]) > before)
            .await;
        setup.servers[1 - to].until_it_follows().await;
        all_are_counted(&nodes, &crowd, "the failover").await;
        crowd.during(None);
        refusals_are_in_order(&crowd, true);
    }

    crowd.end();
    tasks.join_all().await;
    the_ledger_is_exact(&nodes[0].client, &dynamo, &tap, &crowd, BEHIND_REDIS_MS).await;
}
