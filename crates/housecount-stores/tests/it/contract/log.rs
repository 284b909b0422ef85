//! The contract of every log.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, PartitionMeta, Position, ReadPlace, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::limits::{
    FILE_LOG_ORDERS_MAX, READ_RECORDS_MAX, RECORD_BYTES_MAX, REDIS_COMMANDS_MAX,
};
use housecount_core::time::UnixMs;
use housecount_sim::plan::SimPlan;
use housecount_sim::world::World;
use housecount_stores::cold::TableOptions;
use housecount_stores::log::{DynamoLog, LogTarget};
use housecount_test::timed_test;
use parking_lot::Mutex;

use crate::support::dynamo::{Dynamo, cold_at, log_at};
use crate::support::redis::{Cluster, Flavour, Server};

type Opening = Pin<Box<dyn Future<Output = Arc<dyn Log>>>>;

/// A kind of log: how to open a fresh one, and how to open it again as another node would.
pub(super) struct Backend {
    open: Box<dyn Fn(usize) -> Opening>,
    /// Whether a handle that is opened later finds what another one appended.
    survives: bool,
    /// Whether two handles may be open at once.
    shared: bool,
}

impl Backend {
    async fn open(&self, n: usize) -> Arc<dyn Log> {
        (self.open)(n).await
    }

    fn at(target: impl Fn(usize) -> LogTarget + 'static) -> Backend {
        let open = move |n| -> Opening {
            let target = target(n);
            Box::pin(async move { target.open(&format!("test-{n}:")).await.unwrap() })
        };
        Backend { open: Box::new(open), survives: true, shared: true }
    }
}

pub(super) async fn keeps_the_contract(backend: Backend) {
    appended_is_read_in_order(&*backend.open(0).await).await;
    an_empty_log_has_a_clock_and_an_origin(&*backend.open(1).await).await;
    reading_twice_is_the_same(&*backend.open(2).await).await;
    pages_join(&*backend.open(3).await).await;
    bytes_are_kept(&*backend.open(4).await).await;
    tending_forgets_only_what_is_old(&*backend.open(5).await).await;
    whole_is_remembered_for_this_birth_only(&*backend.open(6).await).await;
    let partitioned = backend.open(7).await;
    partitions_are_apart(&*partitioned).await;
    reading_together_is_reading_each(&*partitioned).await;
    what_is_committed_only_grows(&*backend.open(9).await).await;
    the_first_key_is_kept(&*backend.open(10).await).await;
    concurrent_appends_all_lie_in_the_log(backend.open(8).await).await;
    if backend.survives {
        a_later_handle_finds_it_all(&backend).await;
    }
    if backend.shared {
        two_handles_are_one_log(&backend).await;
    }
}

pub(super) fn record(n: usize) -> Bytes {
    Bytes::from(format!("record {n}"))
}

pub(super) async fn read_all(
    log: &dyn Log,
    partition: u16,
    mut after: Position,
) -> Vec<(Position, Bytes)> {
    let mut all = Vec::new();
    loop {
        let tail = log.read(partition, after, HandleKey::default()).await.unwrap();
        all.extend(tail.records);
        match (tail.more, all.last()) {
            (true, Some((last, _))) => after = *last,
            _ => return all,
        }
    }
}

async fn appended_is_read_in_order(log: &dyn Log) {
    let mut positions = Vec::new();
    for n in 0..20 {
        positions.push((log.append(0, record(n)).await.unwrap(), record(n)));
    }
    assert!(positions.windows(2).all(|pair| pair[0].0 < pair[1].0), "{positions:?}");
    assert_eq!(read_all(log, 0, Position::START).await, positions);
    assert_eq!(read_all(log, 0, positions[11].0).await, positions[12..]);
    assert_eq!(read_all(log, 0, positions[19].0).await, []);
    assert!(log.read(0, positions[19].0, HandleKey::default()).await.unwrap().start_exists);
    assert!(log.read(0, positions[3].0, HandleKey::default()).await.unwrap().start_exists);
    let never = Position { seq: positions[19].0.seq + 1, ..positions[19].0 };
    assert!(
        !log.read(0, never, HandleKey::default()).await.unwrap().start_exists,
        "the log has no such record"
    );
    assert!(!log.read(0, Position::START, HandleKey::default()).await.unwrap().start_exists);
}

