//! Queries of presence. Every answer is about `now()`, and sorted by id so that it can be paged.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::seat::{SeatFlag, SeatIndex};
use super::{Count, Fold, Totals};
use crate::event::Ids;
use crate::event::{EventKind, EventRef, SessionLabels};
use crate::id_arena::Id;
use crate::record::RecordEntry;
use crate::time::UnixMs;

/// A stage in the fold.
///
/// ```
/// use housecount_core::fold::{Count, StageView};
///
/// let count = Count { viewers: 3, sessions: 4 };
/// let view = StageView { stage: "show".to_string(), count, peak: 9 };
/// assert!(view.peak >= view.count.viewers);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// The stage's id.
    pub stage: String,
    /// Online viewers and sessions on it.
    pub count: Count,
    /// Largest number of viewers at once that this node has counted on it.
    pub peak: u64,
}

/// Some of the stages, sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageSlice {
    /// The stages.
    pub views: Vec<StageView>,
    /// Stage after which the next slice starts; `None` if this is the last slice.
    pub next_after: Option<String>,
}

/// A viewer on a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceView {
    /// The viewer's id in a stage's list, and the stage's id in a viewer's list.
    pub id: String,
    /// Online sessions, at least one, sorted.
    pub sessions: Vec<String>,
    /// Latest beat of these sessions.
    pub last_beat: UnixMs,
}

/// A session among its viewer's sessions, for the decision whether to admit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionContext {
    /// Whether the session is known, online or not.
    pub is_known: bool,
    /// Whether the session is online.
    pub is_online: bool,
    /// Whether a displacement covers the session's last beat.
    pub is_displaced: bool,
    /// The viewer's online sessions on the stage.
    pub here: usize,
    /// Number of the viewer's sessions in the fold, on any stage.
    pub sessions: usize,
    /// Whether the stage is known.
    pub is_stage_known: bool,
    /// Online viewers and sessions on the stage.
    pub count: Count,
}

/// A session's latest beat and leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastEvents {
    /// The latest beat; zero for none.
    pub beat: UnixMs,
    /// The latest leave or displacement of the session, or leave of all the viewer's sessions on
    /// the stage; zero for none.
    pub left: UnixMs,
    /// Whether the session is online.
    pub is_online: bool,
}

impl LastEvents {
    /// Returns the latest beat of an online session, unless a leave at or after it will take
    /// effect.
    #[must_use]
    pub fn standing_beat(self) -> Option<UnixMs> {
        (self.is_online && self.beat > self.left).then_some(self.beat)
    }
}

/// An event that the fold's state contains.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointEvent<'a> {
    at: UnixMs,
    kind: EventKind,
    stage: &'a str,
    viewer: Id<'a>,
    session: Id<'a>,
    labels: SessionLabels<'a>,
}

impl CheckpointEvent<'_> {
    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> EventRef<'_> {
        let CheckpointEvent { at, kind, stage, ref viewer, ref session, labels } = *self;
        EventRef { labels, at, kind, ids: Ids { stage, viewer, session } }
    }
}

impl Fold {
    /// Returns the facts about a session, its viewer and its stage that admission needs. It takes
    /// the same time however many sessions the viewer has.
    #[must_use]
    pub fn session_context(&self, stage: &str, viewer: &str, session: &str) -> SessionContext {
        let mut among = SessionContext::default();
        let found = self.seats.stages.find(stage);
        if let Some(stage) = found {
            (among.is_stage_known, among.count) = (true, self.seats.stages[stage].count);
        }
        let ids = Ids { stage, viewer, session };
        let (_, handle) = self.handle(ids);
        let Some(anchor) = self.seats.find_viewer(handle.head(), viewer) else { return among };
        among.sessions = self.seats.count_all(anchor);
        let Some(stage) = found else { return among };
        among.here = self.seats.count_online(anchor, stage);
        if let Some(seat) = self.seats.find(handle, ids) {
            (among.is_known, among.is_online) = (true, self.seats[seat].is(SeatFlag::Online));
            among.is_displaced = self.is_displaced(seat);
        }
        among
    }

