//! A receiver of webhooks that answers as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use parking_lot::Mutex;
use ring::hmac;
use serde_json::Value;
use tokio::net::TcpListener;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A delivery as it came.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub body: Value,
}

#[derive(Debug)]
struct Shared {
    /// Status of the answers; 0 for none at all.
    status: AtomicU16,
    location: String,
    deliveries: Mutex<Vec<Delivery>>,
}

/// A receiver on a port of its own.
pub struct Receiver {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Receiver {
    pub async fn start(status: u16) -> Receiver {
        Receiver::start_at(0, status, "").await
    }

    pub async fn start_at(port: u16, status: u16, location: &str) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            status: AtomicU16::new(status),
            location: location.to_string(),
            deliveries: Mutex::default(),
        });
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { port, shared }
    }

    /// Settings of a webhook that leads here.
    pub fn webhook(&self, name: &str, more: &str) -> String {
        let url = format!("http://127.0.0.1:{}/hook", self.port);
        format!(
            "{{ name = \"{name}\", url = \"{url}\", secret = \"{SECRET}\", private = true{more} }}"
        )
    }

    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Accepted deliveries, each event once.
    pub fn accepted(&self) -> Vec<Delivery> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.shared.deliveries.lock().clone();
        all.into_iter().filter(|delivery| seen.insert(delivery.id.clone())).collect()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let id = verify(&headers, &body);
    let status = shared.status.load(Ordering::SeqCst);
    if status == 0 {
        std::future::pending::<()>().await;
    }
    if status < 300 {
        let body = serde_json::from_slice(&body).unwrap();
        shared.deliveries.lock().push(Delivery { id, body });
    }
    let status = StatusCode::from_u16(status).unwrap();
    match shared.location.is_empty() {
        true => status.into_response(),
        false => (status, [(header::LOCATION, shared.location.clone())]).into_response(),
    }
}

/// Verifies a delivery as Standard Webhooks describes, and returns its id.
fn verify(headers: &HeaderMap, body: &[u8]) -> String {
    let header = |name: &str| headers[name].to_str().unwrap().to_string();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age_s =
        housecount_backend::clock::wall_clock().0 / 1_000 - timestamp.parse::<u64>().unwrap();
    assert!(age_s < 300, "{age_s}");
    let bytes = BASE64.decode(&SECRET.as_bytes()["whsec_".len()..]).unwrap();
    let signature = header("webhook-signature");
    let signature = BASE64.decode(signature.strip_prefix("v1,").unwrap().as_bytes()).unwrap();
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), &signed, &signature).unwrap();
    id
}
