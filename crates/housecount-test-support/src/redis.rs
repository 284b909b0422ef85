//! redis-server, valkey-server, and clusters of them. Nodes under test are their user `housecount`,
//! with the permissions that docs/DEPLOY.md lists. A denied command fails the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{eventually, free_port};

/// The password of `housecount`.
const PASSWORD: &str = "p%40ss";

/// The commands of docs/DEPLOY.md that create the user `housecount`. They are the one for a server,
/// the addition for a cluster, and the one for a sentinel.
pub fn documented_acl() -> [String; 3] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/DEPLOY.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("ACL SETUSER housecount "));
    // The password as it is once `log`'s percent-encoding is decoded.
    let lines: Vec<String> = lines.map(|line| line.replace(">PASSWORD", ">p@ss")).collect();
    lines.try_into().unwrap()
}

/// Arguments that create the user `housecount`, who exists from the start. Tests have logs with
/// other prefixes beside the usual one.
fn user(is_of_cluster: bool) -> Vec<String> {
    let [server, cluster, _] = documented_acl();
    let lines = if is_of_cluster { vec![server, cluster] } else { vec![server] };
    let words = lines.iter().flat_map(|line| line.split(' ').skip(3)).map(ToString::to_string);
    ["--user", "housecount"]
        .map(String::from)
        .into_iter()
        .chain(words)
        .chain(["~test*".to_string()])
        .collect()
}

/// The program of a server.
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
                let tools =
                    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/valkey-server");
                assert!(
                    PathBuf::from(tools).exists(),
                    "there is no {tools}: run ./test once, which fetches it"
                );
                tools.into()
            }
        }
    }
}

/// A server without persistence.
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    flavour: Flavour,
    arguments: Vec<String>,
    folder: TempDir,
    /// Whether the test itself causes denied commands for its user.
    pub may_deny: bool,
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
            may_deny: false,
        };
        server.run().await;
        server
    }

    /// Starts the server, empty, on its port.
    pub async fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new(self.flavour.program());
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", self.folder.path().to_str().unwrap()])
            .args(user(self.arguments.iter().any(|argument| argument == "--cluster-enabled")))
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed by ./test"));
        let plain_port = self.port;
        eventually("the server listens", async || {
            TcpStream::connect(("127.0.0.1", plain_port)).is_ok()
        })
        .await;
    }

    /// URL of the log on this server, as the user `housecount`.
    pub fn url(&self) -> String {
        log_at(self.port)
    }

    /// Commands that the server has denied to a user since it started.
    fn denied(&self) -> Vec<String> {
        let log = list(self.port, "ACL LOG").unwrap_or_default();
        log.chunks(2).filter(|pair| pair[0] == "object").map(|pair| pair[1].clone()).collect()
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

    /// Waits until the replica has all of its master's data.
    pub async fn until_it_follows(&self) {
        eventually("the replica follows", async || {
            self.command("INFO replication").contains("master_link_status:up")
        })
        .await;
    }

    /// Sends a command; returns the first line of the answer, or of an error.
    pub fn command(&self, command: &str) -> String {
        command_at(self.port, command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let is_asked = self.child.is_some() && !self.may_deny && !std::thread::panicking();
        let denied = if is_asked { self.denied() } else { Vec::new() };
        self.kill();
        assert!(denied.is_empty(), "docs/DEPLOY.md doesn't allow {denied:?}");
    }
}

/// URL of the log of a server, or of the proxy before it, as the user `housecount`.
pub fn log_at(port: u16) -> String {
    format!("redis://housecount:{PASSWORD}@127.0.0.1:{port}/0")
}

/// Sends a command by the inline protocol, which suffices for a test's own commands.
pub fn command_at(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    // A sentinel that changes a server's role closes the connections of the server's clients.
    if let Err(error) = reader.read_line(&mut line) {
        return format!("-{error}");
    }
    if line.starts_with('$') && !line.starts_with("$-1") {
        let length: usize = line[1..].trim().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
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

    /// Starts a cluster with a replica of each master.
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
            eventually("the replica knows its master", async || replica.command(&follow) == "+OK")
                .await;
            replica.until_it_follows().await;
        }
        Cluster { masters: servers, replicas }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.masters.iter().map(|m| format!("127.0.0.1:{}", m.port)).collect();
        format!("redis-cluster://housecount:{PASSWORD}@{}", hosts.join(","))
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
        // The new owner comes first, so that no client is redirected in a circle.
        for server in [to, from].into_iter().chain(self.masters.iter()) {
            assert_eq!(server.command(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")), "+OK");
        }
    }
}

/// First item of an answer that is a list.
fn first_of(port: u16, command: &str) -> Option<String> {
    list(port, command).unwrap().into_iter().next()
}

/// All texts of an answer that is a list, and of the lists in it. `None` stands for no answer, or
/// for an error.
pub fn list(port: u16, command: &str) -> Option<Vec<String>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut missing, mut texts) = (1, Vec::new());
    while missing > 0 {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        missing -= 1;
        match line.trim_end().split_at_checked(1)? {
            ("*", count) => missing += count.parse::<usize>().ok()?,
            ("$", "-1") => {}
            ("$", length) => {
                // Records aren't text.
                let mut text = vec![0; length.parse::<usize>().ok()? + 2];
                reader.read_exact(&mut text).ok()?;
                texts.push(String::from_utf8_lossy(&text[..text.len() - 2]).into_owned());
            }
            (":" | "+", text) => texts.push(text.to_string()),
            _ => return None,
        }
    }
    Some(texts)
}
