//! A connection's bytes: plain, or through TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::preface::BegunSocket;
use crate::tls::TlsStream;

/// Byte stream of a connection, plain or through TLS.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// In a box: most that are many and idle are plain, behind a balancer.
    Secured(Box<TlsStream>),
    /// Plain, with first bytes that came in pieces. In a box, since there are few.
    Begun(Box<BegunSocket>),
}

/// So many bytes at most are gathered here, such as a heartbeat's answer and its headers: to have
/// the system gather them takes 2 to 4 % of a heartbeat, to copy them hardly anything. (hyper's own
/// way, `writev(false)`, keeps room for the largest answer that a connection ever had.)
const GATHERED_BYTES_MAX: usize = 1_024;

fn are_few(slices: &[io::IoSlice<'_>]) -> bool {
    slices.iter().map(|slice| slice.len()).sum::<usize>() <= GATHERED_BYTES_MAX
}

/// Calls the same method of whichever it is.
macro_rules! whichever {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Secured(stream) => Pin::new(&mut **stream).$method($($argument),*),
            Stream::Begun(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        whichever!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Stream {
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
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secured(stream) => stream.is_write_vectored(),
            Stream::Begun(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) if are_few(slices) => {
                // Filled where it is: to hand it on would copy all of its room.
                let mut gathered = SmallVec::<[u8; GATHERED_BYTES_MAX]>::new();
                slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
                Pin::new(stream).poll_write(cx, &gathered)
            }
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            // It gathers by itself.
            Stream::Secured(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            Stream::Begun(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }
}
