//! The world: the stores, the active faults, the oracle, and the trace.

pub mod cold;
pub mod log;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use housecount_backend::log::Position;
use housecount_core::limits::UNCOMMITTED_RETENTION_MS_MAX;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

use crate::active_faults::ActiveFaults;
use crate::digest::{RunHash, RunHasher};
use crate::oracle::Oracle;
use crate::plan::{SimPlan, clock};

/// State that the simulation's nodes, players and checks share.
#[derive(Debug)]
pub struct World {
    /// Plan of the run.
    pub plan: SimPlan,
    /// Faults that are active now.
    pub trouble: Mutex<ActiveFaults>,
    /// The log's server.
    pub log: Mutex<log::LogServer>,
    /// The cold tier's server.
    pub cold: Mutex<cold::ColdServer>,
    /// Record of all events.
    pub truth: Mutex<Oracle>,
    /// Setting `ttl`.
    pub ttl_ms: u64,
    trace: Mutex<Trace>,
    digest: Mutex<RunHasher>,
    /// By partition, the time up to which the ledger has it, whether or not a node knows.
    edges: Mutex<BTreeMap<u16, UnixMs>>,
}

/// Checksum of the run's events, which can also be shown as text.
#[derive(Debug)]
struct Trace {
    is_shown: bool,
    hash: u64,
    violation: Option<String>,
}

impl World {
    /// A world at the start of a run. With `is_shown`, all that happens is written to standard
    /// error.
    #[must_use]
    pub fn new(plan: SimPlan, ttl_ms: u64, is_shown: bool) -> Arc<World> {
        Arc::new(World {
            trouble: Mutex::new(ActiveFaults::none(plan.nodes)),
            log: Mutex::new(log::LogServer::new(plan.partitions)),
            cold: Mutex::default(),
            truth: Mutex::new(Oracle::new(plan.partitions)),
            trace: Mutex::new(Trace { is_shown, hash: 0xcbf2_9ce4_8422_2325, violation: None }),
            digest: Mutex::default(),
            edges: Mutex::default(),
            ttl_ms,
            plan,
        })
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        housecount_backend::sim::mono_ms().unwrap_or_default()
    }

    /// Records something that happened.
    pub fn happened(&self, what: &str) {
        let at = clock(self.now_ms());
        let mut trace = self.trace.lock();
        // FNV-1a is frozen by its definition, so a seed's checksum is the same everywhere.
        for byte in at.bytes().chain(what.bytes()) {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if trace.is_shown {
            tracing::info!(target: "sim", "{at} {what}");
        }
    }

    /// Records a violation of an invariant. The first one counts.
    pub fn violated(&self, what: String) {
        let what = format!("at {}: {what}", clock(self.now_ms()));
        self.happened(&format!("VIOLATED {what}"));
        self.trace.lock().violation.get_or_insert(what);
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.trace.lock().violation.clone()
    }

    /// Checksum of all that happened.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.trace.lock().hash
    }

    /// Adds a fact to the run's hash, with the current time. A plan without checks has no hash.
    pub fn digest(&self, fact: impl FnOnce(&mut RunHasher, u64)) {
        if self.plan.is_checked {
            let now_ms = self.now_ms();
            fact(&mut self.digest.lock(), now_ms);
        }
    }

    /// Hash of the run so far.
    #[must_use]
    pub fn run_hash(&self) -> RunHash {
        self.digest.lock().finish()
    }

    /// Records that the log applied a record.
    pub fn appended(&self, partition: u16, position: Position, record: &Bytes) {
        if !self.plan.is_checked {
            return;
        }
        self.digest(|hasher, now_ms| hasher.record(now_ms, partition, position, record));
        let key = self.log.lock().key(partition);
        let applied = self.truth.lock().applied(record, key, self.now_ms(), self.ttl_ms);
        match applied {
            Ok(events) => self.happened(&format!("log {partition} {position}: {events} events")),
            Err(why) => self.violated(why),
        }
    }

    /// Records a trim, and checks that the ledger had the records.
    pub fn trimmed(&self, partition: u16, gone: usize, last: UnixMs) {
        let edge = self.edges.lock().get(&partition).copied().unwrap_or_default();
        let log_now = self.log.lock().clock(self.now_ms());
        if last >= edge && log_now.since(last) < UNCOMMITTED_RETENTION_MS_MAX {
            self.violated(format!("the log was trimmed to {last}, but the ledger ends at {edge}"));
        }
        self.happened(&format!("log {partition}: {gone} records trimmed to {last}"));
    }

    /// Records that a node wrote a window.
    pub fn committed(&self, partition: u16, edge: UnixMs) {
        self.happened(&format!("ledger {partition}: committed to {edge}"));
        let mut edges = self.edges.lock();
        let known = edges.entry(partition).or_default();
        *known = edge.max(*known);
        self.truth.lock().commits.push((self.now_ms(), partition, edge));
    }

    /// The latest time up to which the ledger has any partition.
    #[must_use]
    pub fn committed_by_any(&self) -> UnixMs {
        self.edges.lock().values().copied().max().unwrap_or_default()
    }

    /// Time up to which the ledger has all partitions.
    #[must_use]
    pub fn committed_to(&self) -> UnixMs {
        let edges = self.edges.lock();
        (0..self.plan.partitions)
            .map(|p| edges.get(&p).copied().unwrap_or_default())
            .min()
            .unwrap_or_default()
    }
}
