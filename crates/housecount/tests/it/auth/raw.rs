//! Requests byte by byte, with all bytes of their answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::support::node::Node;

/// Sends these bytes; returns all that the node answers until it closes the connection.
pub fn all(node: &Node, bytes: &str) -> String {
    all_at(&node.address, bytes)
}

fn all_at(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Sends a request with these header lines; returns the head, status and body of its only answer.
pub fn ask(node: &Node, line: &str, headers: &[String], body: &str) -> (String, (u16, Value)) {
    ask_at(&node.address, line, headers, body)
}

/// The same for a node by its address.
pub fn ask_at(address: &str, line: &str, headers: &[String], body: &str) -> (String, (u16, Value)) {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let request = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}{length}\r\n{body}"
    );
    let answer = all_at(address, &request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (head.to_string(), (status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Sends a heartbeat or leave, with a token in the header if given; returns its answer.
pub fn say(node: &Node, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let headers: Vec<String> =
        token.map(|token| format!("authorization: Bearer {token}")).into_iter().collect();
    ask(node, &format!("POST {path}"), &headers, &body.to_string()).1
}
