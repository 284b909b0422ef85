//! Labels of sessions: a side table, which exists only where labels are on.
//!
//! An event that carries labels is a *claim*: its labels, and the time at which they were first
//! seen. The smallest claim of a session counts, by time and then by values. So a session's labels
//! are a function of the set of events, like all other state. A beat by handle carries none, and
//! does not touch this table.
//!
//! A seat takes eight bytes here: the claim's time, and the place of its values among the distinct
//! *label sets*. Counts by label change with a viewer's presence, in `presence`, and at no other
//! time but a better claim.

mod counts;
mod known;
mod parts;
mod sets;

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

pub(super) use self::counts::{LabelCounts, SharedValue};
pub use self::known::{CountsByLabel, LabelRoom};
pub(super) use self::parts::PartsWalk;
use self::sets::{LABELLESS, LabelSets, SET_BITS, SetIndex};
use super::Fold;
use super::seat::SeatIndex;
use super::seats::ChunkedVec;
use crate::event::{EventKind, EventRef, Ids, SessionLabels};
use crate::labels::{SEPARATOR, ViewerLabels};
use crate::record::RecordEntry;
use crate::time::UnixMs;

/// Latest time of a claim, Unix ms: the year 2109.
const CLAIM_MS_MAX: u64 = (1 << (u64::BITS - SET_BITS)) - 1;

/// Labels of a session, with the time at which they were first seen. Zero stands for unknown ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LabelClaim(u64);

impl LabelClaim {
    /// The claim of a session of which a beat with ids carries no labels. Any labels are smaller.
    const NO_LABELS: LabelClaim = LabelClaim(CLAIM_MS_MAX << SET_BITS | LABELLESS as u64);

    fn new(first_seen: u64, set: SetIndex) -> LabelClaim {
        LabelClaim(first_seen << SET_BITS | u64::from(set))
    }

    fn first_seen(self) -> u64 {
        self.0 >> SET_BITS
    }

    fn set(self) -> SetIndex {
        (self.0 & ((1 << SET_BITS) - 1)) as SetIndex
    }

    /// Whether no beat with ids is known. The session may have labels all the same. Its beats may
    /// stand by handle in a log that no longer has those before, and its leave may carry ids alone.
    fn is_unknown(self) -> bool {
        self == LabelClaim::default()
    }

    fn has_labels(self) -> bool {
        !self.is_unknown() && self != LabelClaim::NO_LABELS
    }
}

/// Labels of a known session.
///
/// ```
/// use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
/// use housecount_core::fold::{Fold, Rules};
/// use housecount_core::time::UnixMs;
///
/// let mut fold = Fold::new(Rules { ttl_ms: 90_000, leave_grace_ms: 3_000 }, 1, true);
/// fold.set_label_keys(&["country".to_string()]);
/// let ids = Ids { stage: "show", viewer: "ann", session: "tab" };
/// let labels = SessionLabels::parse("country", "NO", 0).unwrap();
/// fold.apply(&EventRef { at: UnixMs(1_000), kind: EventKind::Beat, ids, labels });
/// let known = fold.labels_of(ids).unwrap();
/// assert_eq!(known.at(UnixMs(1_500)), Some(labels.aged(500)));
/// let counts = fold.label_counts(Some("show"), "country", 1);
/// assert_eq!(counts.values, [("NO".to_string(), 1)]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLabels {
    keys: Arc<str>,
    values: Arc<str>,
    first_seen: UnixMs,
}

impl KnownLabels {
    /// Returns the labels as an event at `at` carries them. Before they were first seen it carries
    /// none.
    #[must_use]
    pub fn at(&self, at: UnixMs) -> Option<SessionLabels<'_>> {
        (self.first_seen <= at)
            .then(|| SessionLabels::of_checked(&self.keys, &self.values, at.since(self.first_seen)))
    }

    /// Returns the values in the order of the configured keys. A value may be empty.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.split(SEPARATOR)
    }
}

/// Labels of all seats, and the counts by label in all.
#[derive(Debug)]
pub(super) struct LabelTable {
    /// Configured keys in ascending order.
    keys: Vec<Box<str>>,
    joined_keys: Arc<str>,
    sets: LabelSets,
    claims: ChunkedVec<LabelClaim>,
    /// Labels of spans that were restored from the ledger, by seat.
    restored: HashMap<SeatIndex, ViewerLabels, RandomState>,
    /// Online viewers by label in all.
    pub(super) totals: LabelCounts,
    /// Values of the claim that is being read, in the order of the configured keys.
    scratch: String,
}