    /// Returns which of these sessions are online, by a fast look-up. If two sessions have the same
    /// handle, one of them may be reported as offline.
    #[must_use]
    pub fn are_online<const N: usize>(&self, asked: [Option<Ids<'_>>; N]) -> [bool; N] {
        let handles = asked.map(|ids| Some(self.handle(ids?).1));
        self.find_many(asked, handles)
            .map(|seat| seat.is_some_and(|seat| self.seats[seat].is(SeatFlag::Online)))
    }

    /// Calls `with` for the event of a record entry with its ids, or for `None` if they aren't
    /// known.
    pub fn resolve_entry(
        &self,
        record_entry: &RecordEntry<'_>,
        with: impl FnOnce(Option<EventRef<'_>>),
    ) {
        let (at, handle) = match *record_entry {
            RecordEntry::Full(event) => return with(Some(event)),
            RecordEntry::ByHandle { at, handle } => (at, handle),
        };
        let seat = self.seats.find_handle(handle);
        // No node logs a beat by a handle that two sessions have.
        let is_known = |seat: &SeatIndex| {
            let known = &self.seats[*seat];
            !known.is_unresolved() && !known.is(SeatFlag::Ambiguous)
        };
        match seat.filter(is_known) {
            Some(seat) => with(Some(self.known_event(seat, EventKind::Beat, at).event())),
            None => with(None),
        }
    }

    /// Returns an event of a seat that has ids.
    pub(super) fn known_event(
        &self,
        seat: SeatIndex,
        kind: EventKind,
        at: UnixMs,
    ) -> CheckpointEvent<'_> {
        let stage = &self.seats.stages[self.seats[seat].stage].id;
        CheckpointEvent {
            at,
            kind,
            stage,
            viewer: self.seats.viewer(seat),
            session: self.seats.session(seat),
            labels: match kind {
                EventKind::Beat | EventKind::Leave => self.labels_at(seat, at),
                EventKind::Displace => SessionLabels::NONE,
            },
        }
    }

    /// Returns the online viewers and sessions on `stage`, or zero if it is unknown.
    #[must_use]
    pub fn count(&self, stage: &str) -> Count {
        self.seats.stages.find(stage).map_or(Count::default(), |i| self.seats.stages[i].count)
    }

    /// Returns the online viewers, sessions and stages in all.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Returns the stage, if any session of it is or was online within the last hour.
    #[must_use]
    pub fn stage(&self, stage: &str) -> Option<StageView> {
        let stage = &self.seats.stages[self.seats.stages.find(stage)?];
        (stage.peak > 0).then(|| StageView {
            stage: stage.id.to_string(),
            count: stage.count,
            peak: stage.peak,
        })
    }

    /// Returns a slice of the stages that [`stage`](Self::stage) knows, sorted by id. The slice
    /// starts after `after`, and costs at most `limit` steps.
    #[must_use]
    pub fn stages_after(&self, after: Option<&str>, limit: usize) -> StageSlice {
        let mut slice = StageSlice::default();
        let mut stages = self.seats.stages.after(after);
        for stage in stages.by_ref().take(limit) {
            slice.next_after = Some(stage.id.to_string());
            if stage.peak > 0 {
                slice.views.push(StageView {
                    stage: stage.id.to_string(),
                    count: stage.count,
                    peak: stage.peak,
                });
            }
        }
        if stages.next().is_none() {
            slice.next_after = None;
        }
        slice
    }

    /// Removes up to `limit` stages from those whose count has changed, and returns their ids.
    pub fn take_changed_stages(&mut self, limit: usize) -> Vec<Arc<str>> {
        self.seats.stages.take_changed(limit).map(|stage| stage.id.clone()).collect()
    }

    /// Sets all peaks to the present counts.
    pub fn reset_peaks(&mut self) {
        self.seats.stages.reset_peaks();
    }

    /// Returns at most `limit` online viewers of a stage, those after `after` in the order of the
    /// viewers' handles. It costs its rows.
    ///
    /// All nodes have the same order. Pages in sequence list a viewer who is online throughout
    /// exactly once, as long as [`list_order`](Self::list_order) does not change.
    #[must_use]
    pub fn viewers_of(&self, stage: &str, after: Option<&str>, limit: usize) -> Vec<PresenceView> {
        let Some(stage) = self.seats.stages.find(stage) else { return Vec::new() };
        let start =
            after.map(|after| self.handle(Ids { stage: "", viewer: after, session: "" }).1.head());
        let mut entries = self.seats.stages[stage].online.from(start.unwrap_or(0)).peekable();
        let mut views: Vec<PresenceView> = Vec::new();
        while views.len() < limit {
            let Some((head, first)) = entries.next() else { break };
            // These are nearly always the seats of one viewer.
            let mut seats: SmallVec<[SeatIndex; 4]> = SmallVec::from_slice(&[first]);
            seats.extend(std::iter::from_fn(|| {
                entries.next_if(|(next, _)| *next == head).map(|(_, seat)| seat)
            }));
            let passed = after.filter(|_| start == Some(head));
            views.extend(
                self.views_by_viewer(seats)
                    .into_iter()
                    .filter(|view| passed.is_none_or(|id| *view.id > *id)),
            );
        }
        views.truncate(limit);
        views
    }

    /// Returns the viewers of these online seats of one stage, sorted by id.
    fn views_by_viewer(&self, mut seats: SmallVec<[SeatIndex; 4]>) -> SmallVec<[PresenceView; 1]> {
        seats.sort_unstable_by_key(|seat| self.seats[*seat].viewer);
        let mut views: SmallVec<[PresenceView; 1]> = seats
            .chunk_by(|a, b| self.seats[*a].viewer == self.seats[*b].viewer)
            .map(|seats| {
                self.watch_view(self.seats.viewer(seats[0]).to_string(), seats.iter().copied())
            })
            .collect();
        views.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// Returns a number that changes with the order of [`viewers_of`](Self::viewers_of). The order
    /// changes when a lost log gets new keys.
    #[must_use]
    pub fn list_order(&self) -> u32 {
        let keys = self.keys.iter().zip(1u32..).map(|(key, n)| (key.0 ^ key.0 >> 32) as u32 ^ n);
        keys.fold(0, |order, key| order.rotate_left(5).wrapping_mul(0x9e37_79b9) ^ key)
    }

    /// Returns a session's latest beat, if it is known.
    #[must_use]
    pub fn last_beat(&self, stage: &str, viewer: &str, session: &str) -> Option<UnixMs> {
        let ids = Ids { stage, viewer, session };
        let (beat, _) = self.seats.last(self.seats.find(self.handle(ids).1, ids)?);
        Some(beat).filter(|beat| *beat > UnixMs::ZERO)
    }

    /// Returns a session's latest beat and leave, as far as they are known.
    #[must_use]
    pub fn last_events(&self, ids: Ids<'_>) -> LastEvents {
        let find = |ids| self.seats.find(self.handle(ids).1, ids);
        let seat = find(ids);
        let last = |seat| self.seats.last(seat);
        let (beat, left) = seat.map_or((UnixMs::ZERO, UnixMs::ZERO), last);
        // A leave without a session is a leave of all the viewer's sessions on the stage.
        let left_all =
            find(Ids { session: "", ..ids }).map_or(UnixMs::ZERO, |unnamed| last(unnamed).1);
        let is_online = seat.is_some_and(|seat| self.seats[seat].is(SeatFlag::Online));
        let displaced = seat.and_then(|seat| self.seats.displacements(seat).last().copied());
        let left = left.max(left_all).max(displaced.unwrap_or_default());
        LastEvents { beat, left, is_online }
    }

    /// Returns a viewer's online sessions by stage. It reads each of the viewer's sessions once.
    #[must_use]
    pub fn viewer(&self, viewer: &str) -> Vec<PresenceView> {
        let Some(anchor) = self.find_viewer(viewer) else { return Vec::new() };
        let mut by_stage: BTreeMap<&str, Vec<SeatIndex>> = BTreeMap::new();
        for seat in self.seats.ring(anchor).filter(|seat| self.seats[*seat].is(SeatFlag::Online)) {
            by_stage.entry(&self.seats.stages[self.seats[seat].stage].id).or_default().push(seat);
        }
        by_stage
            .into_iter()
            .map(|(id, seats)| self.watch_view(id.to_string(), seats.into_iter()))
            .collect()
    }

    /// Returns any seat of a viewer.
    pub(super) fn find_viewer(&self, viewer: &str) -> Option<SeatIndex> {
        let (_, handle) = self.handle(Ids { stage: "", viewer, session: "" });
        self.seats.find_viewer(handle.head(), viewer)
    }

    /// Returns the viewer's online sessions on a stage by last beat, the latest first, at most
    /// `most`. Sessions with equal times are in any order.
    #[must_use]
    pub fn online_sessions(&self, stage: &str, viewer: &str, most: usize) -> Vec<String> {
        let found = self.find_viewer(viewer).zip(self.seats.stages.find(stage));
        let Some((anchor, stage)) = found else { return Vec::new() };
        let newest = self.seats.newest_online(anchor, stage, most);
        newest.map(|seat| self.seats.session(seat).to_string()).collect()
    }

    fn watch_view(&self, id: String, seats: impl Iterator<Item = SeatIndex>) -> PresenceView {
        let mut view = PresenceView { id, sessions: Vec::new(), last_beat: UnixMs::ZERO };
        for seat in seats.filter(|seat| self.seats[*seat].is(SeatFlag::Online)) {
            view.sessions.push(self.seats.session(seat).to_string());
            view.last_beat = view.last_beat.max(self.seats.last(seat).0);
        }
        view.sessions.sort_unstable();
        view
    }
}
