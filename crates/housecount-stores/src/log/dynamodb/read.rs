//! Reading: the items of a partition after a position, assembled from their parts and unpacked.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use bytes::Bytes;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Position, ReadResult};
use housecount_backend::meter::Purpose;
use housecount_core::flush::{FlushError, NumberTables};
use housecount_core::fold::HandleKey;
use housecount_core::item;
use housecount_core::keys::{log_pk, log_sk, parse_log_sk};
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;

use super::{DynamoLog, ReadState};
use crate::dynamo::attr::{Attributes, from_sdk, key_attributes, sort_key};
use crate::dynamo::consumed;

/// Rows of one call: a full answer, the record that was read before, and parts of large items.
const ROWS_MAX: usize = READ_RECORDS_MAX + 16;

/// An item with all its parts.
#[derive(Debug)]
struct StoredFlush {
    position: Position,
    bytes: Vec<u8>,
    parts_left: u64,
}

/// Records between two positions.
#[derive(Debug, Default)]
pub(super) struct ReadBatch {
    pub(super) records: Vec<(Position, Bytes)>,
    pub(super) start_exists: bool,
    pub(super) more: bool,
    /// The latest time of tending in these items.
    pub(super) attended: UnixMs,
}

impl DynamoLog {
    /// Reads immediately, without waiting until the next read is due.
    pub(super) async fn read_now(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
        reading: &mut ReadState,
    ) -> StoreResult<ReadResult> {
        let mut meta = self.origin(partition, false).await?;
        self.calibrate_clock(partition).await?;
        if meta.origin.key == HandleKey::default() && key != HandleKey::default() {
            let is_free = " AND attribute_not_exists(#key)";
            self.update_meta(partition, meta.origin.created_at, &[("key", key.0)], is_free).await?;
            meta = self.origin(partition, true).await?;
        }
        let clock = self.pace.now().max(reading.clock);
        let from = after.max(Position { at: self.past(partition).trimmed, seq: 0 });
        let found = self.find(partition, from, clock, &mut reading.books).await?;
        let start_exists = found.start_exists && from == after;
        if after != Position::START && !start_exists {
            // The record was trimmed, or the table was created again.
            meta = self.origin(partition, true).await?;
        }
        reading.clock = clock;
        let mut past = self.past(partition);
        past.attended_sent = past.attended_sent.max(found.attended);
        drop(past);
        let origin = self.shown_origin(partition, meta);
        Ok(ReadResult { records: found.records, more: found.more, start_exists, clock, origin })
    }

    /// Reads the records after `after`, up to `to`.
    pub(super) async fn find(
        &self,
        partition: u16,
        after: Position,
        to: UnixMs,
        books: &mut NumberTables,
    ) -> StoreResult<ReadBatch> {
        let to = Position { at: to, seq: u64::from(u32::MAX) };
        let mut found = ReadBatch::default();
        if after > to {
            return Ok(found);
        }
        let (stored, is_cut) = self.rows(partition, after, to).await?;
        found.more = is_cut;
        for stored in stored {
            if stored.position == after {
                found.start_exists = true;
                continue;
            }
            if found.records.len() == READ_RECORDS_MAX {
                found.more = true;
                break;
            }
            let (attended, record) = self.unpack(partition, &stored, books).await?;
            found.attended = found.attended.max(attended);
            found.records.push((stored.position, record));
        }
        Ok(found)
    }

    /// Decodes an item. An unreadable item is returned as it is: the follower reports it, and that
    /// counts may be low.
    async fn unpack(
        &self,
        partition: u16,
        stored: &StoredFlush,
        books: &mut NumberTables,
    ) -> StoreResult<(UnixMs, Bytes)> {
        let Position { at, seq: writer } = stored.position;
        let writer = writer as u32;
        let mut read = books.read(writer, at, &stored.bytes);
        if let Err(FlushError::MissingEarlier { begun }) = read {
            self.read_epoch(partition, begun, stored.position, books).await?;
            read = books.read(writer, at, &stored.bytes);
        }
        Ok(match read {
            Ok(flushed) => (flushed.attended, flushed.record.into()),
            Err(error) => {
                tracing::error!(%error, partition, position = %stored.position, "can't decode an item of the log");
                (UnixMs::ZERO, stored.bytes.clone().into())
            }
        })
    }

