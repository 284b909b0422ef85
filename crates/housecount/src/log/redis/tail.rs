//! What Redis answers when a partition is read.

use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use redis::Value;

use crate::log::{Origin, Position, Tail};

/// `MS-SEQ`.
pub(super) fn position(id: &[u8]) -> Option<Position> {
    let (at, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    Some(Position { at: UnixMs(at.parse().ok()?), seq: seq.parse().ok()? })
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What look.lua returned, and XREAD after `after`.
///
/// # Errors
/// A text that says what about it can't be.
pub(super) fn parse(
    looked: Vec<Vec<u8>>,
    read: Value,
    after: Position,
    partitions: u16,
) -> Result<Tail, String> {
    let number = |i: usize| looked.get(i).and_then(|v| number(v)).ok_or(format!("reply {i} is no number"));
    let found = number(4)?;
    if found != u64::from(partitions) {
        return Err(format!(
            "it has {found} partitions, and this node was told {partitions}: set ?partitions={found}"
        ));
    }
    let origin = Origin {
        born: UnixMs(number(1)?),
        whole: number(2)? == 1,
        attended: UnixMs(number(3)?),
        committed: UnixMs(number(6)?),
        key: HandleKey(number(7)?),
    };
    let (clock, holds_after) = (UnixMs(number(0)?), number(5)? == 1);
    let records = records(read).ok_or("XREAD answered something else than records")?;
    let last = records.last().map_or(after.at, |(position, _)| position.at);
    let more = records.len() >= READ_RECORDS_MAX;
    Ok(Tail { records, more, holds_after, clock: clock.max(last), origin })
}

/// What XREAD answers of one stream: nothing, or `[[stream, [[id, [field, record]], ...]]]`.
fn records(read: Value) -> Option<Vec<(Position, Bytes)>> {
    if read == Value::Nil {
        return Some(Vec::new());
    }
    let [stream] = array(read)?;
    let [_, entries] = array(stream)?;
    let Value::Array(entries) = entries else { return None };
    entries.into_iter().map(record).collect()
}

fn record(entry: Value) -> Option<(Position, Bytes)> {
    let [Value::BulkString(id), fields] = array(entry)? else { return None };
    let [_, Value::BulkString(record)] = array(fields)? else { return None };
    Some((position(&id)?, Bytes::from(record)))
}

fn array<const N: usize>(value: Value) -> Option<[Value; N]> {
    let Value::Array(values) = value else { return None };
    values.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn looked() -> Vec<Vec<u8>> {
        ["90", "7", "1", "60", "2", "1", "50", "18446744073709551615"].map(|n| n.as_bytes().to_vec()).into()
    }

    const AFTER: Position = Position { at: UnixMs(80), seq: 3 };

    #[test]
    fn records_are_read_as_redis_tells_them() {
        let entry =
            |id: &str, body: &str| Value::Array(vec![text(id), Value::Array(vec![text("r"), text(body)])]);
        let entries = Value::Array(vec![entry("85-0", "one"), entry("95-18446744073709551615", "two")]);
        let read = Value::Array(vec![Value::Array(vec![text("stream"), entries])]);
        let tail = parse(looked(), read, AFTER, 2).unwrap();
        let at = |at, seq| Position { at: UnixMs(at), seq };
        assert_eq!(tail.records, [(at(85, 0), "one".into()), (at(95, u64::MAX), "two".into())]);
        // A record is never later than the clock.
        assert_eq!((tail.clock, tail.holds_after, tail.more), (UnixMs(95), true, false));
        let origin = tail.origin;
        assert_eq!((origin.born, origin.whole, origin.attended), (UnixMs(7), true, UnixMs(60)));
        assert_eq!((origin.committed, origin.key), (UnixMs(50), HandleKey(u64::MAX)));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let tail = parse(looked(), Value::Nil, AFTER, 2).unwrap();
        assert_eq!((tail.records.len(), tail.clock), (0, UnixMs(90)));
        assert!(parse(looked(), Value::Nil, AFTER, 3).unwrap_err().contains("?partitions=2"));
        assert!(parse(looked()[..7].to_vec(), Value::Nil, AFTER, 2).unwrap_err().contains("reply 7"));
        for read in [text("OK"), Value::Array(vec![text("stream")]), Value::Array(vec![])] {
            assert!(parse(looked(), read, AFTER, 2).unwrap_err().contains("XREAD"));
        }
    }
}
