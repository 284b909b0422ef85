//! What Redis is asked, and what it answers, when a partition is read.

use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use redis::{Pipeline, Value};

use crate::log::{Origin, Position, Tail};

/// `MS-SEQ`.
pub(super) fn position(id: &[u8]) -> Option<Position> {
    let (at, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    Some(Position { at: UnixMs(at.parse().ok()?), seq: seq.parse().ok()? })
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What is asked of a partition, all at one moment: its clock, its past, whether the record at `after` is there, and those after it. It is
/// asked of plain commands: to start a script costs Redis more than all of these.
pub(super) fn question(stream: &str, meta: &str, after: Position) -> Pipeline {
    let after = after.to_string();
    let mut moment = redis::pipe();
    // The clock first: whatever is appended later has a position that isn't before it.
    moment.atomic().cmd("TIME");
    moment.cmd("HMGET").arg(meta).arg(&META);
    moment.cmd("XRANGE").arg(stream).arg(&after).arg(&after);
    moment.cmd("XREAD").arg("COUNT").arg(READ_RECORDS_MAX).arg("STREAMS").arg(stream).arg(&after);
    moment
}

/// A partition's meta hash.
const META: [&str; 6] = ["born", "whole", "attended", "partitions", "committed", "key"];

/// What is answered: seconds and microseconds, [`META`]'s values, at most one record, and records.
pub(super) type Answer = ((u64, u64), [Option<Vec<u8>>; 6], Vec<Value>, Value);

/// The answer. None if the partition has yet to begin: it has no past, or no key though `has_key` says that there is one for it.
///
/// # Errors
/// A text that says what about it can't be.
pub(super) fn parse(
    answer: Answer,
    after: Position,
    partitions: u16,
    has_key: bool,
) -> Result<Option<Tail>, String> {
    let ((seconds, microseconds), meta, held, read) = answer;
    let number = |i: usize| match &meta[i] {
        Some(value) => number(value).ok_or(format!("its `{}` is no number", META[i])),
        None => Ok(0),
    };
    let (is_begun, lacks_key) = (meta[0].is_some(), has_key && meta[5].is_none());
    if !is_begun || lacks_key {
        return Ok(None);
    }
    let found = number(3)?;
    if meta[3].is_some() && found != u64::from(partitions) {
        return Err(format!(
            "it has {found} partitions, and this node was told {partitions}: set ?partitions={found}"
        ));
    }
    let origin = Origin {
        born: UnixMs(number(0)?),
        whole: number(1)? == 1,
        attended: UnixMs(number(2)?),
        committed: UnixMs(number(4)?),
        key: HandleKey(number(5)?),
    };
    let records = records(read).ok_or("XREAD answered something else than records")?;
    let clock = UnixMs(seconds.saturating_mul(1_000).saturating_add(microseconds / 1_000));
    let last = records.last().map_or(after.at, |(position, _)| position.at);
    let more = records.len() >= READ_RECORDS_MAX;
    Ok(Some(Tail { records, more, holds_after: held.len() == 1, clock: clock.max(last), origin }))
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

    const AFTER: Position = Position { at: UnixMs(80), seq: 3 };

    fn answer(meta: [&str; 6], read: Value) -> Answer {
        let meta = meta.map(|n| Some(n.as_bytes().to_vec()).filter(|n| !n.is_empty()));
        ((0, 90_999), meta, vec![Value::Nil], read)
    }

    const VALUES: [&str; 6] = ["7", "1", "60", "2", "50", "18446744073709551615"];

    fn parse_plain(meta: [&str; 6], read: Value, partitions: u16) -> Result<Option<Tail>, String> {
        parse(answer(meta, read), AFTER, partitions, true)
    }

    #[test]
    fn records_are_read_as_redis_tells_them() {
        let entry =
            |id: &str, body: &str| Value::Array(vec![text(id), Value::Array(vec![text("r"), text(body)])]);
        let entries = Value::Array(vec![entry("85-0", "one"), entry("95-18446744073709551615", "two")]);
        let read = Value::Array(vec![Value::Array(vec![text("stream"), entries])]);
        let tail = parse_plain(VALUES, read, 2).unwrap().unwrap();
        let at = |at, seq| Position { at: UnixMs(at), seq };
        assert_eq!(tail.records, [(at(85, 0), "one".into()), (at(95, u64::MAX), "two".into())]);
        // A record is never later than the clock.
        assert_eq!((tail.clock, tail.holds_after, tail.more), (UnixMs(95), true, false));
        let origin = tail.origin;
        assert_eq!((origin.born, origin.whole, origin.attended), (UnixMs(7), true, UnixMs(60)));
        assert_eq!((origin.committed, origin.key), (UnixMs(50), HandleKey(u64::MAX)));
    }

    #[test]
    fn a_partition_begins_with_its_birth_and_its_key() {
        let read = |meta, has_key| parse(answer(meta, Value::Nil), AFTER, 2, has_key).unwrap();
        assert_eq!(read(VALUES, true).unwrap().clock, UnixMs(90));
        let [born, whole, attended, partitions, committed, _] = VALUES;
        assert!(read(["", whole, attended, partitions, committed, "1"], true).is_none());
        assert!(read([born, whole, attended, partitions, committed, ""], true).is_none());
        let old = read([born, "", "", partitions, "", ""], false).unwrap().origin;
        assert_eq!((old.whole, old.attended, old.committed), (false, UnixMs(0), UnixMs(0)));
        assert_eq!(old.key, HandleKey(0));
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert!(parse_plain(VALUES, Value::Nil, 3).unwrap_err().contains("?partitions=2"));
        let odd = ["7", "1", "x", "2", "50", "1"];
        assert!(parse_plain(odd, Value::Nil, 2).unwrap_err().contains("`attended`"));
        for read in [text("OK"), Value::Array(vec![text("stream")]), Value::Array(vec![])] {
            assert!(parse_plain(VALUES, read, 2).unwrap_err().contains("XREAD"));
        }
    }
}
