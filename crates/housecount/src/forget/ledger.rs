//! Forgets a viewer in the ledger: finds the chunks that name the viewer, and rewrites them with a
//! pseudonym.

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_backend::clock::wall_clock;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::item::Attr;
use housecount_core::keys::{Chain, Key, Series};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::chunks;
use housecount_engine::internals::chunks::{ChunkReader, StoredChunk, corrupt};
use housecount_engine::internals::{chain, scan};
use housecount_ledger::watch::{WatchFilter, WatchTotals};
use housecount_ledger::{Book, Chunk};

use super::{Findings, ForgetRequest};

/// Attribute of the item that names a series: when chunks were last rewritten, Unix ms.
const REWRITTEN: &str = "rewritten";

/// A chunk that names the viewer, and the places of the name.
#[derive(Debug)]
pub(super) struct ChunkReference {
    pub(super) chain: Chain,
    window: UnixMs,
    places: Vec<usize>,
}

/// Findings in all ledgers.
#[derive(Debug, Default)]
pub(super) struct LedgerFindings {
    pub(super) named: Vec<ChunkReference>,
    /// The viewer's chain of each ledger.
    pub(super) chains: BTreeSet<Chain>,
    pub(super) spans: u64,
    pub(super) watch_ms: u64,
    /// Items that belong to no chunk, with their windows.
    pub(super) strays: Vec<(UnixMs, Key)>,
    /// All stages that were ever watched in the viewer's partitions.
    pub(super) stages: BTreeSet<String>,
    /// Longest time that any writer kept entries and proof.
    pub(super) kept_ms: u64,
    pub(super) committed_to: UnixMs,
}

/// Reads the viewer's chain of each ledger.
pub(super) async fn find(
    cold: &Arc<dyn Cold>,
    request: &ForgetRequest,
    found: &mut Findings,
    mut progress: impl FnMut(f64),
) -> StoreResult<()> {
    let Some((first, last)) = chain::extent(cold).await? else { return Ok(()) };
    let whole = last.since(first).max(1) as f64;
    let mut ends = Vec::new();
    for chain in chain::all(cold).await? {
        if !request.holds(chain) {
            // The end of another chain may be the earliest of all. An unreadable last chunk is left
            // to `verify`.
            match chain::end(&**cold, chain).await {
                Ok(end) => ends.push((chain, end)),
                Err(error) if error.kind() == ErrorKind::Corrupt => found.problem(&error),
                Err(error) => return Err(error),
            }
            continue;
        }
        found.ledger.chains.insert(chain);
        let progress = |at: UnixMs| progress(at.since(first) as f64 / whole);
        ends.push((chain, read_chain(&**cold, chain, request, found, progress).await?));
    }
    found.ledger.committed_to = scan::committed_to(&ends);
    Ok(())
}

/// Reads a whole chain, skipping damaged chunks, and returns its end.
async fn read_chain(
    cold: &dyn Cold,
    chain: Chain,
    request: &ForgetRequest,
    found: &mut Findings,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<UnixMs> {
    let wanted = WatchFilter {
        viewer: Some(request.viewer.clone()),
        stage: request.stage.clone(),
        intervals: true,
        ..WatchFilter::default()
    };
    let mut watch = WatchTotals::new(Span::new(UnixMs::ZERO, UnixMs::MAX), wanted, usize::MAX);
    let mut reader =
        ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX).skip_expired(Some(wall_clock()));
    let (mut book, mut is_lost, mut edge, named_before) =
        (Book::default(), false, UnixMs::ZERO, found.ledger.named.len());
    loop {
        let read = match reader.next(cold).await {
            Ok(None) => break,
            Ok(Some(stored)) => {
                found.ledger.stray(chain, &stored);
                chain::decode(&stored, chain)
            }
            Err(error) => Err(error),
        };
        let (chunk, link) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                found.problem(&error);
                book.close_all(&mut watch);
                (book, is_lost) = (Book::default(), true);
                continue;
            }
            Err(error) => return Err(error),
        };
        let window = chunk.window;
        edge = window.to;
        progress(window.from);
        found.ledger.take(
            chain,
            &chunk,
            book.names(&chunk, &request.viewer, request.stage.as_deref()),
        );
        if !is_lost || chunk.is_keyframe() {
            is_lost = false;
            if let Err(error) = book.apply(&chunk, link, &mut watch) {
                let sk = Key::Chunk { chain, window: window.from }.sk();
                found.problem(&corrupt(chain, &sk, error));
                book.close_all(&mut watch);
                book = Book::default();
                is_lost = !chunk.is_keyframe() || book.apply(&chunk, link, &mut watch).is_err();
            }
        }
        // In an unreadable part of the chain it is unknown whether the viewer continued.
        if is_lost && found.ledger.named.len() > named_before {
            found.note_last_seen(window.to);
        }
        tokio::task::yield_now().await;
    }
    book.close_all(&mut watch);
    for (_, watched) in watch.finish().0 {
        found.ledger.spans += watched.intervals.len() as u64;
        found.ledger.watch_ms += watched.watch_ms;
        found.note_last_seen(watched.last_at);
    }
    Ok(edge)
}

impl LedgerFindings {
    fn take(&mut self, chain: Chain, chunk: &Chunk, places: Vec<usize>) {
        self.kept_ms = self.kept_ms.max(chunk.kept_ms());
        self.stages.extend(chunk.new_stages().map(str::to_string));
        if !places.is_empty() {
            self.named.push(ChunkReference { chain, window: chunk.window.from, places });
        }
    }

    fn stray(&mut self, chain: Chain, stored: &StoredChunk) {
        let keys = stored.orphans.iter().filter_map(|sk| Key::of_chunk(chain, sk));
        self.strays.extend(keys.filter_map(|key| match key {
            Key::ChunkPart { window, .. } => Some((window, key)),
            _ => None,
        }));
    }
}

/// Records in the items that name the series of these chains that chunks were rewritten. Nodes then
/// drop what they have kept of the ledger.
pub(super) async fn note_rewritten(cold: &dyn Cold, chains: &BTreeSet<Chain>) -> StoreResult<()> {
    let partitions: BTreeSet<u16> = chains.iter().map(|chain| chain.partitions).collect();
    for partitions in partitions {
        let key = Key::Series { series: Series::Ledger, partitions };
        let mut item = cold.get(&key).await?.unwrap_or_default();
        item.insert(REWRITTEN.to_string(), Attr::N(wall_clock().0));
        cold.put(vec![KeyedItem { key, item }]).await?;
    }
    Ok(())
}

/// Rewrites a chunk with another name for the viewer. Returns the keys of items that no chunk names
/// any more.
pub(super) async fn rename(
    cold: &dyn Cold,
    naming: &ChunkReference,
    to: &str,
) -> StoreResult<Vec<Key>> {
    let ChunkReference { chain, window, places } = naming;
    // The chunk may have expired since.
    let Some(stored) = ChunkReader::at(*chain, *window, *window).next(cold).await? else {
        return Ok(Vec::new());
    };
    let (mut chunk, link) = chain::decode(&stored, *chain)?;
    chunk.rename(places, to);
    let bytes = chunk.encode();
    if Chunk::decode(&bytes).map(|(chunk, _)| chunk).as_ref() != Ok(&chunk) {
        let what =
            format!("the item {} / {window} can't be written under another name", chain.pk());
        return Err(StoreError::new(ErrorKind::Corrupt, what));
    }
    chunks::rewrite(cold, *chain, &stored, &bytes, Some(link.crc)).await
}
