//! A log in Redis or Valkey, alone or as a cluster: one Stream a partition, through the crate `redis`.
//!
//! A record is acknowledged when Redis has executed its XADD: safe against any fault of a node, and, because
//! every node holds all that matters in memory, against the loss of Redis itself. Reads are polled rather than
//! blocked on: the same calls work on a cluster, no connection is ever stuck behind a blocking one, and an idle
//! node costs Redis little (docs/PROOFS.md).
//!
//! An entry of a stream that isn't exactly housecount's is handed up as an empty record, which no reader can decode: so it is counted,
//! named and passed over like a damaged one.
//!
//! Every call gives up after half a second (`link.rs`); the driver reconnects by itself when a connection breaks. One that
//! has done nothing but fail for three seconds is thrown away and made anew: a cluster's client that lost all its
//! nodes may never find them again, and a connection to a host that vanished only times out.

mod link;
mod memory;
mod tail;
mod target;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::keys::{redis_count, redis_meta, redis_stream};
use housecount_core::limits::STAMP_AHEAD_MS_MAX;
use housecount_core::time::UnixMs;
use redis::{Cmd, ErrorKind as RedisKind, FromRedisValue, RedisError, Script, TlsCertificates};

use self::link::{Call, Link};
use self::memory::Memory;
use self::tail::Found;
pub use self::target::RedisTarget;
use super::consumed::RedisCounter;
use super::{Consumed, Log, Position, Tail};
use crate::clock::mono_ms;
use crate::error::{ErrorKind, StoreError, StoreResult};

/// How long a published count stays when nobody publishes it any more: no ghosts after the last node.
const PUBLISHED_S: u64 = 60;
/// Between two questions how much it has in memory.
const MEMORY_EVERY_MS: u64 = 60_000;
/// Keys set by one pipeline of `publish`.
const PUBLISH_BATCH: usize = 500;

/// See the module's text.
pub struct RedisLog {
    shown: String,
    prefix: String,
    partitions: u16,
    link: Link,
    counter: RedisCounter,
    /// When it is to be asked again how much it has in memory, on this node's own clock.
    ask_memory_ms: AtomicU64,
    /// Whether it may evict the stream, as it last said.
    is_evicting: AtomicBool,
    /// By how much its clock was ahead of this node's own at the last read; zero before.
    clock_ahead_ms: AtomicU64,
    begin: Script,
    read: Script,
    cut: Script,
    tend: Script,
    mark_whole: Script,
    note_committed: Script,
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisLog({}, {} partitions)", self.shown, self.partitions)
    }
}

impl RedisLog {
    /// Prepares the log. Nothing is connected yet, so a Redis that is away is no error here.
    ///
    /// # Errors
    /// The certificate authority's file can't be read, or the driver refuses the address.
    pub fn open(target: &RedisTarget, prefix: &str) -> StoreResult<RedisLog> {
        let shown = target.to_string();
        let refused =
            |e: RedisError| StoreError::caused(ErrorKind::Unsupported, format!("the log {shown}"), e);
        let link = Link::new(target, certificates(target)?).map_err(refused)?;
        Ok(RedisLog {
            prefix: prefix.to_string(),
            partitions: target.partitions,
            link,
            counter: RedisCounter::default(),
            ask_memory_ms: AtomicU64::new(0),
            is_evicting: AtomicBool::new(false),
            clock_ahead_ms: AtomicU64::new(0),
            begin: Script::new(include_str!("begin.lua")),
            read: Script::new(include_str!("read.lua")),
            cut: Script::new(include_str!("cut.lua")),
            tend: Script::new(include_str!("tend.lua")),
            mark_whole: Script::new(include_str!("mark_whole.lua")),
            note_committed: Script::new(include_str!("note_committed.lua")),
            shown,
        })
    }

    /// A cluster takes a pipeline only if all its keys lie on one master, so there each goes alone.
    fn publish_batch(&self) -> usize {
        if self.link.is_cluster() { 1 } else { PUBLISH_BATCH }
    }