/// A log without such a call returns nothing.
async fn reading_together_is_reading_each(log: &dyn Log) {
    let mut places = Vec::new();
    for partition in 0..log.partitions() {
        let known = log.append(partition, record(1)).await.unwrap();
        let key = log.read(partition, known, HandleKey(7)).await.unwrap().origin.key;
        places.push(ReadPlace { after: known, key });
        log.append(partition, record(usize::from(partition))).await.unwrap();
    }
    let together = log.read_together(&places).await;
    assert!(together.is_empty() || together.len() == places.len());
    for ((partition, place), tail) in (0..).zip(places).zip(together) {
        let alone = log.read(partition, place.after, place.key).await.unwrap();
        let tail = tail.unwrap();
        assert_eq!(tail.records, alone.records);
        assert_eq!((tail.origin, tail.more, tail.start_exists), (alone.origin, false, true));
        assert!(tail.clock <= alone.clock && tail.clock >= tail.records[0].0.at);
    }
}

async fn an_empty_log_has_a_clock_and_an_origin(log: &dyn Log) {
    let first = log.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert!(first.records.is_empty() && !first.more);
    assert!(first.clock > UnixMs(1_700_000_000_000), "{}", first.clock);
    assert!(first.origin.created_at <= first.clock && first.origin.created_at > UnixMs::ZERO);
    assert!(!first.origin.is_complete);
    assert_eq!(first.origin.last_tended_at, UnixMs::ZERO);
    let position = log.append(0, record(0)).await.unwrap();
    assert!(
        position.at >= first.clock,
        "a record has a position before a clock that was read earlier"
    );
    let second = log.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert!(second.clock >= position.at);
    assert_eq!(second.origin.created_at, first.origin.created_at, "the log was created twice");
}

async fn reading_twice_is_the_same(log: &dyn Log) {
    log.append(0, record(1)).await.unwrap();
    let first = log.read(0, Position::START, HandleKey::default()).await.unwrap();
    let second = log.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert_eq!(first.records, second.records);
    assert!(second.clock >= first.clock);
}

async fn pages_join(log: &dyn Log) {
    let count = READ_RECORDS_MAX * 2 + 7;
    for n in 0..count {
        log.append(0, record(n)).await.unwrap();
    }
    let ReadResult { records, more, .. } =
        log.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert!(records.len() <= READ_RECORDS_MAX && more);
    let all = read_all(log, 0, Position::START).await;
    assert_eq!(
        all.iter().map(|(_, r)| r.clone()).collect::<Vec<_>>(),
        (0..count).map(record).collect::<Vec<_>>()
    );
}

async fn bytes_are_kept(log: &dyn Log) {
    let every_byte = Bytes::from_iter(0..=255u8);
    let largest = Bytes::from(vec![0xa5; RECORD_BYTES_MAX]);
    for record in [Bytes::new(), every_byte, largest] {
        let position = log.append(0, record.clone()).await.unwrap();
        assert_eq!(read_all(log, 0, Position::START).await.last(), Some(&(position, record)));
    }
}

async fn tending_forgets_only_what_is_old(log: &dyn Log) {
    log.read(0, Position::START, HandleKey::default()).await.unwrap();
    for n in 0..300 {
        log.append(0, record(n)).await.unwrap();
    }
    let middle = log.append(0, record(300)).await.unwrap();
    // No record is that old.
    log.maintain(0, UnixMs(1), UnixMs::ZERO).await.unwrap();
    assert_eq!(
        log.read(0, middle, HandleKey::default()).await.unwrap().origin.last_tended_at,
        UnixMs::ZERO,
        "no node was attending"
    );
    assert_eq!(read_all(log, 0, Position::START).await.len(), 301);
    // Records of later milliseconds stay in every case.
    let mut last = middle;
    while last.at == middle.at {
        last = log.append(0, record(301)).await.unwrap();
    }
    for _ in 0..2 {
        log.maintain(0, last.at, last.at).await.unwrap();
        let left = read_all(log, 0, Position::START).await;
        assert!(left.len() < 301, "{} records are left after the trim", left.len());
        assert_eq!(left.last(), Some(&(last, record(301))));
    }
    let tail = log.read(0, last, HandleKey::default()).await.unwrap();
    assert_eq!(tail.origin.last_tended_at, last.at);
    log.maintain(0, UnixMs(1), last.at.minus(1)).await.unwrap();
    log.maintain(0, UnixMs(1), UnixMs::ZERO).await.unwrap();
    let tail = log.read(0, last, HandleKey::default()).await.unwrap();
    assert_eq!(
        tail.origin.last_tended_at, last.at,
        "an earlier attended time overwrote a later one"
    );
    let next = log.append(0, record(302)).await.unwrap();
    assert!(next > last);
    assert_eq!(read_all(log, 0, middle).await.last(), Some(&(next, record(302))));
}

