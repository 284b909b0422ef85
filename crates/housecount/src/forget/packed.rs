//! Forgets a viewer in the packed archive, which continues without the viewer.
//!
//! A keyframe and the chunks that depend on it are a *generation*. In it each chunk depends on all
//! earlier ones: on the place of each session, and on the encoder's adaptive models. So the rest of
//! a generation is rewritten, from the first chunk that names the viewer. This takes two passes. A
//! crash in either one leaves a readable chain:
//!
//! 1. From the last chunk back to that first one, each becomes a keyframe. The chunks before it
//!    don't depend on it.
//! 2. From the second of them on, each becomes a dependent chunk, which is small again. The chunks
//!    after it are still keyframes.

use std::collections::VecDeque;
use std::sync::Arc;

use housecount_archive::{ArchiveDecoder, ArchiveEncoder, KEYFRAME_MS};
use housecount_backend::clock::wall_clock;
use housecount_backend::cold::Cold;
use housecount_backend::error::{StoreError, StoreResult};
use housecount_codec::bytes::DecodeError;
use housecount_core::event::EventRef;
use housecount_core::keys::{Chain, Key};
use housecount_core::limits::UNCOMMITTED_RETENTION_MS_MAX;
use housecount_core::time::UnixMs;
use housecount_engine::internals::archive_read as read;
use housecount_engine::internals::chunks;
use housecount_engine::internals::chunks::corrupt;

use super::{Findings, ForgetRequest};

/// A keyframe and the chunks that depend on it, some of which name the viewer.
#[derive(Debug)]
pub(super) struct Generation {
    chain: Chain,
    /// Slot of the keyframe.
    pub(super) from: UnixMs,
    /// Slot of the first chunk that names the viewer.
    named: Option<UnixMs>,
    /// Slot of the last chunk.
    last: UnixMs,
    /// Whether another keyframe follows.
    is_followed: bool,
    /// Number of chunks from the first one that names the viewer.
    pub(super) chunks: u64,
    /// The viewer's beats and leaves in them.
    pub(super) heartbeats: u64,
}

impl Generation {
    fn new(chain: Chain, from: UnixMs) -> Generation {
        Generation {
            chain,
            from,
            named: None,
            last: from,
            is_followed: false,
            chunks: 0,
            heartbeats: 0,
        }
    }

    /// Time until which a writer may continue it.
    pub(super) fn ends(&self) -> UnixMs {
        self.from.aligned(KEYFRAME_MS).plus(KEYFRAME_MS)
    }

    /// End of the ledger after which no writer can continue it. The log keeps records that aren't
    /// archived no longer than this.
    pub(super) fn over_after(&self) -> UnixMs {
        self.ends().plus(UNCOMMITTED_RETENTION_MS_MAX)
    }

    /// Whether no writer continues it.
    pub(super) fn is_over(&self, committed_to: UnixMs) -> bool {
        self.is_followed || committed_to > self.over_after()
    }
}

/// Reads the viewer's chain of each archive.
pub(super) async fn find(
    cold: &Arc<dyn Cold>,
    request: &ForgetRequest,
    found: &mut Findings,
    mut progress: impl FnMut(f64),
) -> StoreResult<()> {
    for chain in read::chains(cold).await? {
        let Some(first) = chunks::first(&**cold, chain, Some(wall_clock()))
            .await?
            .filter(|_| request.holds(chain))
        else {
            continue;
        };
        let whole = wall_clock().since(first).max(1) as f64;
        let progress = |at: UnixMs| progress(at.since(first) as f64 / whole);
        find_in(&**cold, chain, request, found, progress).await?;
    }
    Ok(())
}

async fn find_in(
    cold: &dyn Cold,
    chain: Chain,
    request: &ForgetRequest,
    found: &mut Findings,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<()> {
    let mut stored =
        chunks::ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX).skip_expired(Some(wall_clock()));
    let (mut reader, mut is_lost) = (ArchiveDecoder::default(), false);
    let mut current: Option<Generation> = None;
    while let Some(chunk) = stored.next(cold).await? {
        progress(chunk.window);
        let (mut heartbeats, mut last) = (0, UnixMs::ZERO);
        let read = reader.read(&chunk.bytes, |event| {
            if request.is_of(event.ids.stage, event.ids.viewer) {
                heartbeats += 1;
                last = last.max(event.at);
            }
        });
        if let Err(error) = read
            && !std::mem::replace(&mut is_lost, read.is_err())
        {
            // The following chunks can't be read either, and get no line of their own.
            let sk = Key::Chunk { chain, window: chunk.window }.sk();
            found.problem(&corrupt(
                chain,
                &sk,
                format!("{error}; the chunks after it can't be read either"),
            ));
        }
        is_lost = read.is_err();
        let Some((from, _)) = reader.keyframe() else { continue };
        if current.as_ref().is_some_and(|current| from < current.from) {
            // Two nodes wrote alternately. Their chunks can't be joined again.
            if heartbeats > 0 {
                let sk = Key::Chunk { chain, window: chunk.window }.sk();
                found.problem(&corrupt(
                    chain,
                    &sk,
                    "it continues after another node's chunks, and was not changed",
                ));
            }
            continue;
        }
        if current.as_ref().is_none_or(|current| current.from != from) {
            let before = current.replace(Generation::new(chain, from));
            keep(before.map(|before| Generation { is_followed: true, ..before }), found);
        }
        let Some(current) = &mut current else { continue };
        current.last = chunk.window;
        if heartbeats > 0 {
            found.note_last_seen(last);
            current.named.get_or_insert(chunk.window);
        }
        current.chunks += u64::from(current.named.is_some());
        current.heartbeats += heartbeats;
    }
    keep(current, found);
    Ok(())
}