    fn failed(&self, doing: &str, error: RedisError) -> StoreError {
        let kind = match error.kind() {
            RedisKind::AuthenticationFailed | RedisKind::Server(redis::ServerErrorKind::NoPerm) => {
                ErrorKind::Denied
            }
            _ => ErrorKind::Unavailable,
        };
        // Of one command, or of several at once.
        let hint = match error.to_string().contains("WRONGTYPE") {
            true => format!(
                "; a key under `{}` is of another type: delete it, or choose another redis_prefix",
                self.prefix
            ),
            false => String::new(),
        };
        StoreError::caused(kind, format!("{doing} the log {}{hint}", self.shown), error)
    }

    async fn run<T: FromRedisValue>(&self, doing: &str, call: &Call<'_>) -> StoreResult<T> {
        self.counter.sent(call.commands(), 0);
        self.link.run(call).await.map_err(|error| self.failed(doing, error))
    }

    /// Reads a partition as it is, without beginning it.
    async fn find(&self, partition: u16, after: Position, has_key: bool) -> StoreResult<Found> {
        let (stream, meta) = (redis_stream(&self.prefix, partition), redis_meta(&self.prefix, partition));
        let (question, script) =
            (tail::question(&stream, &meta, after), tail::asked_of(&self.read, &stream, &meta, after));
        let answer: tail::Answer = self.run("reading", &Call::Moment(&question, &script)).await?;
        self.counter.received(answer.1.iter().flatten().map(Vec::len).sum::<usize>() as u64);
        tail::parse(answer, after, self.partitions, has_key)
            .map_err(|e| StoreError::new(ErrorKind::Schema, format!("the log {}: {e}", self.shown)))
    }

