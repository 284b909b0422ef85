//! Traces in a binary that was built without the feature `otlp`.

use housecount_net::service_url::ServiceUrl;
use housecount_stores::features;
use tracing_subscriber::layer::Identity;

/// A running export of traces. This binary has none.
#[derive(Debug)]
pub enum Traces {}

/// Refuses to send traces.
///
/// # Errors
/// Returns one line that names the feature.
pub fn start(url: &ServiceUrl) -> Result<(Identity, Traces), String> {
    Err(format!("`otlp` = \"{url}\": {}", features::missing("otlp")))
}

impl Traces {
    /// Unreachable, since this type has no values.
    pub async fn stop(self) {
        match self {}
    }
}
