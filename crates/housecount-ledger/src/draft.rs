//! Draft of the next chunk: proof minus book.

mod labelled;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use self::labelled::{DraftLabels, KnownEntry};
use super::book::Book;
use super::chunk::{ChangedEntry, Chunk, LateSpan, Toggles};
use super::entry::BookEntry;
use super::new_entries::NewEntries;
use super::owner::EntryLabels;
use housecount_core::fold::ProvenSpans;
use housecount_core::id_arena::{IdRef, StoredId};
use housecount_core::span::{Span, normalize, subtract};
use housecount_core::time::UnixMs;

/// Viewers whose proof a draft receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftScope {
    /// Every viewer. Open entries without proof have ended at the window's start.
    Whole,
    /// Viewers who did anything but stay. Open entries without proof continue through the draft's
    /// reach.
    Changes,
}

/// The next chunk while it is made.
#[derive(Debug)]
pub struct Draft<'a> {
    book: &'a Book,
    window: Span,
    kept_ms: u64,
    reach: UnixMs,
    is_keyframe: bool,
    scope: DraftScope,
    /// The book's entries by name. A keyframe continues no chain, so there they are in `before`.
    entries: BookIndex<'a>,
    before: BookIndex<'a>,
    /// Place of each entry after the chunk is applied.
    places: Vec<EntrySlot>,
    open: EntryChanges,
    closed: EntryChanges,
    /// Whether the draft has received proof of an open entry, by rank. The [`DraftScope`] decides
    /// what the others did.
    is_covered: Vec<bool>,
    stages: HashMap<Box<str>, u32, RandomState>,
    labels: DraftLabels,
    /// Entries that aren't in the book.
    new: NewEntries,
    /// Late spans of new entries.
    new_late: HashMap<IdRef, Vec<Span>, RandomState>,
    /// New entries that are open at the window's end, and whose proof doesn't reach further.
    new_short: HashSet<IdRef, RandomState>,
    late: Vec<LateSpan>,
    /// Whether a known entry is open at the window's end, by place. `Some(true)` if its proof
    /// reaches further, too.
    ends: Vec<Option<bool>>,
    /// Buffer that is kept between calls for its memory.
    written: Vec<Span>,
}

/// Place of a known entry in the chunk. It takes 8 bytes per viewer while a chunk is made.
#[derive(Clone, Copy, Debug)]
struct EntrySlot {
    /// Rank among the open entries or the closed ones; [`DROPPED`] if the entry is removed.
    rank: u32,
    /// Place among all entries.
    index: u32,
}

/// Rank of an entry that is removed. No chunk has this many entries.
const DROPPED: u32 = u32::MAX;

/// Entries of one kind: their number, and the ones that change.
#[derive(Debug, Default)]
struct EntryChanges {
    count: u32,
    changed: Vec<ChangedEntry>,
}

