//! A small HTTP client for our own commands: plain http, connections kept open, through `hyper-util`.

use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::IDLE_CONNECTIONS_MAX;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::service_url::ServiceUrl;

/// How long an answer may take: longer than a node lets a heartbeat wait for its log.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client of one housecount.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    key: Option<HeaderValue>,
}

/// An answer's status and body.
pub type Answer = (u16, Bytes);

impl Client {
    /// A client of the housecount at `url`.
    ///
    /// # Errors
    /// The URL is none of ours.
    pub fn new(url: &str) -> Result<Client, String> {
        // As it is shown: no message repeats a user and password, which are never sent.
        let base = ServiceUrl::parse(url).map_err(|e| format!("--url: {e}"))?.to_string();
        if !base.starts_with("http://") {
            return Err(format!("--url {base}: write it as http://HOST:PORT; for https go through a proxy"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Client { pool, base, key: None })
    }

    /// The same, with an operator key or a viewer's token in every call.
    ///
    /// # Errors
    /// It can't be one.
    pub fn with_key(self, key: &str) -> Result<Client, String> {
        Ok(Client { key: Some(bearer(key)?), ..self })
    }

    /// Its host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        let uri: Uri = self.base.parse().unwrap_or_default();
        format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80))
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Calls, and reads the whole answer.
    ///
    /// # Errors
    /// There was none: one line that says why.
    pub async fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        self.send(method, path, body.into(), self.key.as_ref()).await
    }

    /// The same with a viewer's token, in place of the key.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        self.send(method, path, body.into(), Some(&bearer(token)?)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        key: Option<&HeaderValue>,
    ) -> Result<Answer, String> {
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
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| "the key is no key")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The deepest cause: what libraries put around it says nothing to people.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::{Barrier, Notify};

    use super::*;

    /// As many requests at once as there are idle connections kept, and some more, whose connections are closed when they are answered.
    #[tokio::test]
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
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
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
