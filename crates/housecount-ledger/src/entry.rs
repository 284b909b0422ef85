//! Entries of a book: 24 bytes each, and a packed id.
//!
//! Nearly all entries have one span, and readers receive it from its start. An entry has fields for
//! that case. The others have more in a table.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::book::SpanVisitor;
use super::owner::{EntryLabels, LabelNumbers, SpanOwner};
use housecount_core::id_arena::{Id, IdArena, IdRef, StoredId};
use housecount_core::span::{Span, normalize};
use housecount_core::time::UnixMs;

/// Bits of [`BookEntry::from`] that are not part of a time. Times of chunks have 48 bits.
const OPEN: u64 = 1 << 63;
const MANY: u64 = 1 << 62;

/// A viewer on a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookEntry {
    /// Start of its only span, and its flags.
    from: u64,
    /// End of its last span. It is zero without a span, which is the case only while a chunk is
    /// applied.
    to: UnixMs,
    /// Id of the viewer. Each entry has an `IdRef` of its own, also entries of one viewer.
    viewer: IdRef,
    pub(super) stage: u32,
}

impl BookEntry {
    pub(super) fn is_open(self) -> bool {
        self.from & OPEN != 0
    }

    pub(super) fn ended(self) -> UnixMs {
        self.to
    }

    fn has_many(self) -> bool {
        self.from & MANY != 0
    }

    fn start(self) -> UnixMs {
        UnixMs(self.from & !(OPEN | MANY))
    }
}

/// Written spans of an entry, as far back as `kept`.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) spans: SmallVec<[Span; 1]>,
    /// Time from which readers have not received the span yet; only while it is open.
    unreported_from: UnixMs,
}

impl Times {
    fn ended(&self) -> UnixMs {
        self.spans.last().map_or(UnixMs::ZERO, |span| span.to)
    }

    /// Adds a span at the end, or at its place if it is late.
    fn add(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(last) if last.to == span.from => last.to = span.to,
            Some(last) if last.to > span.from => {
                let mut spans = self.spans.to_vec();
                spans.push(span);
                normalize(&mut spans);
                self.spans = spans.into();
            }
            _ => self.spans.push(span),
        }
    }
}

/// Entries in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    list: Vec<BookEntry>,
    names: IdArena,
    many: HashMap<IdRef, Box<Times>, RandomState>,
    /// Labels of each entry, or empty as long as no entry has any.
    labels: Vec<EntryLabels>,
}

