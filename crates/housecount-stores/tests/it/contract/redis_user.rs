//! The Redis permissions of a node's user in docs/DEPLOY.md: sufficient, and none too many. Every
//! test shows that they suffice, since nodes under test are that user (`support/redis.rs`).

use std::sync::Arc;

use housecount_backend::error::{ErrorKind, StoreError};
use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use super::log::{at, keeps_the_contract, record};
use crate::support::redis::{Flavour, Server, documented_acl, list};

const STREAM: &str = "hc:{0}:log";
const META: &str = "hc:{0}:meta";

async fn read(log: &dyn Log) -> Result<(), StoreError> {
    log.read(0, Position::START, HandleKey(7)).await.map(drop)
}

/// Sends every command that a node ever sends to Redis, repairs included. Returns the failures.
async fn asks_everything(server: &Server, log: &dyn Log) -> Vec<StoreError> {
    let mut outcomes = vec![read(log).await, log.append(0, record(1)).await.map(drop)];
    // A `born` that isn't a number is reset, and an entry of the far future is cut off.
    server.command(&format!("HSET {META} born x"));
    outcomes.push(read(log).await);
    server.command(&format!("XADD {STREAM} 9999999999999-0 a 1"));
    outcomes.push(read(log).await);
    server.command(&format!("DEL {STREAM}:cut"));
    server.command(&format!("XDEL {STREAM} 9999999999999-0"));
    outcomes.push(log.maintain(0, UnixMs(1), UnixMs(2)).await);
    outcomes.push(log.mark_complete(0, UnixMs(1)).await);
    outcomes.push(log.note_committed(0, UnixMs(3)).await);
    outcomes.push(log.publish_counts(&[("s".to_string(), 1), ("t".to_string(), 0)]).await);
    // Without memory for a transaction, a script reads.
    server.command("CONFIG SET maxmemory 1");
    outcomes.push(read(log).await);
    outcomes.push(log.note_committed(0, UnixMs(4)).await);
    server.command("CONFIG SET maxmemory 0");
    outcomes.into_iter().filter_map(Result::err).collect()
}

async fn server_with(line: &str) -> (Server, Arc<dyn Log>) {
    let mut server = Server::start(Flavour::Redis, &[]).await;
    server.may_deny = true;
    for line in ["ACL DELUSER housecount", line, "ACL LOG RESET"] {
        assert!(!server.command(line).starts_with('-'), "{line}");
    }
    let log = LogTarget::parse(&server.url()).unwrap().open("hc:").await.unwrap();
    (server, log)
}

#[timed_test(flavor = "multi_thread")]
async fn redis_as_the_user_of_the_document() {
    let mut server = Server::start(Flavour::Redis, &[]).await;
    keeps_the_contract(at(server.url())).await;
    let mut valkey = Server::start(Flavour::Valkey, &[]).await;
    keeps_the_contract(at(valkey.url())).await;
    for server in [&mut server, &mut valkey] {
        let log = LogTarget::parse(&server.url()).unwrap().open("hc:").await.unwrap();
        let failures = asks_everything(server, &*log).await;
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(list(server.port, "ACL LOG"), Some(Vec::new()));
        // The user has no access to other programs' keys.
        let other = LogTarget::parse(&server.url()).unwrap().open("other:").await.unwrap();
        let error = other.append(0, record(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("needs XADD on `other:*`"), "{error}");
        server.may_deny = true;
    }
}

/// Each permission is removed in turn, and Redis denies a command. If the node fails for it, the
/// error names the permission and the document that lists it.
#[timed_test(flavor = "multi_thread")]
async fn no_permission_of_the_document_is_needless() {
    let [line, ..] = documented_acl();
    let permissions: Vec<&str> = line.split(' ').filter(|word| word.starts_with('+')).collect();
    assert!(permissions.len() > 15, "{line}");
    // Without these a node continues, since it reads in another way or knows less.
    let done_without = ["+multi", "+exec", "+role", "+info"];
    for permission in permissions {
        let less = line.split(' ').filter(|word| *word != permission).collect::<Vec<_>>().join(" ");
        let (server, log) = server_with(&less).await;
        let failures = asks_everything(&server, &*log).await;
        let denied = list(server.port, "ACL LOG").unwrap();
        let command = permission.trim_start_matches('+');
        assert!(
            denied.iter().any(|word| word == command),
            "the node did not call {command}: {denied:?}"
        );
        let name = command.to_uppercase().replace('|', " ");
        let says = |error: &&StoreError| {
            let text = error.to_string();
            error.kind() == ErrorKind::Denied
                && text.contains(&name)
                && text.contains("docs/DEPLOY.md, \"The Redis user\"")
        };
        let is_reported = failures.iter().any(|error| says(&error));
        assert_eq!(is_reported, !done_without.contains(&permission), "{permission}: {failures:?}");
    }
    assert!(include_str!("../../../../../docs/DEPLOY.md").contains("\n### The Redis user\n"));
}
