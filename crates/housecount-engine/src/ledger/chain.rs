//! Decoding and reading of a partition's chunks of the ledger.

use std::sync::Arc;

use housecount_backend::clock::wall_clock;
use housecount_backend::cold::{Cold, Page};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::threads::blocking::ledger_step;
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::{Book, Chunk, ChunkError, Link, SpanVisitor};

use crate::ledger::chunks::{self, ChunkReader, StoredChunk, corrupt, last_before, window_of};

/// Decodes a chunk, and the link by which the next chunk refers to it.
///
/// The link has the chunk's checksum, or the one from before it was rewritten.
///
/// # Errors
/// Returns `Corrupt`, whose text names the item.
pub fn decode(stored: &StoredChunk, chain: Chain) -> StoreResult<(Chunk, Link)> {
    let sk = Key::Chunk { chain, window: stored.window }.sk();
    let (chunk, mut link) = Chunk::decode(&stored.bytes).map_err(|e| corrupt(chain, &sk, e))?;
    link.crc = stored.original_crc.unwrap_or(link.crc);
    if link.from != stored.window {
        return Err(corrupt(chain, &sk, format!("it contains the window of {}", link.from)));
    }
    Ok((chunk, link))
}

/// Opens a reader at the keyframe that the last chunk up to `at` depends on, or at the first chunk.
///
/// Chunks that have expired by `now` are skipped.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` if that last chunk can't be read.
pub async fn reader_from_keyframe(
    cold: &dyn Cold,
    chain: Chain,
    at: UnixMs,
    now: Option<UnixMs>,
) -> StoreResult<ChunkReader> {
    let from = match last_before(cold, chain, at, now).await? {
        Some(last) => decode(&last, chain)?.0.since,
        None => UnixMs::ZERO,
    };
    Ok(ChunkReader::at(chain, from, UnixMs::MAX).skip_expired(now))
}

/// Grid of times from which readers open a chain: a window by default.
const OPEN_ALIGNED_MS: u64 = 300_000;

/// A chunk that was read into a book.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Window of the chunk.
    pub window: Span,
    /// How far before its window late spans may reach.
    pub kept_ms: u64,
}

fn apply(
    stored: &StoredChunk,
    chain: Chain,
    book: &mut Book,
    tell: &mut impl SpanVisitor,
) -> StoreResult<Applied> {
    let (chunk, link) = decode(stored, chain)?;
    let sk = Key::Chunk { chain, window: stored.window }.sk();
    let applied = Applied { window: chunk.window, kept_ms: chunk.kept_ms() };
    book.absorb(chunk, link, tell).map_err(|e: ChunkError| corrupt(chain, &sk, e))?;
    Ok(applied)
}

/// A chain that is read into a book.
#[derive(Debug)]
pub struct ChainReader {
    reader: ChunkReader,
    /// The book, with all chunks that have been read.
    pub book: Book,
}

impl ChainReader {
    /// Opens the chain at the keyframe from which everything after `from` can be decoded. Expired
    /// chunks are skipped.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` if the chunk before `from` can't be read.
    pub async fn open(cold: &dyn Cold, chain: Chain, from: UnixMs) -> StoreResult<ChainReader> {
        // Earlier is right, too. Reads that follow each other then begin with the same rows.
        let at = from.aligned(OPEN_ALIGNED_MS);
        let reader = reader_from_keyframe(cold, chain, at, Some(wall_clock())).await?;
        Ok(ChainReader { reader, book: Book::default() })
    }

    /// Opens the chain as `open` does, and reads it to its end. Expired chunks are read too, since
    /// a writer must find the true end of the chain.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a chunk that can't be read or doesn't
    /// follow.
    pub async fn open_at_end(
        cold: &dyn Cold,
        chain: Chain,
        from: UnixMs,
    ) -> StoreResult<ChainReader> {
        let reader = reader_from_keyframe(cold, chain, from, None).await?;
        let mut reading = ChainReader { reader, book: Book::default() };
        while reading.next(cold, &mut ()).await?.is_some() {}
        Ok(reading)
    }

    /// Continues after the last chunk of a chain that can't be read.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` if not even the last chunk can be read.
    /// An operator must then restore or delete it.
    pub async fn after_damage(cold: &dyn Cold, chain: Chain) -> StoreResult<ChainReader> {
        let last = last_before(cold, chain, UnixMs::MAX, None).await?;
        let (chunk, link) = match last {
            Some(stored) => decode(&stored, chain)?,
            None => return ChainReader::open(cold, chain, UnixMs::MAX).await,
        };
        let mut reading = ChainReader {
            reader: ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX),
            book: Book::after_damage(link, chunk.window.to),
        };
        reading.skip_to(chunk.window.from);
        Ok(reading)
    }

    /// Reads the next chunk into the book, on a thread of its own. Returns `None` at the current
    /// end.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a chunk that can't be read or doesn't
    /// follow. `tell` and the book are empty if the reader panicked.
    pub async fn next<T: SpanVisitor + Default + Send + 'static>(
        &mut self,
        cold: &dyn Cold,
        tell: &mut T,
    ) -> StoreResult<Option<Applied>> {
        let Some(stored) = self.reader.next(cold).await? else { return Ok(None) };
        let chain = self.reader.chain();
        let (mut book, mut visitor) = (std::mem::take(&mut self.book), std::mem::take(tell));
        // A chunk of a million viewers takes a while.
        let step = ledger_step(move || {
            let applied = apply(&stored, chain, &mut book, &mut visitor);
            (book, visitor, applied)
        });
        let (book, visitor, applied) = step.await.map_err(|e| {
            StoreError::caused(ErrorKind::Corrupt, format!("reading a chunk of {}", chain.pk()), e)
        })?;
        (self.book, *tell) = (book, visitor);
        applied.map(Some)
    }

    /// Continues after a chunk that the book has absorbed by another way.
    pub fn skip_to(&mut self, window: UnixMs) {
        let chain = self.reader.chain();
        self.reader = ChunkReader::at(chain, window.plus(1), UnixMs::MAX);
    }
}

/// Returns the start of the first and of the last window of all ledgers, by their keys alone.
///
/// Returns `None` if no ledger exists.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn extent(cold: &Arc<dyn Cold>) -> StoreResult<Option<(UnixMs, UnixMs)>> {
    let mut extent: Option<(UnixMs, UnixMs)> = None;
    for chain in all(cold).await? {
        let range = KeyRange::chunks(chain, UnixMs::ZERO, UnixMs::MAX);
        for page in [Page::first(1), Page::last(1)] {
            if let Some((sk, _)) = cold.query(&range, &page).await?.first() {
                let at = window_of(chain, sk)?;
                extent =
                    Some(extent.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
    }
    Ok(extent)
}

/// The end of a chain's last window; zero if it has none.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` if the last chunk can't be read.
pub async fn end(cold: &dyn Cold, chain: Chain) -> StoreResult<UnixMs> {
    let last = last_before(cold, chain, UnixMs::MAX, None).await?;
    last.map_or(Ok(UnixMs::ZERO), |stored| Ok(decode(&stored, chain)?.0.window.to))
}

/// Lists all chains of the cold tier's ledgers.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn all(cold: &Arc<dyn Cold>) -> StoreResult<Vec<Chain>> {
    all_of(&**cold).await
}

/// Lists the chains as [`all`] does, of a borrowed cold tier.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn all_of(cold: &dyn Cold) -> StoreResult<Vec<Chain>> {
    chunks::list_chains(cold, Series::Ledger).await
}
