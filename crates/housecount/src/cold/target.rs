//! Addresses of cold tiers: `embedded:DIR`, `dynamodb://TABLE?region=R&endpoint=E`.

use std::fmt;
use std::path::PathBuf;

/// A cold tier's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColdTarget {
    /// `embedded:DIR`: in a folder of this machine, for one process.
    Embedded(PathBuf),
    /// `dynamodb://TABLE`: a table in AWS, or behind `endpoint`.
    Dynamo {
        /// The table; empty in the URL for the setting `table`.
        table: String,
        /// The region, unless the credential chain's is to be used.
        region: Option<String>,
        /// Another address than AWS's: an emulator, or a private endpoint.
        endpoint: Option<String>,
    },
}

impl ColdTarget {
    /// Parses a cold URL; `None` for `none`.
    ///
    /// # Errors
    /// A text that names what is wrong with it.
    pub fn parse(url: &str, default_table: &str) -> Result<Option<ColdTarget>, String> {
        if url == "none" {
            return Ok(None);
        }
        match url.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() => Ok(Some(ColdTarget::Embedded(PathBuf::from(dir)))),
            Some(("dynamodb", rest)) => match rest.strip_prefix("//") {
                Some(rest) => dynamo(rest, default_table).map(Some),
                None => Err("a DynamoDB address is dynamodb://TABLE?region=R&endpoint=E".to_string()),
            },
            _ => Err("a cold tier is embedded:DIR, dynamodb://TABLE?region=R&endpoint=E or none".to_string()),
        }
    }
}

fn dynamo(rest: &str, default_table: &str) -> Result<ColdTarget, String> {
    let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
    let table = if table.is_empty() { default_table } else { table };
    // The rule of CreateTable (DynamoDB API reference, 2026-10).
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(3..=255).contains(&table.len()) || !table.chars().all(is_name) {
        return Err(format!("`{table}` is no table name: 3-255 of a-z A-Z 0-9 _ . -"));
    }
    let (mut region, mut endpoint) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "region" if !value.is_empty() => region = Some(value),
            "endpoint" if value.starts_with("http://") || value.starts_with("https://") => {
                endpoint = Some(value);
            }
            "endpoint" => return Err(format!("endpoint={value} is no http:// or https:// address")),
            _ => return Err(format!("`{name}` is not a parameter of a DynamoDB address")),
        }
    }
    Ok(ColdTarget::Dynamo { table: table.to_string(), region, endpoint })
}

impl fmt::Display for ColdTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColdTarget::Embedded(folder) => write!(f, "embedded:{}", folder.display()),
            ColdTarget::Dynamo { table, region, endpoint } => {
                write!(f, "dynamodb://{table}")?;
                let parameters = [("region", region), ("endpoint", endpoint)];
                let given = parameters.iter().filter_map(|(name, v)| Some((*name, v.as_ref()?)));
                for (i, (name, value)) in given.enumerate() {
                    write!(f, "{}{name}={value}", if i == 0 { '?' } else { '&' })?;
                }
                Ok(())
            }
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
        let full =
            parse("dynamodb://t-1?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1:8000").unwrap().unwrap();
        assert_eq!(full.to_string(), "dynamodb://t-1?region=eu-west-1&endpoint=http://127.0.0.1:8000");
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
            ("dynamodb://table?endpoint=localhost", "endpoint=localhost"),
        ] {
            let error = ColdTarget::parse(url, "the-default").unwrap_err();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
