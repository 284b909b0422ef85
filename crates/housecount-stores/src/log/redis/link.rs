//! Connections to Redis: to one server, a cluster or a master.
//!
//! They are made when they are needed, and made again when they stop working.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::threads::current_worker;
use housecount_core::limits::{REDIS_COMMANDS_MAX, REDIS_PIPELINE_MAX};
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, ConnectionAddr, ErrorKind as RedisKind, FromRedisValue, IntoConnectionInfo, RedisError,
    ServerErrorKind, TlsCertificates,
};

use super::RedisTarget;
use super::call::RedisCommand;
use super::sentinel::Sentinels;
use super::target::{Login, Servers};

/// Timeout of an answer. A healthy Redis answers in a millisecond. Its worst stall seen with this
/// load was 1.5 ms, and an append to a slow disk took some tens of ms.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout of making a connection.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Time of failures without a success after which a connection is replaced.
const REBUILD_AFTER_MS: u64 = 3_000;

/// A client with one connection per worker.
///
/// Each worker's own runtime drives its connection, so that an append is not handed from thread to
/// thread. All other tasks share one more connection.
pub(super) struct ConnectionPool {
    client: AnyClient,
    /// Connections, by [`current_worker`].
    currents: Mutex<Vec<PooledConnection>>,
    /// Number of times that another server has replaced the one before. Connections from before
    /// that are dropped.
    moves: Arc<AtomicU64>,
    /// Whether a warning was written that Redis denies the usual transaction of a read.
    is_denial_logged: AtomicBool,
}

enum AnyClient {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
    Master(Box<Sentinels>),
}

#[derive(Clone)]
enum RedisConnection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

/// A connection, and since when all its calls have failed.
#[derive(Default)]
struct PooledConnection {
    connection: Option<RedisConnection>,
    failing_since_ms: Option<u64>,
    /// The value of `moves` when the connection was made.
    moves: u64,
}

/// Creates a client of one server. `login` replaces the address's own.
///
/// # Errors
/// Returns the driver's error if it refuses the address.
pub(super) fn client_at(
    server: impl IntoConnectionInfo,
    login: Option<&Login>,
    certificates: Option<TlsCertificates>,
) -> Result<Client, RedisError> {
    let server = server.into_connection_info()?;
    // The driver would send its name to the server, with a command that needs a permission of its
    // own.
    let mut settings = server.redis_settings().clone().set_skip_set_lib_name();
    if let Some(Login { user, password, db }) = login {
        settings = settings.set_db(*db);
        settings = user.iter().fold(settings, |settings, user| settings.set_username(user));
        settings =
            password.iter().fold(settings, |settings, password| settings.set_password(password));
    }
    let server = server.set_redis_settings(settings);
    match certificates {
        Some(certificates) => Client::build_with_tls(server, certificates),
        None => Client::open(server),
    }
}

