//! A client by `tokio-rustls`, through pipes of any size, and clients that break the protocol.

use std::task::Waker;

use housecount_test::timed_test;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

type Client = tokio_rustls::client::TlsStream<DuplexStream>;

/// Settings of both sides, for one version.
struct Sides {
    server: Arc<ServerConfig>,
    client: TlsConnector,
}

impl Sides {
    fn new(version: &'static SupportedProtocolVersion) -> Sides {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let mut server = server.with_no_client_auth().with_single_cert(chain, key.into()).unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.ticketer = ring::Ticketer::new().unwrap();
        server.send_tls13_tickets = 1;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Sides { server: Arc::new(server), client: TlsConnector::from(Arc::new(client)) }
    }

    async fn connect(&self, socket: DuplexStream) -> Client {
        let name = ServerName::try_from("localhost").unwrap();
        self.client.connect(name, socket).await.unwrap()
    }

    /// Returns both ends of a connection through a pipe of this capacity.
    async fn pair(&self, capacity: usize) -> (Client, TlsStream<DuplexStream>) {
        let (near, far) = duplex(capacity);
        let (client, server) =
            tokio::join!(self.connect(near), TlsStream::accept(far, self.server.clone()));
        (client, server.unwrap())
    }
}

fn is_without_buffers<S>(stream: &TlsStream<S>) -> bool {
    let session = &stream.session;
    let buffers = [&stream.incoming, &session.decrypted.bytes, &session.outgoing.bytes];
    buffers.iter().all(|buffer| buffer.capacity() == 0)
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 31 + n / 251) as u8).collect()
}

/// Echoes messages of many sizes, which the server reads in pieces.
async fn echo(sides: &Sides, capacity: usize, sizes: &[usize], piece: usize) {
    // The small pipe is the server's only. A client has to send while a flight comes.
    let (near, mut pumped) = duplex(1 << 16);
    let (mut small, far) = duplex(capacity);
    let pump = copy_bidirectional(&mut pumped, &mut small);
    let client = async {
        let mut client = sides.connect(near).await;
        for &size in sizes {
            let (mut reader, mut writer) = tokio::io::split(&mut client);
            let message = bytes(size);
            let writing = async {
                writer.write_all(&message).await.unwrap();
                writer.flush().await.unwrap();
            };
            let mut echoed = vec![0; size];
            let (_, count) = tokio::join!(writing, reader.read_exact(&mut echoed));
            assert_eq!(count.unwrap(), size);
            assert!(echoed == message, "{size} bytes through a pipe of {capacity}");
            let _ = client.get_mut().1.refresh_traffic_keys();
        }
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    };
    let server = async {
        let mut server = TlsStream::accept(far, sides.server.clone()).await.unwrap();
        assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
        for &size in sizes {
            let mut whole = Vec::new();
            while whole.len() < size {
                let mut next = vec![0; piece.min(size - whole.len())];
                let count = server.read(&mut next).await.unwrap();
                assert_ne!(count, 0);
                whole.extend_from_slice(&next[..count]);
                assert!(server.incoming.capacity() < TLS_RECORD_BYTES_MAX + READ_BYTES);
            }
            server.write_all(&whole).await.unwrap();
            server.flush().await.unwrap();
            assert!(is_without_buffers(&server), "{size} bytes through a pipe of {capacity}");
        }
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        server.shutdown().await.unwrap();
        assert!(is_without_buffers(&server));
    };
    let (_, _, pumped) = tokio::join!(client, server, pump);
    pumped.unwrap();
}

#[timed_test]
async fn messages_of_any_size_pass_pipes_of_any_size_and_leave_no_buffer() {
    for version in [&TLS12, &TLS13] {
        let sides = Sides::new(version);
        for capacity in 1..=40 {
            echo(&sides, capacity, &[1, 34, capacity, 161, 700], 1 + capacity * 3).await;
        }
        for capacity in [1_000, 4_095, 4_096, 4_097, 20_000, 1 << 20] {
            let sizes = [1, 4_000, 4_074, 4_096, 16_383, 16_384, 16_385, 34, 70_000];
            echo(&sides, capacity, &sizes, 1_000).await;
            echo(&sides, capacity, &sizes, 1 << 20).await;
        }
    }
}

#[timed_test]
async fn records_in_one_read_are_kept_in_order_and_a_missing_close_is_an_error() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = Sides::new(version).pair(1 << 16).await;
        for message in ["one", "two", "three"] {
            client.write_all(message.as_bytes()).await.unwrap();
        }
        // The start of a record is not lost with its end.
        client.get_mut().0.write_all(b"\x17\x03\x03").await.unwrap();
        drop(client);
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((&read[..], error.kind()), (&b"onetwothree"[..], io::ErrorKind::UnexpectedEof));
    }
}

#[timed_test]
async fn a_client_that_closes_can_still_be_answered() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = Sides::new(version).pair(1 << 16).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last");
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        let error = server.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        read.clear();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"answer");
    }
}

#[timed_test]
async fn a_broken_record_ends_the_connection_with_an_alert() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut server) = Sides::new(version).pair(1 << 16).await;
        client.write_all(b"before").await.unwrap();
        let broken = [&b"\x17\x03\x03\x00\x28"[..], &[7; 40]].concat();
        client.get_mut().0.write_all(&broken).await.unwrap();
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(read, b"before");
        assert_eq!(rustls_error(&error), Some(&Error::DecryptError));
        assert_eq!(server.write(b"x").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let error = client.read(&mut [0]).await.unwrap_err();
        let alert = Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(rustls_error(&error), Some(&alert));
        server.shutdown().await.unwrap();
        assert!(is_without_buffers(&server));
    }
}

