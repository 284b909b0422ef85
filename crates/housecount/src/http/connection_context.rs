//! The state of an open connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::admission::AddressConnection;
use crate::balancer::ConnectionSlot;
use crate::metrics::Metrics;

/// What a connection holds for as long as it is open, also once it speaks something else than HTTP.
#[derive(Debug)]
pub struct ConnectionContext<H> {
    /// Who answers. Here, so that a request counts one reference to all of it, which no other
    /// connection counts.
    pub service: H,
    /// Where the connection is from.
    pub peer: IpAddr,
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _address: Option<AddressConnection>,
    pub(super) _slot: ConnectionSlot,
    pub(super) metrics: Arc<Metrics>,
}

impl<H> Drop for ConnectionContext<H> {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}
