//! Connections to Redis: one server's or a cluster's, made when they are needed and made anew when they lead nowhere.

use std::time::Duration;

use housecount_core::limits::{REDIS_COMMANDS_MAX, REDIS_PIPELINE_MAX};
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ErrorKind as RedisKind, FromRedisValue, RedisError, ScriptInvocation, TlsCertificates,
};

use super::RedisTarget;
use crate::clock::mono_ms;
use crate::workers::here;

/// How long Redis may take to answer. A healthy one answers in a millisecond; its worst stall seen with this
/// load was 1.5 ms, and an append to a slow disk some tens.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may take to be made.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may fail without a break before it is made anew.
const REBUILD_AFTER_MS: u64 = 3_000;

/// A client, and its connections: one a worker, driven by that worker's own runtime, so that an append is not handed from
/// thread to thread; and one for all else.
pub(super) struct Link {
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

impl Link {
    /// A link that has yet to connect.
    ///
    /// # Errors
    /// The driver refuses the address.
    pub(super) fn new(
        target: &RedisTarget,
        certificates: Option<TlsCertificates>,
    ) -> Result<Link, RedisError> {
        let client = if target.is_cluster {
            let mut builder = ClusterClient::builder(target.addresses.iter().map(String::as_str))
                .response_timeout(RESPONSE_TIMEOUT)
                .connection_timeout(CONNECTION_TIMEOUT)
                .connection_concurrency_limit(REDIS_COMMANDS_MAX)
                // Retrying is the callers' business: they know what is worth it.
                .retries(2);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            AnyClient::Cluster(Box::new(builder.build()?))
        } else {
            let address = target.addresses.first().map_or("", String::as_str);
            let client = match certificates {
                Some(certificates) => Client::build_with_tls(address, certificates),
                None => Client::open(address),
            };
            AnyClient::One(Box::new(client?))
        };
        Ok(Link { client, currents: Mutex::default() })
    }

    /// Whether it leads to a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.client, AnyClient::Cluster(_))
    }

    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, RedisError> {
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
                    .set_concurrency_limit(REDIS_COMMANDS_MAX)
                    .set_pipeline_buffer_size(REDIS_PIPELINE_MAX)
                    .set_number_of_retries(1);
                client.get_connection_manager_lazy(config).map(Connection::One)
            }
            AnyClient::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

/// What is sent: the same on one server and on a cluster.
pub(super) enum Call<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    Pipeline(&'a redis::Pipeline),
    /// A transaction, and a script that answers the same where Redis takes no transaction.
    Moment(&'a redis::Pipeline, &'a ScriptInvocation<'a>),
}

impl Call<'_> {
    pub(super) fn commands(&self) -> u64 {
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
                Err(error) if is_turned_away(&error) => script.invoke_async(connection).await,
                done => done,
            },
        }
    }
}

/// Whether Redis takes no transaction: over its `maxmemory`, or where the partition is on another master since. A single command finds
/// that master, by the driver.
fn is_turned_away(error: &RedisError) -> bool {
    matches!(error.kind(), RedisKind::Server(redis::ServerErrorKind::ExecAbort))
        || error.code() == Some("OOM")
}
