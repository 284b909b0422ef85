//! A connection that waits long for a request to begin, and not long for its headers to end.
//!
//! hyper has one timer for both: it starts when a connection falls idle. Players beat every 30 s on connections that
//! must stay open in between, while whoever sends headers byte by byte should be let go soon. So hyper's timer is the
//! long one, and this wrapper adds the short one: from a request's first byte to the blank line behind its headers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What ends a request's headers.
const END: &[u8] = b"\r\n\r\n";

/// See the module's text.
#[derive(Debug)]
pub struct Patient<S> {
    inner: S,
    headers_within: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No request has begun.
    Idle,
    /// Headers are coming in; so many bytes of [`END`] have been seen last. The timer runs.
    Headers { matched: usize, timer: Pin<Box<Sleep>> },
    /// They are complete; what follows is the body's and the handler's time.
    Answering,
}

impl<S> Patient<S> {
    /// Wraps a connection.
    pub fn new(inner: S, headers_within: Duration) -> Patient<S> {
        Patient { inner, headers_within, state: State::Idle }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Idle) {
            self.state = State::Headers { matched: 0, timer: Box::pin(sleep(self.headers_within)) };
        }
        let State::Headers { matched, .. } = &mut self.state else { return };
        for byte in bytes {
            // The only way on after a wrong byte: it may be the first of the end.
            *matched = if *byte == END[*matched] { *matched + 1 } else { usize::from(*byte == END[0]) };
            if *matched == END.len() {
                self.state = State::Answering;
                return;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf)? {
            Poll::Ready(()) => {
                if buf.filled().len() > before {
                    this.note_read(&buf.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                let State::Headers { timer, .. } = &mut this.state else { return Poll::Pending };
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the headers took too long")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state = State::Idle;
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state = State::Idle;
        Pin::new(&mut this.inner).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn headers_get_little_time_and_all_else_gets_more() {
        let (mut client, server) = duplex(1_024);
        let mut server = Patient::new(server, Duration::from_secs(10));
        let minute = Duration::from_secs(60);
        let mut buffer = [0; 64];
        for answer in [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
            // Idle for a minute, a request in two pieces, a body that takes its time, an answer.
            assert!(tokio::time::timeout(minute, server.read(&mut buffer)).await.is_err());
            for piece in [&b"GET / HTTP/1.1\r\n\r"[..], b"\nbo"] {
                client.write_all(piece).await.unwrap();
                assert_eq!(server.read(&mut buffer).await.unwrap(), piece.len());
            }
            assert!(tokio::time::timeout(minute, server.read(&mut buffer)).await.is_err());
            server.write_all(answer).await.unwrap();
        }
        client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        let error = server.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_end_is_found_however_it_is_cut() {
        for (pieces, is_found) in [
            (vec!["a\r\n\r\n"], true),
            (vec!["a\r", "\n", "\r", "\n"], true),
            (vec!["a\r\r\n\r\n"], true),
            (vec!["a\r\nb\r\nc", "\r\n"], false),
            (vec!["\n\n"], false),
        ] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _guard = runtime.enter();
            let mut patient = Patient::new((), Duration::from_secs(1));
            pieces.iter().for_each(|piece| patient.note_read(piece.as_bytes()));
            assert_eq!(matches!(patient.state, State::Answering), is_found, "{pieces:?}");
        }
    }
}
