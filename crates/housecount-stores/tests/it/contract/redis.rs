//! The contract on each way to a Redis, and the error where a way is closed.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::error::ErrorKind;
use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_core::keys::redis_stream;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use super::log::{at, keeps_the_contract, read_all, record};
use crate::support::certificates::Authority;
use crate::support::redis::{Flavour, Server};
use crate::support::sentinel::{MASTER, Sentinel, SentinelSetup, StaleSentinel};
use crate::support::{eventually, free_port};

async fn open(url: &str) -> Arc<dyn Log> {
    LogTarget::parse(url).unwrap().open("hc:").await.unwrap()
}

async fn refusal(url: &str) -> String {
    let log = open(url).await;
    let error = log.read(0, Position::START, HandleKey::default()).await.unwrap_err();
    assert!(error.is_temporary() && !error.to_string().contains("p%40ss"), "{error}");
    error.to_string()
}

#[timed_test(flavor = "multi_thread")]
async fn redis_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a socket.sock").display().to_string();
    let server = Server::start(Flavour::Redis, &["--unixsocket", &path]).await;
    let shown = path.replace(' ', "%20");
    keeps_the_contract(at(format!("unix:{shown}?user=housecount&pass=p%40ss"))).await;
    assert_eq!(server.command("ACL SETUSER housecount +select"), "+OK");
    keeps_the_contract(at(format!("redis+unix://{shown}?db=3&user=housecount&pass=p%40ss"))).await;
    assert!(server.command("INFO keyspace").contains("db3:"));
    let missing = refusal("unix:/nowhere/redis.sock").await;
    assert!(
        missing.contains("unix:/nowhere/redis.sock") && missing.contains("No such file"),
        "{missing}"
    );
}

/// Arguments, followed by more.
fn with(arguments: &[String], more: &[&str]) -> Vec<String> {
    arguments.iter().cloned().chain(more.iter().map(ToString::to_string)).collect()
}

