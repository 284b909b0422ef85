//! A running contender: its processes, its addresses, and the CPU time it has used.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::args::Plan;
use crate::contender::{Contender, Log, Persistence, Setup};
use crate::cpu::{self, Cpu};
use crate::http::{Client, get, post};
use crate::process::Process;
use crate::redis_server::RedisServer;
use crate::tokens::Signed;
use crate::viewers;

const READY_WAIT: Duration = Duration::from_secs(30);

/// Folders and files of a run. A drop removes `dir`.
#[derive(Debug)]
pub struct Place {
    /// Folder for the servers' data.
    pub dir: PathBuf,
    /// Folder for the servers' output.
    pub logs: PathBuf,
    /// File with one heartbeat's body per line, for wrk.
    bodies: PathBuf,
}

impl Place {
    /// Creates the folders and wrk's file.
    pub fn prepare(plan: &Plan) -> anyhow::Result<Place> {
        let dir = plan.target.join(format!("run-{}", std::process::id()));
        let place = Place { logs: plan.target.join("logs"), bodies: dir.join("beats.ndjson"), dir };
        for dir in [&place.dir, &place.logs] {
            std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        let lines: String =
            (0..plan.sizes.viewers).map(|n| viewers::beat(n, plan.sizes.stages) + "\n").collect();
        std::fs::write(&place.bodies, lines)
            .with_context(|| format!("writing {}", place.bodies.display()))?;
        Ok(place)
    }

    /// Returns the file of the heartbeats that wrk sends, one per line. A line is a body, and a
    /// token after a tab where tokens are needed.
    pub fn beats(&self, setup: Setup) -> PathBuf {
        match tokens_of(setup) {
            Some(signed) => self.dir.join(format!("beats-{}.tsv", signed.name())),
            None => self.bodies.clone(),
        }
    }
}

/// Returns the algorithm of the tokens that a contender's heartbeats need, if any.
pub fn tokens_of(setup: Setup) -> Option<Signed> {
    if let Setup::Housecount { tokens, .. } = setup { tokens } else { None }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A running contender. A drop ends its processes, the servers before their Redis.
#[derive(Debug)]
pub struct Running {
    /// Addresses that receive heartbeats.
    pub addresses: Vec<SocketAddr>,
    servers: Vec<Process>,
    /// The Redis behind the servers, if they use one.
    pub redis: Option<RedisServer>,
    dir: PathBuf,
}

/// CPU time of a contender's processes until a moment.
#[derive(Debug)]
pub struct Used {
    servers: Vec<Cpu>,
    redis: Option<Cpu>,
}

/// CPU time spent in a period, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// All servers.
    pub server_us: f64,
    /// Their Redis.
    pub redis_us: Option<f64>,
}

/// Returns why a contender can't run, or `None` if it can.
pub fn missing(plan: &Plan, contender: &Contender) -> Option<String> {
    let is_there = |path: &Path| path.is_file();
    match contender.setup {
        Setup::Floor if !is_there(&plan.floor) => Some(format!(
            "{} is not there: build it (cargo build --profile dist -p housecount --example floor) or say --floor FILE",
            plan.floor.display()
        )),
        Setup::Housecount { .. } if !is_there(&plan.housecount) => Some(format!(
            "{} is not there: build it (cargo build --profile dist --features full -p housecount) or say --housecount FILE",
            plan.housecount.display()
        )),
        Setup::Usual { .. } if Command::new("node").arg("--version").output().is_err() => {
            Some("node is not there: install Node 20 or newer".to_string())
        }
        Setup::Usual { .. } if !plan.target.join("usual/node_modules").is_dir() => {
            Some("bench/target/usual/node_modules is not there: bench/run installs it".to_string())
        }
        _ => None,
    }
}

impl Running {
    /// Starts a contender on empty stores, and waits until it is ready.
    pub fn start(
        plan: &Plan,
        place: &Place,
        contender: &Contender,
        round: u32,
    ) -> anyhow::Result<Running> {
        let dir = place.dir.join(contender.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let log = |what: &str| place.logs.join(format!("{}-{round}-{what}.log", contender.name));
        let mut running = Running { addresses: Vec::new(), servers: Vec::new(), redis: None, dir };
        let persistence = match contender.setup {
            Setup::Housecount { log: Log::Redis(persistence), .. } => Some(persistence),
            Setup::Usual { .. } => Some(Persistence::None),
            _ => None,
        };
        if let Some(persistence) = persistence {
            let dir = running.dir.join("redis");
            running.redis =
                Some(RedisServer::start(free_address()?, persistence, &dir, &log("redis"))?);
        }
        let nodes = if let Setup::Housecount { nodes, .. } = contender.setup { nodes } else { 1 };
        for node in 0..nodes {
            let address = free_address()?;
            let command = running.command(plan, contender.setup, node, address)?;
            let mut server = Process::start(contender.name, command, log(&node.to_string()))?;
            server.wait_until(READY_WAIT, || is_ready(contender.setup, address))?;
            running.servers.push(server);
            running.addresses.push(address);
        }
        Ok(running)
    }

    fn command(
        &self,
        plan: &Plan,
        setup: Setup,
        node: usize,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let port = address.port().to_string();
        let with = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        Ok(match setup {
            Setup::Floor => with(&plan.floor, &[&port]),
            Setup::Echo => {
                with(&std::env::current_exe().context("this program's path")?, &["echo", &port])
            }
            Setup::Usual { framework, mode } => {
                let redis = self.redis.as_ref().context("no Redis")?.port().to_string();
                let mut command =
                    with(Path::new("node"), &["server.js", &port, framework, mode, &redis]);
                command.current_dir(plan.target.join("usual")).env("NODE_ENV", "production");
                command
            }
            Setup::Housecount { log, set, has_cold, tokens, .. } => {
                let data = self.dir.join(format!("node-{node}"));
                let log = match (log, &self.redis) {
                    (Log::Memory, _) => "memory:".to_string(),
                    (Log::File, _) => format!("file:{}", data.join("log").display()),
                    (Log::Redis(_), Some(redis)) => redis.url(),
                    (Log::Redis(_), None) => bail!("no Redis"),
                };
                let mut command =
                    with(&plan.housecount, &["serve", "--listen", &address.to_string()]);
                command.arg("--data").arg(&data).args(["--log", &log]);
                // Some loads have fewer players than they send heartbeats for. 0 lifts the limit of
                // beats per session.
                command.args(["--set", "limits.session_beats=0"]);
                if !has_cold {
                    command.args(["--cold", "none"]);
                }
                if let Some(signed) = tokens {
                    let key = self.dir.join("viewers.jwk");
                    signed.write_key(&key)?;
                    command.args(["--set", "auth.viewer=required", "--set"]);
                    command.arg(format!("auth.viewer_keys={}", key.display()));
                }
                command.args(set.iter().flat_map(|set| ["--set", set]));
                command
            }
        })
    }

    /// Returns the process id of the first server.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.servers.first().map(Process::pid).context("no server runs")
    }

