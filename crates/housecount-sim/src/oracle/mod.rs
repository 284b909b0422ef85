//! The oracle: every event of a run and its fate. No code under test sees it.
//!
//! # Runs
//! A *run* is one start of a node until its end. The run's knowledge ends with it.
//!
//! # When an event may be lost
//! An event must be counted and credited once the log has applied it, because its player may have
//! an acknowledgement by then. If the log loses the event, the runs that know it write it to the
//! log again. A run knows an event that it has acknowledged or has read. The event is lost only if
//! all these runs end before they have rebuilt the log: the documented double fault
//! (docs/OPERATIONS.md). Then it need not be counted any more, and still may be. The same holds for
//! a beat by handle that arrives in a log which has just lost everything, including the handle's
//! ids.

mod event;
pub mod presence;
pub mod proof;

use std::collections::BTreeMap;

use housecount_core::beat_schedule::TICK_MS;
use housecount_core::event::{EventKind, partition_of};
use housecount_core::fold::{Handle, HandleKey};
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;

pub use self::event::OracleEvent;
use self::presence::CountQuery;

/// A session on a stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatName {
    /// The stage.
    pub stage: String,
    /// The viewer.
    pub viewer: String,
    /// The session; empty for none.
    pub session: String,
}

/// Key of the label that sessions have in runs with labels.
pub const LABEL_KEY: &str = "device";
/// Values of that label. Half of the sessions have none.
pub const LABEL_VALUES: [&str; 3] = ["", "phone", "tv"];

impl SeatName {
    /// The session's value of the label. It never changes, so that any of its beats tells it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        let sum: usize = self.viewer.bytes().chain(self.session.bytes()).map(usize::from).sum();
        LABEL_VALUES[(sum % 4).saturating_sub(1)]
    }
}

/// One run of a node.
#[derive(Clone, Debug)]
struct NodeRun {
    is_over: bool,
    /// By partition, the time at which the last record that the run has read was applied.
    read_ms: Vec<u64>,
}

/// A loss of the log which the runs that know the events have not repaired yet.
#[derive(Clone, Debug)]
struct Loss {
    events: Vec<(usize, Vec<usize>)>,
    /// Of each run that knows any of the events, the count of rebuilt partitions at which it is
    /// done.
    rebuilt_by: BTreeMap<usize, u64>,
}

/// Record of every event, with the runs that know it.
#[derive(Debug)]
pub struct Oracle {
    partitions: u16,
    seats: Vec<SeatName>,
    by_name: BTreeMap<SeatName, usize>,
    /// By seat, the seat without a session of the same viewer on the same stage, once there is one.
    unnamed: Vec<Option<usize>>,
    /// By seat, the latest stamp.
    latest: Vec<UnixMs>,
    /// By seat, whether the log has a record with its ids since it last lost everything.
    is_named: Vec<bool>,
    /// By seat, the events in the order of their arrival.
    of_seat: Vec<Vec<usize>>,
    events: Vec<OracleEvent>,
    by_what: BTreeMap<(usize, EventKind, UnixMs), usize>,
    keys: Vec<HandleKey>,
    handles: BTreeMap<(u64, [u8; 8]), usize>,
    runs: Vec<NodeRun>,
    losses: Vec<Loss>,
    /// Commits of windows: time of the write, partition, and end of the window.
    pub commits: Vec<(u64, u16, UnixMs)>,
    /// Times at which events were lost for good.
    pub lost_ms: Vec<u64>,
    /// Times at which the log lost anything.
    emptied_ms: Vec<u64>,
}

impl Oracle {
    /// An oracle without events.
    #[must_use]
    pub fn new(partitions: u16) -> Oracle {
        Oracle {
            partitions,
            seats: Vec::new(),
            by_name: BTreeMap::new(),
            unnamed: Vec::new(),
            latest: Vec::new(),
            is_named: Vec::new(),
            of_seat: Vec::new(),
            events: Vec::new(),
            by_what: BTreeMap::new(),
            keys: Vec::new(),
            handles: BTreeMap::new(),
            runs: Vec::new(),
            losses: Vec::new(),
            commits: Vec::new(),
            lost_ms: Vec::new(),
            emptied_ms: Vec::new(),
        }
    }

