//! The hub: this node's copy of who is online, and the one place that answers "how many?".
//!
//! Every answer (API, metrics, snapshot) comes from here with when it was true, whether it is known
//! to be whole, and whether it is bridged. The lock is held for some microseconds (longer only
//! while a log that lost something is told all of it again), and never over an await.

mod answer;
mod lists;
mod past;
mod shared;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_core::bridge::Bridge;
use housecount_core::event::{EventKind, EventRef};
use housecount_core::fold::{
    ApplyOutcome, CheckpointEvent, Count, Fold, HandleKey, Ids, LastEvents, PresenceView, Rules,
    SessionContext, StageView,
};
use housecount_core::limits::{LOG_STALE_MS, SEATS_AGED_PER_HOLD_MAX};
use housecount_core::record::RecordEntry;
use housecount_core::roster::Roster;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

pub use self::answer::{CountStatus, WithStatus};
use self::past::PriorCounts;
pub use self::shared::{FoldGuard, Hold, HoldTimes, SharedFold};
use crate::clock::mono_ms;
use crate::health::WriteHealth;
use crate::metrics::GaugeValues;

/// Events taken in under one lock: some microseconds, so that nobody who waits for it is put to
/// sleep.
const AT_ONCE: usize = 64;

/// This node's counts: the fold, the bridge after a loss, and how current both are.
#[derive(Debug)]
pub struct Hub {
    /// Locked before `past`, if both are.
    fold: SharedFold,
    past: Mutex<PriorCounts>,
    /// Whether there is a bridge, or was until just now; if not, nobody need look.
    has_bridge: AtomicBool,
    /// Whether the log has been read to its end once.
    is_live: AtomicBool,
    /// When time last advanced: the log was read to its end, and took what this node had to write.
    log_read_mono_ms: AtomicU64,
    /// When the log was last read to its end, whether or not time advanced.
    read_mono_ms: AtomicU64,
    /// Whether the log takes what this node writes.
    writes: Arc<WriteHealth>,
    /// By how much later than usual what is said may come to be counted just now.
    held_back_ms: AtomicU64,
}

/// How many events came too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateEvents {
    /// Too late to change any count.
    pub too_old: usize,
    /// Of these, too late for their time to be credited.
    pub uncredited: usize,
}

impl LateEvents {
    fn note(&mut self, applied: ApplyOutcome) {
        self.too_old += usize::from(applied != ApplyOutcome::Applied);
        self.uncredited += usize::from(applied == ApplyOutcome::Uncredited);
    }
}

