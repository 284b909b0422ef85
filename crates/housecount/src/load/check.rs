//! Checks that the nodes count what they acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_net::client::Client;
use hyper::Method;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::LoadShared;

/// Interval between two polls of the totals.
const POLL: Duration = Duration::from_millis(100);
/// Number of polls of a node at the end. A viewer that it does not count by then is reported as
/// lost.
const TRIES: u32 = 50;
/// Maximum number of problems that are described in words.
const PROBLEMS_MAX: usize = 5;

/// Result of polling the totals.
#[derive(Clone, Debug, Default)]
pub(super) struct PollStats {
    pub(super) total: u64,
    pub(super) low: u64,
    pub(super) incomplete: u64,
    pub(super) problems: Vec<String>,
}

async fn get(node: &Client, path: &str) -> Result<Value, String> {
    let (status, body) = node.call(Method::GET, path, "").await?;
    if status != 200 {
        return Err(format!("{path} answered {status}"));
    }
    serde_json::from_slice(&body).map_err(|e| format!("{path}: {e}"))
}

/// Polls every node's totals until the task is aborted.
pub(super) async fn poll(shared: Arc<LoadShared>, polls: Arc<Mutex<PollStats>>) {
    // A node counts its own acknowledged beats at once, and those of other nodes a little later.
    let is_one = shared.plan.nodes.len() == 1;
    let late_ms = if is_one { 0 } else { shared.plan.agree_within.as_millis() as u64 };
    let mut past = VecDeque::new();
    loop {
        let now_ms = mono_ms();
        past.push_back((now_ms, shared.truth.lock().totals()));
        while past.get(1).is_some_and(|(at_ms, _)| at_ms + late_ms <= now_ms) {
            past.pop_front();
        }
        let due = past.front().filter(|(at_ms, _)| at_ms + late_ms <= now_ms);
        let (online, leaves) =
            due.map_or((0, shared.truth.lock().totals().1), |(_, totals)| *totals);
        for node in &shared.plan.nodes {
            let answer = get(node, "/v1/stats").await;
            let left_meanwhile = shared.truth.lock().totals().1 - leaves;
            let floor = online.saturating_sub(left_meanwhile);
            note(&mut polls.lock(), answer, floor);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn note(polls: &mut PollStats, answer: Result<Value, String>, floor: u64) {
    polls.total += 1;
    let problem = match answer {
        Ok(stats) if stats["complete"] != true => {
            polls.incomplete += 1;
            return;
        }
        Ok(stats) => match stats["viewers"].as_u64() {
            Some(viewers) if viewers >= floor => return,
            viewers => {
                polls.low += 1;
                format!(
                    "/v1/stats has {} viewers, but {floor} were acknowledged",
                    viewers.unwrap_or(0)
                )
            }
        },
        Err(problem) => problem,
    };
    if polls.problems.len() < PROBLEMS_MAX {
        polls.problems.push(problem);
    }
}

/// Result of the check by name.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckOutcome {
    pub(super) counted: u64,
    pub(super) stats_viewers: u64,
    pub(super) problems: Vec<String>,
}

/// Lists every node's online viewers, until all of `expected` are among them or the tries are used
/// up.
pub(super) async fn names(
    shared: &LoadShared,
    expected: &BTreeSet<(String, String)>,
) -> CheckOutcome {
    let mut outcome = CheckOutcome { counted: expected.len() as u64, ..CheckOutcome::default() };
    for (i, node) in shared.plan.nodes.iter().enumerate() {
        let mut missing = expected.clone();
        for _ in 0..TRIES {
            match still_missing(node, &missing).await {
                Ok(left) => missing = left,
                Err(problem) => outcome.problems = vec![problem],
            }
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        outcome.counted = outcome.counted.min((expected.len() - missing.len()) as u64);
        if let Some((stage, viewer)) = missing.first() {
            let count = missing.len();
            outcome.problems.push(format!(
                "node {i} doesn't count {count} viewers, such as {viewer} on {stage}"
            ));
        }
        if i == 0 {
            let stats = get(node, "/v1/stats").await.unwrap_or_default();
            outcome.stats_viewers = stats["viewers"].as_u64().unwrap_or(0);
        }
    }
    outcome
}

/// Returns those of `missing` that the node does not list as online.
async fn still_missing(
    node: &Client,
    missing: &BTreeSet<(String, String)>,
) -> Result<BTreeSet<(String, String)>, String> {
    let mut by_stage: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (stage, viewer) in missing {
        by_stage.entry(stage).or_default().insert(viewer);
    }
    let mut left = BTreeSet::new();
    for (stage, mut viewers) in by_stage {
        let mut cursor: Option<String> = None;
        loop {
            let stage = utf8_percent_encode(stage, NON_ALPHANUMERIC);
            let behind = cursor
                .iter()
                .map(|c| format!("&cursor={}", utf8_percent_encode(c, NON_ALPHANUMERIC)));
            let behind: String = behind.collect();
            let page = get(node, &format!("/v1/stages/{stage}/viewers?limit=1000{behind}")).await?;
            for row in page["viewers"].as_array().into_iter().flatten() {
                viewers.remove(row["viewer"].as_str().unwrap_or_default());
            }
            cursor = page["cursor"].as_str().map(str::to_string);
            if cursor.is_none() {
                break;
            }
        }
        left.extend(viewers.into_iter().map(|viewer| (stage.to_string(), viewer.to_string())));
    }
    Ok(left)
}
