//! Timeouts of a connection: long until a request begins, short until its headers end. An endless
//! answer ends with its client.
//!
//! Players beat every 30 s on connections that must stay open in between. A client that sends
//! headers byte by byte must be disconnected soon. hyper has one time for both, and sets a timer at
//! each request. This wrapper has two times, and one timer per connection. The timer is moved only
//! when it fires too early or would fire too late. So a request that comes in one piece moves no
//! timer.
//!
//! # A client that closes while it is answered
//! A client that has shut down its sending side may still read, and gets its answer: hyper does not
//! read what comes meanwhile. But an endless answer (`/v1/live`) would continue until a write
//! fails, and a quiet stage writes once in 15 s. So this wrapper reads ahead while one is sent, and
//! ends the connection when its client has closed.
//!
//! This also ends the stream of a client that closed its sending side only. Until a write, nothing
//! distinguishes the two, and no browser, EventSource, fetch or curl closes one side. Go's
//! net/http, Node.js and nginx do the same.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use housecount_core::limits::{ANSWER_READ_MS_MAX, READ_AHEAD_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Stream with timeouts for headers, requests and unread answers.
#[derive(Debug)]
pub struct TimeoutStream<S> {
    inner: S,
    headers_within: Duration,
    request_within: Duration,
    state: TimeoutState,
    under_way: RequestInFlight,
    /// Bytes that came while an endless answer was sent, to be read before others.
    ahead: Vec<u8>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Whether a request is in flight. Its headers are then complete, and the time that follows is that
/// of its body and handler. The HTTP library's service sets this.
#[derive(Clone, Debug, Default)]
pub struct RequestInFlight(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_on: AtomicBool,
    /// Whether its answer is endless.
    is_endless: AtomicBool,
    /// Whether its answer is an upgrade, with 101.
    is_upgrade: AtomicBool,
}

impl RequestInFlight {
    /// Records that a request is in flight, until some of its answer is sent.
    pub fn set(&self) {
        self.0.is_on.store(true, Ordering::Relaxed);
        self.0.is_endless.store(false, Ordering::Relaxed);
    }

    /// Whether a request is in flight.
    pub fn get(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Records that its answer lasts until its client disconnects.
    pub fn set_endless(&self) {
        self.0.is_endless.store(true, Ordering::Relaxed);
    }

    /// Records that its answer is an upgrade, with 101. It is the last one of the connection.
    pub fn set_upgrade(&self) {
        self.0.is_upgrade.store(true, Ordering::Relaxed);
    }
}

/// Length of the `date` header, which hyper writes at the end of each head.
const DATE_BYTES: usize = 37;

/// Returns the head of an upgrade without its `date`. RFC 9110 (6.6.1) asks for one in answers of
/// 2xx, 3xx and 4xx only, but hyper writes it into all heads or none.
fn without_date(head: &[u8]) -> Option<Vec<u8>> {
    let kept = head.len().checked_sub(DATE_BYTES + 2)?;
    let is_dated = head.starts_with(b"HTTP/1.1 101 ") && head[kept..].starts_with(b"date: ");
    (is_dated && head.ends_with(b"\r\n\r\n")).then(|| [&head[..kept], b"\r\n"].concat())
}

/// Marks a response whose body lasts until its client disconnects.
#[derive(Clone, Copy, Debug)]
pub struct EndlessAnswer;

#[derive(Debug)]
enum TimeoutState {
    /// No request has begun. `since` is the start of the wait for one.
    Idle { since: Option<Instant> },
    /// A request has begun, and its headers are coming in unless it is in flight.
    ReadingHeaders { since: Option<Instant> },
    /// The client reads no more of the answer. `since` is the start of the wait for it.
    WriteStalled { since: Option<Instant> },
}

impl<S> TimeoutStream<S> {
    /// Wraps a connection. The headers of a request must end within `headers_within`. A request
    /// must begin within `request_within`.
    pub fn new(inner: S, headers_within: Duration, request_within: Duration) -> TimeoutStream<S> {
        let (state, under_way) = (TimeoutState::Idle { since: None }, RequestInFlight::default());
        TimeoutStream {
            inner,
            headers_within,
            request_within,
            state,
            under_way,
            ahead: Vec::new(),
            timer: None,
        }
    }

