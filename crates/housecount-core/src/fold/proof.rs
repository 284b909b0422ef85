//! What is proven. **The one place that defines what is billed.**
//!
//! # The rule
//! A beat and a later beat or leave of the same session, at most `ttl` apart, prove the time
//! between them; a leave without a session is a leave of all the viewer's sessions on that stage.
//! Nothing else proves anything. A viewer's watch time on a stage is the measure of the union over
//! its sessions.
//!
//! # Why it is a function of the set of events
//! The rule speaks of pairs, so an event more never takes proof away, and neither order nor
//! repetition matter. That is also why a leave between two beats doesn't unprove the time between
//! them: a leave that came late would have to take back what is written for good.

use std::ops::Range;

use super::seat::{Ids, NOWHERE, SeatFlag, SeatIndex};
use super::{CheckpointEvent, Fold, expiry_queue};
use crate::mutants::{Mutant, is_on};
use crate::span::{Span, normalize};
use crate::time::UnixMs;

/// The session that what was carried over belongs to: no player's id has a control character.
const CARRIED: &str = "\u{1}";

/// A viewer on a stage, and the spans proven there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenSpans<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The viewer.
    pub viewer: &'a str,
    /// A set of spans, not empty.
    pub spans: &'a [Span],
}

/// What is looked for in a walk through a partition's seats.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The partition.
    pub partition: u16,
    /// Only what is proven within this.
    pub within: Span,
    /// Up to when everything known here is written: not those viewers who only stayed online since.
    /// Zero: every viewer.
    pub settled: UnixMs,
    /// Of those who only stayed online, these too: whose last beat was before.
    pub reach: UnixMs,
}

impl Walk {
    /// A walk that looks for every viewer of a partition.
    #[must_use]
    pub fn of_all(partition: u16, within: Span) -> Walk {
        Walk { partition, within, settled: UnixMs::ZERO, reach: UnixMs::ZERO }
    }
}

impl Fold {
    /// Takes in what the ledger says was proven beyond its edge, after everything else was lost.
    /// Any session of the viewer that beats within a ttl goes on from there: which one it was is
    /// lost too.
    pub fn restore_open_span(&mut self, stage: &str, viewer: &str, span: Span) {
        self.is_carried = true;
        let ids = Ids { stage, viewer, session: CARRIED };
        let (partition, handle) = self.handle(ids);
        let seat = self.find_or_insert(partition, handle, ids);
        self.seats.set_carried(seat);
        self.mark_changed(seat, span.to);
        let ttl_ms = self.rules.ttl_ms;
        self.seats.change_times(seat, |times| {
            times.beat(span.from, ttl_ms);
            times.beat(span.to, span.ms().max(ttl_ms));
        });
        // Who has beaten already, while the ledger was being read, goes on from there as well.
        let others: Vec<SeatIndex> = self.seats.here(seat).filter(|other| *other != seat).collect();
        for other in others {
            for run in self.seats.times(other).runs {
                self.extend_restored(other, run.first);
            }
        }
    }

    /// A beat goes on from what was carried over, whichever session it is of: they are no longer
    /// told apart.
    pub(super) fn extend_restored(&mut self, seat: SeatIndex, at: UnixMs) {
        if !self.is_carried || self.seats[seat].is_unresolved() {
            return;
        }
        let Some(carried) = self.seats.carried_here(seat) else { return };
        let ttl_ms = self.rules.ttl_ms;
        let goes_on = self.seats.change_times(carried, |times| {
            let goes_on =
                times.runs.iter().any(|run| at >= run.last && at.since(run.last) <= ttl_ms);
            goes_on && times.leave(at)
        });
        if goes_on {
            self.mark_changed(carried, at);
        }
    }

    /// Events of a partition before `floor` are refused from now on. An earlier time changes
    /// nothing.
    pub fn refuse_before(&mut self, partition: u16, floor: UnixMs) {
        if let Some(known) = self.floors.get_mut(usize::from(partition)) {
            *known = floor.max(*known);
        }
    }

    /// Begins a walk with [`for_each_changed_since`](Self::each_unsettled), slice by slice. Returns how
    /// many places there are to go through: seats that come meanwhile have later ones.
    pub fn begin_walk(&mut self) -> usize {
        self.seats.begin_walk();
        self.places()
    }

    /// Ends a walk.
    pub fn end_walk(&mut self) {
        self.seats.end_walk();
    }

    /// How many places [`for_each_changed_since`](Self::each_unsettled) and [`prune`](Self::forget) go
    /// through, some of them free.
    #[must_use]
    pub fn places(&self) -> usize {
        self.seats.places()
    }

