//! HTTP as clients and proxies send it: queries, paths, headers and versions. Each input has its
//! right answer.

mod headers;
mod metrics;
mod origins;
mod paths;
mod protocols;
mod queries;
mod short_answers;
mod times;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::node::Node;

const FAST: [&str; 4] = ["log=memory:", "interval=1s", "ttl=3s", "leave_grace=200ms"];
/// An id with a slash, which proxies decode.
const ARN: &str = "arn:aws:ivs:eu-west-1:123456789012:stage/AbCdEf";

/// An answer to one request.
pub struct Answer {
    pub status: u16,
    /// Names are in lower case.
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The `code` and `detail` of a problem.
    fn problem(&self) -> (String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
        (text("code"), text("detail"))
    }
}

fn connect(node: &Node) -> TcpStream {
    TcpStream::connect(node.address.trim_start_matches("http://")).unwrap()
}

/// Sends these bytes, and reads until the node closes the connection.
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
pub fn ask(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    exchange(
        node,
        &format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}{length}\r\n{body}"
        ),
    )
}

fn get(node: &Node, path: &str) -> Answer {
    ask(node, "GET", path, &[], "")
}

/// Every operation of `/v1` in the node's document: method, path with ids filled in, and the names
/// of its query parameters.
async fn operations(node: &Node) -> Vec<(String, String, Vec<String>)> {
    let api = node.get("/openapi.json").await;
    let mut found = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let names =
                in_query.map(|parameter| parameter["name"].as_str().unwrap().to_string()).collect();
            if path.starts_with("/v1/") {
                let path = path.replace("{stage}", "s").replace("{viewer}", "v");
                found.push((method.to_uppercase(), path, names));
            }
        }
    }
    assert!(found.len() > 25, "{found:?}");
    found
}