async fn whole_is_remembered_for_this_birth_only(log: &dyn Log) {
    let born = log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.created_at;
    log.mark_complete(0, born.minus(1)).await.unwrap();
    assert!(!log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.is_complete);
    log.mark_complete(0, born).await.unwrap();
    assert!(log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.is_complete);
}

async fn the_first_key_is_kept(log: &dyn Log) {
    let key =
        async |offered| log.read(0, Position::START, HandleKey(offered)).await.unwrap().origin.key;
    assert_eq!(key(0).await, HandleKey::default(), "the log has no key yet");
    assert_eq!(key(u64::MAX - 6).await, HandleKey(u64::MAX - 6));
    assert_eq!(key(8).await, HandleKey(u64::MAX - 6));
    assert_eq!(key(0).await, HandleKey(u64::MAX - 6));
}

async fn what_is_committed_only_grows(log: &dyn Log) {
    let committed =
        async || log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.committed;
    assert_eq!(committed().await, UnixMs::ZERO);
    for (noted, known) in
        [(1_790_000_300_000, 1_790_000_300_000), (1_790_000_000_000, 1_790_000_300_000)]
    {
        log.note_committed(0, UnixMs(noted)).await.unwrap();
        assert_eq!(committed().await, UnixMs(known));
    }
    log.maintain(0, UnixMs::ZERO, UnixMs(7)).await.unwrap();
    assert_eq!(committed().await, UnixMs(1_790_000_300_000));
}

async fn partitions_are_apart(log: &dyn Log) {
    for partition in 0..log.partitions() {
        log.append(partition, record(usize::from(partition))).await.unwrap();
    }
    for partition in 0..log.partitions() {
        let all = read_all(log, partition, Position::START).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1, record(usize::from(partition)));
    }
}

async fn concurrent_appends_all_lie_in_the_log(log: Arc<dyn Log>) {
    let mut appends = tokio::task::JoinSet::new();
    for n in 0..64 {
        let log = log.clone();
        appends.spawn(async move { (log.append(0, record(n)).await.unwrap(), record(n)) });
    }
    let mut appended = appends.join_all().await;
    appended.sort();
    assert_eq!(read_all(&*log, 0, Position::START).await, appended);
}

async fn a_later_handle_finds_it_all(backend: &Backend) {
    let (first, key) = (backend.open(20).await, HandleKey(7));
    let trimmed = first.append(0, record(1)).await.unwrap();
    let mut last = trimmed;
    while last.at == trimmed.at {
        last = first.append(0, record(2)).await.unwrap();
    }
    let created_at = first.read(0, Position::START, key).await.unwrap().origin.created_at;
    first.mark_complete(0, created_at).await.unwrap();
    first.note_committed(0, trimmed.at).await.unwrap();
    first.maintain(0, last.at, last.at).await.unwrap();
    let before = first.read(0, Position::START, HandleKey::default()).await.unwrap();
    let (last_tended_at, committed) = (last.at, trimmed.at);
    let origin = PartitionMeta { created_at, is_complete: true, last_tended_at, committed, key };
    assert_eq!(before.origin, origin);
    assert_eq!(before.records.last(), Some(&(last, record(2))));
    drop(first);
    let second = backend.open(20).await;
    let after = second.read(0, Position::START, HandleKey::default()).await.unwrap();
    assert_eq!((after.records, after.origin), (before.records, origin));
    assert!(after.clock >= before.clock, "the log's clock went back");
    // A log without records continues as well.
    second.maintain(0, after.clock.plus(1), UnixMs::ZERO).await.unwrap();
    drop(second);
    let third = backend.open(20).await;
    assert!(third.append(0, record(3)).await.unwrap() > last);
}