async fn start(arguments: &[String]) -> Server {
    Server::start(Flavour::Redis, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[timed_test(flavor = "multi_thread")]
async fn redis_that_asks_for_a_certificate() {
    let (ours, theirs, port) = (Authority::new(), Authority::new(), free_port());
    let _server = start(&ours.arguments(port)).await;
    let place = format!("rediss://housecount:p%40ss@localhost:{port}/0?{}", ours.trusted());
    keeps_the_contract(at(format!("{place}&{}", ours.presented()))).await;
    // Without a certificate, and with one of another authority, although the client trusts the
    // server.
    for url in [place.clone(), format!("{place}&{}", theirs.presented())] {
        let error = refusal(&url).await;
        assert!(error.contains(&format!("localhost:{port}")), "{error}");
    }
    let error =
        refusal(&format!("rediss://localhost:{port}/0?{}&{}", theirs.trusted(), ours.presented()))
            .await;
    assert!(error.contains("certificate"), "{error}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_cluster_that_asks_for_a_certificate() {
    let (authority, port) = (Authority::new(), free_port());
    let more = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let server = start(&with(&authority.arguments(port), &more)).await;
    assert_eq!(server.command("CLUSTER ADDSLOTSRANGE 0 16383"), "+OK");
    eventually("the cluster is formed", async || {
        server.command("CLUSTER INFO").contains("cluster_state:ok")
    })
    .await;
    let place = format!(
        "redis-cluster://housecount:p%40ss@localhost:{port}?tls=true&{}",
        authority.trusted()
    );
    keeps_the_contract(at(format!("{place}&{}", authority.presented()))).await;
    let error = refusal(&place).await;
    assert!(error.contains(&format!("localhost:{port}")), "{error}");
}

#[timed_test(flavor = "multi_thread")]
async fn sentinels_that_ask_for_a_certificate() {
    let (authority, port) = (Authority::new(), free_port());
    let _server = start(&with(&authority.arguments(port), &["--tls-replication", "yes"])).await;
    let lines = authority.arguments(0);
    let mut lines: Vec<String> = lines
        .chunks(2)
        .map(|pair| format!("{} {}", pair[0].trim_start_matches("--"), pair[1]))
        .collect();
    lines.retain(|line| !line.starts_with("tls-port"));
    lines.extend(["port 0", "tls-port SENTINEL_PORT", "tls-replication yes"].map(String::from));
    let sentinel = Sentinel::start(port, 1, &lines).await;
    let place = format!(
        "rediss+sentinel://housecount:p%40ss@127.0.0.1:{}/{MASTER}?{}",
        sentinel.port,
        authority.trusted()
    );
    keeps_the_contract(at(format!("{place}&{}", authority.presented()))).await;
    let error = refusal(&place).await;
    assert!(
        error.contains(&format!(
            "no sentinel names a master `{MASTER}`: 127.0.0.1:{}",
            sentinel.port
        )),
        "{error}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn redis_behind_sentinels() {
    let setup = SentinelSetup::start().await;
    keeps_the_contract(at(setup.url())).await;
    let url = setup.url().replace(&format!("/{MASTER}?"), &format!("/{MASTER}/2?"));
    assert_eq!(setup.servers[0].command("ACL SETUSER housecount +select"), "+OK");
    keeps_the_contract(at(url)).await;
    assert!(setup.servers[0].command("INFO keyspace").contains("db2:"));
}

/// The error names each sentinel with its answer, and the name of the master asked for.
#[timed_test(flavor = "multi_thread")]
async fn sentinels_without_an_answer_are_named() {
    let mut setup = SentinelSetup::start().await;
    let hosts: Vec<String> =
        setup.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
    let error = refusal(&setup.url().replace(MASTER, "other")).await;
    assert!(error.contains("no sentinel names a master `other`: "), "{error}");
    for host in &hosts {
        assert!(
            error.contains(&format!("{host}: this sentinel doesn't know the master")),
            "{error}"
        );
    }
    setup.sentinels[1].kill();
    let error = refusal(&setup.url().replace(MASTER, "other")).await;
    assert!(error.contains(&format!("{}: Connection refused", hosts[1])), "{error}");
    let error = refusal(&setup.url().replace("sentinel_pass=p%40ss", "sentinel_pass=wrong")).await;
    assert!(
        error.contains(&format!("{}: ", hosts[0])) && error.contains("authentication failed"),
        "{error}"
    );
    // A server that isn't a sentinel at all.
    let server = &setup.servers[0];
    let error = refusal(&format!("redis+sentinel://127.0.0.1:{}/m", server.port)).await;
    assert!(
        error.contains(&format!("127.0.0.1:{}: ", server.port))
            && error.contains("unknown command"),
        "{error}"
    );
    // The master is unavailable, but the sentinels still name it.
    let log = open(&setup.url()).await;
    log.append(0, record(0)).await.unwrap();
    setup.servers[0].kill();
    let error = log.append(0, record(1)).await.unwrap_err().to_string();
    let master = format!("{MASTER} (master 127.0.0.1:{})", setup.servers[0].port);
    assert!(error.contains(&master) && hosts.iter().all(|host| error.contains(host)), "{error}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_log_follows_the_failovers_of_its_sentinels() {
    let mut setup = SentinelSetup::start().await;
    let log = open(&setup.url()).await;
    let before = log.append(0, record(0)).await.unwrap();
    assert_eq!(log.moves(), 0);
    eventually("the replica has the record", async || {
        setup.servers[1].command("XLEN hc:{0}:log") == ":1"
    })
    .await;
    setup.servers[0].kill();
    assert!(log.append(0, record(1)).await.unwrap_err().is_temporary());
    eventually("appends work again", async || log.append(0, record(2)).await.is_ok()).await;
    assert!(log.moves() > 0, "the log reports the move to another server");
    assert_eq!(setup.servers[1].command("INFO replication").lines().nth(1), Some("role:master"));
    let read = read_all(&*log, 0, Position::START).await;
    assert_eq!(
        (read.first(), read.last().map(|last| &last.1)),
        (Some(&(before, record(0))), Some(&record(2)))
    );
    // The old master comes back as a replica. The next failover makes it the master again.
    setup.servers[0].run().await;
    eventually("the old master is a replica", async || {
        setup.servers[0].command("INFO replication").contains("master_link_status:up")
    })
    .await;
    setup.until_all_know_all().await;
    let failover = format!("SENTINEL FAILOVER {MASTER}");
    eventually("the failover begins", async || {
        crate::support::redis::command_at(setup.sentinels[0].port, &failover) == "+OK"
    })
    .await;
    setup.until_the_master_is(0).await;
    // Both servers are up, and only the new master has this record.
    eventually("appends go to the new master", async || {
        log.append(0, record(3)).await.is_ok()
            && log.read(0, Position::START, HandleKey::default()).await.is_ok()
    })
    .await;
    assert_eq!(
        read_all(&*log, 0, Position::START).await.last().map(|last| &last.1),
        Some(&record(3))
    );
}

/// Sentinels give different answers. The result of the latest failover counts, whichever sentinel
/// is listed first and whichever answers.
#[timed_test(flavor = "multi_thread")]
async fn a_sentinel_that_was_cut_off_is_not_believed() {
    let mut setup = SentinelSetup::start().await;
    let stray = Server::start(Flavour::Redis, &[]).await;
    let stale = StaleSentinel::naming(stray.port).await;
    let url = setup.url().replace("@127.0.0.1", &format!("@127.0.0.1:{},127.0.0.1", stale.port));
    // Before any failover all sentinels are equal, and the first in the list counts.
    let log = open(&url).await;
    log.append(0, record(0)).await.unwrap();
    assert_eq!(stray.command("XLEN hc:{0}:log"), ":1");
    setup.servers[0].kill();
    setup.until_the_master_is(1).await;
    // The stray server has no fault, but the node asks the sentinels all the same.
    let housekeeping = async || {
        let _ = log
            .maintain(0, housecount_core::time::UnixMs(1), housecount_core::time::UnixMs::ZERO)
            .await;
        log.moves() > 0
    };
    eventually("the log reports the new master", housekeeping).await;
    log.append(0, record(1)).await.unwrap();
    assert_eq!(setup.servers[1].command("XLEN hc:{0}:log"), ":1");
    // When only the stale sentinel is left, the known master stays.
    setup.sentinels.iter_mut().for_each(Sentinel::kill);
    for _ in 0..3 {
        assert_eq!(setup.servers[1].command("CLIENT KILL TYPE normal").get(..1), Some(":"));
        eventually("the log keeps using the known master", async || {
            log.append(0, record(2)).await.is_ok()
        })
        .await;
    }
    assert_eq!(stray.command("XLEN hc:{0}:log"), ":1");
    // The same holds with no sentinel at all.
    drop(stale);
    assert_eq!(setup.servers[1].command("CLIENT KILL TYPE normal").get(..1), Some(":"));
    eventually("the log keeps using the known master", async || {
        log.append(0, record(3)).await.is_ok()
    })
    .await;
}

/// A read must not be answered by a replica. A replica may lack the latest appends, without a sign
/// of it.
#[timed_test(flavor = "multi_thread")]
async fn a_replica_is_not_read() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = open(&server.url()).await;
    log.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert_eq!(server.command("REPLICAOF 127.0.0.1 1"), "+OK");
    let error = log.read(0, Position::START, HandleKey::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("is a replica now"), "{error}");
    assert_eq!(log.moves(), 1);
    assert_eq!(server.command("REPLICAOF NO ONE"), "+OK");
    log.read(0, Position::START, HandleKey::default()).await.unwrap();
}

fn figure(server: &Server, name: &str) -> usize {
    let section = if name == "blocked_clients" { "clients" } else { "stats" };
    let info = server.command(&format!("INFO {section}"));
    info.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':')?.parse().ok())
        .unwrap()
}

/// A node polls 20 times per second, so a poll must not fetch known records again.
#[timed_test(flavor = "multi_thread")]
async fn idle_polls_do_not_fetch_the_last_record_again() {
    const POLLS: usize = 200;
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = open(&server.url()).await;
    let key = HandleKey(7);
    log.read(0, Position::START, key).await.unwrap();
    let large = bytes::Bytes::from(vec![7; 200_000]);
    let last = log.append(0, large.clone()).await.unwrap();
    let tail = log.read(0, Position::START, key).await.unwrap();
    assert_eq!(tail.records.len(), 1);

    let before = figure(&server, "total_net_output_bytes");
    for _ in 0..POLLS {
        let tail = log.read(0, last, key).await.unwrap();
        assert!(tail.records.is_empty() && tail.start_exists && !tail.more);
    }
    let bytes = figure(&server, "total_net_output_bytes") - before;
    assert!(bytes < POLLS * 400, "{bytes} bytes in {POLLS} polls");

    // Reads of newer records, after the known position, don't fetch the large record either.
    let before = figure(&server, "total_net_output_bytes");
    let newer = log.append(0, record(1)).await.unwrap();
    let tail = log.read(0, last, key).await.unwrap();
    assert_eq!((tail.records.len(), tail.start_exists), (1, true));
    assert!(log.read(0, newer, key).await.unwrap().start_exists);
    assert!(figure(&server, "total_net_output_bytes") - before < 5_000);
}

/// An append of any node to any partition ends the wait of an idle one.
#[timed_test(flavor = "multi_thread")]
async fn an_idle_node_waits_for_the_next_record() {
    // Longer than the test may take: a wait that is not woken fails it.
    const FOREVER: Duration = Duration::from_secs(3_600);
    let server = Server::start(Flavour::Redis, &[]).await;
    let url = format!("{}?partitions=2", server.url());
    let (idle, other) = (open(&url).await, open(&url).await);
    let mut after = [Position::START; 2];
    for partition in [1, 0, 1] {
        let waiting = idle.wait(&after, FOREVER);
        let appending = async {
            let blocked = "blocked_clients";
            eventually("the node waits", async || figure(&server, blocked) == 1).await;
            other.append(partition, record(7)).await.unwrap()
        };
        let (is_woken, at) = tokio::join!(waiting, appending);
        assert!(is_woken);
        after[usize::from(partition)] = at;
    }
    // A record that is there already.
    assert!(idle.wait(&[Position::START; 2], FOREVER).await);
    let instant = Duration::from_millis(10);
    assert!(idle.wait(&after, instant).await, "nothing has come, and it says so");
    eventually("it still waits", async || figure(&server, "blocked_clients") == 1).await;
    // Further waits for the same continue that call.
    let commands = || figure(&server, "total_commands_processed");
    let [first, second] = [commands(), commands()];
    for _ in 0..3 {
        assert!(idle.wait(&after, instant).await);
    }
    assert_eq!(commands() - second, second - first);
    let (is_woken, at) = tokio::join!(idle.wait(&after, FOREVER), other.append(0, record(7)));
    after[0] = at.unwrap();
    assert!(is_woken && idle.wait(&after, instant).await);
    drop(server);
    assert!(!idle.wait(&after, FOREVER).await, "without Redis it does not wait");
}

/// A lost record is noticed however it was lost, and whatever was appended after it.
#[timed_test(flavor = "multi_thread")]
async fn a_lost_record_is_missed_at_the_next_poll() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = open(&server.url()).await;
    let (key, stream) = (HandleKey(7), redis_stream("hc:", 0));
    for loss in ["trim", "delete", "delete and append", "flush"] {
        log.read(0, Position::START, key).await.unwrap();
        let mut last = Position::START;
        for n in 0..3 {
            last = log.append(0, record(n)).await.unwrap();
        }
        let mut tail = log.read(0, Position::START, key).await.unwrap();
        assert_eq!(tail.records.last().unwrap().0, last);
        for _ in 0..3 {
            tail = log.read(0, last, key).await.unwrap();
            assert!(tail.start_exists && tail.records.is_empty(), "{loss}");
        }
        match loss {
            "trim" => server.command(&format!("XTRIM {stream} MAXLEN 0")),
            "flush" => server.command("FLUSHALL"),
            _ => server.command(&format!("XDEL {stream} {last}")),
        };
        if loss == "delete and append" {
            log.append(0, record(9)).await.unwrap();
        }
        let tail = log.read(0, last, key).await.unwrap();
        assert!(!tail.start_exists, "{loss}");
        assert_eq!(tail.records.len(), usize::from(loss == "delete and append"), "{loss}");
        server.command("FLUSHALL");
    }
}
