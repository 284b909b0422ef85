//! Contenders, and the loads that each is measured under.

use std::fmt;

use crate::tokens::Signed;

/// A way of receiving heartbeats that is measured.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Name for `--only` and for tables.
    pub name: &'static str,
    /// Description for people.
    pub what: &'static str,
    /// Processes of the contender, and their settings.
    pub setup: Setup,
    /// Loads, in the order in which they run.
    pub loads: Vec<Load>,
    /// Whether it is part of `--quick`.
    pub is_quick: bool,
}

/// Processes and settings of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The HTTP stack alone.
    Floor,
    /// The WebSocket stack alone.
    Echo,
    /// housecount itself.
    Housecount {
        /// Kind of its log.
        log: Log,
        /// Number of nodes.
        nodes: usize,
        /// Further `--set` arguments.
        set: &'static [&'static str],
        /// Whether there is a cold tier, which the ledger needs.
        has_cold: bool,
        /// Algorithm of the tokens that every heartbeat needs, if any.
        tokens: Option<Signed>,
    },
    /// Node and Redis.
    Usual {
        /// Name of the web framework, `express` or `fastify`.
        framework: &'static str,
        /// Commands sent to Redis, `usual` or `zadd`.
        mode: &'static str,
    },
}

/// Kind of housecount's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// `memory:`
    Memory,
    /// `file:DIR`
    File,
    /// `redis://`
    Redis(Persistence),
}

/// Persistence of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// No persistence.
    None,
    /// An append-only file, forced to the disk every second.
    AofEverysec,
}

/// A load on a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// As many heartbeats as the contender can answer, by wrk over this many keep-alive
    /// connections.
    Saturated(usize),
    /// This many heartbeats per second, whether or not the contender keeps up. Uses 256 connections
    /// up to 5,000 per second, and 1,024 above.
    Open(usize),
    /// Calls of `/v1/heartbeats` with 1,000 heartbeats each, over 4 connections.
    Batch,
    /// WebSockets that send the next heartbeat when the last one is answered.
    WebSocket,
    /// Memory of idle keep-alive connections.
    IdleHttp,
    /// Memory of idle WebSockets.
    IdleWebSocket,
    /// Memory per viewer, and the CPU cost of a beat with few and with many viewers.
    Crowd,
    /// Bytes per beat in the log.
    LogBytes(LogShape),
}

/// Arrival pattern of the beats whose bytes in the log are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogShape {
    /// Single beats, 3,333 per second.
    Single {
        /// Number of stages that the viewers are on.
        stages: usize,
    },
    /// Calls of 1,000 beats, all on one stage.
    Batches,
}

impl Load {
    /// Returns whether the contender must be restarted for this load. Otherwise memory that an
    /// earlier load used and freed would be used again.
    pub fn wants_fresh(self) -> bool {
        matches!(self, Load::IdleHttp | Load::IdleWebSocket | Load::Crowd | Load::LogBytes(_))
    }

    /// Returns whether the load can alternate with others.
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

/// Load of 100,000 players that beat every 30 s.
pub const CALM: Load = Load::Open(3_333);
/// Load whose p99 is promised.
pub const BRISK: Load = Load::Open(20_000);

/// Returns all contenders, in the order in which they are measured.
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