async fn two_handles_are_one_log(backend: &Backend) {
    let (one, other) = (backend.open(21).await, backend.open(21).await);
    let position = one.append(0, record(1)).await.unwrap();
    assert_eq!(read_all(&*other, 0, Position::START).await, [(position, record(1))]);
    let later = other.append(0, record(2)).await.unwrap();
    assert_eq!(read_all(&*one, 0, position).await, [(later, record(2))]);
    assert_eq!(
        one.read(0, later, HandleKey::default()).await.unwrap().origin.created_at,
        other.read(0, later, HandleKey::default()).await.unwrap().origin.created_at
    );
}

pub(super) fn at(url: String) -> Backend {
    let target = LogTarget::parse(&url).unwrap();
    Backend::at(move |_| target.clone())
}

#[timed_test(flavor = "multi_thread")]
async fn memory() {
    let memory = Backend { survives: false, shared: false, ..Backend::at(|_| LogTarget::Memory) };
    keeps_the_contract(memory).await;
}

#[timed_test(flavor = "multi_thread")]
async fn file() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().into();
    let target = move |n| LogTarget::File(path.join(format!("log-{n}")));
    keeps_the_contract(Backend { shared: false, ..Backend::at(target) }).await;
}

/// The simulated log keeps the contract too, or proofs over it would prove little.
#[timed_test(start_paused = true)]
async fn simulated() {
    housecount_backend::sim::begin(9);
    // Two partitions, so that a mix-up of partitions shows.
    let plan = || SimPlan { partitions: 2, ..SimPlan::of(9) };
    let worlds: Vec<Arc<World>> = (0..30).map(|_| World::new(plan(), 1_000, false)).collect();
    let open = move |n: usize| -> Opening {
        let log: Arc<dyn Log> =
            Arc::new(housecount_sim::world::log::SimLog::new(worlds[n].clone(), 0, 0));
        worlds[n].truth.lock().begin();
        Box::pin(async { log })
    };
    keeps_the_contract(Backend { open: Box::new(open), survives: true, shared: true }).await;
    housecount_backend::sim::end();
}

#[timed_test(flavor = "multi_thread")]
async fn redis() {
    let server = Server::start(Flavour::Redis, &[]).await;
    keeps_the_contract(at(server.url())).await;
}

#[timed_test(flavor = "multi_thread")]
async fn valkey() {
    let server = Server::start(Flavour::Valkey, &[]).await;
    keeps_the_contract(at(server.url())).await;
}

#[timed_test(flavor = "multi_thread")]
async fn redis_with_partitions() {
    let server = Server::start(Flavour::Redis, &[]).await;
    keeps_the_contract(at(format!("{}?partitions=4", server.url()))).await;
}

#[timed_test(flavor = "multi_thread")]
async fn redis_cluster() {
    let cluster = Cluster::start().await;
    keeps_the_contract(at(cluster.url())).await;
}

/// A DynamoDB log without the records that it put a second time. A put that came too late is in the
/// log as well. That is harmless, and a busy machine brings it about.
#[derive(Debug)]
struct Acknowledged {
    log: DynamoLog,
    acknowledged: Positions,
}

type Positions = Arc<Mutex<BTreeSet<Position>>>;

#[async_trait]
impl Log for Acknowledged {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        let position = self.log.append(partition, record).await?;
        self.acknowledged.lock().insert(position);
        Ok(position)
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let mut tail = self.log.read(partition, after, key).await?;
        tail.records.retain(|(position, _)| self.acknowledged.lock().contains(position));
        Ok(tail)
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.log.maintain(partition, before, attended).await
    }

    fn maintain_writes(&self) -> bool {
        self.log.maintain_writes()
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        self.log.mark_complete(partition, born).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        self.log.note_committed(partition, to).await
    }

    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        self.log.publish_counts(counts).await
    }
}

/// The tables of the contract's parts, one for each part.
fn dynamodb_tables() -> impl Iterator<Item = String> {
    (0..=10).chain([20, 21]).map(|n| format!("log-{n:03}"))
}

async fn dynamodb_with(partitions: u16) {
    let dynamo = Dynamo::start().await;
    dynamodb_tables().for_each(|table| dynamo.make_table(&table));
    dynamodb_at(dynamo.endpoint(), partitions).await;
}

