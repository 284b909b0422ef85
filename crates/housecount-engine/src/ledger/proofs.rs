//! Proof of this node, by partition. It is held in memory from a while before the ledger's end up
//! to now.
//!
//! It is a second reading of the fold, under the fold's lock. A walk through all of it takes one
//! slice at a time, so that no heartbeat waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use housecount_backend::clock::Stopwatch;
use housecount_core::fold::{Fold, ProvenSpans, Walk};
use housecount_core::limits::PLACES_PER_HOLD_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::Book;
use parking_lot::RwLock;

use crate::hub::{Hold, SharedFold};

/// Least number of places that are read under one hold of the fold's lock.
const PLACES_PER_HOLD_MIN: usize = 32;
/// Longest hold of the fold's lock for a slice, so that no heartbeat waits longer. Slices that take
/// longer become shorter.
const HOLD_MAX: Duration = Duration::from_micros(50);

/// Viewers that are restored under one hold of the fold's lock: some 50 us.
const CARRIED_PER_HOLD: usize = 64;

/// Proven watch time of this node, and the time up to which the ledger has it.
#[derive(Debug)]
pub struct Proofs {
    fold: SharedFold,
    /// Time up to which the ledger has each partition, in Unix ms.
    committed: Vec<AtomicU64>,
    /// Whether this node may have proof that other writers lacked, by partition.
    owes: Vec<AtomicBool>,
    /// Walks through the fold share the lock. Removing seats takes it exclusively.
    walks: RwLock<()>,
    ttl_ms: u64,
    lateness_max_ms: u64,
    window_ms: u64,
}

impl Proofs {
    /// Creates the proof of a fold that keeps proof.
    #[must_use]
    pub fn new(fold: SharedFold, lateness_max_ms: u64, window_ms: u64) -> Proofs {
        let (partitions, ttl_ms) = {
            let fold = fold.lock(Hold::Look);
            (fold.partitions(), fold.rules().ttl_ms)
        };
        let committed = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let owes = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        Proofs { fold, committed, owes, walks: RwLock::new(()), ttl_ms, lateness_max_ms, window_ms }
    }

