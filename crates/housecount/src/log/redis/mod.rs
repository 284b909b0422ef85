//! A log in Redis or Valkey, alone or as a cluster: one Stream a partition, through the crate `redis`.
//!
//! A record is acknowledged when Redis has executed its XADD: safe against any fault of a node, and, because
//! every node holds all that matters in memory, against the loss of Redis itself. Reads are polled rather than
//! blocked on: the same calls work on a cluster, no connection is ever stuck behind a blocking one, and an idle
//! node costs Redis little (docs/PROOFS.md).
//!
//! Every call gives up after `RESPONSE_TIMEOUT`; the driver reconnects by itself when a connection breaks. One that
//! has done nothing but fail for `REBUILD_AFTER_MS` is thrown away and made anew: a cluster's client that lost all its
//! nodes may never find them again, and a connection to a host that vanished only times out.

mod memory;
mod tail;
mod target;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::keys::{redis_count, redis_meta, redis_stream};
use housecount_core::time::UnixMs;
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ErrorKind as RedisKind, FromRedisValue, RedisError, Script, ScriptInvocation,
    TlsCertificates, Value,
};

pub use self::target::RedisTarget;
use super::consumed::RedisCounter;
use super::{Consumed, Log, Position, Tail};
use crate::clock::mono_ms;
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::workers::here;

/// How long Redis may take to answer. A healthy one answers in a millisecond; its worst stall seen with this
/// load was 1.5 ms, and an append to a slow disk some tens.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may take to be made.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may fail without a break before it is made anew.
const REBUILD_AFTER_MS: u64 = 3_000;
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
    begin: Script,
    tend: Script,
    mark_whole: Script,
    note_committed: Script,
}

/// A client, and its connections: one a worker, driven by that worker's own runtime, so that an append is not handed from
/// thread to thread; and one for all else.
struct Link {
    client: AnyClient,
    /// By [`here`].
    currents: Mutex<Vec<Current>>,
}

enum AnyClient {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

/// A connection, and since when it has done nothing but fail.
#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    failing_since_ms: Option<u64>,
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
        let certificates = certificates(target)?;
        let client = if target.is_cluster {
            let mut builder = ClusterClient::builder(target.addresses.iter().map(String::as_str))
                .response_timeout(RESPONSE_TIMEOUT)
                .connection_timeout(CONNECTION_TIMEOUT)
                // Retrying is the callers' business: they know what is worth it.
                .retries(2);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            AnyClient::Cluster(Box::new(builder.build().map_err(refused)?))
        } else {
            let address = target.addresses.first().map_or("", String::as_str);
            let client = match certificates {
                Some(certificates) => Client::build_with_tls(address, certificates),
                None => Client::open(address),
            };
            AnyClient::One(Box::new(client.map_err(refused)?))
        };
        let link = Link { client, currents: Mutex::default() };
        Ok(RedisLog {
            prefix: prefix.to_string(),
            partitions: target.partitions,
            link,
            counter: RedisCounter::default(),
            ask_memory_ms: AtomicU64::new(0),
            begin: Script::new(include_str!("begin.lua")),
            tend: Script::new(include_str!("tend.lua")),
            mark_whole: Script::new(include_str!("mark_whole.lua")),
            note_committed: Script::new(include_str!("note_committed.lua")),
            shown,
        })
    }

    /// A cluster takes a pipeline only if all its keys lie on one master, so there each goes alone.
    fn publish_batch(&self) -> usize {
        if matches!(self.link.client, AnyClient::One(_)) { PUBLISH_BATCH } else { 1 }
    }

    fn failed(&self, doing: &str, error: RedisError) -> StoreError {
        let kind = match error.kind() {
            RedisKind::AuthenticationFailed | RedisKind::Server(redis::ServerErrorKind::NoPerm) => {
                ErrorKind::Denied
            }
            _ => ErrorKind::Unavailable,
        };
        StoreError::caused(kind, format!("{doing} the log {}", self.shown), error)
    }

    async fn run<T: FromRedisValue>(&self, doing: &str, call: &Call<'_>) -> StoreResult<T> {
        self.counter.sent(call.commands(), 0);
        self.link.run(call).await.map_err(|error| self.failed(doing, error))
    }

    /// Asks how much Redis has in memory, at most once a minute. Nobody waits for the answer to do anything, so a failure is no matter.
    async fn look_at_memory(&self) {
        let (now_ms, due_ms) = (mono_ms(), self.ask_memory_ms.load(Ordering::Relaxed));
        if now_ms < due_ms {
            return;
        }
        self.ask_memory_ms.store(now_ms + MEMORY_EVERY_MS, Ordering::Relaxed);
        if let Ok(answer) = self.run("asking", &Call::Command(&memory::question())).await {
            self.counter.holds(memory::sum(&answer));
        }
    }
}

impl Link {
    async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, RedisError> {
        let done = async {
            let known = self.with_current(|current| current.connection.clone());
            let mut connection = match known {
                Some(connection) => connection,
                None => self.client.connect().await?,
            };
            self.with_current(|current| {
                current.connection.get_or_insert_with(|| connection.clone());
            });
            match &mut connection {
                Connection::One(one) => call.on(one).await,
                Connection::Cluster(cluster) => call.on(cluster).await,
            }
        };
        let done = done.await;
        self.note(done.as_ref().err());
        done
    }

