//! Wait of an idle node for a record of any node, on a connection of its own.
//!
//! `XREAD BLOCK` returns as soon as a record is appended, so an idle node needs few reads. It only
//! wakes the reader: what is read, and its moment, are up to the usual read. On a cluster the
//! streams are on several servers, so there a node does not wait. Where waiting fails, the node
//! reads as often as usual.

use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::log::Position;
use housecount_core::keys::redis_stream;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value};
use tokio::sync::Mutex;

use super::link::CONNECTION_TIMEOUT;

/// Time by which an answer may be later than the server was asked to wait.
const ANSWER_LATE: Duration = Duration::from_millis(500);
/// Time after a failure in which the node does not wait.
const AFTER_FAILURE_MS: u64 = 10_000;

/// Connection that waits.
#[derive(Default)]
pub(super) struct Waiter(Mutex<WaiterState>);

#[derive(Default)]
struct WaiterState {
    /// The connection, and the number of moves of the log when it was made.
    connection: Option<(MultiplexedConnection, u64)>,
    /// Time until which the node does not wait, on this node's own clock.
    not_before_ms: u64,
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
    ) -> bool {
        let mut state = self.0.lock().await;
        if mono_ms() < state.not_before_ms {
            return false;
        }
        // Left out until the answer has come. So a connection whose call was dropped is not used
        // again.
        let known = state.connection.take().filter(|(_, made)| *made == moves);
        let waited = async {
            let mut connection = match known {
                Some((connection, _)) => connection,
                None => connect(&client.await?, within).await?,
            };
            let _: Value = command(prefix, after, within).query_async(&mut connection).await?;
            RedisResult::Ok(connection)
        };
        match waited.await {
            Ok(connection) => state.connection = Some((connection, moves)),
            Err(_) => state.not_before_ms = mono_ms() + AFTER_FAILURE_MS,
        }
        state.connection.is_some()
    }
}

async fn connect(client: &Client, within: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(within + ANSWER_LATE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Builds the command. Its answer has one record at most, which is read again by the usual read.
fn command(prefix: &str, after: &[Position], within: Duration) -> redis::Cmd {
    let mut command = redis::cmd("XREAD");
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    command.arg("COUNT").arg(1).arg("BLOCK").arg(within_ms).arg("STREAMS");
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
