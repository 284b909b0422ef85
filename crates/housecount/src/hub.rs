//! The hub: this node's copy of who is online, and the one place that answers "how many?".
//!
//! Every answer (API, metrics, snapshot) comes from here with when it was true, whether it is known to be
//! whole, and whether it is bridged. The lock is held for a batch at a time and never over an await.

use std::collections::BTreeMap;

use housecount_core::bridge::Bridge;
use housecount_core::event::{EventRef, Kind};
use housecount_core::limits::SILENCE_MS_MAX;
use housecount_core::presence::{Applied, Count, Presence, Rules, StageView, WatchView};
use housecount_core::roster::Roster;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

use crate::clock::mono_ms;
use crate::metrics::LiveFigures;

/// How far a count can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was so, on the log's clock.
    pub as_of: UnixMs,
    /// Whether it is known to count everybody. If not, it may be low.
    pub complete: bool,
    /// Whether it is bridged from what was known before a loss. Then it is not `complete`.
    pub recovering: bool,
}

/// An answer with its standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub of: T,
    /// How far it can be trusted.
    pub standing: Standing,
}

/// See the module's text.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    presence: Presence,
    bridge: Bridge,
    /// Peaks from before this node started, of stages that nobody has come to yet.
    peaks: BTreeMap<String, u64>,
    /// Whether the log has been read to its end once.
    is_live: bool,
    /// When the log was last heard.
    heard_mono_ms: u64,
    /// The latest time known to have come on the log's clock.
    as_of: UnixMs,
}

impl State {
    fn standing(&self) -> Standing {
        let now = self.presence.now();
        let recovering = self.bridge.is_open(now);
        let silent_ms = mono_ms().saturating_sub(self.heard_mono_ms);
        Standing {
            as_of: self.as_of.max(now),
            complete: self.is_live && !recovering && silent_ms < SILENCE_MS_MAX,
            recovering,
        }
    }

    fn answer<T>(&self, of: T) -> Answer<T> {
        Answer { of, standing: self.standing() }
    }

    fn view(&self, real: Option<StageView>, stage: &str) -> Option<StageView> {
        let now = self.presence.now();
        let floor = self.bridge.stage(stage, now);
        let peak = self.peaks.get(stage).copied().unwrap_or(0);
        let known = real.as_ref().map(|view| view.count).unwrap_or_default();
        let count = self.bridge.count(stage, known, now);
        let peak = peak.max(real.as_ref().map_or(0, |v| v.peak)).max(floor.map_or(0, |v| v.peak));
        (real.is_some() || floor.is_some()).then(|| StageView { stage: stage.to_string(), count, peak })
    }
}

impl Hub {
    /// A hub that knows nobody yet.
    #[must_use]
    pub fn new(rules: Rules) -> Hub {
        Hub {
            state: Mutex::new(State {
                presence: Presence::new(rules),
                bridge: Bridge::default(),
                peaks: BTreeMap::new(),
                is_live: false,
                heard_mono_ms: 0,
                as_of: UnixMs::ZERO,
            }),
        }
    }