    /// Throws the connection away once it has failed for too long, or at once if it leads to a replica: the driver
    /// notices connections that break, but not those that lead nowhere.
    fn note(&self, error: Option<&RedisError>) {
        self.with_current(|current| {
            let Some(error) = error else {
                current.failing_since_ms = None;
                return;
            };
            let is_replica = error.kind() == RedisKind::Server(redis::ServerErrorKind::ReadOnly);
            let since_ms = *current.failing_since_ms.get_or_insert_with(mono_ms);
            if is_replica || mono_ms().saturating_sub(since_ms) >= REBUILD_AFTER_MS {
                *current = Current::default();
            }
        });
    }

    /// Runs `with` over this worker's connection.
    fn with_current<T>(&self, with: impl FnOnce(&mut Current) -> T) -> T {
        let mut currents = self.currents.lock();
        if currents.len() <= here() {
            currents.resize_with(here() + 1, Current::default);
        }
        with(&mut currents[here()])
    }
}

impl AnyClient {
    async fn connect(&self) -> Result<Connection, RedisError> {
        match self {
            AnyClient::One(client) => {
                let config = ConnectionManagerConfig::new()
                    .set_response_timeout(Some(RESPONSE_TIMEOUT))
                    .set_connection_timeout(Some(CONNECTION_TIMEOUT))
                    .set_number_of_retries(1);
                client.get_connection_manager_lazy(config).map(Connection::One)
            }
            AnyClient::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

/// What is sent: the same on one server and on a cluster.
enum Call<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    Pipeline(&'a redis::Pipeline),
    /// A transaction, and a script on the same keys that may run at any time.
    Moment(&'a redis::Pipeline, &'a ScriptInvocation<'a>),
}

impl Call<'_> {
    fn commands(&self) -> u64 {
        match self {
            Call::Command(_) | Call::Script(_) => 1,
            Call::Pipeline(pipeline) => pipeline.len() as u64,
            // MULTI and EXEC too.
            Call::Moment(pipeline, _) => pipeline.len() as u64 + 2,
        }
    }

    async fn on<T: FromRedisValue>(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
    ) -> Result<T, RedisError> {
        match self {
            Call::Command(command) => command.query_async(connection).await,
            Call::Script(script) => script.invoke_async(connection).await,
            Call::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Call::Moment(pipeline, script) => match pipeline.query_async(connection).await {
                // The partition is on another master since: alone, the driver finds it, which it does for no transaction.
                Err(error) if is_turned_away(&error) => {
                    script.invoke_async::<Value>(connection).await?;
                    pipeline.query_async(connection).await
                }
                done => done,
            },
        }
    }
}

fn is_turned_away(error: &RedisError) -> bool {
    matches!(error.kind(), RedisKind::Server(redis::ServerErrorKind::ExecAbort))
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
        command.arg(redis_stream(&self.prefix, partition)).arg("*").arg("r").arg(record.as_ref());
        self.counter.sent(0, record.len() as u64);
        let id: Vec<u8> = self.run("appending to", &Call::Command(&command)).await?;
        tail::position(&id).ok_or_else(|| {
            StoreError::new(ErrorKind::Corrupt, format!("the log {} answered XADD without an id", self.shown))
        })
    }

    async fn read(&self, partition: u16, after: Position, key: HandleKey) -> StoreResult<Tail> {
        let (stream, meta) = (redis_stream(&self.prefix, partition), redis_meta(&self.prefix, partition));
        let mut begin = self.begin.prepare_invoke();
        begin.key(&meta).arg(self.partitions).arg(key.0);
        let question = tail::question(&stream, &meta, after);
        let ask = async || -> StoreResult<Option<Tail>> {
            let answer: tail::Answer = self.run("reading", &Call::Moment(&question, &begin)).await?;
            self.counter.received(answer.1.iter().flatten().map(Vec::len).sum::<usize>() as u64);
            tail::parse(answer, after, self.partitions, key.0 != 0)
                .map_err(|e| StoreError::new(ErrorKind::Schema, format!("the log {}: {e}", self.shown)))
        };
        let tail = match ask().await? {
            Some(tail) => tail,
            None => {
                self.run::<()>("beginning", &Call::Script(&begin)).await?;
                // Lost again since: the next read begins it.
                let lost =
                    || StoreError::new(ErrorKind::Unavailable, format!("the log {} was lost", self.shown));
                ask().await?.ok_or_else(lost)?
            }
        };
        let bytes = tail.records.iter().map(|(_, record)| record.len()).sum::<usize>();
        self.counter.received(bytes as u64);
        Ok(tail)
    }

    async fn tend(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        let mut script = self.tend.prepare_invoke();
        script
            .key(redis_stream(&self.prefix, partition))
            .key(redis_meta(&self.prefix, partition))
            .arg(before.0)
            .arg(attended.0);
        self.run::<()>("tending", &Call::Script(&script)).await?;
        if partition == 0 {
            self.look_at_memory().await;
        }
        Ok(())
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
