//! Two nodes with only a DynamoDB table, which is log and cold tier in one. The table fails in
//! every way, a node is killed, and the ledger is exact.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use housecount_core::fold::HandleKey;
use housecount_test::timed_test;

use super::crowd::Crowd;
use super::tap::Tap;
use super::{SETTINGS, all_are_counted, refusals_are_in_order, the_ledger_is_exact};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::Node;
use crate::support::proxy::{Mode, Proxy};

/// Settings of the log: `interval` is thirty of its flushes.
const LOG: &str = "flush=100ms";
/// Largest lag of stamps. The log's clock is two flushes and a tenth behind, and known to a quarter
/// of a flush. A node without recent news from it is behind by more.
const BEHIND_MS: u64 = 500;
/// Longer than an interval, and longer than a request waits. The duration is part of the fault.
const LONG: Duration = Duration::from_secs(6);

/// Two nodes, each with its own network to the table.
struct House {
    dynamo: Dynamo,
    networks: Vec<Proxy>,
    nodes: Vec<Node>,
    crowd: Arc<Crowd>,
    tap: Tap,
}

impl House {
    async fn open(viewers: usize) -> House {
        let dynamo = Dynamo::start().await;
        dynamo.make_table("table");
        let tap = Tap::over(Arc::new(dynamo.log("table", LOG).await), HandleKey(7));
        let (mut networks, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let network = Proxy::before(dynamo.port).await;
            let url = format!(
                "dynamodb://table?region=eu-west-1&endpoint=http://127.0.0.1:{}",
                network.port
            );
            let (log, cold) = (format!("log={url}&{LOG}"), format!("cold={url}"));
            let set: Vec<&str> =
                SETTINGS.iter().copied().chain([log.as_str(), cold.as_str()]).collect();
            nodes.push(Node::ready(&set).await);
            networks.push(network);
        }
        let clients: Vec<_> = nodes.iter().map(|node| node.client.clone()).collect();
        let crowd = Crowd::new(&clients, viewers);
        House { dynamo, networks, nodes, crowd, tap }
    }

    /// Checks after a fault that all viewers are counted, and that only the fault caused refusals.
    async fn is_whole_after(&self, what: &str, may_refuse: bool) {
        all_are_counted(&self.nodes, &self.crowd, what).await;
        self.crowd.during(None);
        refusals_are_in_order(&self.crowd, may_refuse);
    }

    /// Puts all networks into this mode for a while.
    async fn are_all(&self, what: &'static str, mode: Mode) {
        self.crowd.during(Some(what));
        self.networks.iter().for_each(|network| network.set(mode));
        tokio::time::sleep(LONG).await;
        self.networks.iter().for_each(|network| network.set(Mode::Open));
        self.is_whole_after(what, true).await;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_table_alone_loses_nothing_and_credits_nothing_twice() {
    let mut house = House::open(1_000).await;
    let tasks = house.crowd.go();
    house.is_whole_after("the start", false).await;

    house.are_all("DynamoDB refuses", Mode::Refusing).await;
    house.are_all("DynamoDB is slower than a flush", Mode::Slow(Duration::from_millis(300))).await;

    let faults = house.dynamo.faults.clone();
    house.crowd.during(Some("DynamoDB throttles"));
    faults.throttled.store(u32::MAX, Ordering::SeqCst);
    tokio::time::sleep(LONG).await;
    faults.throttled.store(0, Ordering::SeqCst);
    house.is_whole_after("DynamoDB throttled", true).await;

    house.crowd.during(Some("DynamoDB lies"));
    faults.lying.store(60, Ordering::SeqCst);
    eventually("all false answers were sent", async || faults.lying.load(Ordering::SeqCst) == 0)
        .await;
    house.is_whole_after("DynamoDB lied", true).await;

    house.crowd.during(Some("a node is killed"));
    house.nodes[0].kill();
    house.nodes[0].restart();
    house.crowd.moved(0, house.nodes[0].client.clone());
    house.nodes[0].until_ready().await;
    house.is_whole_after("a node was killed", true).await;

    house.crowd.end();
    tasks.join_all().await;
    let House { nodes, dynamo, tap, crowd, .. } = &house;
    let beats: usize = crowd.acknowledged().values().map(Vec::len).sum();
    assert!(beats > 5_000, "only {beats} were acknowledged");
    the_ledger_is_exact(&nodes[1].client, dynamo, tap, crowd, BEHIND_MS).await;
}
