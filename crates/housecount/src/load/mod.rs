//! Load test: a simulated audience over HTTP or WebSockets, and the check that every acknowledged
//! heartbeat is counted.
//!
//! The test keeps its own list of viewers whose heartbeat was acknowledged and who have not left.
//! During the run it polls the totals, which may never be lower than that list. At the end it lists
//! the online viewers of every stage on every node, by name. Other traffic on the same nodes can
//! only increase counts, and is not an error.

pub mod audience;
mod check;
pub mod demo;
mod expected;
mod tokens;
mod turns;
mod ws;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use housecount_net::client::Client;
use hyper::Method;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::check::PollStats;
use self::expected::ExpectedViewers;
pub use self::tokens::Tokens;
use self::turns::CallOrder;
use crate::load::audience::{AudienceConfig, SimulatedAudience, ViewerAction};

/// Maximum number of open requests. At the limit the audience waits, as players' own queues would.
const REQUESTS_MAX: usize = 512;
/// Upper bound of the latency histogram; the client's time limit is shorter.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Path of calls with many heartbeats.
const BATCH_PATH: &str = "/v1/heartbeats";
/// Maximum number of heartbeats in one call, with `--transport batch`.
const BATCH_BEATS: usize = 1_000;

/// Transport of the heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// One `POST /v1/heartbeat` per heartbeat
    Http,
    /// One WebSocket per viewer
    Ws,
    /// Up to 1,000 heartbeats in one `POST /v1/heartbeats`
    Batch,
}

/// Audience, target nodes and duration of a load test.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Target nodes, which get the requests in turn.
    pub nodes: Vec<Client>,
    /// Shape of the audience.
    pub shape: AudienceConfig,
    /// Duration of the run.
    pub duration: Duration,
    /// Transport of the heartbeats.
    pub transport: Transport,
    /// Signer of a token for each viewer, where nodes require one. Batch calls use the clients' own
    /// key instead.
    pub tokens: Option<Tokens>,
    /// Time within which every node counts what another node has acknowledged.
    pub agree_within: Duration,
}

/// Result of a load test.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Duration in seconds.
    pub seconds: f64,
    /// Heartbeats sent.
    pub sent: u64,
    /// Heartbeats acknowledged.
    pub acknowledged: u64,
    /// Heartbeats above their session's limit, which got the answer of its last acknowledged one.
    pub coalesced: u64,
    /// Heartbeats refused, or not answered.
    pub failed: u64,
    /// Leaves acknowledged.
    pub leaves: u64,
    /// Heartbeats acknowledged per second.
    pub beats_per_second: f64,
    /// Median latency of a request.
    pub p50_ms: f64,
    /// 99th percentile of the latency.
    pub p99_ms: f64,
    /// Viewers that must be counted at the end.
    pub expected_viewers: u64,
    /// Number of these viewers that are counted, on the node that counts the fewest.
    pub counted_viewers: u64,
    /// `expectedViewers` by stage.
    pub expected_by_stage: BTreeMap<String, u64>,
    /// Count of `/v1/stats` of the first node at the end; higher if other viewers watch too.
    pub stats_viewers: u64,
    /// Number of polls of the totals during the run.
    pub polls: u64,
    /// Polls with a count below the acknowledged number though the answer was `complete`.
    pub low_polls: u64,
    /// Polls with an incomplete count.
    pub incomplete_polls: u64,
    /// Problems in words, for a reader.
    pub problems: Vec<String>,
}

impl LoadReport {
    /// Whether every acknowledged heartbeat was counted.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.counted_viewers == self.expected_viewers
            && self.low_polls == 0
            && self.acknowledged > 0
    }
}

/// State that all senders share.
struct LoadShared {
    plan: LoadPlan,
    truth: Mutex<ExpectedViewers>,
    figures: Mutex<LoadStats>,
}

impl LoadShared {
    /// Signs the token that a call needs, for the viewer of the call.
    fn token(&self, call: &PlannedCall) -> Result<Option<String>, String> {
        match (&self.plan.tokens, &call.about[..]) {
            (Some(tokens), [(stage, viewer)]) if call.path != BATCH_PATH => {
                tokens.of(stage, viewer).map(Some)
            }
            _ => Ok(None),
        }
    }
}

