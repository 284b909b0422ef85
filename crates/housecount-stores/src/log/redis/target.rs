//! Addresses of Redis logs: one server over TCP or a unix socket, a cluster, and a master that
//! sentinels name.
//!
//! ```text
//! redis://[USER:PASSWORD@]HOST[:PORT][/DB]                        one server; rediss:// for TLS
//! unix:/PATH  redis+unix:///PATH                                  one server by its socket; ?db=, ?user=, ?pass=
//! redis-cluster://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...]        a cluster; ?tls=true for TLS
//! redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,...]/MASTER[/DB]  sentinels; rediss+sentinel:// for TLS
//! ```
//!
//! The parameters behind `?` are housecount's and never reach the driver:
//! - `partitions=N`: partitions of a new log. 1; on a cluster 8, so that its masters share the
//!   work.
//! - `ca=FILE`: the certificate authority (PEM) to trust instead of the system's.
//! - `cert=FILE&key=FILE`: the client certificate and its key (PEM), for servers that ask for one.
//! - `sentinel_user=`, `sentinel_pass=`: the login of the sentinels. The login before `@` is the
//!   master's.

use std::fmt;
use std::path::PathBuf;

use housecount_core::limits::PARTITIONS_MAX;

use super::certificates::RedisTlsFiles;
use super::query::{Query, decode};

/// Partitions of a new log on a cluster.
const CLUSTER_PARTITIONS: u16 = 8;
/// Port of a sentinel whose address has none.
const SENTINEL_PORT: u16 = 26_379;

/// Address of a Redis log.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTarget {
    pub(super) servers: Servers,
    pub(super) partitions: u16,
    pub(super) tls: RedisTlsFiles,
    /// The address for people, without a password.
    shown: String,
}

/// Servers that an address names.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Servers {
    /// One server, by an address that the driver understands.
    One(String),
    /// One server on this machine.
    Socket {
        path: PathBuf,
        login: Login,
    },
    /// Servers of a cluster, by addresses that the driver understands.
    Cluster(Vec<String>),
    Sentinels(SentinelTarget),
}

/// Sentinels, and the master to ask them for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SentinelTarget {
    /// HOST:PORT of each sentinel.
    pub(super) sentinels: Vec<String>,
    pub(super) sentinel_login: Login,
    pub(super) master: String,
    pub(super) master_login: Login,
    pub(super) is_tls: bool,
}

/// Login and database of a connection. It has no `Debug`, so that it is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

impl RedisTarget {
    /// Parses a log URL whose scheme is one of Redis's.
    ///
    /// # Errors
    /// Returns a text that says what is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<RedisTarget, String> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) =
            address.split_once(':').ok_or("a Redis address is SCHEME://HOST:PORT")?;
        let mut query = Query::parse(query)?;
        let partitions = query.take("partitions")?.map(|value| partitions(&value)).transpose()?;
        let default = if scheme == "redis-cluster" { CLUSTER_PARTITIONS } else { 1 };
        let tls = RedisTlsFiles::take(&mut query)?;
        let (servers, is_tls) = match scheme {
            "redis" | "rediss" => (one(scheme, rest)?, scheme == "rediss"),
            "unix" | "redis+unix" => (socket(rest, &mut query)?, false),
            "redis-cluster" => {
                let is_tls = is_true(&mut query, "tls")?;
                (cluster(rest, is_tls)?, is_tls)
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let is_tls = scheme == "rediss+sentinel";
                (Servers::Sentinels(SentinelTarget::parse(rest, is_tls, &mut query)?), is_tls)
            }
            _ => return Err(unknown(scheme)),
        };
        query.end("a Redis log")?;
        if let Some(name) = tls.first().filter(|_| !is_tls) {
            return Err(format!("`{name}` needs TLS: {}", with_tls(scheme)));
        }
        let shown = shown(scheme, rest);
        Ok(RedisTarget { servers, partitions: partitions.unwrap_or(default), tls, shown })
    }
}

/// The address without its login.
fn shown(scheme: &str, rest: &str) -> String {
    match rest.strip_prefix("//") {
        Some(rest) => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts))
        }
        None => format!("{scheme}:{rest}"),
    }
}

fn with_tls(scheme: &str) -> &'static str {
    match scheme {
        "redis-cluster" => "add tls=true",
        "redis+sentinel" => "use rediss+sentinel://",
        "redis" => "use rediss://",
        _ => "a unix socket has none",
    }
}

