//! Real faults against real servers. Three nodes and 5,000 viewers continue, and no acknowledged
//! beat is lost.

mod cluster;
mod crowd;
mod on_dynamodb;
mod sentinel;
mod stretched;
mod tap;
mod three_nodes;

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_net::client::Client;
use housecount_sim::checks::{self, is_within};
use housecount_sim::oracle::proof::Proven;
use hyper::Method;
use serde_json::Value;

use self::crowd::{Crowd, STAGE};
use self::tap::Tap;
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::Node;

/// The `ttl`: three intervals, as by default. An outage longer than this stands for one of more
/// than two minutes.
const TTL_MS: u64 = 9_000;

/// Settings of every node except for its stores: a tenth of the defaults.
const SETTINGS: [&str; 5] =
    ["interval=3s", "ttl=9s", "window=4s", "snapshot_interval=4s", "leave_grace=100ms"];

/// Largest lag of stamps. Redis's clock is this machine's, and a node reads it with a network's
/// delay.
const BEHIND_REDIS_MS: u64 = 50;

/// Waits until every node counts all viewers and calls its counts complete.
async fn all_are_counted(nodes: &[Node], crowd: &Crowd, after: &str) {
    for (number, node) in nodes.iter().enumerate() {
        eventually(&format!("after {after} node {number} counts all"), async || {
            let Ok((200, body)) =
                node.client.call(Method::GET, &format!("/v1/stages/{STAGE}"), "").await
            else {
                return false;
            };
            let body: Value = serde_json::from_slice(&body).unwrap();
            body["viewers"] == crowd.len() && body["complete"] == true
        })
        .await;
    }
}

/// Asserts that every refusal was due to a fault and had the right status. This is 0 without an
/// answer, or 503 from a node that could not take the beats.
fn refusals_are_in_order(crowd: &Crowd, may: bool) {
    for refusal in crowd.refusals() {
        let is_in_order = may && refusal.during.is_some() && [0, 503].contains(&refusal.status);
        assert!(is_in_order, "{refusal:?}");
    }
    let wrong = crowd.wrong_counts();
    assert!(wrong.is_empty(), "complete counts differ from {}: {wrong:?}", crowd.len());
}

/// Checks the ledger after all viewers have gone. It must have all proven time, to the millisecond,
/// and every acknowledged beat with it. Stamps are behind this machine's clock by `behind_ms` at
/// most.
async fn the_ledger_is_exact(
    any: &Client,
    dynamo: &Dynamo,
    tap: &Tap,
    crowd: &Crowd,
    behind_ms: u64,
) {
    let cold: Arc<dyn Cold> = Arc::new(dynamo.cold("table").await);
    // Two windows after the last beat, since late events are in the second one.
    let to = tap.last_ms() + TTL_MS + 2 * 4_000;
    eventually("the ledger is written", async || {
        let answer = any.call(Method::GET, &format!("/v1/stages/{STAGE}/watch?limit=1"), "").await;
        let body: Value = answer
            .map_or(Value::Null, |(_, body)| serde_json::from_slice(&body).unwrap_or_default());
        body["committedTo"].as_u64().is_some_and(|committed| committed >= to)
    })
    .await;
    let (proven, written) = (tap.proven(TTL_MS), checks::ledger(&cold).await.unwrap());
    is_within("proven but not credited", &proven, &written).unwrap();
    is_within("credited but not proven", &written, &proven).unwrap();
    assert!(proven.len() as u64 >= crowd.len(), "only {} viewers have watch time", proven.len());
    every_beat_is_credited(&crowd.acknowledged(), &proven, behind_ms);
}

/// Checks that a beat acknowledged between two moments is in the viewer's proven time, unless it
/// stands alone.
fn every_beat_is_credited(
    acknowledged: &BTreeMap<String, Vec<(u64, u64)>>,
    proven: &Proven,
    behind_ms: u64,
) {
    let (mut credited, mut alone) = (0, 0);
    for (viewer, beats) in acknowledged {
        let who = (STAGE.to_string(), viewer.clone());
        let spans = proven.get(&who).map_or(&[][..], Vec::as_slice);
        for (n, (sent, answered)) in beats.iter().enumerate() {
            let meets = |from: u64, to: u64| {
                spans.iter().any(|span| span.from.0 <= to && from <= span.to.0)
            };
            let near = |other: Option<&(u64, u64)>| {
                other.is_some_and(|(sent_then, answered_then)| {
                    answered_then.max(answered) - sent_then.min(sent) <= TTL_MS
                })
            };
            if meets(sent.saturating_sub(behind_ms), *answered) {
                credited += 1;
            } else {
                let before = n.checked_sub(1).and_then(|n| beats.get(n));
                assert!(
                    !near(before) && !near(beats.get(n + 1)),
                    "{viewer}: {sent} to {answered}, {spans:?}"
                );
                alone += 1;
            }
        }
    }
    assert!(credited > 20 * alone, "{credited} beats are credited, {alone} have no neighbor");
}
