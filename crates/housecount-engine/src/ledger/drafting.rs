//! The next chunk of a partition's ledger: this node's proof minus the book.

use housecount_core::fold::Walk;
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::{Book, Chunk, ChunkError, Draft, DraftScope, Link};

use super::Proofs;

/// A chunk to be written, and the book that it follows.
#[derive(Debug)]
pub struct DraftedChunk {
    /// The book before the chunk.
    pub book: Book,
    /// The chunk as it is stored.
    pub bytes: Vec<u8>,
    /// The chunk, decoded from these bytes.
    pub chunk: Chunk,
    /// Link by which the next chunk refers to it.
    pub link: Link,
    /// Viewers whose proof was read: all, or only changed ones.
    pub scope: DraftScope,
}

/// Drafts the chunk of a window, and checks that it can be read.
///
/// `is_settled`: the ledger has all proof that this node had at the window's start. Viewers who
/// only stayed need not be read then.
///
/// # Errors
/// Returns a `ChunkError` if the chunk can't be read, or doesn't follow the book.
pub fn draft(
    proofs: &Proofs,
    book: Book,
    partition: u16,
    window: Span,
    reach: UnixMs,
    is_settled: bool,
) -> Result<DraftedChunk, ChunkError> {
    let changes =
        is_settled.then(|| draft_changes(proofs, &book, partition, window, reach)).flatten();
    let (chunk, scope) = match changes {
        Some(chunk) => (chunk, DraftScope::Changes),
        None => (draft_whole(proofs, &book, partition, window, reach), DraftScope::Whole),
    };
    let bytes = chunk.encode();
    let (chunk, link) = Chunk::decode(&bytes).map_err(ChunkError::from)?;
    book.check(&chunk)?;
    Ok(DraftedChunk { book, bytes, chunk, link, scope })
}

/// Drafts the chunk of a window from the proof of all viewers.
fn draft_whole(proofs: &Proofs, book: &Book, partition: u16, window: Span, reach: UnixMs) -> Chunk {
    let mut draft = Draft::new(book, window, proofs.kept_ms(), reach);
    let within = if is_on(Mutant::SkipLate) { window } else { draft.within() };
    proofs.for_each_proven(partition, within, |proven| draft.add(proven));
    draft.finish()
}

/// Drafts the same bytes from the proof of viewers who changed since the previous window, which
/// this node wrote.
///
/// Returns `None` where that is impossible. A keyframe names all viewers. After a gap the book
/// doesn't know who stayed.
fn draft_changes(
    proofs: &Proofs,
    book: &Book,
    partition: u16,
    window: Span,
    reach: UnixMs,
) -> Option<Chunk> {
    let mut draft = Draft::of_changes(book, window, proofs.kept_ms(), reach);
    if draft.scope() != DraftScope::Changes {
        return None;
    }
    let within = if is_on(Mutant::SkipLate) { window } else { draft.within() };
    let walk = Walk { partition, within, settled: window.from, reach: draft.within().to };
    let stayed = proofs.for_each_changed_since(&walk, |proven| draft.add(proven));
    if stayed != draft.uncovered() {
        let unheard = draft.uncovered();
        tracing::error!(
            partition,
            stayed,
            unheard,
            "the count of viewers who stayed differs from the ledger's; scanning all viewers"
        );
        return None;
    }
    Some(draft.finish())
}
