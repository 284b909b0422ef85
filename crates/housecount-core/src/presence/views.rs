//! What can be asked of the fold. Every answer is about `now()`, and sorted by id so that it can be paged.

use std::collections::{BTreeMap, BinaryHeap};

use super::seats::Seat;
use super::{Count, Presence, Totals};
use crate::event::{EventRef, Kind};
use crate::time::UnixMs;

/// A stage as the fold knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// The stage's id.
    pub stage: String,
    /// Who is online on it.
    pub count: Count,
    /// The most viewers at once that this node has seen on it.
    pub peak: u64,
}

/// A viewer on a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchView {
    /// The id asked for less: the viewer's in a stage's list, the stage's in a viewer's.
    pub id: String,
    /// Its online sessions, at least one, sorted.
    pub sessions: Vec<String>,
    /// The latest beat of them.
    pub last_beat: UnixMs,
}

impl Presence {
    /// Who is online on `stage`; nobody if it is unknown.
    #[must_use]
    pub fn count(&self, stage: &str) -> Count {
        self.seats.find_stage(stage).map_or(Count::default(), |i| self.seats.stage(i).count)
    }

    /// Who is online altogether.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The stage, if any session of it is or was known within the last hour.
    #[must_use]
    pub fn stage(&self, stage: &str) -> Option<StageView> {
        let stage = self.seats.stage(self.seats.find_stage(stage)?);
        (stage.peak > 0).then(|| StageView {
            stage: stage.id.to_string(),
            count: stage.count,
            peak: stage.peak,
        })
    }

    /// All stages that [`stage`](Self::stage) knows, in no order.
    pub fn stages(&self) -> impl Iterator<Item = StageView> {
        self.seats.all_stages().filter(|s| s.peak > 0).map(|s| StageView {
            stage: s.id.to_string(),
            count: s.count,
            peak: s.peak,
        })
    }

    /// Forgets all peaks but those of now.
    pub fn reset_peaks(&mut self) {
        self.seats.reset_peaks();
    }

    /// The online viewers of a stage whose id is greater than `after`, sorted, at most `limit`.
    /// Looks at every session of the stage once, and holds `limit` of them at a time.
    #[must_use]
    pub fn viewers_of(&self, stage: &str, after: Option<&str>, limit: usize) -> Vec<WatchView> {
        let Some(stage) = self.seats.find_stage(stage) else { return Vec::new() };
        let mut nearest: BinaryHeap<(&str, u32)> = BinaryHeap::with_capacity(limit + 1);
        for seat in self.seats.stage(stage).seats.iter().map(|i| &self.seats[*i]) {
            let id = &*self.seats.viewer(seat.viewer).id;
            if !seat.online || after.is_some_and(|after| id <= after) {
                continue;
            }
            // A viewer's other session may be in already; the heap is small, but only look when it could be.
            let is_near = nearest.len() < limit || nearest.peek().is_some_and(|far| id < far.0);
            if is_near && !nearest.iter().any(|(_, viewer)| *viewer == seat.viewer) {
                nearest.push((id, seat.viewer));
                if nearest.len() > limit {
                    nearest.pop();
                }
            }
        }
        let watch = |(id, viewer): (&str, u32)| {
            let seats = self.seats.of_viewer(viewer).filter(|s| s.online && s.stage == stage);
            watch_view(id, seats)
        };
        nearest.into_sorted_vec().into_iter().map(watch).collect()
    }

    /// A session's latest beat, if it is known.
    #[must_use]
    pub fn last_beat(&self, stage: &str, viewer: &str, session: &str) -> Option<UnixMs> {
        let (stage, viewer) = (self.seats.find_stage(stage)?, self.seats.find_viewer(viewer)?);
        let mut seats = self.seats.of_viewer(viewer);
        let seat = seats.find(|seat| seat.stage == stage && *seat.session == *session)?;
        Some(seat.beat).filter(|beat| *beat > UnixMs::ZERO)
    }

    /// Where a viewer is now, by stage.
    #[must_use]
    pub fn viewer(&self, viewer: &str) -> Vec<WatchView> {
        let Some(viewer) = self.seats.find_viewer(viewer) else { return Vec::new() };
        let mut by_stage: BTreeMap<&str, Vec<&Seat>> = BTreeMap::new();
        for seat in self.seats.of_viewer(viewer).filter(|seat| seat.online) {
            by_stage.entry(&self.seats.stage(seat.stage).id).or_default().push(seat);
        }
        by_stage.into_iter().map(|(stage, seats)| watch_view(stage, seats.into_iter())).collect()
    }

    /// Events that rebuild this state from nothing, on any node: a checkpoint for a log that lost everything.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        let pending = self.pending.iter().map(|entry| (entry.0.1, Kind::Leave, &self.seats[entry.0.2]));
        let seats = self
            .seats
            .all()
            .flat_map(|seat| [(seat.beat, Kind::Beat, seat), (seat.leave, Kind::Leave, seat)].into_iter());
        seats.chain(pending).filter(|(at, ..)| *at > UnixMs::ZERO).map(|(at, kind, seat)| EventRef {
            at,
            kind,
            stage: &self.seats.stage(seat.stage).id,
            viewer: &self.seats.viewer(seat.viewer).id,
            session: &seat.session,
        })
    }
}

fn watch_view<'a>(id: &str, seats: impl Iterator<Item = &'a Seat>) -> WatchView {
    let mut view = WatchView { id: id.to_string(), sessions: Vec::new(), last_beat: UnixMs::ZERO };
    for seat in seats {
        view.sessions.push(seat.session.to_string());
        view.last_beat = view.last_beat.max(seat.beat);
    }
    view.sessions.sort_unstable();
    view
}
