//! The server's side of a TLS connection, which holds no buffer while the connection is idle.
//!
//! rustls' `ServerConnection`, and with it the crate `tokio-rustls`, keeps a read buffer of 4,096
//! bytes for each connection, for ever. Here reads go to the stack, and rustls' unbuffered
//! interface decrypts them there. Only leftovers are stored, and freed once they are used.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use housecount_core::limits::TLS_RECORD_BYTES_MAX;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::byte_queue::ByteQueue;

/// Size of a read, which goes to the stack.
const READ_BYTES: usize = 4_096;
/// Most bytes of the application in a record (RFC 8446, 5.1).
const PLAINTEXT_BYTES_MAX: usize = 16_384;
/// Bytes that encryption usually adds to a record: 22 by TLS 1.3, and 29 by TLS 1.2.
const RECORD_OVERHEAD_BYTES: usize = 29;

/// Returns the size that an output needs; `None` if the output is impossible.
fn size_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(why) => Some(why.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

/// Returns the size that an output needs; `None` if the output is impossible.
fn size_to_encrypt(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(why) => Some(why.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Purpose of a call of rustls, beside taking what was received.
#[derive(Clone, Copy)]
enum Action<'a> {
    Receive,
    Encrypt(&'a [u8]),
    Close,
}

/// The connection of rustls, and its output in both directions.
struct Session {
    connection: UnbufferedServerConnection,
    /// Bytes of the application that it has not read yet.
    decrypted: ByteQueue,
    /// Records that the socket has not taken yet.
    outgoing: ByteQueue,
    /// Whether the client has sent `close_notify`.
    is_peer_closed: bool,
}

impl Session {
    /// Hands `incoming` to rustls until nothing more can be done with it, then performs the action.
    /// Decrypted bytes go to `buf`, as far as it has room. Returns the number of bytes at the front
    /// that rustls needs no more.
    fn drive(
        &mut self,
        incoming: &mut [u8],
        action: Action<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.connection.process_tls_records(&mut incoming[done..]);
            done += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        done += record.discard;
                        self.decrypted.pass(record.payload, buf);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    self.outgoing.push_with(0, |room| data.encode(room).map_err(size_to_encode))?;
                }
                // They are in `outgoing` from here on.
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_peer_closed = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    match action {
                        Action::Receive => {}
                        Action::Encrypt(plaintext) => {
                            let size = plaintext.len() + RECORD_OVERHEAD_BYTES;
                            self.outgoing.push_with(size, |room| {
                                traffic.encrypt(plaintext, room).map_err(size_to_encrypt)
                            })?;
                        }
                        Action::Close => self.outgoing.push_with(0, |room| {
                            traffic.queue_close_notify(room).map_err(size_to_encrypt)
                        })?,
                    }
                    return Ok(done);
                }
                _ if matches!(action, Action::Encrypt(_)) => return Err(Error::EncryptError),
                _ => return Ok(done),
            }
        }
    }

    /// Moves the alert that rustls has for the client, after an error, to `outgoing`.
    fn take_alert(&mut self) {
        // Without bytes, since after an error rustls must not parse them a second time.
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let encode = |room: &mut [u8]| data.encode(room).map_err(size_to_encode);
                    if self.outgoing.push_with(0, encode).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    }
}

/// A client's TLS connection. Idle, it has the state of rustls only, and no buffer.
pub struct TlsStream<S> {
    socket: S,
    session: Session,
    /// Start of a record, or of a message of the handshake, whose rest is to come. At most
    /// `TLS_RECORD_BYTES_MAX`.
    incoming: Vec<u8>,
    /// Fatal error of the connection.
    failure: Option<Box<Error>>,
    /// Whether `outgoing` has a session ticket, which goes with the first bytes of the application.
    /// In a segment of its own it would take 52 bytes more, of each stay.
    holds_ticket: bool,
    /// Whether `close_notify` is sent, or queued.
    is_closing: bool,
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl<S> TlsStream<S> {
    /// Returns the socket.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Returns the socket, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Returns the protocol that both sides agreed on (ALPN).
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.connection.alpn_protocol()
    }

