//! Direct calls: a node without operator keys answers operators' calls to this machine only.
//!
//! Programs on the machine may call, but a call that only passes through it is refused. A proxy
//! would make an operator of each of its clients. A page of another site in a browser here is
//! refused too. So is a page whose site gave this machine's address to a name of its own (DNS
//! rebinding).
//!
//! With `--insecure`, only pages of other sites are refused. The check knows only the content of
//! the request, so it does not detect a proxy that hides itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};

use crate::origin::OriginPattern;

/// Headers that proxies add to a request, besides those that begin with [`FORWARDED_PREFIX`].
const FORWARDED: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-envoy-external-address",
];
/// `X-Forwarded-For`, `-Host`, `-Proto`, `-Port` and more.
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Address that the connection of a request comes from, whatever proxies write. The server
/// adds it to each routed request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Properties of a request's sender, beside its credential.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// `None` if the request was not given one.
    peer: Option<Peer>,
    version: Version,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

/// Reason why a request does not count as one of this machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indirect {
    /// The request came from another machine.
    Peer,
    /// The request asked for another name than this machine's own.
    Host,
    /// A proxy has forwarded the request.
    Proxy,
    /// A page of another site has sent the request.
    Origin,
}

impl Indirect {
    /// Text for the sender.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Indirect::Peer => "the call came from another machine",
            Indirect::Host => "the call's Host is neither localhost nor an IP address",
            Indirect::Proxy => "the call came through a proxy (its headers, or HTTP/1.0)",
            Indirect::Origin => "the call came from a page of another site (Origin)",
        }
    }
}

