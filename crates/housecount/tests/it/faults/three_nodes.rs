//! One fault after the other on the same three nodes, under a constant load of thousands of
//! viewers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use housecount_test::timed_test;

use super::crowd::Crowd;
use super::tap::Tap;
use super::{
    BEHIND_REDIS_MS, SETTINGS, all_are_counted, refusals_are_in_order, the_ledger_is_exact,
};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount, signal};
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::{Flavour, Server, log_at};

/// Longer than `ttl` by a third, as two and a half minutes would be.
const LONG: Duration = Duration::from_secs(12);

/// Three nodes, each with its own network to both stores.
struct House {
    redis: Server,
    dynamo: Dynamo,
    to_redis: Vec<Proxy>,
    to_dynamo: Vec<Proxy>,
    nodes: Vec<Node>,
    crowd: Arc<Crowd>,
    tap: Tap,
}

impl House {
    async fn open(viewers: usize) -> House {
        let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
        let made = housecount()
            .args(["table", "create", "--cold", &dynamo.url("table")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let tap = Tap::on(&redis.url()).await;
        let (mut to_redis, mut to_dynamo, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let (near_redis, near_dynamo) =
                (Proxy::before(redis.port).await, Proxy::before(dynamo.port).await);
            let log = format!("log={}", log_at(near_redis.port));
            let cold = format!(
                "cold=dynamodb://table?region=eu-west-1&endpoint=http://127.0.0.1:{}",
                near_dynamo.port
            );
            let set: Vec<&str> =
                SETTINGS.iter().copied().chain([log.as_str(), cold.as_str()]).collect();
            nodes.push(Node::ready(&set).await);
            to_redis.push(near_redis);
            to_dynamo.push(near_dynamo);
        }
        let clients: Vec<_> = nodes.iter().map(|node| node.client.clone()).collect();
        let crowd = Crowd::new(&clients, viewers);
        House { redis, dynamo, to_redis, to_dynamo, nodes, crowd, tap }
    }

    /// Checks after a fault that all viewers are counted, and that only the fault caused refusals.
    async fn is_whole_after(&self, what: &'static str, may_refuse: bool) {
        all_are_counted(&self.nodes, &self.crowd, what).await;
        self.crowd.during(None);
        refusals_are_in_order(&self.crowd, may_refuse);
    }

    fn set_all(&self, proxies: &[Proxy], mode: Mode) {
        proxies.iter().for_each(|proxy| proxy.set(mode));
    }

    async fn restart(&mut self, number: usize) {
        self.nodes[number].restart();
        self.crowd.moved(number, self.nodes[number].client.clone());
        self.nodes[number].until_ready().await;
    }
}

/// Waits while a fault lasts. The duration is part of the fault, so the test can't wait for an
/// event.
async fn lasts(long: Duration) {
    tokio::time::sleep(long).await;
}

#[timed_test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let mut house = House::open(5_000).await;
    let tasks = house.crowd.go();
    house.is_whole_after("the start", false).await;

    redis_is_killed_and_comes_back_empty(&mut house).await;
    redis_stands_still(&house).await;
    redis_is_flushed(&house).await;
    dynamodb_fails_in_every_way(&house).await;
    the_committing_node_is_killed(&mut house).await;
    a_node_is_cut_off(&house).await;
    every_node_is_replaced(&mut house).await;

    house.crowd.end();
    tasks.join_all().await;
    let House { nodes, dynamo, tap, crowd, .. } = &house;
    the_ledger_is_exact(&nodes[0].client, dynamo, tap, crowd, BEHIND_REDIS_MS).await;
}

async fn redis_is_killed_and_comes_back_empty(house: &mut House) {
    house.crowd.during(Some("Redis killed"));
    house.redis.kill();
    lasts(Duration::from_secs(3)).await;
    house.redis.run().await;
    house.is_whole_after("Redis came back empty", true).await;
}

async fn redis_stands_still(house: &House) {
    house.crowd.during(Some("Redis stopped"));
    signal(house.redis.pid(), "STOP");
    lasts(LONG).await;
    signal(house.redis.pid(), "CONT");
    house.is_whole_after("Redis stood still", true).await;
}

/// Players don't notice the flush, since nodes rewrite the whole log.
async fn redis_is_flushed(house: &House) {
    house.crowd.during(Some("FLUSHALL"));
    assert_eq!(house.redis.command("FLUSHALL"), "+OK");
    eventually("the log is rebuilt", async || house.redis.command("HGET hc:{0}:meta whole") == "1")
        .await;
    house.is_whole_after("FLUSHALL", false).await;
}

/// Players' calls never need the cold tier.
async fn dynamodb_fails_in_every_way(house: &House) {
    let faults = &house.dynamo.faults;
    house.crowd.during(Some("DynamoDB refuses"));
    house.set_all(&house.to_dynamo, Mode::Refusing);
    lasts(LONG).await;
    house.set_all(&house.to_dynamo, Mode::Open);
    house.is_whole_after("DynamoDB refused", false).await;

    house.crowd.during(Some("DynamoDB throttles"));
    faults.throttled.store(u32::MAX, Ordering::SeqCst);
    lasts(LONG).await;
    faults.throttled.store(0, Ordering::SeqCst);
    house.is_whole_after("DynamoDB throttled", false).await;

    house.crowd.during(Some("DynamoDB is slow"));
    house.set_all(&house.to_dynamo, Mode::Slow(Duration::from_millis(700)));
    lasts(LONG).await;
    house.set_all(&house.to_dynamo, Mode::Open);
    house.is_whole_after("DynamoDB was slow", false).await;

    house.crowd.during(Some("DynamoDB lies"));
    faults.lying.store(40, Ordering::SeqCst);
    let all_met = async || faults.lying.load(Ordering::SeqCst) == 0;
    eventually("all false answers were sent", all_met).await;
    house.is_whole_after("DynamoDB lied", false).await;
}

/// Kills the node that holds the lease while its chunk is on the way. The other nodes continue once
/// the lease expires.
async fn the_committing_node_is_killed(house: &mut House) {
    let faults = house.dynamo.faults.clone();
    faults.hold_chunk.store(true, Ordering::SeqCst);
    eventually("a chunk is being written", async || faults.held_from.load(Ordering::SeqCst) != 0)
        .await;
    let by = faults.held_from.load(Ordering::SeqCst);
    let committer = house.to_dynamo.iter().position(|proxy| proxy.port == by).unwrap();
    house.crowd.during(Some("the committing node is killed"));
    house.nodes[committer].kill();
    lasts(Duration::from_secs(2)).await;
    house.restart(committer).await;
    house.is_whole_after("the committing node died", true).await;
}

/// Cuts off a node, which then refuses its players' beats. The players go elsewhere, and beats that
/// the node had accepted arrive later.
async fn a_node_is_cut_off(house: &House) {
    house.crowd.during(Some("a node is cut off"));
    house.to_redis[1].set(Mode::Cut);
    house.to_dynamo[1].set(Mode::Cut);
    lasts(LONG).await;
    assert_eq!(house.nodes[1].status("/readyz").await, 503, "a node without stores is not ready");
    house.to_redis[1].set(Mode::Open);
    house.to_dynamo[1].set(Mode::Open);
    house.is_whole_after("a node was cut off", true).await;
}

async fn every_node_is_replaced(house: &mut House) {
    for number in 0..house.nodes.len() {
        house.crowd.during(Some("a node is replaced"));
        assert!(house.nodes[number].stop().success());
        house.restart(number).await;
        house.is_whole_after("a node was replaced", true).await;
    }
}