impl LabelTable {
    fn new(keys: &[String]) -> LabelTable {
        LabelTable {
            keys: keys.iter().map(|key| key.as_str().into()).collect(),
            joined_keys: keys.join(SEPARATOR.encode_utf8(&mut [0; 4])).into(),
            sets: LabelSets::new(keys.len()),
            claims: ChunkedVec::default(),
            restored: HashMap::default(),
            totals: LabelCounts::default(),
            scratch: String::new(),
        }
    }

    /// Returns the index of a configured key.
    fn key(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|known| **known == *key)
    }

    fn claim(&self, seat: SeatIndex) -> LabelClaim {
        self.claims.get(seat as usize).copied().unwrap_or_default()
    }

    /// Returns the label set of a seat.
    pub(super) fn set(&self, seat: SeatIndex) -> SetIndex {
        self.claim(seat).set()
    }

    /// Returns the values of a set in the order of the keys, each separated by [`SEPARATOR`].
    pub(super) fn values(&self, set: SetIndex) -> &Arc<str> {
        self.sets.values(set)
    }

    /// Compares the claim of an event's labels with the seat's claim. Returns whether it is the
    /// smaller one, and the claim if it is.
    fn compare(
        &mut self,
        seat: SeatIndex,
        at: UnixMs,
        labels: &SessionLabels<'_>,
    ) -> (Ordering, Option<LabelClaim>) {
        let known = self.claim(seat);
        let first_seen = at.0.saturating_sub(labels.age_ms()).clamp(1, CLAIM_MS_MAX);
        let by_time =
            if known.is_unknown() { Ordering::Less } else { first_seen.cmp(&known.first_seen()) };
        if by_time == Ordering::Greater {
            return (Ordering::Greater, None);
        }
        self.scratch.clear();
        for (n, key) in self.keys.iter().enumerate() {
            if n > 0 {
                self.scratch.push(SEPARATOR);
            }
            let value = labels.pairs().find(|(claimed, _)| **claimed == **key);
            self.scratch.push_str(value.map_or("", |(_, value)| value));
        }
        let values = self.sets.values(known.set());
        let order = by_time.then_with(|| (*self.scratch).cmp(&**values));
        if order != Ordering::Less {
            return (order, None);
        }
        let set = if *self.scratch == **values {
            self.sets.hold(known.set());
            known.set()
        } else {
            self.sets.intern(&self.scratch)
        };
        (Ordering::Less, Some(LabelClaim::new(first_seen, set)))
    }

    /// Sets the claim of a seat, which holds a reference to its set.
    fn set_claim(&mut self, seat: SeatIndex, claim: LabelClaim) {
        while self.claims.len() <= seat as usize {
            self.claims.push(LabelClaim::default());
        }
        let before = std::mem::replace(&mut self.claims[seat as usize], claim);
        self.sets.release(before.set());
    }

    /// Removes the labels of a seat.
    pub(super) fn clear(&mut self, seat: SeatIndex) {
        if !self.claim(seat).is_unknown() {
            self.set_claim(seat, LabelClaim::default());
        }
        self.restored.remove(&seat);
    }

    fn known(&self, seat: SeatIndex) -> Option<KnownLabels> {
        let claim = Some(self.claim(seat)).filter(|claim| claim.has_labels())?;
        Some(KnownLabels {
            keys: self.joined_keys.clone(),
            values: self.sets.values(claim.set()).clone(),
            first_seen: UnixMs(claim.first_seen()),
        })
    }

    /// Returns a seat's labels as an event at `at` carries them.
    fn labels_at(&self, seat: SeatIndex, at: UnixMs) -> SessionLabels<'_> {
        let claim = self.claim(seat);
        if !claim.has_labels() || claim.first_seen() > at.0 {
            return SessionLabels::NONE;
        }
        let values = self.sets.values(claim.set());
        SessionLabels::of_checked(&self.joined_keys, values, at.0 - claim.first_seen())
    }
}

impl Fold {
    /// Turns labels on, with their keys in ascending order. It is called before the first event.
    pub fn set_label_keys(&mut self, keys: &[String]) {
        debug_assert!(self.is_empty() && keys.is_sorted());
        self.seats.labels = (!keys.is_empty()).then(|| Box::new(LabelTable::new(keys)));
    }

