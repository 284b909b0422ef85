//! Origins of pages, as the settings `cors.*` name them and as browsers send them.
//!
//! An origin is a scheme, a host and perhaps a port. Browsers send it in lower case and without a
//! default port. A pattern that can't match any browser's origin is an error at the node's start.
//! Otherwise it would lock a site out silently.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::HeaderValue;

/// Origin that browsers send for pages without one: a sandboxed frame, a `data:` URL, a file.
const OPAQUE: &str = "null";

/// Pattern of origins in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// All origins: `*`.
    Any,
    /// One origin, or `null`.
    One(String),
    /// Hosts below a domain, at any depth, without the domain itself: `https://*.example.org`. (CSP
    /// reads such a pattern in the same way.)
    Subdomains {
        /// Scheme with `://`.
        scheme: String,
        /// Domain with a dot before it, and the port if one is named.
        suffix: String,
    },
}

impl OriginPattern {
    /// Parses one entry of a setting.
    ///
    /// # Errors
    /// Returns the problem and the right form, without the entry itself.
    pub fn parse(text: &str) -> Result<OriginPattern, &'static str> {
        match text {
            "*" => return Ok(OriginPattern::Any),
            OPAQUE => return Ok(OriginPattern::One(OPAQUE.to_string())),
            _ => {}
        }
        let Some((scheme, host)) = text.split_once("://") else {
            return Err(
                "is not an origin; write a scheme and a host, such as https://www.example.org, or *, or null",
            );
        };
        if !is_scheme(scheme) || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(
                "is not an origin as browsers send it: write the scheme and the host in lower case",
            );
        }
        if let Some(domain) = host.strip_prefix("*.") {
            let (name, _) = split_port(domain).ok_or(BAD_PORT)?;
            if !is_domain(name) {
                return Err(BAD_WILDCARD);
            }
            check_port(scheme, domain)?;
            let (scheme, suffix) = (format!("{scheme}://"), format!(".{domain}"));
            return Ok(OriginPattern::Subdomains { scheme, suffix });
        }
        if host.contains('*') {
            return Err(BAD_WILDCARD);
        }
        if host.bytes().any(|byte| !byte.is_ascii_graphic() || b"/?#@,\\".contains(&byte)) {
            return Err(
                "is not an origin: write a scheme, a host and optionally a port, without a path, user or space",
            );
        }
        // Other schemes may have hosts of any shape, or none: `app://.`, `file://`.
        if matches!(scheme, "http" | "https") {
            let (name, _) = split_port(host).ok_or(BAD_PORT)?;
            let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            if !address.map_or(is_host(name), |address| address.parse::<Ipv6Addr>().is_ok()) {
                return Err("is not an origin: its host is not a name or an address");
            }
            check_port(scheme, host)?;
        }
        Ok(OriginPattern::One(text.to_string()))
    }

    /// Whether the pattern matches a page of this origin.
    #[must_use]
    pub fn covers(&self, origin: &HeaderValue) -> bool {
        match self {
            OriginPattern::Any => true,
            OriginPattern::One(one) => origin == one.as_str(),
            OriginPattern::Subdomains { scheme, suffix } => {
                let labels =
                    origin.to_str().ok().and_then(|origin| origin.strip_prefix(scheme.as_str()));
                labels.and_then(|rest| rest.strip_suffix(suffix.as_str())).is_some_and(is_host)
            }
        }
    }

    /// Whether the setting names the site of this origin. `*` names no site, and any page can be
    /// `null`.
    #[must_use]
    pub fn names(&self, origin: &HeaderValue) -> bool {
        match self {
            OriginPattern::Any => false,
            OriginPattern::One(one) if one == OPAQUE => false,
            _ => self.covers(origin),
        }
    }
}

const BAD_WILDCARD: &str = "can't match any page: write `*` alone, or as the first label of a domain, as in https://*.example.org";
const BAD_PORT: &str = "is not an origin: its port is not a number from 1 to 65535";

