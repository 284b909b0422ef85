//! Settings of addresses: TLS on the port, origins of pages that may call, and the trace collector.

use housecount_access::origin::OriginPattern;
use housecount_net::service_url::ServiceUrl;
use housecount_net::tls::TlsFiles;

use super::{ConfigError, Layers};

/// Reads the TLS files; both are set or neither.
pub(super) fn tls(layers: &Layers) -> Result<Option<TlsFiles>, ConfigError> {
    let (cert, key) = (layers.text("tls_cert")?, layers.text("tls_key")?);
    let ticket_key = layers.text("tls_ticket_key")?;
    match (cert.is_empty(), key.is_empty()) {
        (true, true) if !ticket_key.is_empty() => {
            Err(layers.invalid("tls_ticket_key", "it needs `tls_cert` and `tls_key` as well"))
        }
        (true, true) => Ok(None),
        (false, false) => Ok(Some(TlsFiles {
            cert: cert.into(),
            key: key.into(),
            ticket_key: (!ticket_key.is_empty()).then(|| ticket_key.into()),
        })),
        (true, false) => Err(layers.invalid("tls_key", "it needs `tls_cert` as well")),
        (false, true) => Err(layers.invalid("tls_cert", "it needs `tls_key` as well")),
    }
}

/// Reads the URL of the trace collector.
pub(super) fn otlp(layers: &Layers) -> Result<Option<ServiceUrl>, ConfigError> {
    let url = layers.text("otlp")?;
    if url.is_empty() {
        return Ok(None);
    }
    ServiceUrl::parse(&url).map(Some).map_err(|expected| layers.invalid("otlp", expected))
}

/// Reads origins, as browsers send them.
pub(super) fn origins(layers: &Layers, name: &str) -> Result<Vec<OriginPattern>, ConfigError> {
    let parse = |text: &String| {
        OriginPattern::parse(text).map_err(|why| match text.contains('@') {
            // The text may contain a password.
            true => layers.invalid(name, "an origin can't contain a user or a password"),
            false => layers.invalid(name, &format!("`{text}` {why}")),
        })
    };
    layers.list(name)?.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;

    /// A password in an address, or a key in its query, appears in no error and in no output.
    #[test]
    fn addresses_are_shown_without_their_secrets() {
        for (name, url) in [
            ("otlp", "ftp://u:opensesame@collector"),
            ("otlp", "http://u:open/opensesame@collector"),
            ("auth.viewer_jwks_url", "https://u:opensesame@id.example/jwks"),
            ("auth.viewer_jwks_url", "https://opensesame@id.example/jwks"),
            ("cors.origins", "https://u:opensesame@a.example"),
            ("log", "dynamodb://table?endpoint=u:opensesame@h"),
            ("cold", "dynamodb://table?endpoint=ftp://u:opensesame@h"),
            ("listen_on", "http://u:opensesame@h"),
        ] {
            let error = settings(&[(name, url)]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("opensesame"), "{error}");
        }
        let flags = [
            ("otlp", "http://u:opensesame@collector:4318/at?key=opensesame"),
            ("auth.viewer_jwks_url", "https://id.example/jwks?key=opensesame"),
            ("log", "dynamodb://table?endpoint=http://u:opensesame@h:1"),
            ("cold", "dynamodb://table?endpoint=http://u:opensesame@h:1&region=r"),
        ];
        let settings = settings(&flags).unwrap();
        let shown = format!("{settings:?} {} {}", settings.log, settings.cold.as_ref().unwrap());
        assert!(!shown.contains("opensesame"), "{shown}");
        for visible in
            ["http://collector:4318/at", "https://id.example/jwks", "endpoint=http://h:1"]
        {
            assert!(shown.contains(visible), "{shown}");
        }
    }
}
