//! A poll of all partitions of a Redis in one transaction.

use housecount_backend::log::{Log, LogUsage, Position, ReadPlace, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::keys::redis_stream;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use super::log::record;
use crate::support::redis::{Cluster, Flavour, Server};

const KEY: HandleKey = HandleKey(7);

/// A reader of all partitions, as a node is one.
struct Reader {
    log: std::sync::Arc<dyn Log>,
    places: Vec<ReadPlace>,
}

impl Reader {
    /// A reader that knows one record of each of three partitions.
    async fn start(server: &Server) -> Reader {
        let url = format!("{}?partitions=3", server.url());
        let log = LogTarget::parse(&url).unwrap().open("hc:").await.unwrap();
        let mut reader = Reader { log, places: Vec::new() };
        for partition in 0..3 {
            reader.log.append(partition, record(0)).await.unwrap();
            reader.places.push(ReadPlace { after: Position::START, key: KEY });
        }
        assert!(reader.together().await.is_empty(), "no length is known yet");
        for partition in 0..3 {
            assert_eq!(reader.alone(partition).await, 1);
        }
        reader
    }

    /// Reads a partition alone, and returns the number of its new records.
    async fn alone(&mut self, partition: u16) -> usize {
        let place = &mut self.places[usize::from(partition)];
        let tail = self.log.read(partition, place.after, place.key).await.unwrap();
        advance(place, &tail);
        tail.records.len()
    }

    /// Reads all partitions, and returns the number of new records of each that was read.
    async fn together(&mut self) -> Vec<Option<usize>> {
        let tails = self.log.read_together(&self.places).await;
        let read = |(place, tail): (&mut ReadPlace, Option<ReadResult>)| {
            let tail = tail?;
            advance(place, &tail);
            Some(tail.records.len())
        };
        self.places.iter_mut().zip(tails).map(read).collect()
    }

    fn commands(&self) -> u64 {
        match self.log.consumed() {
            LogUsage::Redis(usage) => usage.commands,
            other => panic!("{other:?}"),
        }
    }
}

fn advance(place: &mut ReadPlace, tail: &ReadResult) {
    place.key = tail.origin.key;
    place.after = tail.records.last().map_or(place.after, |(last, _)| *last);
}

#[timed_test(flavor = "multi_thread")]
async fn all_partitions_are_polled_in_one_transaction() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let mut reader = Reader::start(&server).await;
    let before = reader.commands();
    assert_eq!(reader.together().await, [Some(0); 3]);
    // MULTI, TIME, two a partition, XREAD, ROLE, EXEC. Alone, each partition takes seven.
    assert_eq!(reader.commands() - before, 11);
    reader.log.append(0, record(1)).await.unwrap();
    for n in 0..3 {
        reader.log.append(2, record(n)).await.unwrap();
    }
    assert_eq!(reader.together().await, [Some(1), Some(0), Some(3)]);
    assert_eq!(reader.together().await, [Some(0); 3]);
}

/// A loss in one partition does not stop the others.
#[timed_test(flavor = "multi_thread")]
async fn a_partition_that_lost_a_record_is_left_to_a_read_of_its_own() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let mut reader = Reader::start(&server).await;
    let stream = redis_stream("hc:", 1);
    server.command(&format!("XDEL {stream} {}", reader.places[1].after));
    assert_eq!(reader.together().await, [Some(0), None, Some(0)]);
    let place = reader.places[1];
    assert!(!reader.log.read(1, place.after, KEY).await.unwrap().start_exists);
    // Until a record of it is known again, partitions are read one by one.
    assert!(reader.together().await.is_empty());
    reader.log.append(1, record(2)).await.unwrap();
    assert_eq!(reader.alone(1).await, 1);
    assert_eq!(reader.together().await.len(), 0, "its last record is new, and was not looked up");
    assert_eq!(reader.alone(1).await, 0);
    assert_eq!(reader.together().await, [Some(0); 3]);
    server.command("FLUSHALL");
    assert_eq!(reader.together().await, [None; 3]);
}

#[timed_test(flavor = "multi_thread")]
async fn without_the_transaction_partitions_are_read_one_by_one() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let mut reader = Reader::start(&server).await;
    assert_eq!(server.command("ACL SETUSER housecount -multi"), "+OK");
    assert!(reader.together().await.is_empty());
    let before = reader.commands();
    assert!(reader.together().await.is_empty(), "a refused call is not repeated at once");
    assert_eq!(reader.commands(), before);
    assert_eq!(reader.alone(0).await, 0);
    // The server's end asserts that nothing was denied.
    assert_eq!(server.command("ACL LOG RESET"), "+OK");
}

#[timed_test(flavor = "multi_thread")]
async fn a_replica_is_not_polled() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let mut reader = Reader::start(&server).await;
    assert_eq!(server.command("REPLICAOF 127.0.0.1 1"), "+OK");
    assert!(reader.together().await.is_empty());
}

/// A transaction has one server.
#[timed_test(flavor = "multi_thread")]
async fn partitions_of_a_cluster_are_read_one_by_one() {
    let cluster = Cluster::start().await;
    let log = LogTarget::parse(&cluster.url()).unwrap().open("hc:").await.unwrap();
    let places = vec![ReadPlace { after: Position::START, key: KEY }; 8];
    assert!(log.read_together(&places).await.is_empty());
}
