//! A redis-server that the harness starts, and queries to it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::contender::Persistence;
use crate::cpu::Cpu;
use crate::process::Process;

/// Key of the stream of housecount's one partition, with the default prefix (core/keys.rs).
const STREAM: &str = "hc:{0}:log";
/// Number of stream entries read at once.
const PAGE: usize = 1_000;

/// A running redis-server.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    address: SocketAddr,
}

/// Size of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamSize {
    /// Number of records.
    pub records: u64,
    /// Bytes in the records.
    pub record_bytes: u64,
    /// Bytes that Redis uses to store them.
    pub memory_bytes: u64,
}

/// Traffic of a Redis since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes in and out.
    pub bytes: u64,
    /// Number of reads of the log.
    pub polls: u64,
}

impl RedisServer {
    /// Starts a redis-server in a directory.
    pub fn start(
        address: SocketAddr,
        persistence: Persistence,
        dir: &Path,
        log: &Path,
    ) -> anyhow::Result<RedisServer> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir);
        command.args(["--port", &address.port().to_string()]);
        if persistence == Persistence::AofEverysec {
            command.args(["--appendonly", "yes", "--appendfsync", "everysec"]);
        }
        let process = Process::start("redis-server", command, log.to_path_buf())?;
        let mut server = RedisServer { process, address };
        let is_ready =
            || connect(address).and_then(|mut c| Ok(redis::cmd("PING").exec(&mut c)?)).is_ok();
        server.process.wait_until(Duration::from_secs(10), is_ready)?;
        Ok(server)
    }

    /// Returns the URL for `--log`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Returns the port of its listener.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the CPU time it has used.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of(self.process.pid())
    }

    /// Returns the bytes that its data uses.
    pub fn used_memory(&self) -> anyhow::Result<u64> {
        let info: redis::InfoDict =
            redis::cmd("INFO").arg("memory").query(&mut connect(self.address)?)?;
        info.get("used_memory").context("Redis does not say used_memory")
    }

    /// Deletes all data, as an operator's mistake does.
    pub fn flush(&self) -> anyhow::Result<()> {
        redis::cmd("FLUSHALL").exec(&mut connect(self.address)?).context("FLUSHALL")
    }

    /// Returns the bytes of the log's last record.
    pub fn last_record_bytes(&self) -> anyhow::Result<u64> {
        let mut ask = redis::cmd("XREVRANGE");
        ask.arg(STREAM).arg("+").arg("-").arg("COUNT").arg(1);
        let page: redis::streams::StreamRangeReply =
            ask.query(&mut connect(self.address)?).context("reading the log's last record")?;
        Ok(page.ids.iter().flat_map(|entry| entry.map.values()).map(bytes_of).sum())
    }

    /// Returns bytes and reads of the log until now. The query itself adds some kilobytes.
    pub fn traffic(&self) -> anyhow::Result<Traffic> {
        let mut connection = connect(self.address)?;
        let mut ask = |section: &str| {
            let info: redis::RedisResult<redis::InfoDict> =
                redis::cmd("INFO").arg(section).query(&mut connection);
            info.with_context(|| format!("INFO {section}"))
        };
        // Commands come first. The counts of bytes then include the same answer in both readings.
        let commands = ask("commandstats")?;
        let stats = ask("stats")?;
        let bytes = |name: &str| {
            stats.get::<u64>(name).with_context(|| format!("Redis does not say {name}"))
        };
        let calls = |name: &str| {
            let text: Option<String> = commands.get(&format!("cmdstat_{name}"));
            text.and_then(|text| {
                text.strip_prefix("calls=")?.split(',').next()?.parse::<u64>().ok()
            })
        };
        let bytes = bytes("total_net_input_bytes")? + bytes("total_net_output_bytes")?;
        Ok(Traffic { bytes, polls: calls("xread").unwrap_or_default() })
    }

    /// Returns the size of housecount's log.
    pub fn stream_size(&self) -> anyhow::Result<StreamSize> {
        let mut connection = connect(self.address)?;
        let mut size = StreamSize::default();
        let mut after = "-".to_string();
        loop {
            let page: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
                .arg(STREAM)
                .arg(&after)
                .arg("+")
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut connection)
                .context("reading the log")?;
            for entry in &page.ids {
                size.records += 1;
                size.record_bytes += entry.map.values().map(bytes_of).sum::<u64>();
            }
            match page.ids.last() {
                Some(last) if page.ids.len() == PAGE => after = format!("({}", last.id),
                _ => break,
            }
        }
        let memory: Option<u64> = redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(STREAM)
            .arg("SAMPLES")
            .arg(0)
            .query(&mut connection)
            .context("MEMORY USAGE of the log")?;
        size.memory_bytes = memory.unwrap_or_default();
        Ok(size)
    }
}

fn bytes_of(value: &redis::Value) -> u64 {
    match value {
        redis::Value::BulkString(bytes) => bytes.len() as u64,
        _ => 0,
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<redis::Connection> {
    let client = redis::Client::open(format!("redis://{address}/0")).context("Redis's address")?;
    client
        .get_connection_with_timeout(Duration::from_secs(5))
        .with_context(|| format!("connecting to Redis at {address}"))
}
