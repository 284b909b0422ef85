//! Memory of Redis: its use, its limit, and the policy at the limit. Asked rarely, and on a cluster
//! of all masters at once.

use redis::{Cmd, Value};

/// The `INFO memory` of one server, or of all masters together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Bytes in memory.
    pub(super) used: u64,
    /// Memory of the fullest server, as thousandths of its `maxmemory`. 0 without such a limit.
    pub(super) fullest_permille: u64,
    /// The `maxmemory-policy` of a server that may evict the stream; `None` if no server may.
    pub(super) evicting: Option<String>,
}

impl Memory {
    /// The command that asks. A cluster's client sends it to all masters.
    pub(super) fn info_command() -> Cmd {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        info
    }

    /// Parses the answer of one server, or of several.
    pub(super) fn parse(answer: &Value) -> Memory {
        match answer {
            Value::BulkString(text) => Memory::of_one(&String::from_utf8_lossy(text)),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Memory::of_one(text),
            Value::Array(answers) => Memory::of_all(answers.iter()),
            Value::Map(answers) => Memory::of_all(answers.iter().map(|(_, answer)| answer)),
            _ => Memory::default(),
        }
    }

    fn of_all<'a>(answers: impl Iterator<Item = &'a Value>) -> Memory {
        answers.map(Memory::parse).fold(Memory::default(), |all, one| Memory {
            used: all.used.saturating_add(one.used),
            fullest_permille: all.fullest_permille.max(one.fullest_permille),
            evicting: all.evicting.or(one.evicting),
        })
    }

    fn of_one(info: &str) -> Memory {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map_or("", str::trim)
        };
        let used: u64 = field("used_memory").parse().unwrap_or(0);
        let max: u64 = field("maxmemory").parse().unwrap_or(0);
        // The stream has no TTL, so the volatile policies never choose it.
        let evicting =
            Some(field("maxmemory_policy")).filter(|policy| policy.starts_with("allkeys-"));
        Memory {
            used,
            fullest_permille: used.saturating_mul(1_000).checked_div(max).unwrap_or(0),
            evicting: evicting.map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_reply(used: &str, max: u64, policy: &str) -> Value {
        let text = format!(
            "# Memory\r\nused_memory:{used}\r\nused_memory_human:1.2K\r\nmaxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n"
        );
        Value::BulkString(text.into_bytes())
    }

    fn memory(used: u64, fullest_permille: u64, evicting: Option<&str>) -> Memory {
        Memory { used, fullest_permille, evicting: evicting.map(ToString::to_string) }
    }

    #[test]
    fn answers_of_masters_are_added_up_and_the_fullest_counts() {
        assert_eq!(Memory::parse(&info_reply("1234", 0, "noeviction")), memory(1_234, 0, None));
        let name = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let all = Value::Map(vec![
            (name("h:1"), info_reply("800", 1_000, "noeviction")),
            (name("h:2"), info_reply("300", 1_000, "noeviction")),
        ]);
        assert_eq!(Memory::parse(&all), memory(1_100, 800, None));
        let array = Value::Array(vec![
            info_reply("1", 2, "volatile-lru"),
            info_reply("1", 4, "allkeys-lru"),
        ]);
        assert_eq!(Memory::parse(&array), memory(2, 500, Some("allkeys-lru")));
    }

    #[test]
    fn what_is_no_number_counts_as_nothing() {
        assert_eq!(Memory::parse(&Value::Nil), Memory::default());
        assert_eq!(Memory::parse(&info_reply("-1", 5, "")), Memory::default());
        assert_eq!(
            Memory::parse(&info_reply("18446744073709551615", 1, "")).fullest_permille,
            u64::MAX
        );
    }

    /// The stream has no TTL, so the volatile policies never choose it.
    #[test]
    fn only_allkeys_policies_evict_the_stream() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            assert_eq!(
                Memory::parse(&info_reply("1", 0, policy)).evicting.as_deref(),
                Some(policy)
            );
        }
        for policy in
            ["noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", ""]
        {
            assert_eq!(Memory::parse(&info_reply("1", 0, policy)).evicting, None, "{policy}");
        }
    }
}
