//! Proof of viewers with labels: an entry for each set of labels that a viewer has had.
//!
//! The viewer's proof comes cut where its labels change. Each part goes to the entry with those
//! labels, less all that is written of the viewer. The entries of a viewer never overlap, so their
//! sum is the viewer's watch time.
//!
//! A late beat of a second device can prove labels for a time that is written without them. That
//! time goes to an *extra* entry, which counts for its one label only.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use super::Draft;
use crate::book::Book;
use crate::chunk::LateSpan;
use crate::new_entries::NewEntries;
use crate::owner::{EntryLabels, LabelNumbers};
use housecount_core::fold::ProvenSpans;
use housecount_core::labels::ViewerLabels;
use housecount_core::span::{Span, normalize, subtract};

/// An entry of the book, or of the book before it, for a viewer whose proof is added.
pub(super) struct KnownEntry<'a> {
    book: &'a Book,
    pub(super) place: u32,
    /// Whether the entry is in the book that the chunk continues.
    pub(super) is_current: bool,
    pub(super) labels: EntryLabels,
}

impl<'a> KnownEntry<'a> {
    pub(super) fn new(book: &'a Book, place: u32, is_current: bool) -> KnownEntry<'a> {
        KnownEntry { book, place, is_current, labels: book.entries.labels(place as usize) }
    }

    fn viewer_labels(&self) -> &'a ViewerLabels {
        self.book.labels.get(self.labels)
    }

    /// Returns the written spans of the entry.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        let entries = &self.book.entries;
        entries.times(entries.get(self.place as usize)).spans.into_iter()
    }

    fn is(&self, labels: &ViewerLabels, is_extra: bool) -> bool {
        self.labels.is_extra() == is_extra && self.viewer_labels() == labels
    }

    /// Returns whether the entry's time counts for a value of a key.
    fn counts_for(&self, key: &str, value: &str) -> bool {
        let labels = self.viewer_labels();
        if self.labels.is_extra() {
            return labels.pairs().any(|pair| pair == (key, value));
        }
        labels.values(key).any(|known| known == value)
    }
}

/// Proven spans of a viewer with the same labels, as a set.
struct Group {
    labels: ViewerLabels,
    spans: Vec<Span>,
    /// Those of the spans whose labels are known. Time of unknown labels that is written already
    /// was written with the right ones.
    known: Vec<Span>,
}

