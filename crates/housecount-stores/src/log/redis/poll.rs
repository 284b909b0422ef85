//! A poll: reads a partition's records after a position, and checks that the record before still
//! exists.

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Position, ReadResult};
use housecount_core::keys::{redis_meta, redis_stream};

use super::RedisLog;
use super::call::RedisCommand;
use super::read::{self, PartitionPoll};

impl RedisLog {
    /// Reads a partition as it is, without creating it.
    pub(super) async fn find(
        &self,
        partition: u16,
        after: Position,
        has_key: bool,
    ) -> StoreResult<PartitionPoll> {
        let moves = self.link.moves();
        let known = self.lengths.get(partition, after, moves);
        if let Some(length) = known {
            let (found, length_now) = self.ask(partition, after, false, has_key).await?;
            if let PartitionPoll::Tail(tail) = &found
                && self.is_kept(partition, tail, length, length_now, moves)
            {
                return Ok(found);
            }
            self.lengths.forget(partition);
        }
        let (found, length) = self.ask(partition, after, true, has_key).await?;
        if let PartitionPoll::Tail(tail) = &found
            && !tail.more
            && (tail.start_exists || after == Position::START)
            && let Some(last) =
                tail.records.last().map(|(at, _)| *at).or(tail.start_exists.then_some(after))
        {
            self.lengths.reached(partition, last, length, moves, true);
        }
        Ok(found)
    }

    /// Whether a partition has its earlier records plus the new ones; see [`super::lengths`].
    pub(super) fn is_kept(
        &self,
        partition: u16,
        tail: &ReadResult,
        length: u64,
        length_now: u64,
        moves: u64,
    ) -> bool {
        let is_kept = !tail.more && length_now == length + tail.records.len() as u64;
        if is_kept && let Some((last, _)) = tail.records.last() {
            self.lengths.reached(partition, *last, length_now, moves, false);
        }
        is_kept && self.link.moves() == moves
    }

    /// Reads a partition. If `with_held` is false, the record at `after` isn't fetched, and the
    /// answer counts it as existing.
    async fn ask(
        &self,
        partition: u16,
        after: Position,
        with_held: bool,
        has_key: bool,
    ) -> StoreResult<(PartitionPoll, u64)> {
        let (stream, meta) =
            (redis_stream(&self.prefix, partition), redis_meta(&self.prefix, partition));
        let asked = read::ReadOptions { with_held, with_role: !self.link.is_cluster() };
        let question = read::read_pipeline(&stream, &meta, after, asked);
        let script = read::asked_of(&self.read, &stream, &meta, after);
        let answer: read::ReadReply =
            self.run("reading", &RedisCommand::AtomicRead(&question, &self.read, &script)).await?;
        self.counter.received(answer.past_bytes() as u64);
        if answer.is_replica {
            self.link.leave();
            let text = format!("the log {} is a replica now; looking for its master", self.shown);
            return Err(StoreError::new(ErrorKind::Unavailable, text));
        }
        let (start_exists, length) = (answer.held.unwrap_or(!with_held), answer.length());
        let found =
            read::parse(answer, after, start_exists, self.partitions, has_key, self.known_clock())
                .map_err(|e| {
                    StoreError::new(ErrorKind::Schema, format!("the log {}: {e}", self.shown))
                })?;
        Ok((found, length))
    }
}
