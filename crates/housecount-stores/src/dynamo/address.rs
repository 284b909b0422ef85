//! Address of a table, which the addresses of the log and of the cold tier have in common.

use std::fmt;

use housecount_net::service_url::ServiceUrl;

/// A table in AWS, or behind `endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The table.
    pub table: String,
    /// Region, unless the credential chain's region applies.
    pub region: Option<String>,
    /// An address other than AWS's, of an emulator or a private endpoint.
    pub endpoint: Option<String>,
}

/// Parameters by name, as they were given.
pub(crate) type Parameters = Vec<(String, String)>;

impl Address {
    /// Parses `TABLE?region=R&endpoint=E`, and returns other parameters as well.
    ///
    /// # Errors
    /// Returns a text that says what is wrong with it.
    pub(crate) fn parse(rest: &str, default_table: &str) -> Result<(Address, Parameters), String> {
        let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
        let table = if table.is_empty() { default_table } else { table };
        // The rule of CreateTable (DynamoDB API reference, 2026-10).
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(3..=255).contains(&table.len()) || !table.chars().all(is_name) {
            return Err(format!("`{table}` is not a table name; use 3-255 of a-z A-Z 0-9 _ . -"));
        }
        let (mut region, mut endpoint, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "region" if !value.is_empty() => region = Some(value),
                // Stored as it is shown, so that no message of the SDK has more of it. User and
                // password are never sent.
                "endpoint" => match ServiceUrl::parse(&value) {
                    Ok(url) => endpoint = Some(url.to_string()),
                    Err(_) => {
                        return Err("endpoint is not an http:// or https:// address".to_string());
                    }
                },
                _ => others.push((name.to_string(), value)),
            }
        }
        Ok((Address { table: table.to_string(), region, endpoint }, others))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb://{}", self.table)?;
        let parameters = [("region", &self.region), ("endpoint", &self.endpoint)];
        let given = parameters.iter().filter_map(|(name, v)| Some((*name, v.as_ref()?)));
        for (i, (name, value)) in given.enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}