    /// Returns the flag that the service sets when headers are complete.
    pub fn under_way(&self) -> RequestInFlight {
        self.under_way.clone()
    }

    /// Returns the connection itself, and bytes of it that were read already.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.inner, self.ahead)
    }

    /// Records the result of a write: the answer continues, or waits for the client within a bound.
    fn note_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.under_way.0.is_on.store(false, Ordering::Relaxed);
            self.state = TimeoutState::Idle { since: None };
            return written;
        }
        if !matches!(self.state, TimeoutState::WriteStalled { .. }) {
            self.state = TimeoutState::WriteStalled { since: None };
        }
        ready!(self.poll_timeout(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client did not read the response in time",
        )))
    }

    /// Ready once the current wait has lasted too long.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (since, within) = match &mut self.state {
            TimeoutState::WriteStalled { since } => {
                (since, Duration::from_millis(ANSWER_READ_MS_MAX))
            }
            _ if self.under_way.get() => return Poll::Pending,
            TimeoutState::Idle { since } => (since, self.request_within),
            TimeoutState::ReadingHeaders { since } => (since, self.headers_within),
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

impl<S: AsyncRead + Unpin> TimeoutStream<S> {
    /// Fails once the client of an endless answer has closed. Reads ahead up to
    /// [`READ_AHEAD_BYTES_MAX`]. If a client sends more, only a failed write shows its close.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.under_way.0.is_endless.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        while self.ahead.len() < READ_AHEAD_BYTES_MAX {
            let mut bytes = [0; READ_AHEAD_BYTES_MAX];
            let mut read = ReadBuf::new(&mut bytes[..READ_AHEAD_BYTES_MAX - self.ahead.len()]);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => {
                    let error = io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the client closed the connection",
                    );
                    return Poll::Ready(error);
                }
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let some = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..some]);
            this.ahead.drain(..some);
            this.state = TimeoutState::ReadingHeaders { since: None };
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf)? {
            Poll::Ready(()) => {
                if buf.filled().len() > before && matches!(this.state, TimeoutState::Idle { .. }) {
                    this.state = TimeoutState::ReadingHeaders { since: None };
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                ready!(this.poll_timeout(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the request took too long",
                )))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let is_upgrade = this.under_way.0.is_upgrade.load(Ordering::Relaxed);
        let short = is_upgrade.then(|| without_date(bytes)).flatten();
        let mut written =
            Pin::new(&mut this.inner).poll_write(cx, short.as_deref().unwrap_or(bytes));
        if let Some(short) = short {
            // What lies behind the `date` is written, so the `date` counts as written, too.
            let is_behind = |sent: &usize| *sent > short.len() - 2;
            written = written.map_ok(|sent| sent + DATE_BYTES * usize::from(is_behind(&sent)));
        }
        this.note_write(cx, written)
    }

    /// Also detects that the client has closed. hyper flushes at each turn, whether or not it has
    /// written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(error) = this.poll_closed(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.inner).poll_flush(cx)
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
        if self.under_way.0.is_upgrade.load(Ordering::Relaxed)
            && let Some(head) = slices.iter().find(|slice| !slice.is_empty())
        {
            return self.poll_write(cx, head);
        }
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.note_write(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[timed_test(start_paused = true)]
    async fn headers_get_little_time_and_all_else_gets_more() {
        let (mut client, server) = duplex(1_024);
        let mut server =
            TimeoutStream::new(server, Duration::from_secs(10), Duration::from_secs(75));
        let minute = Duration::from_secs(60);
        let mut buffer = [0; 64];
        for answer in [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
            // Idle for a minute, a request in two pieces, a body that takes its time, an answer.
            assert!(tokio::time::timeout(minute, server.read(&mut buffer)).await.is_err());
            for piece in [&b"GET / HTTP/1.1\r\n\r"[..], b"\nbo"] {
                client.write_all(piece).await.unwrap();
                assert_eq!(server.read(&mut buffer).await.unwrap(), piece.len());
            }
            server.under_way().set();
            assert!(tokio::time::timeout(minute, server.read(&mut buffer)).await.is_err());
            server.write_all(answer).await.unwrap();
        }
        client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        let error = server.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// The timer that was set for the first wait fires in the middle of the last one, and is moved.
    #[timed_test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_answer_on() {
        let (mut client, server) = duplex(1_024);
        let mut server =
            TimeoutStream::new(server, Duration::from_secs(10), Duration::from_secs(75));
        let mut buffer = [0; 64];
        for _ in 0..5 {
            assert!(
                tokio::time::timeout(Duration::from_secs(50), server.read(&mut buffer))
                    .await
                    .is_err()
            );
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert!(server.read(&mut buffer).await.unwrap() > 0);
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        }
        let answered = Instant::now();
        assert_eq!(server.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(answered.elapsed().as_secs(), 75);
    }

    /// Nothing is written meanwhile, and time stands still, so only the close can end the answer.
    #[timed_test(start_paused = true)]
    async fn an_endless_answer_ends_with_its_client_and_another_one_does_not() {
        for is_endless in [false, true] {
            let (mut client, server) = duplex(1_024);
            let mut server =
                TimeoutStream::new(server, Duration::from_secs(10), Duration::from_secs(75));
            server.under_way().set();
            if is_endless {
                server.under_way().set_endless();
            }
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            server.flush().await.unwrap();
            client.write_all(b"GET").await.unwrap();
            server.flush().await.unwrap();
            client.shutdown().await.unwrap();
            let flushed = server.flush().await.map_err(|error| error.kind());
            assert_eq!(
                flushed,
                if is_endless { Err(io::ErrorKind::ConnectionAborted) } else { Ok(()) }
            );
            server.under_way().set();
            server.flush().await.unwrap();
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"GET", "bytes received meanwhile are read");
        }
    }

    #[timed_test(start_paused = true)]
    async fn read_ahead_bytes_max_is_held_of_what_a_client_sends_meanwhile() {
        let (mut client, server) = duplex(4 * READ_AHEAD_BYTES_MAX);
        let mut server =
            TimeoutStream::new(server, Duration::from_secs(10), Duration::from_secs(75));
        server.under_way().set_endless();
        let sent: Vec<u8> = (0..3 * READ_AHEAD_BYTES_MAX).map(|n| n as u8).collect();
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(server.ahead.len(), READ_AHEAD_BYTES_MAX);
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, sent, "no byte is lost or reordered");
        assert!(server.into_parts().1.is_empty());
    }

    /// A client that reads slowly may get the date, and never half of it.
    #[timed_test(start_paused = true)]
    async fn the_head_of_an_upgrade_has_no_date() {
        const DATE: &str = "date: Tue, 01 Dec 2026 12:00:00 GMT\r\n";
        let upgrade = format!("HTTP/1.1 101 Switching Protocols\r\na: b\r\n{DATE}\r\n");
        let shorter = upgrade.replace(DATE, "");
        let other = upgrade.replace("101", "200");
        for (head, is_upgrade, expected) in
            [(&upgrade, true, &shorter), (&upgrade, false, &upgrade), (&other, true, &other)]
        {
            for room in 1..=upgrade.len() {
                let (mut client, server) = duplex(room);
                let second = Duration::from_secs(1);
                let mut server = TimeoutStream::new(server, second, second);
                if is_upgrade {
                    server.under_way().set_upgrade();
                }
                let (head, mut read) = (head.clone(), String::new());
                tokio::spawn(async move { server.write_all(head.as_bytes()).await });
                client.read_to_string(&mut read).await.unwrap();
                let is_in_pieces = room < shorter.len() && read == upgrade;
                assert!(read == *expected || is_in_pieces, "{room}: {read}");
            }
        }
    }

    #[timed_test(start_paused = true)]
    async fn answer_read_ms_max_ends_a_client_that_reads_nothing() {
        let (mut client, server) = duplex(64);
        let mut server =
            TimeoutStream::new(server, Duration::from_secs(10), Duration::from_secs(75));
        let half = Duration::from_millis(ANSWER_READ_MS_MAX / 2);
        // A slow client is not an idle one.
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
}