    /// Number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.committed.len()).unwrap_or(u16::MAX)
    }

    /// How far back late spans may reach.
    ///
    /// An event is accepted up to `lateness_max` behind the committed time, and may prove one `ttl`
    /// more. It may also come while the next window is being written.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.lateness_max_ms + self.ttl_ms + self.window_ms
    }

    /// Restores the spans that are open at the end of a partition's ledger, after everything else
    /// was lost.
    ///
    /// Returns the number of viewers.
    pub fn restore_open_spans(&self, book: &Book) -> usize {
        let (mut carried, mut count) = (book.open_spans().peekable(), 0);
        while carried.peek().is_some() {
            let mut fold = self.fold.lock(Hold::Rebuild);
            for (stage, viewer, labels, span) in carried.by_ref().take(CARRIED_PER_HOLD) {
                fold.restore_open_span(stage, &viewer, labels, span);
                count += 1;
            }
        }
        count
    }

    /// Time up to which the ledger has a partition; zero if unknown.
    #[must_use]
    pub fn committed(&self, partition: u16) -> UnixMs {
        UnixMs(self.of(partition).load(Ordering::Relaxed))
    }

    /// Marks that other nodes may have written without the proof that this node has.
    ///
    /// The reason is that the log had lost data, or that this node couldn't reach it.
    pub fn mark_unwritten(&self, partition: u16) {
        self.owes[usize::from(partition)].store(true, Ordering::Relaxed);
    }

    /// Whether this node must soon write all its proof.
    #[must_use]
    pub fn has_unwritten(&self, partition: u16) -> bool {
        self.owes[usize::from(partition)].load(Ordering::Relaxed)
    }

    /// Records that this node has written it.
    pub fn clear_unwritten(&self, partition: u16) {
        self.owes[usize::from(partition)].store(false, Ordering::Relaxed);
    }

    /// Time up to which the ledger has all partitions.
    #[must_use]
    pub fn committed_to(&self) -> UnixMs {
        (0..self.partitions()).map(|partition| self.committed(partition)).min().unwrap_or_default()
    }

    /// Records that the ledger has a partition up to `to`. Events that are too old to be credited
    /// are then refused.
    ///
    /// An earlier time changes nothing.
    pub fn note_committed(&self, partition: u16, to: UnixMs) {
        let known = self.of(partition).fetch_max(to.0, Ordering::Relaxed);
        if known >= to.0 {
            return;
        }
        let floor = to.minus(self.lateness_max_ms);
        self.fold.lock(Hold::Look).refuse_before(partition, floor);
    }

    /// Prunes proof that no accepted event can reach, and that is written as far back as late spans
    /// reach. It takes a while.
    pub fn prune(&self, partition: u16) {
        let before = self.committed(partition).minus(self.kept_ms());
        // A walk in progress must find the seats that it began with.
        let _alone = self.walks.write();
        let places = self.fold.lock(Hold::Look).places();
        self.in_slices(Hold::Forget, places, |fold, places| fold.prune(partition, places, before));
    }

    /// Calls `with` for every viewer of a partition with proof within `within`, in no order.
    pub fn for_each_proven(&self, partition: u16, within: Span, with: impl FnMut(ProvenSpans<'_>)) {
        self.for_each_changed_since(&Walk::of_all(partition, within), with);
    }

    /// Calls `with` for the viewers that a walk selects, in no order.
    ///
    /// Returns the number of viewers that it skipped because they were online throughout. See
    /// [`Fold::for_each_changed_since`].
    pub fn for_each_changed_since(
        &self,
        walk: &Walk,
        mut with: impl FnMut(ProvenSpans<'_>),
    ) -> usize {
        let _shared = self.walks.read();
        let places = self.fold.lock(Hold::Look).begin_walk();
        let _end = EndWalk(&self.fold);
        let mut passed_over = 0;
        self.in_slices(Hold::Proof, places, |fold, places| {
            passed_over += fold.for_each_changed_since(walk, places, &mut with)
        });
        passed_over
    }

    /// Start of the first proven time within `within`.
    #[must_use]
    pub fn first_proven_at(&self, partition: u16, within: Span) -> Option<UnixMs> {
        let mut first: Option<UnixMs> = None;
        self.for_each_proven(partition, within, |proven| {
            let from = proven.spans.first().map(|span| span.from);
            first = first.into_iter().chain(from).min();
        });
        first
    }

    /// Number of sessions in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fold.lock(Hold::Look).len()
    }

    /// Whether no session is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&self, partition: u16) -> &AtomicU64 {
        &self.committed[usize::from(partition)]
    }

    /// Processes places in slices. The next waiter gets the lock in between, and slices that take
    /// long become shorter.
    fn in_slices(
        &self,
        hold: Hold,
        places: usize,
        mut with: impl FnMut(&mut Fold, std::ops::Range<usize>),
    ) {
        let (mut from, mut length) = (0, PLACES_PER_HOLD_MIN);
        while from < places {
            let to = places.min(from + length);
            let held = {
                let mut fold = self.fold.lock(hold);
                let watch = Stopwatch::start();
                with(&mut fold, from..to);
                watch.elapsed()
            };
            length = if held > HOLD_MAX { length / 2 } else { length * 2 };
            length = length.clamp(PLACES_PER_HOLD_MIN, PLACES_PER_HOLD_MAX);
            from = to;
        }
    }
}

/// Guard that ends a walk, also on a panic.
struct EndWalk<'a>(&'a SharedFold);

impl Drop for EndWalk<'_> {
    fn drop(&mut self) {
        self.0.lock(Hold::Look).end_walk();
    }
}
