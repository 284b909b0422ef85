//! Chunks in items: most chunks take one item, larger ones several. A chunk is written where none
//! exists, and chunks are read in order.
//!
//! The contents of chunks are up to their reader: the ledger or the archive.

use std::collections::VecDeque;

use housecount_backend::cold::{Cold, Condition, KeyedItem, KeyedRow, Page, PutOutcome};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_codec::bytes::checksum;
use housecount_core::item::{Attr, Item, bytes, number};
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::limits::{CHUNK_PARTS_PUT_MAX, ITEM_BYTES_MAX};
use housecount_core::snapshot::is_expired;
use housecount_core::time::UnixMs;

/// Attribute with a chunk's bytes, or a part of them.
const CHUNK: &str = "chunk";
/// Attributes of the first of several parts: the number of parts, and the chunk's checksum. The
/// checksum is in the keys of the other parts.
const PARTS: &str = "parts";
const CRC: &str = "crc";
/// Attribute of a rewritten chunk: its first checksum, which the next chunk refers to.
const NAMED: &str = "named";
/// Attribute that DynamoDB's TTL reads.
const TTL: &str = "ttl";
/// Bytes of a part, which leave room for its keys.
const PART_BYTES: usize = ITEM_BYTES_MAX - 1024;
/// Number of items per query.
const ROWS: usize = 8;

/// Builds the error for an invalid item of a chain. It names the item.
pub fn corrupt(chain: Chain, sk: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, format!("the item {} / {sk}: {why}", chain.pk()))
}

/// A chunk as it is stored in the cold tier.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    /// Start of its window, by its key.
    pub window: UnixMs,
    /// Bytes of the chunk.
    pub bytes: Vec<u8>,
    /// Time of its deletion in Unix seconds; `None` if it is kept for good.
    pub expiry_s: Option<u64>,
    /// The checksum that it was first written with, if it has been rewritten since.
    pub original_crc: Option<u32>,
    /// Number of its bytes that are stored in its first item.
    head_bytes: usize,
    /// Number of its further items.
    parts: u32,
    /// Sort keys of items beside it that belong to no chunk. A writer that lost the race left them,
    /// and they are harmless.
    pub orphans: Vec<String>,
}

/// Outcome of writing a chunk.
#[derive(Debug)]
pub enum ChunkWrite {
    /// The chunk is stored.
    Done,
    /// Another writer's chunk was there first.
    LostRace(StoredChunk),
}

/// Writes a chunk where none exists.
///
/// The parts go first, under keys of their own. Then follows the item that names them, so a chunk
/// whose first item exists is complete.
///
/// # Errors
/// Returns the cold tier's `StoreError`. The chunk may be stored all the same; write it again.
pub async fn write(
    cold: &dyn Cold,
    chain: Chain,
    window: UnixMs,
    chunk: &[u8],
    expiry_s: Option<u64>,
) -> StoreResult<ChunkWrite> {
    put_parts(cold, chain, window, chunk, expiry_s).await?;
    let record = head(chain, window, chunk, expiry_s);
    match cold.put_if(record, Condition::Absent).await? {
        PutOutcome::Done => Ok(ChunkWrite::Done),
        PutOutcome::ConditionFailed(_) => {
            let mut reader = ChunkReader::at(chain, window, window);
            let there = reader.next(cold).await?;
            let there = there.ok_or_else(|| {
                StoreError::new(
                    ErrorKind::Unavailable,
                    "an existing chunk disappeared before it was read",
                )
            })?;
            if there.bytes == chunk {
                return Ok(ChunkWrite::Done);
            }
            // Orphans cost little and harm no reader. If they can't be removed they stay.
            let _ = cold.delete(part_keys(chain, window, chunk).collect()).await;
            Ok(ChunkWrite::LostRace(there))
        }
    }
}

/// Builds the first item of a chunk, which names its further parts.
fn head(chain: Chain, window: UnixMs, chunk: &[u8], expiry_s: Option<u64>) -> KeyedItem {
    let mut head = item(chunk.chunks(PART_BYTES).next().unwrap_or_default(), expiry_s);
    let parts = chunk.chunks(PART_BYTES).skip(1).len();
    if parts > 0 {
        head.insert(PARTS.to_string(), Attr::N(parts as u64 + 1));
        head.insert(CRC.to_string(), Attr::N(u64::from(checksum(chunk))));
    }
    KeyedItem { key: Key::Chunk { chain, window }, item: head }
}

fn item(piece: &[u8], expiry_s: Option<u64>) -> Item {
    let expiry = expiry_s.map(|expiry_s| (TTL.to_string(), Attr::N(expiry_s)));
    Item::from_iter([(CHUNK.to_string(), Attr::B(piece.to_vec()))].into_iter().chain(expiry))
}