impl Draft<'_> {
    /// Adds the proof of a viewer who has or had labels. `written` is all that is written of the
    /// viewer in counted entries.
    pub(super) fn add_labelled(
        &mut self,
        proven: &ProvenSpans<'_>,
        known: &[KnownEntry<'_>],
        written: &[Span],
    ) {
        let groups = groups(proven, known);
        for group in &groups {
            let same = |entry: &&KnownEntry<'_>| entry.is_current && entry.is(&group.labels, false);
            let place = known.iter().find(same).map(|entry| entry.place);
            let labels = EntryLabels::counted(self.labels.number(&group.labels));
            self.add_entry(proven, labels, &group.spans, written, place);
        }
        let is_other = |entry: &KnownEntry<'_>| {
            groups.first().is_some_and(|group| !entry.is(&group.labels, false))
        };
        if groups.len() > 1 || known.iter().any(is_other) {
            self.add_extra(proven, &groups, known, written);
        }
    }

    /// Adds late time of single labels that was written without them.
    fn add_extra(
        &mut self,
        proven: &ProvenSpans<'_>,
        groups: &[Group],
        known: &[KnownEntry<'_>],
        written: &[Span],
    ) {
        let late = Span::new(self.within().from, self.window.from);
        for (key, value) in pairs(groups, known) {
            let (mut proof, mut counted) = (Vec::new(), Vec::new());
            let has_it = |group: &&Group| group.labels.values(key).any(|known| known == value);
            for group in groups.iter().filter(has_it) {
                proof.extend(group.known.iter().filter_map(|span| span.clip(late)));
                subtract(&group.spans, written, |span| counted.push(span));
            }
            for entry in known.iter().filter(|entry| entry.counts_for(key, value)) {
                counted.extend(entry.spans());
            }
            normalize(&mut proof);
            normalize(&mut counted);
            let mut missing = Vec::new();
            subtract(&proof, &counted, |span| missing.push(span));
            if !missing.is_empty() {
                self.add_late(proven, ViewerLabels::collect([(key, value)]), missing, known);
            }
        }
    }

    /// Adds late spans of an extra entry.
    fn add_late(
        &mut self,
        proven: &ProvenSpans<'_>,
        labels: ViewerLabels,
        late: Vec<Span>,
        known: &[KnownEntry<'_>],
    ) {
        let same = known.iter().find(|entry| entry.is_current && entry.is(&labels, true));
        let slot = same.map(|entry| self.places[entry.place as usize]);
        match slot.filter(|slot| slot.rank != super::DROPPED) {
            Some(slot) => {
                self.late.extend(late.into_iter().map(|span| LateSpan { entry: slot.index, span }));
            }
            None => {
                let labels = EntryLabels::extra(self.labels.number(&labels));
                self.add_new(proven, labels, &[], late, false);
            }
        }
    }
}

/// Groups a viewer's proof by labels. An entry of the book without proof has an empty group, so
/// that it is closed if it was open.
fn groups(proven: &ProvenSpans<'_>, known: &[KnownEntry<'_>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    if proven.parts.is_empty() {
        let spans = proven.spans.to_vec();
        groups.push(Group { labels: ViewerLabels::default(), known: spans.clone(), spans });
    }
    for part in proven.parts {
        let at = groups.iter().position(|group| group.labels == part.labels).unwrap_or_else(|| {
            groups.push(Group { labels: part.labels.clone(), spans: vec![], known: vec![] });
            groups.len() - 1
        });
        groups[at].spans.push(part.span);
        groups[at].known.extend(part.is_known.then_some(part.span));
    }
    for entry in known.iter().filter(|entry| entry.is_current && !entry.labels.is_extra()) {
        if !groups.iter().any(|group| entry.is(&group.labels, false)) {
            let labels = entry.viewer_labels().clone();
            groups.push(Group { labels, spans: Vec::new(), known: Vec::new() });
        }
    }
    groups
}

/// Returns the keys and values that the viewer has proven. A key that only some of the labels have
/// also has the empty value.
fn pairs<'a>(groups: &'a [Group], known: &[KnownEntry<'a>]) -> BTreeSet<(&'a str, &'a str)> {
    let all = groups.iter().map(|group| &group.labels);
    let all = all.chain(known.iter().map(|entry| entry.viewer_labels()));
    let keys: BTreeSet<&str> = all.flat_map(|labels| labels.pairs().map(|(key, _)| key)).collect();
    let proven = groups.iter().filter(|group| !group.known.is_empty());
    let pairs = proven.flat_map(|group| {
        keys.iter().flat_map(|key| group.labels.values(key).map(|value| (*key, value)))
    });
    pairs.collect()
}

/// Numbers of label sets in a draft. Those of the book keep theirs.
#[derive(Debug)]
pub(super) struct DraftLabels {
    known: u32,
    numbers: HashMap<ViewerLabels, u32, RandomState>,
}

impl DraftLabels {
    pub(super) fn of(book: Option<&LabelNumbers>) -> DraftLabels {
        let known = book.map_or(0, LabelNumbers::len) as u32;
        let sets = book.into_iter().flat_map(LabelNumbers::iter);
        DraftLabels { known, numbers: sets.cloned().zip(1..).collect() }
    }

    /// Returns the number of labels, which get one if they have none.
    fn number(&mut self, labels: &ViewerLabels) -> u32 {
        if labels.is_none() {
            return 0;
        }
        let next = self.numbers.len() as u32 + 1;
        *self.numbers.entry(labels.clone()).or_insert(next)
    }

    /// Gives the new label sets that new entries have their numbers in the chunk, in ascending
    /// order. Returns how many are known, and the new ones.
    pub(super) fn finish(&mut self, new: &mut NewEntries) -> (u32, Vec<ViewerLabels>) {
        let used: BTreeSet<u32> = new.iter().map(|new| new.labels.number()).collect();
        let (known, mut numbers) = (self.known, std::mem::take(&mut self.numbers));
        numbers.retain(|_, number| *number > known && used.contains(number));
        let mut sets: Vec<(ViewerLabels, u32)> = numbers.into_iter().collect();
        sets.sort_unstable();
        let places: HashMap<u32, u32, RandomState> =
            sets.iter().map(|(_, number)| *number).zip(known + 1..).collect();
        new.place_labels(|number| places.get(&number).copied().unwrap_or(number));
        (known, sets.into_iter().map(|(labels, _)| labels).collect())
    }
}
