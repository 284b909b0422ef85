//! The fold: a state built from the log's events, which answers who is online and what watch time
//! is proven.
//!
//! There is one state, and two rules that only read it: [`presence`] decides who is online,
//! [`proof`] what is billed.
//!
//! # The state
//! The state of a session (`times`) is the set of its leaves, and its beats as runs. It is a
//! function of the *set* of events: order, repetition and batching don't matter. Pruned data could
//! not matter any more, because no event that is still accepted reaches it.
//!
//! Sessions are stored in `seats`, with an arena of their ids. `looks` schedules the times at which
//! a change may be due without an event. A beat of a known session finds its seat by [`Handle`]. It
//! touches that seat, which is one cache line, and no other memory.

mod advance;
mod expiry_queue;
mod labels;
mod online;
pub mod presence;
pub mod proof;
mod seat;
mod seats;
mod stages;
pub mod streams;
#[cfg(test)]
mod tests;
mod times;
pub mod touched;
mod views;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use self::expiry_queue::ExpiryQueue;
pub use self::labels::{CountsByLabel, KnownLabels, LabelRoom};
pub use self::presence::{Count, Totals};
pub use self::proof::{LabelledSpan, ProvenSpans, Walk};
use self::seat::{NOWHERE, SeatFlag, SeatIndex, StageIndex};
use self::seats::SeatTable;
pub use self::streams::{Stream, StreamsPolicy};
pub use self::views::{
    CheckpointEvent, LastEvents, PresenceView, SessionContext, StageSlice, StageView,
};
pub use crate::event::Ids;
use crate::event::{EventKind, EventRef, partition_of};
pub use crate::handle::{Handle, HandleKey};
use crate::record::RecordEntry;
use crate::time::UnixMs;

/// Durations that the rules use. Both come from settings.
///
/// ```
/// use housecount_core::fold::Rules;
///
/// let rules = Rules { ttl_ms: 90_000, leave_grace_ms: 3_000 };
/// assert!(rules.leave_grace_ms < rules.ttl_ms);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Time for which a session stays online after its last beat. Two beats at most this far apart
    /// prove the time between them.
    pub ttl_ms: u64,
    /// Time from a leave's event until it takes effect.
    pub leave_grace_ms: u64,
}

impl Rules {
    /// Returns how long after its ids were logged a session's beats may be logged by handle alone.
    /// The log is kept longer by this time, so that a reader finds the ids of all events it needs.
    #[must_use]
    pub fn handle_valid_ms(self) -> u64 {
        3 * self.ttl_ms
    }
}

/// Number of beats that are looked up at once.
const AHEAD: usize = 32;

/// Outcome of an event. Only counters use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The event is part of the state.
    Applied,
    /// The event is so old that it can't change any count any more. Time that it proves is
    /// credited.
    TooOld,
    /// The event is so old that nothing is credited for it either.
    Uncredited,
}

/// State of all sessions, built from the log's events, which answers presence and proof. Its size
/// is bounded by the sessions of one `ttl`, and by those whose proof is kept.
#[derive(Debug)]
pub struct Fold {
    rules: Rules,
    /// Whether proof is needed. If not, a session's proof is dropped together with its presence.
    keeps_proof: bool,
    now: UnixMs,
    seats: SeatTable,
    keys: Vec<HandleKey>,
    /// Earliest time of accepted events, by partition. The ledger already has the time before it.
    floors: Vec<UnixMs>,
    totals: Totals,
    looks: ExpiryQueue,
    /// Leaves and displacements that have not taken effect, by the time at which they do.
    pending: BinaryHeap<Reverse<(UnixMs, SeatIndex)>>,
    /// Stages without online sessions, with the time at which they became idle.
    idle_stages: VecDeque<(UnixMs, StageIndex)>,
    /// Number of seats without ids that may be online.
    nameless: usize,
    /// Whether any open span was restored from the ledger.
    is_carried: bool,
    /// Second from which logged ids are safe. Ids logged before it may be lost.
    ids_logged_since_s: u32,
}

