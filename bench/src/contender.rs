//! Who is measured, and under which loads.

use std::fmt;

use crate::tokens::Signed;

/// One way of taking heartbeats.
#[derive(Clone, Debug)]
pub struct Contender {
    /// For `--only` and in tables.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// How it is started.
    pub setup: Setup,
    /// What is put on it, in this order.
    pub loads: Vec<Load>,
    /// Whether it is part of `--quick`.
    pub is_quick: bool,
}

/// How a contender is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The HTTP stack alone.
    Floor,
    /// The WebSocket stack alone.
    Echo,
    /// housecount itself.
    Housecount {
        /// What its log is.
        log: Log,
        /// How many nodes.
        nodes: usize,
        /// Further `--set`s.
        set: &'static [&'static str],
        /// Without a cold tier there is no ledger.
        has_cold: bool,
        /// What every heartbeat needs a token of, if any.
        tokens: Option<Signed>,
    },
    /// Node and Redis.
    Usual {
        /// `express` or `fastify`.
        framework: &'static str,
        /// `usual` or `zadd`.
        mode: &'static str,
    },
}

/// What housecount's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// `memory:`
    Memory,
    /// `file:DIR`
    File,
    /// `redis://`
    Redis(Persistence),
}

/// What a Redis keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// An append-only file, forced to the disk every second.
    AofEverysec,
}

/// What is put on a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// As much as it can take, by wrk over so many keep-alive connections.
    Saturated(usize),
    /// So many heartbeats a second, whether or not it keeps up, over 256 connections.
    Open(usize),
    /// `/v1/heartbeats`, 1,000 a call, over 4 connections.
    Batch,
    /// WebSockets that send the next heartbeat when the last is answered.
    WebSocket,
    /// Memory of idle keep-alive connections.
    IdleHttp,
    /// Memory of idle WebSockets.
    IdleWebSocket,
    /// Memory a viewer; and what a beat costs with few and with many of them.
    Crowd,
    /// Bytes a beat in the log, the viewers being on so many stages.
    LogBytes(LogShape),
}

/// How the beats arrive whose bytes in the log are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogShape {
    /// 3,333 a second, each by itself.
    Single {
        /// Stages the viewers are on.
        stages: usize,
    },
    /// In calls of 1,000, all on one stage.
    Batches,
}

impl Load {
    /// Whether the contender must be started anew for it: memory that was used and freed would be
    /// found again.
    pub fn wants_fresh(self) -> bool {
        matches!(self, Load::IdleHttp | Load::IdleWebSocket | Load::Crowd | Load::LogBytes(_))
    }

    /// Whether there is something to take turns with.
    pub fn takes_turns(self) -> bool {
        matches!(self, Load::Saturated(_) | Load::Open(_) | Load::WebSocket)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Saturated(connections) => write!(f, "saturated, {connections} connections"),
            Load::Open(rate) => write!(f, "open loop, {rate}/s"),
            Load::Batch => f.write_str("batches of 1,000"),
            Load::WebSocket => f.write_str("WebSocket, closed loop"),
            Load::IdleHttp => f.write_str("idle HTTP connections"),
            Load::IdleWebSocket => f.write_str("idle WebSockets"),
            Load::Crowd => f.write_str("memory a viewer"),
            Load::LogBytes(LogShape::Single { stages: 1 }) => {
                f.write_str("log bytes, 3333/s, 1 stage")
            }
            Load::LogBytes(LogShape::Single { stages }) => {
                write!(f, "log bytes, 3333/s, {stages} stages")
            }
            Load::LogBytes(LogShape::Batches) => {
                f.write_str("log bytes, batches of 1,000, 1 stage")
            }
        }
    }
}

/// The load that a hundred thousand players make at 30 s.
pub const CALM: Load = Load::Open(3_333);
/// The one whose p99 is promised.
pub const BRISK: Load = Load::Open(20_000);

/// All of them, in the order of their turns.
pub fn all() -> Vec<Contender> {
    let few = Load::Saturated(64);
    let many = Load::Saturated(512);
    let http = vec![few, many, CALM, BRISK];
    let and_batch = [http.as_slice(), &[Load::Batch]].concat();
    let on_redis = [and_batch.as_slice(), &[Load::IdleHttp]].concat();
    let node = |log| Setup::Housecount { log, nodes: 1, set: &[], has_cold: true, tokens: None };
    let redis = Log::Redis(Persistence::None);
    let aof = Log::Redis(Persistence::AofEverysec);
    let two = Setup::Housecount { log: redis, nodes: 2, set: &[], has_cold: true, tokens: None };
    let ack_memory = Setup::Housecount {
        log: redis,
        nodes: 1,
        set: &["ack=memory"],
        has_cold: true,
        tokens: None,
    };
    let no_ledger =
        Setup::Housecount { log: redis, nodes: 1, set: &[], has_cold: false, tokens: None };
    let signed =
        |by| Setup::Housecount { log: redis, nodes: 1, set: &[], has_cold: true, tokens: Some(by) };
    let usual = |framework, mode| Setup::Usual { framework, mode };
    let log_shapes =
        [LogShape::Single { stages: 1 }, LogShape::Single { stages: 10 }, LogShape::Batches];
    let sockets = vec![Load::WebSocket, Load::IdleWebSocket];
    let with = |name, what, setup, loads: &[Load], is_quick| Contender {
        name,
        what,
        setup,
        loads: loads.to_vec(),
        is_quick,
    };
    vec![
        with(
            "floor",
            "the HTTP stack alone: hyper, one runtime a core",
            Setup::Floor,
            &[http.as_slice(), &[Load::IdleHttp]].concat(),
            true,
        ),
        with("memory", "housecount, --log memory:", node(Log::Memory), &and_batch, false),
        with("file", "housecount, --log file:", node(Log::File), &and_batch, false),
        with("redis", "housecount, --log redis:", node(redis), &on_redis, true),
        with("redis-aof", "the same, Redis with AOF everysec", node(aof), &and_batch, false),
        with("redis-2nodes", "the same without AOF, two nodes", two, &and_batch, false),
        with("redis-ack-memory", "--log redis: --set ack=memory", ack_memory, &and_batch, false),
        with(
            "redis-hs256",
            "--log redis:, a token a heartbeat, HS256",
            signed(Signed::Hs256),
            &[few, many],
            false,
        ),
        with("redis-eddsa", "the same, EdDSA", signed(Signed::EdDsa), &[few, many], false),
        with(
            "express-usual",
            "Express: SETEX, SADD, GET",
            usual("express", "usual"),
            &[few, many, CALM],
            false,
        ),
        with("express-zadd", "Express: ZADD", usual("express", "zadd"), &[few, many, CALM], false),
        with(
            "fastify-usual",
            "Fastify: SETEX, SADD, GET",
            usual("fastify", "usual"),
            &[few, many, CALM],
            true,
        ),
        with("fastify-zadd", "Fastify: ZADD", usual("fastify", "zadd"), &[few, many, CALM], false),
        with(
            "ws-echo",
            "the WebSocket stack alone: tokio-tungstenite, answers of the same length",
            Setup::Echo,
            &sockets,
            true,
        ),
        with("ws", "housecount, GET /v1/ws, --log redis:", node(redis), &sockets, true),
        with("crowd", "housecount, --log redis:, one stage", node(redis), &[Load::Crowd], true),
        with("crowd-no-ledger", "the same, --cold none", no_ledger, &[Load::Crowd], false),
        with("log", "housecount, --log redis:", node(redis), &log_shapes.map(Load::LogBytes), true),
    ]
}
