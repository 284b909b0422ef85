//! Watch time by the rule word for word: slowly, from all pairs of events, without a fold or a
//! ledger.

use std::collections::BTreeMap;

use housecount_core::event::{EventKind, partition_of};
use housecount_core::span::{Span, measure, normalize};
use housecount_core::time::UnixMs;

use super::{Oracle, OracleEvent, SeatName};

/// Sets of proven spans, by stage and viewer.
pub type Proven = BTreeMap<(String, String), Vec<Span>>;

/// Age at which a window must include an event: applied this long before the window was written.
const READ_MS: u64 = 8_000;
/// Longest time between a loss and the start of a node that continues from the ledger's end.
/// Commits of the partitions are also at most this far apart.
const CARRIED_MS: u64 = 10 * 60_000;

impl Oracle {
    /// Spans that the ledger must have once all is written.
    #[must_use]
    pub fn least(&self, ttl_ms: u64) -> Proven {
        let mut all = self.proven(ttl_ms, OracleEvent::is_kept);
        for lost_ms in &self.lost_ms {
            self.add_written(ttl_ms, *lost_ms, &mut all);
        }
        all.values_mut().for_each(normalize);
        all
    }

    /// Adds the time that was written before a loss, which the loss does not affect.
    fn add_written(&self, ttl_ms: u64, lost_ms: u64, all: &mut Proven) {
        let mut last: BTreeMap<u16, (u64, UnixMs)> = BTreeMap::new();
        for (at_ms, partition, edge) in self.commits.iter().filter(|(at_ms, ..)| *at_ms < lost_ms) {
            last.insert(*partition, (*at_ms, *edge));
        }
        for (partition, (at_ms, edge)) in last {
            let in_time = |event: &OracleEvent| {
                let was_there = event.lost_ms.is_none_or(|lost_ms| lost_ms > at_ms);
                was_there && event.applied_ms.is_some_and(|applied| applied + READ_MS < at_ms)
            };
            for (who, spans) in self.proven(ttl_ms, in_time) {
                if partition_of(&who.1, self.partitions) == partition {
                    let written =
                        spans.iter().filter_map(|span| span.clip(Span::new(UnixMs::ZERO, edge)));
                    all.entry(who).or_default().extend(written);
                }
            }
        }
    }

    /// Spans that the ledger may have: those of all events, in the log or not.
    #[must_use]
    pub fn most(&self, ttl_ms: u64) -> Proven {
        let mut all = self.proven(ttl_ms, |_| true);
        for emptied_ms in &self.emptied_ms {
            self.add_carried(ttl_ms, *emptied_ms, &mut all);
        }
        all.values_mut().for_each(normalize);
        all
    }

    /// Adds the time that a node may carry over the ledger's end after the log has lost all. The
    /// node starts from where the ledger has a viewer last, at its end or a while beyond. The
    /// ledger has no sessions. So any session of the viewer on the stage with a beat within a ttl
    /// continues from there (docs/OPERATIONS.md).
    fn add_carried(&self, ttl_ms: u64, emptied_ms: u64, all: &mut Proven) {
        let before = self.commits.iter().filter(|(at_ms, ..)| *at_ms < emptied_ms);
        let since_ms =
            before.map(|(at_ms, ..)| *at_ms).max().unwrap_or_default().saturating_sub(CARRIED_MS);
        let near = since_ms..emptied_ms + CARRIED_MS;
        for (_, partition, edge) in self.commits.iter().filter(|(at_ms, ..)| near.contains(at_ms)) {
            for (number, seat) in self.seats.iter().enumerate() {
                let who = (seat.stage.clone(), seat.viewer.clone());
                if partition_of(&seat.viewer, self.partitions) != *partition {
                    continue;
                }
                let Some(spans) = all.get_mut(&who) else { continue };
                // The ledger knows which viewers continued for a while beyond its end.
                let open = spans.iter().filter(|span| span.from < *edge && *edge <= span.to);
                let Some(until) = open.map(|span| span.to.min(edge.plus(ttl_ms))).max() else {
                    continue;
                };
                let goes_on =
                    |event: &&OracleEvent| event.at > until && event.at.since(until) <= ttl_ms;
                let last = self.of_seat(number).filter(goes_on).map(|event| event.at).max();
                spans.extend(last.map(|last| Span::new(*edge, last)));
            }
        }
    }

    /// Least and most watch time that the ledger must have for a value of the label in the end, if
    /// no event was lost.
    #[must_use]
    pub fn watch_ms_of_label(&self, ttl_ms: u64, label: &str) -> (u64, u64) {
        let sum = |proven: Proven| proven.values().map(|spans| measure(spans)).sum();
        let of = |counts: fn(&OracleEvent) -> bool| {
            sum(self.proven_by(ttl_ms, counts, |seat| seat.label() == label))
        };
        (of(OracleEvent::is_kept), of(|_| true))
    }

    fn proven(&self, ttl_ms: u64, counts: impl Fn(&OracleEvent) -> bool) -> Proven {
        self.proven_by(ttl_ms, counts, |_| true)
    }

    /// Spans that the counted events of some sessions prove.
    fn proven_by(
        &self,
        ttl_ms: u64,
        counts: impl Fn(&OracleEvent) -> bool,
        is_asked: impl Fn(&SeatName) -> bool,
    ) -> Proven {
        let mut all = Proven::new();
        for (number, seat) in self.seats.iter().enumerate().filter(|(_, seat)| is_asked(seat)) {
            let own = self.of_seat(number);
            let leaves =
                self.unnamed[number].map(|unnamed| self.of_seat(unnamed)).into_iter().flatten();
            let leaves = leaves.filter(|event| event.kind == EventKind::Leave);
            let mut events: Vec<(UnixMs, EventKind)> = own
                .chain(leaves)
                .filter(|event| counts(event))
                .map(|event| (event.at, event.kind))
                .collect();
            events.sort_unstable();
            let spans = all.entry((seat.stage.clone(), seat.viewer.clone())).or_default();
            for (first, (from, kind)) in events.iter().enumerate() {
                let later = events[first + 1..].iter().map(|(to, _)| *to);
                if *kind == EventKind::Beat {
                    let to = later.take_while(|to| to.since(*from) <= ttl_ms).last();
                    spans.extend(to.filter(|to| to > from).map(|to| Span::new(*from, to)));
                }
            }
        }
        all.values_mut().for_each(normalize);
        all.retain(|_, spans| !spans.is_empty());
        all
    }
}

/// The first span of `of` that is not within `within`; both are sets.
#[must_use]
pub fn missing(of: &[Span], within: &[Span]) -> Option<Span> {
    of.iter()
        .find(|span| !within.iter().any(|other| other.from <= span.from && span.to <= other.to))
        .copied()
}
