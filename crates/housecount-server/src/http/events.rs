//! Events of stages and counts, and how their webhooks fare.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::ids::StageId;
use housecount_core::time::UnixMs;
use housecount_engine::internals::IngestError;
use housecount_events::event::{AudienceEvent, EventBody, EventType};
use housecount_events::service::EventService;
use housecount_events::webhooks::progress::WebhookProgress;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, ValidQuery, bad_query};
use crate::node::Node;

/// Value of `after` for the end of all events.
const LATEST: &str = "latest";

/// Parameters of a list of events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The last answer's `next`, to continue after it; `latest` for none but later ones. The oldest
    /// events that are kept come first if it is not given.
    after: Option<String>,
    /// Only events of this stage.
    stage: Option<String>,
    /// Only events of this type, such as `stage.opened`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Largest number of events: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
}

/// Events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventsResponse)]
#[serde(rename_all = "camelCase")]
pub struct EventsBody {
    /// The events. There may be none although later ones match: continue while `atEnd` is false.
    events: Vec<EventBody>,
    /// Value of `after` for the events that follow.
    next: String,
    /// Whether all events that are stored so far have been looked at.
    at_end: bool,
    /// Number of the first event that is still kept; present if events before it have expired
    /// unseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_kept: Option<u64>,
}

fn service(node: &Node) -> Result<&EventService, Problem> {
    node.engine.cold.as_ref().ok_or_else(Problem::no_cold)?;
    node.events.as_deref().ok_or_else(Problem::no_events)
}

/// Events that a caller wants.
#[derive(Debug, Default)]
struct EventFilter {
    stage: Option<StageId>,
    kind: Option<EventType>,
}

impl EventFilter {
    fn parse(query: &EventsQuery) -> Result<EventFilter, Problem> {
        let kind = query.kind.as_deref().map(|name| {
            EventType::parse(name).ok_or_else(|| {
                let known = EventType::ALL.map(EventType::name).join(", ");
                bad_query(format!("type={name} is not a type of events; they are {known}"))
            })
        });
        let stage = query.stage.as_deref().map(StageId::parse).transpose()?;
        Ok(EventFilter { stage, kind: kind.transpose()? })
    }

    fn wants(&self, event: &AudienceEvent) -> bool {
        let is_stage = self
            .stage
            .as_ref()
            .is_none_or(|stage| event.stage().is_some_and(|of| **of == *stage.as_str()));
        is_stage && self.kind.is_none_or(|kind| kind == event.kind())
    }
}

/// Lists events of stages and counts, oldest first.
///
/// No event is missing, and none comes twice: continue with `next` until `atEnd`, and again later.
/// Events are kept for 30 days.
#[utoipa::path(get, path = "/v1/events", operation_id = "listEvents", tag = "operators",
    params(EventsQuery),
    responses((status = 200, body = EventsBody),
        (status = 400, description = "invalid query, or an unknown cursor", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none), or no events (events = false)",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(node): State<Arc<Node>>,
    ValidQuery(query): ValidQuery<EventsQuery>,
) -> Result<Json<EventsBody>, Problem> {
    let (service, filter) = (service(&node)?, EventFilter::parse(&query)?);
    let limit = PageQuery::new(query.limit, None).limit()?;
    let after = match query.after.as_deref() {
        None => 0,
        Some(LATEST) => {
            let next = service.chain.last().await?.to_string();
            return Ok(Json(EventsBody {
                events: Vec::new(),
                next,
                at_end: true,
                first_kept: None,
            }));
        }
        Some(cursor) => cursor.parse().map_err(|_| {
            bad_query(format!("after={cursor} is not a `next` of an earlier answer"))
        })?,
    };
    let now = node.engine.clock.now().ok_or(IngestError::Starting)?;
    let page = service.chain.read(after, limit, now, |event| filter.wants(event)).await?;
    if page.last > 0 && after > page.last {
        return Err(bad_query(format!(
            "after={after} is beyond the last event, {}; events began again, so start without \
             `after`",
            page.last
        )));
    }
    let events: Vec<EventBody> = page.events.iter().map(AudienceEvent::body).collect();
    let (next, at_end) = (page.reached.to_string(), page.reached >= page.last);
    let first_kept = page.first_kept.filter(|_| after > 0);
    Ok(Json(EventsBody { events, next, at_end, first_kept }))
}

/// State of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// No event was delivered yet.
    New,
    /// The last delivery was accepted.
    Working,
    /// The last delivery failed.
    Failing,
}

/// A webhook, and how its deliveries fare.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody {
    /// Name of the webhook.
    name: String,
    /// Scheme, host and port of its address.
    url: String,
    /// State of its deliveries.
    state: WebhookState,
    /// Events that wait, at most 1,000.
    pending: u64,
    /// Later events that were not looked at yet.
    unread: u64,
    /// Time of the oldest event that waits, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at: Option<u64>,
    /// Events that it has accepted.
    delivered: u64,
    /// Events that were given up after a day.
    given_up: u64,
    /// Time of the last accepted delivery, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<u64>,
    /// Time of the first failed delivery since then, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<u64>,
    /// Reason of the last failed delivery since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl WebhookBody {
    fn new(name: &str, url: String, progress: Option<WebhookProgress>, last: u64) -> WebhookBody {
        let is_new = progress.is_none();
        let progress = progress.unwrap_or_default();
        let time = |at: UnixMs| Some(at.0).filter(|at| *at > 0);
        let failing_since = time(progress.failing_since);
        let state = match failing_since {
            Some(_) => WebhookState::Failing,
            None if progress.delivered > 0 => WebhookState::Working,
            None => WebhookState::New,
        };
        WebhookBody {
            name: name.to_string(),
            url,
            state,
            pending: progress.waiting.len() as u64,
            unread: if is_new { 0 } else { last.saturating_sub(progress.read_to) },
            oldest_at: time(progress.oldest_at),
            delivered: progress.delivered,
            given_up: progress.given_up,
            accepted_at: time(progress.accepted_at),
            failing_since,
            error: Some(progress.error).filter(|error| !error.is_empty()),
        }
    }
}

/// Webhooks of a node's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhooksResponse)]
pub struct WebhooksBody {
    /// The webhooks, in the order of the settings.
    webhooks: Vec<WebhookBody>,
}

/// Lists the webhooks, and how their deliveries fare.
///
/// One node delivers. Its figures are stored, so every node shows them. They are ten seconds old at
/// most.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "operators",
    responses((status = 200, body = WebhooksBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none), or no events (events = false)",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn webhooks(State(node): State<Arc<Node>>) -> Result<Json<WebhooksBody>, Problem> {
    let service = service(&node)?;
    let last = if service.webhooks.is_empty() { 0 } else { service.chain.last().await? };
    let mut webhooks = Vec::with_capacity(service.webhooks.len());
    for webhook in &service.webhooks {
        let progress = service.progress(webhook).await?;
        webhooks.push(WebhookBody::new(&webhook.name, webhook.shown_url(), progress, last));
    }
    Ok(Json(WebhooksBody { webhooks }))
}
