//! A stream that fails once its client has read nothing for `ANSWER_READ_MS_MAX`.
//!
//! `timeouts` does this for HTTP, with two more timeouts for reading. After an upgrade only this
//! one is left. A WebSocket may be idle for as long as `ws::idle` allows, and must not hold a timer
//! for it here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use housecount_backend::threads::current_worker;
use housecount_core::limits::ANSWER_READ_MS_MAX;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream whose writes fail once none has succeeded for `ANSWER_READ_MS_MAX`.
#[derive(Debug)]
pub struct WriteTimeoutStream<S> {
    inner: S,
    stall: Option<WriteStall>,
}

/// Time since when the client reads nothing, as a timer that ends `ANSWER_READ_MS_MAX` later.
#[derive(Debug)]
struct WriteStall {
    timer: Pin<Box<Sleep>>,
    /// The worker whose timer it is.
    worker: usize,
}

impl WriteStall {
    fn until(deadline: Instant) -> WriteStall {
        WriteStall { timer: Box::pin(sleep_until(deadline)), worker: current_worker() }
    }
}

impl<S> WriteTimeoutStream<S> {
    /// Wraps a stream. No timer runs until a write has to wait.
    pub fn new(inner: S) -> WriteTimeoutStream<S> {
        WriteTimeoutStream { inner, stall: None }
    }

    /// Returns the stream itself.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the result of a write or flush. Fails if the client has read nothing for too long.
    fn checked<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stall = None;
            return done;
        }
        let begun =
            || WriteStall::until(Instant::now() + Duration::from_millis(ANSWER_READ_MS_MAX));
        let stall = self.stall.get_or_insert_with(begun);
        if stall.worker != current_worker() {
            *stall = WriteStall::until(stall.timer.deadline());
        }
        ready!(stall.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client did not read the response in time",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.checked(cx, written)
    }

    /// Over TLS, a slow client shows here first, because the library takes a write into its own
    /// buffer.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.checked(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[timed_test(start_paused = true)]
    async fn answer_read_ms_max_ends_only_clients_that_read_nothing() {
        let (mut client, server) = duplex(64);
        let mut server = WriteTimeoutStream::new(server);
        let half = Duration::from_millis(ANSWER_READ_MS_MAX / 2);
        // A slow client reads something in time, again and again.
        for _ in 0..5 {
            assert!(tokio::time::timeout(half, server.write_all(&[7; 65])).await.is_err());
            client.read_exact(&mut [0; 64]).await.unwrap();
        }
        let begun = Instant::now();
        let error = server.write_all(&[7; 1_024]).await.unwrap_err();
        assert_eq!(
            (error.kind(), begun.elapsed().as_millis() as u64),
            (io::ErrorKind::TimedOut, ANSWER_READ_MS_MAX)
        );
    }

    #[timed_test(start_paused = true)]
    async fn an_idle_client_is_not_ended() {
        let (mut client, server) = duplex(64);
        let mut server = WriteTimeoutStream::new(server);
        let long = Duration::from_millis(10 * ANSWER_READ_MS_MAX);
        assert!(tokio::time::timeout(long, server.read_u8()).await.is_err());
        server.write_all(b"hello").await.unwrap();
        assert!(tokio::time::timeout(long, server.read_u8()).await.is_err());
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    }
}
