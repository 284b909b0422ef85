//! Rule of proof. **The one place that defines what is billed.**
//!
//! # The rule
//! A beat and a later beat, leave or displacement of the same session, at most `ttl` apart, prove
//! the time between them. A leave without a session is a leave of all the viewer's sessions on that
//! stage. Nothing else proves anything. A viewer's watch time on a stage is the measure of the
//! union over its sessions.
//!
//! # Why it is a function of the set of events
//! The rule is about pairs, so an additional event never removes proof, and neither order nor
//! repetition matter. For the same reason a leave between two beats doesn't remove the proof
//! between them. Otherwise a late leave would have to change data that is permanent.

use std::ops::Range;

use super::labels::PartsWalk;
use super::seat::{NOWHERE, SeatFlag, SeatIndex};
use super::{CheckpointEvent, Fold, expiry_queue};
use crate::event::{EventKind, Ids};
use crate::labels::ViewerLabels;
use crate::mutants::{Mutant, is_on};
use crate::span::{Span, normalize};
use crate::time::UnixMs;

/// Session id of restored spans. No player's id has a control character.
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
    /// The same spans cut where the viewer's labels change, with the labels. Empty if the viewer
    /// is known to have had none within these spans.
    pub parts: &'a [LabelledSpan],
}

/// A span, and the labels that its viewer has throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSpan {
    /// The span.
    pub span: Span,
    /// The labels.
    pub labels: ViewerLabels,
    /// Whether the labels of any of its sessions are known. Those of a session are not if a node
    /// has read only its beats by handle and its leave. Then there are no labels here.
    pub is_known: bool,
}

/// Selection of a walk through a partition's seats.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The partition.
    pub partition: u16,
    /// Only spans within this range are returned.
    pub within: Span,
    /// Time up to which the caller has written all state. Viewers who have only stayed online since
    /// then are skipped. Zero selects every viewer.
    pub settled: UnixMs,
    /// Viewers who only stayed online are selected all the same if their last beat is before this
    /// time.
    pub reach: UnixMs,
}

impl Walk {
    /// Creates a walk that selects every viewer of a partition.
    #[must_use]
    pub fn of_all(partition: u16, within: Span) -> Walk {
        Walk { partition, within, settled: UnixMs::ZERO, reach: UnixMs::ZERO }
    }
}

impl Fold {
    /// Restores a span that the ledger has as still open, after all other state was lost. Any
    /// session of the viewer that beats within a ttl continues it, because the ledger does not have
    /// the session. The span keeps its labels, which may be of several sessions.
    pub fn restore_open_span(
        &mut self,
        stage: &str,
        viewer: &str,
        labels: &ViewerLabels,
        span: Span,
    ) {
        self.is_carried = true;
        let ids = Ids { stage, viewer, session: CARRIED };
        let (partition, handle) = self.handle(ids);
        let seat = self.find_or_insert(partition, handle, ids);
        self.seats.set_carried(seat);
        self.restore_labels(seat, labels);
        self.mark_changed(seat, span.to);
        let ttl_ms = self.rules.ttl_ms;
        self.seats.change_times(seat, |times| {
            times.beat(span.from, ttl_ms);
            times.beat(span.to, span.ms().max(ttl_ms));
        });
        // Sessions with beats during the reading of the ledger continue the span as well.
        let others: Vec<SeatIndex> = self.seats.here(seat).filter(|other| *other != seat).collect();
        for other in others {
            for run in self.seats.times(other).runs {
                self.extend_restored(other, run.first);
            }
        }
    }

    /// Lets a beat of any of the viewer's sessions continue a restored span. The session of that
    /// span is not known.
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

    /// Refuses events of a partition before `floor` from now on. An earlier floor changes nothing.
    pub fn refuse_before(&mut self, partition: u16, floor: UnixMs) {
        if let Some(known) = self.floors.get_mut(usize::from(partition)) {
            *known = floor.max(*known);
        }
    }

    /// Begins a walk with [`for_each_changed_since`](Self::for_each_changed_since), slice by slice.
    /// Returns the number of places to visit. Seats that are added later have later places.
    pub fn begin_walk(&mut self) -> usize {
        self.seats.begin_walk();
        self.places()
    }

    /// Ends a walk.
    pub fn end_walk(&mut self) {
        self.seats.end_walk();
    }

