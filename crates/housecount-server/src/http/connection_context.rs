//! State of an open connection.

use std::net::IpAddr;
use std::sync::Arc;

use housecount_access::admission::AddressConnection;
use housecount_engine::internals::ConnectionSlot;
use housecount_metrics::Metrics;
use tokio::sync::OwnedSemaphorePermit;

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
