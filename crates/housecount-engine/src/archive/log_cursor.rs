//! Reads the records of a partition of the log in order, for the archive.

use std::sync::Arc;

use housecount_backend::clock::mono_ms;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, Position};
use housecount_core::event::EventRef;
use housecount_core::record;
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;

use crate::hub::Hub;

/// Longest wait of a record for this node's follower to read the ids that it refers to. The
/// follower is a moment behind, or more after an outage.
const UNREAD_MS_MAX: u64 = 60_000;

/// Reader of one partition's records, from the archive's last position on.
#[derive(Debug)]
pub struct LogCursor {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    partition: u16,
    /// Position of the last record that was returned.
    read: Position,
    /// Creation time of the partition that it was in; zero before the first read.
    born: UnixMs,
    /// The record that waits for its ids, and since when; see `clock::mono_ms`.
    blocked: Option<(Position, u64)>,
    is_last: bool,
}

/// A page of the log's records.
#[derive(Debug)]
pub struct LogPage {
    /// The records, in order.
    pub records: Vec<(Position, bytes::Bytes)>,
    /// Time up to which all records have been returned; `None` if there are more.
    pub reached: Option<UnixMs>,
}

impl LogCursor {
    /// Creates a reader of a partition's records after `read`.
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

    /// Position of the last record that was returned.
    #[must_use]
    pub fn position(&self) -> Position {
        self.read
    }

    /// Reads some of the records before `until`.
    ///
    /// # Errors
    /// Returns the log's `StoreError`.
    pub async fn next(&mut self, until: UnixMs) -> StoreResult<LogPage> {
        let tail = self.log.read_once(self.partition, self.read).await?;
        if self.born != tail.origin.created_at && self.born != UnixMs::ZERO {
            // All records were lost and rewritten. Positions may begin before the last one.
            tracing::warn!(
                partition = self.partition,
                "the log was recreated; the archive reads all of it"
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

    /// Makes later reads return all records of the log, up to the first with an id unknown here.
    /// Another node continues there.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// Whether reads return all records of the log.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_last
    }

    /// Whether a record has waited for its ids so long that they will not come.
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

    /// Calls `with` for each event of a record. Events without known ids are counted and skipped,
    /// and so are unreadable records.
    pub fn for_each_event(
        &self,
        position: Position,
        record: &[u8],
        mut with: impl FnMut(&EventRef<'_>),
    ) {
        // The follower counts and logs unreadable records.
        let Ok(mut entries) = record::decode(record) else { return };
        record::clamp_future_times(&mut entries, position.at);
        let mut nameless = 0;
        self.hub.for_each_resolved(&entries, |event| match event {
            Some(event) => with(&event),
            None => nameless += 1,
        });
        if nameless > 0 {
            tracing::warn!(beats = nameless, %position, "beats of unknown sessions are not archived");
            self.metrics.archive_unresolved.inc_by(nameless);
        }
    }
}
