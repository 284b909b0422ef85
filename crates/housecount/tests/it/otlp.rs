//! `--otlp`: the spans that an OpenTelemetry collector on loopback receives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use housecount_test::timed_test;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;

use crate::support::eventually;
use crate::support::node::{Node, housecount, signal};

/// A collector that keeps all that it receives.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let requests = requests.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        let service = service_fn(move |request| take(request, requests.clone()));
                        let http = hyper::server::conn::http1::Builder::new();
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        });
        Collector { url, requests }
    }

    /// All spans so far, by name.
    fn spans(&self) -> BTreeMap<String, Vec<Span>> {
        let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for of in self.requests.lock().iter().flat_map(|requests| &requests.resource_spans) {
            for span in of.scope_spans.iter().flat_map(|of| &of.spans) {
                spans.entry(span.name.clone()).or_default().push(span.clone());
            }
        }
        spans
    }
}

async fn take(
    request: Request<Incoming>,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    requests.lock().push(ExportTraceServiceRequest::decode(body).unwrap());
    Ok(Response::new(Full::default()))
}

fn attribute(of: &[KeyValue], key: &str) -> Option<Value> {
    of.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

#[timed_test(flavor = "multi_thread")]
async fn a_collector_is_sent_what_happens_once_for_many() {
    let collector = Collector::start().await;
    let otlp = format!("otlp={}", collector.url);
    let set = [otlp.as_str(), "interval=300ms", "ttl=1s", "window=1s", "snapshot_interval=1s"];
    let mut node = Node::ready(&set).await;
    node.beat_many("s", 0, 25).await;
    node.beat("s", "one-more").await;
    eventually("a window is written", async || node.metric("housecount_commits_total").await > 0.0)
        .await;
    eventually("a snapshot is written", async || {
        node.metric("housecount_snapshots_total").await > 0.0
    })
    .await;
    let appends = node.metric("housecount_append_seconds_count").await;
    // The node sends its last spans when it stops.
    assert!(tokio::task::block_in_place(|| node.stop()).success());

    let spans = collector.spans();
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["append", "commit", "snapshot"],
        "heartbeats and fast requests have no span"
    );
    assert_eq!(spans["append"].len() as f64, appends, "one span per append");
    let events = |span: &Span| attribute(&span.attributes, "events");
    assert!(
        spans["append"].iter().any(|span| events(span) == Some(Value::IntValue(25))),
        "{spans:?}"
    );
    for span in spans.values().flatten() {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && !span.trace_id.is_empty());
    }
    let resource = collector.requests.lock()[0].resource_spans[0].resource.clone().unwrap();
    let name = attribute(&resource.attributes, "service.name");
    assert_eq!(name, Some(Value::StringValue("housecount".to_string())));
}

#[timed_test(flavor = "multi_thread")]
async fn an_unavailable_collector_is_logged_once() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let data = tempfile::tempdir().unwrap();
    let mut command = housecount();
    command.args(["serve", "--listen", "127.0.0.1:0", "--otlp", &url, "--data"]).arg(data.path());
    command.args(["--set", "snapshot_interval=1s"]);
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(node.stderr.take().unwrap()).lines().map(Result::unwrap);
    // Spans are sent every five seconds.
    let first = printed.by_ref().find(|line| line.contains("can't send traces")).unwrap();
    assert!(first.contains(&url) && first.contains("WARN"), "{first}");
    signal(node.id(), "TERM");
    let rest: Vec<String> = printed.collect();
    assert!(node.wait().unwrap().success());
    let again =
        rest.iter().any(|line| line.contains("can't send traces") || line.contains("panicked"));
    assert!(!again, "{rest:?}");
}
