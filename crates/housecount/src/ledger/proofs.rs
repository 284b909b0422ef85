//! What has been proven, on this node, by partition: in memory from a while before what the ledger has, up to now.
//!
//! It is the fold's second reading, under the fold's lock: whoever goes through all of it does so a slice at a time, so that
//! no heartbeat waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_core::fold::{Fold, Proven};
use housecount_core::ledger::Book;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use parking_lot::{Mutex, MutexGuard};

/// Seats gone through under one lock: a quarter of a millisecond or less.
const SLICE: usize = 512;

/// See the module's text.
#[derive(Debug)]
pub struct Proofs {
    fold: Arc<Mutex<Fold>>,
    /// Up to when the ledger has each partition, in Unix ms.
    committed: Vec<AtomicU64>,
    /// Whether this node may know more than whoever has written meanwhile.
    owes: Vec<AtomicBool>,
    ttl_ms: u64,
    lateness_max_ms: u64,
    window_ms: u64,
}

impl Proofs {
    /// What a fold that keeps proof has proven.
    #[must_use]
    pub fn new(fold: Arc<Mutex<Fold>>, lateness_max_ms: u64, window_ms: u64) -> Proofs {
        let (partitions, ttl_ms) = {
            let fold = fold.lock();
            (fold.partitions(), fold.rules().ttl_ms)
        };
        let committed = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let owes = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        Proofs { fold, committed, owes, ttl_ms, lateness_max_ms, window_ms }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.committed.len()).unwrap_or(u16::MAX)
    }

    /// How far back late spans may lie: an event is taken `lateness_max` behind what is committed, may prove a `ttl` more, and
    /// may come while the next window is being written.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.lateness_max_ms + self.ttl_ms + self.window_ms
    }

    /// Takes in what a partition's ledger says goes on, after everything else was lost. Returns how many viewers it was.
    pub fn carry(&self, book: &Book) -> usize {
        let mut fold = self.fold.lock();
        let carried = book.carried().map(|(stage, viewer, span)| fold.carry(stage, viewer, span));
        carried.count()
    }

    /// Up to when the ledger has a partition; zero if that isn't known.
    #[must_use]
    pub fn committed(&self, partition: u16) -> UnixMs {
        UnixMs(self.of(partition).load(Ordering::Relaxed))
    }

    /// The log had lost something, or this node couldn't reach it: others may have written without knowing what this one knows.
    pub fn owe(&self, partition: u16) {
        self.owes[usize::from(partition)].store(true, Ordering::Relaxed);
    }

    /// Whether this node is to write soon, and all it knows.
    #[must_use]
    pub fn owes(&self, partition: u16) -> bool {
        self.owes[usize::from(partition)].load(Ordering::Relaxed)
    }

    /// It has.
    pub fn settle(&self, partition: u16) {
        self.owes[usize::from(partition)].store(false, Ordering::Relaxed);
    }

    /// Up to when the ledger has all partitions.
    #[must_use]
    pub fn committed_to(&self) -> UnixMs {
        (0..self.partitions()).map(|partition| self.committed(partition)).min().unwrap_or_default()
    }

    /// The ledger has a partition up to `to`: what is too far back to be credited is refused. An earlier time changes nothing.
    pub fn note_committed(&self, partition: u16, to: UnixMs) {
        let known = self.of(partition).fetch_max(to.0, Ordering::Relaxed);
        if known >= to.0 {
            return;
        }
        let floor = to.minus(self.lateness_max_ms);
        self.fold.lock().note_committed(partition, to, floor);
    }

    /// Forgets what no event that is still taken can reach, and is written as far as late spans are. Takes a while.
    pub fn forget(&self, partition: u16) {
        let before = self.committed(partition).minus(self.kept_ms());
        self.in_slices(|fold, places| fold.forget(partition, places, before));
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
        self.in_slices(|fold, places| fold.each_unsettled(partition, places, within, settled, &mut with));
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

    /// Sessions that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fold.lock().len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&self, partition: u16) -> &AtomicU64 {
        &self.committed[usize::from(partition)]
    }

    fn in_slices(&self, mut with: impl FnMut(&mut Fold, std::ops::Range<usize>)) {
        let mut from = 0;
        loop {
            let mut fold = self.fold.lock();
            let to = fold.places().min(from + SLICE);
            with(&mut fold, from..to);
            let is_last = to >= fold.places();
            // Whoever waits comes next, and not whoever has just been here.
            MutexGuard::unlock_fair(fold);
            if is_last {
                return;
            }
            from = to;
        }
    }
}
