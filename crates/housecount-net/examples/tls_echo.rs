//! Time that a server needs to read and answer a message over TLS, by this crate and by
//! `tokio-rustls`, alternating in one run.
//!
//! `cargo run --release -p housecount-net --example tls_echo`

use std::sync::Arc;
use std::time::Duration;

use housecount_net::tls::TlsStream;
use rustls::crypto::ring;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 7;
const MESSAGES: u32 = 100_000;
/// A heartbeat over a WebSocket, and its answer.
const SIZES: [(usize, usize); 2] = [(34, 34), (34, 161)];

type Failure = Box<dyn std::error::Error>;

fn configs() -> Result<(Arc<ServerConfig>, TlsConnector), Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), TlsConnector::from(Arc::new(client))))
}

/// Returns the time of the server's side only.
async fn time<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut tokio_rustls::client::TlsStream<DuplexStream>,
    server: &mut S,
    (request, answer): (usize, usize),
) -> Result<Duration, Failure> {
    let (request, answer) = (vec![7; request], vec![7; answer]);
    let (mut read, mut buffer) = (vec![0; answer.len()], [0; 1_024]);
    let mut total = Duration::ZERO;
    for _ in 0..MESSAGES {
        client.write_all(&request).await?;
        let begun = Instant::now();
        if server.read(&mut buffer).await? != request.len() {
            return Err("a message came in pieces".into());
        }
        server.write_all(&answer).await?;
        server.flush().await?;
        total += begun.elapsed();
        client.read_exact(&mut read).await?;
    }
    Ok(total)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (config, connector) = configs()?;
    let acceptor = TlsAcceptor::from(config.clone());
    let name = ServerName::try_from("localhost")?;
    for sizes in SIZES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (near, far) = duplex(1 << 16);
            let (client, server) = tokio::join!(
                connector.connect(name.clone(), near),
                TlsStream::accept(far, config.clone())
            );
            ours.push(time(&mut client?, &mut server?, sizes).await? / MESSAGES);
            let (near, far) = duplex(1 << 16);
            let (client, server) =
                tokio::join!(connector.connect(name.clone(), near), acceptor.accept(far));
            theirs.push(time(&mut client?, &mut server?, sizes).await? / MESSAGES);
        }
        ours.sort_unstable();
        theirs.sort_unstable();
        let (ours, theirs) = (ours[ROUNDS / 2], theirs[ROUNDS / 2]);
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!("{sizes:?} bytes: {ours:?} a message, tokio-rustls {theirs:?}, ratio {ratio:.2}");
    }
    Ok(())
}
