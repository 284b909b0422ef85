//! Addresses of cold tiers: `embedded:DIR`, `dynamodb://TABLE?region=R&endpoint=E`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::cold::bulk::Bulk;
use housecount_backend::error::StoreResult;

use super::{dynamodb, sqlite};
use crate::dynamo::Address;

/// Address of a cold tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColdTarget {
    /// `embedded:DIR`, in a folder of this machine, for one process.
    Embedded(PathBuf),
    /// `dynamodb://TABLE`, a table in AWS or behind `endpoint`. Without a table in the URL the
    /// setting `table` applies.
    Dynamo(Address),
}

impl ColdTarget {
    /// Parses a cold URL; `None` for `none`.
    ///
    /// # Errors
    /// Returns a text that says what is wrong with it.
    pub fn parse(url: &str, default_table: &str) -> Result<Option<ColdTarget>, String> {
        if url == "none" {
            return Ok(None);
        }
        match url.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() => {
                Ok(Some(ColdTarget::Embedded(PathBuf::from(dir))))
            }
            Some(("dynamodb", rest)) => match rest.strip_prefix("//") {
                Some(rest) => dynamo(rest, default_table).map(Some),
                None => {
                    Err("a DynamoDB address is dynamodb://TABLE?region=R&endpoint=E".to_string())
                }
            },
            _ => Err("a cold tier is embedded:DIR, dynamodb://TABLE?region=R&endpoint=E or none"
                .to_string()),
        }
    }

    /// Opens the cold tier. An embedded one is created if it doesn't exist. A table may be
    /// unreachable.
    ///
    /// # Errors
    /// Returns a `StoreError` that a retry can't fix: a folder in use, or another store in it.
    pub async fn open(&self) -> StoreResult<Arc<dyn Cold>> {
        Ok(self.open_whole().await?)
    }

    /// Opens as [`open`](Self::open) does, for a copy of all rows.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open).
    pub async fn open_whole(&self) -> StoreResult<Arc<dyn Bulk>> {
        match self {
            ColdTarget::Embedded(folder) => sqlite::open(folder),
            ColdTarget::Dynamo(address) => dynamodb::open(address).await,
        }
    }

    /// Opens the cold tier for reading only. No file of an embedded one changes, also while a node
    /// has it open.
    ///
    /// # Errors
    /// Returns `Missing` if it doesn't exist, otherwise the errors of `open`.
    pub async fn open_to_read(&self) -> StoreResult<Arc<dyn Cold>> {
        Ok(self.open_whole_to_read().await?)
    }

    /// Opens as [`open_to_read`](Self::open_to_read) does, for a copy of all rows.
    ///
    /// # Errors
    /// Returns the errors of [`open_to_read`](Self::open_to_read).
    pub async fn open_whole_to_read(&self) -> StoreResult<Arc<dyn Bulk>> {
        match self {
            ColdTarget::Embedded(folder) => sqlite::open_to_read(folder),
            ColdTarget::Dynamo(address) => dynamodb::open(address).await,
        }
    }
}

fn dynamo(rest: &str, default_table: &str) -> Result<ColdTarget, String> {
    let (address, others) = Address::parse(rest, default_table)?;
    match others.first() {
        Some((name, _)) => Err(format!("`{name}` is not a parameter of a DynamoDB address")),
        None => Ok(ColdTarget::Dynamo(address)),
    }
}

impl fmt::Display for ColdTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColdTarget::Embedded(folder) => write!(f, "embedded:{}", folder.display()),
            ColdTarget::Dynamo(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |url| ColdTarget::parse(url, "the-default");
        assert_eq!(parse("none"), Ok(None));
        assert_eq!(parse("embedded:/data"), Ok(Some(ColdTarget::Embedded("/data".into()))));
        let full = parse("dynamodb://t-1?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1:8000")
            .unwrap()
            .unwrap();
        assert_eq!(
            full.to_string(),
            "dynamodb://t-1?region=eu-west-1&endpoint=http://127.0.0.1:8000"
        );
        let short = parse("dynamodb://").unwrap().unwrap();
        assert_eq!(short.to_string(), "dynamodb://the-default");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, named) in [
            ("s3://bucket", "embedded:DIR"),
            ("embedded:", "embedded:DIR"),
            ("dynamodb:table", "dynamodb://TABLE"),
            ("dynamodb://a/b", "a/b"),
            ("dynamodb://table?colour=red", "`colour`"),
            ("dynamodb://table?endpoint=localhost", "endpoint is not an http://"),
        ] {
            let error = ColdTarget::parse(url, "the-default").unwrap_err();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
