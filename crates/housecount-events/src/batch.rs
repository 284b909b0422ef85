//! Bytes of a batch of events.
//!
//! Version 1, in the attribute `events`:
//! ```text
//! u8      version = 1
//! varint  number of the first event
//! varint  time up to which all samples are evaluated, and their events in this batch or before, ms
//! varint  number of events; then for each:
//!   u8      kind: 0 opened, 1 emptied, 2 above a threshold, 3 below it, 4 drop, 5 incomplete,
//!           6 incomplete and recovering, 7 complete, 8 budget
//!   varint  time, ms
//!   text    stage, of kinds 0 to 4
//!   varint viewers, varint sessions, of all kinds but 5 and 6
//!   varint  threshold, of kinds 2 and 3
//!   varint viewers before, varint time of the event - last time with them, of kind 4
//!   varint millionths of a dollar of a month, varint the limit, of kind 8
//! u32 LE  CRC-32 (IEEE) of all before
//! ```

use std::sync::Arc;

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint, seal};
use housecount_core::fold::Count;
use housecount_core::limits::{EVENT_BATCH_EVENTS_MAX, STAGE_ID_BYTES_MAX};
use housecount_core::time::UnixMs;

use crate::event::{AudienceChange, AudienceEvent, BudgetExcess};

/// Version that this program writes, and the only one so far.
const VERSION: u8 = 1;
/// Largest number of a kind.
const KIND_MAX: u8 = 8;

/// Events that are stored as one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// Number of the first event.
    pub first: u64,
    /// Time up to which all samples are evaluated, and their events in this batch or before.
    pub to: UnixMs,
    /// The events, in the order of their numbers.
    pub events: Vec<AudienceEvent>,
}

impl EventBatch {
    /// Splits events of one sample into batches of at most [`EVENT_BATCH_EVENTS_MAX`]. `to` is the
    /// time of the sample.
    ///
    /// A batch before the last one says that the sample is not evaluated yet. So a node that takes
    /// over evaluates its own sample of that time.
    #[must_use]
    pub fn split(events: &[AudienceEvent], to: UnixMs) -> Vec<EventBatch> {
        let batches = events.chunks(EVENT_BATCH_EVENTS_MAX);
        let last = batches.len().saturating_sub(1);
        let batch = |(n, events): (usize, &[AudienceEvent])| EventBatch {
            first: events.first().map_or(0, |first| first.seq),
            to: if n == last { to } else { to.minus(1) },
            events: events.to_vec(),
        };
        batches.enumerate().map(batch).collect()
    }

    /// Number of the event after the last one.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Encodes the batch.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.first);
        put_varint(&mut out, self.to.0);
        put_varint(&mut out, self.events.len() as u64);
        self.events.iter().for_each(|event| put_event(&mut out, event));
        seal(&mut out);
        out
    }

    /// Decodes a batch.
    ///
    /// # Errors
    /// Returns the `DecodeError` of damaged bytes, or of those of a later version.
    pub fn decode(bytes: &[u8]) -> Result<EventBatch, DecodeError> {
        let mut reader = ByteReader::open(bytes, VERSION)?;
        let (first, to, events) = (reader.varint()?, UnixMs(reader.varint()?), reader.varint()?);
        if events > EVENT_BATCH_EVENTS_MAX as u64 {
            return Err(DecodeError::Invalid { what: "the number of events", at: reader.at() });
        }
        // The event after the last one has a number too.
        let Some(next) = first.checked_add(events) else {
            return Err(DecodeError::Invalid { what: "the number of an event", at: 1 });
        };
        let events =
            (first..next).map(|seq| read_event(&mut reader, seq)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(EventBatch { first, to, events })
    }
}

fn put_event(out: &mut Vec<u8>, event: &AudienceEvent) {
    let kind = match &event.change {
        AudienceChange::Opened(_) => 0,
        AudienceChange::Emptied(_) => 1,
        AudienceChange::Threshold { is_up: true, .. } => 2,
        AudienceChange::Threshold { is_up: false, .. } => 3,
        AudienceChange::Drop { .. } => 4,
        AudienceChange::CountIncomplete { is_recovering: false } => 5,
        AudienceChange::CountIncomplete { is_recovering: true } => 6,
        AudienceChange::CountComplete => 7,
        AudienceChange::BudgetExceeded(_) => 8,
    };
    out.push(kind);
    put_varint(out, event.at.0);
    if let Some(stage) = event.stage() {
        put_text(out, stage);
    }
    if let Some(count) = event.count {
        put_varint(out, count.viewers);
        put_varint(out, count.sessions);
    }
    match &event.change {
        AudienceChange::Threshold { threshold, .. } => put_varint(out, *threshold),
        AudienceChange::Drop { peak, peak_at, .. } => {
            put_varint(out, *peak);
            put_varint(out, event.at.since(*peak_at));
        }
        AudienceChange::BudgetExceeded(excess) => {
            put_varint(out, excess.month_micro_usd);
            put_varint(out, excess.limit_micro_usd);
        }
        _ => {}
    }
}

