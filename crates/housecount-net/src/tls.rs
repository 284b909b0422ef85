//! The only TLS stack: rustls with ring, shared by Redis, AWS, and this node's own port.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use housecount_core::limits::{TLS_HANDSHAKE_MS_MAX, TLS_HANDSHAKES_MAX, TLS_TICKET_KEY_BYTES_MIN};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use super::tickets::SessionTickets;
pub use super::tls_stream::TlsStream;

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

/// Paths of the certificate (its chain, PEM), of its key (PEM), and of the tickets' secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls_cert`
    pub cert: PathBuf,
    /// `tls_key`
    pub key: PathBuf,
    /// `tls_ticket_key`; `None` for a secret that follows from `key`
    pub ticket_key: Option<PathBuf>,
}

/// Content of the files, which is never shown.
#[derive(PartialEq, Eq)]
struct FileContents {
    cert: Vec<u8>,
    key: Vec<u8>,
    ticket_key: Option<Vec<u8>>,
}

impl TlsFiles {
    fn read(&self) -> Result<FileContents, String> {
        let read = |name: &str, path: &Path| {
            std::fs::read(path).map_err(|e| format!("`{name}` = \"{}\": {e}", path.display()))
        };
        let ticket_key = self.ticket_key.as_deref();
        Ok(FileContents {
            cert: read("tls_cert", &self.cert)?,
            key: read("tls_key", &self.key)?,
            ticket_key: ticket_key.map(|path| read("tls_ticket_key", path)).transpose()?,
        })
    }

    /// Returns the certificate with its key, if they belong together.
    fn certified(&self, pem: &FileContents) -> Result<CertifiedKey, String> {
        let shown = |name: &str, path: &Path| format!("`{name}` = \"{}\"", path.display());
        let (cert, key) = (shown("tls_cert", &self.cert), shown("tls_key", &self.key));
        certified((&cert, &pem.cert), (&key, &pem.key))
    }

    /// Returns the maker of session tickets.
    fn tickets(&self, pem: &FileContents) -> Result<SessionTickets, String> {
        let Some(secret) = &pem.ticket_key else {
            // The key itself, whatever text its file has around it.
            let key = private_key("`tls_key`", &pem.key)?;
            return Ok(SessionTickets::new(key.secret_der()));
        };
        if secret.len() < TLS_TICKET_KEY_BYTES_MIN {
            let path = self.ticket_key.as_deref().unwrap_or(Path::new("")).display();
            let (found, min) = (secret.len(), TLS_TICKET_KEY_BYTES_MIN);
            return Err(format!(
                "`tls_ticket_key` = \"{path}\": it has {found} bytes; use at least {min} random ones"
            ));
        }
        Ok(SessionTickets::new(secret))
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
    let key = private_key(key_name, key)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|e| format!("{key_name}: it doesn't fit the certificate: {e}"))
}

fn private_key(name: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
        pem::Error::NoItemsFound => {
            format!("{name}: there is no private key in it (PEM, not encrypted)")
        }
        e => format!("{name}: {e}"),
    })
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

/// Secrets of this node's port, made of the content of the files.
struct Identity {
    contents: FileContents,
    certified: Arc<CertifiedKey>,
    tickets: SessionTickets,
}

impl Identity {
    fn new(files: &TlsFiles, contents: FileContents) -> Result<Identity, String> {
        let certified = Arc::new(files.certified(&contents)?);
        let tickets = files.tickets(&contents)?;
        Ok(Identity { contents, certified, tickets })
    }
}

/// The current identity, which a reload replaces.
struct ReloadingIdentity(RwLock<Identity>);

impl fmt::Debug for ReloadingIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadingIdentity")
    }
}

impl ResolvesServerCert for ReloadingIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().certified.clone())
    }
}

impl ProducesTickets for ReloadingIdentity {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.read().tickets.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.0.read().tickets.encrypt(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.read().tickets.decrypt(ticket)
    }
}

