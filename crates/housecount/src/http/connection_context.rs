//! State of an open connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::admission::AddressConnection;
use crate::metrics::Metrics;
use crate::workers::balancer::ConnectionSlot;

/// State that a connection holds for as long as it is open, also once it has left HTTP.
#[derive(Debug)]
pub struct ConnectionContext<H> {
    /// Service that answers. It is stored here so that a request counts one reference to all of
    /// this. Other connections do not share that count.
    pub service: H,
    /// Address that the connection comes from.
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
