//! The real binary, as a user starts it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use housecount_net::client::Client;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::eventually;

/// The binary, in an environment without the developer's settings.
pub fn housecount() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_housecount"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("HOUSECOUNT_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// The binary as another program starts it. That program gets the binary's path, then its
/// arguments.
pub fn housecount_by(program: &[&str]) -> Command {
    let plain = housecount();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A running node.
pub struct Node {
    child: Child,
    pub client: Client,
    pub address: String,
    flags: Vec<String>,
    settings: Vec<String>,
    /// Command that the shell runs before it becomes the node; `None` starts the node without a
    /// shell.
    shell: Option<String>,
    /// Folder of its embedded stores, if it has any.
    data: Option<TempDir>,
}

impl Node {
    /// Starts a node with settings like `ttl=6s`, on a port that the system chooses.
    pub fn start(settings: &[&str]) -> Node {
        Node::start_with(&[], settings)
    }

    /// Starts a node with simulated viewers.
    pub fn demo(viewers: u32, settings: &[&str]) -> Node {
        Node::start_with(&["--demo", &viewers.to_string()], settings)
    }

    /// Starts a node that may have `files` files and connections open.
    pub async fn ready_with_files(files: usize, settings: &[&str]) -> Node {
        Node::ready_after(&format!("ulimit -n {files}"), settings).await
    }

    /// Starts a node by a shell that first runs a command, like `export NAME=value`. Waits until
    /// the node is ready.
    pub async fn ready_after(shell: &str, settings: &[&str]) -> Node {
        let node = Node::start_after(Some(shell.to_string()), &[], settings);
        node.until_ready().await;
        node
    }

    fn start_with(flags: &[&str], settings: &[&str]) -> Node {
        Node::start_after(None, flags, settings)
    }

    fn start_after(shell: Option<String>, flags: &[&str], settings: &[&str]) -> Node {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let data = tempfile::tempdir().unwrap();
        let mut settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        settings.push(format!("data={}", data.path().display()));
        let (child, address) = spawn(shell.as_deref(), &flags, &settings);
        let client = client(&address);
        Node { child, client, address, flags, settings, shell, data: Some(data) }
    }

    /// Starts a node whose log lines go to a file.
    pub fn start_logging(log: std::fs::File, settings: &[&str]) -> Node {
        Node::start_logging_after("true", log, settings)
    }

    /// Starts such a node by a shell that first runs a command.
    pub fn start_logging_after(shell: &str, log: std::fs::File, settings: &[&str]) -> Node {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let mut command = housecount_by(&["sh", "-c", &format!("{shell} && exec \"$0\" \"$@\"")]);
        command.stderr(log);
        let (child, address) = spawn_by(command, &[], &settings);
        let client = Client::new(&address).unwrap();
        Node { child, client, address, flags: Vec::new(), settings, shell: None, data: None }
    }

    /// The process's own memory. Its code, which is loaded as it is used, doesn't count, and files
    /// don't either.
    pub fn own_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// A figure of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        let (status, body) = self.client.call(Method::GET, "/metrics", "").await.unwrap();
        assert_eq!(status, 200);
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Starts a node and waits until it is ready.
    pub async fn ready(settings: &[&str]) -> Node {
        let node = Node::start(settings);
        node.until_ready().await;
        node
    }

    /// Starts the node again, over the same data.
    pub fn restart(&mut self) {
        let (child, address) = spawn(self.shell.as_deref(), &self.flags, &self.settings);
        self.client = client(&address);
        (self.child, self.address) = (child, address);
    }

    pub fn data(&self) -> &Path {
        self.data.as_ref().unwrap().path()
    }

    pub async fn until_ready(&self) {
        eventually("the node is ready", async || self.status("/readyz").await == 200).await;
    }

    pub async fn status(&self, path: &str) -> u16 {
        self.client.call(Method::GET, path, "").await.map_or(0, |(status, _)| status)
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, body) = self.client.call(method, path, body).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn beat(&self, stage: &str, viewer: &str) -> Value {
        let body = json!({ "stage": stage, "viewer": viewer });
        let (status, body) = self.call(Method::POST, "/v1/heartbeat", body).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Sends beats of many viewers in one call; their names count up from `from`.
    pub async fn beat_many(&self, stage: &str, from: usize, count: usize) {
        let beats: Vec<Value> = (from..from + count)
            .map(|n| json!({ "stage": stage, "viewer": format!("viewer-{n}") }))
            .collect();
        let (status, body) = self.call(Method::POST, "/v1/heartbeats", Value::from(beats)).await;
        assert_eq!((status, body["accepted"].as_u64()), (200, Some(count as u64)), "{body}");
    }

    pub async fn viewers(&self, stage: &str) -> u64 {
        let (_, body) = self.call(Method::GET, &format!("/v1/stages/{stage}"), Value::Null).await;
        body["viewers"].as_u64().unwrap_or(0)
    }

    pub async fn stats(&self) -> Value {
        self.get("/v1/stats").await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the node with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM; returns the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        self.child.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client for the node without TLS; tests of TLS bring their own.
fn client(address: &str) -> Client {
    Client::new(&address.replace("https://", "http://")).unwrap()
}

/// Sends a signal to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`, since small systems lack the program.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(sent.success());
}

fn spawn(shell: Option<&str>, flags: &[String], settings: &[String]) -> (Child, String) {
    let command = match shell {
        Some(first) => housecount_by(&["sh", "-c", &format!("{first} && exec \"$0\" \"$@\"")]),
        None => housecount(),
    };
    spawn_by(command, flags, settings)
}

fn spawn_by(mut command: Command, flags: &[String], settings: &[String]) -> (Child, String) {
    command.args(["serve", "--listen", "127.0.0.1:0", "--set", "log_level=error"]);
    command.args(flags);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let address = line.split_whitespace().last().unwrap_or_default().to_string();
    assert!(address.starts_with("http"), "serve did not print its address: {line:?}");
    (child, address)
}