    /// Returns the number of places that [`for_each_changed_since`](Self::for_each_changed_since)
    /// and [`prune`](Self::prune) visit, free ones included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.seats.places()
    }

    /// Returns the number of sessions in the state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Returns whether the state has no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `with` for every viewer of a partition with proven time within `within`.
    pub fn for_each_proven(&self, partition: u16, within: Span, with: impl FnMut(ProvenSpans<'_>)) {
        self.for_each_changed_since(&Walk::of_all(partition, within), 0..self.places(), with);
    }

    /// Calls `with` for the viewers at `places` that a [`Walk`] selects and that have proven time
    /// within its span. Returns the number of skipped viewers who were online throughout.
    ///
    /// One read of a seat is enough to skip a viewer who only stayed online. That makes a commit
    /// without changes cheap.
    pub fn for_each_changed_since(
        &self,
        walk: &Walk,
        places: Range<usize>,
        mut with: impl FnMut(ProvenSpans<'_>),
    ) -> usize {
        let (mut spans, mut parts_walk, mut passed_over) = (Vec::new(), PartsWalk::default(), 0);
        for seat in self.seats.within(places) {
            let known = &self.seats[seat];
            // Once for all seats of the viewer on the stage.
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
                self.cut_by_labels(seat, &spans, walk.within, &mut parts_walk);
                let stage = &self.seats.stages[known.stage].id;
                with(ProvenSpans {
                    stage,
                    viewer: &self.seats.viewer(seat),
                    spans: &spans,
                    parts: &parts_walk.parts,
                });
            }
        }
        passed_over
    }

    /// Returns whether a seat may prove more since the walk's `settled` than that its viewer is
    /// still there.
    fn is_unsettled(&self, seat: SeatIndex, walk: &Walk) -> bool {
        let known = &self.seats[seat];
        let (beat, left) = (known.brief.beat, known.brief.left());
        known.changed_s >= expiry_queue::second(walk.settled)
            || known.is(SeatFlag::Spilled)
            || known.is(SeatFlag::Displaced)
            || if known.is(SeatFlag::Online) {
                beat < walk.reach
            } else {
                beat.max(left) >= walk.settled
            }
    }

    /// Returns the spans that a viewer has proven on a stage within `within`.
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

    /// Collects the spans that all of a viewer's sessions on a seat's stage prove, unsorted.
    fn proven_by(&self, seat: SeatIndex, spans: &mut Vec<Span>) {
        spans.clear();
        self.proven_by_each(seat, |_, span| spans.push(span));
    }

    /// Calls `with` for each span that one of a viewer's sessions on a seat's stage proves, in any
    /// order.
    pub(super) fn proven_by_each(&self, seat: SeatIndex, mut with: impl FnMut(SeatIndex, Span)) {
        let of_all = self
            .seats
            .unnamed_here(seat)
            .map(|unnamed| self.seats.times(unnamed).leaves)
            .unwrap_or_default();
        for session in self.seats.here(seat) {
            let others = [&*of_all, self.seats.displacements(session)];
            let times = self.seats.times(session);
            times.proven_spans(others, self.rules.ttl_ms).for_each(|span| with(session, span));
            if is_on(Mutant::CreditSilence) {
                let (last, _) = self.seats.last(session);
                with(session, Span::new(last, last.plus(self.rules.ttl_ms)));
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

    /// Prunes the data of a partition's seats at `places` that ended before `before`.
    pub fn prune(&mut self, partition: u16, places: Range<usize>, before: UnixMs) {
        let here: Vec<SeatIndex> = self.seats.within(places).collect();
        for seat in here {
            let known = &self.seats[seat];
            let is_all_later = !known.is(SeatFlag::Spilled) && known.brief.beat >= before;
            if u16::from(known.partition) != partition || is_all_later {
                continue;
            }
            let is_left = self.seats.change_times(seat, |times| times.forget(before));
            let is_left = self.seats.forget_displaced(seat, before) || is_left;
            if !is_left && self.seats[seat].check_s == NOWHERE {
                self.seats.remove(seat);
            }
        }
    }

    /// Returns events that reproduce the state from `from` on of a partition's seats at `places`. A
    /// node writes them to a log that lost everything.
    pub fn checkpoint_events(
        &self,
        partition: u16,
        places: Range<usize>,
        from: UnixMs,
    ) -> impl Iterator<Item = CheckpointEvent<'_>> {
        let changed = self.seats.within(places).filter(move |seat| {
            let seat = &self.seats[*seat];
            // A restored span belongs to no real session, and no log record could contain it.
            u16::from(seat.partition) == partition
                && !seat.is_unresolved()
                && !seat.is(SeatFlag::Restored)
        });
        changed.flat_map(move |seat| {
            let displaced = self.seats.displacements(seat).iter().filter(|at| **at >= from);
            let displaced = displaced.map(|at| (EventKind::Displace, *at));
            let times = self.seats.times(seat);
            let events: Vec<_> = displaced.chain(times.events(from, self.rules.ttl_ms)).collect();
            events.into_iter().map(move |(kind, at)| self.known_event(seat, kind, at))
        })
    }
}
