//! The draft: proof minus book, which is the next chunk.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::book::{Book, Entry, tag};
use super::chunk::{Changed, Chunk, Late, New, Toggles};
use crate::fold::Proven;
use crate::span::{Span, normalize, subtract};
use crate::time::UnixMs;

/// Whose proof a draft takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every viewer's. Open entries that no proof speaks of have ended at the window's start.
    Whole,
    /// That of viewers who did anything but stay. Open entries that no proof speaks of go on through the draft's reach.
    Changes,
}

/// The next chunk in the making.
#[derive(Debug)]
pub struct Draft<'a> {
    book: &'a Book,
    window: Span,
    kept_ms: u64,
    reach: UnixMs,
    is_keyframe: bool,
    scope: Scope,
    /// The book's entries by name; for a keyframe, which goes on from none, they are in `before`.
    entries: Index<'a>,
    before: Index<'a>,
    /// By entry, where it will be when the chunk is applied; none for those that are dropped then.
    places: Vec<Option<Place>>,
    open: Known,
    closed: Known,
    /// Open entries that have been spoken of, by rank. What the others did is the [`Scope`]'s to say.
    is_heard: Vec<bool>,
    stages: HashMap<Box<str>, u32, RandomState>,
    new: Vec<Fresh>,
    late: Vec<Late>,
    /// By the place of a known entry: whether it is open at the window's end, and then whether its proof reaches on.
    ends: Vec<Option<bool>>,
    /// Kept between calls for its memory.
    written: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    is_open: bool,
    rank: u32,
    index: u32,
}

/// Entries of one kind: how many there are, and which change.
#[derive(Debug, Default)]
struct Known {
    count: u32,
    changed: Vec<Changed>,
}

/// An entry that isn't in the book.
#[derive(Debug)]
struct Fresh {
    new: New,
    late: Vec<Span>,
    reaches: bool,
}