impl<'a> Draft<'a> {
    /// Creates a draft of the chunk of `window`, which must not begin before the book's edge.
    ///
    /// Late spans and entries reach `kept_ms` back. `reach` is the time up to which the chunk
    /// records whose proof continues. It must not be later than the known time.
    #[must_use]
    pub fn new(book: &'a Book, window: Span, kept_ms: u64, reach: UnixMs) -> Draft<'a> {
        let is_keyframe = book.wants_keyframe(window, kept_ms);
        let (mut open, mut closed) = (EntryChanges::default(), EntryChanges::default());
        let place = |entry: &BookEntry| {
            let index = open.count + closed.count;
            if entry.ended().plus(kept_ms) < window.from {
                return EntrySlot { rank: DROPPED, index };
            }
            let known = if is_open(book, *entry, window) { &mut open } else { &mut closed };
            known.count += 1;
            EntrySlot { rank: known.count - 1, index }
        };
        // A keyframe continues no entries.
        let known = if is_keyframe { 0 } else { book.entries.len() };
        let places = book.entries.iter().take(known).map(place).collect();
        let is_covered = vec![false; open.count as usize];
        let ends = vec![None; (open.count + closed.count) as usize];
        let (entries, before) = match (&book.before, is_keyframe) {
            (_, true) => (BookIndex::default(), BookIndex::of(book)),
            (Some(before), false) => (BookIndex::of(book), BookIndex::of(before)),
            (None, false) => (BookIndex::of(book), BookIndex::default()),
        };
        Draft {
            book,
            window,
            kept_ms,
            reach: reach.max(window.to),
            is_keyframe,
            scope: DraftScope::Whole,
            entries,
            before,
            places,
            open,
            closed,
            is_covered,
            stages: HashMap::default(),
            labels: DraftLabels::of(if is_keyframe { None } else { Some(&book.labels) }),
            new: NewEntries::default(),
            new_late: HashMap::default(),
            new_short: HashSet::default(),
            late: Vec::new(),
            ends,
            written: Vec::new(),
        }
    }

    /// Returns the span whose proof the draft needs: the window, the late time before it, and the
    /// reach after it.
    #[must_use]
    pub fn within(&self) -> Span {
        Span::new(self.window.from.minus(self.kept_ms).max(self.book.floor()), self.reach)
    }

    /// Creates a draft for a caller that adds only viewers who changed. A keyframe, which names
    /// every viewer, and a window after a gap stay whole: see [`scope`](Self::scope).
    #[must_use]
    pub fn of_changes(book: &'a Book, window: Span, kept_ms: u64, reach: UnixMs) -> Draft<'a> {
        let mut draft = Draft::new(book, window, kept_ms, reach);
        if !draft.is_keyframe && book.edge() == window.from {
            draft.scope = DraftScope::Changes;
        }
        draft
    }

    /// Returns whose proof must be added.
    #[must_use]
    pub fn scope(&self) -> DraftScope {
        self.scope
    }

    /// Returns the number of open entries without proof so far.
    #[must_use]
    pub fn uncovered(&self) -> usize {
        self.is_covered.iter().filter(|is_covered| !**is_covered).count()
    }

    /// Adds the proof of one viewer on one stage within [`within`](Self::within), once per viewer
    /// and stage.
    pub fn add(&mut self, proven: ProvenSpans<'_>) {
        let known = self.known_entries(proven.stage, proven.viewer);
        let mut written = std::mem::take(&mut self.written);
        written.clear();
        for entry in known.iter().filter(|entry| !entry.labels.is_extra()) {
            written.extend(entry.spans());
        }
        if written.len() > 1 {
            normalize(&mut written);
        }
        let is_unlabelled = |entry: &KnownEntry<'_>| entry.labels == EntryLabels::NONE;
        if proven.parts.is_empty() && known.iter().all(is_unlabelled) {
            let place = known.iter().find(|entry| entry.is_current).map(|entry| entry.place);
            self.add_entry(&proven, EntryLabels::NONE, proven.spans, &written, place);
        } else {
            self.add_labelled(&proven, &known, &written);
        }
        self.written = written;
    }

    /// Returns the entries of a viewer on a stage, in the book and in the one before it. Without
    /// labels there is at most one in each.
    fn known_entries(&self, stage: &str, viewer: &str) -> SmallVec<[KnownEntry<'a>; 2]> {
        let of = |index: &BookIndex<'a>, is_current| {
            let entry = move |(book, place)| KnownEntry::new(book, place, is_current);
            index.find(stage, viewer).map(entry).collect::<SmallVec<[_; 2]>>()
        };
        let mut known = of(&self.entries, true);
        known.extend(of(&self.before, false));
        known
    }

    /// Adds the spans that a viewer has proven with some labels, less all that is `written` of the
    /// viewer. `place` is that of the book's entry with these labels.
    fn add_entry(
        &mut self,
        proven: &ProvenSpans<'_>,
        labels: EntryLabels,
        spans: &[Span],
        written: &[Span],
        place: Option<u32>,
    ) {
        let (mut late, mut toggles, mut goes_on) = (Vec::new(), Toggles::new(), false);
        let window = self.window;
        subtract(spans, written, |span| {
            if span.from < window.from {
                late.push(Span::new(span.from, span.to.min(window.from)));
            }
            if let Some(span) = span.clip(window) {
                goes_on |= span.from == window.from;
                let ends = (span.to < window.to).then_some(span.to);
                toggles.extend(
                    [Some(span.from), ends].iter().flatten().map(|at| at.since(window.from) as u32),
                );
            }
        });
        let reaches =
            spans.last().is_some_and(|last| last.from < window.to && last.to >= self.reach);
        let place = place.map(|i| (self.places[i as usize], self.book.entries.get(i as usize)));
        let Some((place, known)) = place.filter(|(place, _)| place.rank != DROPPED) else {
            return self.add_new(proven, labels, &toggles, late, reaches);
        };
        let was_open = is_open(self.book, known, self.window);
        self.late.extend(late.into_iter().map(|span| LateSpan { entry: place.index, span }));
        if was_open {
            self.is_covered[place.rank as usize] = true;
            if goes_on {
                toggles.remove(0);
            } else {
                toggles.insert(0, 0);
            }
        }
        let is_open = was_open != (toggles.len() % 2 == 1);
        self.ends[place.index as usize] = is_open.then_some(reaches);
        if !toggles.is_empty() {
            let known = if was_open { &mut self.open } else { &mut self.closed };
            known.changed.push(ChangedEntry { rank: place.rank, toggles });
        }
    }

    /// Adds an entry that the book does not have.
    fn add_new(
        &mut self,
        proven: &ProvenSpans<'_>,
        labels: EntryLabels,
        toggles: &[u32],
        late: Vec<Span>,
        reaches: bool,
    ) {
        if late.is_empty() && toggles.is_empty() {
            return;
        }
        let stage = self.stage(proven.stage);
        let new = self.new.push(stage, proven.viewer, labels, toggles);
        if toggles.len() % 2 == 1 && !reaches {
            self.new_short.insert(new.viewer);
        }
        if !late.is_empty() {
            self.new_late.insert(new.viewer, late);
        }
    }

    fn stage(&mut self, stage: &str) -> u32 {
        if let Some(known) = self.stages.get(stage) {
            return *known;
        }
        let next = self.stages.len() as u32;
        self.stages.insert(stage.into(), next);
        next
    }

    /// Returns the chunk.
    #[must_use]
    pub fn finish(mut self) -> Chunk {
        let known = self.places.iter().zip(self.book.entries.iter());
        let open = known.filter(|(place, entry)| {
            place.rank != DROPPED && is_open(self.book, **entry, self.window)
        });
        for (place, _) in open.filter(|(place, _)| !self.is_covered[place.rank as usize]) {
            match self.scope {
                DraftScope::Whole => {
                    let toggles = Toggles::from_slice(&[0]);
                    self.open.changed.push(ChangedEntry { rank: place.rank, toggles });
                }
                DraftScope::Changes => self.ends[place.index as usize] = Some(true),
            }
        }
        for known in [&mut self.open, &mut self.closed] {
            known.changed.sort_unstable_by_key(|changed| changed.rank);
        }
        let (known_stages, stages) = self.name_stages();
        let (known_label_sets, label_sets) = self.labels.finish(&mut self.new);
        // Joins are sorted by time, which makes their codes small, before the entries without
        // joins. Then they are sorted by name, so that two nodes with equal state write equal
        // bytes.
        self.new.sort();
        let known_entries = self.open.count + self.closed.count;
        if !self.new_late.is_empty() {
            for (entry, new) in (known_entries..).zip(self.new.iter()) {
                let late = self.new_late.get(&new.viewer).into_iter().flatten();
                self.late.extend(late.map(|span| LateSpan { entry, span: *span }));
            }
        }
        self.late.sort_unstable();
        let reaches = |new: IdRef| !self.new_short.contains(&new);
        let is_open = |new| self.new.count(new) % 2 == 1;
        let new_ends = self.new.iter().map(|new| is_open(new).then(|| reaches(new.viewer)));
        let open_at_end = self.ends.iter().copied().chain(new_ends).flatten();
        let short =
            (0..).zip(open_at_end).filter(|(_, reaches)| !reaches).map(|(rank, _)| rank).collect();
        Chunk {
            window: self.window,
            since: if self.is_keyframe { self.window.from } else { self.book.since },
            previous: self.book.last(),
            kept_ms: self.kept_ms,
            reach_ms: self.reach.since(self.window.to),
            known_stages,
            known_entries,
            stages,
            known_label_sets,
            label_sets,
            open: self.open.changed,
            closed: self.closed.changed,
            new: self.new,
            late: self.late,
            short,
        }
    }

    /// Gives the new entries' stages their places in the chunk's list. Known stages keep theirs,
    /// and new ones are sorted.
    fn name_stages(&mut self) -> (u32, Vec<Box<str>>) {
        let known: &[Box<str>] = if self.is_keyframe { &[] } else { &self.book.stages };
        let places: HashMap<&str, u32, RandomState> =
            (0..).zip(known).map(|(i, id)| (&**id, i)).collect();
        let mut new: Vec<Box<str>> =
            self.stages.keys().filter(|id| !places.contains_key(&***id)).cloned().collect();
        new.sort_unstable();
        let mut place = vec![0; self.stages.len()];
        for (stage, i) in &self.stages {
            place[*i as usize] = match places.get(&**stage) {
                Some(known) => *known,
                None => known.len() as u32 + new.partition_point(|id| id < stage) as u32,
            };
        }
        self.new.place_stages(&place);
        (known.len() as u32, new)
    }
}

/// Index of a book's entries by stage and viewer.
#[derive(Debug, Default)]
struct BookIndex<'a> {
    book: Option<&'a Book>,
    stages: HashMap<&'a str, u32, RandomState>,
    entries: HashTable<u32>,
    hasher: RandomState,
}