/// Keys of a chunk's further parts.
fn part_keys(chain: Chain, window: UnixMs, chunk: &[u8]) -> impl Iterator<Item = Key> {
    let (crc, parts) = (checksum(chunk), chunk.chunks(PART_BYTES).skip(1).len() as u32);
    (1..=parts).map(move |part| Key::ChunkPart { chain, window, crc, part })
}

/// Puts a chunk's further parts, [`CHUNK_PARTS_PUT_MAX`] at once. So the chunk of a million viewers
/// is copied in small pieces.
async fn put_parts(
    cold: &dyn Cold,
    chain: Chain,
    window: UnixMs,
    chunk: &[u8],
    expiry_s: Option<u64>,
) -> StoreResult<()> {
    let mut parts = part_keys(chain, window, chunk).zip(chunk.chunks(PART_BYTES).skip(1));
    loop {
        let some = parts.by_ref().take(CHUNK_PARTS_PUT_MAX);
        let some: Vec<KeyedItem> =
            some.map(|(key, piece)| KeyedItem { key, item: item(piece, expiry_s) }).collect();
        if some.is_empty() {
            return Ok(());
        }
        cold.put(some).await?;
    }
}

/// Replaces a chunk by another one with the same expiry.
///
/// `named` is the checksum by which the next chunk refers to it. As with [`write()`], readers find
/// the old chunk or the new one, each complete. Returns the keys of the old chunk's parts. The
/// caller deletes them once no reader needs them.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Unavailable` if another writer has rewritten the chunk
/// meanwhile. In that case read it again.
pub async fn rewrite(
    cold: &dyn Cold,
    chain: Chain,
    old: &StoredChunk,
    chunk: &[u8],
    named: Option<u32>,
) -> StoreResult<Vec<Key>> {
    let window = old.window;
    let mut record = head(chain, window, chunk, old.expiry_s);
    if let Some(named) = named {
        record.item.insert(NAMED.to_string(), Attr::N(u64::from(named)));
    }
    let crc = checksum(&old.bytes);
    let keys = (1..=old.parts).map(|part| Key::ChunkPart { chain, window, crc, part });
    let stale =
        keys.filter(|key| part_keys(chain, window, chunk).all(|part| part != *key)).collect();
    put_parts(cold, chain, window, chunk, old.expiry_s).await?;
    let was = old.bytes[..old.head_bytes].to_vec();
    match cold.put_if(record, Condition::Equals { attr: CHUNK, value: Attr::B(was) }).await? {
        PutOutcome::Done => Ok(stale),
        PutOutcome::ConditionFailed(_) => {
            let what =
                format!("another process rewrote the item {} / {window} meanwhile", chain.pk());
            Err(StoreError::new(ErrorKind::Unavailable, what))
        }
    }
}

/// Reader of a chain's chunks, in order.
#[derive(Debug)]
pub struct ChunkReader {
    chain: Chain,
    range: KeyRange,
    after: Option<String>,
    rows: VecDeque<KeyedRow>,
    is_at_end: bool,
    /// Time before which expired items are skipped; `None` to read them too.
    now: Option<UnixMs>,
}

impl ChunkReader {
    /// Creates a reader of the chunks whose windows begin from `from` to `to`, both included.
    #[must_use]
    pub fn at(chain: Chain, from: UnixMs, to: UnixMs) -> ChunkReader {
        let range = KeyRange::chunks(chain, from, to);
        ChunkReader {
            chain,
            range,
            after: None,
            rows: VecDeque::new(),
            is_at_end: false,
            now: None,
        }
    }

    /// Skips chunks that have expired by `now`. They await their deletion, and parts of them may be
    /// gone already.
    #[must_use]
    pub fn skip_expired(self, now: Option<UnixMs>) -> ChunkReader {
        ChunkReader { now, ..self }
    }

