//! One delivery of an event: its body and headers, and the call over HTTP.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_ANSWER_MS_MAX};
use housecount_engine::internals::format_time;
use housecount_net::outbound::{AnswerBounds, OutboundClient};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::signature::sign;
use super::target::Webhook;
use crate::event::{AudienceEvent, EventBody, EventType};

/// Bounds of a receiver's answer.
const BOUNDS: AnswerBounds = AnswerBounds {
    within: Duration::from_millis(WEBHOOK_ANSWER_MS_MAX),
    body_bytes_max: WEBHOOK_ANSWER_BYTES_MAX,
};

/// A signed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookMessage {
    /// Id of the event, the same for each try.
    pub id: String,
    /// Time of this try, in Unix seconds.
    pub timestamp_s: u64,
    /// Signatures of all three.
    pub signature: String,
    /// The event as JSON.
    pub body: Bytes,
}

/// Body of a delivery, in the form that Standard Webhooks recommends.
#[derive(Debug, Serialize)]
struct DeliveryBody {
    #[serde(rename = "type")]
    kind: EventType,
    timestamp: String,
    data: EventBody,
}

impl WebhookMessage {
    /// Signs an event at `timestamp_s`.
    #[must_use]
    pub fn new(webhook: &Webhook, event: &AudienceEvent, timestamp_s: u64) -> WebhookMessage {
        let body = DeliveryBody {
            kind: event.kind(),
            timestamp: format_time(event.at),
            data: event.body(),
        };
        // These types can always be serialized.
        let body = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let id = event.id();
        let signature = sign(&webhook.secrets, &id, timestamp_s, &body);
        WebhookMessage { id, timestamp_s, signature, body }
    }
}

/// Outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The receiver has answered 2xx.
    Accepted,
    /// Any other answer, or none.
    Failed {
        /// Reason of the failure.
        why: String,
        /// Time after which the receiver wants to be called again.
        retry_after_ms: Option<u64>,
    },
}

/// Sends events to one webhook.
#[async_trait]
pub trait WebhookSender: Send + Sync + fmt::Debug {
    /// Sends an event once, and waits for the answer.
    async fn send(&self, message: &WebhookMessage) -> SendOutcome;
}

/// Sends events over HTTP.
#[derive(Debug)]
pub struct HttpSender {
    client: OutboundClient,
}

impl HttpSender {
    /// Creates a sender; no connection is opened yet.
    ///
    /// # Errors
    /// Returns one line if the system's certificates can't be read.
    pub fn new(webhook: &Webhook) -> Result<HttpSender, String> {
        Ok(HttpSender { client: OutboundClient::new(webhook.url.clone(), webhook.policy)? })
    }
}

fn headers(message: &WebhookMessage) -> Result<HeaderMap, http::header::InvalidHeaderValue> {
    let timestamp = message.timestamp_s.to_string();
    let signed = [
        ("webhook-id", &message.id),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &message.signature),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = concat!("housecount/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in signed {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }
    Ok(headers)
}

#[async_trait]
impl WebhookSender for HttpSender {
    async fn send(&self, message: &WebhookMessage) -> SendOutcome {
        let failed = |why: String| SendOutcome::Failed { why, retry_after_ms: None };
        let headers = match headers(message) {
            Ok(headers) => headers,
            Err(error) => return failed(error.to_string()),
        };
        match self.client.post(headers, message.body.clone(), BOUNDS).await {
            Ok(reply) if (200..300).contains(&reply.status) => SendOutcome::Accepted,
            Ok(reply) => SendOutcome::Failed {
                why: match reply.status {
                    300..400 => format!("it answers {}, and redirects are refused", reply.status),
                    status => format!("it answers {status}"),
                },
                retry_after_ms: reply.retry_after_s.map(|s| s.saturating_mul(1_000)),
            },
            Err(why) => failed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::fold::Count;
    use housecount_core::time::UnixMs;

    use super::*;
    use crate::event::AudienceChange;
    use crate::webhooks::target::WebhookSpec;

    #[test]
    fn a_message_is_the_event_with_its_signature() {
        let webhook = Webhook::new(&WebhookSpec {
            url: "https://example.com/".into(),
            secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
            ..WebhookSpec::default()
        });
        let event = AudienceEvent {
            seq: 7,
            at: UnixMs(1_790_000_000_000),
            change: AudienceChange::Opened("s".into()),
            count: Some(Count { viewers: 1, sessions: 2 }),
        };
        let message = WebhookMessage::new(&webhook.unwrap(), &event, 1_790_000_001);
        assert_eq!(
            message.body,
            r#"{"type":"stage.opened","timestamp":"2026-09-21T14:13:20Z","data":{"id":"evt_1790000000000_7","seq":7,"type":"stage.opened","at":1790000000000,"stage":"s","viewers":1,"sessions":2,"asOf":1790000000000,"complete":true,"recovering":false}}"#
        );
        let headers = headers(&message).unwrap();
        assert_eq!(headers["webhook-id"], "evt_1790000000000_7");
        assert_eq!(headers["webhook-timestamp"], "1790000001");
        assert_eq!(headers["webhook-signature"], SIGNATURE);
    }

    /// Made with Python's `hmac`, as the specification says.
    const SIGNATURE: &str = "v1,Sd+ncOt2/wqBr1PkL9Nw8kTp27iRrajVn9igTM+XULI=";
}
