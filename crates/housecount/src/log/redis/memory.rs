//! How much Redis has in memory: asked rarely, and on a cluster of all masters at once.

use redis::{Cmd, Value};

/// The field of `INFO memory`.
const FIELD: &str = "used_memory:";

/// What asks; a cluster's client asks all masters.
pub(super) fn question() -> Cmd {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    info
}

/// Bytes in memory by the answer: what one server says, or the sum of several.
pub(super) fn sum(value: &Value) -> u64 {
    match value {
        Value::BulkString(text) => used_in(&String::from_utf8_lossy(text)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => used_in(text),
        Value::Array(answers) => answers.iter().map(sum).sum(),
        Value::Map(answers) => answers.iter().map(|(_, answer)| sum(answer)).sum(),
        _ => 0,
    }
}

fn used_in(info: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(FIELD));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_added_up() {
        let one =
            || Value::BulkString(b"# Memory\r\nused_memory:1234\r\nused_memory_human:1.2K\r\n".to_vec());
        assert_eq!(sum(&one()), 1_234);
        let name = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        assert_eq!(sum(&Value::Map(vec![(name("h:1"), one()), (name("h:2"), one())])), 2_468);
        assert_eq!(sum(&Value::Nil), 0);
        assert_eq!(sum(&name("used_memory:-1\n")), 0);
    }
}