fn unknown(scheme: &str) -> String {
    let instead = match scheme {
        _ if scheme.contains("cluster") && scheme.contains("unix") => {
            "a cluster is reached over TCP only: redis-cluster://HOST:PORT,HOST:PORT"
        }
        _ if scheme.contains("cluster") => {
            "use redis-cluster://HOST:PORT,HOST:PORT, with ?tls=true for TLS"
        }
        _ if scheme.contains("sentinel") => {
            "use redis+sentinel://HOST:PORT,HOST:PORT/MASTER, or rediss+sentinel:// for TLS"
        }
        _ if scheme.contains("unix") => "use redis+unix:///PATH; a unix socket has no TLS",
        _ => {
            "use redis://, rediss://, redis+unix:///PATH, redis-cluster:// or redis+sentinel://HOST:PORT/MASTER"
        }
    };
    format!("`{scheme}:` is not a scheme of a Redis log: {instead}")
}

/// Splits the login before the last `@` from the rest.
fn split_login(rest: &str) -> (Option<&str>, &str) {
    rest.rsplit_once('@').map_or((None, rest), |(login, hosts)| (Some(login), hosts))
}

/// Whether the driver understands the address of a server.
fn is_address(url: &str) -> bool {
    redis::parse_redis_url(url).is_some_and(|url| url.has_host())
}

fn one(scheme: &str, rest: &str) -> Result<Servers, String> {
    let url = format!("{scheme}:{rest}");
    let is_one = rest.starts_with("//") && !split_login(rest).1.trim_start_matches('/').is_empty();
    match is_one && is_address(&url) {
        true => Ok(Servers::One(url)),
        false => {
            Err(format!("`{}` is not a Redis address: SCHEME://HOST:PORT", shown(scheme, rest)))
        }
    }
}

fn cluster(rest: &str, is_tls: bool) -> Result<Servers, String> {
    let wrong = || {
        let shown = shown("redis-cluster", rest);
        match rest.strip_prefix("//").is_none_or(|rest| rest.starts_with('/')) {
            true => {
                format!(
                    "`{shown}` names no host: a cluster is reached over TCP only, HOST:PORT,HOST:PORT"
                )
            }
            false => format!("`{shown}` is not a Redis address: SCHEME://HOST:PORT"),
        }
    };
    let scheme = if is_tls { "rediss" } else { "redis" };
    let (login, hosts) = split_login(rest.strip_prefix("//").ok_or_else(wrong)?);
    let login = login.map_or(String::new(), |login| format!("{login}@"));
    let addresses: Vec<String> =
        hosts.split(',').map(|host| format!("{scheme}://{login}{host}")).collect();
    let is_well =
        hosts.split(',').all(|host| !host.is_empty()) && addresses.iter().all(|a| is_address(a));
    if is_well { Ok(Servers::Cluster(addresses)) } else { Err(wrong()) }
}

fn socket(rest: &str, query: &mut Query) -> Result<Servers, String> {
    let wrong = |why: &str| format!("`unix:{rest}` is not the address of a socket: {why}");
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        None if rest.starts_with('/') => rest,
        _ => return Err(wrong("its path must be absolute, as in redis+unix:///run/redis.sock")),
    };
    let path = PathBuf::from(decode(path).ok_or_else(|| wrong("its path is not UTF-8"))?);
    // The operating system limits the path, to 108 bytes on Linux.
    std::os::unix::net::SocketAddr::from_pathname(&path).map_err(|why| wrong(&why.to_string()))?;
    let db = query.take("db")?.map(|db| number_of_db(&db)).transpose()?.unwrap_or(0);
    let login = Login { user: query.take("user")?, password: query.take("pass")?, db };
    Ok(Servers::Socket { path, login })
}

