//! Queries and answers of a read of a Redis partition.
//!
//! Data that other programs have left in a partition must not stop it. A foreign entry is read as
//! an empty record. A field of the meta hash that holds no number is read as zero.

use bytes::Bytes;
use housecount_backend::log::{PartitionMeta, Position, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::limits::{CLOCK_AHEAD_MS_MAX, READ_RECORDS_MAX};
use housecount_core::record;
use housecount_core::time::UnixMs;
use redis::{FromRedisValue, ParsingError, Pipeline, ScriptInvocation, Value, from_redis_value};

use super::call::Lua;

/// Field of an entry that holds its record.
pub(super) const RECORD_FIELD: &str = "r";
/// Most digits of a time that Lua's numbers hold exactly. The scripts use the same limit. Times
/// have 13 digits until the year 2286.
const TIME_DIGITS_MAX: usize = 15;

/// Parses the position of an entry id, `MS-SEQ`.
pub(super) fn position(id: &[u8]) -> Option<Position> {
    let (at, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    Some(Position { at: UnixMs(at.parse().ok()?), seq: seq.parse().ok()? })
}

/// Parses a number as housecount writes it: digits only.
fn number(value: &[u8]) -> Option<u64> {
    let is_number = value.iter().all(u8::is_ascii_digit);
    if is_number { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

fn time(value: &[u8]) -> Option<u64> {
    if value.len() <= TIME_DIGITS_MAX { number(value) } else { None }
}

/// Optional parts of a query, besides a partition's clock, metadata and records.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOptions {
    /// Also fetches the record at the position that the read starts after, to see that it exists.
    /// The record may be large: see [`super::lengths`].
    pub(super) with_held: bool,
    /// Also asks whether the server is a replica. A cluster's server reports that by itself.
    pub(super) with_role: bool,
}

/// Builds the query of a partition, whose answers are all of one moment.
///
/// It asks for the clock, the metadata, the number of records, the record at `after` (optional) and
/// the records after it. Plain commands are used, because starting a script costs Redis more than
/// all of them.
pub(super) fn read_pipeline(
    stream: &str,
    meta: &str,
    after: Position,
    asked: ReadOptions,
) -> Pipeline {
    let after = after.to_string();
    let mut moment = redis::pipe();
    moment.ignore_errors().cmd("MULTI");
    // The clock is read first, so that every later append has a position at or after it.
    moment.cmd("TIME");
    moment.cmd("HMGET").arg(meta).arg(&META);
    moment.cmd("XLEN").arg(stream);
    moment.cmd("XREAD").arg("COUNT").arg(READ_RECORDS_MAX).arg("STREAMS").arg(stream).arg(&after);
    if asked.with_held {
        moment.cmd("XRANGE").arg(stream).arg(&after).arg(&after);
    }
    if asked.with_role {
        moment.cmd("ROLE");
    }
    moment.cmd("EXEC");
    moment
}

/// Builds [`read_pipeline`]'s query with `read.lua`, which always returns whether the record
/// exists.
pub(super) fn asked_of<'a>(
    script: &'a Lua,
    stream: &str,
    meta: &str,
    after: Position,
) -> ScriptInvocation<'a> {
    let mut call = script.prepare();
    call.key(stream).key(meta).arg(after.to_string()).arg(READ_RECORDS_MAX);
    META.iter().for_each(|name| {
        call.arg(*name);
    });
    call
}

/// Fields of a partition's meta hash.
pub(super) const META: [&str; 6] = ["born", "whole", "attended", "partitions", "committed", "key"];
/// Fields that every created partition has, as indexes of [`META`].
const NEEDED: [usize; 3] = [0, 3, 5];

/// Seconds and microseconds, the values of [`META`], the number of records, and the records.
type PartitionReply = ((u64, u64), [Option<Vec<u8>>; 6], u64, Value);
/// Number of answers that every query gets: those of [`PartitionReply`].
const ANSWERS_ALWAYS: usize = 4;

/// State of a partition at one moment.
pub(super) struct ReadReply {
    reply: PartitionReply,
    /// Whether the record that the read starts after exists; `None` if the query didn't ask.
    pub(super) held: Option<bool>,
    /// Whether the server is a replica. A replica may lack records that its master has.
    pub(super) is_replica: bool,
}

impl ReadReply {
    /// Bytes of the partition's metadata.
    pub(super) fn past_bytes(&self) -> usize {
        self.reply.1.iter().flatten().map(Vec::len).sum()
    }

    /// Number of the partition's records.
    pub(super) fn length(&self) -> u64 {
        self.reply.2
    }
}

impl FromRedisValue for ReadReply {
    fn from_redis_value(value: Value) -> Result<ReadReply, ParsingError> {
        let mut answers: Vec<Value> = from_redis_value(value)?;
        let (mut held, mut is_replica) = (None, false);
        for besides in answers.split_off(ANSWERS_ALWAYS.min(answers.len())) {
            let Value::Array(besides) = besides else { continue };
            // The answer to ROLE begins with a name, a record with an array.
            match besides.first() {
                Some(Value::BulkString(_)) => is_replica = is_role_of_replica(&besides),
                first => held = Some(first.is_some()),
            }
        }
        Ok(ReadReply { reply: from_redis_value(Value::Array(answers))?, held, is_replica })
    }
}

/// Whether an answer to ROLE is that of a replica.
pub(super) fn is_role_of_replica(role: &[Value]) -> bool {
    let Some(Value::BulkString(name)) = role.first() else { return false };
    [&b"slave"[..], b"replica"].contains(&name.as_slice())
}

/// State of a partition, as an answer shows it.
#[derive(Debug)]
pub(super) enum PartitionPoll {
    /// The partition's records after the position.
    Tail(ReadResult),
    /// The partition has not been created: it lacks metadata or its key. Or a field holds something
    /// else than a number; then the field and its value are listed here.
    Unbegun(Vec<(&'static str, Vec<u8>)>),
    /// The partition has an entry here that is further ahead of Redis's clock than any append.
    ///
    /// Either the entry is foreign, or it was appended after a foreign entry that has been deleted
    /// since. All later appends would get positions after it.
    Ahead(Position),
}

/// Parses the answer.
///
/// `start_exists`: whether the record that the read starts after exists. `has_key`: whether the
/// caller has a key for a partition without one. `known`: this node's estimate of the log's time,
/// or zero before its first read.
///
/// # Errors
/// Returns a text that says which part of the answer is invalid.
pub(super) fn parse(
    answer: ReadReply,
    after: Position,
    start_exists: bool,
    partitions: u16,
    has_key: bool,
    known: UnixMs,
) -> Result<PartitionPoll, String> {
    let ((seconds, microseconds), meta, _, read) = answer.reply;
    // Zero is invalid for each of these as well.
    let needed = |i: usize| meta[i].as_deref().and_then(number).filter(|n| *n > 0);
    let is_needed = |i: &usize| *i != 5 || has_key;
    let (Some(born), Some(found), Some(key)) =
        (needed(0), needed(3), if has_key { needed(5) } else { Some(needed(5).unwrap_or(0)) })
    else {
        let odd = NEEDED.into_iter().filter(|i| is_needed(i) && needed(*i).is_none());
        return Ok(PartitionPoll::Unbegun(
            odd.filter_map(|i| Some((META[i], meta[i].clone()?))).collect(),
        ));
    };
    if found != u64::from(partitions) {
        return Err(format!(
            "it has {found} partitions, but this node is configured with {partitions}; set ?partitions={found}"
        ));
    }
    // The next update of such a field overwrites a value that isn't a number.
    let noted = |i: usize| meta[i].as_deref().and_then(time).unwrap_or(0);
    let origin = PartitionMeta {
        created_at: UnixMs(born),
        is_complete: noted(1) == 1,
        last_tended_at: UnixMs(noted(2)),
        committed: UnixMs(noted(4)),
        key: HandleKey(key),
    };
    let records = records(read).ok_or("XREAD returned something other than records")?;
    let clock = UnixMs(seconds.saturating_mul(1_000).saturating_add(microseconds / 1_000));
    let latest = clock.plus(CLOCK_AHEAD_MS_MAX);
    // If Redis's clock was set back, housecount's own entries are ahead of it, but not ahead of the
    // time that this node has read before.
    let is_leap =
        |at: UnixMs| known != UnixMs::ZERO && at > clock.max(known).plus(CLOCK_AHEAD_MS_MAX);
    let is_ahead = |(at, body): &&(Position, Bytes)| {
        at.at > latest && (is_leap(at.at) || record::decode(body).is_err())
    };
    if let Some((at, _)) = records.iter().find(is_ahead) {
        return Ok(PartitionPoll::Ahead(*at));
    }
    let last = records.last().map_or(after.at, |(position, _)| position.at);
    let more = records.len() >= READ_RECORDS_MAX;
    Ok(PartitionPoll::Tail(ReadResult {
        records,
        more,
        start_exists,
        clock: clock.max(last),
        origin,
    }))
}

/// Parses the answer of XREAD about one stream: nothing, or
/// `[[stream, [[id, [field, value, ...]], ...]]]`.
fn records(read: Value) -> Option<Vec<(Position, Bytes)>> {
    if read == Value::Nil {
        return Some(Vec::new());
    }
    let [stream] = array(read)?;
    let [_, entries] = array(stream)?;
    let Value::Array(entries) = entries else { return None };
    entries.into_iter().map(entry).collect()
}

/// Parses an entry as a record. An entry that isn't one field `r` is an empty record, which can't
/// be decoded.
fn entry(entry: Value) -> Option<(Position, Bytes)> {
    let [Value::BulkString(id), fields] = array(entry)? else { return None };
    Some((position(&id)?, record_in(fields).unwrap_or_default()))
}

fn record_in(fields: Value) -> Option<Bytes> {
    match array(fields)? {
        [Value::BulkString(name), Value::BulkString(record)] if name == RECORD_FIELD.as_bytes() => {
            Some(Bytes::from(record))
        }
        _ => None,
    }
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

    fn answer(meta: [&str; 6], read: Value) -> ReadReply {
        let meta = meta.map(|n| Some(n.as_bytes().to_vec()).filter(|n| !n.is_empty()));
        ReadReply { reply: ((0, 90_999), meta, 1, read), held: Some(true), is_replica: false }
    }

    const VALUES: [&str; 6] = ["7", "1", "60", "2", "50", "18446744073709551615"];

    fn parse_plain(meta: [&str; 6], read: Value, partitions: u16) -> Result<PartitionPoll, String> {
        parse(answer(meta, read), AFTER, true, partitions, true, UnixMs::ZERO)
    }

    fn tail(found: Result<PartitionPoll, String>) -> ReadResult {
        match found {
            Ok(PartitionPoll::Tail(tail)) => tail,
            other => panic!("{other:?}"),
        }
    }

    fn entries(entries: &[(&str, &[&str])]) -> Value {
        let entry = |(id, fields): &(&str, &[&str])| {
            Value::Array(vec![
                text(id),
                Value::Array(fields.iter().map(|field| text(field)).collect()),
            ])
        };
        let entries = Value::Array(entries.iter().map(entry).collect());
        Value::Array(vec![Value::Array(vec![text("stream"), entries])])
    }

    fn at(at: u64, seq: u64) -> Position {
        Position { at: UnixMs(at), seq }
    }

    #[test]
    fn records_are_read_as_redis_tells_them() {
        let read = entries(&[("85-0", &["r", "one"]), ("95-18446744073709551615", &["r", "two"])]);
        let tail = tail(parse_plain(VALUES, read, 2));
        assert_eq!(tail.records, [(at(85, 0), "one".into()), (at(95, u64::MAX), "two".into())]);
        // The clock is never earlier than the last record.
        assert_eq!((tail.clock, tail.start_exists, tail.more), (UnixMs(95), true, false));
        let origin = tail.origin;
        assert_eq!(
            (origin.created_at, origin.is_complete, origin.last_tended_at),
            (UnixMs(7), true, UnixMs(60))
        );
        assert_eq!((origin.committed, origin.key), (UnixMs(50), HandleKey(u64::MAX)));
    }

    #[test]
    fn an_entry_that_is_not_ours_is_an_empty_record_at_its_place() {
        let odd: [&[&str]; 5] =
            [&["a", "1", "b", "2"], &["a", "1"], &["R", "1"], &["r", "1", "r", "2"], &[]];
        for fields in odd {
            let read =
                entries(&[("85-0", &["r", "one"]), ("86-0", fields), ("87-0", &["r", "two"])]);
            let tail = tail(parse_plain(VALUES, read, 2));
            let empty = Bytes::new();
            assert_eq!(
                tail.records,
                [(at(85, 0), "one".into()), (at(86, 0), empty), (at(87, 0), "two".into())]
            );
        }
    }

    #[test]
    fn clock_ahead_ms_max_bounds_the_id_of_an_entry_that_is_not_ours() {
        let last = 90 + CLOCK_AHEAD_MS_MAX;
        let odd = |at: u64| {
            let id = format!("{at}-7");
            parse_plain(VALUES, entries(&[("85-0", &["r", "one"]), (&id, &["a", "1"])]), 2)
        };
        assert_eq!(tail(odd(last)).records.len(), 2);
        assert!(
            matches!(odd(last + 1), Ok(PartitionPoll::Ahead(ahead)) if ahead == at(last + 1, 7))
        );
        assert!(matches!(odd(u64::MAX), Ok(PartitionPoll::Ahead(_))));
    }

    /// An append gets an id after that of a foreign entry that was deleted since.
    #[test]
    fn clock_ahead_ms_max_bounds_the_leap_of_an_entry_that_is_ours() {
        let found = |at: u64, known: u64| {
            let fields = Value::Array(vec![text("r"), Value::BulkString(record::encode(&[]))]);
            let entry = Value::Array(vec![text(&format!("{at}-1")), fields]);
            let read =
                Value::Array(vec![Value::Array(vec![text("stream"), Value::Array(vec![entry])])]);
            parse(answer(VALUES, read), AFTER, true, 2, true, UnixMs(known)).unwrap()
        };
        let is_ahead = |found| matches!(found, PartitionPoll::Ahead(_));
        let last = 90 + CLOCK_AHEAD_MS_MAX;
        assert!(!is_ahead(found(last, 90)) && is_ahead(found(last + 1, 90)));
        // Redis's clock was set back since, or no earlier time is known.
        assert!(!is_ahead(found(last + 1, 91)) && !is_ahead(found(u64::MAX, 0)));
    }

    /// Not every query asks for both, and the script never asks for the role.
    #[test]
    fn record_and_role_are_distinguished() {
        let clock = Value::Array(vec![text("0"), text("1")]);
        let moment = [clock, Value::Array(vec![Value::Nil; 6]), Value::Int(7), Value::Nil];
        let answer = |besides: &[&Value]| {
            let answers = moment.iter().chain(besides.iter().copied()).cloned().collect();
            let answer = ReadReply::from_redis_value(Value::Array(answers)).unwrap();
            assert_eq!(answer.length(), 7);
            (answer.held, answer.is_replica)
        };
        let role = |name: &str| Value::Array(vec![text(name), text("h"), Value::Int(6_379)]);
        let fields = Value::Array(vec![text("r"), text("x")]);
        let record = Value::Array(vec![Value::Array(vec![text("80-3"), fields])]);
        let (gone, master) = (Value::Array(vec![]), role("master"));
        assert_eq!(answer(&[]), (None, false));
        assert_eq!(answer(&[&record]), (Some(true), false));
        assert_eq!(answer(&[&gone]), (Some(false), false));
        assert_eq!(answer(&[&master]), (None, false));
        for replica in [role("slave"), role("replica")] {
            assert_eq!(answer(&[&replica]), (None, true));
            assert_eq!(answer(&[&record, &replica]), (Some(true), true));
            assert_eq!(answer(&[&gone, &replica]), (Some(false), true));
        }
        assert_eq!(answer(&[&record, &master]), (Some(true), false));
    }

    #[test]
    fn a_partition_begins_with_its_birth_and_its_key() {
        let odd_of = |meta, has_key| match parse(
            answer(meta, Value::Nil),
            AFTER,
            true,
            2,
            has_key,
            UnixMs::ZERO,
        )
        .unwrap()
        {
            PartitionPoll::Unbegun(odd) => odd,
            other => panic!("{other:?}"),
        };
        let read = |meta, has_key| {
            tail(parse(answer(meta, Value::Nil), AFTER, true, 2, has_key, UnixMs::ZERO))
        };
        assert_eq!(read(VALUES, true).clock, UnixMs(90));
        let [born, whole, attended, partitions, committed, _] = VALUES;
        assert_eq!(odd_of(["", whole, attended, partitions, committed, "1"], true), []);
        assert_eq!(odd_of([born, whole, attended, partitions, committed, ""], true), []);
        assert_eq!(odd_of([born, whole, attended, "", committed, "1"], true), []);
        let old = read([born, "", "", partitions, "", ""], false).origin;
        assert_eq!(
            (old.is_complete, old.last_tended_at, old.committed),
            (false, UnixMs(0), UnixMs(0))
        );
        assert_eq!(old.key, HandleKey(0));
    }

    #[test]
    fn a_field_that_is_no_number_counts_as_none() {
        for odd in ["x", "-1", "+1", "1.5", " 1", "0x10", "nan", "99999999999999999999999"] {
            let [born, _, _, partitions, _, key] = VALUES;
            let origin =
                tail(parse_plain([born, odd, odd, partitions, odd, key], Value::Nil, 2)).origin;
            assert_eq!(
                (origin.is_complete, origin.last_tended_at, origin.committed),
                (false, UnixMs(0), UnixMs(0))
            );
            match parse_plain([odd, "1", "60", odd, "50", odd], Value::Nil, 2).unwrap() {
                PartitionPoll::Unbegun(fields) => {
                    assert_eq!(
                        fields,
                        ["born", "partitions", "key"].map(|name| (name, odd.as_bytes().to_vec()))
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        // Zero is a number, but counts as missing.
        assert!(matches!(
            parse_plain(["0", "1", "1", "2", "1", "1"], Value::Nil, 2),
            Ok(PartitionPoll::Unbegun(_))
        ));
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert!(parse_plain(VALUES, Value::Nil, 3).unwrap_err().contains("?partitions=2"));
        for read in [text("OK"), Value::Array(vec![text("stream")]), Value::Array(vec![])] {
            assert!(parse_plain(VALUES, read, 2).unwrap_err().contains("XREAD"));
        }
    }
}