    /// All seats, by number.
    #[must_use]
    pub fn seats(&self) -> &[SeatName] {
        &self.seats
    }

    /// All events, by number.
    #[must_use]
    pub fn events(&self) -> &[OracleEvent] {
        &self.events
    }

    /// Events of a seat.
    pub fn of_seat(&self, seat: usize) -> impl Iterator<Item = &OracleEvent> {
        self.of_seat[seat].iter().map(|event| &self.events[*event])
    }

    /// Number of the seat with this name, which is added if it is new.
    pub fn seat(&mut self, seat: &SeatName) -> usize {
        if let Some(known) = self.by_name.get(seat) {
            return *known;
        }
        let number = self.seats.len();
        self.seats.push(seat.clone());
        self.of_seat.push(Vec::new());
        self.latest.push(UnixMs::ZERO);
        self.is_named.push(false);
        let whole = SeatName { session: String::new(), ..seat.clone() };
        if *seat == whole {
            let others = self.by_name.range(&whole..);
            let others = others.take_while(|(other, _)| {
                (&other.stage, &other.viewer) == (&seat.stage, &seat.viewer)
            });
            others.for_each(|(_, other)| self.unnamed[*other] = Some(number));
            self.unnamed.push(None);
        } else {
            self.unnamed.push(self.by_name.get(&whole).copied());
        }
        self.by_name.insert(seat.clone(), number);
        for key in self.keys.clone() {
            self.learn(key, number);
        }
        number
    }

    fn learn(&mut self, key: HandleKey, seat: usize) {
        let SeatName { stage, viewer, session } = &self.seats[seat];
        self.handles.insert((key.0, Handle::of(key, stage, viewer, session).bytes()), seat);
    }

    /// Records the start of a node. Returns the number of its run.
    pub fn begin(&mut self) -> usize {
        self.runs.push(NodeRun { is_over: false, read_ms: vec![0; usize::from(self.partitions)] });
        self.runs.len() - 1
    }

    /// Records an event that a run accepted. Returns the event's number.
    pub fn record_event(&mut self, seat: usize, kind: EventKind, at: UnixMs, run: usize) -> usize {
        if let Some(known) = self.by_what.get(&(seat, kind, at)) {
            return *known;
        }
        let number = self.events.len();
        let event = OracleEvent {
            seat,
            kind,
            at,
            run,
            is_acknowledged: false,
            acknowledged_ms: None,
            is_logged: false,
            applied_ms: None,
            in_log_ms: None,
            lost_ms: None,
        };
        self.events.push(event);
        self.of_seat[seat].push(number);
        self.latest[seat] = self.latest[seat].max(at);
        self.by_what.insert((seat, kind, at), number);
        number
    }

    /// Records that an event was acknowledged.
    ///
    /// # Errors
    /// Returns a text if the log never had the event.
    pub fn acknowledged(&mut self, event: usize, run: usize, now_ms: u64) -> Result<(), String> {
        let seat = &self.seats[self.events[event].seat];
        let event = &mut self.events[event];
        event.is_acknowledged |= event.run == run;
        event.acknowledged_ms.get_or_insert(now_ms);
        match event.is_logged {
            true => Ok(()),
            false => Err(format!(
                "acknowledged but not in the log: {:?} of {seat:?} at {}",
                event.kind, event.at
            )),
        }
    }

