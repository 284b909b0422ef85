//! A connection's bytes: plain, or through TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use housecount_net::tls::TlsStream;
use housecount_net::traffic::TransportTraffic;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::metered::MeteredStream;
use super::preface::BegunSocket;

/// Byte stream of a connection, plain or through TLS.
#[derive(Debug)]
pub enum MaybeTlsStream {
    /// Without TLS.
    Plain(MeteredStream),
    /// With TLS. In a box, because many idle connections are usually plain ones from a balancer.
    Tls(Box<TlsStream<MeteredStream>>),
    /// Plain, with first bytes that came in pieces. In a box, since there are few.
    Begun(Box<BegunSocket>),
}

impl MaybeTlsStream {
    /// Counts further bytes as traffic of another transport.
    pub fn set_traffic(&mut self, traffic: Arc<TransportTraffic>) {
        match self {
            MaybeTlsStream::Plain(socket) => socket.set_traffic(traffic),
            MaybeTlsStream::Tls(stream) => stream.get_mut().set_traffic(traffic),
            MaybeTlsStream::Begun(begun) => begun.socket_mut().set_traffic(traffic),
        }
    }

    /// Acknowledges the bytes that were read, since no answer follows.
    pub fn acknowledge(&self) {
        match self {
            MaybeTlsStream::Plain(socket) => socket.acknowledge(),
            MaybeTlsStream::Tls(stream) => stream.get_ref().acknowledge(),
            MaybeTlsStream::Begun(begun) => begun.socket().acknowledge(),
        }
    }
}

/// Largest write that is joined here before the system call, such as a heartbeat's answer with its
/// headers. If the system joins the pieces, that takes 2 to 4 % of a heartbeat; a copy here takes
/// hardly anything. (hyper's own way, `writev(false)`, keeps room for the largest answer that a
/// connection ever had.)
const COALESCED_WRITE_BYTES_MAX: usize = 1_024;

fn fits_coalescing(slices: &[io::IoSlice<'_>]) -> bool {
    slices.iter().map(|slice| slice.len()).sum::<usize>() <= COALESCED_WRITE_BYTES_MAX
}

/// Calls the same method of the inner stream of any variant.
macro_rules! whichever {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            MaybeTlsStream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            MaybeTlsStream::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
            MaybeTlsStream::Begun(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for MaybeTlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        whichever!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for MaybeTlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        whichever!(self, poll_write, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self, poll_shutdown, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            MaybeTlsStream::Plain(stream) => stream.is_write_vectored(),
            MaybeTlsStream::Tls(stream) => stream.is_write_vectored(),
            MaybeTlsStream::Begun(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            MaybeTlsStream::Plain(stream) if fits_coalescing(slices) => {
                // Filled in place: a move would copy all of its room.
                let mut gathered = SmallVec::<[u8; COALESCED_WRITE_BYTES_MAX]>::new();
                slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
                Pin::new(stream).poll_write(cx, &gathered)
            }
            MaybeTlsStream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            // TLS joins the pieces by itself.
            MaybeTlsStream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            MaybeTlsStream::Begun(stream) => {
                Pin::new(&mut **stream).poll_write_vectored(cx, slices)
            }
        }
    }
}