impl<'a> Draft<'a> {
    /// A draft of the chunk of `window`, which must not begin before the book's edge. Late spans and entries reach
    /// `kept_ms` back. `reach` is how far it says whose proof goes on: no later than what is known.
    #[must_use]
    pub fn new(book: &'a Book, window: Span, kept_ms: u64, reach: UnixMs) -> Draft<'a> {
        let is_keyframe = book.wants_keyframe(window, kept_ms);
        let (mut open, mut closed) = (Known::default(), Known::default());
        let place = |entry: &Entry| {
            if is_keyframe || entry.ended().plus(kept_ms) < window.from {
                return None;
            }
            let is_open = entry.is_open && book.edge() == window.from;
            let index = open.count + closed.count;
            let known = if is_open { &mut open } else { &mut closed };
            known.count += 1;
            Some(Place { is_open, rank: known.count - 1, index })
        };
        let places = book.entries.iter().map(place).collect();
        let is_heard = vec![false; open.count as usize];
        let ends = vec![None; (open.count + closed.count) as usize];
        let (entries, before) = match (&book.before, is_keyframe) {
            (_, true) => (Index::default(), Index::of(book)),
            (Some(before), false) => (Index::of(book), Index::of(before)),
            (None, false) => (Index::of(book), Index::default()),
        };
        Draft {
            book,
            window,
            kept_ms,
            reach: reach.max(window.to),
            is_keyframe,
            scope: Scope::Whole,
            entries,
            before,
            places,
            open,
            closed,
            is_heard,
            stages: HashMap::default(),
            new: Vec::new(),
            late: Vec::new(),
            ends,
            written: Vec::new(),
        }
    }

    /// What is of interest to it: the window, what may be late, and what goes on.
    #[must_use]
    pub fn within(&self) -> Span {
        Span::new(self.window.from.minus(self.kept_ms).max(self.book.floor()), self.reach)
    }

    /// The same for a caller that adds only viewers who changed. A keyframe, which names every viewer, and a window behind a
    /// gap stay whole: see [`scope`](Self::scope).
    #[must_use]
    pub fn of_changes(book: &'a Book, window: Span, kept_ms: u64, reach: UnixMs) -> Draft<'a> {
        let mut draft = Draft::new(book, window, kept_ms, reach);
        if !draft.is_keyframe && book.edge() == window.from {
            draft.scope = Scope::Changes;
        }
        draft
    }

    /// Whose proof is to be added.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// How many open entries no proof has spoken of so far.
    #[must_use]
    pub fn unheard(&self) -> usize {
        self.is_heard.iter().filter(|is_heard| !**is_heard).count()
    }

    /// Takes in what one viewer has proven on one stage within [`within`](Self::within): each only once.
    pub fn add(&mut self, proven: Proven<'_>) {
        let entry = self.entries.find(proven.stage, proven.viewer);
        self.written.clear();
        let known = entry.iter().map(|i| &self.book.entries[*i as usize]);
        known
            .chain(self.before.entry(proven.stage, proven.viewer))
            .for_each(|e| self.written.extend(&e.spans));
        if self.written.len() > 1 {
            normalize(&mut self.written);
        }
        let (mut late, mut toggles, mut goes_on) = (Vec::new(), Toggles::new(), false);
        let window = self.window;
        subtract(proven.spans, &self.written, |span| {
            if span.from < window.from {
                late.push(Span::new(span.from, span.to.min(window.from)));
            }
            if let Some(span) = span.clip(window) {
                goes_on |= span.from == window.from;
                let ends = (span.to < window.to).then_some(span.to);
                toggles
                    .extend([Some(span.from), ends].iter().flatten().map(|at| at.since(window.from) as u32));
            }
        });
        let reaches = proven.spans.last().is_some_and(|last| last.from < window.to && last.to >= self.reach);
        let Some(place) = entry.and_then(|i| self.places[i as usize]) else {
            if !(late.is_empty() && toggles.is_empty()) {
                let stage = self.stage(proven.stage);
                let new = New { stage, viewer: proven.viewer.into(), toggles };
                self.new.push(Fresh { new, late, reaches });
            }
            return;
        };
        self.late.extend(late.into_iter().map(|span| Late { entry: place.index, span }));
        if place.is_open {
            self.is_heard[place.rank as usize] = true;
            if goes_on {
                toggles.remove(0);
            } else {
                toggles.insert(0, 0);
            }
        }
        let is_open = place.is_open != (toggles.len() % 2 == 1);
        self.ends[place.index as usize] = is_open.then_some(reaches);
        if !toggles.is_empty() {
            let known = if place.is_open { &mut self.open } else { &mut self.closed };
            known.changed.push(Changed { rank: place.rank, toggles });
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

    /// The chunk.
    #[must_use]
    pub fn finish(mut self) -> Chunk {
        let open = self.places.iter().flatten().filter(|place| place.is_open);
        for place in open.filter(|place| !self.is_heard[place.rank as usize]) {
            match self.scope {
                Scope::Whole => {
                    let toggles = Toggles::from_slice(&[0]);
                    self.open.changed.push(Changed { rank: place.rank, toggles });
                }
                Scope::Changes => self.ends[place.index as usize] = Some(true),
            }
        }
        for known in [&mut self.open, &mut self.closed] {
            known.changed.sort_unstable_by_key(|changed| changed.rank);
        }
        let (known_stages, stages) = self.name_stages();
        // Joins by time, which makes their times small; then those that have none. By name besides, so that two nodes
        // that know the same write the same.
        let key = |fresh: &Fresh| (fresh.new.toggles.is_empty(), fresh.new.toggles.first().copied());
        self.new.sort_unstable_by(|a, b| {
            let by_name = || (a.new.stage, &a.new.viewer).cmp(&(b.new.stage, &b.new.viewer));
            key(a).cmp(&key(b)).then_with(by_name)
        });
        let known_entries = self.open.count + self.closed.count;
        for (entry, fresh) in (known_entries..).zip(&self.new) {
            self.late.extend(fresh.late.iter().map(|span| Late { entry, span: *span }));
        }
        self.late.sort_unstable();
        let new_ends =
            self.new.iter().map(|fresh| (fresh.new.toggles.len() % 2 == 1).then_some(fresh.reaches));
        let open_at_end = self.ends.iter().copied().chain(new_ends).flatten();
        let short = (0..).zip(open_at_end).filter(|(_, reaches)| !reaches).map(|(rank, _)| rank).collect();
        Chunk {
            window: self.window,
            since: if self.is_keyframe { self.window.from } else { self.book.since },
            previous: self.book.last(),
            kept_ms: self.kept_ms,
            reach_ms: self.reach.since(self.window.to),
            known_stages,
            known_entries,
            stages,
            open: self.open.changed,
            closed: self.closed.changed,
            new: self.new.into_iter().map(|fresh| fresh.new).collect(),
            late: self.late,
            short,
        }
    }

    /// Gives the new entries' stages their places in the chunk's list: known ones as they are, new ones sorted.
    fn name_stages(&mut self) -> (u32, Vec<Box<str>>) {
        let known: &[Box<str>] = if self.is_keyframe { &[] } else { &self.book.stages };
        let places: HashMap<&str, u32, RandomState> = (0..).zip(known).map(|(i, id)| (&**id, i)).collect();
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
        self.new.iter_mut().for_each(|fresh| fresh.new.stage = place[fresh.new.stage as usize]);
        (known.len() as u32, new)
    }
}

/// A book's entries by stage and viewer.
#[derive(Debug, Default)]
struct Index<'a> {
    book: Option<&'a Book>,
    stages: HashMap<&'a str, u32, RandomState>,
    entries: HashTable<u32>,
    hasher: RandomState,
}

impl<'a> Index<'a> {
    fn of(book: &'a Book) -> Index<'a> {
        let hasher = RandomState::default();
        let stages = (0..).zip(&book.stages).map(|(i, id)| (&**id, i)).collect();
        let mut entries = HashTable::with_capacity(book.entries.len());
        let hash = |entry: &Entry| hasher.hash_one((entry.stage, entry.tag));
        for (i, entry) in (0..).zip(&book.entries) {
            entries.insert_unique(hash(entry), i, |i| hash(&book.entries[*i as usize]));
        }
        Index { book: Some(book), stages, entries, hasher }
    }

    fn find(&self, stage: &str, viewer: &str) -> Option<u32> {
        let stage = *self.stages.get(stage)?;
        let entries = &self.book?.entries;
        let tag = tag(viewer);
        let is_it = |i: &u32| {
            let entry = &entries[*i as usize];
            entry.tag == tag && entry.stage == stage && *entry.viewer == *viewer
        };
        self.entries.find(self.hasher.hash_one((stage, tag)), is_it).copied()
    }

    fn entry(&self, stage: &str, viewer: &str) -> Option<&'a Entry> {
        Some(&self.book?.entries[self.find(stage, viewer)? as usize])
    }
}
