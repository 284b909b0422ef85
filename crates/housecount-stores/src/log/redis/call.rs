//! Calls of Redis, which are the same on one server and on a cluster.

use redis::aio::ConnectionLike;
use redis::{
    Arg, Cmd, ErrorKind as RedisKind, FromRedisValue, Pipeline, RedisError, Script,
    ScriptInvocation, ServerErrorKind, Value,
};

/// A script, with the names of the commands that it runs.
pub(super) struct Lua {
    script: Script,
    commands: Vec<&'static str>,
}

impl Lua {
    pub(super) fn new(source: &'static str) -> Lua {
        let mut commands: Vec<&str> = source
            .split("redis.call('")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next())
            .collect();
        commands.sort_unstable();
        commands.dedup();
        Lua { script: Script::new(source), commands }
    }

    pub(super) fn prepare(&self) -> ScriptInvocation<'_> {
        self.script.prepare_invoke()
    }

    /// Names of its commands, after those of the commands that run it.
    fn named(&self) -> String {
        format!("EVALSHA, SCRIPT LOAD, {}", self.commands.join(", "))
    }
}

/// Call to send to Redis.
pub(super) enum RedisCommand<'a> {
    Command(&'a Cmd),
    Script(&'a Lua, &'a ScriptInvocation<'a>),
    Pipeline(&'a Pipeline),
    /// A transaction, from MULTI to EXEC, and a script with the same answer for servers that refuse
    /// the transaction.
    AtomicRead(&'a Pipeline, &'a Lua, &'a ScriptInvocation<'a>),
    /// A transaction, from MULTI to EXEC, that fails where the server refuses it.
    Transaction(&'a Pipeline),
}

impl RedisCommand<'_> {
    pub(super) fn commands(&self) -> u64 {
        match self {
            RedisCommand::Command(_) | RedisCommand::Script(..) => 1,
            RedisCommand::Pipeline(pipeline)
            | RedisCommand::AtomicRead(pipeline, ..)
            | RedisCommand::Transaction(pipeline) => pipeline.len() as u64,
        }
    }

    /// Names of the commands that the Redis user must be allowed, for messages.
    pub(super) fn commands_named(&self) -> String {
        match self {
            RedisCommand::Command(command) => name(command.args_iter()),
            RedisCommand::Script(script, _) | RedisCommand::AtomicRead(_, script, _) => {
                script.named()
            }
            RedisCommand::Pipeline(pipeline) | RedisCommand::Transaction(pipeline) => {
                let mut names: Vec<String> =
                    pipeline.cmd_iter().map(|command| name(command.args_iter())).collect();
                names.sort_unstable();
                names.dedup();
                names.join(", ")
            }
        }
    }

    /// Runs the call on a connection.
    ///
    /// Returns its outcome. If Redis denied the transaction to this user and the script ran
    /// instead, returns that error as well.
    pub(super) async fn on<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
    ) -> (Result<T, RedisError>, Option<RedisError>) {
        let outcome = match self {
            RedisCommand::Command(command) => command.query_async(connection).await,
            RedisCommand::Script(_, script) => script.invoke_async(connection).await,
            RedisCommand::Pipeline(pipeline) => pipeline.query_async(connection).await,
            RedisCommand::Transaction(moment) => match transaction(moment, connection).await {
                Ok(answer) => answer.and_then(|answer| Ok(T::from_redis_value(answer)?)),
                Err(TransactionRefused(refused)) => Err(refused),
            },
            RedisCommand::AtomicRead(moment, _, script) => {
                match transaction(moment, connection).await {
                    Ok(answer) => answer.and_then(|answer| Ok(T::from_redis_value(answer)?)),
                    Err(TransactionRefused(refused)) => {
                        let denied = Some(refused).filter(is_denied);
                        return (script.invoke_async(connection).await, denied);
                    }
                }
            }
        };
        (outcome, None)
    }
}

fn name<'a>(mut args: impl Iterator<Item = Arg<&'a [u8]>>) -> String {
    match args.next() {
        Some(Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

/// Refusal of a transaction: over `maxmemory`, without the permission, or because the partition has
/// moved to another master. Holds the first error.
///
/// The driver follows a moved partition only for single commands.
struct TransactionRefused(RedisError);

/// Runs a transaction and returns the answer to EXEC.
///
/// The driver's own transactions panic in debug builds if MULTI is denied (redis 2.0.0-rc.2).
async fn transaction(
    moment: &Pipeline,
    connection: &mut impl ConnectionLike,
) -> Result<Result<Value, RedisError>, TransactionRefused> {
    let mut answers: Vec<Value> = match moment.query_async(connection).await {
        Ok(answers) => answers,
        // A cluster's driver returns this after it has followed the partition in vain.
        Err(error) if is_refused(&error) => return Err(TransactionRefused(error)),
        Err(error) => return Ok(Err(error)),
    };
    let answer = answers.pop().unwrap_or(Value::Nil);
    for answer in answers {
        answer.extract_error().map_err(TransactionRefused)?;
    }
    match answer {
        Value::ServerError(error) => Err(TransactionRefused(error.into())),
        answer => Ok(answer.extract_error()),
    }
}

fn is_refused(error: &RedisError) -> bool {
    let is_aborted = error.kind() == RedisKind::Server(ServerErrorKind::ExecAbort);
    is_aborted || error.is_cluster_error() || error.code() == Some("OOM")
}

/// Whether Redis denies a command to its user. Inside a script, Redis 7.0 has no error code for it.
pub(super) fn is_denied(error: &RedisError) -> bool {
    let of_script = ["can't run this command", "ACL failure in script"];
    let text = error.to_string();
    error.kind() == RedisKind::Server(ServerErrorKind::NoPerm)
        || text.contains("NOPERM")
        || of_script.iter().any(|start| text.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_call_are_named() {
        let named = |call: RedisCommand<'_>| call.commands_named();
        assert_eq!(named(RedisCommand::Command(redis::cmd("XADD").arg("key"))), "XADD");
        let mut both = redis::pipe();
        both.cmd("SETEX").arg("a").cmd("DEL").arg("b").cmd("SETEX").arg("c");
        assert_eq!(named(RedisCommand::Pipeline(&both)), "DEL, SETEX");
        let script =
            Lua::new("redis.call('HGET', KEYS[1])\nredis.call('DEL')\nredis.call('HGET', KEYS[2])");
        assert_eq!(
            named(RedisCommand::Script(&script, &script.prepare())),
            "EVALSHA, SCRIPT LOAD, DEL, HGET"
        );
    }

    #[test]
    fn a_denial_is_known_by_every_servers_words() {
        let error = |line: &str| {
            redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err()
        };
        for denial in [
            "-NOPERM this user has no permissions to run the 'xadd' command\r\n",
            "-ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1.\r\n",
            "-ERR ACL failure in script: User u has no permissions to run the 'hexists' command\r\n",
        ] {
            assert!(is_denied(&error(denial)), "{denial}");
        }
        assert!(!is_denied(&error(
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        )));
    }
}
