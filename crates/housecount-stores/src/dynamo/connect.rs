//! The AWS client: the official SDK, its credential chain, and housecount's timeouts.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use housecount_core::limits::{AWS_ANSWER_BYTES_MAX, IDLE_CONNECTIONS_MAX};
use http_body_util::Limited;

/// Attempts of one call by the SDK. It waits longer and longer in between, and adapts its rate to
/// throttling.
const ATTEMPTS_MAX: u32 = 4;
/// Timeout of one attempt. DynamoDB answers within some milliseconds, so a lost attempt is worth
/// another one.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of a call with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// Timeout of making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// Creates a client for DynamoDB.
pub(crate) async fn client(
    region: Option<&str>,
    endpoint: Option<&str>,
    keys: Option<(&str, &str)>,
) -> Client {
    Client::new(&configuration(region, endpoint, keys).await)
}

/// Creates the configuration of a client of AWS, or of the server at `endpoint`.
///
/// `keys` (id and secret) replace the SDK's credential chain.
pub async fn configuration(
    region: Option<&str>,
    endpoint: Option<&str>,
    keys: Option<(&str, &str)>,
) -> SdkConfig {
    housecount_net::tls::install_provider();
    let http = aws_smithy_http_client::Builder::new()
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let http = with_bounded_answers(http, AWS_ANSWER_BYTES_MAX);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::adaptive().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_string()));
    }
    if let Some((id, secret)) = keys {
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "given"));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// Wraps a client so that it fails if an answer has more than `bytes_max`. The SDK would read an
/// answer of any size into memory.
fn with_bounded_answers(http: SharedHttpClient, bytes_max: usize) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(BoundedAnswers {
            inner: http.http_connector(settings, components),
            bytes_max,
        })
    })
}

/// A connector whose answers' bodies fail after `bytes_max` bytes.
#[derive(Debug)]
struct BoundedAnswers {
    inner: SharedHttpConnector,
    bytes_max: usize,
}

impl HttpConnector for BoundedAnswers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answered, bytes_max) = (self.inner.call(request), self.bytes_max);
        HttpConnectorFuture::new(async move {
            let bounded = |body| SdkBody::from_body_1_x(Limited::new(body, bytes_max));
            Ok(answered.await?.map(bounded))
        })
    }
}

/// Creates the configuration of a client that calls through this HTTP client, with dummy keys. For
/// tests in simulated time.
pub(crate) fn configuration_over(http: SharedHttpClient) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("local"))
        .credentials_provider(Credentials::new("test", "test", None, None, "given"))
        .http_client(http)
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server in DynamoDB's place may send an endless answer.
    #[timed_test]
    async fn aws_answer_bytes_max_ends_an_endless_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4_096]).await;
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n\r\n";
                    let _ = stream.write_all(head.as_bytes()).await;
                    let piece = vec![b' '; 64 * 1024];
                    // The loop ends when the client stops reading.
                    while stream.write_all(&piece).await.is_ok() {
                        counted.fetch_add(piece.len(), Ordering::Relaxed);
                    }
                });
            }
        });
        let sdk = configuration(Some("us-east-1"), Some(&endpoint), Some(("test", "test"))).await;
        let once =
            aws_sdk_dynamodb::config::Builder::from(&sdk).retry_config(RetryConfig::disabled());
        let error = Client::from_conf(once.build()).list_tables().send().await.unwrap_err();
        assert!(
            housecount_net::client::with_cause(&error).contains("length limit exceeded"),
            "{error:?}"
        );
        assert!(sent.load(Ordering::Relaxed) < 2 * AWS_ANSWER_BYTES_MAX);
    }
}
