//! The hub: this node's copy of who is online, and its only source of counts.
//!
//! Every answer (API, metrics, snapshot) comes from here. It carries its time, whether it is
//! complete, and whether it is bridged. The lock is held for some microseconds, and never over an
//! await. It is held longer only while lost events are rewritten to the log.

mod answer;
mod label_counts;
mod labels;
mod lists;
mod past;
pub mod publish;
mod shared;
mod streams;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_backend::clock::mono_ms;
use housecount_core::bridge::Bridge;
use housecount_core::event::{EventKind, EventRef, SessionLabels};
use housecount_core::fold::{
    ApplyOutcome, CheckpointEvent, Count, Fold, HandleKey, Ids, LastEvents, PresenceView, Rules,
    SessionContext, StageView,
};
use housecount_core::limits::{LOG_STALE_MS, SEATS_AGED_PER_HOLD_MAX};
use housecount_core::record::RecordEntry;
use housecount_core::roster::Roster;
use housecount_core::time::UnixMs;
use housecount_metrics::GaugeValues;
use parking_lot::Mutex;

pub use self::answer::{CountStatus, WithStatus};
pub use self::label_counts::LabelPlaces;
use self::past::PriorCounts;
pub use self::shared::{Hold, SharedFold};
pub use self::streams::DisplacementWaiter;
use self::streams::DisplacementWaiters;
use crate::log::health::WriteHealth;

/// Events that are applied under one lock. That takes some microseconds, so that no waiting thread
/// is put to sleep.
const AT_ONCE: usize = 64;

/// This node's counts: the fold, the bridge after a loss, and how current both are.
#[derive(Debug)]
pub struct Hub {
    /// Locked before `past`, if both are.
    fold: SharedFold,
    past: Mutex<PriorCounts>,
    /// Whether there is a bridge, or was until just now. If not, callers skip the lock.
    has_bridge: AtomicBool,
    /// Whether the log has been read to its end once.
    is_live: AtomicBool,
    /// When time last advanced: the log was read to its end, and accepted this node's appends.
    log_read_mono_ms: AtomicU64,
    /// When the log was last read to its end, whether or not time advanced.
    read_mono_ms: AtomicU64,
    /// Whether the log accepts this node's appends.
    writes: Arc<WriteHealth>,
    /// Current extra delay until an event is counted, in ms.
    held_back_ms: AtomicU64,
    displacements: DisplacementWaiters,
    /// Keys of labels in ascending order; none if labels are off.
    label_keys: Vec<String>,
}

/// Number of events that arrived too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateEvents {
    /// Events too late to change any count.
    pub too_old: usize,
    /// Those of them that are also too late for their time to be credited.
    pub uncredited: usize,
}

impl LateEvents {
    fn note(&mut self, applied: ApplyOutcome) {
        self.too_old += usize::from(applied != ApplyOutcome::Applied);
        self.uncredited += usize::from(applied == ApplyOutcome::Uncredited);
    }
}

impl Hub {
    /// Creates a hub without viewers, over a log of this number of partitions. With `keeps_proof`
    /// it also keeps proof.
    #[must_use]
    pub fn new(rules: Rules, partitions: u16, keeps_proof: bool) -> Hub {
        Hub {
            fold: SharedFold::new(Fold::new(rules, partitions, keeps_proof)),
            past: Mutex::default(),
            has_bridge: AtomicBool::new(false),
            is_live: AtomicBool::new(false),
            log_read_mono_ms: AtomicU64::new(0),
            read_mono_ms: AtomicU64::new(0),
            writes: Arc::new(WriteHealth::new(partitions, rules.ttl_ms)),
            held_back_ms: AtomicU64::new(0),
            displacements: DisplacementWaiters::default(),
            label_keys: Vec::new(),
        }
    }

    fn status(&self, fold: &Fold) -> CountStatus {
        let recovering = self.is_bridged(fold.now());
        let is_known = self.is_live() && !recovering && fold.is_fully_resolved();
        CountStatus {
            // The log was read within that millisecond, and other nodes may have appended later in
            // it.
            as_of: fold.now().minus(1 + self.held_back_ms.load(Ordering::Relaxed)),
            complete: is_known && !self.is_stalled(),
            recovering,
        }
    }