    /// Records that the log applied a record. Returns the number of its entries.
    ///
    /// # Errors
    /// Returns a text if the record can't be decoded, or has an entry that no player sent and that
    /// does not follow from other events.
    pub fn applied(
        &mut self,
        record: &[u8],
        key: HandleKey,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<usize, String> {
        if !self.keys.contains(&key) {
            self.keys.push(key);
            (0..self.seats.len()).for_each(|seat| self.learn(key, seat));
        }
        let entries = record::decode(record).map_err(|e| format!("unreadable record: {e}"))?;
        for entry in &entries {
            let (seat, kind) = self
                .find(entry)
                .ok_or_else(|| format!("the log has an entry of an unknown seat: {entry:?}"))?;
            let Some(event) = self.by_what.get(&(seat, kind, entry.at())) else {
                if kind == EventKind::Beat && self.is_between(seat, entry.at(), ttl_ms) {
                    continue;
                }
                return Err(format!("the log has an entry that no player sent: {entry:?}"));
            };
            let event = &mut self.events[*event];
            event.is_logged = true;
            self.is_named[seat] |= matches!(entry, RecordEntry::Full(_));
            if self.is_named[seat] {
                event.applied_ms.get_or_insert(now_ms);
                event.in_log_ms.get_or_insert(now_ms);
            }
        }
        Ok(entries.len())
    }

    /// Takes a record's entries as the players' events, for a test that can only read a log. An
    /// entry by handle must follow an entry with its ids.
    ///
    /// # Errors
    /// Returns a text if the record can't be decoded, or if the oracle doesn't know a handle's
    /// seat.
    pub fn observe_record(&mut self, record: &[u8], key: HandleKey) -> Result<(), String> {
        let entries = record::decode(record).map_err(|e| format!("unreadable record: {e}"))?;
        for entry in &entries {
            if let RecordEntry::Full(event) = entry {
                let (stage, viewer) = (event.ids.stage.to_string(), event.ids.viewer.to_string());
                self.seat(&SeatName { stage, viewer, session: event.ids.session.to_string() });
            }
        }
        if !self.keys.contains(&key) {
            self.keys.push(key);
            (0..self.seats.len()).for_each(|seat| self.learn(key, seat));
        }
        for entry in &entries {
            let (seat, kind) = self
                .find(entry)
                .ok_or_else(|| format!("the log has an entry of an unknown seat: {entry:?}"))?;
            let event = self.record_event(seat, kind, entry.at(), 0);
            self.events[event].applied_ms = Some(0);
        }
        Ok(())
    }

    /// Whether a time is between two beats of a seat that prove the time between them. A node that
    /// rebuilds the log shortens such a series to the part that matters. Its first beat then stands
    /// for the beats before it.
    fn is_between(&self, seat: usize, at: UnixMs, ttl_ms: u64) -> bool {
        let beats = || {
            self.of_seat(seat).filter(|event| event.kind == EventKind::Beat).map(|event| event.at)
        };
        let before = beats().filter(|beat| *beat <= at).max();
        let after = beats().filter(|beat| *beat >= at).min();
        before.zip(after).is_some_and(|(before, after)| after.since(before) <= ttl_ms)
    }

    /// Times at which the log lost anything.
    #[must_use]
    pub fn emptied_ms(&self) -> &[u64] {
        &self.emptied_ms
    }

    /// Whether a rebuild of the log may write a beat of a seat at this tick.
    #[must_use]
    pub fn may_be_rebuilt(&self, seat: &SeatName, at: UnixMs, ttl_ms: u64) -> bool {
        let known = self.by_name.get(seat);
        let is_between = |seat: usize| {
            [at, at.plus(TICK_MS - 1)].iter().any(|at| self.is_between(seat, *at, ttl_ms))
        };
        !self.emptied_ms.is_empty() && known.is_some_and(|seat| is_between(*seat))
    }

    fn find(&self, entries: &RecordEntry<'_>) -> Option<(usize, EventKind)> {
        match entries {
            RecordEntry::Full(event) => {
                let (stage, viewer) = (event.ids.stage.to_string(), event.ids.viewer.to_string());
                let seat = SeatName { stage, viewer, session: event.ids.session.to_string() };
                Some((*self.by_name.get(&seat)?, event.kind))
            }
            RecordEntry::ByHandle { handle, .. } => {
                let known = |key: &HandleKey| self.handles.get(&(key.0, handle.bytes()));
                Some((*self.keys.iter().find_map(known)?, EventKind::Beat))
            }
        }
    }

    /// Records that a run has read a partition up to this time.
    pub fn has_read(&mut self, run: usize, partition: u16, read_to_ms: u64) {
        let read_ms = &mut self.runs[run].read_ms[usize::from(partition)];
        *read_ms = read_to_ms.max(*read_ms);
    }

    fn partition(&self, event: &OracleEvent) -> usize {
        usize::from(partition_of(&self.seats[event.seat].viewer, self.partitions))
    }

    fn knows(&self, run: usize, event: &OracleEvent) -> bool {
        let has_read =
            event.applied_ms.is_some_and(|at| self.runs[run].read_ms[self.partition(event)] > at);
        has_read || event.run == run && event.is_acknowledged
    }

    /// Records that the log has lost everything that it applied since `since_ms`.
    /// `rebuilt_partitions` has the number of partitions that each run has rebuilt so far.
    pub fn log_lost(
        &mut self,
        since_ms: u64,
        rebuilt_partitions: &BTreeMap<usize, u64>,
        now_ms: u64,
    ) {
        if since_ms == 0 {
            self.is_named.fill(false);
        }
        let mut loss = Loss { events: Vec::new(), rebuilt_by: BTreeMap::new() };
        let mut touched: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for number in 0..self.events.len() {
            let event = &self.events[number];
            let is_hit = match event.in_log_ms {
                Some(at) => at >= since_ms,
                // An event that was rebuilt in another form is lost when everything is lost.
                None => event.applied_ms.is_some() && since_ms == 0,
            };
            if !is_hit || event.lost_ms.is_some() {
                continue;
            }
            let alive = rebuilt_partitions.keys().copied();
            let know: Vec<usize> = alive.filter(|run| self.knows(*run, event)).collect();
            let partition = self.partition(event);
            for run in &know {
                let partitions = touched.entry(*run).or_default();
                if !partitions.contains(&partition) {
                    partitions.push(partition);
                }
            }
            self.events[number].in_log_ms = None;
            loss.events.push((number, know));
        }
        for (run, partitions) in touched {
            let so_far = rebuilt_partitions.get(&run).copied().unwrap_or(0);
            loss.rebuilt_by.insert(run, so_far + partitions.len() as u64);
        }
        self.losses.push(loss);
        self.emptied_ms.push(now_ms);
        self.settle(rebuilt_partitions, now_ms);
    }

    /// Records the end of runs. `rebuilt_partitions` has the number of partitions that each run
    /// alive until now has rebuilt.
    pub fn end_runs(
        &mut self,
        runs: &[usize],
        rebuilt_partitions: &BTreeMap<usize, u64>,
        now_ms: u64,
    ) {
        self.settle(rebuilt_partitions, now_ms);
        for run in runs {
            self.runs[*run].is_over = true;
        }
        self.settle(rebuilt_partitions, now_ms);
    }

    /// Marks rebuilt events as safe, and events that no run knows any more as lost.
    fn settle(&mut self, rebuilt_partitions: &BTreeMap<usize, u64>, now_ms: u64) {
        let mut lost = Vec::new();
        let runs = &self.runs;
        for loss in &mut self.losses {
            let Loss { events, rebuilt_by } = loss;
            events.retain(|(event, know)| {
                let has_rebuilt = |run: &usize| {
                    rebuilt_by
                        .get(run)
                        .zip(rebuilt_partitions.get(run))
                        .is_some_and(|(needs, has)| has >= needs)
                };
                if know.iter().any(|run| !runs[*run].is_over && has_rebuilt(run)) {
                    return false;
                }
                let is_known = know.iter().any(|run| !runs[*run].is_over);
                if !is_known {
                    lost.push(*event);
                }
                is_known
            });
        }
        self.losses.retain(|loss| !loss.events.is_empty());
        if lost.is_empty() {
            return;
        }
        self.lost_ms.push(now_ms);
        for event in lost {
            // A run that had read the event late may have written it again since.
            let event = &mut self.events[event];
            event.lost_ms = event.in_log_ms.is_none().then_some(now_ms);
        }
    }

    /// Whether a run must count an event. It must once the event is `slack_ms` old, and once the
    /// run's `as_of` covers it.
    fn must_know(&self, event: &OracleEvent, asked: &CountQuery<'_>) -> bool {
        if event.lost_ms.is_some() {
            return false;
        }
        let is_old = event.in_log_ms.is_some_and(|at| at + asked.slack_ms < asked.now_ms);
        // The event is in the log again, if the log had lost it.
        let is_covered = event.acknowledged_ms.zip(event.in_log_ms).zip(asked.as_of_ms);
        let is_covered =
            is_covered.is_some_and(|((logged, there), as_of)| logged.max(there) <= as_of);
        is_old || is_covered || event.run == asked.run && event.is_acknowledged
    }
}
