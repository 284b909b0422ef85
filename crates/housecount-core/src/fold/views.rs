//! What can be asked of who is online. Every answer is about `now()`, and sorted by id so that it can be paged.

use std::collections::BTreeMap;

use super::names::Id;
use super::seat::{Flag, Ids, SeatIndex};
use super::{Count, Fold, Totals};
use crate::event::{EventRef, Kind};
use crate::record::Told;
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

/// A session among its viewer's, for whoever decides whether it may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Among {
    /// It is known, online or not.
    pub is_known: bool,
    /// It is online.
    pub is_online: bool,
    /// The viewer's online sessions on the stage.
    pub here: usize,
    /// The viewer's sessions that are kept, on any stage.
    pub sessions: usize,
    /// The stage is known.
    pub is_stage_known: bool,
    /// Who is online on it.
    pub count: Count,
}

/// A session's latest beat and leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastEvents {
    /// The latest beat; zero for none.
    pub beat: UnixMs,
    /// The latest leave of the session, or of all the viewer's sessions on the stage; zero for none.
    pub left: UnixMs,
    /// Whether the session is online.
    pub is_online: bool,
}

impl LastEvents {
    /// The latest beat of an online session, if no leave was said at or after it: such a leave will take effect.
    #[must_use]
    pub fn standing_beat(self) -> Option<UnixMs> {
        (self.is_online && self.beat > self.left).then_some(self.beat)
    }
}

/// An event out of what the fold keeps.
#[derive(Clone, Copy, Debug)]
pub struct KnownEvent<'a> {
    at: UnixMs,
    kind: Kind,
    stage: &'a str,
    viewer: Id<'a>,
    session: Id<'a>,
}

impl KnownEvent<'_> {
    /// The event.
    #[must_use]
    pub fn event(&self) -> EventRef<'_> {
        let KnownEvent { at, kind, stage, ref viewer, ref session } = *self;
        EventRef { at, kind, stage, viewer, session }
    }
}

