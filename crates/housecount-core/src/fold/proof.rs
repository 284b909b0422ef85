//! What is proven. **The one place that defines what is billed.**
//!
//! # The rule
//! A beat and a later beat or leave of the same session, at most `ttl` apart, prove the time between them; a leave
//! without a session is a leave of all the viewer's sessions on that stage. Nothing else proves anything. A viewer's
//! watch time on a stage is the measure of the union over its sessions.
//!
//! # Why it is a function of the set of events
//! The rule speaks of pairs, so an event more never takes proof away, and neither order nor repetition matter. That
//! is also why a leave between two beats doesn't unprove the time between them: a leave that came late would have to
//! take back what is written for good.

use std::ops::Range;

use super::seat::{Flag, Ids, NOWHERE, SeatIndex};
use super::{Committed, Fold, KnownEvent};
use crate::mutants::{Mutant, is_on};
use crate::span::{Span, normalize};
use crate::time::UnixMs;

/// The session that what was carried over belongs to: no player's id has a control character.
const CARRIED: &str = "\u{1}";

/// A viewer on a stage, and the spans proven there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The viewer.
    pub viewer: &'a str,
    /// A set of spans, not empty.
    pub spans: &'a [Span],
}

impl Fold {
    /// Takes in what the ledger says was proven beyond its edge, after everything else was lost. Any session of the viewer
    /// that beats within a ttl goes on from there: which one it was is lost too.
    pub fn carry(&mut self, stage: &str, viewer: &str, span: Span) {
        self.is_carried = true;
        let ids = Ids { stage, viewer, session: CARRIED };
        let (partition, handle) = self.handle(ids);
        let seat = self.find_or_insert(partition, handle, ids);
        self.seats.set_carried(seat);
        let ttl_ms = self.rules.ttl_ms;
        self.seats.change_times(seat, |times| {
            times.beat(span.from, ttl_ms);
            times.beat(span.to, span.ms().max(ttl_ms));
        });
        // Who has beaten already, while the ledger was being read, goes on from there as well.
        let others: Vec<SeatIndex> = self.seats.here(seat).filter(|other| *other != seat).collect();
        for other in others {
            for run in self.seats.times(other).runs {
                self.carry_on(other, run.first);
            }
        }
    }

    /// A beat goes on from what was carried over, whichever session it is of: they are no longer told apart.
    pub(super) fn carry_on(&mut self, seat: SeatIndex, at: UnixMs) {
        if !self.is_carried || self.seats[seat].is_nameless() {
            return;
        }
        let Some(carried) = self.seats.carried_here(seat) else { return };
        let ttl_ms = self.rules.ttl_ms;
        self.seats.change_times(carried, |times| {
            if times.runs.iter().any(|run| at >= run.last && at.since(run.last) <= ttl_ms) {
                times.leave(at);
            }
        });
    }

    /// The ledger has a partition up to `edge`; events before `floor` are refused from now on. Earlier times change nothing.
    pub fn note_committed(&mut self, partition: u16, edge: UnixMs, floor: UnixMs) {
        let ttl_ms = self.rules.ttl_ms;
        if let Some(committed) = self.committed.get_mut(usize::from(partition)) {
            let settled = committed.settled.max(edge.plus(ttl_ms));
            *committed = Committed { floor: committed.floor.max(floor), settled };
        }
    }

    /// How many places [`each_unsettled`](Self::each_unsettled) and [`forget`](Self::forget) go through, some of them free.
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

    /// Calls `with` for everybody of a partition who has proven anything within `within`.
    pub fn each_proven(&self, partition: u16, within: Span, with: impl FnMut(Proven<'_>)) {
        self.each_unsettled(partition, 0..self.places(), within, UnixMs::ZERO, with);
    }

    /// Calls `with` for everybody of a partition at `places` who has proven anything within `within`; but not for those
    /// whose proof ended before `settled` without an event that came late: who wrote what was proven until then has written
    /// theirs.
    pub fn each_unsettled(
        &self,
        partition: u16,
        places: Range<usize>,
        within: Span,
        settled: UnixMs,
        mut with: impl FnMut(Proven<'_>),
    ) {
        let mut spans = Vec::new();
        for seat in self.seats.within(places) {
            let known = &self.seats[seat];
            if u16::from(known.partition) != partition || known.is_nameless() {
                continue;
            }
            // Once for all the viewer's on the stage.
            if !self.seats.is_first_here(seat) {
                continue;
            }
            let is_late = self.seats.here(seat).any(|other| self.seats[other].is(Flag::Late));
            self.proven_by(seat, &mut spans);
            if is_late || spans.iter().any(|span| span.to >= settled) {
                self.clip(&mut spans, within);
                if !spans.is_empty() {
                    let stage = &self.seats.stages[known.stage].id;
                    with(Proven { stage, viewer: &self.seats.viewer(seat), spans: &spans });
                }
            }
        }
    }

    /// What a viewer has proven on a stage within `within`.
    #[must_use]
    pub fn proven(&self, stage: &str, viewer: &str, within: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        let (_, handle) = self.handle(Ids { stage, viewer, session: "" });
        let found = self.seats.find_viewer(handle.head(), viewer).zip(self.seats.stages.find(stage));
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
        let of_all =
            self.seats.unnamed_here(seat).map(|unnamed| self.seats.times(unnamed).leaves).unwrap_or_default();
        for session in self.seats.here(seat) {
            spans.extend(self.seats.times(session).proves(&of_all, self.rules.ttl_ms));
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
    pub fn forget(&mut self, partition: u16, places: Range<usize>, before: UnixMs) {
        let here: Vec<SeatIndex> = self.seats.within(places).collect();
        for seat in here {
            if u16::from(self.seats[seat].partition) != partition {
                continue;
            }
            let is_left = self.seats.change_times(seat, |times| times.forget(before));
            if !is_left && self.seats[seat].look_s == NOWHERE {
                self.seats.remove(seat);
            }
        }
    }

    /// Events that repeat all that matters of the seats at `places` of a partition from `from` on, with whatever else comes after
    /// `from`: for a log that lost everything.
    pub fn events(
        &self,
        partition: u16,
        places: Range<usize>,
        from: UnixMs,
    ) -> impl Iterator<Item = KnownEvent<'_>> {
        let told = self.seats.within(places).filter(move |seat| {
            let seat = &self.seats[*seat];
            // What was carried over is nobody's session, and no log record could hold it.
            u16::from(seat.partition) == partition && !seat.is_nameless() && !seat.is(Flag::Carried)
        });
        told.flat_map(move |seat| {
            let events: Vec<_> = self.seats.times(seat).events(from, self.rules.ttl_ms).collect();
            events.into_iter().map(move |(kind, at)| self.known_event(seat, kind, at))
        })
    }
}