/// Whether a text is a scheme by RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether a text has labels of letters, digits, `-` and `_`, with dots between them.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}

/// Whether a text is a host that can have others below it.
fn is_domain(text: &str) -> bool {
    is_host(text) && text.parse::<Ipv4Addr>().is_err()
}

/// Splits a host from its port, if it has one. Returns `None` if the port is not valid.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    match text[after_address..].split_once(':') {
        None => Some((text, None)),
        Some((name, port)) => {
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|port| is_number && *port > 0)?;
            Some((&text[..after_address + name.len()], Some(number)))
        }
    }
}

/// Checks that a port is not the scheme's default, which browsers leave out.
fn check_port(scheme: &str, host: &str) -> Result<(), &'static str> {
    match (scheme, split_port(host).and_then(|(_, port)| port)) {
        ("https", Some(443)) => Err("can't match any page: browsers leave out :443 of https"),
        ("http", Some(80)) => Err("can't match any page: browsers leave out :80 of http"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, origin: &str) -> bool {
        OriginPattern::parse(pattern).unwrap().covers(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn an_origin_is_itself_whatever_its_scheme() {
        for origin in [
            "https://a.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://127.0.0.1:8080",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
            "ionic://localhost",
            "ionic://",
            "tauri://localhost",
            "app://.",
            "file://",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "null",
        ] {
            assert!(covers(origin, origin) && covers("*", origin), "{origin}");
            for other in ["https://b.example", "https://a.example:1", "capacitor://localhos", "nul"]
            {
                assert!(!covers(origin, other), "{origin} {other}");
            }
        }
    }

    #[test]
    fn a_wildcard_is_the_hosts_below_a_domain() {
        let pattern = "https://*.example.org";
        for origin in [
            "https://a.example.org",
            "https://a.b.example.org",
            "https://a-1.example.org",
            "https://_a.example.org",
        ] {
            assert!(covers(pattern, origin), "{origin}");
        }
        for origin in [
            "https://example.org",
            "https://.example.org",
            "https://a..example.org",
            "https://evilexample.org",
            "https://a.example.org.evil.example",
            "https://evil.example/.example.org",
            "https://evil.example#.example.org",
            "https://evil.example:80.example.org",
            "https://user@a.example.org",
            "http://a.example.org",
            "https://a.example.org:8443",
            "https://A.example.com",
            "null",
        ] {
            assert!(!covers(pattern, origin), "{origin}");
        }
        assert!(covers("https://*.example.org:8443", "https://a.example.org:8443"));
        assert!(
            covers("app://*.local", "app://a.local")
                && covers("http://*.localhost", "http://a.localhost")
        );
    }

    #[test]
    fn a_pattern_that_no_page_can_match_is_refused() {
        for bad in [
            "",
            "a.example",
            "*.example.org",
            "https://",
            "https://a.example/",
            "https://A.example",
            "HTTPS://a.example",
            "https://a b",
            "https://*",
            "https://*.",
            "https://*example.org",
            "https://a.*.example.org",
            "https://*.*.example.org",
            "https://a.example.*",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "https://*.a.example/",
            "*://a.example",
            "http*://a.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://*.a.example:443",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+1",
            "https://a.example:*",
            "https://bücher.example",
            "https://u:p@a.example",
            "Null",
            "://a.example",
            "https://[::g]",
        ] {
            assert!(OriginPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_and_none_name_no_site() {
        let origin = HeaderValue::from_static("https://a.example.org");
        for (pattern, expected) in [
            ("*", false),
            ("https://a.example.org", true),
            ("https://*.example.org", true),
            ("null", false),
        ] {
            assert_eq!(
                OriginPattern::parse(pattern).unwrap().names(&origin),
                expected,
                "{pattern}"
            );
        }
        let opaque = HeaderValue::from_static("null");
        assert!(!OriginPattern::parse("null").unwrap().names(&opaque));
    }
}