/// Names that entries refer to by their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryNames<'a> {
    pub(super) stages: &'a [Box<str>],
    pub(super) labels: &'a LabelNumbers,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &BookEntry> {
        self.list.iter()
    }

    pub(super) fn get(&self, place: usize) -> BookEntry {
        self.list[place]
    }

    pub(super) fn viewer(&self, entry: BookEntry) -> Id<'_> {
        self.names.id(entry.viewer)
    }

    /// Returns the labels of the entry at a place.
    pub(super) fn labels(&self, place: usize) -> EntryLabels {
        self.labels.get(place).copied().unwrap_or_default()
    }

    /// Calls `with` for the owner of the entry at a place.
    pub(super) fn with_owner<T>(
        &self,
        place: usize,
        names: EntryNames<'_>,
        with: impl FnOnce(&SpanOwner<'_>) -> T,
    ) -> T {
        let (entry, labels) = (self.list[place], self.labels(place));
        with(&SpanOwner {
            stage: &names.stages[entry.stage as usize],
            viewer: &self.viewer(entry),
            labels: names.labels.get(labels),
            is_extra: labels.is_extra(),
        })
    }

    /// Returns a viewer's id as it is stored.
    pub(super) fn kept(&self, entry: BookEntry) -> StoredId<'_> {
        self.names.kept(entry.viewer)
    }

    pub(super) fn is(&self, entry: BookEntry, viewer: &str) -> bool {
        self.names.is(entry.viewer, viewer)
    }

    pub(super) fn times(&self, entry: BookEntry) -> Times {
        if let Some(times) = entry.has_many().then(|| self.many.get(&entry.viewer)).flatten() {
            return (**times).clone();
        }
        let span = Span::new(entry.start(), entry.to);
        Times {
            spans: Some(span).filter(|span| !span.is_empty()).into_iter().collect(),
            unreported_from: span.from,
        }
    }

    fn set(&mut self, place: usize, times: Times, is_open: bool) {
        let entry = &mut self.list[place];
        let had_many = entry.has_many();
        entry.to = times.ended();
        let one = match times.spans[..] {
            [] => Some(UnixMs::ZERO),
            [span] if !is_open || times.unreported_from == span.from => Some(span.from),
            _ => None,
        };
        entry.from = one.map_or(MANY, |from| from.0) | if is_open { OPEN } else { 0 };
        let viewer = entry.viewer;
        if one.is_none() {
            self.many.insert(viewer, Box::new(times));
        } else if had_many {
            self.many.remove(&viewer);
        }
    }

    /// Reserves memory for exactly `more` entries, not for twice as many.
    pub(super) fn reserve(&mut self, more: usize) {
        self.list.reserve_exact(more);
    }

    /// Takes over ids for entries that are pushed from now on. The list must be empty.
    pub(super) fn adopt(&mut self, names: IdArena) {
        debug_assert!(self.list.is_empty());
        self.names = names;
    }

    /// Stores a viewer's id for an entry.
    pub(super) fn name(&mut self, viewer: &str) -> IdRef {
        self.names.insert(viewer)
    }

    /// Adds an entry without written spans.
    pub(super) fn push(&mut self, stage: u32, viewer: IdRef, labels: EntryLabels) -> usize {
        self.list.push(BookEntry { from: 0, to: UnixMs::ZERO, viewer, stage });
        if labels != EntryLabels::NONE {
            self.labels.resize(self.list.len() - 1, EntryLabels::NONE);
        }
        if labels != EntryLabels::NONE || !self.labels.is_empty() {
            self.labels.push(labels);
        }
        self.list.len() - 1
    }

    /// Removes entries that aren't kept. Of the others it removes spans that ended before
    /// `horizon`, except for the last one. Frees memory when most entries are gone.
    pub(super) fn forget(&mut self, horizon: UnixMs, is_kept: impl Fn(BookEntry) -> bool) {
        for place in 0..self.list.len() {
            let entry = self.list[place];
            if entry.has_many() && is_kept(entry) {
                let mut times = self.times(entry);
                times.spans.retain(|span| span.to >= horizon || span.to == entry.to);
                self.set(place, times, entry.is_open());
            }
        }
        let Entries { list, names, many, labels } = self;
        let mut entries = list.iter();
        labels.retain(|_| entries.next().is_some_and(|entry| is_kept(*entry)));
        list.retain(|entry| {
            let is_kept = is_kept(*entry);
            if !is_kept {
                names.remove(entry.viewer);
                many.remove(&entry.viewer);
            }
            is_kept
        });
        if list.capacity() / 2 > list.len() {
            list.shrink_to_fit();
            labels.shrink_to_fit();
            many.shrink_to_fit();
        }
    }

    /// Adds a late span.
    pub(super) fn add_late(&mut self, place: usize, span: Span) {
        let entry = self.list[place];
        let mut times = self.times(entry);
        times.add(span);
        self.set(place, times, entry.is_open());
    }

    /// Extends an entry that does not change in a window.
    pub(super) fn stay(&mut self, place: usize, window: Span) {
        let entry = &mut self.list[place];
        if !entry.is_open() {
            return;
        }
        if !entry.has_many() && entry.to == window.from {
            entry.to = window.to;
            return;
        }
        let entry = *entry;
        let mut times = self.times(entry);
        times.add(window);
        self.set(place, times, true);
    }

    /// Switches an entry off and on through a window.
    pub(super) fn toggle(
        &mut self,
        place: usize,
        toggles: &[u32],
        window: Span,
        names: EntryNames<'_>,
        tell: &mut impl SpanVisitor,
    ) {
        let entry = self.list[place];
        let (mut times, mut is_open) = (self.times(entry), entry.is_open());
        let mut since = window.from;
        for at in toggles.iter().map(|at| window.from.plus(u64::from(*at))) {
            if is_open {
                if at > since {
                    times.add(Span::new(since, at));
                }
                if !tell.skips_spans() {
                    let span = Span::new(times.unreported_from, at);
                    self.with_owner(place, names, |owner| tell.owned_span_closed(owner, span));
                }
            } else {
                times.unreported_from = at;
                if !tell.skips_spans() {
                    self.with_owner(place, names, |owner| tell.owned_span_opened(owner, at));
                }
            }
            is_open = !is_open;
            since = at;
        }
        if is_open {
            times.add(Span::new(since, window.to));
        }
        self.set(place, times, is_open);
    }

    /// Closes all open entries, and reports their spans up to `edge`.
    pub(super) fn close_all(
        &mut self,
        names: EntryNames<'_>,
        edge: UnixMs,
        tell: &mut impl SpanVisitor,
    ) {
        for place in 0..self.list.len() {
            let entry = self.list[place];
            if entry.is_open() {
                let times = self.times(entry);
                let span = Span::new(times.unreported_from, edge);
                if !tell.skips_spans() {
                    self.with_owner(place, names, |owner| tell.owned_span_closed(owner, span));
                }
                self.set(place, times, false);
            }
        }
    }
}
