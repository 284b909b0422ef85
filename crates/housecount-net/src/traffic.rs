//! Bytes between clients and this node, as they are billed.
//!
//! The bill has IP packets, and a node sees the bytes of its sockets. So headers are added for each
//! write, or each full segment of a long one. The packets that open and close a connection are
//! added, too. Most acknowledgements are part of an answer. If bytes are read twice without a write
//! between, the first ones got an acknowledgement without data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::limits::SEGMENT_BYTES;

/// Bytes of the headers of a packet: IPv4, TCP, and TCP's timestamps (RFC 791, 9293, 7323).
const HEADER_BYTES: u64 = 52;
/// Packets that a node sends to open and to close a connection, beside those with data. Browsers
/// and `housecount load` cause 5 or 6 over TLS (`bench/wire`).
const CONNECTION_PACKETS: u64 = 6;

/// Way in which a client uses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTransport {
    /// HTTP/1.1, also before the client has shown that it means another.
    Http1,
    /// Requests over HTTP/2.
    Http2,
    /// Messages of a WebSocket.
    WebSocket,
}

impl ClientTransport {
    /// All transports.
    pub const ALL: [ClientTransport; 3] =
        [ClientTransport::Http1, ClientTransport::Http2, ClientTransport::WebSocket];

    /// Returns the name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClientTransport::Http1 => "h1",
            ClientTransport::Http2 => "h2",
            ClientTransport::WebSocket => "ws",
        }
    }
}

/// Traffic of the connections of a transport.
#[derive(Debug, Default)]
pub struct TransportTraffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    packets_out: AtomicU64,
}

impl TransportTraffic {
    /// Counts bytes that were read from a socket.
    pub fn count_read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that were written to a socket.
    pub fn count_write(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packets_out.fetch_add(bytes.div_ceil(SEGMENT_BYTES) as u64, Ordering::Relaxed);
    }

    /// Counts an acknowledgement that no answer carried.
    pub fn count_acknowledgement(&self) {
        self.packets_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the bytes read from and written to sockets.
    #[must_use]
    pub fn socket_bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    fn egress_bytes(&self) -> u64 {
        let packets = self.packets_out.load(Ordering::Relaxed);
        self.socket_bytes().1.saturating_add(packets.saturating_mul(HEADER_BYTES))
    }
}

/// Traffic of all clients of a node.
#[derive(Debug, Default)]
pub struct ClientTraffic {
    by_transport: [Arc<TransportTraffic>; ClientTransport::ALL.len()],
}

impl ClientTraffic {
    /// Returns the traffic of a transport.
    #[must_use]
    pub fn of(&self, transport: ClientTransport) -> &Arc<TransportTraffic> {
        &self.by_transport[transport as usize]
    }

    /// Counts a new connection.
    pub fn count_connection(&self) {
        let packets = &self.of(ClientTransport::Http1).packets_out;
        packets.fetch_add(CONNECTION_PACKETS, Ordering::Relaxed);
    }

    /// Returns the bytes of the packets sent to clients.
    #[must_use]
    pub fn egress_bytes(&self) -> u64 {
        self.by_transport.iter().map(|traffic| traffic.egress_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_bytes_decide_how_many_packets_a_write_takes() {
        let traffic = ClientTraffic::default();
        traffic.count_connection();
        assert_eq!(traffic.egress_bytes(), 6 * 52);
        let socket = traffic.of(ClientTransport::WebSocket);
        socket.count_read(30);
        socket.count_write(34);
        assert_eq!(socket.socket_bytes(), (30, 34));
        assert_eq!(traffic.egress_bytes(), 6 * 52 + 86, "a short answer over TLS is one packet");
        socket.count_acknowledgement();
        assert_eq!(
            traffic.egress_bytes(),
            7 * 52 + 86,
            "a heartbeat without an answer is acknowledged"
        );
        for (bytes, packets) in [(0, 0), (SEGMENT_BYTES, 1), (SEGMENT_BYTES + 1, 2)] {
            let before = traffic.egress_bytes();
            traffic.of(ClientTransport::Http2).count_write(bytes);
            assert_eq!(traffic.egress_bytes() - before, (bytes + 52 * packets) as u64);
        }
        assert_eq!(ClientTransport::ALL.map(|transport| transport as usize), [0, 1, 2]);
    }
}
