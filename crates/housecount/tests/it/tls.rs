//! TLS on a node's own port: both versions of HTTP, WebSockets, new certificates, and clients that
//! don't complete a handshake.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use housecount_core::limits::H2_STREAMS_MAX;
use housecount_test::timed_test;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;

use crate::support::eventually;
use crate::support::node::{Node, housecount, signal};

/// Writes a self-signed certificate and its key to files.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    // The key comes first. A node that reads in between finds two files that don't match, and keeps
    // what it has.
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn secured(folder: &TempDir) -> Node {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) =
        (format!("tls_cert={}", file("cert.pem")), format!("tls_key={}", file("key.pem")));
    let node = Node::start(&["log=memory:", "cold=none", &cert, &key]);
    assert!(node.address.starts_with("https://"), "{}", node.address);
    node
}

fn port(node: &Node) -> String {
    node.address.trim_start_matches("https://").to_string()
}

/// Opens a connection of a client that trusts this certificate only, and offers this protocol.
async fn connect(
    node: &Node,
    trusted: &CertificateDer<'static>,
    speaks: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![speaks.to_vec()];
    let stream = TcpStream::connect(port(node)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn request(method: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
    let request =
        request.header("content-type", "application/json").header("origin", "https://a.example");
    request.body(Full::from(body.to_string())).unwrap()
}

async fn until_ready(node: &Node, trusted: &CertificateDer<'static>) {
    eventually("the node is ready", async || {
        let stream = connect(node, trusted, b"h2").await.unwrap();
        let io = TokioIo::new(stream);
        let (mut client, served) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(served);
        client.send_request(request("GET", "/readyz", &Value::Null)).await.unwrap().status() == 200
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn both_versions_of_http_and_websockets_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let node = secured(&folder);
    until_ready(&node, &trusted).await;

    // Many requests at once on one HTTP/2 connection.
    let stream = connect(&node, &trusted, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, served) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(served);
    // The most requests that one connection may have open. The client starts before the node has
    // announced the limit.
    let beats = (0..u64::from(H2_STREAMS_MAX)).map(|n| {
        let mut client = client.clone();
        let beat = json!({ "stage": "s", "viewer": format!("viewer-{n}") });
        async move {
            let response =
                client.send_request(request("POST", "/v1/heartbeat", &beat)).await.unwrap();
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            assert_eq!(response.headers()["content-type"], "application/json");
            let status = response.status();
            let body: Value =
                serde_json::from_slice(&response.collect().await.unwrap().to_bytes()).unwrap();
            (status.as_u16(), body["viewers"].as_u64().unwrap())
        }
    });
    let answers = futures_util::future::join_all(beats).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(answers.iter().map(|(_, viewers)| *viewers).max(), Some(u64::from(H2_STREAMS_MAX)));
    for (method, path, body, status) in [
        ("POST", "/v1/leave", json!({ "stage": "s", "viewer": "viewer-1" }), 204),
        ("POST", "/v1/heartbeats", json!([{ "stage": "s", "viewer": "viewer-1" }]), 200),
        ("POST", "/v1/heartbeat", json!({ "stage": "s" }), 400),
        ("GET", "/v1/stats", Value::Null, 401), // for a page of another site
        ("GET", "/v1/ws", Value::Null, 426),
    ] {
        let answer = client.clone().send_request(request(method, path, &body)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        answer.collect().await.unwrap();
    }
    for (origin, status) in [("https://localhost", 200), ("https://localhost:1", 401)] {
        let mut own = request("GET", "/v1/stats", &Value::Null);
        own.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(
            client.clone().send_request(own).await.unwrap().status().as_u16(),
            status,
            "{origin}"
        );
    }

    // HTTP/1.1, and a WebSocket on it.
    let stream = connect(&node, &trusted, b"http/1.1").await.unwrap();
    let (mut client, served) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(served);
    let answer = client.send_request(request("GET", "/healthz", &Value::Null)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let stream = connect(&node, &trusted, b"http/1.1").await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("wss://{}/v1/ws", port(&node)), stream)
            .await
            .unwrap();
    socket.send(Message::text(json!({ "stage": "s", "viewer": "zoe" }).to_string())).await.unwrap();
    let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
        panic!("not an answer")
    };
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["stage"], "s");

    // A client without TLS, or one that sends nothing, delays no other client.
    let silent = TcpStream::connect(port(&node)).await.unwrap();
    let plain = node.client.call(hyper::Method::GET, "/healthz", "").await;
    assert!(plain.is_err(), "{plain:?}");
    assert!(connect(&node, &trusted, b"h2").await.is_ok());
    drop(silent);
}

/// HTTP/2 shows the end of a body only when it is read. An unread body must not be cut off.
#[timed_test(flavor = "multi_thread")]
async fn empty_and_unwanted_bodies_over_http2() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let node = secured(&folder);
    until_ready(&node, &trusted).await;
    let stream = connect(&node, &trusted, b"h2").await.unwrap();
    let (client, served) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(served);
    let post = async |path: &str, frames: Vec<Bytes>| {
        let frames =
            frames.into_iter().map(|bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let request = Request::post(format!("https://localhost{path}")).body(body).unwrap();
        let answer = client.clone().send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap()["code"].clone())
    };
    for empty in [vec![], vec![Bytes::new()], vec![Bytes::new(), Bytes::new()]] {
        assert_eq!(post("/v1/admin/snapshot", empty).await, (501, json!("no_cold_tier")));
    }
    let something = vec![Bytes::new(), Bytes::from_static(b"{}")];
    assert_eq!(post("/v1/admin/snapshot", something).await, (415, json!("unsupported_media_type")));
    let large = vec![Bytes::from(vec![b'x'; 16 * 1024]); 40];
    assert_eq!(post("/nowhere", large.clone()).await, (404, json!("not_found")));
    assert_eq!(post("/v1/heartbeat", large).await, (413, json!("body_too_large")));
}

#[timed_test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let old = certify(folder.path());
    let node = secured(&folder);
    until_ready(&node, &old).await;
    let stream = connect(&node, &old, b"http/1.1").await.unwrap();
    let (mut client, served) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(served);

    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    signal(node.pid(), "HUP");
    let new = certify(folder.path());
    eventually("the new certificate is served", async || {
        signal(node.pid(), "HUP");
        connect(&node, &new, b"h2").await.is_ok()
    })
    .await;
    assert!(connect(&node, &old, b"h2").await.is_err());
    // Open connections aren't disturbed.
    let answer = client.send_request(request("GET", "/healthz", &Value::Null)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn files_that_cant_be_used_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let cert = folder.path().join("cert.pem").display().to_string();
    for (flags, named) in [
        (vec!["--tls-cert", &cert], "`tls_cert`"),
        (
            vec!["--tls-cert", &cert, "--tls-key", "/nowhere/key.pem"],
            "`tls_key` = \"/nowhere/key.pem\"",
        ),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], "`tls_key`"),
    ] {
        let started = housecount()
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "memory:", "--cold", "none"])
            .args(&flags)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(
            !started.status.success()
                && printed.contains(named)
                && printed.trim().lines().count() == 1,
            "{printed}"
        );
    }
}