impl SentinelTarget {
    fn parse(rest: &str, is_tls: bool, query: &mut Query) -> Result<SentinelTarget, String> {
        const FORM: &str =
            "redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]";
        let wrong = |why: String| format!("{why}; write sentinels as {FORM}");
        let (login, place) = split_login(rest.strip_prefix("//").unwrap_or_default());
        let mut parts = place.splitn(3, '/');
        let (hosts, master, db) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let sentinels: Result<Vec<String>, String> =
            hosts.split(',').map(sentinel_address).collect();
        let sentinels = sentinels.map_err(wrong)?;
        let master = master.and_then(decode).filter(|master| !master.is_empty());
        let master = master.ok_or_else(|| wrong(format!("no master's name after `{hosts}`")))?;
        let db = db.filter(|db| !db.is_empty()).map(number_of_db).transpose()?.unwrap_or(0);
        let (user, password) = login.map_or((None, None), |login| match login.split_once(':') {
            Some((user, password)) => (Some(user), Some(password)),
            None => (Some(login), None),
        });
        let part = |part: Option<&str>| match part.filter(|part| !part.is_empty()) {
            Some(part) => {
                decode(part).map(Some).ok_or("the login before `@` is not UTF-8, percent-encoded")
            }
            None => Ok(None),
        };
        let master_login = Login { user: part(user)?, password: part(password)?, db };
        let sentinel_login = Login {
            user: query.take("sentinel_user")?,
            password: query.take("sentinel_pass")?,
            db: 0,
        };
        Ok(SentinelTarget { sentinels, sentinel_login, master, master_login, is_tls })
    }
}

/// Returns HOST:PORT, with the usual port if the address has none.
fn sentinel_address(host: &str) -> Result<String, String> {
    let url = redis::parse_redis_url(&format!("redis://{host}"));
    match url.filter(|url| url.has_host() && url.path().is_empty() && !host.is_empty()) {
        Some(url) if url.port().is_none() => Ok(format!("{host}:{SENTINEL_PORT}")),
        Some(_) => Ok(host.to_string()),
        None => Err(format!("`{host}` is not HOST:PORT")),
    }
}

fn number_of_db(value: &str) -> Result<i64, String> {
    let db =
        value.parse::<u32>().map_err(|_| format!("`{value}` is not the number of a database"))?;
    Ok(i64::from(db))
}

fn is_true(query: &mut Query, name: &str) -> Result<bool, String> {
    match query.take(name)?.as_deref() {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(value) => Err(format!("{name}={value} is neither true nor false")),
    }
}

fn partitions(value: &str) -> Result<u16, String> {
    let valid = value.parse().ok().filter(|n| (1..=PARTITIONS_MAX).contains(n));
    valid.ok_or(format!("partitions={value} is not a number from 1 to {PARTITIONS_MAX}"))
}

