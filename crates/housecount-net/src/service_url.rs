//! Addresses of services that a node calls: a JWKS, a trace collector, an endpoint of DynamoDB.
//!
//! Operators may put passwords into such addresses. So the parser drops user and password, and only
//! scheme, host and path are ever shown.

use std::fmt;

use http::Uri;

/// An http or https address without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    url: String,
    shown: String,
}

impl ServiceUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// Returns the expected form, without any of the text.
    pub fn parse(text: &str) -> Result<ServiceUrl, &'static str> {
        let expected =
            "not an address; write it as http://HOST:PORT/PATH or https://HOST:PORT/PATH";
        let (scheme, rest) = text.split_once("://").ok_or(expected)?;
        if scheme != "http" && scheme != "https" {
            return Err(expected);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('@') {
            // The end of a password that contains a `/` or `?` would be taken for a path.
            return Err("the address has an @ after its host; write it as %40, in a password too");
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let url = format!("{scheme}://{host}{path}");
        let uri: Uri = url.parse().map_err(|_| expected)?;
        let is_port_good = host.ends_with(']') || !host.contains(':') || uri.port_u16().is_some();
        if uri.host().is_none_or(str::is_empty) || !is_port_good {
            return Err(expected);
        }
        let shown = format!("{scheme}://{host}{}", uri.path().trim_end_matches('/'));
        Ok(ServiceUrl { url, shown })
    }

    /// The address to call, with its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_path_are_shown_and_nothing_else() {
        for (text, called, shown) in [
            ("http://h:4318", "http://h:4318", "http://h:4318"),
            ("https://h/", "https://h/", "https://h"),
            (
                "https://u:opensesame@h/jwks?key=opensesame",
                "https://h/jwks?key=opensesame",
                "https://h/jwks",
            ),
            (
                "http://opensesame@[::1]:9/a#opensesame",
                "http://[::1]:9/a#opensesame",
                "http://[::1]:9/a",
            ),
            ("http://u:open@sesame@h", "http://h", "http://h"),
            ("http://[::1]", "http://[::1]", "http://[::1]"),
        ] {
            let url = ServiceUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.to_string().as_str()), (called, shown), "{text}");
            assert!(!format!("{url}{url:?}").contains("opensesame"), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for text in [
            "",
            "opensesame",
            "ftp://opensesame/",
            "http://",
            "http://u:opensesame@",
            "http://u:open/sesame@h/",
            "http://u:open?sesame@h/",
            "http://u:open#sesame@h/",
            "http://h:opensesame/",
            "http://u:opensesame@h/a b",
        ] {
            let error = ServiceUrl::parse(text).unwrap_err();
            assert!(!error.contains("sesame"), "{text}: {error}");
        }
    }
}
