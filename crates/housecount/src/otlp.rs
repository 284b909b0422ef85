//! Traces to an OpenTelemetry collector, by OTLP over HTTP or HTTPS (protobuf), through the crates
//! `opentelemetry*` and `tracing-opentelemetry`.
//!
//! Tracing is off unless the setting `otlp` names a collector. While it is off, a span costs one
//! comparison, since no layer subscribes to its target. Spans cover operations that serve many
//! events: appends, windows of the ledger, snapshots, and slow requests of operators. A heartbeat
//! never has a span of its own. Spans that can't be sent are dropped, and one warning is logged, so
//! that tracing never slows a node down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_engine::internals::traced::{REQUEST, TARGET};
use housecount_net::client;
use housecount_net::service_url::ServiceUrl;
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Duration from which a request gets a span.
const SLOW: Duration = Duration::from_millis(100);
/// Time limit of the collector's answer.
const SEND_WAIT: Duration = Duration::from_secs(3);
/// Time for which a stopping node waits for unsent spans.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// Largest answer of a collector, which this module does not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A running export of traces.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// Starts to send traces to the collector at `url`, on the caller's runtime. The layer is for the
/// process's subscriber.
///
/// # Errors
/// Returns one line if the exporter does not accept the address, or if the system's certificates
/// can't be read.
pub fn start<S>(url: &ServiceUrl) -> Result<(impl Layer<S> + use<S>, Traces), String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OtlpClient::new(url)?)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(SEND_WAIT)
        .with_endpoint(format!("{url}/v1/traces"))
        .build()
        .map_err(|e| format!("`otlp` = \"{url}\": {e}"))?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource =
        Resource::builder().with_service_name("housecount").with_attribute(version).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(SlowSpanFilter(BatchSpanProcessor::builder(exporter).build()))
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("housecount"))
        // Threads and source locations do not help a reader of traces.
        .with_threads(false)
        .with_location(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::DEBUG));
    Ok((layer, Traces(provider)))
}

impl Traces {
    /// Sends the remaining spans, for at most `STOP_WAIT`.
    pub async fn stop(self) {
        let stopped =
            tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(STOP_WAIT)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("some traces were not sent before the stop");
        }
    }
}

/// Passes slow requests, and all spans that are not requests.
#[derive(Debug)]
struct SlowSpanFilter<P>(P);

/// Whether a span is sent.
fn is_kept(name: &str, took: Duration) -> bool {
    name != REQUEST || took >= SLOW
}

impl<P: SpanProcessor> SpanProcessor for SlowSpanFilter<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let took = span.end_time.duration_since(span.start_time).unwrap_or_default();
        if is_kept(&span.name, took) {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// HTTP client on the node's runtime, because the exporter's own thread has no runtime.
#[derive(Clone, Debug)]
struct OtlpClient {
    runtime: Handle,
    pool: client::HttpPool,
    url: ServiceUrl,
    is_away: Arc<AtomicBool>,
}

impl OtlpClient {
    fn new(url: &ServiceUrl) -> Result<OtlpClient, String> {
        let runtime = Handle::current();
        Ok(OtlpClient { runtime, pool: client::pool()?, url: url.clone(), is_away: Arc::default() })
    }

    /// Logs once that the collector is unavailable, and once that it is back.
    fn note(&self, failure: Option<&str>) {
        match (failure, self.is_away.swap(failure.is_some(), Ordering::Relaxed)) {
            (Some(why), false) => {
                tracing::warn!(url = %self.url, why, "can't send traces; dropping them")
            }
            (None, true) => tracing::info!(url = %self.url, "traces are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let pool = self.pool.clone();
        let exchange = async move {
            let (head, body) = pool.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The timer also needs the runtime.
        let sent =
            self.runtime.spawn(async move { tokio::time::timeout(SEND_WAIT, exchange).await });
        let answer = match sent.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(late)) => Err(late.into()),
            Err(gone) => Err(gone.into()),
        };
        let failure = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.note(failure.as_deref());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slow_requests_are_worth_a_span() {
        assert!(!is_kept(REQUEST, SLOW - Duration::from_millis(1)));
        assert!(is_kept(REQUEST, SLOW) && is_kept("append", Duration::ZERO));
    }
}
