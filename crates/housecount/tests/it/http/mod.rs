//! HTTP as clients and proxies send it: queries, paths, headers and versions, each input with its right answer.

mod metrics;
mod origins;

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::node::Node;

const FAST: [&str; 4] = ["log=memory:", "interval=1s", "ttl=3s", "leave_grace=200ms"];

/// An answer to one request.
struct Answer {
    status: u16,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn connect(node: &Node) -> TcpStream {
    TcpStream::connect(node.address.trim_start_matches("http://")).unwrap()
}

/// Sends these bytes and reads until the node closes.
fn exchange(node: &Node, bytes: &str) -> Answer {
    let mut stream = connect(node);
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&String::from_utf8(answer).unwrap())
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
    Answer { status, headers, body: body.to_string() }
}

/// One request on a connection of its own.
fn ask(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    exchange(
        node,
        &format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}{length}\r\n{body}"
        ),
    )
}