/// Builds the address of a server from its host and port.
pub(super) fn server_at(host: &str, port: u16, is_tls: bool) -> ConnectionAddr {
    let host = host.to_string();
    match is_tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

impl ConnectionPool {
    /// Creates a pool that is not connected yet.
    ///
    /// # Errors
    /// Returns the driver's error if it refuses the address.
    pub(super) fn new(
        target: &RedisTarget,
        certificates: Option<TlsCertificates>,
    ) -> Result<ConnectionPool, RedisError> {
        let moves = Arc::new(AtomicU64::new(0));
        let client = match &target.servers {
            Servers::One(address) => {
                AnyClient::One(Box::new(client_at(address.as_str(), None, certificates)?))
            }
            Servers::Socket { path, login } => {
                let server = ConnectionAddr::Unix(path.clone());
                AnyClient::One(Box::new(client_at(server, Some(login), None)?))
            }
            Servers::Cluster(addresses) => {
                AnyClient::Cluster(Box::new(cluster(addresses, certificates)?))
            }
            Servers::Sentinels(target) => {
                AnyClient::Master(Box::new(Sentinels::new(target, certificates, moves.clone())?))
            }
        };
        Ok(ConnectionPool {
            client,
            currents: Mutex::default(),
            moves,
            is_denial_logged: AtomicBool::new(false),
        })
    }

    /// Whether the pool leads to a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.client, AnyClient::Cluster(_))
    }

    /// The server that the pool leads to now, where the address doesn't name it.
    pub(super) fn shown_master(&self) -> Option<String> {
        match &self.client {
            AnyClient::Master(sentinels) => sentinels.shown_master(),
            _ => None,
        }
    }

    /// The client of the server that the pool leads to now.
    ///
    /// # Errors
    /// Returns an error for a cluster, or if no sentinel names a master.
    pub(super) async fn server(&self) -> Result<Client, RedisError> {
        match &self.client {
            AnyClient::One(client) => Ok((**client).clone()),
            AnyClient::Master(sentinels) => sentinels.master().await,
            AnyClient::Cluster(_) => {
                Err((RedisKind::Client, "a cluster has several servers").into())
            }
        }
    }

    /// Number of times that another server has replaced the one before, as far as this node knows.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &RedisCommand<'_>,
    ) -> Result<T, RedisError> {
        let done = async {
            let mut connection = self.connection().await?;
            let (outcome, denied) = match &mut connection {
                RedisConnection::One(one) => call.on(one).await,
                RedisConnection::Cluster(cluster) => call.on(cluster).await,
            };
            if let Some(denied) = denied
                && !self.is_denial_logged.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    error = %denied,
                    "Redis denies the transaction of a read; using a script instead, at four times the cost; {}",
                    super::GRANT
                );
            }
            outcome
        };
        let done = done.await;
        self.note(done.as_ref().err());
        done
    }

    /// Returns this worker's connection, and makes it if needed.
    async fn connection(&self) -> Result<RedisConnection, RedisError> {
        if let AnyClient::Master(sentinels) = &self.client
            && sentinels.is_doubted()
        {
            // Where no sentinel answers, the node keeps trying the last known master.
            let _ = sentinels.master().await;
        }
        let moves = self.moves();
        if let Some(known) = self.with_current(|current| current.connection.clone()) {
            return Ok(known);
        }
        let made = self.client.connect().await?;
        self.with_current(|current| {
            if current.moves == moves {
                current.connection.get_or_insert_with(|| made.clone());
            }
        });
        Ok(made)
    }

    /// Drops the connection once it has failed for too long, or at once if it leads to a replica.
    ///
    /// The driver notices broken connections, but not those that lead nowhere.
    fn note(&self, error: Option<&RedisError>) {
        let Some(error) = error else {
            self.with_current(|current| current.failing_since_ms = None);
            return;
        };
        if error.kind() == RedisKind::Server(ServerErrorKind::ReadOnly) {
            self.leave();
        } else if let AnyClient::Master(sentinels) = &self.client {
            // Any error may mean that the master was replaced: a master without its replicas, or
            // one that loads its data.
            sentinels.doubt();
        }
        self.with_current(|current| {
            let since_ms = *current.failing_since_ms.get_or_insert_with(mono_ms);
            if mono_ms().saturating_sub(since_ms) >= REBUILD_AFTER_MS {
                current.connection = None;
                current.failing_since_ms = None;
            }
        });
    }

    /// Leaves a server that is now a replica, on all workers. Another server has replaced it, or is
    /// about to.
    pub(super) fn leave(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        if let AnyClient::Master(sentinels) = &self.client {
            sentinels.doubt();
        }
    }

    /// Asks the sentinels, if the log has some, whether the master is still the same.
    ///
    /// # Errors
    /// Returns an error if no sentinel names a master.
    pub(super) async fn confirm(&self) -> Result<(), RedisError> {
        match &self.client {
            AnyClient::Master(sentinels) => sentinels.confirm().await,
            _ => Ok(()),
        }
    }

    /// Runs `with` on this worker's connection.
    fn with_current<T>(&self, with: impl FnOnce(&mut PooledConnection) -> T) -> T {
        let mut currents = self.currents.lock();
        if currents.len() <= current_worker() {
            currents.resize_with(current_worker() + 1, PooledConnection::default);
        }
        let (current, moves) = (&mut currents[current_worker()], self.moves());
        if current.moves != moves {
            *current = PooledConnection { moves, ..PooledConnection::default() };
        }
        with(current)
    }
}

fn cluster(
    addresses: &[String],
    certificates: Option<TlsCertificates>,
) -> Result<ClusterClient, RedisError> {
    let mut builder = ClusterClient::builder(addresses.iter().map(String::as_str))
        .response_timeout(RESPONSE_TIMEOUT)
        .connection_timeout(CONNECTION_TIMEOUT)
        .connection_concurrency_limit(REDIS_COMMANDS_MAX)
        // Callers retry, since they know which calls are worth it.
        .retries(2);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

impl AnyClient {
    async fn connect(&self) -> Result<RedisConnection, RedisError> {
        let config = || {
            ConnectionManagerConfig::new()
                .set_response_timeout(Some(RESPONSE_TIMEOUT))
                .set_connection_timeout(Some(CONNECTION_TIMEOUT))
                .set_concurrency_limit(REDIS_COMMANDS_MAX)
                .set_pipeline_buffer_size(REDIS_PIPELINE_MAX)
                .set_number_of_retries(1)
        };
        let one = |client: &Client| {
            client.get_connection_manager_lazy(config()).map(RedisConnection::One)
        };
        match self {
            AnyClient::One(client) => one(client),
            AnyClient::Master(sentinels) => one(&sentinels.master().await?),
            AnyClient::Cluster(client) => {
                client.get_async_connection().await.map(RedisConnection::Cluster)
            }
        }
    }
}