impl<'a> BookIndex<'a> {
    fn of(book: &'a Book) -> BookIndex<'a> {
        let hasher = RandomState::default();
        let stages = (0..).zip(&book.stages).map(|(i, id)| (&**id, i)).collect();
        let mut entries = HashTable::with_capacity(book.entries.len());
        let hash = |entry: BookEntry| hasher.hash_one((entry.stage, book.entries.kept(entry)));
        for (i, entry) in (0..).zip(book.entries.iter()) {
            entries.insert_unique(hash(*entry), i, |i| hash(book.entries.get(*i as usize)));
        }
        BookIndex { book: Some(book), stages, entries, hasher }
    }

    /// Returns the book, and the places of the entries of a viewer on a stage.
    fn find(&self, stage: &str, viewer: &str) -> impl Iterator<Item = (&'a Book, u32)> {
        let found = self.book.zip(self.stages.get(stage).copied());
        found.into_iter().flat_map(move |(book, stage)| {
            let hash = self.hasher.hash_one((stage, StoredId::of(viewer)));
            let is_it = move |i: &&u32| {
                let entry = book.entries.get(**i as usize);
                entry.stage == stage && book.entries.is(entry, viewer)
            };
            self.entries.iter_hash(hash).filter(is_it).map(move |place| (book, *place))
        })
    }
}

/// Returns whether an entry is open as a window begins.
fn is_open(book: &Book, entry: BookEntry, window: Span) -> bool {
    entry.is_open() && book.edge() == window.from
}
