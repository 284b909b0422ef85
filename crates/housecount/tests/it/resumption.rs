//! TLS sessions that are resumed: on any node, after a restart, and after any number of others.

use std::path::Path;
use std::sync::Arc;

use housecount_test::timed_test;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};

use crate::support::node::Node;

/// Writes a self-signed certificate and its key to files.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn secured(folder: &TempDir, more: &[&str]) -> Node {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) =
        (format!("tls_cert={}", file("cert.pem")), format!("tls_key={}", file("key.pem")));
    Node::start(&[&["log=memory:", "cold=none", &cert, &key], more].concat())
}

/// A client that keeps its tickets, and trusts these certificates.
fn client(
    trusted: &[CertificateDer<'static>],
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|trusted| roots.add(trusted.clone()).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Sends a request on a connection of its own. Returns how the session began.
async fn visit(client: &Arc<ClientConfig>, node: &Node) -> HandshakeKind {
    let stream = TcpStream::connect(node.address.trim_start_matches("https://")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(client.clone()).connect(name, stream).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    // Tickets come with the answer.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream.get_ref().1.handshake_kind().unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn a_session_is_resumed_on_any_node_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let (mut one, other) = (secured(&folder, &[]), secured(&folder, &[]));
    let player = client(std::slice::from_ref(&trusted), &TLS13);
    assert_eq!(visit(&player, &one).await, HandshakeKind::Full);
    assert_eq!(visit(&player, &other).await, HandshakeKind::Resumed);
    assert_eq!(visit(&player, &one).await, HandshakeKind::Resumed);
    // More than a memory of some sessions would hold.
    for _ in 0..300 {
        let stranger = client(std::slice::from_ref(&trusted), &TLS13);
        assert_eq!(visit(&stranger, &other).await, HandshakeKind::Full);
    }
    assert_eq!(visit(&player, &other).await, HandshakeKind::Resumed);
    one.kill();
    one.restart();
    assert_eq!(visit(&player, &one).await, HandshakeKind::Resumed);
}

#[timed_test(flavor = "multi_thread")]
async fn nodes_with_other_certificates_share_tickets_by_a_secret() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let trusted = folders.each_ref().map(|folder| certify(folder.path()));
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), [7; 32]).unwrap();
    let secret = format!("tls_ticket_key={}", secret.path().display());
    for (more, expected) in
        [(vec![], HandshakeKind::Full), (vec![secret.as_str()], HandshakeKind::Resumed)]
    {
        let [one, other] = folders.each_ref().map(|folder| secured(folder, &more));
        let player = client(&trusted, &TLS13);
        assert_eq!(visit(&player, &one).await, HandshakeKind::Full);
        assert_eq!(visit(&player, &other).await, expected, "{more:?}");
    }
}

/// A ticket of TLS 1.2 has the key of its whole session. So no other node gets it.
#[timed_test(flavor = "multi_thread")]
async fn tls_1_2_has_no_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let (one, other) = (secured(&folder, &[]), secured(&folder, &[]));
    let player = client(&[trusted], &TLS12);
    for node in [&one, &other, &one, &other] {
        assert_eq!(visit(&player, node).await, HandshakeKind::Full);
    }
}
