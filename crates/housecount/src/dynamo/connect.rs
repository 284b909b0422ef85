//! Makes the AWS client: the official SDK, its credential chain, and our bounds on waiting.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::retry::ReconnectMode;

use super::embedded::Engine;

/// Tries of one call by the SDK, which waits longer and longer in between, and adapts its rate to throttling.
const ATTEMPTS_MAX: u32 = 4;
/// How long one try may take. DynamoDB answers in some milliseconds; a try lost on the way is worth another.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take with all its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// A client for DynamoDB.
pub(crate) async fn client(
    region: Option<&str>,
    endpoint: Option<&str>,
    keys: Option<(&str, &str)>,
) -> Client {
    Client::new(&configuration(region, endpoint, keys).await)
}

/// What every client of AWS is made with, or of whatever answers at `endpoint`. `keys` (id and secret) instead of the SDK's
/// credential chain.
pub(crate) async fn configuration(
    region: Option<&str>,
    endpoint: Option<&str>,
    keys: Option<(&str, &str)>,
) -> SdkConfig {
    crate::tls::install_provider();
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
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

/// A client whose calls go to the engine in this process, without a socket.
pub(crate) fn embedded(engine: &Engine) -> Client {
    Client::from_conf(embedded_configuration(engine).build())
}

/// What such a client is made with, for those who add to it.
pub(crate) fn embedded_configuration(engine: &Engine) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("embedded"))
        .credentials_provider(Credentials::new("embedded", "embedded", None, None, "embedded"))
        .http_client(engine.connector())
        .retry_config(
            RetryConfig::adaptive()
                .with_max_attempts(ATTEMPTS_MAX)
                // It has no connections, and the SDK would say with each failure that it finds none to close.
                .with_reconnect_mode(ReconnectMode::ReuseAllConnections),
        )
        .timeout_config(timeouts())
}
