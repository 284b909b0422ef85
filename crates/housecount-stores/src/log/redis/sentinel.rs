//! The master that sentinels name. They are asked when the master is needed, and again when it may
//! have changed.
//!
//! All sentinels are asked at once. The answer of the latest failover counts, since a sentinel that
//! was cut off may still name an earlier master. The driver's own client has three drawbacks. It
//! believes the first sentinel that answers. It checks the master on a further connection, by a
//! command that a node's user need not have. It reports a failure without the sentinels and their
//! answers.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use housecount_backend::clock::mono_ms;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, TlsCertificates, Value,
};
use tokio::sync::Mutex;

use super::link::{client_at, server_at};
use super::target::{Login, SentinelTarget};

/// Timeout of a sentinel's answer, connection included. Sentinels answer from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Least interval between two rounds of queries. All workers may ask at once, and again at each
/// failure.
const ASK_EVERY_MS: u64 = 250;

/// Sentinels of a log, and the master that they name.
pub(super) struct Sentinels {
    master_name: String,
    sentinels: Vec<Sentinel>,
    login: Login,
    is_tls: bool,
    certificates: Option<TlsCertificates>,
    known: Mutex<MasterState>,
    /// Whether the known master may have been replaced by now.
    is_doubted: AtomicBool,
    /// Number of times that another server has replaced the one before; shared with the pool.
    moves: Arc<AtomicU64>,
    /// Address of the master, for messages.
    shown_master: parking_lot::Mutex<Option<String>>,
}

#[derive(Default)]
struct MasterState {
    master: Option<Master>,
    asked_ms: Option<u64>,
    /// Failure of the last round, if no sentinel named a master.
    failure: Option<RedisError>,
}

struct Master {
    named: NamedMaster,
    client: Client,
}

/// Answer of a sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedMaster {
    host: String,
    port: u16,
    /// Epoch of the configuration, which grows with each failover. 0 if the sentinel doesn't return
    /// it.
    epoch: u64,
}

impl Sentinels {
    /// Creates sentinels that have not been asked yet.
    ///
    /// # Errors
    /// Returns the driver's error if it refuses an address.
    pub(super) fn new(
        target: &SentinelTarget,
        certificates: Option<TlsCertificates>,
        moves: Arc<AtomicU64>,
    ) -> Result<Sentinels, RedisError> {
        let SentinelTarget { sentinels, sentinel_login, master, master_login, is_tls } =
            target.clone();
        let sentinel = |shown: &String| {
            let scheme = if is_tls { "rediss" } else { "redis" };
            let client = client_at(
                format!("{scheme}://{shown}"),
                Some(&sentinel_login),
                certificates.clone(),
            )?;
            Ok(Sentinel { shown: shown.clone(), client, connection: Mutex::default() })
        };
        let sentinels: Result<Vec<Sentinel>, RedisError> = sentinels.iter().map(sentinel).collect();
        Ok(Sentinels {
            master_name: master,
            sentinels: sentinels?,
            login: master_login,
            is_tls,
            certificates,
            known: Mutex::default(),
            is_doubted: AtomicBool::new(false),
            moves,
            shown_master: parking_lot::Mutex::default(),
        })
    }

    /// Returns a client of the master. Asks the sentinels if the master isn't known, or is in
    /// doubt.
    ///
    /// # Errors
    /// Returns an error if no sentinel names a master, and none did before. The text has each
    /// sentinel's answer.
    pub(super) async fn master(&self) -> Result<Client, RedisError> {
        let mut known = self.known.lock().await;
        if known.master.is_none() || self.is_doubted() {
            self.ask(&mut known).await;
        }
        match (&known.master, &known.failure) {
            (Some(master), _) => Ok(master.client.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(io::Error::other("no sentinel was asked yet").into()),
        }
    }

    /// Asks the sentinels whether the master is still the same.
    ///
    /// A master that was cut off from the sentinels, but not from this node, accepts appends until
    /// it learns of the failover.
    ///
    /// # Errors
    /// Returns an error if no sentinel names a master.
    pub(super) async fn confirm(&self) -> Result<(), RedisError> {
        let mut known = self.known.lock().await;
        self.ask(&mut known).await;
        known.failure.clone().map_or(Ok(()), Err)
    }

    /// Makes the next use ask the sentinels again.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.is_doubted.load(Ordering::Relaxed)
    }

    /// HOST:PORT of the known master.
    pub(super) fn shown_master(&self) -> Option<String> {
        self.shown_master.lock().clone()
    }

    async fn ask(&self, known: &mut MasterState) {
        if known.asked_ms.is_some_and(|asked_ms| mono_ms().saturating_sub(asked_ms) < ASK_EVERY_MS)
        {
            return;
        }
        // The flag is cleared before the round, so that a doubt during the round starts another
        // one.
        self.is_doubted.store(false, Ordering::Relaxed);
        let answers =
            join_all(self.sentinels.iter().map(|sentinel| sentinel.ask(&self.master_name))).await;
        known.asked_ms = Some(mono_ms());
        let named: Vec<&NamedMaster> = answers.iter().flatten().collect();
        known.failure = named.is_empty().then(|| self.unnamed(&answers));
        let is_majority = 2 * named.len() > self.sentinels.len();
        let before = known.master.as_ref().map(|master| &master.named);
        if let Some(named) = latest(&named, before, is_majority)
            && let Err(failure) = self.follow(known, named)
        {
            known.failure = Some(failure);
        }
    }