async fn dynamodb_at(endpoint: String, partitions: u16) {
    let acknowledged: Arc<Mutex<BTreeMap<usize, Positions>>> = Arc::default();
    let open = move |n: usize| -> Opening {
        let (endpoint, acknowledged) = (endpoint.clone(), acknowledged.clone());
        Box::pin(async move {
            let more = format!("flush=100ms&partitions={partitions}");
            let log = log_at(&endpoint, &format!("log-{n:03}"), &more).await;
            let acknowledged = acknowledged.lock().entry(n).or_default().clone();
            let log: Arc<dyn Log> = Arc::new(Acknowledged { log, acknowledged });
            log
        })
    };
    keeps_the_contract(Backend { open: Box::new(open), survives: true, shared: true }).await;
}

/// The counterpart of the cold tier's test for another engine.
#[timed_test(flavor = "multi_thread")]
#[ignore = "needs an engine at DYNAMODB_ENDPOINT"]
async fn dynamodb_of_another_engine() {
    #[allow(clippy::disallowed_methods)] // names the engine, not a setting
    let endpoint = std::env::var("DYNAMODB_ENDPOINT").unwrap();
    for table in dynamodb_tables() {
        // On an engine without TTL, records stay for longer.
        let _ =
            cold_at(&endpoint, &table).await.create_table(&TableOptions::default(), |_| ()).await;
    }
    dynamodb_at(endpoint, 1).await;
}

#[timed_test(flavor = "multi_thread")]
async fn dynamodb() {
    dynamodb_with(1).await;
}

#[timed_test(flavor = "multi_thread")]
async fn dynamodb_with_partitions() {
    dynamodb_with(3).await;
}

#[timed_test(flavor = "multi_thread")]
async fn redis_with_a_password_and_a_database() {
    let server = Server::start(Flavour::Redis, &["--requirepass", "secret"]).await;
    keeps_the_contract(at(format!("redis://:secret@127.0.0.1:{}/3", server.port))).await;
    assert!(server.command("DBSIZE").starts_with("-NOAUTH"), "the server requires a password");
    let wrong = LogTarget::parse(&format!("redis://:wrong@127.0.0.1:{}/3", server.port)).unwrap();
    let error = wrong
        .open("hc:")
        .await
        .unwrap()
        .read(0, Position::START, HandleKey::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), housecount_backend::error::ErrorKind::Denied);
    assert!(!error.to_string().contains("wrong@"), "{error}");
}

