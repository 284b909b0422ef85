//! A test's own certificate authority, and the certificates that it has signed, as files.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate for `localhost` and 127.0.0.1 that also serves clients.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let authority = Authority { folder: tempfile::tempdir().unwrap() };
        let write = |name: &str, text: String| std::fs::write(authority.file(name), text).unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        // The name must differ from the signed certificate's, which would otherwise look
        // self-signed.
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", issuer.pem());
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_string(), "127.0.0.1".to_string()];
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        write("cert.pem", signed.pem());
        write("key.pem", key.serialize_pem());
        authority
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Arguments that make a server ask clients for a certificate of this authority. Without the
    /// `--` they are lines of a sentinel's file.
    pub fn arguments(&self, tls_port: u16) -> Vec<String> {
        let files = [("cert", "cert.pem"), ("key", "key.pem"), ("ca-cert", "ca.pem")];
        let files = files
            .into_iter()
            .flat_map(|(name, file)| [format!("--tls-{name}-file"), self.file(file)]);
        let others =
            ["--tls-port", &tls_port.to_string(), "--tls-auth-clients", "yes"].map(String::from);
        files.chain(others).collect()
    }

    /// The parameters of an address that trust this authority.
    pub fn trusted(&self) -> String {
        format!("ca={}", self.file("ca.pem"))
    }

    /// The parameters of an address that present a certificate of this authority.
    pub fn presented(&self) -> String {
        format!("cert={}&key={}", self.file("cert.pem"), self.file("key.pem"))
    }
}
