//! Owner of a span: a viewer on a stage, with the labels that it has throughout.

use housecount_core::fold::ProvenSpans;
use housecount_core::labels::ViewerLabels;
use housecount_core::span::Span;

/// Labels of an entry, as a number: 0 for none, else 1 + the place of its label set. The highest
/// bit marks an *extra* entry.
///
/// A viewer's time is cut where its labels change, and each part belongs to the entry with those
/// labels. So a viewer's counted entries never overlap. Time that was written with fewer labels
/// than a late beat proves cannot be written again. An extra entry has it, under the one label that
/// it lacks, and it counts for that label only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryLabels(u32);

const EXTRA: u32 = 1 << 31;

impl EntryLabels {
    /// No labels.
    pub(super) const NONE: EntryLabels = EntryLabels(0);

    /// Returns the labels of a counted entry, by number.
    pub(super) fn counted(number: u32) -> EntryLabels {
        EntryLabels(number)
    }

    /// Returns the label of an extra entry, by number.
    pub(super) fn extra(number: u32) -> EntryLabels {
        EntryLabels(number | EXTRA)
    }

    /// Returns whether the entry is extra.
    pub(super) fn is_extra(self) -> bool {
        self.0 & EXTRA != 0
    }

    /// Returns 0 for no labels, else 1 + the place of the label set.
    pub(super) fn number(self) -> u32 {
        self.0 & !EXTRA
    }

    /// Returns the same kind of entry with another number.
    pub(super) fn renumbered(self, number: u32) -> EntryLabels {
        EntryLabels(self.0 & EXTRA | number)
    }
}

/// Label sets by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelNumbers {
    none: ViewerLabels,
    sets: Vec<ViewerLabels>,
}

impl LabelNumbers {
    /// Returns the number of sets.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Adds sets, which get the next numbers.
    pub(super) fn extend(&mut self, sets: &[ViewerLabels]) {
        self.sets.extend_from_slice(sets);
    }

    /// Returns the labels with a number, or none if there is no such number.
    pub(super) fn get(&self, labels: EntryLabels) -> &ViewerLabels {
        let place = (labels.number() as usize).checked_sub(1);
        place.and_then(|place| self.sets.get(place)).unwrap_or(&self.none)
    }

    /// Iterates over the sets in the order of their numbers, from 1 on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ViewerLabels> {
        self.sets.iter()
    }
}

/// Owner of a span: a viewer on a stage with labels.
///
/// ```
/// use housecount_core::labels::ViewerLabels;
/// use housecount_ledger::SpanOwner;
///
/// let labels = ViewerLabels::parse("device\u{2}tv").unwrap();
/// let owner = SpanOwner { stage: "show", viewer: "ann", labels: &labels, is_extra: false };
/// assert_eq!(owner.values("device").collect::<Vec<_>>(), ["tv"]);
/// assert_eq!(owner.values("country").collect::<Vec<_>>(), [""]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanOwner<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The viewer.
    pub viewer: &'a str,
    /// The viewer's labels throughout the span.
    pub labels: &'a ViewerLabels,
    /// Whether the span counts for its one label only, because other labels have its time already.
    pub is_extra: bool,
}

/// Calls `with` for the proven spans of a viewer with their owners.
pub fn for_each_owned(proven: &ProvenSpans<'_>, mut with: impl FnMut(&SpanOwner<'_>, Span)) {
    let ProvenSpans { stage, viewer, spans, parts } = *proven;
    if parts.is_empty() {
        let labels = ViewerLabels::default();
        let owner = SpanOwner { stage, viewer, labels: &labels, is_extra: false };
        return spans.iter().for_each(|span| with(&owner, *span));
    }
    for part in parts {
        with(&SpanOwner { stage, viewer, labels: &part.labels, is_extra: false }, part.span);
    }
}

impl<'a> SpanOwner<'a> {
    /// Iterates over the values of a key that the span counts for. The empty value stands for
    /// "none".
    pub fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let is_of_other_key = self.is_extra && self.labels.pairs().all(|(known, _)| known != key);
        self.labels.values(key).filter(move |_| !is_of_other_key)
    }
}