    /// Reads the items of an epoch from `begun` until `until`, for the numbers that they define.
    async fn read_epoch(
        &self,
        partition: u16,
        begun: UnixMs,
        until: Position,
        books: &mut NumberTables,
    ) -> StoreResult<()> {
        let mut from = Position { at: begun, seq: 0 };
        loop {
            let (stored, is_cut) = self.rows(partition, from, until).await?;
            for stored in stored.iter().filter(|stored| stored.position < until) {
                // Items of other epochs are read as well. Such an epoch may have begun earlier, and
                // its earlier items are read when they are needed.
                let _ = books.read(stored.position.seq as u32, stored.position.at, &stored.bytes);
            }
            match stored.last().filter(|_| is_cut) {
                Some(last) => from = Position { seq: last.position.seq + 1, ..last.position },
                None => return Ok(()),
            }
        }
    }

    /// Reads the items between two positions, both included, and whether there are more.
    ///
    /// This is one call, unless the last item is incomplete.
    async fn rows(
        &self,
        partition: u16,
        from: Position,
        to: Position,
    ) -> StoreResult<(Vec<StoredFlush>, bool)> {
        let (mut stored, mut next) = (Vec::<StoredFlush>::new(), None);
        loop {
            let (rows, end) = self.query(partition, from, to, next).await?;
            for row in rows {
                take_row(&mut stored, row);
            }
            let is_whole = stored.last().is_none_or(|last| last.parts_left == 0);
            match end {
                None => {
                    // The writer failed before the item was complete, or the item is being deleted.
                    stored.retain(|stored| stored.parts_left == 0);
                    return Ok((stored, false));
                }
                Some(_) if is_whole && !stored.is_empty() => return Ok((stored, true)),
                Some(key) => next = Some(key),
            }
        }
    }

    async fn query(
        &self,
        partition: u16,
        from: Position,
        to: Position,
        next: Option<Attributes>,
    ) -> StoreResult<(Vec<Attributes>, Option<Attributes>)> {
        let text = |s: String| AttributeValue::S(s);
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(log_pk(partition)))
            .expression_attribute_values(":first", text(log_sk(from.at, from.seq as u32, 0)))
            .expression_attribute_values(":last", text(log_sk(to.at, to.seq as u32, u32::MAX)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .consistent_read(true)
            .limit(i32::try_from(ROWS_MAX).unwrap_or(i32::MAX))
            .set_exclusive_start_key(next);
        let answer = query.send().await.map_err(|e| self.failed("reading the log in", e))?;
        self.meter.add(Purpose::Log, consumed::read(answer.consumed_capacity()));
        let end = answer.last_evaluated_key.map(|key| {
            let text =
                |name| key.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
            key_attributes(text("pk"), text("sk"))
        });
        Ok((answer.items.unwrap_or_default(), end))
    }
}

/// Adds a row to the items. A further part is appended to the last item.
fn take_row(stored: &mut Vec<StoredFlush>, row: Attributes) {
    let sk = sort_key(&row);
    let row = from_sdk(row);
    let Some((at, writer, part)) = parse_log_sk(&sk) else { return };
    let position = Position { at, seq: u64::from(writer) };
    let bytes = item::bytes(&row, "b").unwrap_or_default();
    match stored.last_mut() {
        _ if part == 0 => {
            let parts_left = item::number_or_zero(&row, "parts");
            stored.push(StoredFlush { position, bytes: bytes.to_vec(), parts_left });
        }
        Some(last) if last.position == position => {
            last.bytes.extend_from_slice(bytes);
            last.parts_left = last.parts_left.saturating_sub(1);
        }
        _ => {}
    }
}