fn keep(generation: Option<Generation>, found: &mut Findings) {
    found.generations.extend(generation.filter(|generation| generation.named.is_some()));
}

/// Rewrites a generation without the viewer, from the first chunk that names the viewer.
///
/// Returns the keys of items that no chunk names any more.
pub(super) async fn rewrite(
    cold: &dyn Cold,
    request: &ForgetRequest,
    generation: &Generation,
    mut progress: impl FnMut(f64),
) -> StoreResult<Vec<Key>> {
    let (Some(named), mut stale) = (generation.named, Vec::new()) else { return Ok(Vec::new()) };
    let whole = 2.0 * (generation.last.since(named) + 1) as f64;
    let mut last = generation.last;
    loop {
        let alone = split_into_keyframes(cold, request, generation, last).await?;
        for (slot, bytes) in alone.iter().rev() {
            progress(generation.last.since(*slot) as f64 / whole);
            stale.extend(replace(cold, generation.chain, *slot, bytes).await?);
        }
        match alone.front() {
            Some((slot, _)) if *slot > named => last = slot.minus(1),
            _ => break,
        }
    }
    stale.extend(
        relink(cold, generation, named, |slot| progress(0.5 + slot.since(named) as f64 / whole))
            .await?,
    );
    Ok(stale)
}

/// Makes each of the last chunks up to `last` a keyframe without the viewer, as many as fit in
/// memory.
async fn split_into_keyframes(
    cold: &dyn Cold,
    request: &ForgetRequest,
    generation: &Generation,
    last: UnixMs,
) -> StoreResult<VecDeque<(UnixMs, Vec<u8>)>> {
    let mut stored = chunks::ChunkReader::at(generation.chain, generation.from, last);
    let (mut reader, mut alone, mut held) = (ArchiveDecoder::default(), VecDeque::new(), 0);
    while let Some(chunk) = stored.next(cold).await? {
        let keeps = |event: &EventRef<'_>| !request.is_of(event.ids.stage, event.ids.viewer);
        let copied = reader.copy(&chunk.bytes, None, keeps);
        let mut writer =
            copied.map_err(|error| unreadable(generation.chain, chunk.window, error))?;
        if generation.named.is_some_and(|named| chunk.window < named) {
            continue;
        }
        let bytes = writer.finish_slot_forced(UnixMs::ZERO);
        held += bytes.len();
        alone.push_back((chunk.window, bytes));
        while held > request.held_bytes_max && alone.len() > 1 {
            held -= alone.pop_front().map_or(0, |(_, bytes)| bytes.len());
        }
    }
    Ok(alone)
}

/// Makes the chunks after `named`, which are all keyframes, depend on one another again.
async fn relink(
    cold: &dyn Cold,
    generation: &Generation,
    named: UnixMs,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<Vec<Key>> {
    let chain = generation.chain;
    let mut stored = chunks::ChunkReader::at(chain, named, generation.last);
    let (mut reader, mut stale) = (ArchiveDecoder::default(), Vec::new());
    let mut gathered: Option<(UnixMs, ArchiveEncoder)> = None;
    loop {
        let next = stored.next(cold).await?;
        let mut writer = None;
        if let Some((slot, mut before)) = gathered.take() {
            let bytes =
                before.finish_slot_forced(next.as_ref().map_or(UnixMs::ZERO, |next| next.window));
            // The first one is a keyframe already.
            if slot > named {
                progress(slot);
                stale.extend(replace(cold, chain, slot, &bytes).await?);
            }
            writer = Some(before);
        }
        let Some(next) = next else { return Ok(stale) };
        let copied = reader.copy(&next.bytes, writer, |_| true);
        let writer = copied.map_err(|error| unreadable(chain, next.window, error))?;
        gathered = Some((next.window, writer));
    }
}

/// Replaces a chunk. A later chunk that depends on it is rewritten as well, so the new one needs no
/// original checksum.
async fn replace(
    cold: &dyn Cold,
    chain: Chain,
    slot: UnixMs,
    bytes: &[u8],
) -> StoreResult<Vec<Key>> {
    // The chunk may have expired since.
    match chunks::ChunkReader::at(chain, slot, slot).next(cold).await? {
        Some(stored) => chunks::rewrite(cold, chain, &stored, bytes, None).await,
        None => Ok(Vec::new()),
    }
}

fn unreadable(chain: Chain, window: UnixMs, error: DecodeError) -> StoreError {
    corrupt(chain, &Key::Chunk { chain, window }.sk(), error)
}
