//! TLS files of a Redis log: the authority to trust, and the client's certificate with its key.
//!
//! They are read once, when the log is opened. No message ever has their contents.

use std::path::{Path, PathBuf};

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_net::tls;
use redis::{ClientTlsConfig, TlsCertificates};

use super::query::Query;

/// Paths of PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RedisTlsFiles {
    /// The certificate authority to trust instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl RedisTlsFiles {
    /// Takes `ca`, `cert` and `key` from the parameters of an address.
    ///
    /// # Errors
    /// Returns a text that names the parameter that is wrong or missing.
    pub(super) fn take(query: &mut Query) -> Result<RedisTlsFiles, String> {
        let mut path = |name| Ok::<_, String>(query.take(name)?.map(PathBuf::from));
        let ca = path("ca")?;
        match (path("cert")?, path("key")?) {
            (Some(cert), Some(key)) => Ok(RedisTlsFiles { ca, client: Some((cert, key)) }),
            (None, None) => Ok(RedisTlsFiles { ca, client: None }),
            (Some(_), None) => Err("`cert` needs `key`, the file of its key".to_string()),
            (None, Some(_)) => Err("`key` needs `cert`, the file of its certificate".to_string()),
        }
    }

    /// Name of the first parameter that is given.
    pub(super) fn first(&self) -> Option<&'static str> {
        self.ca.as_ref().map(|_| "ca").or(self.client.as_ref().map(|_| "cert"))
    }

    /// Reads and checks the files. `None` if no file is given.
    ///
    /// # Errors
    /// Returns `Unsupported` if a file can't be read, or doesn't hold what it should. The text
    /// names the file.
    pub(super) fn load(&self) -> StoreResult<Option<TlsCertificates>> {
        tls::install_provider();
        if *self == RedisTlsFiles::default() {
            return Ok(None);
        }
        let wrong = |why: String| StoreError::new(ErrorKind::Unsupported, why);
        let mut certificates = TlsCertificates::new();
        if let Some(path) = &self.ca {
            let (shown, pem) = read("ca", path)?;
            tls::check_authorities(&shown, &pem).map_err(wrong)?;
            certificates = certificates.root_cert(pem);
        }
        if let Some((cert, key)) = &self.client {
            let ((cert_shown, cert), (key_shown, key)) = (read("cert", cert)?, read("key", key)?);
            tls::certified((&cert_shown, &cert), (&key_shown, &key)).map_err(wrong)?;
            certificates = certificates.client_tls_config(ClientTlsConfig::new(cert, key));
        }
        Ok(Some(certificates))
    }
}

fn read(name: &str, path: &Path) -> StoreResult<(String, Vec<u8>)> {
    let shown = format!("{name}={}", path.display());
    match std::fs::read(path) {
        Ok(pem) => Ok((shown, pem)),
        Err(why) => {
            Err(StoreError::caused(ErrorKind::Unsupported, format!("reading {shown}"), why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_wrong_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made = || rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (one, other) = (made(), made());
        let cert = file("cert.pem", &one.cert.pem());
        let key = file("key.pem", &one.signing_key.serialize_pem());
        let other_key = file("other.pem", &other.signing_key.serialize_pem());
        let (nonsense, missing) =
            (file("nonsense.pem", "nonsense"), folder.path().join("missing.pem"));
        let damaged =
            file("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let client = |cert: &PathBuf, key: &PathBuf| RedisTlsFiles {
            ca: None,
            client: Some((cert.clone(), key.clone())),
        };
        let ca = |path: &PathBuf| RedisTlsFiles { ca: Some(path.clone()), client: None };
        assert!(RedisTlsFiles::default().load().unwrap().is_none());
        assert!(client(&cert, &key).load().unwrap().is_some_and(|all| all.client_tls.is_some()));
        for (files, name, path, why) in [
            (ca(&missing), "ca", &missing, "No such file"),
            (ca(&nonsense), "ca", &nonsense, "there is no certificate in it"),
            (ca(&damaged), "ca", &damaged, "can't be trusted as an authority"),
            (client(&missing, &key), "cert", &missing, "No such file"),
            (client(&nonsense, &key), "cert", &nonsense, "there is no certificate in it"),
            (client(&key, &key), "cert", &key, "there is no certificate in it"),
            (client(&cert, &missing), "key", &missing, "No such file"),
            (client(&cert, &nonsense), "key", &nonsense, "there is no private key in it"),
            (client(&cert, &cert), "key", &cert, "there is no private key in it"),
            (client(&cert, &other_key), "key", &other_key, "doesn't fit the certificate"),
        ] {
            let error = files.load().unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&format!("{name}={}", path.display())) && text.contains(why),
                "{text}"
            );
            assert!(error.kind() == ErrorKind::Unsupported && !text.contains("BEGIN"), "{text}");
        }
    }
}