    /// How many sessions are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `with` for every viewer of a partition who has proven anything within `within`.
    pub fn for_each_proven(&self, partition: u16, within: Span, with: impl FnMut(ProvenSpans<'_>)) {
        self.for_each_changed_since(&Walk::of_all(partition, within), 0..self.places(), with);
    }

    /// Calls `with` for the viewers at `places` that a [`Walk`] looks for, and who have proven
    /// anything within its span. Returns how many viewers it passed over who were online
    /// throughout.
    ///
    /// A viewer who only goes on is recognised by one look at a seat: that is what makes a commit
    /// without changes cheap.
    pub fn for_each_changed_since(
        &self,
        walk: &Walk,
        places: Range<usize>,
        mut with: impl FnMut(ProvenSpans<'_>),
    ) -> usize {
        let (mut spans, mut passed_over) = (Vec::new(), 0);
        for seat in self.seats.within(places) {
            let known = &self.seats[seat];
            // Once for all the viewer's on the stage.
            if u16::from(known.partition) != walk.partition
                || known.is_unresolved()
                || !self.seats.is_first_here(seat)
            {
                continue;
            }
            if !self.seats.here(seat).any(|other| self.is_unsettled(other, walk)) {
                let is_online =
                    self.seats.here(seat).any(|other| self.seats[other].is(SeatFlag::Online));
                passed_over += usize::from(is_online);
                continue;
            }
            self.proven_by(seat, &mut spans);
            self.clip(&mut spans, walk.within);
            if !spans.is_empty() {
                let stage = &self.seats.stages[known.stage].id;
                with(ProvenSpans { stage, viewer: &self.seats.viewer(seat), spans: &spans });
            }
        }
        passed_over
    }

    /// Whether a seat may have proven something else, since the walk's `settled`, than that its
    /// viewer is still there.
    fn is_unsettled(&self, seat: SeatIndex, walk: &Walk) -> bool {
        let known = &self.seats[seat];
        let (beat, left) = (known.brief.beat, known.brief.left());
        known.changed_s >= expiry_queue::second(walk.settled)
            || known.is(SeatFlag::Spilled)
            || if known.is(SeatFlag::Online) {
                beat < walk.reach
            } else {
                beat.max(left) >= walk.settled
            }
    }

    /// What a viewer has proven on a stage within `within`.
    #[must_use]
    pub fn proven(&self, stage: &str, viewer: &str, within: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        let (_, handle) = self.handle(Ids { stage, viewer, session: "" });
        let found =
            self.seats.find_viewer(handle.head(), viewer).zip(self.seats.stages.find(stage));
        if let Some((anchor, stage)) = found
            && let Some(seat) = self.seats.on(anchor, stage).next()
        {
            self.proven_by(seat, &mut spans);
            self.clip(&mut spans, within);
        }
        spans
    }

    /// What all of a viewer's sessions on a seat's stage prove, in no order.
    fn proven_by(&self, seat: SeatIndex, spans: &mut Vec<Span>) {
        spans.clear();
        let of_all = self
            .seats
            .unnamed_here(seat)
            .map(|unnamed| self.seats.times(unnamed).leaves)
            .unwrap_or_default();
        for session in self.seats.here(seat) {
            spans.extend(self.seats.times(session).proven_spans(&of_all, self.rules.ttl_ms));
            if is_on(Mutant::CreditSilence) {
                let (last, _) = self.seats.last(session);
                spans.push(Span::new(last, last.plus(self.rules.ttl_ms)));
            }
        }
    }

    fn clip(&self, spans: &mut Vec<Span>, within: Span) {
        spans.retain_mut(|span| match span.clip(within) {
            Some(clipped) => {
                *span = clipped;
                true
            }
            None => false,
        });
        if spans.len() > 1 {
            normalize(spans);
        }
    }

    /// Forgets, of a partition at `places`, what ended before `before`.
    pub fn prune(&mut self, partition: u16, places: Range<usize>, before: UnixMs) {
        let here: Vec<SeatIndex> = self.seats.within(places).collect();
        for seat in here {
            let known = &self.seats[seat];
            let is_all_later = !known.is(SeatFlag::Spilled) && known.brief.beat >= before;
            if u16::from(known.partition) != partition || is_all_later {
                continue;
            }
            let is_left = self.seats.change_times(seat, |times| times.forget(before));
            if !is_left && self.seats[seat].check_s == NOWHERE {
                self.seats.remove(seat);
            }
        }
    }

    /// Events that repeat all that matters of the seats at `places` of a partition from `from` on,
    /// with whatever else comes after `from`: for a log that lost everything.
    pub fn checkpoint_events(
        &self,
        partition: u16,
        places: Range<usize>,
        from: UnixMs,
    ) -> impl Iterator<Item = CheckpointEvent<'_>> {
        let changed = self.seats.within(places).filter(move |seat| {
            let seat = &self.seats[*seat];
            // What was carried over is nobody's session, and no log record could hold it.
            u16::from(seat.partition) == partition
                && !seat.is_unresolved()
                && !seat.is(SeatFlag::Restored)
        });
        changed.flat_map(move |seat| {
            let events: Vec<_> = self.seats.times(seat).events(from, self.rules.ttl_ms).collect();
            events.into_iter().map(move |(kind, at)| self.known_event(seat, kind, at))
        })
    }
}
