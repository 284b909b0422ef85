//! What has been proven, on this node, by partition: in memory from a while before what the ledger
//! has, up to now.
//!
//! It is the fold's second reading, under the fold's lock: whoever goes through all of it does so a
//! slice at a time, so that no heartbeat waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::fold::{Fold, ProvenSpans, Walk};
use housecount_core::ledger::Book;
use housecount_core::limits::PLACES_PER_HOLD_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use parking_lot::RwLock;

use crate::clock::Stopwatch;
use crate::hub::{Hold, SharedFold};

/// The least number of places gone through under one hold of the fold's lock.
const PLACES_PER_HOLD_MIN: usize = 32;
/// How long the fold's lock is held for a slice, so that no heartbeat waits longer: slices that
/// take longer become shorter.
const HOLD_MAX: Duration = Duration::from_micros(50);

/// Viewers carried over under one hold of the fold's lock: some 50 us.
const CARRIED_PER_HOLD: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub struct Proofs {
    fold: SharedFold,
    /// Up to when the ledger has each partition, in Unix ms.
    committed: Vec<AtomicU64>,
    /// Whether this node may know more than whoever has written meanwhile.
    owes: Vec<AtomicBool>,
    /// Shared by walks through the fold; alone with it is what removes seats.
    walks: RwLock<()>,
    ttl_ms: u64,
    lateness_max_ms: u64,
    window_ms: u64,
}

impl Proofs {
    /// What a fold that keeps proof has proven.
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

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.committed.len()).unwrap_or(u16::MAX)
    }

    /// How far back late spans may lie: an event is taken `lateness_max` behind what is committed,
    /// may prove a `ttl` more, and may come while the next window is being written.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.lateness_max_ms + self.ttl_ms + self.window_ms
    }

    /// Takes in what a partition's ledger says goes on, after everything else was lost. Returns how
    /// many viewers it was.
    pub fn restore_open_spans(&self, book: &Book) -> usize {
        let (mut carried, mut count) = (book.open_spans().peekable(), 0);
        while carried.peek().is_some() {
            let mut fold = self.fold.lock(Hold::Rebuild);
            for (stage, viewer, span) in carried.by_ref().take(CARRIED_PER_HOLD) {
                fold.restore_open_span(stage, &viewer, span);
                count += 1;
            }
        }
        count
    }

    /// Up to when the ledger has a partition; zero if that isn't known.
    #[must_use]
    pub fn committed(&self, partition: u16) -> UnixMs {
        UnixMs(self.of(partition).load(Ordering::Relaxed))
    }

    /// The log had lost something, or this node couldn't reach it: others may have written without
    /// knowing what this one knows.
    pub fn mark_unwritten(&self, partition: u16) {
        self.owes[usize::from(partition)].store(true, Ordering::Relaxed);
    }

    /// Whether this node is to write soon, and all it knows.
    #[must_use]
    pub fn has_unwritten(&self, partition: u16) -> bool {
        self.owes[usize::from(partition)].load(Ordering::Relaxed)
    }

    /// It has.
    pub fn clear_unwritten(&self, partition: u16) {
        self.owes[usize::from(partition)].store(false, Ordering::Relaxed);
    }

    /// Up to when the ledger has all partitions.
    #[must_use]
    pub fn committed_to(&self) -> UnixMs {
        (0..self.partitions()).map(|partition| self.committed(partition)).min().unwrap_or_default()
    }

    /// The ledger has a partition up to `to`: what is too far back to be credited is refused. An
    /// earlier time changes nothing.
    pub fn note_committed(&self, partition: u16, to: UnixMs) {
        let known = self.of(partition).fetch_max(to.0, Ordering::Relaxed);
        if known >= to.0 {
            return;
        }
        let floor = to.minus(self.lateness_max_ms);
        self.fold.lock(Hold::Look).refuse_before(partition, floor);
    }

    /// Forgets what no event that is still taken can reach, and is written as far as late spans
    /// are. Takes a while.
    pub fn prune(&self, partition: u16) {
        let before = self.committed(partition).minus(self.kept_ms());
        // A walk that is under way must find the seats that it began with.
        let _alone = self.walks.write();
        let places = self.fold.lock(Hold::Look).places();
        self.in_slices(Hold::Forget, places, |fold, places| fold.prune(partition, places, before));
    }

    /// Calls `with` for every viewer of a partition who has proven anything within `within`, in no
    /// order.
    pub fn for_each_proven(&self, partition: u16, within: Span, with: impl FnMut(ProvenSpans<'_>)) {
        self.for_each_changed_since(&Walk::of_all(partition, within), with);
    }

    /// Calls `with` for the viewers that a walk looks for, in no order. Returns how many it passed
    /// over who were online throughout; see [`Fold::for_each_changed_since`].
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

    /// When the first time that is proven within `within` begins.
    #[must_use]
    pub fn first_proven_at(&self, partition: u16, within: Span) -> Option<UnixMs> {
        let mut first: Option<UnixMs> = None;
        self.for_each_proven(partition, within, |proven| {
            let from = proven.spans.first().map(|span| span.from);
            first = first.into_iter().chain(from).min();
        });
        first
    }

    /// Sessions that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fold.lock(Hold::Look).len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&self, partition: u16) -> &AtomicU64 {
        &self.committed[usize::from(partition)]
    }

    /// Goes through places a slice at a time. The task that waits for the lock comes next, and
    /// slices are shorter where they take long.
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

/// Ends a walk, however it ends.
struct EndWalk<'a>(&'a SharedFold);

impl Drop for EndWalk<'_> {
    fn drop(&mut self) {
        self.0.lock(Hold::Look).end_walk();
    }
}
