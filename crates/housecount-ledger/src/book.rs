//! The book: the sum of a partition's chunks, from which proof becomes the next chunk.
//!
//! A chunk is **proof minus book**. [`Draft`](super::draft::Draft) receives all proven spans and
//! leaves out those that the book has. The rest is the next chunk, late spans included. The book
//! advances by reading that chunk back ([`Book::apply`]). Every reader does the same, so a writer
//! and a reader can't differ. If another node wrote the window's chunk first, its chunk is applied
//! instead. Spans that it lacks are left for the next chunk.
//!
//! An *entry* is a viewer on a stage, with its labels where nodes have any. It is *open* while its
//! last span reaches the book's edge. Chunks refer to an entry by its place in the list. The order
//! of entries, and the time of their removal, is therefore part of the format. New entries are
//! last. An entry is removed when its last span ended more than `kept` before the next chunk's
//! window.

use std::ops::Deref;

use housecount_codec::bytes::DecodeError;

use super::chunk::{ChangedEntry, Chunk, LateSpan, Link};
use super::entry::{BookEntry, Entries, EntryNames};
use super::owner::{LabelNumbers, SpanOwner};
use housecount_core::id_arena::IdArena;
use housecount_core::labels::ViewerLabels;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// Number of chunks after which the next one is a keyframe: a day at five minutes. More frequent
/// keyframes make the ledger more expensive. Rarer ones make reading start further back
/// (docs/FORMATS.md has the figures).
pub const KEYFRAME_CHUNKS: u32 = 288;
/// Maximum time from a keyframe to the end of the last chunk that needs it, so that all of them can
/// expire at once. It is longer than 288 windows of half an hour. Only longer windows, or a ledger
/// without changes for days, have more keyframes because of it.
pub const GENERATION_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Reason why a chunk can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes can't be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The chunk doesn't follow the one before it: at least one is missing, or was replaced.
    #[error("it follows the chunk of {}, but the one before it is of {}: one is missing or was replaced",
        shown(.expected), shown(.found))]
    BrokenLink {
        /// Chunk that this chunk follows, by its own link.
        expected: Option<Link>,
        /// Chunk that was read before it.
        found: Option<Link>,
    },
    /// The chunk refers to entries that the chunks before it don't have.
    #[error("it refers to {what} that the chunks before it don't have")]
    Unknown {
        /// Kind of entry.
        what: &'static str,
    },
}

fn shown(link: &Option<Link>) -> String {
    link.map_or("nothing".to_string(), |link| format!("{} ({:08x})", link.from, link.crc))
}

/// Receiver of a chunk's spans: a stage, a viewer, and times. No two spans of one viewer on a stage
/// overlap, but they may touch, and be empty.
pub trait SpanVisitor {
    /// Receives the start of a span. A span that was open at a window's start is not reported
    /// again.
    fn span_opened(&mut self, _stage: &str, _viewer: &str, _at: UnixMs) {}
    /// Returns whether the receiver needs no spans.
    fn skips_spans(&self) -> bool {
        false
    }
    /// Receives a span that has ended.
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span);
    /// Receives a whole span from before the window.
    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        self.span_closed(stage, viewer, span);
    }
    /// Receives the start of a span with its owner. Where a viewer's labels change, one of its
    /// spans ends and the next one starts.
    fn owned_span_opened(&mut self, owner: &SpanOwner<'_>, at: UnixMs) {
        if !owner.is_extra {
            self.span_opened(owner.stage, owner.viewer, at);
        }
    }
    /// Receives a span that has ended, with its owner.
    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        if !owner.is_extra {
            self.span_closed(owner.stage, owner.viewer, span);
        }
    }
    /// Receives a whole span from before the window, with its owner.
    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        if !owner.is_extra {
            self.late_span(owner.stage, owner.viewer, span);
        }
    }
}

/// A receiver that needs no spans.
impl SpanVisitor for () {
    fn skips_spans(&self) -> bool {
        true
    }
    fn span_closed(&mut self, _stage: &str, _viewer: &str, _span: Span) {}
}

/// Written watch time of a partition, as of the end of its last chunk's window.
#[derive(Clone, Debug, Default)]
pub struct Book {
    edge: UnixMs,
    reach: UnixMs,
    /// Ranks, among the open entries, of those whose proof was not known to continue through
    /// `reach`.
    unconfirmed: Vec<u32>,
    pub(super) since: UnixMs,
    chunks: u32,
    last: Option<Link>,
    pub(super) stages: Vec<Box<str>>,
    pub(super) labels: LabelNumbers,
    pub(super) entries: Entries,
    /// Time before which no span may be written any more, because the book does not know what is
    /// written there.
    floor: UnixMs,
    /// Whether the next chunk must be a keyframe, because the chunks before can't be read.
    needs_keyframe: bool,
    /// The book before the last keyframe, as long as late spans may reach into it. Only writers
    /// have it.
    pub(super) before: Option<Box<Book>>,
}

