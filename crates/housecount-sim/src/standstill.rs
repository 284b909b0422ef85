//! Checks of the nodes while the log takes no writes and still answers reads. No count is complete,
//! no node is ready, and time stands still. The other checks cover the held events, once the log
//! takes them.

use std::collections::BTreeMap;

use housecount_core::time::UnixMs;
use housecount_engine::internals::EngineState;

use crate::active_faults::CallKind;
use crate::world::World;

/// Time within which a node without players notices that the log refuses all writes. It is the
/// longest pause between two writes, and the duration of the writes on two partitions. If the log
/// refuses appends alone, it is an interval more.
const LEARNS_MS: u64 = 5_000 + 2 * 2 * 500;
/// Time within which a node with an event to append notices: one call, and the linger of the batch.
const TRIES_MS: u64 = 750;

/// State of a run at its last look.
#[derive(Clone, Copy, Debug)]
struct LastSample {
    at_ms: u64,
    /// Time since which the run has been ready.
    started_ms: Option<u64>,
    /// Number of accepted events less those that wait for the log; `None` if no event waits.
    done_while_waiting: Option<u64>,
    /// Time of the run at which it stood still, if it had to.
    stands_at: Option<UnixMs>,
}

/// State seen last, by run.
#[derive(Debug, Default)]
pub struct Standstill(BTreeMap<usize, LastSample>);

impl Standstill {
    /// Checks one run of a node.
    pub fn look(&mut self, world: &World, number: usize, node: &EngineState, run: usize) {
        let before = self.0.get(&run).copied();
        let now_ms = world.now_ms();
        let is_started = node.readiness.not_ready_reason().is_none();
        let started_ms =
            is_started.then(|| before.and_then(|before| before.started_ms).unwrap_or(now_ms));
        let (waiting, taken) = (node.metrics.append_queue.get().max(0) as u64, taken(node));
        let done_while_waiting = (waiting > 0).then(|| taken.saturating_sub(waiting));
        let refused_since_ms = |call| world.trouble.lock().refused_since_ms(number, call);
        let has_learnt = |call, within_ms| {
            let since_ms = refused_since_ms(call).zip(started_ms);
            since_ms.is_some_and(|(since_ms, started_ms)| {
                since_ms.max(started_ms) + within_ms <= now_ms
            })
        };
        let learns = has_learnt(CallKind::Append, LEARNS_MS)
            && (has_learnt(CallKind::Note, LEARNS_MS)
                || has_learnt(CallKind::Append, LEARNS_MS + node.settings.interval_ms));
        // The same event still waits if none was completed since.
        let waited =
            |before: &LastSample| waiting > 0 && before.done_while_waiting == done_while_waiting;
        let tries = refused_since_ms(CallKind::Append).zip(before.filter(waited));
        let tries = is_started
            && tries
                .is_some_and(|(since_ms, before)| since_ms.max(before.at_ms) + TRIES_MS <= now_ms);
        let stands_at = (learns || tries).then(|| {
            let now = node.hub.now();
            self.check(world, node, run, before.and_then(|before| before.stands_at));
            now
        });
        self.0.insert(run, LastSample { at_ms: now_ms, started_ms, done_while_waiting, stands_at });
    }

    fn check(&self, world: &World, node: &EngineState, run: usize, stood_at: Option<UnixMs>) {
        let (now, status) = (node.hub.now(), node.hub.totals().status);
        if status.complete {
            world.violated(format!(
                "run {run} reports complete counts while the log accepts none of its writes"
            ));
        }
        if node.not_ready_reason().is_none() {
            world.violated(format!("run {run} is ready while the log accepts none of its writes"));
        }
        if stood_at.is_some_and(|stood_at| now > stood_at) {
            world.violated(format!(
                "run {run} advances time to {now} while the log accepts none of its writes"
            ));
        }
    }
}

fn taken(node: &EngineState) -> u64 {
    ["beat", "leave"].map(|kind| node.metrics.events_total(kind)).iter().sum()
}