impl<'a> Sender<'a> {
    /// Returns the sender of a request.
    pub fn of<B>(request: &'a Request<B>) -> Sender<'a> {
        let (version, uri, headers) = (request.version(), request.uri(), request.headers());
        Sender { peer: request.extensions().get().copied(), version, uri, headers }
    }

    /// Returns the sender of a request by its head.
    pub fn of_parts(parts: &'a Parts) -> Sender<'a> {
        let Parts { version, uri, headers, extensions, .. } = parts;
        Sender { peer: extensions.get().copied(), version: *version, uri, headers }
    }

    /// Returns its headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Checks whether the sender may make operators' calls without a key, on a node that has no
    /// keys. `named` are the sites whose pages may, and with `insecure` any other client may.
    ///
    /// # Errors
    /// Returns an [`Indirect`] with the reason if it may not.
    pub fn check(&self, named: &[OriginPattern], insecure: bool) -> Result<(), Indirect> {
        if !self.is_own_page(named) {
            return Err(Indirect::Origin);
        }
        if insecure {
            return Ok(());
        }
        if !self.peer.is_some_and(|Peer(peer)| peer.to_canonical().is_loopback()) {
            return Err(Indirect::Peer);
        }
        // Proxies use this version by default (nginx before 1.29), and browsers never do.
        let is_old = self.version < Version::HTTP_11;
        let is_forwarded = |name: &HeaderName| {
            name.as_str().starts_with(FORWARDED_PREFIX) || FORWARDED.contains(&name.as_str())
        };
        if is_old || self.headers.keys().any(is_forwarded) {
            return Err(Indirect::Proxy);
        }
        if !self.is_asked_by_its_own_name() {
            return Err(Indirect::Host);
        }
        Ok(())
    }

    /// Returns every host that the request is for; an honest request has one. Returns `None` if the
    /// request has none, or an unreadable one.
    fn hosts(&self) -> Option<Vec<Authority>> {
        let named = self.headers.get_all(header::HOST).into_iter().map(authority);
        let hosts: Option<Vec<_>> =
            self.uri.authority().cloned().map(Some).into_iter().chain(named).collect();
        hosts.filter(|hosts| !hosts.is_empty())
    }

    fn is_asked_by_its_own_name(&self) -> bool {
        self.hosts().is_some_and(|hosts| hosts.iter().all(is_own_name))
    }

    /// Whether the request is not from a page of another site. A page of this node is allowed, and
    /// one of a site that the settings name.
    fn is_own_page(&self, named: &[OriginPattern]) -> bool {
        let mut origins = self.headers.get_all(header::ORIGIN).into_iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => {
                named.iter().any(|pattern| pattern.names(origin)) || self.is_from_here(origin)
            }
            _ => false,
        }
    }

    /// Whether an origin is this node's. An origin is a scheme and a host, so a page from this port
    /// came from this node.
    fn is_from_here(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let Some(host) = host.filter(|host| !host.is_empty()) else { return false };
        self.hosts()
            .is_some_and(|hosts| hosts.iter().all(|each| each.as_str().eq_ignore_ascii_case(host)))
    }
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok()
}

/// Whether a host is an address, or the name that is this machine's everywhere. No other site can
/// make these lead here.
fn is_own_name(host: &Authority) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host();
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get(line).body(()).unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn a_name_of_its_own_is_an_address_or_localhost() {
        for good in [
            "localhost",
            "LOCALHOST:7400",
            "127.0.0.1:7400",
            "127.0.0.1",
            "[::1]:80",
            "192.0.2.7:1",
        ] {
            let request = request("/v1/stats", &[("host", good)]);
            assert!(Sender::of(&request).is_asked_by_its_own_name(), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:7400",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "2130706433",
            "ann@127.0.0.1",
            "127.0.0.1@evil.example",
            "127.0.0.1, evil.example",
            "[evil]",
            "",
        ] {
            let request = request("/v1/stats", &[("host", bad)]);
            assert!(!Sender::of(&request).is_asked_by_its_own_name(), "{bad}");
        }
        let of = |line: &str, hosts: &[(&str, &str)]| {
            let request = request(line, hosts);
            Sender::of(&request).is_asked_by_its_own_name()
        };
        assert!(!of("/v1/stats", &[]), "the request names no host");
        // HTTP/2 has the host before the path, and so has HTTP/1 to a proxy.
        assert!(of("http://127.0.0.1/v1/stats", &[]) && !of("http://evil.example/v1/stats", &[]));
        assert!(!of("http://127.0.0.1/v1/stats", &[("host", "evil.example")]));
        assert!(!of("http://evil.example/v1/stats", &[("host", "127.0.0.1")]));
        assert!(!of("/v1/stats", &[("host", "127.0.0.1"), ("host", "evil.example")]));
    }

    #[test]
    fn a_page_is_its_own_if_it_came_from_where_it_asks() {
        let named = ["https://ops.example", "https://*.ops.example", "*", "null"];
        let named = named.map(|text| OriginPattern::parse(text).unwrap());
        let of = |host: &str, origins: &[&str]| {
            let origins = origins.iter().map(|origin| ("origin", *origin));
            let request = request(
                "/v1/stats",
                &[("host", host)].into_iter().chain(origins).collect::<Vec<_>>(),
            );
            Sender::of(&request).is_own_page(&named)
        };
        assert!(of("127.0.0.1:7400", &[]));
        for (host, origin) in [
            ("127.0.0.1:7400", "http://127.0.0.1:7400"),
            ("localhost:7400", "https://localhost:7400"),
            ("[::1]:7400", "http://[::1]:7400"),
            ("Localhost", "http://localhost"),
            ("127.0.0.1:7400", "https://ops.example"),
            ("127.0.0.1:7400", "https://a.ops.example"),
        ] {
            assert!(of(host, &[origin]), "{host} {origin}");
        }
        for origin in [
            "https://evil.example",
            "http://127.0.0.1:3000",
            "http://127.0.0.1",
            "http://localhost:7400",
            "ftp://127.0.0.1:7400",
            "http://127.0.0.1:7400.evil.example",
            "127.0.0.1:7400",
            "http://",
            "null",
            "*",
            "",
        ] {
            assert!(!of("127.0.0.1:7400", &[origin]), "{origin}");
        }
        assert!(!of("127.0.0.1:7400", &["http://127.0.0.1:7400", "https://evil.example"]));
    }
}
