//! A socket that may be used on any worker, one after the other: it belongs to the runtime of whoever used it last.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::workers::here;

/// See the module's text.
#[derive(Debug)]
pub struct Socket {
    /// None once it couldn't be moved.
    stream: Option<TcpStream>,
    /// The worker whose runtime it is registered with.
    home: usize,
}

impl Socket {
    /// One that was made here.
    pub fn new(stream: TcpStream) -> Socket {
        Socket { stream: Some(stream), home: here() }
    }

    /// Looks at the next bytes without taking them; as many as there are, and none if the client has closed.
    ///
    /// # Errors
    /// Returns the system's error.
    pub async fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream()?.peek(bytes).await
    }

    /// The stream, which belongs here from now on.
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.home != here() {
            self.home = here();
            if let Some(stream) = self.stream.take() {
                self.stream = Some(TcpStream::from_std(stream.into_std()?)?);
            }
        }
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Calls the same method of the stream.
macro_rules! through {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut().stream() {
            Ok(stream) => stream.$method($($argument),*),
            Err(error) => Poll::Ready(Err(error)),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        through!(self, poll_write, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, poll_shutdown, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        through!(self, poll_write_vectored, cx, slices)
    }
}
