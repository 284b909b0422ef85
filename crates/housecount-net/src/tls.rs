//! The only TLS stack: rustls with ring, shared by Redis, AWS, and this node's own port (through
//! the crate `tokio-rustls`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use housecount_core::limits::{TLS_HANDSHAKE_MS_MAX, TLS_HANDSHAKES_MAX};
use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A TLS connection of a client.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Interval between two checks of the certificate files. A signal (SIGHUP) triggers a check at
/// once.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// Protocols for ALPN, in the order of preference.
const H2: &[u8] = b"h2";
const H1: &[u8] = b"http/1.1";

/// Makes ring the process's provider. A second call has no effect.
pub fn install_provider() {
    let _ = ring::default_provider().install_default();
}

/// Paths of the certificate (its chain, PEM) and of its key (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls_cert`
    pub cert: PathBuf,
    /// `tls_key`
    pub key: PathBuf,
}

/// Content of the files, which is never shown.
#[derive(PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    fn read(&self) -> Result<Pem, String> {
        let read = |name: &str, path: &Path| {
            std::fs::read(path).map_err(|e| format!("`{name}` = \"{}\": {e}", path.display()))
        };
        Ok(Pem { cert: read("tls_cert", &self.cert)?, key: read("tls_key", &self.key)? })
    }

    /// Returns the certificate with its key, if they belong together.
    fn certified(&self, pem: &Pem) -> Result<CertifiedKey, String> {
        let shown = |name: &str, path: &Path| format!("`{name}` = \"{}\"", path.display());
        let (cert, key) = (shown("tls_cert", &self.cert), shown("tls_key", &self.key));
        certified((&cert, &pem.cert), (&key, &pem.key))
    }
}

/// Parses a certificate chain and its key, each given with its name for messages. Checks that they
/// belong together.
///
/// # Errors
/// Returns one line that begins with the name of the wrong one.
pub fn certified(cert: (&str, &[u8]), key: (&str, &[u8])) -> Result<CertifiedKey, String> {
    let ((cert_name, cert), (key_name, key)) = (cert, key);
    let chain = certificates(cert_name, cert)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| match e {
        pem::Error::NoItemsFound => {
            format!("{key_name}: there is no private key in it (PEM, not encrypted)")
        }
        e => format!("{key_name}: {e}"),
    })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|e| format!("{key_name}: it doesn't fit the certificate: {e}"))
}

/// Checks that every certificate of a PEM file can be trusted as an authority.
///
/// # Errors
/// Returns one line that begins with `name`.
pub fn check_authorities(name: &str, pem: &[u8]) -> Result<(), String> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in certificates(name, pem)? {
        store
            .add(certificate)
            .map_err(|e| format!("{name}: it can't be trusted as an authority: {e}"))?;
    }
    Ok(())
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|e| format!("{name}: {e}"))?;
    if chain.is_empty() {
        Err(format!("{name}: there is no certificate in it (PEM)"))
    } else {
        Ok(chain)
    }
}

/// The current certificate, which a reload replaces.
struct ReloadingCert(RwLock<(Pem, Arc<CertifiedKey>)>);

impl fmt::Debug for ReloadingCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for ReloadingCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().1.clone())
    }
}

/// TLS of this node's port.
pub struct Tls {
    files: TlsFiles,
    current: Arc<ReloadingCert>,
    acceptor: TlsAcceptor,
    handshake_permits: Semaphore,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads the certificate from files.
    ///
    /// # Errors
    /// Returns one line that names the setting and the file.
    pub fn load(files: TlsFiles) -> Result<Tls, String> {
        let pem = files.read()?;
        let certified = Arc::new(files.certified(&pem)?);
        let current = Arc::new(ReloadingCert(RwLock::new((pem, certified))));
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions();
        let config = config.map_err(|e| format!("TLS can't be used: {e}"))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![H2.to_vec(), H1.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls { files, current, acceptor, handshake_permits: Semaphore::new(TLS_HANDSHAKES_MAX) })
    }

