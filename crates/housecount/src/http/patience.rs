//! A connection that waits long for a request to begin, and not long for its headers to end.
//!
//! Players beat every 30 s on connections that must stay open in between, while whoever sends headers byte by byte
//! should be let go soon. hyper has one time for both, and sets a timer anew at each request; this wrapper has two,
//! and one timer a connection. It is moved only when it goes off too early or would go off too late, so a request that
//! comes in one piece moves none.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use housecount_core::limits::ANSWER_READ_MS_MAX;
use memchr::memmem::Finder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What ends a request's headers.
const END: &[u8] = b"\r\n\r\n";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

/// See the module's text.
#[derive(Debug)]
pub struct Patient<S> {
    inner: S,
    headers_within: Duration,
    request_within: Duration,
    state: State,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum State {
    /// No request has begun. Since when that has been waited for.
    Idle { since: Option<Instant> },
    /// Headers are coming in; so many bytes of [`END`] have been seen last.
    Headers { matched: usize, since: Option<Instant> },
    /// They are complete; what follows is the body's and the handler's time.
    Answering,
    /// The client takes nothing more of the answer. Since when that has been waited for.
    Stalled { since: Option<Instant> },
}

impl<S> Patient<S> {
    /// Wraps a connection whose requests' headers must end within one time, and begin within another.
    pub fn new(inner: S, headers_within: Duration, request_within: Duration) -> Patient<S> {
        Patient { inner, headers_within, request_within, state: State::Idle { since: None }, timer: None }
    }

    /// The connection itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Idle { .. }) {
            self.state = State::Headers { matched: 0, since: None };
        }
        let State::Headers { matched, .. } = &mut self.state else { return };
        if is_ended(matched, bytes) {
            self.state = State::Answering;
        }
    }

    /// What became of a write: the answer goes on, or waits for the client, but not for ever.
    fn note_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.state = State::Idle { since: None };
            return written;
        }
        if !matches!(self.state, State::Stalled { .. }) {
            self.state = State::Stalled { since: None };
        }
        ready!(self.poll_patience(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was not read")))
    }

    /// Ready once what is waited for should have come.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (since, within) = match &mut self.state {
            State::Idle { since } => (since, self.request_within),
            State::Headers { since, .. } => (since, self.headers_within),
            State::Stalled { since } => (since, Duration::from_millis(ANSWER_READ_MS_MAX)),
            State::Answering => return Poll::Pending,
        };
        let deadline = *since.get_or_insert_with(Instant::now) + within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
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
                ready!(this.poll_patience(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request took too long")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.note_write(cx, written)
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
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.note_write(cx, written)
    }
}

/// Whether [`END`] is in what has come, of which so many of its bytes were `matched` before.
fn is_ended(matched: &mut usize, mut bytes: &[u8]) -> bool {
    // What is under way goes on, or is over, with the next few bytes.
    while let (1.., Some((byte, rest))) = (*matched, bytes.split_first()) {
        // The only way on after a wrong byte: it may be the first of the end.
        *matched = if *byte == END[*matched] { *matched + 1 } else { usize::from(*byte == END[0]) };
        if *matched == END.len() {
            return true;
        }
        bytes = rest;
    }
    if *matched > 0 {
        return false;
    }
    // Most requests come in one piece, which is searched many bytes at a time.
    if FINDER.find(bytes).is_some() {
        return true;
    }
    *matched = (1..END.len()).rev().find(|n| bytes.ends_with(&END[..*n])).unwrap_or(0);
    false
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn headers_get_little_time_and_all_else_gets_more() {
        let (mut client, server) = duplex(1_024);
        let mut server = Patient::new(server, Duration::from_secs(10), Duration::from_secs(75));
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

    /// All texts of up to seven bytes that matter, in up to three pieces.
    #[test]
    fn an_end_is_found_wherever_it_is_cut() {
        let mut texts = vec![Vec::new()];
        for length in 0..=7 {
            for text in &texts {
                for (one, two) in (0..=length).flat_map(|two| (0..=two).map(move |one| (one, two))) {
                    let mut matched = 0;
                    let pieces = [&text[..one], &text[one..two], &text[two..]];
                    let is_found = pieces.into_iter().any(|piece| is_ended(&mut matched, piece));
                    assert_eq!(is_found, text.windows(END.len()).any(|w| w == END), "{pieces:?}");
                }
            }
            let longer = |text: Vec<u8>| b"\r\nx".map(|byte| [&text[..], &[byte]].concat());
            texts = texts.into_iter().flat_map(longer).collect();
        }
    }

    /// The timer that was set for the first wait goes off in the middle of the last one, and is moved.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_answer_on() {
        let (mut client, server) = duplex(1_024);
        let mut server = Patient::new(server, Duration::from_secs(10), Duration::from_secs(75));
        let mut buffer = [0; 64];
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_secs(50), server.read(&mut buffer)).await.is_err());
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert!(server.read(&mut buffer).await.unwrap() > 0);
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        }
        let answered = Instant::now();
        assert_eq!(server.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(answered.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn answer_read_ms_max_ends_who_reads_nothing() {
        let (mut client, server) = duplex(64);
        let mut server = Patient::new(server, Duration::from_secs(10), Duration::from_secs(75));
        let half = Duration::from_millis(ANSWER_READ_MS_MAX / 2);
        // Slowly is slow, and not for nothing.
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

    #[test]
    fn the_end_is_found_however_it_is_cut() {
        for (pieces, is_found) in [
            (vec!["a\r\n\r\n"], true),
            (vec!["a\r", "\n", "\r", "\n"], true),
            (vec!["a\r\r\n\r\n"], true),
            (vec!["a\r\nb\r\nc", "\r\n"], false),
            (vec!["\n\n"], false),
        ] {
            let mut patient = Patient::new((), Duration::from_secs(1), Duration::from_secs(1));
            pieces.iter().for_each(|piece| patient.note_read(piece.as_bytes()));
            assert_eq!(matches!(patient.state, State::Answering), is_found, "{pieces:?}");
        }
    }
}