impl Fold {
    /// What is known of a session's viewer and stage. Takes the same time however many sessions the viewer has.
    #[must_use]
    pub fn among(&self, stage: &str, viewer: &str, session: &str) -> Among {
        let mut among = Among::default();
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
            (among.is_known, among.is_online) = (true, self.seats[seat].is(Flag::Online));
        }
        among
    }

    /// Which of these sessions are online, as far as that is found quickly: of two with the same handle one looks as if it weren't.
    #[must_use]
    pub fn are_online<const N: usize>(&self, asked: [Option<Ids<'_>>; N]) -> [bool; N] {
        let handles = asked.map(|ids| Some(self.handle(ids?).1));
        self.find_many(asked, handles).map(|seat| seat.is_some_and(|seat| self.seats[seat].is(Flag::Online)))
    }

    /// Calls `with` for what a record says, with its ids; `None` where they aren't known.
    pub fn with_ids(&self, said: &Told<'_>, with: impl FnOnce(Option<EventRef<'_>>)) {
        let (at, handle) = match *said {
            Told::Event(event) => return with(Some(event)),
            Told::Beat { at, handle } => (at, handle),
        };
        let seat = self.seats.find_handle(handle);
        // Nobody tells a beat by a handle that two sessions have.
        let is_known = |seat: &SeatIndex| {
            let known = &self.seats[*seat];
            !known.is_nameless() && !known.is(Flag::Ambiguous)
        };
        match seat.filter(is_known) {
            Some(seat) => with(Some(self.known_event(seat, Kind::Beat, at).event())),
            None => with(None),
        }
    }

    /// What a named seat's session said.
    pub(super) fn known_event(&self, seat: SeatIndex, kind: Kind, at: UnixMs) -> KnownEvent<'_> {
        let stage = &self.seats.stages[self.seats[seat].stage].id;
        KnownEvent { at, kind, stage, viewer: self.seats.viewer(seat), session: self.seats.session(seat) }
    }

    /// Who is online on `stage`; nobody if it is unknown.
    #[must_use]
    pub fn count(&self, stage: &str) -> Count {
        self.seats.stages.find(stage).map_or(Count::default(), |i| self.seats.stages[i].count)
    }

    /// Who is online altogether.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The stage, if any session of it is or was online within the last hour.
    #[must_use]
    pub fn stage(&self, stage: &str) -> Option<StageView> {
        let stage = &self.seats.stages[self.seats.stages.find(stage)?];
        (stage.peak > 0).then(|| StageView {
            stage: stage.id.to_string(),
            count: stage.count,
            peak: stage.peak,
        })
    }

    /// All stages that [`stage`](Self::stage) knows, in no order.
    pub fn stages(&self) -> impl Iterator<Item = StageView> {
        self.seats.stages.all().filter(|s| s.peak > 0).map(|s| StageView {
            stage: s.id.to_string(),
            count: s.count,
            peak: s.peak,
        })
    }

    /// Forgets all peaks but those of now.
    pub fn reset_peaks(&mut self) {
        self.seats.stages.reset_peaks();
    }

    /// The online viewers of a stage whose id is greater than `after`, sorted, at most `limit`.
    /// Looks at every session of the stage once, and holds `limit` of them at a time.
    #[must_use]
    pub fn viewers_of(&self, stage: &str, after: Option<&str>, limit: usize) -> Vec<WatchView> {
        let Some(stage) = self.seats.stages.find(stage) else { return Vec::new() };
        let mut nearest: BTreeMap<String, SeatIndex> = BTreeMap::new();
        for seat in self.seats.stages[stage].online.iter().copied() {
            let id = self.seats.viewer(seat);
            if after.is_some_and(|after| *id <= *after) {
                continue;
            }
            // Another session of the viewer may be in already. Where the list is full, only who comes before its last is of interest.
            let is_near =
                nearest.len() < limit || nearest.last_key_value().is_some_and(|(far, _)| *id < **far);
            if is_near && !nearest.contains_key(&*id) {
                nearest.insert(id.to_string(), seat);
                if nearest.len() > limit {
                    nearest.pop_last();
                }
            }
        }
        nearest.into_iter().map(|(id, seat)| self.watch_view(id, self.seats.here(seat))).collect()
    }

    /// A session's latest beat, if it is known.
    #[must_use]
    pub fn last_beat(&self, stage: &str, viewer: &str, session: &str) -> Option<UnixMs> {
        let ids = Ids { stage, viewer, session };
        let (beat, _) = self.seats.last(self.seats.find(self.handle(ids).1, ids)?);
        Some(beat).filter(|beat| *beat > UnixMs::ZERO)
    }

    /// A session's latest beat and leave, as far as they are known.
    #[must_use]
    pub fn last_events(&self, ids: Ids<'_>) -> LastEvents {
        let find = |ids| self.seats.find(self.handle(ids).1, ids);
        let seat = find(ids);
        let last = |seat| self.seats.last(seat);
        let (beat, left) = seat.map_or((UnixMs::ZERO, UnixMs::ZERO), last);
        // A leave without a session is one of all the viewer's sessions on the stage.
        let left_all = find(Ids { session: "", ..ids }).map_or(UnixMs::ZERO, |unnamed| last(unnamed).1);
        let is_online = seat.is_some_and(|seat| self.seats[seat].is(Flag::Online));
        LastEvents { beat, left: left.max(left_all), is_online }
    }

    /// Where a viewer is now, by stage. Looks at each of the viewer's sessions once.
    #[must_use]
    pub fn viewer(&self, viewer: &str) -> Vec<WatchView> {
        let Some(anchor) = self.find_viewer(viewer) else { return Vec::new() };
        let mut by_stage: BTreeMap<&str, Vec<SeatIndex>> = BTreeMap::new();
        for seat in self.seats.ring(anchor).filter(|seat| self.seats[*seat].is(Flag::Online)) {
            by_stage.entry(&self.seats.stages[self.seats[seat].stage].id).or_default().push(seat);
        }
        by_stage.into_iter().map(|(id, seats)| self.watch_view(id.to_string(), seats.into_iter())).collect()
    }

    /// Any seat of a viewer.
    fn find_viewer(&self, viewer: &str) -> Option<SeatIndex> {
        let (_, handle) = self.handle(Ids { stage: "", viewer, session: "" });
        self.seats.find_viewer(handle.head(), viewer)
    }

    /// The viewer's online sessions on a stage that beat last, at most `most` of them; the last one first, and of several at the same
    /// time any.
    #[must_use]
    pub fn online_sessions(&self, stage: &str, viewer: &str, most: usize) -> Vec<String> {
        let found = self.find_viewer(viewer).zip(self.seats.stages.find(stage));
        let Some((anchor, stage)) = found else { return Vec::new() };
        let newest = self.seats.newest_online(anchor, stage, most);
        newest.map(|seat| self.seats.session(seat).to_string()).collect()
    }

    fn watch_view(&self, id: String, seats: impl Iterator<Item = SeatIndex>) -> WatchView {
        let mut view = WatchView { id, sessions: Vec::new(), last_beat: UnixMs::ZERO };
        for seat in seats.filter(|seat| self.seats[*seat].is(Flag::Online)) {
            view.sessions.push(self.seats.session(seat).to_string());
            view.last_beat = view.last_beat.max(self.seats.last(seat).0);
        }
        view.sessions.sort_unstable();
        view
    }
}
