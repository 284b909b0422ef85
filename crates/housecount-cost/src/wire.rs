//! Bytes on the wire, memory and CPU of a viewer: all measured figures of the whole bill.
//!
//! Bytes are of IPv4 packets with their headers, bare ACKs included, over TLS 1.3 with a chain like
//! a public one. `bench/wire` measures bytes. A figure marked as a goal is not measured yet.

/// Origin of the figures, for readers of the bill.
pub const ORIGIN: &str = "Bytes were measured with `bench/wire` on 2026-12-01. Kernel memory and CPU \
                          of HTTP and handshakes were measured on 2026-11-29. 8 KiB per WebSocket and \
                          1.35 x the CPU for its TLS are upper bounds: 7.6 KiB and 1.17 x were measured \
                          on 2026-12-01.";

/// Way in which players send heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerTransport {
    /// WebSocket with short answers, which the SDK chooses.
    Ws,
    /// `fetch` over HTTP/2 with short answers, which the SDK asks for.
    H2,
    /// `fetch` over HTTP/1.1 with short answers.
    H1,
}

/// Bytes of a player, by direction and occasion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireBytes {
    /// From the node, per heartbeat.
    pub beat_out: u64,
    /// To the node, per heartbeat.
    pub beat_in: u64,
    /// From the node, per stay of a new browser, beside its heartbeats.
    pub first_out: u64,
    /// From the node, per stay of a browser with a TLS ticket, beside its heartbeats.
    pub return_out: u64,
    /// To the node, per stay, beside its heartbeats.
    pub stay_in: u64,
}

impl PlayerTransport {
    /// All transports, the SDK's choice first.
    pub const ALL: [PlayerTransport; 3] =
        [PlayerTransport::Ws, PlayerTransport::H2, PlayerTransport::H1];

    /// Returns the name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PlayerTransport::Ws => "WebSocket",
            PlayerTransport::H2 => "HTTP/2",
            PlayerTransport::H1 => "HTTP/1.1",
        }
    }

    /// Returns the bytes of a player.
    ///
    /// Measured with `bench/wire` on 2026-12-01: the SDK in Chromium, or for HTTP/1.1 a client with
    /// the headers of Chrome. Over HTTP/2, Chromium sends a ping before each heartbeat, because
    /// more than 10 s have passed. Loopback has an acknowledgement for each of its segments.
    #[must_use]
    pub fn bytes(self) -> WireBytes {
        let [beat_out, beat_in, first_out, return_out, stay_in] = match self {
            PlayerTransport::Ws => [86, 134, 3_282, 1_101, 3_546],
            PlayerTransport::H2 => [411, 571, 3_078, 885, 3_525],
            PlayerTransport::H1 => [224, 949, 3_237, 1_037, 1_921],
        };
        WireBytes { beat_out, beat_in, first_out, return_out, stay_in }
    }

    /// Returns the memory of a connection: the process and the kernel.
    ///
    /// The kernel takes 4.4 KiB (measured on 2026-11-29). A WebSocket over TLS takes 8 KiB of the
    /// process, which is a goal. An idle HTTP connection takes 10.7 KiB without TLS
    /// (docs/PERFORMANCE.md, "Memory a connection"), and TLS adds 6.7 KiB.
    #[must_use]
    pub fn socket_bytes(self) -> u64 {
        match self {
            PlayerTransport::Ws => 12_698,
            PlayerTransport::H2 | PlayerTransport::H1 => 22_323,
        }
    }

    /// Returns the CPU time of a heartbeat over TLS, in nanoseconds.
    ///
    /// WebSocket: 12.59 us without TLS (docs/PERFORMANCE.md, "CPU a heartbeat"), times 1.35, which
    /// is the goal for TLS. HTTP: the upper ends of 23-28 and 33-40 us, measured on 2026-11-29.
    #[must_use]
    pub fn beat_cpu_ns(self) -> u64 {
        match self {
            PlayerTransport::Ws => 17_000,
            PlayerTransport::H2 => 40_000,
            PlayerTransport::H1 => 28_000,
        }
    }
}

