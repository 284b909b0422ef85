//! Coalesced beats: beats beyond their session's limit. Each is answered by the session's last
//! logged beat, and has no record of its own.
//!
//! A coalesced beat changes neither presence nor proof, and is not acknowledged. Its answer has the
//! form and the time of a logged beat's answer. It waits until the beat that it relies on is in the
//! log, and while the log refuses events.

use std::sync::Arc;

use housecount_core::beat_schedule::next_gap_ms;
use housecount_core::fold::LastEvents;
use housecount_core::limits::COALESCE_MS_MAX;
use housecount_core::time::UnixMs;

use super::completion::BatchCompletion;
use super::{Ingest, IngestError, PendingAck, UnstampedEvent};

impl Ingest {
    /// Returns a receipt for a beat that is coalesced, to be awaited like the receipt of a logged
    /// beat. Returns `None` if the session has no logged beat that is less than [`COALESCE_MS_MAX`]
    /// old, or has left since. `has_recent_beat` means that this node has admitted such a beat,
    /// which may still wait for its append.
    ///
    /// # Errors
    /// Returns `Starting` before the node's first reading of the log's clock. Returns `NotTaken`
    /// while the log refuses the viewer's events and no batch remains to wait for.
    pub fn coalesce(
        &self,
        beat: &UnstampedEvent<'_>,
        has_recent_beat: bool,
    ) -> Result<Option<PendingAck>, IngestError> {
        let now = self.shared.clock.now().ok_or(IngestError::Starting)?;
        let is_recent = |at: UnixMs| now.since(at) < COALESCE_MS_MAX;
        let lane = self.lane(beat.ids.viewer);
        let last = self.last_events(beat);
        if let Some(at) = last.standing_beat().filter(|at| is_recent(*at)) {
            if !self.shared.hub.writes().refuses(self.partition(beat.ids.viewer)) {
                return Ok(Some(self.coalesced(beat, at, now, None)));
            }
            // A logged beat would wait for the log, too.
            let round = lane.join().ok_or(IngestError::NotTaken)?;
            return Ok(Some(self.coalesced(beat, at, now, Some(round))));
        }
        // A leave through another node may be later than a beat that still waits for its append.
        if !has_recent_beat || is_recent(last.left) {
            return Ok(None);
        }
        if self.acks_from_memory() {
            return Ok(Some(self.coalesced(beat, now, now, None)));
        }
        if let Some(round) = lane.join() {
            return Ok(Some(self.coalesced(beat, now, now, Some(round))));
        }
        // The append ended between the two checks.
        Ok(self.last_events(beat).standing_beat().map(|at| self.coalesced(beat, at, now, None)))
    }

    fn last_events(&self, beat: &UnstampedEvent<'_>) -> LastEvents {
        self.shared.hub.last_events(beat.ids)
    }

    /// Makes the receipt of a coalesced beat. The next beat is due when it was due after the logged
    /// one.
    fn coalesced(
        &self,
        beat: &UnstampedEvent<'_>,
        at: UnixMs,
        now: UnixMs,
        round: Option<Arc<BatchCompletion>>,
    ) -> PendingAck {
        let gap_ms = next_gap_ms(self.shared.interval_ms, beat.ids.viewer, beat.ids.session, at);
        PendingAck {
            at,
            gap_ms: gap_ms.saturating_sub(now.since(at)).max(1),
            completion: round,
            is_coalesced: true,
        }
    }
}
