//! A small HTTP client for our own commands: plain http, connections kept open, through `hyper-util`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

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
        let base = url.trim_end_matches('/').to_string();
        let is_http = base.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http"));
        if !is_http {
            return Err(format!("--url {url}: write it as http://HOST:PORT; for https go through a proxy"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
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