/// Bytes from the node per event of `GET /v1/live` with one `stage` and `fields=viewers`, over
/// HTTP/2. Measured on 2026-12-01.
pub const LIVE_EVENT_OUT: u64 = 136;
/// Bytes to the node per event of `GET /v1/live`. Measured on 2026-12-01.
pub const LIVE_EVENT_IN: u64 = 52;

/// CPU time of a full TLS handshake, in nanoseconds. Measured on 2026-11-29: 690 to 720 us.
pub const HANDSHAKE_CPU_NS: u64 = 720_000;
/// CPU time to follow one heartbeat of the log, in nanoseconds. Each node follows all heartbeats:
/// docs/PERFORMANCE.md, "How fast is the fold alone?".
pub const FOLLOW_CPU_NS: u64 = 58;
/// CPU of an idle node, in thousandths of a core (docs/PERFORMANCE.md: 5.5 ms per second).
pub const IDLE_CPU_PERMILLE: u64 = 6;
/// Memory of a viewer in each node (docs/PERFORMANCE.md: 114.94 B).
pub const VIEWER_BYTES: u64 = 115;
/// Memory of the operating system and of a node without viewers. An assumption.
pub const SYSTEM_BYTES: u64 = 192 << 20;

/// Bytes per second between an idle node and Redis, beside another one. Measured on 2026-12-01:
/// 1.79 GiB a month.
pub const REDIS_IDLE_BYTES: u64 = 731;
/// Bytes between nodes and Redis per append, beside its heartbeats. Measured on 2026-11-29: 147 GiB
/// a month with two nodes and 333 heartbeats per second.
pub const REDIS_APPEND_BYTES: u64 = 257;
/// Appends to Redis per second and node at most, one per `linger` of 10 ms.
pub const REDIS_APPENDS_MAX: u64 = 100;
/// Tenths of a byte of a heartbeat in Redis (docs/PERFORMANCE.md: 11.8 B).
pub const REDIS_BEAT_DECIBYTES: u64 = 118;

/// The usual way: an Express server that calls SETEX, SADD and GET per heartbeat.
pub mod usual {
    /// CPU time of the server per heartbeat, in nanoseconds (docs/PERFORMANCE.md, `express-usual`,
    /// open loop, 3,333/s).
    pub const BEAT_CPU_NS: u64 = 209_620;
    /// CPU time of Redis per heartbeat, in nanoseconds. The same row.
    pub const REDIS_BEAT_CPU_NS: u64 = 55_710;
    /// Bytes out per heartbeat over HTTP/2, with the preflight that precedes each. An estimate.
    pub const BEAT_OUT: u64 = 370;
    /// Memory of the process. An assumption.
    pub const PROCESS_BYTES: u64 = 120 << 20;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names every figure, so that a change of one is deliberate.
    #[test]
    fn figures_are_as_measured() {
        let bytes = PlayerTransport::ALL.map(|transport| {
            let WireBytes { beat_out, beat_in, first_out, return_out, stay_in } = transport.bytes();
            (beat_out, beat_in, first_out, return_out, stay_in)
        });
        assert_eq!(bytes[0], (86, 134, 3_282, 1_101, 3_546));
        assert_eq!(bytes[1], (411, 571, 3_078, 885, 3_525));
        assert_eq!(bytes[2], (224, 949, 3_237, 1_037, 1_921));
        assert_eq!((LIVE_EVENT_OUT, LIVE_EVENT_IN), (136, 52));
        // 8 and 4.4 KiB; 10.7, 6.7 and 4.4 KiB.
        assert_eq!(PlayerTransport::Ws.socket_bytes(), (8 * 1_024) + 4_506);
        assert_eq!(PlayerTransport::H2.socket_bytes(), 218 * 1_024 / 10);
        assert_eq!(PlayerTransport::Ws.beat_cpu_ns(), 17_000);
        // An onlooker of a busy stage: 340 MiB a month at an event per second.
        assert_eq!((LIVE_EVENT_OUT * 730 * 3_600) >> 20, 340);
        // 1.78 GiB a month.
        assert_eq!((REDIS_IDLE_BYTES * 730 * 3_600 * 100) >> 30, 178);
    }
}
