//! The client address of a request, and the requests that an address may send: one bucket per
//! address (`rate_table`).
//!
//! Any client can write an `X-Forwarded-For`. The node trusts the part that its own `proxies`
//! wrote: from the end back to the first address that is not one of them. An IPv6 address stands
//! for its /64, which is what one household gets.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use housecount_backend::clock::mono_ms;
use housecount_core::limits::ADDRESSES_MAX;
use hyper::HeaderMap;
use ipnet::IpNet;

use super::AdmissionError;
use super::rate_table::RateTable;
use super::settings::AdmissionSettings;

/// Rate limit of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRate {
    /// Requests per second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
    /// Whether this machine's own addresses are limited too.
    pub is_for_loopback: bool,
}

/// The address that a client's requests are counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(IpAddr);

impl ClientAddr {
    /// Returns the client at an address.
    #[must_use]
    pub fn of(address: IpAddr) -> ClientAddr {
        ClientAddr(network(address))
    }

    /// Returns the address; of IPv6, that of its network.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// Rate limiter by client address, and the proxies whose headers it believes.
#[derive(Debug)]
pub struct AddressLimiter {
    proxies: Vec<IpNet>,
    limit: Option<AddressBuckets>,
}

#[derive(Debug)]
struct AddressBuckets {
    is_for_loopback: bool,
    buckets: RateTable,
}

impl AddressLimiter {
    /// Creates a limiter with the settings' rates and trusted proxies.
    #[must_use]
    pub fn new(settings: &AdmissionSettings) -> AddressLimiter {
        let limit = settings.address_rate.map(|rate| AddressBuckets {
            is_for_loopback: rate.is_for_loopback,
            buckets: RateTable::new(rate.per_second, rate.burst, ADDRESSES_MAX),
        });
        AddressLimiter { proxies: settings.proxies.clone(), limit }
    }

    /// Returns the client that sent a request which came from `peer`.
    #[must_use]
    pub fn client_addr(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddr {
        let mut client_addr = peer.to_canonical();
        if !self.is_proxy(peer) {
            return ClientAddr::of(client_addr);
        }
        let lines: Vec<_> = headers.get_all("x-forwarded-for").into_iter().collect();
        let words =
            lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for word in words {
            // The sender of an unreadable word also wrote everything before it.
            let Some(address) = parse(word) else { break };
            client_addr = address;
            if !self.is_proxy(client_addr) {
                break;
            }
        }
        ClientAddr::of(client_addr)
    }

    /// Whether an address is that of a trusted proxy.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|proxy| proxy.contains(&address))
    }

    /// Counts requests, or heartbeats, of an address.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooManyRequests`] if the address has sent too much.
    pub fn check(&self, client_addr: ClientAddr, requests: usize) -> Result<(), AdmissionError> {
        let Some(limit) = &self.limit else { return Ok(()) };
        if client_addr.0.is_loopback() && !limit.is_for_loopback {
            return Ok(());
        }
        let taken = limit.buckets.take(client_addr, requests as u64, mono_ms() * 1_000);
        taken.map_err(|over| AdmissionError::TooManyRequests {
            retry_ms: over.retry_us.div_ceil(1_000),
        })
    }
}

/// Parses an address as proxies write it, possibly with a port.
fn parse(word: &[u8]) -> Option<IpAddr> {
    let word = std::str::from_utf8(word).ok()?.trim();
    let bare = word.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(word);
    let address = bare
        .parse()
        .or_else(|_| word.parse().map(|with_port: std::net::SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Returns the network of an address: for IPv6 its /64, which is what one household has.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) if v6.is_loopback() => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn addresses(per_second: u32, burst: u32, proxies: &[&str]) -> AddressLimiter {
        let rate = NonZeroU32::new(per_second)
            .zip(NonZeroU32::new(burst))
            .map(|(per_second, burst)| AddressRate { per_second, burst, is_for_loopback: true });
        AddressLimiter::new(&AdmissionSettings {
            address_rate: rate,
            proxies: proxies.iter().map(|proxy| proxy.parse().unwrap()).collect(),
            ..AdmissionSettings::default()
        })
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| {
            ("x-forwarded-for".parse().unwrap(), HeaderValue::from_str(line).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            let _: bool = headers.append::<hyper::header::HeaderName>(name, value);
        }
        headers
    }

    #[test]
    fn only_proxies_are_believed() {
        let ours = addresses(1, 1, &["10.0.0.0/8", "fd00::/8"]);
        for (peer, lines, expected) in [
            // A peer that is not a proxy is not believed.
            ("203.0.113.5", vec!["198.51.100.1"], "203.0.113.5"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            // The part that a client wrote itself stands to the left.
            ("10.0.0.1", vec!["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6, nonsense, 10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", vec!["6.6.6.6, "], "10.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("::ffff:10.0.0.1", vec!["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", vec!["[2001:db8:1:2:3:4:5:6]:80"], "2001:db8:1:2::"),
            ("10.0.0.1", vec!["2001:db8:1:2::9"], "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", vec!["6.6.6.6"], "2001:db8:1:2::"),
        ] {
            let client_addr = ours.client_addr(peer.parse().unwrap(), &headers(&lines));
            assert_eq!(client_addr, ClientAddr(expected.parse().unwrap()), "{peer} {lines:?}");
        }
    }

    #[test]
    fn an_address_has_a_bucket() {
        let limited = addresses(1, 3, &[]);
        let client_addr = |text: &str| ClientAddr(text.parse().unwrap());
        assert_eq!(limited.check(client_addr("192.0.2.1"), 2), Ok(()));
        // A request for more than a whole bucket takes a whole bucket.
        let refused = limited.check(client_addr("192.0.2.1"), 5_000).unwrap_err();
        let AdmissionError::TooManyRequests { retry_ms } = refused else { panic!() };
        assert!((1..=2_000).contains(&retry_ms), "{retry_ms}");
        assert_eq!(limited.check(client_addr("192.0.2.2"), 5_000), Ok(()));
        let off = addresses(0, 0, &[]);
        (0..1_000).for_each(|_| assert_eq!(off.check(client_addr("192.0.2.1"), 1), Ok(())));
    }

    #[test]
    fn addresses_max_bounds_the_table() {
        let limited = addresses(1, 2, &[]);
        let take = |n: usize| limited.check(ClientAddr(IpAddr::from((n as u32).to_be_bytes())), 1);
        for n in 0..4 * ADDRESSES_MAX {
            assert_eq!(take(n), Ok(()));
        }
        assert_eq!(limited.limit.as_ref().unwrap().buckets.bytes(), ADDRESSES_MAX * 8);
    }
}
