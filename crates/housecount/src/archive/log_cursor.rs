//! What a partition of the log took, in its order, for the archive.

use std::sync::Arc;

use housecount_core::event::EventRef;
use housecount_core::record;
use housecount_core::time::UnixMs;

use crate::clock::mono_ms;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::log::{Log, Position};
use crate::metrics::Metrics;

/// So long a record waits for this node's follower to find the ids that it speaks of: it is a
/// moment behind, or more after an outage.
const UNREAD_MS_MAX: u64 = 60_000;

/// Reader of one partition's records, from the archive's last position on.
#[derive(Debug)]
pub struct LogCursor {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    partition: u16,
    /// The last record that was taken.
    read: Position,
    /// Which life of the log that was in; zero before the first read.
    born: UnixMs,
    /// The record that waits for its ids, and since when; see `clock::mono_ms`.
    blocked: Option<(Position, u64)>,
    is_last: bool,
}

/// Some of what the log took.
#[derive(Debug)]
pub struct LogPage {
    /// The records, in order.
    pub records: Vec<(Position, bytes::Bytes)>,
    /// Up to where these are all; none if there are more.
    pub reached: Option<UnixMs>,
}

impl LogCursor {
    /// What a partition took after `read`.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        partition: u16,
        read: Position,
    ) -> LogCursor {
        LogCursor {
            log,
            hub,
            metrics,
            partition,
            read,
            born: UnixMs::ZERO,
            blocked: None,
            is_last: false,
        }
    }

    /// The last record that was taken.
    #[must_use]
    pub fn position(&self) -> Position {
        self.read
    }

    /// What was taken before `until`, some of it.
    ///
    /// # Errors
    /// The log's.
    pub async fn next(&mut self, until: UnixMs) -> StoreResult<LogPage> {
        let tail = self.log.read_once(self.partition, self.read).await?;
        if self.born != tail.origin.created_at && self.born != UnixMs::ZERO {
            // All was lost, and told again. Positions may begin earlier than the last one was.
            tracing::warn!(
                partition = self.partition,
                "the log has been born again; the archive reads all of it"
            );
            self.read = Position::START;
            self.born = tail.origin.created_at;
            return Ok(LogPage { records: Vec::new(), reached: None });
        }
        self.born = tail.origin.created_at;
        let mut reached = if self.is_last { tail.clock } else { until.min(tail.clock) };
        let (mut records, mut is_all) = (Vec::new(), !tail.more);
        for (position, record) in tail.records {
            let is_due = self.is_last || position.at < reached;
            if !is_due || !(self.can_resolve(&record) || self.wait_expired(position)) {
                (reached, is_all) = (reached.min(position.at), true);
                break;
            }
            self.read = position;
            records.push((position, record));
        }
        Ok(LogPage { records, reached: is_all.then_some(reached) })
    }

    /// From now on all that the log has is taken, up to the first record of which this node doesn't
    /// know a name yet: another node goes on there.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// Whether all that the log has is taken.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_last
    }

    /// Whether a record has waited for its ids for so long that they will not come.
    fn wait_expired(&mut self, position: Position) -> bool {
        let now_ms = mono_ms();
        match self.blocked {
            Some((waits, since_ms)) if waits == position => {
                !self.is_last && now_ms.saturating_sub(since_ms) > UNREAD_MS_MAX
            }
            _ => {
                self.blocked = Some((position, now_ms));
                false
            }
        }
    }

    fn can_resolve(&self, record: &[u8]) -> bool {
        let mut is_known = true;
        if let Ok(entries) = record::decode(record) {
            self.hub.for_each_resolved(&entries, |event| is_known &= event.is_some());
        }
        is_known
    }

    /// Calls `with` for each of what a record says. What can't be read, or has no name, is counted
    /// and passed over.
    pub fn for_each_event(
        &self,
        position: Position,
        record: &[u8],
        mut with: impl FnMut(&EventRef<'_>),
    ) {
        // The follower counts and tells those that can't be read.
        let Ok(mut entries) = record::decode(record) else { return };
        record::clamp_future_times(&mut entries, position.at);
        let mut nameless = 0;
        self.hub.for_each_resolved(&entries, |event| match event {
            Some(event) => with(&event),
            None => nameless += 1,
        });
        if nameless > 0 {
            tracing::warn!(beats = nameless, %position, "beats of sessions that nobody knows any more are not archived");
            self.metrics.archive_nameless.inc_by(nameless);
        }
    }
}
