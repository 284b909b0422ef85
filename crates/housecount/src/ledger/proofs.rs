//! What has been proven, on this node, by partition: in memory from a while before what the ledger has, up to now.
//!
//! Only the follower adds to it, so that no heartbeat waits for it. Whoever goes through all of it does so a slice at a
//! time, so that the follower doesn't wait either.

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::event::EventRef;
use housecount_core::ledger::Book;
use housecount_core::proof::{Proof, Proven};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use parking_lot::{Mutex, MutexGuard};

/// Viewers gone through under one lock: a millisecond or less.
const SLICE: usize = 2_048;

#[derive(Debug)]
struct Partition {
    proof: Mutex<Proof>,
    /// Up to when the ledger has it, in Unix ms.
    committed: AtomicU64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Proofs {
    partitions: Vec<Partition>,
    ttl_ms: u64,
    lateness_max_ms: u64,
    window_ms: u64,
}

impl Proofs {
    /// Nothing is proven yet.
    #[must_use]
    pub fn new(partitions: u16, ttl_ms: u64, lateness_max_ms: u64, window_ms: u64) -> Proofs {
        let partition = |_| Partition { proof: Mutex::new(Proof::new(ttl_ms)), committed: AtomicU64::new(0) };
        Proofs { partitions: (0..partitions).map(partition).collect(), ttl_ms, lateness_max_ms, window_ms }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.partitions.len()).unwrap_or(u16::MAX)
    }

    /// How far back late spans may lie: an event is taken `lateness_max` behind what is committed, may prove a `ttl` more, and
    /// may come while the next window is being written.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.lateness_max_ms + self.ttl_ms + self.window_ms
    }

    /// Takes in events of a partition. Returns how many came too late to be credited.
    pub fn apply<'a>(&self, partition: u16, events: impl IntoIterator<Item = EventRef<'a>>) -> usize {
        let mut proof = self.of(partition).proof.lock();
        events.into_iter().filter(|event| !proof.apply(event)).count()
    }

    /// Takes in what a partition's ledger says goes on, after everything else was lost. Returns how many viewers it was.
    pub fn carry(&self, partition: u16, book: &Book) -> usize {
        let mut proof = self.of(partition).proof.lock();
        let carried = book.carried().map(|(stage, viewer, span)| proof.carry(stage, viewer, span));
        carried.count()
    }

    /// Up to when the ledger has a partition; zero if that isn't known.
    #[must_use]
    pub fn committed(&self, partition: u16) -> UnixMs {
        UnixMs(self.of(partition).committed.load(Ordering::Relaxed))
    }

    /// Up to when the ledger has all partitions.
    #[must_use]
    pub fn committed_to(&self) -> UnixMs {
        (0..self.partitions()).map(|partition| self.committed(partition)).min().unwrap_or_default()
    }

    /// The ledger has a partition up to `to`: what is too far back to be credited is refused. An earlier time changes nothing.
    pub fn note_committed(&self, partition: u16, to: UnixMs) {
        let known = self.of(partition).committed.fetch_max(to.0, Ordering::Relaxed);
        if known >= to.0 {
            return;
        }
        let floor = to.minus(self.lateness_max_ms);
        self.of(partition).proof.lock().note_committed(to, floor);
    }

    /// Forgets what no event that is still taken can reach, and is written as far as late spans are. Takes a while.
    pub fn forget(&self, partition: u16) {
        let before = self.committed(partition).minus(self.kept_ms());
        self.in_slices(partition, |proof, places| proof.forget(places, before));
    }

    /// Calls `with` for everybody in a partition who has proven anything within `within`, in no order.
    pub fn each(&self, partition: u16, within: Span, with: impl FnMut(Proven<'_>)) {
        self.each_unsettled(partition, within, UnixMs::ZERO, with);
    }

    /// The same, but for those who have proven nothing since `settled`, and nothing late.
    pub fn each_unsettled(
        &self,
        partition: u16,
        within: Span,
        settled: UnixMs,
        mut with: impl FnMut(Proven<'_>),
    ) {
        self.in_slices(partition, |proof, places| proof.each_unsettled(places, within, settled, &mut with));
    }

    /// When the first time that is proven within `within` begins.
    #[must_use]
    pub fn first(&self, partition: u16, within: Span) -> Option<UnixMs> {
        let mut first: Option<UnixMs> = None;
        self.each(partition, within, |proven| {
            let from = proven.spans.first().map(|span| span.from);
            first = first.into_iter().chain(from).min();
        });
        first
    }

    /// Viewers on stages that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.proof.lock().len()).sum()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs `with` over events that prove again, on any node, what the ledger doesn't have.
    pub fn with_events<T>(
        &self,
        partition: u16,
        with: impl FnOnce(&mut dyn Iterator<Item = EventRef<'_>>) -> T,
    ) -> T {
        let from = self.committed(partition).minus(self.ttl_ms);
        let proof = self.of(partition).proof.lock();
        let mut events = proof.events(from);
        with(&mut events)
    }

    fn of(&self, partition: u16) -> &Partition {
        &self.partitions[usize::from(partition)]
    }

    fn in_slices(&self, partition: u16, mut with: impl FnMut(&mut Proof, std::ops::Range<usize>)) {
        let mut from = 0;
        loop {
            let mut proof = self.of(partition).proof.lock();
            let to = proof.places().min(from + SLICE);
            with(&mut proof, from..to);
            let is_last = to >= proof.places();
            // Whoever waits comes next, and not whoever has just been here.
            MutexGuard::unlock_fair(proof);
            if is_last {
                return;
            }
            from = to;
        }
    }
}