impl Book {
    /// Returns the end of the last written window, or zero without one.
    #[must_use]
    pub fn edge(&self) -> UnixMs {
        self.edge
    }

    /// Returns the link of the last chunk.
    #[must_use]
    pub fn last(&self) -> Option<Link> {
        self.last
    }

    /// Returns the time from which the book knows what is written.
    #[must_use]
    pub fn begins(&self) -> UnixMs {
        let since = self.before.as_ref().map_or(self.since, |before| before.since);
        since.max(self.floor)
    }

    /// Returns a book that continues after a chain of which only the last chunk's link and its
    /// window's end can be read. The next chunk is a keyframe, and no span is written before it.
    #[must_use]
    pub fn after_damage(last: Link, edge: UnixMs) -> Book {
        Book { last: Some(last), edge, floor: edge, needs_keyframe: true, ..Book::default() }
    }

    /// Excludes the time before the book's start from writing. For a book that can't be read from
    /// further back.
    pub fn set_floor_to_start(&mut self) {
        self.floor = self.floor.max(self.begins());
    }

    /// Returns the time before which no span may be written.
    pub(super) fn floor(&self) -> UnixMs {
        self.floor
    }

    /// Returns the number of viewers on any stage at the edge.
    #[must_use]
    pub fn open(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_open()).count()
    }

    /// Applies the next chunk, or a keyframe to begin with, and reports its spans.
    ///
    /// # Errors
    /// Returns `BrokenLink` or `Unknown` if the chunk doesn't follow; the book is then unchanged.
    pub fn apply(
        &mut self,
        chunk: &Chunk,
        link: Link,
        tell: &mut impl SpanVisitor,
    ) -> Result<(), ChunkError> {
        self.check(chunk)?;
        self.take_in(chunk, None, link, tell);
        Ok(())
    }

    /// Applies a chunk that the caller does not need any more: a keyframe's ids are moved instead
    /// of copied.
    ///
    /// # Errors
    /// Returns an error as [`apply`](Self::apply) does.
    pub fn absorb(
        &mut self,
        mut chunk: Chunk,
        link: Link,
        tell: &mut impl SpanVisitor,
    ) -> Result<(), ChunkError> {
        self.check(&chunk)?;
        let names = chunk.is_keyframe().then(|| std::mem::take(&mut chunk.new.names));
        self.take_in(&chunk, names, link, tell);
        Ok(())
    }

    /// Applies a chunk that was checked. `names` are a keyframe's ids, if the book may take them.
    fn take_in(
        &mut self,
        chunk: &Chunk,
        names: Option<IdArena>,
        link: Link,
        tell: &mut impl SpanVisitor,
    ) {
        let from = chunk.window.from;
        if chunk.is_keyframe() || from > self.edge {
            self.close_all(tell);
        }
        if chunk.is_keyframe() {
            let before = std::mem::take(self);
            self.floor = before.floor;
            if before.last.is_some() {
                self.before = Some(Box::new(before));
            }
            (self.since, self.chunks) = (from, 0);
        } else {
            self.entries.forget(from.minus(chunk.kept_ms), |entry| is_kept(entry, chunk));
        }
        let horizon = from.minus(chunk.kept_ms);
        if let Some(before) = &mut self.before {
            // One earlier book is enough, because keyframes are much further apart than `kept`.
            before.before = None;
            if before.edge < horizon {
                self.before = None;
            }
        }
        self.stages.extend(chunk.stages.iter().cloned());
        self.labels.extend(&chunk.label_sets);
        self.toggle_known(chunk, tell);
        self.add_new(chunk, names, tell);
        for LateSpan { entry, span } in &chunk.late {
            let place = *entry as usize;
            self.entries.add_late(place, *span);
            if !tell.skips_spans() {
                let names = EntryNames { stages: &self.stages, labels: &self.labels };
                self.entries.with_owner(place, names, |owner| tell.owned_late_span(owner, *span));
            }
        }
        (self.reach, self.unconfirmed) =
            (chunk.window.to.plus(chunk.reach_ms), chunk.short.clone());
        // Entries from before have been removed, and with them the knowledge of what was written.
        self.floor = self.floor.max(from.minus(chunk.kept_ms));
        (self.edge, self.last, self.chunks) = (chunk.window.to, Some(link), self.chunks + 1);
    }

    /// Returns the spans that were known to be proven beyond the edge when the last chunk was
    /// written: stage, viewer, labels and span. A node that has lost all other state continues from
    /// them.
    pub fn open_spans(
        &self,
    ) -> impl Iterator<Item = (&str, impl Deref<Target = str>, &ViewerLabels, Span)> {
        let span = Span::new(self.edge, self.reach);
        let mut short = self.unconfirmed.iter().peekable();
        let entries = self.entries.iter().copied().enumerate();
        let open = (0..).zip(entries.filter(|(_, entry)| entry.is_open()));
        let reaching =
            open.filter(move |(rank, _)| short.next_if(|short| *short == rank).is_none());
        reaching.filter(move |_| !span.is_empty()).map(move |(_, (place, entry))| {
            let labels = self.labels.get(self.entries.labels(place));
            (&*self.stages[entry.stage as usize], self.entries.viewer(entry), labels, span)
        })
    }

    /// Ends the reading: reports the spans that are still open, up to the edge.
    pub fn close_all(&mut self, tell: &mut impl SpanVisitor) {
        let names = EntryNames { stages: &self.stages, labels: &self.labels };
        self.entries.close_all(names, self.edge, tell);
    }

    /// Checks that a chunk follows, and refers only to existing entries.
    ///
    /// # Errors
    /// Returns an error as [`apply`](Self::apply) does.
    pub fn check(&self, chunk: &Chunk) -> Result<(), ChunkError> {
        let begins = self.last.is_none() && chunk.is_keyframe();
        if !begins && (chunk.previous != self.last || chunk.window.from < self.edge) {
            return Err(ChunkError::BrokenLink { expected: chunk.previous, found: self.last });
        }
        let known = |what, holds| if holds { Ok(()) } else { Err(ChunkError::Unknown { what }) };
        let (mut stages, mut labels, mut open, mut closed) = (0, 0, 0u64, 0u64);
        if !chunk.is_keyframe() {
            known("a keyframe", chunk.since == self.since)?;
            stages = self.stages.len() as u64;
            labels = self.labels.len();
            let is_next = chunk.window.from == self.edge;
            for entry in self.entries.iter().copied().filter(|entry| is_kept(*entry, chunk)) {
                let count = if entry.is_open() && is_next { &mut open } else { &mut closed };
                *count += 1;
            }
        }
        known("stages", stages == u64::from(chunk.known_stages))?;
        known("label sets", labels == chunk.known_label_sets as usize)?;
        known("entries", open + closed == u64::from(chunk.known_entries))?;
        let below = |changed: &[ChangedEntry], n| {
            changed.last().is_none_or(|last| u64::from(last.rank) < n)
        };
        known("open entries", below(&chunk.open, open))?;
        known("closed entries", below(&chunk.closed, closed))
    }

    fn toggle_known(&mut self, chunk: &Chunk, tell: &mut impl SpanVisitor) {
        let (mut open, mut closed) = (chunk.open.iter().peekable(), chunk.closed.iter().peekable());
        let mut rank = [0u32; 2];
        let Book { entries, stages, labels, .. } = self;
        let names = EntryNames { stages, labels };
        for place in 0..entries.len() {
            let entry = entries.get(place);
            let (rank, changes) = if entry.is_open() {
                (&mut rank[0], &mut open)
            } else {
                (&mut rank[1], &mut closed)
            };
            let toggles = changes
                .next_if(|changed| changed.rank == *rank)
                .map(|changed| &changed.toggles[..]);
            *rank += 1;
            match toggles {
                Some(toggles) => entries.toggle(place, toggles, chunk.window, names, tell),
                None => entries.stay(place, chunk.window),
            }
        }
    }

    fn add_new(&mut self, chunk: &Chunk, names: Option<IdArena>, tell: &mut impl SpanVisitor) {
        self.entries.reserve(chunk.new.len());
        let are_taken_over = names.is_some();
        names.into_iter().for_each(|names| self.entries.adopt(names));
        for new in chunk.new.iter() {
            let viewer =
                if are_taken_over { new.viewer } else { self.entries.name(&chunk.new.viewer(new)) };
            let place = self.entries.push(new.stage, viewer, new.labels);
            let names = EntryNames { stages: &self.stages, labels: &self.labels };
            self.entries.toggle(place, &chunk.new.toggles(new), chunk.window, names, tell);
        }
    }

    /// Returns whether the chunk of a window must be a keyframe.
    pub(super) fn wants_keyframe(&self, window: Span, kept_ms: u64) -> bool {
        let is_old =
            self.chunks >= KEYFRAME_CHUNKS || window.to.since(self.since) > GENERATION_MS_MAX;
        let is_due = is_old && window.from.since(self.since) >= 2 * kept_ms;
        self.last.is_none() || self.needs_keyframe || is_due
    }
}

fn is_kept(entry: BookEntry, chunk: &Chunk) -> bool {
    entry.ended().plus(chunk.kept_ms) >= chunk.window.from
}
