//! A partition's chunks in the cold tier: read in order, written where there is none.

use std::collections::VecDeque;
use std::sync::Arc;

use housecount_core::item::{Attr, Item, bytes, number};
use housecount_core::keys::{Chain, Key, KeyRange};
use housecount_core::ledger::{Book, Chunk, ChunkError, Link, Tell};
use housecount_core::limits::ITEM_BYTES_MAX;
use housecount_core::time::UnixMs;

use crate::cold::{Cold, Condition, Page, Put, Record, Row};
use crate::error::{ErrorKind, StoreError, StoreResult};

/// The attribute with a chunk's bytes, or a part of them.
const CHUNK: &str = "chunk";
/// The attributes of the first part of several: how many there are, and the chunk's checksum, which names the others.
const PARTS: &str = "parts";
const CRC: &str = "crc";
/// Bytes of a part, which leave room for its keys.
const PART_BYTES: usize = ITEM_BYTES_MAX - 1024;
/// Items asked for at once.
const ROWS: usize = 8;

/// An item of a chain is not what it must be: says which.
pub fn corrupt(chain: Chain, sk: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, format!("the ledger's item {} / {sk}: {why}", chain.pk()))
}

/// A chunk as it lies in the cold tier.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The start of its window, by its key.
    pub window: UnixMs,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Items that lie beside it and belong to no chunk: a writer that came second left them. Harmless.
    pub strays: Vec<String>,
}

impl Stored {
    /// The chunk that the bytes hold.
    ///
    /// # Errors
    /// `Corrupt`, naming the item.
    pub fn decode(&self, chain: Chain) -> StoreResult<(Chunk, Link)> {
        let sk = Key::Chunk { chain, window: self.window }.sk();
        let (chunk, link) = Chunk::decode(&self.bytes).map_err(|e| corrupt(chain, &sk, e))?;
        if link.from != self.window {
            return Err(corrupt(chain, &sk, format!("it holds the window of {}", link.from)));
        }
        Ok((chunk, link))
    }
}

/// What became of a chunk that was to be written.
#[derive(Debug)]
pub enum Written {
    /// It is there.
    Done,
    /// Another writer's was there first.
    Elsewhere(Stored),
}

/// Writes a chunk where there is none. First the parts, under names of their own, then the item that names them: a chunk
/// that is there is whole.
///
/// # Errors
/// The cold tier's. The chunk may be there all the same; write it again.
pub async fn write(cold: &dyn Cold, chain: Chain, link: Link, chunk: &[u8]) -> StoreResult<Written> {
    let window = link.from;
    let mut pieces = chunk.chunks(PART_BYTES);
    let mut head = Item::from([(CHUNK.to_string(), Attr::B(pieces.next().unwrap_or_default().to_vec()))]);
    let parts: Vec<Record> = (1..)
        .zip(pieces)
        .map(|(part, piece)| Record {
            key: Key::ChunkPart { chain, window, crc: link.crc, part },
            item: Item::from([(CHUNK.to_string(), Attr::B(piece.to_vec()))]),
        })
        .collect();
    if !parts.is_empty() {
        head.insert(PARTS.to_string(), Attr::N(parts.len() as u64 + 1));
        head.insert(CRC.to_string(), Attr::N(u64::from(link.crc)));
        cold.put(parts.clone()).await?;
    }
    let record = Record { key: Key::Chunk { chain, window }, item: head };
    match cold.put_if(record, Condition::Absent).await? {
        Put::Done => Ok(Written::Done),
        Put::Refused(_) => {
            let mut reader = Reader::at(chain, window, window);
            let there = reader.next(cold).await?;
            let there = there.ok_or_else(|| {
                StoreError::new(ErrorKind::Unavailable, "the ledger's chunk was there and is gone")
            })?;
            if there.bytes == chunk {
                return Ok(Written::Done);
            }
            // Strays cost little and harm nobody; if they can't be removed they stay.
            let _ = cold.delete(parts.into_iter().map(|part| part.key).collect()).await;
            Ok(Written::Elsewhere(there))
        }
    }
}

/// Reads a chain's chunks in order.
#[derive(Debug)]
pub struct Reader {
    chain: Chain,
    range: KeyRange,
    after: Option<String>,
    rows: VecDeque<Row>,
    is_at_end: bool,
}

