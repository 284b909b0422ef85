//! Sentinels: real ones by `redis-server --sentinel`, and one that never learns of a failover.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::redis::{Flavour, Server, command_at, documented_acl, list};
use crate::{eventually, free_port};

/// The name of the master.
pub const MASTER: &str = "mymaster";

/// One sentinel.
pub struct Sentinel {
    child: Option<Child>,
    pub port: u16,
    folder: TempDir,
}

impl Sentinel {
    /// Starts a sentinel that watches the master on a port; `more` are lines of its file.
    pub async fn start(master_port: u16, quorum: usize, more: &[String]) -> Sentinel {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let mut lines = vec![
            "bind 127.0.0.1".to_string(),
            format!("dir {}", folder.path().display()),
            format!("sentinel monitor {MASTER} 127.0.0.1 {master_port} {quorum}"),
            format!("sentinel down-after-milliseconds {MASTER} 1000"),
            format!("sentinel failover-timeout {MASTER} 10000"),
        ];
        if !more.iter().any(|line| line.starts_with("port ")) {
            lines.push(format!("port {port}"));
        }
        lines.extend(more.iter().map(|line| line.replace("SENTINEL_PORT", &port.to_string())));
        std::fs::write(folder.path().join("sentinel.conf"), lines.join("\n")).unwrap();
        let mut sentinel = Sentinel { child: None, port, folder };
        sentinel.run().await;
        sentinel
    }

    /// Starts the sentinel on its port, with its former knowledge.
    pub async fn run(&mut self) {
        let child = Command::new("redis-server")
            .arg(self.folder.path().join("sentinel.conf"))
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed by ./test"));
        let port = self.port;
        eventually("the sentinel listens", async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A field of the sentinel's data about the master.
    pub fn says(&self, field: &str) -> String {
        let reply = list(self.port, &format!("SENTINEL MASTER {MASTER}")).unwrap_or_default();
        reply
            .chunks(2)
            .find(|pair| pair[0] == field)
            .map(|pair| pair[1].clone())
            .unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A master, its replica, and three sentinels that know each other and both servers. A client that
/// logs in at a sentinel is its user `housecount`.
pub struct SentinelSetup {
    pub servers: [Server; 2],
    pub sentinels: Vec<Sentinel>,
}

impl SentinelSetup {
    pub async fn start() -> SentinelSetup {
        let master = Server::start(Flavour::Redis, &[]).await;
        let of = master.port.to_string();
        let replica = Server::start(Flavour::Redis, &["--replicaof", "127.0.0.1", &of]).await;
        replica.until_it_follows().await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = Sentinel::start(master.port, 2, &[]).await;
            let [.., user] = documented_acl();
            assert_eq!(command_at(sentinel.port, &user), "+OK");
            sentinels.push(sentinel);
        }
        let setup = SentinelSetup { servers: [master, replica], sentinels };
        setup.until_all_know_all().await;
        setup
    }

    /// Waits until a failover is possible, since all sentinels know each other and the replica.
    pub async fn until_all_know_all(&self) {
        eventually("the sentinels know each other and the replica", async || {
            self.sentinels.iter().filter(|sentinel| sentinel.child.is_some()).all(|sentinel| {
                let others = (self.sentinels.len() - 1).to_string();
                sentinel.says("num-other-sentinels") == others
                    && sentinel.says("num-slaves") == "1"
                    && sentinel.says("flags") == "master"
            })
        })
        .await;
    }

    /// URL of the log, by all sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        format!(
            "redis+sentinel://housecount:p%40ss@{}/{MASTER}?sentinel_user=housecount&sentinel_pass=p%40ss",
            hosts.join(",")
        )
    }

    /// Waits until all running sentinels name the server.
    pub async fn until_the_master_is(&self, server: usize) {
        let port = self.servers[server].port.to_string();
        eventually("the sentinels name the new master", async || {
            let running = self.sentinels.iter().filter(|sentinel| sentinel.child.is_some());
            running.map(|sentinel| sentinel.says("port")).all(|named| named == port)
        })
        .await;
    }
}

/// A sentinel that was cut off before any failover, reduced to its answer. It always names the same
/// master.
pub struct StaleSentinel {
    pub port: u16,
    task: JoinHandle<()>,
}

impl StaleSentinel {
    pub async fn naming(master_port: u16) -> StaleSentinel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let named = master_port.to_string();
        let address = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{named}\r\n", named.len());
        let answer = format!("{address}*2\r\n$12\r\nconfig-epoch\r\n$1\r\n0\r\n");
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut asked = [0; 4_096];
                    while let Ok(bytes @ 1..) = stream.read(&mut asked).await {
                        // A login comes alone, and both questions come at once.
                        let is_login = asked[..bytes].windows(4).any(|word| word == b"AUTH");
                        let answer = if is_login { "+OK\r\n" } else { &answer };
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        StaleSentinel { port, task }
    }
}

impl Drop for StaleSentinel {
    fn drop(&mut self) {
        self.task.abort();
    }
}