impl Fold {
    /// Creates an empty fold. `leave_grace` must be less than `ttl`, which the settings ensure.
    #[must_use]
    pub fn new(rules: Rules, partitions: u16, keeps_proof: bool) -> Fold {
        debug_assert!(rules.leave_grace_ms < rules.ttl_ms);
        let partitions = usize::from(partitions.max(1));
        Fold {
            rules,
            keeps_proof,
            now: UnixMs::ZERO,
            seats: SeatTable::default(),
            keys: vec![HandleKey::default(); partitions],
            floors: vec![UnixMs::ZERO; partitions],
            totals: Totals::default(),
            looks: ExpiryQueue::default(),
            pending: BinaryHeap::new(),
            idle_stages: VecDeque::new(),
            nameless: 0,
            is_carried: false,
            ids_logged_since_s: 1,
        }
    }

    /// Returns the time up to which all events count as known.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.now
    }

    /// Returns the rules.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Returns the number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.keys.len() as u16
    }

    /// Returns the partition of a viewer.
    #[must_use]
    pub fn partition(&self, viewer: &str) -> u16 {
        match self.keys.len() {
            1 => 0,
            partitions => partition_of(viewer, partitions as u16),
        }
    }

    fn handle(&self, ids: Ids<'_>) -> (u8, Handle) {
        let partition = self.partition(ids.viewer);
        let key = self.keys[usize::from(partition)];
        (partition as u8, Handle::of(key, ids.stage, ids.viewer, ids.session))
    }

    /// Returns the key of a partition's handles.
    #[must_use]
    pub fn key(&self, partition: u16) -> HandleKey {
        self.keys.get(usize::from(partition)).copied().unwrap_or_default()
    }

    /// Sets the key of a partition's handles. Returns false if a nameless session that may be
    /// online can never get its ids.
    pub fn set_key(&mut self, partition: u16, key: HandleKey) -> bool {
        let Some(known) = self.keys.get_mut(usize::from(partition)) else { return true };
        if *known == key {
            return true;
        }
        let nameless_before = self.nameless;
        *known = key;
        self.seats.rekey(partition as u8, key);
        let nameless = |seat: &SeatIndex| {
            let seat = &self.seats[*seat];
            seat.is_unresolved() && seat.check_s != NOWHERE
        };
        self.nameless = self.seats.within(0..self.seats.places()).filter(nameless).count();
        self.nameless == nameless_before
    }

    /// Applies one event, whose ids must have been checked. Applying it again changes nothing.
    pub fn apply(&mut self, event: &EventRef<'_>) -> ApplyOutcome {
        let (partition, handle) = self.handle(event.ids);
        match self.refusal(partition, event.at) {
            Some(refusal) => refusal,
            None => {
                let seat = self.find_or_insert(partition, handle, event.ids);
                if self.claim_labels(seat, event).is_lt() {
                    // The log may have the ids, and not these labels.
                    self.seats[seat].ids_logged_s = 0;
                }
                // The log may have earlier beats of the session, which this node has not read.
                if self.seats.last(seat).0 == UnixMs::ZERO {
                    self.claim_no_labels(seat, event);
                }
                self.apply_to_seat(seat, event.kind, event.at)
            }
        }
    }

    /// Applies the entries of a partition's record, which the log has had since `logged_at`. Calls
    /// `with` for the outcome of each.
    pub fn apply_all(
        &mut self,
        partition: u16,
        entries: &[RecordEntry<'_>],
        logged_at: UnixMs,
        mut with: impl FnMut(ApplyOutcome),
    ) {
        for chunk in entries.chunks(AHEAD) {
            // All are looked up before the first is changed, so that their cache misses overlap.
            let asked = std::array::from_fn::<_, AHEAD, _>(|n| match chunk.get(n)? {
                RecordEntry::Full(event) => Some(self.handle(event.ids)),
                RecordEntry::ByHandle { handle, .. } => Some((partition as u8, *handle)),
            });
            let found = self.seats.find_handles(asked.map(|asked| Some(asked?.1)));
            for ((entries, asked), found) in
                chunk.iter().zip(asked.into_iter().flatten()).zip(found)
            {
                with(self.apply_entry(entries, asked, found, logged_at));
            }
        }
    }

    fn apply_entry(
        &mut self,
        entries: &RecordEntry<'_>,
        (partition, handle): (u8, Handle),
        found: Option<SeatIndex>,
        logged_at: UnixMs,
    ) -> ApplyOutcome {
        match entries {
            RecordEntry::Full(event) => {
                if let Some(refusal) = self.refusal(partition, event.at) {
                    return refusal;
                }
                // An earlier entry of this chunk may have inserted a session that was not found.
                let known = found.filter(|seat| self.seats.has(*seat, event.ids));
                let seat =
                    known.unwrap_or_else(|| self.find_or_insert(partition, handle, event.ids));
                // A log that is trimmed must not keep a session's ids without its labels.
                self.claim_no_labels(seat, event);
                if self.claim_labels(seat, event).is_le() {
                    let ids_logged_s = &mut self.seats[seat].ids_logged_s;
                    *ids_logged_s = expiry_queue::second(logged_at).max(*ids_logged_s);
                }
                self.apply_to_seat(seat, event.kind, event.at)
            }
            RecordEntry::ByHandle { at, .. } => match self.refusal(partition, *at) {
                Some(refusal) => refusal,
                None => {
                    // Applying entries neither removes nor moves a seat, so `found` is still valid.
                    let seat = found
                        .unwrap_or_else(|| self.seats.find_or_insert_nameless(handle, partition));
                    self.apply_to_seat(seat, EventKind::Beat, *at)
                }
            },
        }
    }

    /// Returns the record entries for events at `now`. A beat is logged by handle if its ids were
    /// logged a short time ago.
    #[must_use]
    pub fn record_entries<'a>(&self, events: &[EventRef<'a>], now: UnixMs) -> Vec<RecordEntry<'a>> {
        let mut entries = Vec::with_capacity(events.len());
        for chunk in events.chunks(AHEAD) {
            // As in `apply_all`, all are looked up at once.
            let asked = std::array::from_fn(|n| chunk.get(n).map(|event| event.ids));
            let handles = asked.map(|ids| Some(self.handle(ids?)));
            let of_use = std::array::from_fn(|n| {
                let (partition, handle) = handles[n]?;
                let is_known = self.keys[usize::from(partition)] != HandleKey::default();
                (chunk[n].kind == EventKind::Beat && is_known).then_some(handle)
            });
            let seats = self.find_many::<AHEAD>(asked, of_use);
            entries.extend(
                chunk.iter().zip(seats).map(|(event, seat)| self.record_entry(event, seat, now)),
            );
        }
        entries
    }

    /// Returns the seats of sessions that their handles find. Cache misses overlap only if little
    /// work is between them, so each step runs for all sessions before the next step.
    fn find_many<const N: usize>(
        &self,
        asked: [Option<Ids<'_>>; N],
        handles: [Option<Handle>; N],
    ) -> [Option<SeatIndex>; N] {
        let mut seats = self.seats.find_handles(handles);
        self.seats.prefetch(seats);
        for (ids, seat) in asked.iter().zip(&mut seats) {
            *seat = seat.filter(|seat| ids.is_some_and(|ids| self.seats.has(*seat, ids)));
        }
        seats
    }

    /// Returns the record entry for an event, given its seat if its handle found one.
    fn record_entry<'a>(
        &self,
        event: &EventRef<'a>,
        seat: Option<SeatIndex>,
        now: UnixMs,
    ) -> RecordEntry<'a> {
        let Some(seat) = seat else { return RecordEntry::Full(*event) };
        let known = &self.seats[seat];
        let has_ids_logged = known.ids_logged_s >= self.ids_logged_since_s
            && expiry_queue::second(now)
                < known.ids_logged_s.saturating_add((self.rules.handle_valid_ms() / 1_000) as u32);
        if has_ids_logged && !known.is(SeatFlag::Ambiguous) && !self.brings_labels(seat, event) {
            return RecordEntry::ByHandle { at: event.at, handle: known.handle };
        }
        RecordEntry::Full(*event)
    }

    /// Marks ids that were logged before `from` as possibly lost, so that they are logged again.
    pub fn relog_ids_from(&mut self, from: UnixMs) {
        self.ids_logged_since_s =
            expiry_queue::second(from).saturating_add(1).max(self.ids_logged_since_s);
    }

    /// Returns whether all sessions that may be online have ids. If not, counts may be low.
    #[must_use]
    pub fn is_fully_resolved(&self) -> bool {
        self.nameless == 0
    }

    /// Returns the outcome of an event that is too old to be applied, or `None` if it can be
    /// applied.
    fn refusal(&self, partition: u8, at: UnixMs) -> Option<ApplyOutcome> {
        if at < *self.floors.get(usize::from(partition))? {
            return Some(ApplyOutcome::Uncredited);
        }
        (!self.keeps_proof && at.plus(self.rules.ttl_ms) <= self.now)
            .then_some(ApplyOutcome::TooOld)
    }

    fn find_or_insert(&mut self, partition: u8, handle: Handle, ids: Ids<'_>) -> SeatIndex {
        let Some(same) = self.seats.find_handle(handle) else {
            // A handle follows from the ids, so no seat with this handle means no seat with these
            // ids.
            return self.seats.insert_named(handle, partition, ids);
        };
        if self.seats.has(same, ids) {
            return same;
        }
        let is_nameless = self.seats[same].is_unresolved();
        if is_nameless && self.seats[same].check_s != NOWHERE {
            self.nameless -= 1;
        }
        let seat = self.seats.find_or_name(same, handle, partition, ids);
        self.mark_changed(seat, self.now); // its proof had no ids to be written under
        self.update_counts(seat); // it may have been online without ids
        seat
    }

    fn apply_to_seat(&mut self, seat: SeatIndex, kind: EventKind, at: UnixMs) -> ApplyOutcome {
        let (rules, now) = (self.rules, self.now);
        let known = &mut self.seats[seat];
        match kind {
            EventKind::Beat => {
                let is_online = known.is(SeatFlag::Online);
                if known.extend_run(at, rules.ttl_ms) {
                    if self.is_carried {
                        self.extend_restored(seat, at);
                    }
                    if !is_online {
                        self.mark_changed(seat, at);
                        self.on_beat(seat, at);
                    }
                } else {
                    self.mark_changed(seat, at);
                    self.seats.change_times(seat, |times| times.beat(at, rules.ttl_ms));
                    self.extend_restored(seat, at);
                    self.on_beat(seat, at);
                }
            }
            EventKind::Leave => {
                self.mark_changed(seat, at);
                self.leave(seat, at);
            }
            EventKind::Displace => {
                self.mark_changed(seat, at);
                self.displace(seat, at);
            }
        }
        if at.plus(rules.ttl_ms) <= now { ApplyOutcome::TooOld } else { ApplyOutcome::Applied }
    }

    /// Records that a seat changed otherwise than by the next beat of an online session: see
    /// `for_each_changed_since`.
    fn mark_changed(&mut self, seat: SeatIndex, at: UnixMs) {
        let second = expiry_queue::second(at.max(self.now));
        let known = &mut self.seats[seat];
        known.changed_s = known.changed_s.max(second);
    }

    /// Updates the schedule and the counts after a beat that may have brought a session online.
    fn on_beat(&mut self, seat: SeatIndex, at: UnixMs) {
        self.schedule_check(seat, at);
        if !self.seats[seat].is_unresolved() {
            self.update_counts(seat);
        }
    }

    fn displace(&mut self, seat: SeatIndex, at: UnixMs) {
        if !self.seats.displace(seat, at) {
            return;
        }
        self.schedule_check(seat, at);
        if at <= self.now {
            self.update_counts(seat);
        } else {
            self.pending.push(Reverse((at, seat)));
        }
    }

    fn leave(&mut self, seat: SeatIndex, at: UnixMs) {
        if !self.seats.change_times(seat, |times| times.leave(at)) {
            return; // a repetition; the first one is pending or in effect
        }
        self.schedule_check(seat, at);
        let effective = at.plus(self.rules.leave_grace_ms);
        if effective <= self.now {
            self.apply_leave(seat);
        } else {
            self.pending.push(Reverse((effective, seat)));
        }
    }
}