    /// Whether the client's handshake resumed an earlier session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.session.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Fails if the connection has failed.
    fn check(&self) -> io::Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, (**why).clone())),
        }
    }

    /// Notes a fatal error. An alert for the client is queued.
    fn fail(&mut self, why: Error) {
        self.session.take_alert();
        self.incoming = Vec::new();
        self.failure = Some(Box::new(why));
    }

    /// Handles received bytes. A failure is noted, since bytes before it may still be read.
    fn receive(&mut self, received: &mut [u8], buf: &mut ReadBuf<'_>) {
        let is_continued = !self.incoming.is_empty();
        let bytes = if is_continued {
            self.incoming.reserve_exact(received.len());
            self.incoming.extend_from_slice(received);
            &mut self.incoming[..]
        } else {
            received
        };
        match self.session.drive(bytes, Action::Receive, buf) {
            Ok(0) if is_continued => {}
            Ok(done) => self.incoming = bytes[done..].to_vec(),
            Err(why) => return self.fail(why),
        }
        if self.session.is_peer_closed {
            // Bytes after `close_notify` have no meaning.
            self.incoming = Vec::new();
        } else if self.incoming.len() >= TLS_RECORD_BYTES_MAX {
            self.fail(Error::PeerSentOversizedRecord);
        }
    }

    /// Performs an action on an open connection.
    fn act(&mut self, action: Action<'_>) -> io::Result<()> {
        let mut buf = ReadBuf::new(&mut []);
        match self.session.drive(&mut self.incoming, action, &mut buf) {
            Ok(0) => {}
            Ok(done) => self.incoming = self.incoming[done..].to_vec(),
            Err(why) => self.fail(why),
        }
        self.check()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Performs the handshake of a server.
    ///
    /// # Errors
    /// Fails as the socket does, or if the client does not follow TLS, or has no version or cipher
    /// in common. An alert tells the client.
    pub async fn accept(socket: S, config: Arc<ServerConfig>) -> io::Result<TlsStream<S>> {
        let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let (decrypted, outgoing) = Default::default();
        let session = Session { connection, decrypted, outgoing, is_peer_closed: false };
        let incoming = Vec::new();
        let (failure, holds_ticket, is_closing) = Default::default();
        let mut stream = TlsStream { socket, session, incoming, failure, holds_ticket, is_closing };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Sends a whole flight at once, which is one segment or few, before more is read. Whatever
    /// follows the client's last flight in TLS 1.3 is a session ticket, and waits.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let connection = &self.session.connection;
            let is_done = !connection.is_handshaking();
            let is_tls13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            if is_done && is_tls13 && self.failure.is_none() {
                self.holds_ticket = !self.session.outgoing.is_empty();
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(cx))?;
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.check()?;
            if is_done {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads once from the socket. Returns whether anything came before its end.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        let was_sent = self.session.outgoing.is_empty() || self.holds_ticket;
        let was_open = !self.session.connection.is_handshaking();
        self.receive(read.filled_mut(), buf);
        self.holds_ticket &= self.failure.is_none();
        if was_open && was_sent && !self.holds_ticket {
            // An alert, or an answer of TLS itself. If a writer waits, it sends this too.
            let _ = self.poll_send(cx);
        }
        Poll::Ready(Ok(true))
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.outgoing.is_empty() {
            let unsent = self.session.outgoing.unused();
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.session.outgoing.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the last record is sent, so at most one is stored, and the ticket before the
    /// first.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if self.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if mem::take(&mut self.holds_ticket) { Poll::Ready(Ok(())) } else { self.poll_send(cx) }
    }

    /// Encrypts a record, and sends as much of it as the socket takes.
    fn write_record(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PLAINTEXT_BYTES_MAX)];
        self.act(Action::Encrypt(bytes))?;
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(bytes.len()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let unread = this.session.decrypted.unused();
        if !unread.is_empty() {
            let count = unread.len().min(buf.remaining());
            buf.put_slice(&unread[..count]);
            this.session.decrypted.consume(count);
            return Poll::Ready(Ok(()));
        }
        let room = buf.remaining();
        while room > 0 && buf.remaining() == room {
            this.check()?;
            if this.session.is_peer_closed {
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.poll_receive(cx, buf))? {
                let why = "the client closed the connection without close_notify";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    /// Accepts at most one record, and only once the last one is sent.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_ready(cx))?;
        Poll::Ready(this.write_record(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Joins the pieces, so an answer's head and body are one record, and one write to the socket.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        let Some(first) = filled.next() else { return Poll::Ready(Ok(0)) };
        ready!(this.poll_ready(cx))?;
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if first.len() == total {
            return Poll::Ready(this.write_record(cx, first));
        }
        let mut joined = Vec::with_capacity(total.min(PLAINTEXT_BYTES_MAX));
        for piece in pieces {
            let room = PLAINTEXT_BYTES_MAX - joined.len();
            joined.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Poll::Ready(this.write_record(cx, &joined))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.holds_ticket {
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Sends `close_notify`, then shuts down the socket's direction of writing.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closing {
            this.is_closing = true;
            if this.failure.is_none() {
                this.act(Action::Close)?;
            }
        }
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
