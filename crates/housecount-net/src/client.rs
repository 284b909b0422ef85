//! The only HTTP client, over http and https, through `hyper-util` and `hyper-rustls`.
//!
//! [`Client`] is for our own commands, which call a node. The JWKS and the trace exporter send
//! through the same [`HttpPool`]. Certificates are checked against the system's roots, or against
//! the file that the environment variable `SSL_CERT_FILE` names.

use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::IDLE_CONNECTIONS_MAX;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::service::Service;
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use crate::service_url::ServiceUrl;

/// Time limit of an answer, which is longer than a node lets a heartbeat wait for its log.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Connection pool that keeps connections open between requests.
pub type HttpPool = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A single connection outside the pool, over TLS if the address is https.
pub type Connection = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

/// Time limit of opening a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Time for which an idle connection is kept.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// Builds a connector; no connection is opened yet.
///
/// # Errors
/// Returns one line if the system's certificates can't be read.
fn connector() -> Result<HttpsConnector<HttpConnector>, String> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
    let tls = tls.map_err(|e| format!("can't read this machine's certificates: {e}"))?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_WITHIN));
    Ok(tls.https_or_http().enable_http1().wrap_connector(http))
}

/// A pool of at most [`IDLE_CONNECTIONS_MAX`] idle connections for each host.
///
/// # Errors
/// Returns one line if the system's certificates can't be read.
pub fn pool() -> Result<HttpPool, String> {
    Ok(pool_over(connector()?))
}

fn pool_over(connector: HttpsConnector<HttpConnector>) -> HttpPool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_WITHIN)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector)
}

/// A client of one housecount.
#[derive(Clone, Debug)]
pub struct Client {
    pool: HttpPool,
    connector: HttpsConnector<HttpConnector>,
    base: String,
    key: Option<HeaderValue>,
}

/// Status and body of an answer.
pub type HttpReply = (u16, Bytes);

impl Client {
    /// A client of the housecount at `url`.
    ///
    /// # Errors
    /// Returns one line if `url` is not an address, or if the system's certificates can't be read.
    pub fn new(url: &str) -> Result<Client, String> {
        // The address without user and password, which are never sent, so no message repeats them.
        let base = ServiceUrl::parse(url).map_err(|e| format!("--url: {e}"))?.to_string();
        let connector = connector()?;
        Ok(Client { pool: pool_over(connector.clone()), connector, base, key: None })
    }

    /// Adds an operator key or a viewer's token to every call.
    ///
    /// # Errors
    /// Returns one line if the key can't be part of a header.
    pub fn with_key(self, key: &str) -> Result<Client, String> {
        Ok(Client { key: Some(bearer(key)?), ..self })
    }

    /// Opens a connection to the housecount, for a protocol other than HTTP requests.
    ///
    /// # Errors
    /// Returns one line that names the address.
    pub async fn open(&self) -> Result<Connection, String> {
        let uri: Uri = self.base.parse().map_err(|_| format!("{}: not an address", self.base))?;
        let connector = TowerToHyperService::new(self.connector.clone());
        let opened = connector.call(uri).await;
        opened.map(TokioIo::new).map_err(|e| format!("{}: {}", self.base, with_cause(&*e)))
    }

    /// Address of the housecount.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// Returns one line with the cause if no answer arrived.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<HttpReply, String> {
        self.send(method, path, body.into(), self.key.as_ref()).await
    }

    /// Sends a request with a viewer's token in place of the key.
    ///
    /// # Errors
    /// The same as those of [`call`](Self::call), and one line if the token can't be part of a
    /// header.
    pub async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<HttpReply, String> {
        self.send(method, path, body.into(), Some(&bearer(token)?)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        key: Option<&HeaderValue>,
    ) -> Result<HttpReply, String> {
        let failed = |e: String| format!("{method} {}{path}: {e}", self.base);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| failed(e.to_string()))?;
        if let Some(key) = key {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        let answered = async {
            let response = self.pool.request(request).await.map_err(|e| failed(with_cause(&e)))?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|e| failed(e.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(failed(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }
}

fn bearer(key: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| "the key has characters that a header can't contain")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Text of the deepest cause, since the texts that libraries put around it do not help a reader.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::{Barrier, Notify};

    use super::*;

    /// As many requests at once as idle connections are kept, and some more. The further
    /// connections are closed once they are answered.
    #[timed_test]
    async fn idle_connections_max_stay_open() {
        const MORE: usize = 8;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let all = Arc::new(Barrier::new(IDLE_CONNECTIONS_MAX + MORE));
        let (closed, is_closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let counted = (closed.clone(), is_closed.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (all, (closed, is_closed)) = (all.clone(), counted.clone());
                tokio::spawn(async move {
                    let mut request = [0; 1_024];
                    assert!(stream.read(&mut request).await.unwrap() > 0);
                    all.wait().await;
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .unwrap();
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
                    closed.fetch_add(1, Ordering::SeqCst);
                    is_closed.notify_one();
                });
            }
        });
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..IDLE_CONNECTIONS_MAX + MORE {
            let client = client.clone();
            asked.spawn(async move { client.call(Method::GET, "/", "").await });
        }
        assert!(asked.join_all().await.into_iter().all(|answer| answer.is_ok()));
        while closed.load(Ordering::SeqCst) < MORE {
            is_closed.notified().await;
        }
        assert_eq!(closed.load(Ordering::SeqCst), MORE);
    }
}