    fn answer<T>(&self, fold: &Fold, of: T) -> WithStatus<T> {
        WithStatus { value: of, status: self.status(fold) }
    }

    fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    fn is_bridged(&self, now: UnixMs) -> bool {
        self.has_bridge.load(Ordering::Acquire) && self.past.lock().bridge.is_open(now)
    }

    fn change_bridge(&self, change: impl FnOnce(&mut Bridge)) {
        let mut past = self.past.lock();
        change(&mut past.bridge);
        self.has_bridge.store(true, Ordering::Release);
    }

    /// Clears the flag once the bridge's time is over, so that callers skip the lock.
    fn drop_bridge(&self, now: UnixMs) {
        if self.has_bridge.load(Ordering::Acquire) {
            let past = self.past.lock();
            // The lock is held, so that no thread opens the bridge in between.
            self.has_bridge.store(past.bridge.is_open(now), Ordering::Release);
        }
    }

    /// The shared fold, for readers of proof.
    #[must_use]
    pub fn fold(&self) -> SharedFold {
        self.fold.clone()
    }

    /// Applies events that the log will have, in any order and any number of times.
    pub fn apply<'a>(&self, events: impl IntoIterator<Item = EventRef<'a>>) -> LateEvents {
        let (mut events, mut late) = (events.into_iter().peekable(), LateEvents::default());
        while events.peek().is_some() {
            let mut fold = self.fold.lock(Hold::Events);
            events.by_ref().take(AT_ONCE).for_each(|event| {
                late.note(fold.apply(&event));
                self.displacements.wake(&event);
            });
        }
        late
    }

    /// Applies the entries of a partition's record, which the log appended at `logged_at`.
    ///
    /// `as_of` stays. A node's own append says nothing about the records of other nodes before it.
    pub fn apply_record(
        &self,
        partition: u16,
        entries: &[RecordEntry<'_>],
        logged_at: UnixMs,
    ) -> LateEvents {
        let mut late = LateEvents::default();
        for chunk in entries.chunks(AT_ONCE) {
            self.fold
                .lock(Hold::Events)
                .apply_all(partition, chunk, logged_at, |applied| late.note(applied));
        }
        self.displacements.wake_all(entries);
        late
    }

    /// Sets by how much later than usual events are counted from now on. `asOf` is earlier by as
    /// much.
    pub fn set_extra_delay(&self, ms: u64) {
        self.held_back_ms.store(ms, Ordering::Relaxed);
    }

    /// Calls `with` for each entry of a record, with its ids; `None` where they aren't known.
    pub fn for_each_resolved(
        &self,
        entries: &[RecordEntry<'_>],
        mut with: impl FnMut(Option<EventRef<'_>>),
    ) {
        for chunk in entries.chunks(AT_ONCE) {
            let fold = self.fold.lock(Hold::Events);
            chunk.iter().for_each(|entry| fold.resolve_entry(entry, &mut with));
        }
    }

    /// Sets the key of a partition's handles.
    pub fn set_key(&self, partition: u16, key: HandleKey) {
        let (knows_all_names, until) = {
            let mut fold = self.fold.lock(Hold::Rekey);
            (fold.set_key(partition, key), fold.now().plus(fold.rules().ttl_ms))
        };
        if !knows_all_names {
            self.mark_incomplete_until(until);
        }
    }

    /// The key of a partition's handles.
    pub fn key(&self, partition: u16) -> HandleKey {
        self.fold.lock(Hold::Look).key(partition)
    }

    /// Makes this node log ids again that the log may have lost, if they were logged before `from`.
    pub fn relog_ids_from(&self, from: UnixMs) {
        self.fold.lock(Hold::Look).relog_ids_from(from);
    }

    /// Advances time to `now`, after all events appended before it have been applied.
    pub fn advance(&self, now: UnixMs) {
        // Slice by slice, since a large audience may leave at once.
        while !self.fold.lock(Hold::Time).advance_some(now, SEATS_AGED_PER_HOLD_MAX) {}
        self.drop_bridge(now);
        self.log_read_mono_ms.store(mono_ms(), Ordering::Relaxed);
    }

    /// Marks the log as read to its end for the first time.
    pub fn go_live(&self) {
        // While the past was folded, all of it was present at once, which was not a real peak.
        self.fold.lock(Hold::Time).reset_peaks();
        self.is_live.store(true, Ordering::Relaxed);
    }

    /// Marks counts as possibly low until `until`, because some data could not be read.
    pub fn mark_incomplete_until(&self, until: UnixMs) {
        let now = self.now();
        self.change_bridge(|bridge| bridge.extend(until, now));
    }

    /// Opens a bridge: earlier counts stand in until `until`.
    pub fn open_bridge(&self, roster: Roster, until: UnixMs) {
        self.change_bridge(|bridge| *bridge = Bridge::new(roster, until.max(bridge.until())));
    }

    /// Restores peaks from before this node started.
    pub fn restore_peaks(&self, roster: &Roster) {
        let peaks = roster.stages.iter().map(|view| (view.stage.clone(), view.peak));
        self.past.lock().peaks = peaks.collect();
    }

    /// Time up to which everything appended has been applied.
    pub fn now(&self) -> UnixMs {
        self.fold.lock(Hold::Look).now()
    }

    /// Whether this node knows all viewers who are online, even if it hasn't read the log just now.
    pub fn is_complete(&self) -> bool {
        let fold = self.fold.lock(Hold::Look);
        self.is_live() && fold.is_fully_resolved() && !self.is_bridged(fold.now())
    }

    /// Whether the log accepts this node's appends.
    pub fn writes(&self) -> &Arc<WriteHealth> {
        &self.writes
    }

    /// Whether counts may lack the players' events.
    ///
    /// Either the log refuses writes, or time has stood still for [`LOG_STALE_MS`].
    pub fn is_stalled(&self) -> bool {
        self.writes.is_refused() || self.is_log_stale()
    }

    /// Records that the log has been read to its end, which alone doesn't advance time.
    pub fn note_read(&self) {
        self.read_mono_ms.store(mono_ms(), Ordering::Relaxed);
    }

    /// Whether the log answers reads and accepts writes.
    ///
    /// It may be slow, and time may stand still because of events that wait for it.
    pub fn is_answered(&self) -> bool {
        let unread_ms = mono_ms().saturating_sub(self.read_mono_ms.load(Ordering::Relaxed));
        unread_ms < LOG_STALE_MS && !self.writes.is_refused()
    }

    /// Whether time has stood still for [`LOG_STALE_MS`].
    pub fn is_log_stale(&self) -> bool {
        self.log_silence_ms() >= LOG_STALE_MS
    }

    /// Time for which the clock has stood still, in ms.
    fn log_silence_ms(&self) -> u64 {
        mono_ms().saturating_sub(self.log_read_mono_ms.load(Ordering::Relaxed))
    }

    /// Counts the viewers who are online on a stage.
    pub fn count(&self, stage: &str) -> WithStatus<Count> {
        let fold = self.fold.lock(Hold::Look);
        let mut count = fold.count(stage);
        if self.has_bridge.load(Ordering::Acquire) {
            count = self.past.lock().bridge.count(stage, count, fold.now());
        }
        self.answer(&fold, count)
    }

    /// Counts the viewers who are online on all stages together, and the stages.
    pub fn totals(&self) -> WithStatus<(Count, u64)> {
        let fold = self.fold.lock(Hold::Look);
        self.answer(&fold, self.totals_of(&fold))
    }

    fn totals_of(&self, fold: &Fold) -> (Count, u64) {
        let (totals, now) = (fold.totals(), fold.now());
        let past = self.past.lock();
        let bridged = past.bridge.stages(now).filter(|floor| floor.count.viewers > 0);
        let bridged = bridged.filter(|floor| fold.count(&floor.stage).viewers == 0).count();
        (past.bridge.total(totals.count, now), totals.stages + bridged as u64)
    }

    /// Returns a stage, if it is known here.
    pub fn stage(&self, stage: &str) -> WithStatus<Option<StageView>> {
        let fold = self.fold.lock(Hold::Look);
        self.answer(&fold, self.view(&fold, stage))
    }

    fn view(&self, fold: &Fold, stage: &str) -> Option<StageView> {
        self.past.lock().view(fold.now(), fold.stage(stage), stage)
    }

    /// Returns the latest known beat of each event's session, if it is earlier. The event continues
    /// from it.
    pub fn preceding_beats<'a>(&self, events: &[EventRef<'a>]) -> Vec<EventRef<'a>> {
        let mut beats: Vec<EventRef<'a>> = Vec::new();
        for chunk in events.chunks(AT_ONCE) {
            let fold = self.fold.lock(Hold::Events);
            beats.extend(chunk.iter().filter_map(|event| {
                let at = fold.last_beat(event.ids.stage, event.ids.viewer, event.ids.session)?;
                let labels = SessionLabels::NONE; // those of the event may be later
                (at < event.at).then_some(EventRef { at, kind: EventKind::Beat, labels, ..*event })
            }));
        }
        beats.sort_unstable();
        beats.dedup();
        beats
    }

    /// Returns a session's latest beat and leave, as far as they are known.
    pub fn last_events(&self, ids: Ids<'_>) -> LastEvents {
        self.fold.lock(Hold::Look).last_events(ids)
    }

    /// Returns the viewer's online sessions on a stage, at most `most`, sorted by their latest
    /// beat. The most recent one comes first.
    pub fn online_sessions(&self, stage: &str, viewer: &str, most: usize) -> Vec<String> {
        self.fold.lock(Hold::Look).online_sessions(stage, viewer, most)
    }

    /// Returns the stages on which a viewer is online.
    pub fn viewer(&self, viewer: &str) -> WithStatus<Vec<PresenceView>> {
        let fold = self.fold.lock(Hold::Look);
        self.answer(&fold, fold.viewer(viewer))
    }

    /// Returns what is known of a session's viewer and stage, also from before a loss.
    ///
    /// See [`Fold::session_context`].
    pub fn session_context(&self, stage: &str, viewer: &str, session: &str) -> SessionContext {
        let fold = self.fold.lock(Hold::Look);
        let mut among = fold.session_context(stage, viewer, session);
        if !among.is_stage_known {
            let past = self.past.lock();
            among.is_stage_known =
                past.peaks.contains_key(stage) || past.bridge.stage(stage, fold.now()).is_some();
        }
        among
    }

    /// Returns which of these sessions are online; see [`Fold::are_online`].
    pub fn are_online<const N: usize>(&self, asked: [Option<Ids<'_>>; N]) -> [bool; N] {
        self.fold.lock(Hold::Look).are_online(asked)
    }

    /// Runs `with` over a slice of a checkpoint: events that repeat what matters of a partition
    /// from `from` on.
    ///
    /// Returns the number of places. The checkpoint is complete when slices have covered all
    /// places.
    pub fn with_checkpoint<T>(
        &self,
        partition: u16,
        places: Range<usize>,
        from: UnixMs,
        with: impl FnOnce(&mut dyn Iterator<Item = CheckpointEvent<'_>>) -> T,
    ) -> (T, usize) {
        let fold = self.fold.lock(Hold::Rebuild);
        let done = with(&mut fold.checkpoint_events(partition, places, from));
        let places = fold.places();
        (done, places)
    }

    /// Returns the figures of `/metrics`.
    pub fn gauge_values(&self) -> GaugeValues {
        let WithStatus { value: (count, stages), status } = self.totals();
        GaugeValues {
            viewers: count.viewers,
            sessions: count.sessions,
            stages,
            complete: status.complete,
            as_of_ms: status.as_of.0,
            log_lag_ms: self.log_silence_ms(),
            holds: self.fold.hold_times(),
            ..GaugeValues::default()
        }
    }
}