    /// Returns the first address.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.addresses.first().copied().context("no server runs")
    }

    /// Returns the resident bytes of the first server, once they have settled.
    pub fn resident(&self) -> anyhow::Result<u64> {
        cpu::resident(self.pid()?)
    }

    /// Returns the CPU time used until now.
    pub fn used(&self) -> anyhow::Result<Used> {
        let servers: anyhow::Result<Vec<Cpu>> =
            self.servers.iter().map(|s| Cpu::of(s.pid())).collect();
        Ok(Used {
            servers: servers?,
            redis: self.redis.as_ref().map(RedisServer::cpu).transpose()?,
        })
    }

    /// Returns the CPU time spent since `before`.
    pub fn spent_since(&self, before: &Used) -> anyhow::Result<Spent> {
        let now = self.used()?;
        let ns = now.servers.iter().zip(&before.servers).map(|(now, before)| now.ns_since(before));
        let redis = now.redis.zip(before.redis.as_ref()).map(|(now, before)| now.ns_since(before));
        Ok(Spent {
            server_us: ns.sum::<u64>() as f64 / 1e3,
            redis_us: redis.map(|ns| ns as f64 / 1e3),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.servers.clear();
        self.redis = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Returns an address on 127.0.0.1 that has no listener at this moment.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    listener.local_addr().context("the address of a listener")
}

fn is_ready(setup: Setup, address: SocketAddr) -> bool {
    let ask = || {
        let mut client = Client::connect(address)?;
        let request = match setup {
            Setup::Echo => return Ok(()),
            Setup::Housecount { .. } => get("/readyz"),
            Setup::Floor | Setup::Usual { .. } => post("/v1/heartbeat", &viewers::beat(0, 1)),
        };
        let (status, _) = client.send(&request)?;
        ensure!(status == 200, "answered {status}");
        Ok(())
    };
    ask().is_ok()
}