    /// Chain that the chunks belong to.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Reads the next chunk. After the last one it may be called again, since more may have been
    /// written.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` if the chunk lacks a part.
    pub async fn next(&mut self, cold: &dyn Cold) -> StoreResult<Option<StoredChunk>> {
        let mut strays = Vec::new();
        let (sk, item) = loop {
            let Some(row) = self.row(cold).await? else {
                // More chunks may have been written by the next call.
                self.is_at_end = false;
                return Ok(None);
            };
            if !row.0.contains('#') {
                break row;
            }
            strays.push(row.0);
        };
        let chain = self.chain;
        let window = window_of(chain, &sk)?;
        let mut chunk = bytes(&item, CHUNK).map_err(|e| corrupt(chain, &sk, e))?.to_vec();
        let head_bytes = chunk.len();
        let parts = number(&item, PARTS).unwrap_or(1);
        let crc =
            u32::try_from(number(&item, CRC).unwrap_or(0)).map_err(|e| corrupt(chain, &sk, e))?;
        let parts = u32::try_from(parts).map_err(|e| corrupt(chain, &sk, e))?;
        for part in 1..parts {
            let wanted = Key::ChunkPart { chain, window, crc, part }.sk();
            loop {
                match self.peek(cold).await? {
                    Some(found) if *found == wanted => break,
                    Some(found) if found.starts_with(&format!("{sk}#")) => {
                        strays.extend(self.row(cold).await?.map(|(sk, _)| sk));
                    }
                    _ => return Err(corrupt(chain, &sk, format!("its part {wanted} is missing"))),
                }
            }
            if let Some((sk, item)) = self.row(cold).await? {
                chunk.extend_from_slice(bytes(&item, CHUNK).map_err(|e| corrupt(chain, &sk, e))?);
            }
        }
        while self.peek(cold).await?.is_some_and(|found| found.starts_with(&format!("{sk}#"))) {
            strays.extend(self.row(cold).await?.map(|(sk, _)| sk));
        }
        let expiry_s = number(&item, TTL).ok();
        let named = number(&item, NAMED).ok().map(u32::try_from).transpose();
        let named = named.map_err(|e| corrupt(chain, &sk, e))?;
        let parts = parts.saturating_sub(1);
        Ok(Some(StoredChunk {
            window,
            bytes: chunk,
            expiry_s,
            original_crc: named,
            head_bytes,
            parts,
            orphans: strays,
        }))
    }

    async fn peek(&mut self, cold: &dyn Cold) -> StoreResult<Option<&String>> {
        while self.rows.is_empty() && !self.is_at_end {
            let page = Page { after: self.after.clone(), consistent: true, ..Page::first(ROWS) };
            self.rows = cold.query(&self.range, &page).await?.into();
            self.is_at_end = self.rows.len() < ROWS;
            self.after = self.rows.back().map(|(sk, _)| sk.clone()).or(self.after.take());
            if let Some(now) = self.now {
                self.rows.retain(|(_, item)| !is_expired(item, now));
            }
        }
        Ok(self.rows.front().map(|(sk, _)| sk))
    }

    async fn row(&mut self, cold: &dyn Cold) -> StoreResult<Option<KeyedRow>> {
        self.peek(cold).await?;
        Ok(self.rows.pop_front())
    }
}

/// Parses the start of a chunk's window from its sort key.
///
/// # Errors
/// Returns `Corrupt` if it is not a key of housecount's.
pub fn window_of(chain: Chain, sk: &str) -> StoreResult<UnixMs> {
    let window = sk.split('#').next().and_then(|ms| ms.parse().ok()).map(UnixMs);
    window.ok_or_else(|| corrupt(chain, sk, "its sort key is not a time"))
}

/// Returns the start of a chain's first window that hasn't expired by `now`, by its key alone.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn first(
    cold: &dyn Cold,
    chain: Chain,
    now: Option<UnixMs>,
) -> StoreResult<Option<UnixMs>> {
    let mut reader = ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX).skip_expired(now);
    reader.peek(cold).await?.map(|sk| window_of(chain, sk)).transpose()
}

/// Reads the last chunk whose window begins at or before `at`, unless it has expired by `now`.
///
/// Parts whose chunk was never written are skipped.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` if the chunk lacks a part.
pub async fn last_before(
    cold: &dyn Cold,
    chain: Chain,
    at: UnixMs,
    now: Option<UnixMs>,
) -> StoreResult<Option<StoredChunk>> {
    let mut to = at;
    loop {
        let page = Page { consistent: true, ..Page::last(1) };
        let last = cold.query(&KeyRange::chunks(chain, UnixMs::ZERO, to), &page).await?;
        let Some((sk, item)) = last.first() else { return Ok(None) };
        if now.is_some_and(|now| is_expired(item, now)) {
            return Ok(None);
        }
        let window = window_of(chain, sk)?;
        if let Some(stored) = ChunkReader::at(chain, window, window).next(cold).await? {
            return Ok(Some(stored));
        }
        if window == UnixMs::ZERO {
            return Ok(None);
        }
        to = window.minus(1);
    }
}

/// Lists all chains of a series that the cold tier has.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn list_chains(cold: &dyn Cold, series: Series) -> StoreResult<Vec<Chain>> {
    let rows = cold.query(&KeyRange::series(series), &Page::first(usize::from(u16::MAX))).await?;
    let partitions = rows.iter().filter_map(|(sk, _)| sk.parse().ok());
    Ok(partitions.flat_map(|partitions| series.chains(partitions)).collect())
}
