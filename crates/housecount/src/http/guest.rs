//! The state of an open connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::balancer::ConnectionSlot;
use crate::edge::AddressConnection;
use crate::metrics::Metrics;

/// What a connection holds for as long as it is open, also once it speaks something else than HTTP.
#[derive(Debug)]
pub struct Guest<H> {
    /// Who answers. Here, so that a request counts one reference to all of it, which no other
    /// connection counts.
    pub host: H,
    /// Where the connection is from.
    pub peer: IpAddr,
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _counted: Option<AddressConnection>,
    pub(super) _place: ConnectionSlot,
    pub(super) metrics: Arc<Metrics>,
}

impl<H> Drop for Guest<H> {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}