/// `housecount load --url https://` with a client that trusts the certificates in `SSL_CERT_FILE`.
#[timed_test(flavor = "multi_thread")]
async fn load_speaks_tls_over_http_and_websockets() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let node = secured(&folder);
    let url = format!("https://localhost:{}", port(&node).rsplit(':').next().unwrap());
    let load = async |transport: &str, trusted: &Path| {
        let mut command = housecount();
        command.args([
            "load",
            "--url",
            &url,
            "--viewers",
            "20",
            "--interval",
            "500ms",
            "--duration",
            "2s",
            "--json",
        ]);
        command.args(["--transport", transport]).env("SSL_CERT_FILE", trusted);
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (
            ended.status.code(),
            String::from_utf8(ended.stdout).unwrap(),
            String::from_utf8(ended.stderr).unwrap(),
        )
    };
    for transport in ["http", "ws"] {
        let (code, report, printed) = load(transport, &folder.path().join("cert.pem")).await;
        let report: Value =
            serde_json::from_str(&report).unwrap_or_else(|_| panic!("{transport}: {printed}"));
        assert_eq!((code, &report["failed"]), (Some(0), &json!(0)), "{transport}: {report:#}");
        assert_eq!(report["expectedViewers"], report["countedViewers"], "{transport}: {report:#}");
    }
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    let (code, _, printed) = load("http", &other.path().join("cert.pem")).await;
    assert_ne!(code, Some(0));
    assert!(printed.contains("certificate"), "{printed}");
}