struct LoadStats {
    sent: u64,
    acknowledged: u64,
    coalesced: u64,
    failed: u64,
    leaves: u64,
    latency_us: Histogram<u64>,
    first_failure: Option<String>,
}

impl LoadStats {
    fn fail(&mut self, count: u64, why: String) {
        self.failed += count;
        self.first_failure.get_or_insert(why);
    }
}

/// Plays the plan. `progress` gets the elapsed time in ms and the number of acknowledged
/// heartbeats.
///
/// # Errors
/// Returns one line if a node does not answer, or is not ready.
pub async fn run(plan: LoadPlan, mut progress: impl FnMut(u64, u64)) -> Result<LoadReport, String> {
    for node in &plan.nodes {
        let (status, body) = node.call(Method::GET, "/readyz", "").await?;
        if status != 200 {
            let why: Value = serde_json::from_slice(&body).unwrap_or_default();
            return Err(format!(
                "the node is not ready: {}",
                why["detail"].as_str().unwrap_or("no reason given")
            ));
        }
    }
    let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3).map_err(|e| e.to_string())?;
    let figures = LoadStats {
        sent: 0,
        acknowledged: 0,
        coalesced: 0,
        failed: 0,
        leaves: 0,
        latency_us,
        first_failure: None,
    };
    let shared =
        Arc::new(LoadShared { plan, truth: Mutex::default(), figures: Mutex::new(figures) });
    let started = Instant::now();
    let polls = Arc::new(Mutex::new(PollStats::default()));
    let poller = tokio::spawn(check::poll(shared.clone(), polls.clone()));
    play(&shared, started, &mut progress).await;
    poller.abort();
    let seconds = started.elapsed().as_secs_f64();
    let polls = polls.lock().clone();
    Ok(report(&shared, seconds, polls).await)
}

/// Sends the due calls until the time is up, and waits for the answers.
async fn play(shared: &Arc<LoadShared>, started: Instant, progress: &mut impl FnMut(u64, u64)) {
    let free = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut audience = SimulatedAudience::new(shared.plan.shape.clone());
    let (mut senders, mut turns) = (JoinSet::new(), CallOrder::default());
    let duration_ms = shared.plan.duration.as_millis() as u64;
    let mut turn = 0;
    let is_ws = shared.plan.transport == Transport::Ws;
    let mut viewers = ws::WsViewers::new(shared.clone());
    while let Some(at_ms) = audience.next_at_ms().filter(|at_ms| *at_ms < duration_ms) {
        tokio::time::sleep_until(started + Duration::from_millis(at_ms)).await;
        let now_ms = (started.elapsed().as_millis() as u64).min(duration_ms - 1);
        let mut due = Vec::new();
        while audience.next_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            due.extend(audience.next());
        }
        for call in calls(&audience, due, shared.plan.transport) {
            turn += 1;
            begin(shared, &call);
            if is_ws {
                viewers.say(turn, call);
                continue;
            }
            let Ok(permit) = free.clone().acquire_owned().await else { return };
            let shared = shared.clone();
            let turns = turns.take(&call);
            senders.spawn(async move {
                let turns = turns.wait().await;
                send(&shared, turn, call).await;
                drop((permit, turns));
            });
            while senders.try_join_next().is_some() {}
        }
        progress(now_ms, shared.figures.lock().acknowledged);
    }
    while senders.join_next().await.is_some() {}
    viewers.end().await;
    progress(duration_ms, shared.figures.lock().acknowledged);
}

/// A request, and the viewers in it.
struct PlannedCall {
    path: &'static str,
    body: Bytes,
    is_leave: bool,
    about: Vec<(String, String)>,
}

/// Converts due actions to requests.
fn calls(
    audience: &SimulatedAudience,
    due: Vec<ViewerAction>,
    transport: Transport,
) -> Vec<PlannedCall> {
    let name = |action: &ViewerAction| {
        (audience.stage_name(action.stage), audience.viewer_name(action.viewer))
    };
    let seat = |(stage, viewer): &(String, String)| json!({ "stage": stage, "viewer": viewer });
    let (leaves, beats): (Vec<_>, Vec<_>) = due.iter().partition(|action| action.is_leave);
    let one = |path, is_leave| {
        move |action: &ViewerAction| {
            let about = name(action);
            let mut body = seat(&about);
            if is_leave && transport == Transport::Ws {
                body["leave"] = Value::Bool(true);
            }
            PlannedCall { path, body: Bytes::from(body.to_string()), is_leave, about: vec![about] }
        }
    };
    let mut calls: Vec<PlannedCall> = match transport {
        Transport::Http | Transport::Ws => {
            beats.into_iter().map(one("/v1/heartbeat", false)).collect()
        }
        Transport::Batch => beats
            .chunks(BATCH_BEATS)
            .map(|chunk| {
                let about: Vec<_> = chunk.iter().map(|action| name(action)).collect();
                let body = Value::from_iter(about.iter().map(seat)).to_string();
                PlannedCall { path: BATCH_PATH, body: Bytes::from(body), is_leave: false, about }
            })
            .collect(),
    };
    calls.extend(leaves.into_iter().map(one("/v1/leave", true)));
    calls
}

