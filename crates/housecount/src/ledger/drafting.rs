//! The next chunk of a partition's ledger: this node's proof minus the book.

use housecount_core::fold::Walk;
use housecount_core::ledger::{Book, Chunk, ChunkError, Draft, DraftScope, Link};
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use super::Proofs;

/// A chunk in the making, and the book it follows.
#[derive(Debug)]
pub struct DraftedChunk {
    /// The book before it.
    pub book: Book,
    /// As it is stored.
    pub bytes: Vec<u8>,
    /// The same, read back.
    pub chunk: Chunk,
    /// How the next chunk names it.
    pub link: Link,
    /// Whose proof was gone through.
    pub scope: DraftScope,
}

/// Makes the chunk of a window, and sees that it can be read. `is_settled`: the ledger has all that
/// this node knew at the window's start, so viewers who only stayed need not be gone through.
///
/// # Errors
/// The chunk can't be read, or doesn't follow the book.
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

/// The chunk of a window by all viewers' proof.
fn draft_whole(proofs: &Proofs, book: &Book, partition: u16, window: Span, reach: UnixMs) -> Chunk {
    let mut draft = Draft::new(book, window, proofs.kept_ms(), reach);
    let within = if is_on(Mutant::SkipLate) { window } else { draft.within() };
    proofs.for_each_proven(partition, within, |proven| draft.add(proven));
    draft.finish()
}

/// The same by the proof of viewers who changed since the window before, which this node wrote: the
/// same bytes. `None` where that can't be: a keyframe names all viewers, and behind a gap nothing
/// is known of who stayed.
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
            "viewers who stayed are not those of the ledger; going through all"
        );
        return None;
    }
    Some(draft.finish())
}