/// TLS of this node's port.
pub struct Tls {
    files: TlsFiles,
    current: Arc<ReloadingIdentity>,
    config: Arc<ServerConfig>,
    handshake_permits: Semaphore,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads the certificate, and the secret of session tickets, from files.
    ///
    /// # Errors
    /// Returns one line that names the setting and the file.
    pub fn load(files: TlsFiles) -> Result<Tls, String> {
        let identity = Identity::new(&files, files.read()?)?;
        let current = Arc::new(ReloadingIdentity(RwLock::new(identity)));
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|e| format!("TLS can't be used: {e}"))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![H2.to_vec(), H1.to_vec()];
        config.ticketer = current.clone();
        // A client needs one. A second one costs every handshake some 200 bytes.
        config.send_tls13_tickets = 1;
        let config = Arc::new(config);
        Ok(Tls { files, current, config, handshake_permits: Semaphore::new(TLS_HANDSHAKES_MAX) })
    }

    /// Performs the handshake, and returns whether the connection uses HTTP/2. Returns `None` if
    /// the handshake fails or takes too long.
    pub async fn accept<S>(&self, stream: S) -> Option<(TlsStream<S>, bool)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = async {
            let _turn = self.handshake_permits.acquire().await.ok()?;
            TlsStream::accept(stream, self.config.clone()).await.ok()
        };
        let within = Duration::from_millis(TLS_HANDSHAKE_MS_MAX);
        let secured = tokio::time::timeout(within, shaken).await.ok()??;
        let is_h2 = secured.alpn_protocol() == Some(H2);
        Some((secured, is_h2))
    }

    /// Reads the certificate files again. Returns whether the certificate has changed.
    fn reload(&self) -> Result<bool, String> {
        let contents = self.files.read()?;
        if self.current.0.read().contents == contents {
            return Ok(false);
        }
        let identity = Identity::new(&self.files, contents)?;
        *self.current.0.write() = identity;
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
        let files = TlsFiles {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            ticket_key: None,
        };
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
        let before = tls.current.0.read().certified.clone();
        std::fs::copy(&other.files.cert, &tls.files.cert).unwrap();
        let why = tls.reload().unwrap_err();
        assert!(why.contains("`tls_key`") && why.contains("doesn't fit"), "{why}");
        assert!(Arc::ptr_eq(&before, &tls.current.0.read().certified));
        std::fs::copy(&other.files.key, &tls.files.key).unwrap();
        assert_eq!(tls.reload(), Ok(true));
        std::fs::write(&tls.files.cert, "nonsense").unwrap();
        assert!(tls.reload().unwrap_err().contains("no certificate"));
        std::fs::remove_file(&tls.files.key).unwrap();
        let why = Tls::load(tls.files.clone()).unwrap_err();
        assert!(why.starts_with("`tls_key` = ") && !why.contains('\n'), "{why}");
        assert!(!format!("{tls:?}").contains("BEGIN"));
    }

    #[test]
    fn tls_ticket_key_bytes_min_is_required_and_nodes_that_have_it_share_tickets() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let secret = folders[0].path().join("secret");
        let load = |folder: &tempfile::TempDir, ticket_key| {
            let files = tls(folder.path()).files;
            Tls::load(TlsFiles { ticket_key, ..files })
        };
        std::fs::write(&secret, [7; TLS_TICKET_KEY_BYTES_MIN - 1]).unwrap();
        let why = load(&folders[0], Some(secret.clone())).unwrap_err();
        assert!(why.contains("`tls_ticket_key`") && why.contains("31 bytes"), "{why}");
        std::fs::write(&secret, [7; TLS_TICKET_KEY_BYTES_MIN]).unwrap();
        let session = b"\0\x03\x04";
        let opens = |one: &Tls, other: &Tls| {
            let ticket = one.current.encrypt(session).unwrap();
            other.current.decrypt(&ticket).as_deref() == Some(session)
        };
        let with = folders.each_ref().map(|folder| load(folder, Some(secret.clone())).unwrap());
        assert!(opens(&with[0], &with[1]), "the certificates differ, the secret doesn't");
        let own = folders.each_ref().map(|folder| load(folder, None).unwrap());
        assert!(!opens(&own[0], &own[1]), "each has its own key");
        let copy = Tls::load(own[0].files.clone()).unwrap();
        assert!(opens(&own[0], &copy), "the key is the same");
    }
}