#[timed_test]
async fn a_client_without_tls_gets_an_alert() {
    let (mut client, server) = duplex(1 << 16);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = TlsStream::accept(server, Sides::new(&TLS13).server).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert.len()), (21, 7));
}

#[timed_test]
async fn tls_record_bytes_max_ends_a_longer_record() {
    let longest = TLS_RECORD_BYTES_MAX - 5;
    for (length, is_refused) in [(longest, false), (longest + 1, true)] {
        let (mut client, server) = duplex(1 << 16);
        let header = [22, 3, 1, (length >> 8) as u8, length as u8];
        client.write_all(&header).await.unwrap();
        // The start of a message that is longer than the record.
        client.write_all(&[1, 0, 0xff, 0]).await.unwrap();
        client.write_all(&vec![0; length - 5]).await.unwrap();
        drop(client);
        let error = TlsStream::accept(server, Sides::new(&TLS13).server).await.unwrap_err();
        let refused = rustls_error(&error) == Some(&Error::PeerSentOversizedRecord);
        assert_eq!(refused, is_refused, "{length}: {error}");
    }
}

/// A socket that counts its writes.
struct CountedSocket {
    socket: DuplexStream,
    writes: usize,
}

impl CountedSocket {
    fn new(socket: DuplexStream) -> CountedSocket {
        CountedSocket { socket, writes: 0 }
    }
}

impl AsyncRead for CountedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for CountedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[timed_test]
async fn a_flight_and_an_answer_are_one_write_each_and_the_ticket_is_part_of_the_answer() {
    for version in [&TLS12, &TLS13] {
        let sides = Sides::new(version);
        for is_resumed in [false, true] {
            let (near, far) = duplex(1 << 16);
            let far = CountedSocket::new(far);
            let (mut client, server) =
                tokio::join!(sides.connect(near), TlsStream::accept(far, sides.server.clone()));
            let mut server = server.unwrap();
            assert_eq!(server.is_resumed(), is_resumed);
            let handshake = server.get_mut().writes;
            assert_eq!(handshake, if is_resumed || version == &TLS13 { 1 } else { 2 });
            server.flush().await.unwrap();
            assert_eq!(server.get_mut().writes, handshake, "a ticket waits for the answer");
            let (head, body) = (bytes(200), bytes(161));
            let pieces = [&head[..], &[], &body].map(IoSlice::new);
            let written = server.write_vectored(&pieces).await.unwrap();
            assert_eq!((written, server.get_mut().writes), (361, handshake + 1));
            assert_eq!(server.write(&[]).await.unwrap(), 0);
            assert_eq!(server.write_vectored(&[IoSlice::new(&[])]).await.unwrap(), 0);
            let mut answer = vec![0; 400];
            let count = client.read(&mut answer).await.unwrap();
            assert_eq!(answer[..count], [head, body].concat());
            assert_eq!(server.get_mut().writes, handshake + 1);
        }
    }
}

#[timed_test]
async fn pieces_that_fill_more_than_a_record_are_written_in_part() {
    let (mut client, mut server) = Sides::new(&TLS13).pair(1 << 17).await;
    let (one, other) = (bytes(10_000), bytes(9_000));
    let pieces = [&one[..], &other].map(IoSlice::new);
    let written = server.write_vectored(&pieces).await.unwrap();
    assert_eq!(written, PLAINTEXT_BYTES_MAX);
    let mut read = vec![0; written];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(read, [one, other].concat()[..written]);
}

#[timed_test]
async fn a_slow_reader_makes_the_writer_wait_and_loses_nothing() {
    let (mut client, mut server) = Sides::new(&TLS13).pair(1_000).await;
    let all = bytes(3 * PLAINTEXT_BYTES_MAX);
    let mut context = Context::from_waker(Waker::noop());
    let first = Pin::new(&mut server).poll_write(&mut context, &all);
    assert!(matches!(first, Poll::Ready(Ok(PLAINTEXT_BYTES_MAX))), "{first:?}");
    let stored = server.session.outgoing.unused().len();
    assert!((PLAINTEXT_BYTES_MAX - 1_000..PLAINTEXT_BYTES_MAX).contains(&stored), "{stored}");
    let rest = &all[PLAINTEXT_BYTES_MAX..];
    for _ in 0..3 {
        assert!(Pin::new(&mut server).poll_write(&mut context, rest).is_pending());
        assert!(Pin::new(&mut server).poll_flush(&mut context).is_pending());
        assert_eq!(server.session.outgoing.unused().len(), stored);
    }
    let writer = async {
        server.write_all(rest).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let mut read = Vec::new();
    let (_, count) = tokio::join!(writer, client.read_to_end(&mut read));
    assert_eq!((count.unwrap(), read == all), (all.len(), true));
}

/// Both implementations give a client the same answers, in as many writes.
#[timed_test]
async fn a_handshake_takes_no_more_writes_than_by_tokio_rustls() {
    for version in [&TLS12, &TLS13] {
        let sides = Sides::new(version);
        let (near, far) = duplex(1 << 16);
        let acceptor = TlsAcceptor::from(sides.server.clone());
        let (_client, theirs) =
            tokio::join!(sides.connect(near), acceptor.accept(CountedSocket::new(far)));
        let (near, far) = duplex(1 << 16);
        let far = CountedSocket::new(far);
        let (_client, ours) =
            tokio::join!(sides.connect(near), TlsStream::accept(far, sides.server.clone()));
        let (theirs, mut ours) = (theirs.unwrap(), ours.unwrap());
        assert!(ours.get_mut().writes <= theirs.get_ref().0.writes);
    }
}