impl Hub {
    /// A hub that knows nobody yet, over a log of so many partitions. With `keeps_proof` it also
    /// keeps what is proven.
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
        }
    }

    fn standing(&self, fold: &Fold) -> CountStatus {
        let recovering = self.is_bridged(fold.now());
        let is_known = self.is_live() && !recovering && fold.is_fully_resolved();
        CountStatus {
            // The log was read within that millisecond, and others may have appended later in it.
            as_of: fold.now().minus(1 + self.held_back_ms.load(Ordering::Relaxed)),
            complete: is_known && !self.is_stalled(),
            recovering,
        }
    }

    fn answer<T>(&self, fold: &Fold, of: T) -> WithStatus<T> {
        WithStatus { value: of, standing: self.standing(fold) }
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

    /// Once the bridge's time is over nobody need look.
    fn drop_bridge(&self, now: UnixMs) {
        if self.has_bridge.load(Ordering::Acquire) {
            let past = self.past.lock();
            // Under the lock: nobody opens it in between.
            self.has_bridge.store(past.bridge.is_open(now), Ordering::Release);
        }
    }

    /// The fold itself, for whoever asks what is proven.
    #[must_use]
    pub fn fold(&self) -> SharedFold {
        self.fold.clone()
    }

    /// Takes in events that the log will have. Any order, any number of times.
    pub fn apply<'a>(&self, events: impl IntoIterator<Item = EventRef<'a>>) -> LateEvents {
        let (mut events, mut late) = (events.into_iter().peekable(), LateEvents::default());
        while events.peek().is_some() {
            let mut fold = self.fold.lock(Hold::Events);
            events.by_ref().take(AT_ONCE).for_each(|event| late.note(fold.apply(&event)));
        }
        late
    }

    /// Takes in what a partition's record says, which the log has since `told`. `as_of` stays: a
    /// node's own append says nothing about the records of other nodes that lie before it.
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
        late
    }

    /// What is said may come to be counted by this much later than usual from now on: `asOf` says
    /// so.
    pub fn set_extra_delay(&self, ms: u64) {
        self.held_back_ms.store(ms, Ordering::Relaxed);
    }

    /// Calls `with` for each of what a record says, with its ids; `None` where they aren't known.
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

    /// How events are best told in a record at `now`.
    pub fn record_entries<'a>(&self, events: &[EventRef<'a>], now: UnixMs) -> Vec<RecordEntry<'a>> {
        let entries = events
            .chunks(AT_ONCE)
            .flat_map(|events| self.fold.lock(Hold::Events).record_entries(events, now));
        entries.collect()
    }

    /// A partition's handles are made with this key.
    pub fn set_key(&self, partition: u16, key: HandleKey) {
        let (knows_all_names, until) = {
            let mut fold = self.fold.lock(Hold::Rekey);
            (fold.set_key(partition, key), fold.now().plus(fold.rules().ttl_ms))
        };
        if !knows_all_names {
            self.mark_incomplete_until(until);
        }
    }

    /// What a partition's handles are made with.
    pub fn key(&self, partition: u16) -> HandleKey {
        self.fold.lock(Hold::Look).key(partition)
    }

    /// The log may have lost ids that it was told before `from`: they are told again.
    pub fn relog_ids_from(&self, from: UnixMs) {
        self.fold.lock(Hold::Look).relog_ids_from(from);
    }

    /// All that was appended before `now` has been applied: time may go on to it.
    pub fn advance(&self, now: UnixMs) {
        // Slice by slice: a large audience may leave at once.
        while !self.fold.lock(Hold::Time).advance_some(now, SEATS_AGED_PER_HOLD_MAX) {}
        self.drop_bridge(now);
        self.log_read_mono_ms.store(mono_ms(), Ordering::Relaxed);
    }

    /// The log has been read to its end for the first time.
    pub fn go_live(&self) {
        // While the past was folded all of it was present at once, which was nobody's peak.
        self.fold.lock(Hold::Time).reset_peaks();
        self.is_live.store(true, Ordering::Relaxed);
    }

    /// Counts may be low until `until`: something could not be read.
    pub fn mark_incomplete_until(&self, until: UnixMs) {
        let now = self.now();
        self.change_bridge(|bridge| bridge.extend(until, now));
    }

    /// Lets earlier counts stand in until `until`.
    pub fn open_bridge(&self, roster: Roster, until: UnixMs) {
        self.change_bridge(|bridge| *bridge = Bridge::new(roster, until.max(bridge.until())));
    }

    /// Remembers peaks from before this node started.
    pub fn restore_peaks(&self, roster: &Roster) {
        let peaks = roster.stages.iter().map(|view| (view.stage.clone(), view.peak));
        self.past.lock().peaks = peaks.collect();
    }

    /// Up to when all that was appended has been taken in.
    pub fn now(&self) -> UnixMs {
        self.fold.lock(Hold::Look).now()
    }

    /// Whether this node knows everybody who is online, even if it hasn't heard from the log just
    /// now.
    pub fn is_complete(&self) -> bool {
        let fold = self.fold.lock(Hold::Look);
        self.is_live() && fold.is_fully_resolved() && !self.is_bridged(fold.now())
    }

    /// Whether the log takes what this node writes.
    pub fn writes(&self) -> &Arc<WriteHealth> {
        &self.writes
    }

    /// Whether counts may miss what players say: the log refuses writes, or time has stood still
    /// for [`LOG_STALE_MS`].
    pub fn is_stalled(&self) -> bool {
        self.writes.is_refused() || self.is_log_stale()
    }

    /// The log has been read to its end, which alone lets no time advance.
    pub fn note_read(&self) {
        self.read_mono_ms.store(mono_ms(), Ordering::Relaxed);
    }

    /// Whether the log answers reads and writes. It may be slow, and time stand still because of
    /// what waits for it.
    pub fn is_answered(&self) -> bool {
        let unread_ms = mono_ms().saturating_sub(self.read_mono_ms.load(Ordering::Relaxed));
        unread_ms < LOG_STALE_MS && !self.writes.is_refused()
    }

    /// Whether time has stood still for [`LOG_STALE_MS`].
    pub fn is_log_stale(&self) -> bool {
        self.log_silence_ms() >= LOG_STALE_MS
    }

    /// How long time has stood still.
    fn log_silence_ms(&self) -> u64 {
        mono_ms().saturating_sub(self.log_read_mono_ms.load(Ordering::Relaxed))
    }

    /// Who is online on a stage.
    pub fn count(&self, stage: &str) -> WithStatus<Count> {
        let fold = self.fold.lock(Hold::Look);
        let mut count = fold.count(stage);
        if self.has_bridge.load(Ordering::Acquire) {
            count = self.past.lock().bridge.count(stage, count, fold.now());
        }
        self.answer(&fold, count)
    }

    /// Who is online altogether, and on how many stages.
    pub fn totals(&self) -> WithStatus<(Count, u64)> {
        let fold = self.fold.lock(Hold::Look);
        let (totals, now) = (fold.totals(), fold.now());
        let (total, bridged) = {
            let past = self.past.lock();
            let bridged = past.bridge.stages(now).filter(|floor| floor.count.viewers > 0);
            let bridged = bridged.filter(|floor| fold.count(&floor.stage).viewers == 0).count();
            (past.bridge.total(totals.count, now), bridged)
        };
        self.answer(&fold, (total, totals.stages + bridged as u64))
    }

    /// A stage, if it is known here.
    pub fn stage(&self, stage: &str) -> WithStatus<Option<StageView>> {
        let fold = self.fold.lock(Hold::Look);
        let view = self.past.lock().view(fold.now(), fold.stage(stage), stage);
        self.answer(&fold, view)
    }

    /// The latest beats known of these events' sessions: what they go on from.
    pub fn preceding_beats<'a>(&self, events: &[EventRef<'a>]) -> Vec<EventRef<'a>> {
        let mut beats: Vec<EventRef<'a>> = Vec::new();
        for chunk in events.chunks(AT_ONCE) {
            let fold = self.fold.lock(Hold::Events);
            beats.extend(chunk.iter().filter_map(|event| {
                let at = fold.last_beat(event.stage, event.viewer, event.session)?;
                (at < event.at).then_some(EventRef { at, kind: EventKind::Beat, ..*event })
            }));
        }
        beats.sort_unstable();
        beats.dedup();
        beats
    }

    /// A session's latest beat and leave, as far as they are known.
    pub fn last_events(&self, ids: Ids<'_>) -> LastEvents {
        self.fold.lock(Hold::Look).last_events(ids)
    }

    /// The viewer's online sessions on a stage that beat last, at most `most` of them; the last one
    /// first.
    pub fn online_sessions(&self, stage: &str, viewer: &str, most: usize) -> Vec<String> {
        self.fold.lock(Hold::Look).online_sessions(stage, viewer, most)
    }

    /// Where a viewer is now.
    pub fn viewer(&self, viewer: &str) -> WithStatus<Vec<PresenceView>> {
        let fold = self.fold.lock(Hold::Look);
        self.answer(&fold, fold.viewer(viewer))
    }

    /// What is known of a session's viewer and stage, also from before a loss; see [`Fold::session_context`].
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

    /// Which of these sessions are online; see [`Fold::are_online`].
    pub fn are_online<const N: usize>(&self, asked: [Option<Ids<'_>>; N]) -> [bool; N] {
        self.fold.lock(Hold::Look).are_online(asked)
    }

    /// Runs `with` over events that repeat what matters of a partition from `from` on: a slice of a
    /// checkpoint. Returns how many places there are; the checkpoint is whole when slices have
    /// covered them.
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

    /// The figures of `/metrics`.
    pub fn gauge_values(&self) -> GaugeValues {
        let WithStatus { value: (count, stages), standing } = self.totals();
        GaugeValues {
            viewers: count.viewers,
            sessions: count.sessions,
            stages,
            complete: standing.complete,
            as_of_ms: standing.as_of.0,
            log_lag_ms: self.log_silence_ms(),
            holds: self.fold.hold_times(),
            ..GaugeValues::default()
        }
    }
}
