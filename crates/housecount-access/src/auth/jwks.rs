//! A JWKS URL. The shared client fetches it over https (or http on this machine), bounded in bytes
//! and time.

use std::net::IpAddr;
use std::time::Duration;

use housecount_core::limits::{JWKS_WAIT_MS_MAX, KEYS_BYTES_MAX};
use housecount_net::client;
use housecount_net::service_url::ServiceUrl;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode, Uri};
use parking_lot::Mutex;

/// Source of verification keys: a JWKS URL, and the hash of its last answer.
#[derive(Debug)]
pub struct Jwks {
    url: ServiceUrl,
    /// Hash of the last answer.
    last: Mutex<Option<[u8; 32]>>,
}

impl Jwks {
    /// Creates the source of keys at a URL that has been checked.
    pub fn new(url: ServiceUrl) -> Jwks {
        Jwks { url, last: Mutex::default() }
    }

    /// The URL.
    pub fn url(&self) -> &ServiceUrl {
        &self.url
    }

    /// Whether the answer differs from the one before.
    pub fn has_changed(&self, digest: [u8; 32]) -> bool {
        self.last.lock().replace(digest) != Some(digest)
    }

    /// Fetches the JWKS. No connection is kept open, since the next fetch is minutes later.
    /// Redirects aren't followed.
    ///
    /// # Errors
    /// Returns one line of text that says why the fetch failed.
    pub async fn fetch(&self) -> Result<String, String> {
        match tokio::time::timeout(Duration::from_millis(JWKS_WAIT_MS_MAX), self.get()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {JWKS_WAIT_MS_MAX} ms")),
        }
    }

    async fn get(&self) -> Result<String, String> {
        let request = Request::get(self.url.as_str())
            .header(ACCEPT, "application/json")
            .body(Full::default());
        let request = request.map_err(|e| e.to_string())?;
        let response =
            client::pool()?.request(request).await.map_err(|e| client::with_cause(&e))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the server answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), KEYS_BYTES_MAX).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        String::from_utf8(body.to_vec()).map_err(|_| "the response is not UTF-8".to_string())
    }
}

/// Parses a JWKS URL. The scheme is restricted, because a server that can answer in the URL's place
/// can issue tokens.
///
/// # Errors
/// Returns a text that says what is wrong, without any part of the URL.
pub fn parse(url: &str) -> Result<ServiceUrl, &'static str> {
    let wrong = "it must be https://HOST/PATH, or http:// on this machine (127.0.0.1, localhost)";
    if url.contains('@') {
        return Err(
            "it contains an @: a user and a password can't be sent; write an @ in a path as %40",
        );
    }
    let parsed = ServiceUrl::parse(url).map_err(|_| wrong)?;
    let uri: Uri = url.parse().map_err(|_| wrong)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(parsed),
        Some("http") if is_here => Ok(parsed),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in [
            "https://id.example.com/jwks.json",
            "http://127.0.0.1:9/jwks",
            "http://[::1]/",
            "http://localhost/k",
        ] {
            assert_eq!(parse(good).map(|url| url.as_str().to_string()), Ok(good.to_string()));
        }
        for bad in [
            "http://id.example.com/jwks",
            "http://127.0.0.1.example.com/",
            "ftp://127.0.0.1/",
            "jwks.json",
            "",
            "https://ann@id.example.com/jwks",
            "https://ann:opensesame@id.example.com/jwks",
            "https://ann:open/sesame@id.example.com/jwks",
            "http://:opensesame@127.0.0.1/",
            "https://id.example.com/jwks?to=ann@example.com",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!error.contains("sesame"), "{bad}: {error}");
        }
    }
}
