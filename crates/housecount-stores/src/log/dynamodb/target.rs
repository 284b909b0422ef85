//! Addresses of DynamoDB logs: `dynamodb://TABLE?region=R&endpoint=E&flush=1s&partitions=1`.

use std::fmt;

use housecount_core::limits::{FLUSH_MS_MAX, PARTITIONS_MAX};

use crate::dynamo::Address;

/// The shortest interval of flushes. With a shorter one, an append would hardly arrive in time.
const FLUSH_MS_MIN: u64 = 10;

/// Address of a DynamoDB log, parsed and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoTarget {
    /// Address of the table.
    pub address: Address,
    /// Least interval between two items of a writer, in ms.
    pub flush_ms: u64,
    /// Number of partitions.
    pub partitions: u16,
}

impl DynamoTarget {
    /// Parses the part of a log URL after `dynamodb:`.
    ///
    /// # Errors
    /// Returns a text that says what is wrong with it.
    pub fn parse(rest: &str) -> Result<DynamoTarget, String> {
        let rest =
            rest.strip_prefix("//").filter(|rest| !rest.is_empty() && !rest.starts_with('?'));
        let rest = rest.ok_or(
            "a DynamoDB log is dynamodb://TABLE?region=R&endpoint=E&flush=1s&partitions=1",
        )?;
        let (address, others) = Address::parse(rest, "")?;
        let mut target = DynamoTarget { address, flush_ms: FLUSH_MS_MAX, partitions: 1 };
        for (name, value) in others {
            match name.as_str() {
                "flush" => target.flush_ms = flush_ms(&value)?,
                "partitions" => {
                    let given = value.parse().ok().filter(|n| (1..=PARTITIONS_MAX).contains(n));
                    target.partitions = given.ok_or(format!(
                        "partitions={value} is not a number from 1 to {PARTITIONS_MAX}"
                    ))?;
                }
                _ => return Err(format!("`{name}` is not a parameter of a DynamoDB log")),
            }
        }
        Ok(target)
    }

    /// Least interval between two items of a writer, in ms.
    #[must_use]
    pub fn flush_ms(&self) -> u64 {
        self.flush_ms
    }
}

fn flush_ms(value: &str) -> Result<u64, String> {
    let parsed =
        value.strip_suffix("ms").map(|ms| (ms, 1)).or(value.strip_suffix('s').map(|s| (s, 1_000)));
    let ms = parsed.and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit));
    let ms = ms.filter(|ms| (FLUSH_MS_MIN..=FLUSH_MS_MAX).contains(ms));
    ms.ok_or(format!("flush={value} is not a time from {FLUSH_MS_MIN}ms to {FLUSH_MS_MAX}ms"))
}

impl fmt::Display for DynamoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let target =
            DynamoTarget::parse("//ivs-log?region=eu-west-1&flush=250ms&partitions=2").unwrap();
        assert_eq!((target.flush_ms, target.partitions), (250, 2));
        assert_eq!(target.to_string(), "dynamodb://ivs-log?region=eu-west-1");
        assert_eq!(DynamoTarget::parse("//ivs-log").unwrap().flush_ms, 1_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, named) in [
            ("ivs-log", "dynamodb://TABLE"),
            ("//?region=r", "dynamodb://TABLE"),
            ("//ivs-log?flush=2s", "flush=2s is not a time from 10ms to 1000ms"), // FLUSH_MS_MAX
            ("//ivs-log?flush=1", "flush=1"),
            ("//ivs-log?partitions=0", "partitions=0"),
            ("//ivs-log?colour=red", "`colour`"),
        ] {
            let error = DynamoTarget::parse(url).unwrap_err();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