impl Reader {
    /// A reader of the chunks whose windows begin from `from` to `to`, both included.
    #[must_use]
    pub fn at(chain: Chain, from: UnixMs, to: UnixMs) -> Reader {
        let range = KeyRange::chunks(chain, from, to);
        Reader { chain, range, after: None, rows: VecDeque::new(), is_at_end: false }
    }

    /// A reader that begins with the keyframe from which the chunk before `at` can be understood, or with the first one.
    ///
    /// # Errors
    /// The cold tier's, or that this chunk can't be read.
    pub async fn understanding(cold: &dyn Cold, chain: Chain, at: UnixMs) -> StoreResult<Reader> {
        match last_before(cold, chain, at).await? {
            Some(last) => Ok(Reader::at(chain, last.decode(chain)?.0.since, UnixMs::MAX)),
            None => Ok(Reader::at(chain, UnixMs::ZERO, UnixMs::MAX)),
        }
    }

    /// Whose chunks they are.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The next chunk. After the last one it may be asked again: more may have been written.
    ///
    /// # Errors
    /// The cold tier's, or that the chunk lacks a part.
    pub async fn next(&mut self, cold: &dyn Cold) -> StoreResult<Option<Stored>> {
        let mut strays = Vec::new();
        let (sk, item) = loop {
            let Some(row) = self.row(cold).await? else {
                // More may have come by the next time.
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
        let parts = number(&item, PARTS).unwrap_or(1);
        let crc = u32::try_from(number(&item, CRC).unwrap_or(0)).map_err(|e| corrupt(chain, &sk, e))?;
        for part in 1..u32::try_from(parts).map_err(|e| corrupt(chain, &sk, e))? {
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
        Ok(Some(Stored { window, bytes: chunk, strays }))
    }

    async fn peek(&mut self, cold: &dyn Cold) -> StoreResult<Option<&String>> {
        if self.rows.is_empty() && !self.is_at_end {
            let page = Page { after: self.after.clone(), consistent: true, ..Page::first(ROWS) };
            self.rows = cold.query(&self.range, &page).await?.into();
            self.is_at_end = self.rows.len() < ROWS;
            self.after = self.rows.back().map(|(sk, _)| sk.clone()).or(self.after.take());
        }
        Ok(self.rows.front().map(|(sk, _)| sk))
    }

    async fn row(&mut self, cold: &dyn Cold) -> StoreResult<Option<Row>> {
        self.peek(cold).await?;
        Ok(self.rows.pop_front())
    }
}

fn window_of(chain: Chain, sk: &str) -> StoreResult<UnixMs> {
    let window = sk.split('#').next().and_then(|ms| ms.parse().ok()).map(UnixMs);
    window.ok_or_else(|| corrupt(chain, sk, "its sort key is no time"))
}

/// A chain read into a book.
#[derive(Debug)]
pub struct Reading {
    reader: Reader,
    /// What has been read.
    pub book: Book,
}

impl Reading {
    /// Begins where all can be understood that is said from `from` on.
    ///
    /// # Errors
    /// As [`Reader::understanding`].
    pub async fn open(cold: &dyn Cold, chain: Chain, from: UnixMs) -> StoreResult<Reading> {
        Ok(Reading { reader: Reader::understanding(cold, chain, from).await?, book: Book::default() })
    }

    /// The same, read to its end.
    ///
    /// # Errors
    /// The cold tier's; `Corrupt` for a chunk that can't be read or doesn't follow.
    pub async fn at_end(cold: &dyn Cold, chain: Chain, from: UnixMs) -> StoreResult<Reading> {
        let mut reading = Reading::open(cold, chain, from).await?;
        while reading.next(cold, &mut ()).await?.is_some() {
            // A chunk of a million viewers takes a while.
            tokio::task::yield_now().await;
        }
        Ok(reading)
    }

    /// Goes on after the last chunk of a chain that can't be read.
    ///
    /// # Errors
    /// The cold tier's, or that not even its last chunk can be read: somebody must restore or delete it.
    pub async fn torn(cold: &dyn Cold, chain: Chain) -> StoreResult<Reading> {
        let last = last_before(cold, chain, UnixMs::MAX).await?;
        let (chunk, link) = match last {
            Some(stored) => stored.decode(chain)?,
            None => return Reading::open(cold, chain, UnixMs::MAX).await,
        };
        let mut reading = Reading {
            reader: Reader::at(chain, UnixMs::ZERO, UnixMs::MAX),
            book: Book::torn(link, chunk.window.to),
        };
        reading.skip_to(chunk.window.from);
        Ok(reading)
    }

    /// Reads the next chunk into the book. `None` at the end, for now.
    ///
    /// # Errors
    /// The cold tier's; `Corrupt` for a chunk that can't be read or doesn't follow.
    pub async fn next(
        &mut self,
        cold: &dyn Cold,
        tell: &mut (impl Tell + Send),
    ) -> StoreResult<Option<Chunk>> {
        let Some(stored) = self.reader.next(cold).await? else { return Ok(None) };
        let chain = self.reader.chain;
        let (chunk, link) = stored.decode(chain)?;
        let sk = Key::Chunk { chain, window: stored.window }.sk();
        self.book.apply(&chunk, link, tell).map_err(|e: ChunkError| corrupt(chain, &sk, e))?;
        Ok(Some(chunk))
    }

    /// Goes on reading after a chunk that was taken otherwise.
    pub fn skip_to(&mut self, window: UnixMs) {
        let chain = self.reader.chain;
        self.reader = Reader::at(chain, window.plus(1), UnixMs::MAX);
    }
}

/// The start of a chain's first window, by its key alone.
///
/// # Errors
/// The cold tier's.
pub async fn first(cold: &dyn Cold, chain: Chain) -> StoreResult<Option<UnixMs>> {
    let range = KeyRange::chunks(chain, UnixMs::ZERO, UnixMs::MAX);
    let rows = cold.query(&range, &Page::first(1)).await?;
    rows.first().map(|(sk, _)| window_of(chain, sk)).transpose()
}

/// From the first window of any ledger to the start of the last, by their keys alone; `None` if there is no ledger.
///
/// # Errors
/// The cold tier's.
pub async fn extent(cold: &Arc<dyn Cold>) -> StoreResult<Option<(UnixMs, UnixMs)>> {
    let mut extent: Option<(UnixMs, UnixMs)> = None;
    for chain in all(cold).await? {
        let range = KeyRange::chunks(chain, UnixMs::ZERO, UnixMs::MAX);
        for page in [Page::first(1), Page::last(1)] {
            if let Some((sk, _)) = cold.query(&range, &page).await?.first() {
                let at = window_of(chain, sk)?;
                extent = Some(extent.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
    }
    Ok(extent)
}

/// The last chunk whose window begins at or before `at`. Parts whose chunk was never written are passed over.
async fn last_before(cold: &dyn Cold, chain: Chain, at: UnixMs) -> StoreResult<Option<Stored>> {
    let mut to = at;
    loop {
        let page = Page { consistent: true, ..Page::last(1) };
        let last = cold.query(&KeyRange::chunks(chain, UnixMs::ZERO, to), &page).await?;
        let Some((sk, _)) = last.first() else { return Ok(None) };
        let window = window_of(chain, sk)?;
        if let Some(stored) = Reader::at(chain, window, window).next(cold).await? {
            return Ok(Some(stored));
        }
        if window == UnixMs::ZERO {
            return Ok(None);
        }
        to = window.minus(1);
    }
}

/// The end of a chain's last window; zero if it has none.
///
/// # Errors
/// The cold tier's, or that the last chunk can't be read.
pub async fn end(cold: &dyn Cold, chain: Chain) -> StoreResult<UnixMs> {
    let last = last_before(cold, chain, UnixMs::MAX).await?;
    last.map_or(Ok(UnixMs::ZERO), |stored| Ok(stored.decode(chain)?.0.window.to))
}

/// All chains of the cold tier's ledgers.
///
/// # Errors
/// The cold tier's.
pub async fn all(cold: &Arc<dyn Cold>) -> StoreResult<Vec<Chain>> {
    let rows = cold.query(&KeyRange::ledgers(), &Page::first(usize::from(u16::MAX))).await?;
    let partitions = rows.iter().filter_map(|(sk, _)| sk.parse().ok());
    Ok(partitions.flat_map(Chain::all).collect())
}
