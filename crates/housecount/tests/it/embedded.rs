//! The engine in other programs: its two examples, as a user runs them.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use housecount_net::client::Client;
use housecount_test::timed_test;
use hyper::Method;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

/// A running example, killed at the end of the test.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts an example that `./test` has built beside the binary.
    fn start(name: &str, arguments: &[&str]) -> Example {
        let path =
            Path::new(env!("CARGO_BIN_EXE_housecount")).with_file_name("examples").join(name);
        assert!(
            path.exists(),
            "{} is missing: build it with `cargo build --workspace --examples`",
            path.display()
        );
        let mut child = Command::new(path).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Example { child, lines }
    }

    /// Waits for the next line that it prints.
    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn text(client: &Client, method: Method, path: &str) -> String {
    let (_, body) = client.call(method, path, "").await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn an_audience_is_counted_in_another_program_and_survives_its_restart() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let mut example = Example::start("embed", &["127.0.0.1:0", folder]);
    let url = example.line();
    let client = Client::new(&url).unwrap();
    for viewer in ["ann", "bob"] {
        let answer = text(&client, Method::POST, &format!("/show/{viewer}")).await;
        assert!(answer.starts_with("next heartbeat in "), "{answer}");
    }
    assert_eq!(text(&client, Method::GET, "/show").await, "2 viewers\n");
    drop(example);
    let mut example = Example::start("embed", &["127.0.0.1:0", folder]);
    let client = Client::new(&example.line()).unwrap();
    assert_eq!(text(&client, Method::GET, "/show").await, "2 viewers\n");
    let other = text(&client, Method::GET, "/other").await;
    assert_eq!(other, "0 viewers\n");
}

#[timed_test(flavor = "multi_thread")]
async fn a_program_follows_a_redis_log_beside_a_node() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let node = Node::ready(&[&format!("log={}", redis.url()), "cold=none"]).await;
    node.beat("show", "ann").await;
    let mut example = Example::start("follow", &[&redis.url(), "show"]);
    let line = example.line();
    assert!(line.ends_with("1 viewers"), "{line}");
    node.beat("show", "bob").await;
    let mut last = line;
    eventually("the second viewer is seen", async || {
        last = example.line();
        last.ends_with("2 viewers")
    })
    .await;
}