/// Records that a call is about to be sent.
fn begin(shared: &LoadShared, call: &PlannedCall) {
    if call.is_leave {
        // From the leave on, the viewer may or may not be counted.
        call.about.iter().for_each(|(stage, viewer)| shared.truth.lock().leave(stage, viewer));
    } else {
        shared.figures.lock().sent += call.about.len() as u64;
    }
}

async fn send(shared: &LoadShared, turn: usize, call: PlannedCall) {
    let node = &shared.plan.nodes[turn % shared.plan.nodes.len()];
    let started = Instant::now();
    let answer = match shared.token(&call) {
        Ok(Some(token)) => node.call_as(&token, Method::POST, call.path, call.body.clone()).await,
        Ok(None) => node.call(Method::POST, call.path, call.body.clone()).await,
        Err(why) => Err(why),
    };
    let elapsed_us = started.elapsed().as_micros() as u64;
    let answer =
        answer.map(|(status, body)| (status, serde_json::from_slice(&body).unwrap_or_default()));
    note(shared, call, answer, elapsed_us);
}

/// Records an answer: its status, and its body as JSON.
fn note(
    shared: &LoadShared,
    call: PlannedCall,
    answer: Result<(u16, Value), String>,
    elapsed_us: u64,
) {
    let count = call.about.len() as u64;
    let mut figures = shared.figures.lock();
    match answer {
        Ok((204, _)) => figures.leaves += 1,
        Ok((200, body)) => {
            let coalesced = coalesced(&body).min(count);
            figures.acknowledged += count - coalesced;
            figures.coalesced += coalesced;
            figures.latency_us.saturating_record(elapsed_us);
            drop(figures);
            let mut truth = shared.truth.lock();
            call.about.into_iter().for_each(|(stage, viewer)| truth.beat(stage, viewer));
        }
        Ok((status, body)) => {
            let why = body["detail"].as_str().unwrap_or("no reason given").to_string();
            figures.fail(
                if call.is_leave { 0 } else { count },
                format!("{} answered {status}: {why}", call.path),
            );
        }
        Err(why) => figures.fail(if call.is_leave { 0 } else { count }, why),
    }
}

/// Number of coalesced heartbeats in an answer. A single answer has a boolean, a batch answer a
/// number.
fn coalesced(body: &Value) -> u64 {
    body["coalesced"].as_u64().unwrap_or_else(|| u64::from(body["coalesced"] == true))
}

async fn report(shared: &LoadShared, seconds: f64, polls: PollStats) -> LoadReport {
    let expected = shared.truth.lock().online(shared.plan.shape.interval_ms);
    let outcome = check::names(shared, &expected).await;
    let mut expected_by_stage = BTreeMap::new();
    for (stage, _) in &expected {
        *expected_by_stage.entry(stage.clone()).or_insert(0) += 1;
    }
    let figures = shared.figures.lock();
    let ms = |quantile| figures.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
    let mut problems = polls.problems;
    problems.extend(outcome.problems);
    problems.extend(figures.first_failure.clone());
    LoadReport {
        seconds,
        sent: figures.sent,
        acknowledged: figures.acknowledged,
        coalesced: figures.coalesced,
        failed: figures.failed,
        leaves: figures.leaves,
        beats_per_second: figures.acknowledged as f64 / seconds.max(0.001),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        expected_viewers: expected.len() as u64,
        counted_viewers: outcome.counted,
        expected_by_stage,
        stats_viewers: outcome.stats_viewers,
        polls: polls.total,
        low_polls: polls.low,
        incomplete_polls: polls.incomplete,
        problems,
    }
}
