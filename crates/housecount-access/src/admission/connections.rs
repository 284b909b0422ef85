//! Limit of open connections per client address: a count for each address that has any.
//!
//! A connection counts for the peer that it comes from. The proxies of `proxies` carry many
//! clients' requests, so their own connections are not limited here. But a WebSocket or a stream of
//! counts holds a connection of the proxy for its whole life. So it counts for the client that the
//! proxy names: one client could otherwise take every connection of a node through the proxy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

use super::settings::AdmissionSettings;
use super::{AdmissionError, ClientAddr};

/// Limit of the connections that an address may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Open connections per address.
    pub max: NonZeroUsize,
    /// Whether this machine's own addresses are limited too.
    pub is_for_loopback: bool,
}

/// Open connections of each client address, with their limit. Only an address with open connections
/// has an entry.
#[derive(Debug)]
pub struct AddressConnections {
    limit: Option<ConnectionLimit>,
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct AddressConnection {
    address: IpAddr,
    of: Arc<AddressConnections>,
}

impl AddressConnections {
    /// Creates a count by these settings.
    #[must_use]
    pub fn new(settings: &AdmissionSettings) -> Arc<AddressConnections> {
        Arc::new(AddressConnections {
            limit: settings.address_connections,
            proxies: settings.proxies.clone(),
            open: Mutex::default(),
        })
    }

    /// Counts a connection from `peer`. Returns `None` if its address is not limited.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooManyConnections`]; the caller closes the connection.
    pub fn open(
        self: &Arc<Self>,
        peer: IpAddr,
    ) -> Result<Option<AddressConnection>, AdmissionError> {
        self.count(super::client_addr::network(peer.to_canonical()))
    }

    /// Counts a WebSocket or a stream of counts for `client_addr`, if it comes through one of
    /// `proxies`. Without a proxy, the client's own connection is counted already.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooManyConnections`]; the caller refuses the request.
    pub fn open_proxied(
        self: &Arc<Self>,
        peer: IpAddr,
        client_addr: ClientAddr,
    ) -> Result<Option<AddressConnection>, AdmissionError> {
        if self.is_proxy(peer.to_canonical()) {
            self.count(client_addr.address())
        } else {
            Ok(None)
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(&address))
    }

    fn count(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<Option<AddressConnection>, AdmissionError> {
        let Some(limit) = self.limit else { return Ok(None) };
        if address.is_loopback() && !limit.is_for_loopback || self.is_proxy(address) {
            return Ok(None);
        }
        let max = limit.max.get();
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= max {
            return Err(AdmissionError::TooManyConnections { max });
        }
        *count += 1;
        Ok(Some(AddressConnection { address, of: self.clone() }))
    }
}

impl Drop for AddressConnection {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, is_for_loopback: bool) -> Arc<AddressConnections> {
        let limit = NonZeroUsize::new(max).map(|max| ConnectionLimit { max, is_for_loopback });
        AddressConnections::new(&AdmissionSettings {
            address_connections: limit,
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..AdmissionSettings::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_a_limit_and_gets_connections_back() {
        let connections = connections(2, false);
        let open = |peer: &str| connections.open(address(peer));
        let first = open("192.0.2.1").unwrap();
        let second = open("::ffff:192.0.2.1").unwrap();
        assert!(first.is_some() && second.is_some());
        assert_eq!(open("192.0.2.1").unwrap_err(), AdmissionError::TooManyConnections { max: 2 });
        let _other = open("192.0.2.2").unwrap();
        drop(first);
        let third = open("192.0.2.1").unwrap();
        assert!(open("192.0.2.1").is_err());
        drop((second, third));
        assert_eq!(connections.open.lock().len(), 1, "only the other address is left");
        // A /64 is one household.
        let _v6 = (open("2001:db8:1:2::1").unwrap(), open("2001:db8:1:2:ffff::1").unwrap());
        assert!(open("2001:db8:1:2::3").is_err() && open("2001:db8:1:3::1").is_ok());
    }

    #[test]
    fn proxies_are_not_limited_and_this_machine_only_where_it_is_meant() {
        let unset = connections(1, false);
        let set = connections(1, true);
        let hold = |connections: &Arc<AddressConnections>, peer: &str| {
            let first = connections.open(address(peer)).unwrap();
            let is_limited = connections.open(address(peer)).is_err();
            drop(first);
            is_limited
        };
        assert_eq!([hold(&unset, "10.1.2.3"), hold(&set, "10.1.2.3")], [false; 2]);
        assert_eq!([hold(&unset, "127.0.0.1"), hold(&set, "127.0.0.1")], [false, true]);
        assert_eq!([hold(&unset, "::1"), hold(&set, "::ffff:127.0.0.1")], [false, true]);
        assert!(!hold(&connections(0, true), "192.0.2.1"), "a limit of 0 means no limit");
    }

    #[test]
    fn what_lasts_behind_a_proxy_counts_for_its_client() {
        let connections = connections(1, true);
        let client_addr = |client: &str| ClientAddr::of(address(client));
        let proxied =
            |client: &str| connections.open_proxied(address("10.0.0.1"), client_addr(client));
        let first = proxied("192.0.2.1").unwrap();
        assert!(first.is_some() && proxied("192.0.2.1").is_err() && proxied("192.0.2.2").is_ok());
        assert!(
            connections.open(address("192.0.2.1")).is_err(),
            "the same client, without the proxy"
        );
        // A client without a proxy is not counted twice. Nor is a proxy that names no client.
        let direct = connections.open_proxied(address("192.0.2.1"), client_addr("192.0.2.1"));
        assert!(direct.unwrap().is_none() && proxied("10.0.0.1").unwrap().is_none());
    }
}
