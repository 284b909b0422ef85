//! redis-server, valkey-server, and clusters of them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, free_port};

/// Which server.
#[derive(Clone, Copy, Debug)]
pub enum Flavour {
    Redis,
    Valkey,
}

impl Flavour {
    fn program(self) -> PathBuf {
        match self {
            Flavour::Redis => "redis-server".into(),
            Flavour::Valkey => {
                let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/valkey-server");
                assert!(
                    PathBuf::from(tools).exists(),
                    "there is no {tools}: run ./test once, which fetches it"
                );
                tools.into()
            }
        }
    }
}

/// A server, without persistence.
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    flavour: Flavour,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Server {
    pub async fn start(flavour: Flavour, arguments: &[&str]) -> Server {
        Server::start_at(free_port(), flavour, arguments).await
    }

    pub async fn start_at(port: u16, flavour: Flavour, arguments: &[&str]) -> Server {
        let mut server = Server {
            child: None,
            port,
            flavour,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            folder: tempfile::tempdir().unwrap(),
        };
        server.run().await;
        server
    }

    /// Starts it, empty, on its port.
    pub async fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new(self.flavour.program());
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", self.folder.path().to_str().unwrap()])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed by ./test"));
        let plain_port = self.port;
        eventually("the server listens", async || TcpStream::connect(("127.0.0.1", plain_port)).is_ok())
            .await;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Until it has all that its master has.
    pub async fn until_it_follows(&self) {
        eventually("the replica follows", async || {
            self.command("INFO replication").contains("master_link_status:up")
        })
        .await;
    }

    /// Sends a command and returns the first line of the answer, or an error's.
    pub fn command(&self, command: &str) -> String {
        command_at(self.port, command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The inline protocol: enough for a test's own commands.
pub fn command_at(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    if line.starts_with('$') && !line.starts_with("$-1") {
        let length: usize = line[1..].trim().parse().unwrap();
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut body).unwrap();
        return String::from_utf8(body).unwrap();
    }
    line.trim().to_string()
}

/// Three masters, and as many replicas if wanted.
pub struct Cluster {
    pub masters: Vec<Server>,
    pub replicas: Vec<Server>,
}

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::start_with(0).await
    }

    /// With a replica of each master.
    pub async fn start_replicated() -> Cluster {
        Cluster::start_with(3).await
    }

    async fn start_with(replicas: usize) -> Cluster {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let mut servers = Vec::new();
        for _ in 0..3 + replicas {
            servers.push(Server::start(Flavour::Redis, &arguments).await);
        }
        for (master, slots) in servers.iter().zip(["0 5461", "5462 10922", "10923 16383"]) {
            assert_eq!(master.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
        }
        for other in &servers[1..] {
            let meet = format!("CLUSTER MEET 127.0.0.1 {}", other.port);
            assert_eq!(servers[0].command(&meet), "+OK");
        }
        let known = format!("cluster_known_nodes:{}", servers.len());
        for server in &servers {
            let is_ok = async || {
                let info = server.command("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains(&known)
            };
            eventually("the cluster is formed", is_ok).await;
        }
        let replicas = servers.split_off(3);
        for (replica, master) in replicas.iter().zip(&servers) {
            let follow = format!("CLUSTER REPLICATE {}", master.command("CLUSTER MYID"));
            eventually("the replica knows its master", async || replica.command(&follow) == "+OK").await;
            replica.until_it_follows().await;
        }
        Cluster { masters: servers, replicas }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.masters.iter().map(|m| format!("127.0.0.1:{}", m.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// Moves a slot with all its keys from one master to another, as an operator's tool does.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (from, to) = (&self.masters[from], &self.masters[to]);
        let (from_id, to_id) = (from.command("CLUSTER MYID"), to.command("CLUSTER MYID"));
        assert_eq!(to.command(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")), "+OK");
        assert_eq!(from.command(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")), "+OK");
        loop {
            let key = first_of(from.port, &format!("CLUSTER GETKEYSINSLOT {slot} 1"));
            let Some(key) = key else { break };
            let migrate = format!("MIGRATE 127.0.0.1 {} {key} 0 5000", to.port);
            let moved = from.command(&migrate);
            assert!(moved == "+OK" || moved == "+NOKEY", "{moved}");
        }
        // The new owner first, so that nobody is sent in a circle.
        for server in [to, from].into_iter().chain(self.masters.iter()) {
            assert_eq!(server.command(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")), "+OK");
        }
    }
}

/// The first item of an answer that is a list.
fn first_of(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let count = lines.next().unwrap().unwrap();
    assert!(count.starts_with('*'), "{count}");
    if count == "*0" {
        return None;
    }
    lines.nth(1).unwrap().ok()
}