#[timed_test(flavor = "multi_thread")]
async fn redis_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    std::fs::write(file("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let tls_port = crate::support::free_port();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let arguments =
        ["--tls-port", &tls_port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"];
    let _server = Server::start(Flavour::Redis, &[&arguments[..], &more[..]].concat()).await;
    keeps_the_contract(at(format!("rediss://localhost:{tls_port}/0?ca={cert}"))).await;
    // A client without the authority trusts no server.
    let target = LogTarget::parse(&format!("rediss://localhost:{tls_port}/0")).unwrap();
    assert!(
        target
            .open("hc:")
            .await
            .unwrap()
            .read(0, Position::START, HandleKey::default())
            .await
            .is_err()
    );
}

#[timed_test(flavor = "multi_thread")]
async fn a_log_with_other_partitions_is_refused() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let open = async |url: String| LogTarget::parse(&url).unwrap().open("hc:").await.unwrap();
    open(server.url()).await.read(0, Position::START, HandleKey::default()).await.unwrap();
    let other = open(format!("{}?partitions=4", server.url())).await;
    let error = other.read(0, Position::START, HandleKey::default()).await.unwrap_err().to_string();
    assert!(
        error
            .contains("it has 1 partitions, but this node is configured with 4; set ?partitions=1"),
        "{error}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn redis_that_comes_back_is_used_again() {
    let mut server = Server::start(Flavour::Redis, &[]).await;
    let log = LogTarget::parse(&server.url()).unwrap().open("hc:").await.unwrap();
    let born = log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.created_at;
    server.kill();
    let error = log.append(0, record(1)).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    server.run().await;
    crate::support::eventually("the log works again", async || {
        log.append(0, record(1)).await.is_ok()
    })
    .await;
    let origin = log.read(0, Position::START, HandleKey::default()).await.unwrap().origin;
    assert!(origin.created_at > born && !origin.is_complete, "the log reports the loss");
}

#[timed_test(flavor = "multi_thread")]
async fn publish_sets_and_removes_plain_keys() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let cluster = Cluster::start().await;
    for (url, ports) in [
        (server.url(), vec![server.port]),
        (cluster.url(), cluster.masters.iter().map(|m| m.port).collect()),
    ] {
        let get = |key: &str| -> Vec<String> {
            let ask = |port: &u16| crate::support::redis::command_at(*port, &format!("GET {key}"));
            ports.iter().map(ask).filter(|answer| !answer.starts_with(['-', '$'])).collect()
        };
        let log = LogTarget::parse(&url).unwrap().open("hc:").await.unwrap();
        let counts: Vec<(String, u64)> = (0..50).map(|n| (format!("stage/{n}"), n + 1)).collect();
        log.publish_counts(&counts).await.unwrap();
        assert_eq!(get("hc:viewers:stage/41"), ["42"]);
        log.publish_counts(&[("stage/41".to_string(), 0)]).await.unwrap();
        assert!(get("hc:viewers:stage/41").is_empty());
        assert_eq!(get("hc:viewers:stage/40"), ["41"]);
    }
}

/// The driver may lose all its nodes while a master is unavailable; it must find them again.
#[timed_test(flavor = "multi_thread")]
async fn a_cluster_whose_master_comes_back_is_used_again() {
    let mut cluster = Cluster::start().await;
    let log = LogTarget::parse(&cluster.url()).unwrap().open("hc:").await.unwrap();
    let mut busy = tokio::task::JoinSet::new();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for n in 0..64u16 {
        let (log, stop) = (log.clone(), stop.clone());
        busy.spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let _ = log.append(n % log.partitions(), record(usize::from(n))).await;
            }
        });
    }
    cluster.masters[1].kill();
    let some_fail = async || {
        let mut failed = 0;
        for partition in 0..log.partitions() {
            failed += usize::from(log.append(partition, record(0)).await.is_err());
        }
        failed > 0
    };
    crate::support::eventually("some partitions fail", some_fail).await;
    cluster.masters[1].run().await;
    let all_work = async || {
        let mut worked = 0;
        for partition in 0..log.partitions() {
            worked += u16::from(log.append(partition, record(0)).await.is_ok());
        }
        worked == log.partitions()
    };
    crate::support::eventually("all partitions work again", all_work).await;
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    busy.join_all().await;
}

/// A stalled disk. The number of waiting orders is bounded, and accepted orders are written when
/// the disk works again.
#[timed_test(flavor = "multi_thread")]
async fn file_log_orders_max_refuses_what_a_stalled_disk_would_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogTarget::File(folder.path().to_path_buf()).open("").await.unwrap();
    log.append(0, record(0)).await.unwrap();
    let other = rusqlite::Connection::open(folder.path().join("log.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer waits for the disk with the orders that it has accepted already.
    let mut waiting = Vec::new();
    let refused = loop {
        let mut append = Box::pin(log.append(0, record(waiting.len())));
        match poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx))).await {
            Poll::Pending => waiting.push(append),
            Poll::Ready(done) => break done.unwrap_err(),
        }
    };
    assert!(refused.to_string().contains("too many writes"), "{refused}");
    assert!(
        (FILE_LOG_ORDERS_MAX..=3 * FILE_LOG_ORDERS_MAX + 1).contains(&waiting.len()),
        "{}",
        waiting.len()
    );
    other.execute_batch("ROLLBACK").unwrap();
    let count = waiting.len();
    for append in waiting {
        append.await.unwrap();
    }
    assert_eq!(read_all(&*log, 0, Position::START).await.len(), 1 + count);
}

/// More commands at once than a connection has room for. They wait for their turn, and all are
/// answered.
#[timed_test(flavor = "multi_thread")]
async fn redis_commands_max_and_redis_pipeline_max_let_others_wait() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = LogTarget::parse(&server.url()).unwrap().open("test:").await.unwrap();
    log.append(0, record(0)).await.unwrap();
    let mut reads = tokio::task::JoinSet::new();
    for _ in 0..2 * REDIS_COMMANDS_MAX {
        let log = log.clone();
        reads.spawn(async move { log.read(0, Position::START, HandleKey::default()).await });
    }
    for read in reads.join_all().await {
        assert_eq!(read.unwrap().records.len(), 1);
    }
}