    /// Begins a partition, without the fields of its past that hold something else than numbers.
    async fn begin(
        &self,
        partition: u16,
        key: HandleKey,
        odd: Vec<(&'static str, Vec<u8>)>,
    ) -> StoreResult<()> {
        let mut script = self.begin.prepare_invoke();
        script.key(redis_meta(&self.prefix, partition)).arg(self.partitions).arg(key.0);
        for (name, value) in odd {
            let held = String::from_utf8_lossy(&value).into_owned();
            tracing::error!(
                partition,
                field = name,
                held,
                "the log's past holds no number there; begun again"
            );
            script.arg(name).arg(value);
        }
        self.run("beginning", &Call::Script(&script)).await
    }

    /// Deletes a partition's entries from `from` on.
    async fn cut(&self, partition: u16, from: Position) -> StoreResult<()> {
        tracing::error!(
            partition,
            position = %from,
            "an entry of the log isn't housecount's and is far ahead of Redis's clock; it goes, with what came after it"
        );
        let stream = redis_stream(&self.prefix, partition);
        let mut script = self.cut.prepare_invoke();
        script.key(&stream).key(format!("{stream}:cut")).arg(from.to_string());
        self.run("cutting", &Call::Script(&script)).await
    }

    /// Whether a position is so far ahead of Redis's clock that only an entry before it can have brought that about.
    fn is_ahead(&self, position: Position) -> bool {
        let ahead_ms = self.clock_ahead_ms.load(Ordering::Relaxed);
        ahead_ms != 0 && position.at.0 > ahead_ms.saturating_add(mono_ms()).saturating_add(STAMP_AHEAD_MS_MAX)
    }

    /// Asks how much Redis has in memory, at most once a minute. Nobody waits for the answer to do anything, so a failure is no matter.
    async fn look_at_memory(&self) {
        let (now_ms, due_ms) = (mono_ms(), self.ask_memory_ms.load(Ordering::Relaxed));
        if now_ms < due_ms {
            return;
        }
        self.ask_memory_ms.store(now_ms + MEMORY_EVERY_MS, Ordering::Relaxed);
        let Ok(answer) = self.run("asking", &Call::Command(&Memory::question())).await else { return };
        let Memory { used, fullest_permille, evicting } = Memory::parse(&answer);
        self.counter.holds(used, fullest_permille, evicting.is_some());
        let was_evicting = self.is_evicting.swap(evicting.is_some(), Ordering::Relaxed);
        match evicting {
            Some(policy) if !was_evicting => tracing::warn!(
                log = self.shown,
                "Redis may evict the log: its maxmemory-policy is {policy}; set it to noeviction"
            ),
            None if was_evicting => tracing::info!(log = self.shown, "Redis no longer may evict the log"),
            _ => {}
        }
    }
}

fn certificates(target: &RedisTarget) -> StoreResult<Option<TlsCertificates>> {
    crate::tls::install_provider();
    let Some(path) = &target.ca else { return Ok(None) };
    let pem = std::fs::read(path).map_err(|e| {
        StoreError::caused(ErrorKind::Unsupported, format!("reading ca={}", path.display()), e)
    })?;
    let mut certificates = TlsCertificates::new();
    certificates.root_cert = Some(pem);
    Ok(Some(certificates))
}

#[async_trait]
impl Log for RedisLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        let mut command = redis::cmd("XADD");
        command
            .arg(redis_stream(&self.prefix, partition))
            .arg("*")
            .arg(tail::RECORD_FIELD)
            .arg(record.as_ref());
        self.counter.sent(0, record.len() as u64);
        let id: Vec<u8> = self.run("appending to", &Call::Command(&command)).await?;
        let position = tail::position(&id).ok_or_else(|| {
            StoreError::new(ErrorKind::Corrupt, format!("the log {} answered XADD without an id", self.shown))
        })?;
        if self.is_ahead(position) {
            // It says nothing about the time; the next read deletes what is to blame.
            let text =
                format!("the log {} gave an append the id {position}, far ahead of its clock", self.shown);
            return Err(StoreError::new(ErrorKind::Unavailable, text));
        }
        Ok(position)
    }

    async fn read(&self, partition: u16, after: Position, key: HandleKey) -> StoreResult<Tail> {
        let mut found = self.find(partition, after, key.0 != 0).await?;
        // Once each: what is lost or comes again meanwhile is the next read's.
        if let Found::Unbegun(odd) = found {
            self.begin(partition, key, odd).await?;
            found = self.find(partition, after, key.0 != 0).await?;
        }
        if let Found::Ahead(position) = found {
            self.cut(partition, position).await?;
            found = self.find(partition, after, key.0 != 0).await?;
        }
        let Found::Tail(tail) = found else {
            let text = format!("the log {} was lost", self.shown);
            return Err(StoreError::new(ErrorKind::Unavailable, text));
        };
        self.clock_ahead_ms.store(tail.clock.0.saturating_sub(mono_ms()), Ordering::Relaxed);
        let bytes = tail.records.iter().map(|(_, record)| record.len()).sum::<usize>();
        self.counter.received(bytes as u64);
        Ok(tail)
    }

    async fn tend(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        let mut trim = redis::cmd("XTRIM");
        trim.arg(redis_stream(&self.prefix, partition)).arg("MINID").arg("~").arg(before.0);
        let mut note = self.tend.prepare_invoke();
        note.key(redis_meta(&self.prefix, partition)).arg(attended.0);
        // Trimmed first, and whatever becomes of the note: where memory is short, that is what frees some.
        let trimmed = self.run::<()>("trimming", &Call::Command(&trim)).await;
        let noted = self.run::<()>("tending", &Call::Script(&note)).await;
        if partition == 0 {
            self.look_at_memory().await;
        }
        trimmed.and(noted)
    }

    async fn mark_whole(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        let mut script = self.mark_whole.prepare_invoke();
        script.key(redis_meta(&self.prefix, partition)).arg(born.0.to_string());
        self.run("marking", &Call::Script(&script)).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        let mut script = self.note_committed.prepare_invoke();
        script.key(redis_meta(&self.prefix, partition)).arg(to.0);
        self.run("noting in", &Call::Script(&script)).await
    }

    async fn publish(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        let command = |stage: &str, viewers: u64| {
            let key = redis_count(&self.prefix, stage);
            if viewers == 0 { Cmd::del(key) } else { Cmd::set_ex(key, viewers, PUBLISHED_S) }
        };
        for batch in counts.chunks(self.publish_batch()) {
            let mut pipeline = redis::pipe();
            for (stage, viewers) in batch {
                pipeline.add_command(command(stage, *viewers)).ignore();
            }
            self.run::<()>("publishing counts beside", &Call::Pipeline(&pipeline)).await?;
        }
        Ok(())
    }

    fn consumed(&self) -> Consumed {
        Consumed::Redis(self.counter.so_far())
    }
}
