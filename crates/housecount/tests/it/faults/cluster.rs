//! Redis Cluster under load: a master dies and its replica takes over, and a slot moves. Also a
//! plain primary, whose replica is promoted by hand.

use std::time::Duration;

use housecount_test::timed_test;
use hyper::Method;

use super::crowd::{Crowd, EVERY};
use super::tap::Tap;
use super::{
    BEHIND_REDIS_MS, SETTINGS, all_are_counted, refusals_are_in_order, the_ledger_is_exact,
};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount};
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::{Cluster, Flavour, Server, log_at};

const VIEWERS: usize = 1_000;

pub(super) async fn nodes_on(log: &str, dynamo: &Dynamo) -> Vec<Node> {
    let made =
        housecount().args(["table", "create", "--cold", &dynamo.url("table")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (log, cold) = (format!("log={log}"), format!("cold={}", dynamo.url("table")));
    let set: Vec<&str> = SETTINGS.iter().copied().chain([log.as_str(), cold.as_str()]).collect();
    vec![Node::ready(&set).await, Node::ready(&set).await]
}

pub(super) fn crowd_at(nodes: &[Node]) -> std::sync::Arc<Crowd> {
    let clients: Vec<_> = nodes.iter().map(|node| node.client.clone()).collect();
    Crowd::new(&clients, VIEWERS)
}

#[timed_test(flavor = "multi_thread")]
async fn a_cluster_whose_master_dies_and_whose_slots_move_loses_nothing() {
    let mut cluster = Cluster::start_replicated().await;
    let dynamo = Dynamo::start().await;
    let url = format!("{}?partitions=6", cluster.url());
    let tap = Tap::on(&url).await;
    let nodes = nodes_on(&url, &dynamo).await;
    let crowd = crowd_at(&nodes);
    let tasks = crowd.go();
    all_are_counted(&nodes, &crowd, "the start").await;
    refusals_are_in_order(&crowd, false);

    // A partition's slot moves to another master while nodes write to it and read from it.
    crowd.during(Some("a slot moves"));
    for partition in 0..2 {
        let slot: u16 = cluster.masters[0]
            .command(&format!("CLUSTER KEYSLOT hc:{{{partition}}}:log"))
            .trim_start_matches(':')
            .parse()
            .unwrap();
        let from = usize::from(slot > 5_461) + usize::from(slot > 10_922);
        cluster.move_slot(slot, from, (from + 1) % 3);
    }
    all_are_counted(&nodes, &crowd, "slots moved").await;
    crowd.during(None);
    refusals_are_in_order(&crowd, true);

    crowd.during(Some("a master dies"));
    cluster.masters[1].kill();
    let replica = &cluster.replicas[1];
    eventually("the replica takes over", async || {
        replica.command("INFO replication").contains("role:master")
    })
    .await;
    all_are_counted(&nodes, &crowd, "a master died").await;
    crowd.during(None);
    refusals_are_in_order(&crowd, true);

    crowd.end();
    tasks.join_all().await;
    the_ledger_is_exact(&nodes[0].client, &dynamo, &tap, &crowd, BEHIND_REDIS_MS).await;
}

/// The primary dies, and its replica, which lacks the last seconds, is promoted by hand. Nodes find
/// the replica at the primary's address.
#[timed_test(flavor = "multi_thread")]
async fn a_replica_that_is_promoted_by_hand_loses_nothing() {
    let mut primary = Server::start(Flavour::Redis, &[]).await;
    let replica = Server::start(Flavour::Redis, &[]).await;
    let (between, address) = (Proxy::before(primary.port).await, Proxy::before(primary.port).await);
    assert_eq!(replica.command(&format!("REPLICAOF 127.0.0.1 {}", between.port)), "+OK");
    replica.until_it_follows().await;
    let dynamo = Dynamo::start().await;
    let url = log_at(address.port);
    let tap = Tap::on(&url).await;
    let nodes = nodes_on(&url, &dynamo).await;
    let crowd = crowd_at(&nodes);
    let tasks = crowd.go();
    all_are_counted(&nodes, &crowd, "the start").await;
    refusals_are_in_order(&crowd, false);

    crowd.during(Some("a failover by hand"));
    between.set(Mode::Cut);
    // By now every viewer has sent a beat that the replica lacks.
    tokio::time::sleep(EVERY + Duration::from_secs(1)).await;
    primary.kill();
    between.set(Mode::Refusing);
    assert_eq!(replica.command("REPLICAOF NO ONE"), "+OK");
    address.aim(replica.port);
    all_are_counted(&nodes, &crowd, "the failover").await;
    let has_lost = async || {
        let (_, metrics) = nodes[0].client.call(Method::GET, "/metrics", "").await.unwrap();
        !String::from_utf8_lossy(&metrics).contains("housecount_log_rebuilds_total 0")
    };
    eventually("the log is rebuilt", has_lost).await;
    crowd.during(None);
    refusals_are_in_order(&crowd, true);

    crowd.end();
    tasks.join_all().await;
    the_ledger_is_exact(&nodes[0].client, &dynamo, &tap, &crowd, BEHIND_REDIS_MS).await;
}
