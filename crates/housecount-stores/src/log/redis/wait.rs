//! Wait of an idle node for a record of any node, on a connection of its own.
//!
//! `XREAD BLOCK` returns as soon as a record is appended, so an idle node needs few reads. It only
//! wakes the reader: what is read, and its moment, are up to the usual read. On a cluster the
//! streams are on several servers, so there a node does not wait. Where waiting fails, the node
//! reads as often as usual.

use std::future::ready;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::log::Position;
use housecount_core::keys::redis_stream;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::counter::RedisCounter;
use super::link::CONNECTION_TIMEOUT;

/// Time that the server is asked to wait, which is several waits of an idle node. A call and its
/// answer take 319 bytes with the headers of their packets.
const CALL_WAIT: Duration = Duration::from_secs(15);
/// Time by which an answer may be later than the server was asked to wait.
const ANSWER_LATE: Duration = Duration::from_millis(500);
/// Time after a failure in which the node does not wait.
const AFTER_FAILURE_MS: u64 = 10_000;

/// Connection that waits.
#[derive(Default)]
pub(super) struct Waiter(Mutex<WaiterState>);

#[derive(Default)]
struct WaiterState {
    call: Option<Call>,
    /// Time until which the node does not wait, on this node's own clock.
    not_before_ms: u64,
}

/// A call that waits, on a server that the log is on since a number of moves.
struct Call {
    moves: u64,
    /// Positions after which it waits for a record. Empty once it is answered.
    after: Vec<Position>,
    /// Returns the connection, once the call is answered.
    answer: Pin<Box<dyn Future<Output = RedisResult<MultiplexedConnection>> + Send>>,
}

impl Waiter {
    /// Waits for a record after one of these positions, at most for `within`. Returns false if that
    /// fails. `client` is of the server that the log is on since `moves`.
    pub(super) async fn wait(
        &self,
        client: impl Future<Output = RedisResult<Client>>,
        moves: u64,
        prefix: &str,
        after: &[Position],
        within: Duration,
        counter: &RedisCounter,
    ) -> bool {
        let mut state = self.0.lock().await;
        if mono_ms() < state.not_before_ms {
            return false;
        }
        let call_wait = within.max(CALL_WAIT);
        // Left out until the answer has come. So a connection whose call was dropped is not used
        // again.
        let known = state.call.take().filter(|call| call.moves == moves);
        let waited = async {
            let mut call = match known {
                Some(call) if call.after == after => call,
                known => {
                    let mut connection = match known {
                        // A record that this node has read has ended that call, too.
                        Some(earlier) => {
                            timeout(within, earlier.answer).await.map_err(io::Error::from)??
                        }
                        None => connect(&client.await?, call_wait).await?,
                    };
                    counter.sent(1, 0);
                    let command = command(prefix, after, call_wait);
                    let answer = Box::pin(async move {
                        let _: Value = command.query_async(&mut connection).await?;
                        Ok(connection)
                    });
                    Call { moves, after: after.to_vec(), answer }
                }
            };
            // Without an answer, the next wait for the same continues this one.
            if let Ok(answered) = timeout(within, &mut call.answer).await {
                call = Call { moves, after: Vec::new(), answer: Box::pin(ready(Ok(answered?))) };
            }
            RedisResult::Ok(call)
        };
        match waited.await {
            Ok(call) => state.call = Some(call),
            Err(_) => state.not_before_ms = mono_ms() + AFTER_FAILURE_MS,
        }
        state.call.is_some()
    }
}

async fn connect(client: &Client, call_wait: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(call_wait + ANSWER_LATE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Builds the command. Its answer has one record at most, which is read again by the usual read.
fn command(prefix: &str, after: &[Position], call_wait: Duration) -> redis::Cmd {
    let mut command = redis::cmd("XREAD");
    let wait_ms = u64::try_from(call_wait.as_millis()).unwrap_or(u64::MAX);
    command.arg("COUNT").arg(1).arg("BLOCK").arg(wait_ms).arg("STREAMS");
    for partition in (0..).take(after.len()) {
        command.arg(redis_stream(prefix, partition));
    }
    after.iter().for_each(|position| {
        command.arg(position.to_string());
    });
    command
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn all_partitions_are_waited_for_at_once() {
        let after = [Position::START, Position { at: UnixMs(7), seq: 1 }];
        let packed = command("hc:", &after, Duration::from_secs(1)).get_packed_command();
        let text = String::from_utf8(packed).unwrap();
        let words: Vec<&str> = text.split("\r\n").filter(|word| !word.starts_with('$')).collect();
        let streams = [redis_stream("hc:", 0), redis_stream("hc:", 1)];
        assert_eq!(
            words[1..],
            [
                "XREAD",
                "COUNT",
                "1",
                "BLOCK",
                "1000",
                "STREAMS",
                &streams[0],
                &streams[1],
                "0-0",
                "7-1",
                ""
            ]
        );
    }
}
