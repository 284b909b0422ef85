//! A poll of all partitions in one transaction, while a node follows a log on one server.
//!
//! It saves a transaction of seven commands for each further partition and poll. Only partitions
//! whose length is known are read so ([`super::lengths`]). A partition with any other answer than
//! its new records is left to a read of its own, which checks and repairs it.

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_backend::clock::mono_ms;
use housecount_backend::log::{Position, ReadPlace, ReadResult};
use housecount_core::keys::{redis_meta, redis_stream};
use housecount_core::limits::READ_RECORDS_MAX;
use redis::{FromRedisValue, ParsingError, Pipeline, Value};

use super::RedisLog;
use super::call::RedisCommand;
use super::read::{self, META, PartitionPoll, ReadReply, is_role_of_replica};

/// Time after a failure in which partitions are read one by one. The server may refuse the
/// transaction, or a read of all may be too large for one call.
const AFTER_FAILURE_MS: u64 = 10_000;

/// When partitions may be read together again, on this node's own clock.
#[derive(Debug, Default)]
pub(super) struct TogetherPause(AtomicU64);

impl TogetherPause {
    fn is_over(&self) -> bool {
        mono_ms() >= self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.0.store(mono_ms() + AFTER_FAILURE_MS, Ordering::Relaxed);
    }
}

impl RedisLog {
    /// Reads all partitions; see [`Log::read_together`](housecount_backend::log::Log).
    pub(super) async fn poll_together(&self, places: &[ReadPlace]) -> Vec<Option<ReadResult>> {
        let moves = self.link.moves();
        if self.link.is_cluster() || !self.together.is_over() {
            return Vec::new();
        }
        let lengths: Option<Vec<u64>> = (0..)
            .zip(places)
            .map(|(partition, place)| self.lengths.get(partition, place.after, moves))
            .collect();
        let Some(lengths) = lengths else { return Vec::new() };
        let Some(found) = self.ask_together(places).await else {
            self.together.begin();
            return Vec::new();
        };
        let mut results = Vec::with_capacity(places.len());
        for ((partition, place), (answer, length)) in
            (0..).zip(places).zip(found.into_iter().zip(lengths))
        {
            let length_now = answer.length();
            let parsed = read::parse(
                answer,
                place.after,
                true,
                self.partitions,
                place.key.0 != 0,
                self.known_clock(),
            );
            let tail = match parsed {
                Ok(PartitionPoll::Tail(tail))
                    if self.is_kept(partition, &tail, length, length_now, moves) =>
                {
                    self.note_read(&tail);
                    Some(tail)
                }
                _ => {
                    self.lengths.forget(partition);
                    None
                }
            };
            results.push(tail);
        }
        results
    }

    /// Asks for all partitions. `None` if that fails: the reads of each say why.
    async fn ask_together(&self, places: &[ReadPlace]) -> Option<Vec<ReadReply>> {
        let named = |(partition, place): (u16, &ReadPlace)| -> (String, String, Position) {
            (
                redis_stream(&self.prefix, partition),
                redis_meta(&self.prefix, partition),
                place.after,
            )
        };
        let reads: Vec<_> = (0..).zip(places).map(named).collect();
        let pipeline = read_together_pipeline(&reads);
        let answers: Vec<Value> =
            self.run("reading", &RedisCommand::Transaction(&pipeline)).await.ok()?;
        let streams: Vec<&str> = reads.iter().map(|(stream, ..)| stream.as_str()).collect();
        let reply = ReadTogetherReply::parse(answers, &streams).ok()?;
        if reply.is_replica || reply.partitions.len() != places.len() {
            return None;
        }
        let bytes: usize = reply.partitions.iter().map(ReadReply::past_bytes).sum();
        self.counter.received(bytes as u64);
        Some(reply.partitions)
    }
}

/// Builds the query of all partitions, whose answers are all of one moment.
///
/// It asks for the clock, each partition's metadata and number of records, all records after the
/// positions, and the server's role. `reads` has a stream, a meta hash and a position each.
fn read_together_pipeline(reads: &[(String, String, Position)]) -> Pipeline {
    let mut moment = redis::pipe();
    moment.ignore_errors().cmd("MULTI");
    moment.cmd("TIME");
    for (stream, meta, _) in reads {
        moment.cmd("HMGET").arg(meta).arg(&META);
        moment.cmd("XLEN").arg(stream);
    }
    moment.cmd("XREAD").arg("COUNT").arg(READ_RECORDS_MAX).arg("STREAMS");
    reads.iter().for_each(|(stream, ..)| {
        moment.arg(stream);
    });
    reads.iter().for_each(|(.., after)| {
        moment.arg(after.to_string());
    });
    moment.cmd("ROLE");
    moment.cmd("EXEC");
    moment
}

/// State of all partitions at one moment.
struct ReadTogetherReply {
    /// Answers about each partition, in the order of the query.
    partitions: Vec<ReadReply>,
    /// Whether the server is a replica.
    is_replica: bool,
}

impl ReadTogetherReply {
    /// Parses the answer to [`read_together_pipeline`]. `streams` has the names of its streams, in
    /// their order.
    fn parse(answers: Vec<Value>, streams: &[&str]) -> Result<ReadTogetherReply, ParsingError> {
        let mut answers = answers.into_iter();
        let clock = answers.next().unwrap_or(Value::Nil);
        let mut heads: Vec<[Value; 2]> = Vec::with_capacity(streams.len());
        for _ in streams {
            heads.extend(answers.next().zip(answers.next()).map(<[Value; 2]>::from));
        }
        let (read, role) = (answers.next().unwrap_or(Value::Nil), answers.next());
        let mut by_stream = match read {
            Value::Array(read) => read,
            _ => Vec::new(),
        };
        // XREAD leaves out streams without new records.
        let mut records_of = |stream: &str| {
            let place = by_stream.iter().position(|found| name_of(found) == stream.as_bytes());
            place.map_or(Value::Nil, |place| Value::Array(vec![by_stream.swap_remove(place)]))
        };
        let mut partitions = Vec::with_capacity(streams.len());
        for (stream, [meta, length]) in streams.iter().zip(heads) {
            let answers = vec![clock.clone(), meta, length, records_of(stream)];
            partitions.push(ReadReply::from_redis_value(Value::Array(answers))?);
        }
        let is_replica = matches!(role, Some(Value::Array(role)) if is_role_of_replica(&role));
        Ok(ReadTogetherReply { partitions, is_replica })
    }
}

/// Name of the stream that a part of an answer to XREAD is about; empty for any other value.
fn name_of(found: &Value) -> &[u8] {
    match found {
        Value::Array(found) => match found.first() {
            Some(Value::BulkString(name)) => name,
            _ => &[],
        },
        _ => &[],
    }
}
