//! Writes a partition's archive in chunks, one per slot.

use std::sync::Arc;

use housecount_archive::{ArchiveEncoder, ArchiveParams, KEYFRAME_MS};
use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::log::Position;
use housecount_core::keys::Chain;
use housecount_core::snapshot::expiry_s;
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;

use super::WriteProgress;
use super::log_cursor::LogCursor;
use crate::ledger::chunks::{self, ChunkWrite};

/// Archive writer of one chunk per slot.
#[derive(Debug)]
pub struct PackedArchiveWriter {
    chain: Chain,
    params: ArchiveParams,
    retention_ms: u64,
    metrics: Arc<Metrics>,
    /// Encoder of the current slot; `None` before the first record.
    writer: Option<ArchiveEncoder>,
    /// Chunks to be written, by their slots.
    cut: Vec<(UnixMs, Vec<u8>)>,
    /// Time up to which everything is written, once it has been read that far.
    reached: UnixMs,
}

/// Returns the end of a chain's last chunk.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn archived_to(cold: &dyn Cold, chain: Chain, slot_ms: u64) -> StoreResult<UnixMs> {
    let last = chunks::last_before(cold, chain, UnixMs::MAX, None).await?;
    Ok(last.map_or(UnixMs::ZERO, |last| last.window.plus(slot_ms)))
}

/// The last position before a time.
pub(super) fn before(at: UnixMs) -> Position {
    if at == UnixMs::ZERO { Position::START } else { Position { at: at.minus(1), seq: u64::MAX } }
}

impl PackedArchiveWriter {
    /// Creates a writer that continues a chain of other writers, with a keyframe.
    #[must_use]
    pub fn new(
        chain: Chain,
        params: ArchiveParams,
        retention_ms: u64,
        metrics: Arc<Metrics>,
    ) -> PackedArchiveWriter {
        PackedArchiveWriter {
            chain,
            params,
            retention_ms,
            metrics,
            writer: None,
            cut: Vec::new(),
            reached: UnixMs::ZERO,
        }
    }

    /// Position in the log after which a chain that ends at `end` continues.
    #[must_use]
    pub fn position(end: UnixMs) -> Position {
        before(end)
    }

    /// Writes all slots that have ended by `now`. Called again after an error, it continues where
    /// it was.
    ///
    /// # Errors
    /// Returns a store's `StoreError`.
    pub async fn write_due(
        &mut self,
        cold: &dyn Cold,
        feed: &mut LogCursor,
        now: UnixMs,
    ) -> StoreResult<WriteProgress> {
        let due = now.aligned(self.params.slot_ms);
        if due <= self.reached && !feed.is_ending() {
            // No slot has ended. Where reads cost money, each record is read once.
            return Ok(WriteProgress::To(self.reached));
        }
        loop {
            if !self.write(cold).await? {
                return Ok(WriteProgress::Overtaken);
            }
            let page = feed.next(due).await?;
            for (position, record) in &page.records {
                self.cut_before(position.at);
                let writer = self
                    .writer
                    .get_or_insert_with(|| ArchiveEncoder::new(self.params, position.at));
                feed.for_each_event(*position, record, |event| writer.add(event));
            }
            if let Some(reached) = page.reached {
                // If the log's clock is behind, the slot has not ended yet.
                let reached = reached.aligned(self.params.slot_ms);
                self.cut_before(reached);
                if !self.write(cold).await? {
                    return Ok(WriteProgress::Overtaken);
                }
                self.reached = reached;
                return Ok(WriteProgress::To(reached));
            }
        }
    }

    /// Finishes the current slot if it has ended at `at`.
    fn cut_before(&mut self, at: UnixMs) {
        let Some(writer) = &mut self.writer else { return };
        let slot = writer.slot();
        if slot.plus(self.params.slot_ms) <= at
            && let Some(chunk) = writer.finish_slot(at.aligned(self.params.slot_ms))
        {
            self.cut.push((slot, chunk));
        }
    }

    /// Writes the finished chunks. Returns false if another node was faster.
    async fn write(&mut self, cold: &dyn Cold) -> StoreResult<bool> {
        while let Some((slot, chunk)) = self.cut.first() {
            // Chunks that depend on each other expire together.
            let readable_to = slot.aligned(KEYFRAME_MS).plus(KEYFRAME_MS);
            let expiry_s = expiry_s(readable_to, self.retention_ms);
            if let ChunkWrite::LostRace(_) =
                chunks::write(cold, self.chain, *slot, chunk, Some(expiry_s)).await?
            {
                return Ok(false);
            }
            self.metrics.archive_bytes.inc_by(chunk.len() as u64);
            self.cut.remove(0);
        }
        Ok(true)
    }
}