    /// Takes in events that the log has, `as_of` the time it had them. Any order, any number of times.
    /// Returns how many were too old to matter.
    pub fn apply<'a>(&self, events: impl IntoIterator<Item = EventRef<'a>>, as_of: UnixMs) -> usize {
        let mut state = self.state.lock();
        let applied = events.into_iter().map(|event| state.presence.apply(&event));
        let too_old = applied.filter(|applied| *applied == Applied::TooOld).count();
        if state.is_live {
            state.as_of = state.as_of.max(as_of);
        }
        too_old
    }

    /// All that was appended before `now` has been applied: time may go on to it.
    pub fn advance(&self, now: UnixMs) {
        let mut state = self.state.lock();
        state.presence.advance(now);
        state.heard_mono_ms = mono_ms();
    }

    /// The log has been read to its end for the first time.
    pub fn go_live(&self) {
        let mut state = self.state.lock();
        // While the past was folded all of it was present at once, which was nobody's peak.
        state.presence.reset_peaks();
        state.is_live = true;
    }

    /// Counts may be low until `until`: something could not be read.
    pub fn doubt_until(&self, until: UnixMs) {
        let mut state = self.state.lock();
        let now = state.presence.now();
        state.bridge.extend(until, now);
    }

    /// Lets earlier counts stand in until `until`.
    pub fn open_bridge(&self, roster: Roster, until: UnixMs) {
        let mut state = self.state.lock();
        let doubted_until = state.bridge.until();
        state.bridge = Bridge::new(roster, until.max(doubted_until));
    }

    /// Remembers peaks from before this node started.
    pub fn remember_peaks(&self, roster: &Roster) {
        let peaks = roster.stages.iter().map(|view| (view.stage.clone(), view.peak));
        self.state.lock().peaks = peaks.collect();
    }

    /// Up to when all that was appended has been taken in.
    pub fn now(&self) -> UnixMs {
        self.state.lock().presence.now()
    }

    /// Whether this node knows everybody who is online, even if it hasn't heard from the log just now.
    pub fn knows_all(&self) -> bool {
        let state = self.state.lock();
        state.is_live && !state.bridge.is_open(state.presence.now())
    }

    /// Whether nothing has been heard from the log for so long that counts may be old.
    pub fn is_silent(&self) -> bool {
        mono_ms().saturating_sub(self.state.lock().heard_mono_ms) >= SILENCE_MS_MAX
    }

    /// Who is online on a stage.
    pub fn count(&self, stage: &str) -> Answer<Count> {
        let state = self.state.lock();
        let count = state.bridge.count(stage, state.presence.count(stage), state.presence.now());
        state.answer(count)
    }

    /// Who is online altogether, and on how many stages.
    pub fn totals(&self) -> Answer<(Count, u64)> {
        let state = self.state.lock();
        let (totals, now) = (state.presence.totals(), state.presence.now());
        let bridged = state.bridge.stages(now).filter(|floor| floor.count.viewers > 0);
        let bridged = bridged.filter(|floor| state.presence.count(&floor.stage).viewers == 0).count();
        state.answer((state.bridge.total(totals.count, now), totals.stages + bridged as u64))
    }

    /// A stage, if it is known here.
    pub fn stage(&self, stage: &str) -> Answer<Option<StageView>> {
        let state = self.state.lock();
        state.answer(state.view(state.presence.stage(stage), stage))
    }

    /// All stages known here, sorted.
    pub fn stages(&self) -> Answer<Vec<StageView>> {
        let state = self.state.lock();
        let real = state.presence.stages().map(|view| (view.stage.clone(), Some(view)));
        let bridged = state.bridge.stages(state.presence.now()).map(|view| (view.stage.clone(), None));
        // Real ones last, so that they win.
        let all: BTreeMap<String, Option<StageView>> = bridged.chain(real).collect();
        let views = all.into_iter().filter_map(|(stage, real)| state.view(real, &stage)).collect();
        state.answer(views)
    }

    /// The latest beats known of these events' sessions: what they go on from.
    pub fn beats_before<'a>(&self, events: &[EventRef<'a>]) -> Vec<EventRef<'a>> {
        let state = self.state.lock();
        let before = |event: &EventRef<'a>| {
            let at = state.presence.last_beat(event.stage, event.viewer, event.session)?;
            (at < event.at).then_some(EventRef { at, kind: Kind::Beat, ..*event })
        };
        let mut beats: Vec<EventRef<'a>> = events.iter().filter_map(before).collect();
        beats.sort_unstable();
        beats.dedup();
        beats
    }

    /// The online viewers of a stage, a page of them.
    pub fn viewers_of(&self, stage: &str, after: Option<&str>, limit: usize) -> Answer<Vec<WatchView>> {
        let state = self.state.lock();
        state.answer(state.presence.viewers_of(stage, after, limit))
    }

    /// Where a viewer is now.
    pub fn viewer(&self, viewer: &str) -> Answer<Vec<WatchView>> {
        let state = self.state.lock();
        state.answer(state.presence.viewer(viewer))
    }

    /// All counts of one moment: what a snapshot writes.
    pub fn roster(&self) -> Answer<Roster> {
        let total = self.totals().of.0;
        let stages = self.stages();
        let active = stages.of.into_iter().filter(|view| view.count.viewers > 0).collect();
        Answer { of: Roster { total, stages: active }, standing: stages.standing }
    }

    /// Runs `with` over events that rebuild this state: a checkpoint.
    pub fn with_events<T>(&self, with: impl FnOnce(&mut dyn Iterator<Item = EventRef<'_>>) -> T) -> T {
        with(&mut self.state.lock().presence.events())
    }

    /// The figures of `/metrics`.
    pub fn figures(&self) -> LiveFigures {
        let Answer { of: (count, stages), standing } = self.totals();
        LiveFigures {
            viewers: count.viewers,
            sessions: count.sessions,
            stages,
            complete: standing.complete,
            as_of_ms: standing.as_of.0,
        }
    }
}
