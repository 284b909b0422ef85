//! Addresses of Redis logs: `redis://`, `rediss://` (TLS) and `redis-cluster://`.
//!
//! The parameters behind `?` are ours and are taken off before the driver sees the address:
//! - `partitions=N`: how many partitions a new log gets. 1; on a cluster 8, so that its masters share the work.
//! - `ca=FILE`: trust this certificate authority (PEM) instead of the system's.
//! - `tls=true`: speak TLS to a cluster.

use std::fmt;
use std::path::PathBuf;

use housecount_core::limits::PARTITIONS_MAX;

/// Partitions of a new log on a cluster.
const CLUSTER_PARTITIONS: u16 = 8;

/// A Redis log's address.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// One address the driver understands; several for a cluster.
    pub(super) addresses: Vec<String>,
    pub(super) is_cluster: bool,
    pub(super) partitions: u16,
    pub(super) ca: Option<PathBuf>,
    /// For people: without a password.
    shown: String,
}

impl RedisTarget {
    /// Parses a log URL whose scheme is one of Redis's.
    ///
    /// # Errors
    /// A text that names what is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<RedisTarget, String> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = address.split_once("://").ok_or("a Redis address is SCHEME://HOST:PORT")?;
        let is_cluster = scheme == "redis-cluster";
        let mut target = RedisTarget {
            addresses: Vec::new(),
            is_cluster,
            partitions: if is_cluster { CLUSTER_PARTITIONS } else { 1 },
            ca: None,
            shown: format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts)),
        };
        let mut tls = scheme == "rediss";
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("partitions", value) => target.partitions = partitions(value)?,
                ("ca", value) if !value.is_empty() => target.ca = Some(PathBuf::from(value)),
                ("tls", value) if is_cluster => tls = value == "true",
                (name, _) => return Err(format!("`{name}` is not a parameter of a Redis log")),
            }
        }
        let scheme = if tls { "rediss" } else { "redis" };
        let (user, hosts) = rest.rsplit_once('@').map_or(("", rest), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let hosts: Vec<&str> = if is_cluster { hosts.split(',').collect() } else { vec![hosts] };
        for host in hosts {
            let address = format!("{scheme}://{user}{at}{host}");
            if host.is_empty() || redis::parse_redis_url(&address).is_none() {
                return Err(format!("`{}` is not a Redis address: SCHEME://HOST:PORT", target.shown));
            }
            target.addresses.push(address);
        }
        Ok(target)
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
    /// Never the addresses: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisTarget({}, {} partitions)", self.shown, self.partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let one = RedisTarget::parse("redis://:secret@h:6379/2").unwrap();
        assert_eq!((one.addresses, one.partitions), (vec!["redis://:secret@h:6379/2".to_string()], 1));
        let many =
            RedisTarget::parse("redis-cluster://u:pw@a:1,b:2?partitions=4&tls=true&ca=/ca.pem").unwrap();
        assert_eq!(many.addresses, ["rediss://u:pw@a:1", "rediss://u:pw@b:2"]);
        assert_eq!((many.partitions, many.ca), (4, Some("/ca.pem".into())));
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = RedisTarget::parse("redis://user:se@cret@h:6379").unwrap();
        for shown in [format!("{target}"), format!("{target:?}")] {
            assert!(!shown.contains("cret") && shown.contains("h:6379"), "{shown}");
        }
        let error = RedisTarget::parse("redis://user:secret@h:port").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn partitions_max() {
        let parse = |n: u32| RedisTarget::parse(&format!("redis://h?partitions={n}"));
        assert_eq!(parse(u32::from(PARTITIONS_MAX)).map(|t| t.partitions), Ok(PARTITIONS_MAX));
        assert!(parse(u32::from(PARTITIONS_MAX) + 1).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, named) in [
            ("redis://h?partitions=0", "partitions=0"),
            ("redis://h?partitions=257", "257"),
            ("redis://h?colour=red", "`colour`"),
            ("redis-cluster://a:1,,b:2", "a:1,,b:2"),
            ("redis:h", "SCHEME://"),
        ] {
            let error = RedisTarget::parse(url).unwrap_err();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