    /// Returns the configured keys in ascending order; none if labels are off.
    pub fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.seats.labels.iter().flat_map(|labels| labels.keys.iter().map(|key| &**key))
    }

    /// Lets a seat have the labels of an event, if their claim is the smallest so far. Returns how
    /// they compare with the known ones: `Less` if the seat has them now, `Greater` if it keeps
    /// others.
    pub(super) fn claim_labels(&mut self, seat: SeatIndex, event: &EventRef<'_>) -> Ordering {
        let Some(labels) = &mut self.seats.labels else { return Ordering::Equal };
        if event.labels.is_none() {
            let has_labels = labels.claim(seat).has_labels();
            return if has_labels { Ordering::Greater } else { Ordering::Equal };
        }
        let (order, claim) = labels.compare(seat, event.at, &event.labels);
        let Some(claim) = claim else { return order };
        if claim.set() == labels.set(seat) {
            labels.set_claim(seat, claim);
        } else {
            self.mark_changed(seat, event.at);
            self.seats.change_labels(seat, |labels| labels.set_claim(seat, claim));
        }
        Ordering::Less
    }

    /// Notes that a beat with ids has no labels, unless other beats of the session have some.
    pub(super) fn claim_no_labels(&mut self, seat: SeatIndex, event: &EventRef<'_>) {
        if let Some(labels) = &mut self.seats.labels
            && event.labels.is_none()
            && event.kind == EventKind::Beat
            && labels.claim(seat).is_unknown()
        {
            labels.sets.hold(LABELLESS);
            labels.set_claim(seat, LabelClaim::NO_LABELS);
        }
    }

    /// Whether an event carries labels that were seen before the known ones of its session. A leave
    /// may have come before the first beat, so that the log has the ids, and no labels.
    pub(super) fn brings_labels(&self, seat: SeatIndex, event: &EventRef<'_>) -> bool {
        let Some(labels) = &self.seats.labels else { return false };
        let claim = labels.claim(seat);
        let first_seen = event.at.0.saturating_sub(event.labels.age_ms());
        !event.labels.is_none() && (claim.is_unknown() || first_seen < claim.first_seen())
    }

    /// Sets the labels of a restored span. Keys that are not configured are left out.
    pub(super) fn restore_labels(&mut self, seat: SeatIndex, labels: &ViewerLabels) {
        let Some(table) = &mut self.seats.labels else { return };
        let known = table.restored.get(&seat).cloned().unwrap_or_default();
        let all = known.pairs().chain(labels.pairs());
        let all = ViewerLabels::collect(all.filter(|(key, _)| table.key(key).is_some()));
        if !all.is_none() {
            table.restored.insert(seat, all);
        }
    }

    /// Returns the labels of a session, if any beat of it carried some.
    #[must_use]
    pub fn labels_of(&self, ids: Ids<'_>) -> Option<KnownLabels> {
        let labels = self.seats.labels.as_ref()?;
        labels.known(self.seats.find(self.handle(ids).1, ids)?)
    }

    /// Returns a seat's labels as an event at `at` carries them.
    pub(super) fn labels_at(&self, seat: SeatIndex, at: UnixMs) -> SessionLabels<'_> {
        let labels = self.seats.labels.as_ref();
        labels.map_or(SessionLabels::NONE, |labels| labels.labels_at(seat, at))
    }

    /// Gives beats and leaves with ids the labels that the fold knows of their sessions, with their
    /// age. One from before they were first seen keeps its own.
    ///
    /// The texts are stored in `known`, one place for each entry. A place that is filled is used
    /// as it is.
    pub fn add_known_labels<'a>(
        &self,
        entries: &mut [RecordEntry<'a>],
        known: &'a [OnceLock<KnownLabels>],
    ) {
        for (entry, known) in entries.iter_mut().zip(known) {
            let RecordEntry::Full(event) = entry else { continue };
            if event.kind == EventKind::Displace {
                continue;
            }
            if known.get().is_none()
                && let Some(labels) = self.labels_of(event.ids)
            {
                let _ = known.set(labels);
            }
            if let Some(labels) = known.get().and_then(|known| known.at(event.at)) {
                event.labels = labels;
            }
        }
    }
}