fn read_event(reader: &mut ByteReader<'_>, seq: u64) -> Result<AudienceEvent, DecodeError> {
    let kind_at = reader.at();
    let kind = reader.byte()?;
    if kind > KIND_MAX {
        return Err(DecodeError::Invalid { what: "the kind of an event", at: kind_at });
    }
    let at = UnixMs(reader.varint()?);
    let stage: Arc<str> = match kind {
        0..=4 => reader.text("a stage", STAGE_ID_BYTES_MAX)?.into(),
        _ => "".into(),
    };
    let count = match kind {
        5 | 6 => None,
        _ => Some(Count { viewers: reader.varint()?, sessions: reader.varint()? }),
    };
    let change = match kind {
        0 => AudienceChange::Opened(stage),
        1 => AudienceChange::Emptied(stage),
        2 | 3 => AudienceChange::Threshold { stage, threshold: reader.varint()?, is_up: kind == 2 },
        4 => {
            let (peak, before_ms) = (reader.varint()?, reader.varint()?);
            AudienceChange::Drop { stage, peak, peak_at: at.minus(before_ms) }
        }
        5 | 6 => AudienceChange::CountIncomplete { is_recovering: kind == 6 },
        7 => AudienceChange::CountComplete,
        _ => AudienceChange::BudgetExceeded(BudgetExcess {
            month_micro_usd: reader.varint()?,
            limit_micro_usd: reader.varint()?,
        }),
    };
    Ok(AudienceEvent { seq, at, change, count })
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const AT: UnixMs = UnixMs(1_790_000_000_000);

    fn all_kinds() -> Vec<AudienceEvent> {
        let count = Count { viewers: 120, sessions: 300 };
        let stage = || Arc::from("s/1");
        let excess = BudgetExcess { month_micro_usd: 12_000_000, limit_micro_usd: 10_000_000 };
        let changes = [
            (AudienceChange::Opened(stage()), Some(count)),
            (
                AudienceChange::Threshold { stage: stage(), threshold: 100, is_up: true },
                Some(count),
            ),
            (
                AudienceChange::Threshold { stage: stage(), threshold: 100, is_up: false },
                Some(count),
            ),
            (
                AudienceChange::Drop { stage: stage(), peak: 500, peak_at: AT.minus(3_000) },
                Some(count),
            ),
            (AudienceChange::Emptied(stage()), Some(Count::default())),
            (AudienceChange::CountIncomplete { is_recovering: false }, None),
            (AudienceChange::CountIncomplete { is_recovering: true }, None),
            (AudienceChange::CountComplete, Some(count)),
            (AudienceChange::BudgetExceeded(excess), Some(count)),
        ];
        let event = |(seq, (change, count))| AudienceEvent { seq, at: AT, change, count };
        (42..).zip(changes).map(event).collect()
    }

    #[test]
    fn batches_of_version_1_are_frozen() {
        let batch = EventBatch { first: 42, to: AT, events: all_kinds() };
        let bytes = batch.encode();
        assert_eq!(EventBatch::decode(&bytes), Ok(batch));
        assert_eq!(HEXLOWER.encode(&bytes), FROZEN);
    }

    const FROZEN: &str = concat!(
        "012a80d8c1a28c3409",
        "0080d8c1a28c3403732f3178ac02",
        "0280d8c1a28c3403732f3178ac0264",
        "0380d8c1a28c3403732f3178ac0264",
        "0480d8c1a28c3403732f3178ac02f403b817",
        "0180d8c1a28c3403732f310000",
        "0580d8c1a28c34",
        "0680d8c1a28c34",
        "0780d8c1a28c3478ac02",
        "0880d8c1a28c3478ac0280b6dc0580ade204",
        "3db1b8cf",
    );

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = EventBatch { first: 42, to: AT, events: all_kinds() }.encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(EventBatch::decode(&damaged).is_err(), "byte {at}");
            assert!(EventBatch::decode(&bytes[..at]).is_err(), "{at} bytes");
        }
        let mut unknown = vec![VERSION, 1, 1, 1, 9, 0];
        seal(&mut unknown);
        assert!(matches!(EventBatch::decode(&unknown), Err(DecodeError::Invalid { at: 4, .. })));
    }

    #[test]
    fn the_event_after_the_last_one_has_a_number() {
        let change = || AudienceChange::CountIncomplete { is_recovering: false };
        let batch = |seq| {
            let events = vec![AudienceEvent { seq, at: AT, change: change(), count: None }];
            EventBatch { first: seq, to: AT, events }
        };
        let last = batch(u64::MAX - 1);
        assert_eq!((last.next(), EventBatch::decode(&last.encode())), (u64::MAX, Ok(last)));
        let error = EventBatch::decode(&batch(u64::MAX).encode());
        assert!(matches!(error, Err(DecodeError::Invalid { at: 1, .. })), "{error:?}");
    }

    #[test]
    fn event_batch_events_max_splits_a_sample() {
        let opened = |seq| {
            let stage = format!("{seq:0>width$}", width = STAGE_ID_BYTES_MAX).into();
            let count = Some(Count { viewers: u64::MAX, sessions: u64::MAX });
            AudienceEvent { seq, at: AT, change: AudienceChange::Opened(stage), count }
        };
        let events: Vec<AudienceEvent> =
            (0..2 * EVENT_BATCH_EVENTS_MAX as u64 + 1).map(|n| opened(7 + n)).collect();
        let batches = EventBatch::split(&events, AT);
        let ends: Vec<(u64, u64, UnixMs)> =
            batches.iter().map(|batch| (batch.first, batch.next(), batch.to)).collect();
        let before = AT.minus(1);
        assert_eq!(ends, [(7, 507, before), (507, 1_007, before), (1_007, 1_008, AT)]);
        for batch in batches {
            let bytes = batch.encode();
            assert!(bytes.len() < housecount_core::limits::ITEM_BYTES_MAX, "{}", bytes.len());
            assert_eq!(EventBatch::decode(&bytes), Ok(batch));
        }
        let mut too_many = vec![VERSION, 1, 1];
        put_varint(&mut too_many, EVENT_BATCH_EVENTS_MAX as u64 + 1);
        seal(&mut too_many);
        assert!(EventBatch::decode(&too_many).is_err());
    }
}
