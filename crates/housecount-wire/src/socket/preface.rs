//! Detection of the HTTP version of a plain connection, by its first bytes.
//!
//! A client of HTTP/2 by prior knowledge (RFC 9113, 3.3) begins with 24 fixed bytes. Balancers that
//! use HTTP/2 to their servers do so. The bytes are peeked at and left in the socket. So a
//! connection of HTTP/1 costs one more system call, and its requests cost nothing more. Where only
//! some of the 24 bytes have come, they are read from the socket, and put in front of the bytes
//! that follow.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use housecount_core::limits::HEADER_READ_MS_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::metered::MeteredStream;
use super::stream::MaybeTlsStream;

/// First bytes of a client of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.0 or 1.1; its parser tells them apart.
    Http1,
    /// 2, by prior knowledge.
    Http2,
}

/// Waits for a connection's first bytes and returns the version that they mean. `first_within` is
/// the time for the first byte. Once some bytes have come, the rest of a preface has the time of a
/// request's headers. Returns `None` if the client has closed or was too slow, or the node stops.
pub async fn detect(
    socket: MeteredStream,
    first_within: Duration,
    mut stop: watch::Receiver<bool>,
) -> Option<(MaybeTlsStream, Version)> {
    tokio::select! {
        biased;
        detected = detect_by_first(socket, first_within) => detected,
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

async fn detect_by_first(
    socket: MeteredStream,
    first_within: Duration,
) -> Option<(MaybeTlsStream, Version)> {
    let mut first = [0; PREFACE.len()];
    let seen = timeout(first_within, socket.peek(&mut first)).await.ok()?.ok()?;
    match &first[..seen] {
        [] => None,
        whole if whole == PREFACE => Some((MaybeTlsStream::Plain(socket), Version::Http2)),
        part if PREFACE.starts_with(part) => {
            let rest_within = Duration::from_millis(HEADER_READ_MS_MAX);
            timeout(rest_within, read_preface(socket)).await.ok()?.ok()
        }
        _ => Some((MaybeTlsStream::Plain(socket), Version::Http1)),
    }
}

/// Reads until the bytes are a preface, or can no longer become one.
async fn read_preface(mut socket: MeteredStream) -> io::Result<(MaybeTlsStream, Version)> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    let version = loop {
        let before = begun.len();
        let room = (PREFACE.len() - before) as u64;
        (&mut socket).take(room).read_buf(&mut begun).await?;
        if begun == PREFACE {
            break Version::Http2;
        }
        if begun.len() == before || !PREFACE.starts_with(&begun) {
            break Version::Http1;
        }
    };
    Ok((MaybeTlsStream::Begun(Box::new(BegunSocket { begun, given: 0, socket })), version))
}

/// A socket of which some bytes were read already: reads return these first.
#[derive(Debug)]
pub struct BegunSocket {
    begun: Vec<u8>,
    /// Number of these bytes that were returned.
    given: usize,
    socket: MeteredStream,
}

impl BegunSocket {
    /// Returns the socket itself.
    pub fn socket(&self) -> &MeteredStream {
        &self.socket
    }

    /// Returns the socket itself, to change it.
    pub fn socket_mut(&mut self) -> &mut MeteredStream {
        &mut self.socket
    }
}

impl AsyncRead for BegunSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = &this.begun[this.given..];
        if left.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let some = left.len().min(buf.remaining());
        buf.put_slice(&left[..some]);
        this.given += some;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BegunSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
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
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use housecount_core::limits::REQUEST_WAIT_MS_MAX;
    use housecount_test::timed_test;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    const FIRST: Duration = Duration::from_millis(REQUEST_WAIT_MS_MAX);

    type Detected = Option<(MaybeTlsStream, Version)>;

    /// Returns a client's connection, and the detection on it.
    async fn connection() -> (TcpStream, JoinHandle<Detected>, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let socket = listener.accept().await.unwrap().0;
        let socket = MeteredStream::new(socket, Arc::default());
        let (stop, stopped) = watch::channel(false);
        (client, tokio::spawn(detect(socket, FIRST, stopped)), stop)
    }

    /// The version's parser reads all bytes, whatever they are and in whatever pieces they come.
    #[timed_test]
    async fn a_version_is_known_by_the_first_bytes_and_none_is_lost() {
        let h2 = [PREFACE.as_slice(), b"\0\0\0\x04\0\0\0\0\0"].concat();
        for (sent, expected) in [
            (&h2[..], Version::Http2),
            (b"POST /v1/heartbeat HTTP/1.1\r\n", Version::Http1),
            (b"PRI * HTTP/1.1\r\nhost: x\r\n\r\n", Version::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", Version::Http1),
            (b"G", Version::Http1),
        ] {
            for cut in [0, 1, 5, sent.len() - 1] {
                let (mut client, detected, _stop) = connection().await;
                let cut = cut.min(sent.len());
                client.write_all(&sent[..cut]).await.unwrap();
                // The other side may read before the rest comes, or after; both must work.
                tokio::task::yield_now().await;
                client.write_all(&sent[cut..]).await.unwrap();
                client.shutdown().await.unwrap();
                let (mut stream, version) = detected.await.unwrap().unwrap();
                assert_eq!(version, expected, "{sent:?} cut at {cut}");
                let mut read = Vec::new();
                stream.read_to_end(&mut read).await.unwrap();
                assert_eq!(read, sent, "cut at {cut}");
            }
        }
    }

    #[timed_test]
    async fn half_a_preface_and_an_end_is_left_to_http_1() {
        let (mut client, detected, _stop) = connection().await;
        client.write_all(&PREFACE[..10]).await.unwrap();
        client.shutdown().await.unwrap();
        let (mut stream, version) = detected.await.unwrap().unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!((version, &read[..]), (Version::Http1, &PREFACE[..10]));
    }

    #[timed_test]
    async fn a_stop_or_an_end_is_no_connection() {
        let (client, detected, _stop) = connection().await;
        drop(client);
        assert!(detected.await.unwrap().is_none());
        for begun in [0, 5] {
            let (mut client, detected, stop) = connection().await;
            client.write_all(&PREFACE[..begun]).await.unwrap();
            stop.send(true).unwrap();
            assert!(detected.await.unwrap().is_none());
        }
    }

    #[timed_test(start_paused = true)]
    async fn header_read_ms_max_ends_a_partial_preface_and_request_wait_ms_max_a_silent_one() {
        let (_silent, detected, _stop) = connection().await;
        let begun = Instant::now();
        assert!(detected.await.unwrap().is_none());
        assert_eq!(begun.elapsed().as_millis() as u64, REQUEST_WAIT_MS_MAX);

        let (mut partial, mut detected, _stop) = connection().await;
        partial.write_all(&PREFACE[..23]).await.unwrap();
        // Paused time moves only while nothing else can, so the bytes have come by then.
        let begun = Instant::now();
        assert!((&mut detected).await.unwrap().is_none());
        assert_eq!(begun.elapsed().as_millis() as u64, HEADER_READ_MS_MAX);
    }
}
