//! Parameters of a Redis log's address. A message names a parameter but never its value, which may
//! be a password.

/// Parameters that have not been taken yet, by name.
pub(super) struct Query(Vec<(String, String)>);

/// Decodes percent-encoding; `None` if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.ok().map(std::borrow::Cow::into_owned)
}

impl Query {
    /// Parses `NAME=VALUE&NAME=VALUE`, with percent-encoded values.
    ///
    /// # Errors
    /// Returns a text that names the parameter whose value is not UTF-8.
    pub(super) fn parse(query: &str) -> Result<Query, String> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or(format!("`{name}` is not UTF-8, percent-encoded"))?;
            Ok((name.to_string(), value))
        };
        let pairs: Result<Vec<_>, String> =
            query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        pairs.map(Query)
    }

    /// Takes a parameter.
    ///
    /// # Errors
    /// Returns a text that names the parameter if it is empty or given twice.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(place) = self.0.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(place);
        if self.0.iter().any(|(given, _)| given == name) {
            return Err(format!("`{name}` is given twice"));
        }
        if value.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
        Ok(Some(value))
    }

    /// Checks that every parameter was taken. `what` names the address in the error.
    ///
    /// # Errors
    /// Returns a text that names the first parameter that was not taken.
    pub(super) fn end(self, what: &str) -> Result<(), String> {
        match self.0.first() {
            Some((name, _)) => Err(format!("`{name}` is not a parameter of {what}")),
            None => Ok(()),
        }
    }
}
