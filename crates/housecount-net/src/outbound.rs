//! HTTP client for addresses of other services that an operator names: it sends only where its
//! policy allows.
//!
//! A name is looked up for each connection, all of its addresses are checked, and the connection is
//! opened to one of these. So a name that changes its address in between gains nothing. Redirects
//! are not followed, and no proxy is used.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use crate::address_policy::AddressPolicy;
use crate::client::with_cause;

/// Time limit of opening a connection to one address.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Time for which an idle connection is kept.
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// Bounds of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerBounds {
    /// Time for the whole call, from the look-up of the name on.
    pub within: Duration,
    /// Bytes of the body that are read. The connection of a longer answer is closed.
    pub body_bytes_max: usize,
}

/// An answer, of which only the status matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundReply {
    /// HTTP status.
    pub status: u16,
    /// Time after which the service wants to be called again, in seconds.
    pub retry_after_s: Option<u64>,
}

/// Client of one address.
#[derive(Clone, Debug)]
pub struct OutboundClient {
    pool: legacy::Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>,
    uri: Uri,
    policy: AddressPolicy,
}

impl OutboundClient {
    /// Creates a client of `uri`; no connection is opened yet.
    ///
    /// # Errors
    /// Returns one line if the policy forbids an address that `uri` names, or if the system's
    /// certificates can't be read.
    pub fn new(uri: Uri, policy: AddressPolicy) -> Result<OutboundClient, String> {
        check_literal(&uri, policy)?;
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        let tls = tls.map_err(|e| format!("can't read this machine's certificates: {e}"))?;
        let mut http = HttpConnector::new_with_resolver(CheckedResolver(policy));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_WITHIN));
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_WITHIN)
            .pool_max_idle_per_host(1)
            .build(tls.https_or_http().enable_http1().wrap_connector(http));
        Ok(OutboundClient { pool, uri, policy })
    }

    /// Sends a POST request, and reads the status of its answer.
    ///
    /// # Errors
    /// Returns one line with the cause if no answer arrived.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        bounds: AnswerBounds,
    ) -> Result<OutboundReply, String> {
        check_literal(&self.uri, self.policy)?;
        let mut request = Request::post(self.uri.clone())
            .body(Full::new(body))
            .map_err(|e| format!("the request can't be made: {e}"))?;
        *request.headers_mut() = headers;
        let call = async {
            let response = self.pool.request(request).await.map_err(|e| with_cause(&e))?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let mut body = response.into_body();
            let mut left = bounds.body_bytes_max;
            // The connection can be used again only once the answer is read. Only the status
            // counts, so an error in the body does not matter.
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(bytes) else { break };
                left = rest;
            }
            Ok(OutboundReply { status, retry_after_s })
        };
        match tokio::time::timeout(bounds.within, call).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", bounds.within.as_secs())),
        }
    }
}

/// Checks a host that is an address. A resolver never sees it.
fn check_literal(uri: &Uri, policy: AddressPolicy) -> Result<(), String> {
    let host = uri.host().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) if !policy.allows(address) => Err(refusal(host, address, policy)),
        _ => Ok(()),
    }
}

fn refusal(host: &str, address: IpAddr, policy: AddressPolicy) -> String {
    let wanted = match policy {
        AddressPolicy::Private => "is public; a public address needs https",
        _ => "is not public",
    };
    if host.trim_start_matches('[').trim_end_matches(']') == address.to_string() {
        return format!("the address {address} {wanted}");
    }
    format!("{host} has the address {address}, which {wanted}")
}

/// Looks up a name, and returns its addresses only if the policy allows all of them.
#[derive(Clone, Copy, Debug)]
struct CheckedResolver(AddressPolicy);

impl Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.0;
        Box::pin(async move {
            // The connector sets the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            let forbidden = addresses.iter().find(|address| !policy.allows(address.ip()));
            match forbidden {
                Some(address) => {
                    let text = refusal(name.as_str(), address.ip(), policy);
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
                }
                None => Ok(addresses.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use housecount_core::limits::WEBHOOK_ANSWER_BYTES_MAX;
    use housecount_test::timed_test;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const BOUNDS: AnswerBounds =
        AnswerBounds { within: Duration::from_secs(60), body_bytes_max: WEBHOOK_ANSWER_BYTES_MAX };

    /// A server that gives each request the same answer, and counts connections.
    async fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, opened) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = opened.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut request = [0; 1_024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (port, opened)
    }

    async fn post(url: &str, policy: AddressPolicy) -> Result<OutboundReply, String> {
        let client = OutboundClient::new(url.parse().unwrap(), policy)?;
        client.post(HeaderMap::new(), Bytes::from_static(b"{}"), BOUNDS).await
    }

    #[timed_test]
    async fn a_name_of_this_machine_is_refused_at_the_connection() {
        let (port, opened) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let url = format!("http://localhost:{port}/hook");
        let refused = post(&url, AddressPolicy::Public).await.unwrap_err();
        assert!(refused.contains("localhost has the address"), "{refused}");
        assert!(refused.contains("is not public"), "{refused}");
        assert_eq!(opened.load(Ordering::SeqCst), 0);
        for policy in [AddressPolicy::Any, AddressPolicy::Private] {
            assert_eq!(post(&url, policy).await.unwrap().status, 200);
        }
    }

    #[timed_test]
    async fn a_literal_address_is_refused_before_any_connection() {
        for url in ["https://127.0.0.1:9/", "https://[::1]:9/", "https://[::ffff:10.0.0.1]/"] {
            let refused = post(url, AddressPolicy::Public).await.unwrap_err();
            assert!(refused.contains("is not public"), "{url}: {refused}");
        }
        let refused = post("http://8.8.8.8/", AddressPolicy::Private).await.unwrap_err();
        assert_eq!(refused, "the address 8.8.8.8 is public; a public address needs https");
    }

    #[timed_test]
    async fn redirects_are_answers_and_are_not_followed() {
        let (other, called) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{other}/\r\n\
             retry-after: 7\r\ncontent-length: 0\r\n\r\n"
        );
        let (port, _) = server(answer.leak()).await;
        let reply = post(&format!("http://127.0.0.1:{port}/"), AddressPolicy::Any).await;
        assert_eq!(reply, Ok(OutboundReply { status: 307, retry_after_s: Some(7) }));
        assert_eq!(called.load(Ordering::SeqCst), 0);
    }

    #[timed_test]
    async fn an_endless_answer_is_read_up_to_webhook_answer_bytes_max() {
        let body = "x".repeat(2 * WEBHOOK_ANSWER_BYTES_MAX);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n{body}");
        let (port, opened) = server(answer.leak()).await;
        let client = OutboundClient::new(
            format!("http://127.0.0.1:{port}/").parse().unwrap(),
            AddressPolicy::Any,
        );
        let client = client.unwrap();
        for calls in 1..=2 {
            let reply = client.post(HeaderMap::new(), Bytes::new(), BOUNDS).await.unwrap();
            assert_eq!((reply.status, opened.load(Ordering::SeqCst)), (200, calls));
        }
    }
}