    /// Performs the handshake, and returns whether the connection uses HTTP/2. Returns `None` if
    /// the handshake fails or takes too long.
    pub async fn accept(&self, stream: TcpStream) -> Option<(TlsStream, bool)> {
        let shaken = async {
            let _turn = self.handshake_permits.acquire().await.ok()?;
            self.acceptor.accept(stream).await.ok()
        };
        let within = Duration::from_millis(TLS_HANDSHAKE_MS_MAX);
        let secured = tokio::time::timeout(within, shaken).await.ok()??;
        let is_h2 = secured.get_ref().1.alpn_protocol() == Some(H2);
        Some((secured, is_h2))
    }

    /// Reads the certificate files again. Returns whether the certificate has changed.
    fn reload(&self) -> Result<bool, String> {
        let pem = self.files.read()?;
        if self.current.0.read().0 == pem {
            return Ok(false);
        }
        let certified = Arc::new(self.files.certified(&pem)?);
        *self.current.0.write() = (pem, certified);
        Ok(true)
    }

    /// Follows the files until `stop`. An unusable certificate is logged once, and the previous one
    /// stays in use.
    pub async fn watch_files(&self, mut stop: watch::Receiver<bool>) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut reported = None;
        loop {
            let reporting = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                _ = reporting => {}
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            match self.reload() {
                Ok(is_new) => {
                    reported = None;
                    if is_new {
                        tracing::info!("TLS certificate reloaded");
                    }
                }
                Err(why) if reported.as_ref() != Some(&why) => {
                    tracing::warn!(%why, "the new TLS certificate can't be used; keeping the old one");
                    reported = Some(why);
                }
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn tls(folder: &Path) -> Tls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        Tls::load(files).unwrap()
    }

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[timed_test(start_paused = true)]
    async fn tls_handshake_ms_max_ends_a_silent_client() {
        let folder = tempfile::tempdir().unwrap();
        let (_client, server) = connection().await;
        let begun = tokio::time::Instant::now();
        assert!(tls(folder.path()).accept(server).await.is_none());
        assert_eq!(begun.elapsed().as_millis() as u64, TLS_HANDSHAKE_MS_MAX);
    }

    #[timed_test]
    async fn tls_handshakes_max_lets_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(folder.path());
        let all = tls.handshake_permits.acquire_many(TLS_HANDSHAKES_MAX as u32).await.unwrap();
        assert_eq!(tls.handshake_permits.available_permits(), 0);
        // A client that hangs up at once, which the node notices when its turn comes.
        let (client, server) = connection().await;
        drop(client);
        let mut accepted = std::pin::pin!(tls.accept(server));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(accepted.as_mut().poll(&mut context).is_pending());
        drop(all);
        assert!(accepted.await.is_none());
    }

    #[test]
    fn files_that_dont_fit_are_named_and_the_old_ones_go_on() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tls, other) = (tls(one.path()), tls(other.path()));
        assert_eq!(tls.reload(), Ok(false));
        let before = tls.current.0.read().1.clone();
        std::fs::copy(&other.files.cert, &tls.files.cert).unwrap();
        let why = tls.reload().unwrap_err();
        assert!(why.contains("`tls_key`") && why.contains("doesn't fit"), "{why}");
        assert!(Arc::ptr_eq(&before, &tls.current.0.read().1));
        std::fs::copy(&other.files.key, &tls.files.key).unwrap();
        assert_eq!(tls.reload(), Ok(true));
        std::fs::write(&tls.files.cert, "nonsense").unwrap();
        assert!(tls.reload().unwrap_err().contains("no certificate"));
        std::fs::remove_file(&tls.files.key).unwrap();
        let why = Tls::load(tls.files.clone()).unwrap_err();
        assert!(why.starts_with("`tls_key` = ") && !why.contains('\n'), "{why}");
        assert!(!format!("{tls:?}").contains("BEGIN"));
    }
}
