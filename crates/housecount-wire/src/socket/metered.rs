//! A client's socket, whose bytes are counted for the bill.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use housecount_net::traffic::TransportTraffic;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Socket that counts its bytes, below TLS.
#[derive(Debug)]
pub struct MeteredStream {
    socket: TcpStream,
    traffic: Arc<TransportTraffic>,
    /// Whether bytes were read since the last write, so that no answer acknowledges them yet.
    is_unanswered: bool,
}

impl MeteredStream {
    /// Counts a socket's bytes as traffic of a transport.
    pub fn new(socket: TcpStream, traffic: Arc<TransportTraffic>) -> MeteredStream {
        MeteredStream { socket, traffic, is_unanswered: false }
    }

    /// Counts further bytes as traffic of another transport.
    pub fn set_traffic(&mut self, traffic: Arc<TransportTraffic>) {
        self.traffic = traffic;
    }

    /// Copies the next bytes, which stay in the socket.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(bytes).await
    }

    /// Acknowledges the bytes that were read, since no answer follows that could do so.
    ///
    /// If Linux waits for an answer in vain, it acknowledges the next bytes apart from their
    /// answer, too: one more packet (52 bytes).
    pub fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.socket.set_quickack(true).and_then(|()| self.socket.set_quickack(false));
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.traffic.count_write(*bytes);
            self.is_unanswered &= *bytes == 0;
        }
        written
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        this.traffic.count_read(bytes);
        if bytes > 0 && std::mem::replace(&mut this.is_unanswered, true) {
            // The bytes before these.
            this.traffic.count_acknowledgement();
        }
        read
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.count(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.count(written)
    }
}
