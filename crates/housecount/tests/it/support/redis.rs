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

/// Three masters, no replicas.
pub struct Cluster {
    pub masters: Vec<Server>,
}

impl Cluster {
    pub async fn start() -> Cluster {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let mut masters = Vec::new();
        for _ in 0..3 {
            masters.push(Server::start(Flavour::Redis, &arguments).await);
        }
        for (master, slots) in masters.iter().zip(["0 5461", "5462 10922", "10923 16383"]) {
            assert_eq!(master.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
        }
        for other in &masters[1..] {
            let meet = format!("CLUSTER MEET 127.0.0.1 {}", other.port);
            assert_eq!(masters[0].command(&meet), "+OK");
        }
        for master in &masters {
            let is_ok = async || {
                let info = master.command("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            };
            eventually("the cluster is formed", is_ok).await;
        }
        Cluster { masters }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.masters.iter().map(|m| format!("127.0.0.1:{}", m.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }
}