    /// Makes `named` the known master.
    fn follow(&self, known: &mut MasterState, named: NamedMaster) -> Result<(), RedisError> {
        let client = match &known.master {
            Some(before)
                if (&before.named.host, before.named.port) == (&named.host, named.port) =>
            {
                before.client.clone()
            }
            before => {
                let server = server_at(&named.host, named.port, self.is_tls);
                let client = client_at(server, Some(&self.login), self.certificates.clone())?;
                let shown = format!("{}:{}", named.host, named.port);
                if before.is_some() {
                    tracing::warn!(
                        name = self.master_name,
                        master = shown,
                        "the sentinels name another master"
                    );
                    self.moves.fetch_add(1, Ordering::Relaxed);
                }
                *self.shown_master.lock() = Some(shown);
                client
            }
        };
        known.master = Some(Master { named, client });
        Ok(())
    }

    fn unnamed(&self, answers: &[Result<NamedMaster, String>]) -> RedisError {
        let answers: Vec<String> = self
            .sentinels
            .iter()
            .zip(answers)
            .filter_map(|(sentinel, answer)| {
                Some(format!("{}: {}", sentinel.shown, answer.as_ref().err()?))
            })
            .collect();
        let text =
            format!("no sentinel names a master `{}`: {}", self.master_name, answers.join("; "));
        io::Error::other(text).into()
    }
}

/// Returns the answer that counts: that of the latest failover, or the first of several.
///
/// An answer older than the known master counts only if most sentinels have answered. In that case
/// the sentinels themselves were set up again.
fn latest(
    named: &[&NamedMaster],
    before: Option<&NamedMaster>,
    is_majority: bool,
) -> Option<NamedMaster> {
    let later = |one, other| if epoch(other) > epoch(one) { other } else { one };
    let latest = named.iter().copied().reduce(later)?;
    let is_earlier = before.is_some_and(|before| latest.epoch < before.epoch);
    (!is_earlier || is_majority).then(|| latest.clone())
}

fn epoch(named: &NamedMaster) -> u64 {
    named.epoch
}

/// A sentinel, with the connection that answered last.
struct Sentinel {
    shown: String,
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Sentinel {
    /// Asks for the master's address. The error is a text that says what is wrong.
    async fn ask(&self, name: &str) -> Result<NamedMaster, String> {
        let mut held = self.connection.lock().await;
        let within = tokio::time::timeout(ANSWER_TIMEOUT, async {
            // The connection is put back only if it has answered.
            let kept = held.take();
            let (answer, connection) = match kept {
                // The connection may have broken since.
                Some(kept) => match ask_on(kept, name).await {
                    Err(_) => ask_on(self.connect().await?, name).await?,
                    answered => answered?,
                },
                None => ask_on(self.connect().await?, name).await?,
            };
            *held = Some(connection);
            Ok::<_, RedisError>(answer)
        });
        match within.await {
            Ok(Ok((address, details))) => parse(address, details),
            Ok(Err(why)) => Err(why.to_string()),
            Err(_) => Err(format!("no answer within {} ms", ANSWER_TIMEOUT.as_millis())),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

type SentinelReply = ((Value, Value), MultiplexedConnection);

async fn ask_on(
    mut connection: MultiplexedConnection,
    name: &str,
) -> Result<SentinelReply, RedisError> {
    let answer = question(name).query_async(&mut connection).await?;
    Ok((answer, connection))
}

/// Builds the query: the address that clients must use, also during a failover, and the details
/// that hold the epoch. A sentinel may refuse the details.
fn question(name: &str) -> Pipeline {
    let mut both = redis::pipe();
    both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    both.cmd("SENTINEL").arg("MASTER").arg(name);
    both.ignore_errors();
    both
}

fn parse(address: Value, details: Value) -> Result<NamedMaster, String> {
    let address = address.extract_error().map_err(|e| e.to_string())?;
    let address: Option<(String, u16)> = FromRedisValue::from_redis_value(address)
        .map_err(|e| format!("not the address of a master: {e}"))?;
    let (host, port) = address.ok_or("this sentinel doesn't know the master")?;
    let details = HashMap::<String, String>::from_redis_value(details).unwrap_or_default();
    let epoch = details.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(NamedMaster { host, port, epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str, epoch: u64) -> NamedMaster {
        NamedMaster { host: host.to_string(), port: 6_379, epoch }
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_answer_of_the_latest_failover_counts() {
        let (old, new, other) = (named("old", 3), named("new", 4), named("other", 4));
        assert_eq!(latest(&[], None, false), None);
        assert_eq!(latest(&[&old, &new, &other], None, true), Some(new.clone()));
        assert_eq!(latest(&[&old, &new], Some(&old), true), Some(new.clone()));
        // A sentinel that was cut off, and is the only one that answers.
        assert_eq!(latest(&[&old], Some(&new), false), None);
        assert_eq!(latest(&[&old], Some(&old), false), Some(old.clone()));
        // Sentinels that were set up again.
        assert_eq!(latest(&[&old, &old], Some(&new), true), Some(old));
    }

    #[test]
    fn answers_are_read_with_and_without_details() {
        let address = || Value::Array(vec![text("10.0.0.5"), text("6379")]);
        let details = [text("name"), text("m"), text("config-epoch"), text("7")];
        let of = |details| parse(address(), details).unwrap();
        assert_eq!(of(Value::Array(details.to_vec())), named("10.0.0.5", 7));
        for refused in
            [Value::Nil, Value::Array(vec![]), Value::Array(vec![text("config-epoch"), text("x")])]
        {
            assert_eq!(of(refused), named("10.0.0.5", 0));
        }
        assert_eq!(
            parse(Value::Nil, Value::Nil),
            Err("this sentinel doesn't know the master".to_string())
        );
        let odd = parse(Value::Array(vec![text("h"), text("port")]), Value::Nil).unwrap_err();
        assert!(odd.contains("not the address of a master"), "{odd}");
    }
}