impl fmt::Display for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisTarget {
    /// Never shows the servers, because their addresses may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisTarget({}, {} partitions)", self.shown, self.partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinels(url: &str) -> SentinelTarget {
        match RedisTarget::parse(url).unwrap().servers {
            Servers::Sentinels(sentinels) => sentinels,
            _ => panic!("{url} names no sentinels"),
        }
    }

    fn login(user: &str, password: &str, db: i64) -> Login {
        let given = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
        Login { user: given(user), password: given(password), db }
    }

    #[test]
    fn addresses() {
        let one = RedisTarget::parse("redis://:secret@h:6379/2").unwrap();
        assert!(
            one.servers == Servers::One("redis://:secret@h:6379/2".to_string())
                && one.partitions == 1
        );
        let many =
            RedisTarget::parse("redis-cluster://u:pw@a:1,b:2?partitions=4&tls=true&ca=/ca.pem")
                .unwrap();
        let addresses = ["rediss://u:pw@a:1", "rediss://u:pw@b:2"].map(String::from);
        assert!(many.servers == Servers::Cluster(addresses.to_vec()) && many.partitions == 4);
        assert_eq!(many.tls, RedisTlsFiles { ca: Some("/ca.pem".into()), client: None });
        let mutual = RedisTarget::parse("rediss://h:1?cert=/a%20b.pem&key=/k.pem").unwrap();
        assert_eq!(mutual.tls.client, Some(("/a b.pem".into(), "/k.pem".into())));
    }

    #[test]
    fn addresses_of_sentinels() {
        let of = sentinels("redis+sentinel://ann:p%40ss@a:1,b,[::1]:2/mymaster/3");
        assert_eq!(of.sentinels, ["a:1", "b:26379", "[::1]:2"]);
        assert!(
            of.master_login == login("ann", "p@ss", 3) && of.sentinel_login == Login::default()
        );
        assert_eq!((of.master.as_str(), of.is_tls), ("mymaster", false));
        let of = sentinels("rediss+sentinel://:pw@a/m?sentinel_user=s&sentinel_pass=%26&ca=/ca");
        assert!(of.master_login == login("", "pw", 0) && of.sentinel_login == login("s", "&", 0));
        assert!(of.is_tls && of.master == "m");
    }

    #[test]
    fn addresses_of_sockets() {
        for url in ["unix:/run/r.sock", "unix:///run/r.sock", "redis+unix:///run/r.sock"] {
            let target =
                RedisTarget::parse(&format!("{url}?db=3&user=ann&pass=p%3Fw&partitions=2"))
                    .unwrap();
            let path = PathBuf::from("/run/r.sock");
            assert!(
                target.servers == Servers::Socket { path, login: login("ann", "p?w", 3) },
                "{url}"
            );
            assert_eq!((target.to_string().as_str(), target.partitions), (url, 2));
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, kept) in [
            ("redis://user:se@cret@h:6379", "h:6379"),
            ("redis+sentinel://u:secret@h:1/m?sentinel_pass=secret", "h:1/m"),
            ("unix:/run/r.sock?pass=secret", "/run/r.sock"),
        ] {
            let target = RedisTarget::parse(url).unwrap();
            for shown in [format!("{target}"), format!("{target:?}")] {
                assert!(!shown.contains("cret") && shown.contains(kept), "{shown}");
            }
        }
        for url in [
            "redis://user:secret@h:port",
            "redis-cluster://u:secret@a:1,b:port",
            "redis+sentinel://u:secret@h:port/m",
            "redis+sentinel://u:secret@h:1?sentinel_pass=secret",
            "redis+sentinel://u:secret@h:1/m?pass=secret",
            "unix:r?pass=secret",
            "unix:/r?db=x&pass=secret",
        ] {
            let error = RedisTarget::parse(url).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn partitions_max() {
        let parse = |n: u32| RedisTarget::parse(&format!("redis://h?partitions={n}"));
        assert_eq!(parse(u32::from(PARTITIONS_MAX)).map(|t| t.partitions), Ok(PARTITIONS_MAX));
        assert!(parse(u32::from(PARTITIONS_MAX) + 1).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("unix:/{}", "x".repeat(108));
        for (url, named) in [
            ("redis://h?partitions=0", "partitions=0"),
            ("redis://h?partitions=257", "257"),
            ("redis://h?colour=red", "`colour`"),
            ("redis://h?db=3", "`db`"),
            ("redis-cluster://a:1,,b:2", "a:1,,b:2"),
            ("redis-cluster:///run/redis.sock", "over TCP only"),
            ("redis-cluster+unix:///run/redis.sock", "over TCP only"),
            ("redis-cluster://a:1?tls=yes", "tls=yes"),
            ("redis:h", "SCHEME://"),
            ("redis:///2", "SCHEME://"),
            ("redis://h?ca=/ca.pem", "`ca` needs TLS: use rediss://"),
            ("redis://h?cert=/c&key=/k", "`cert` needs TLS: use rediss://"),
            ("redis-cluster://a:1?cert=/c&key=/k", "`cert` needs TLS: add tls=true"),
            ("redis+sentinel://a:1/m?ca=/ca", "`ca` needs TLS: use rediss+sentinel://"),
            ("unix:/run/r.sock?ca=/ca", "`ca` needs TLS: a unix socket has none"),
            ("rediss://h?cert=/c", "`cert` needs `key`"),
            ("rediss://h?key=/c", "`key` needs `cert`"),
            ("rediss://h?ca=", "`ca` is empty"),
            ("rediss://h?ca=/a&ca=/b", "`ca` is given twice"),
            ("redis+sentinel://a:1", "no master's name after `a:1`"),
            ("redis+sentinel:///m", "`` is not HOST:PORT"),
            ("redis+sentinel://a:1,b:x/m", "`b:x` is not HOST:PORT"),
            ("redis+sentinel://a:1/m/x", "`x` is not the number of a database"),
            ("redis-sentinel://a:1/m", "use redis+sentinel://"),
            ("rediss+unix:///r", "a unix socket has no TLS"),
            ("rediss-cluster://a:1", "?tls=true"),
            ("unix:run/r.sock", "must be absolute"),
            ("unix://host/r.sock", "must be absolute"),
            (long.as_str(), "path"),
            ("unix:/r?db=-1", "`-1` is not the number of a database"),
        ] {
            let error = RedisTarget::parse(url).unwrap_err();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
