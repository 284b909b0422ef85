//! Counts: their common shape, the totals, and the stream of counts that change.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use housecount_access::admission::AddressConnection;
use housecount_access::auth::end_of;
use housecount_core::ids::StageId;
use housecount_core::limits::{
    CONFIG_LIST_MS_MAX, LIVE_EVERY_MS_MAX, LIVE_EVERY_MS_MIN, SUBSCRIPTION_STAGES_MAX,
};
use housecount_engine::internals::{CountEncoding, SeenCounts, SubscriptionFilter};
use housecount_engine::{CountStatus, WithStatus};
use housecount_wire::timeouts::EndlessAnswer;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::sleep;
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::auth::{CountsGrant, authorize_counts};
use super::by_label::WantedLabel;
use super::error::{Problem, ProblemBody};
use super::extract::{ValidQuery, bad_query, duration_ms};
use super::live_by_label::{self, LabelCountsBody};
use super::query::{self, Parameter};
use crate::node::Node;

/// Status of a count: how far it can be trusted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = CountStatus)]
#[serde(rename_all = "camelCase")]
pub struct CountStatusBody {
    /// Time of the count, Unix ms on the log's clock.
    pub(super) as_of: u64,
    /// Whether the count certainly includes all viewers. If not, it may be low.
    pub(super) complete: bool,
    /// Whether an earlier count stands in after a loss. Never for longer than one ttl.
    pub(super) recovering: bool,
}

impl From<CountStatus> for CountStatusBody {
    fn from(status: CountStatus) -> CountStatusBody {
        CountStatusBody {
            as_of: status.as_of.0,
            complete: status.complete,
            recovering: status.recovering,
        }
    }
}

/// The count over all stages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsResponse)]
pub struct TotalsBody {
    /// Distinct online viewers; a viewer on two stages counts once.
    viewers: u64,
    /// Online sessions.
    sessions: u64,
    /// Stages with a viewer online.
    stages: u64,
    /// Viewers by label; only with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    by: Option<LabelCountsBody>,
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Parameters of a count.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ByLabelQuery {
    /// Key of a label, such as country. Adds the viewers of each of its values.
    pub(super) by: Option<String>,
}

/// Shows how many viewers are online on all stages.
#[utoipa::path(get, path = "/v1/stats", operation_id = "showStats", tag = "operators",
    params(ByLabelQuery),
    responses((status = 200, body = TotalsBody),
        (status = 400, description = "unknown query parameter or label", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn stats(
    State(node): State<Arc<Node>>,
    ValidQuery(query): ValidQuery<ByLabelQuery>,
) -> Result<Json<TotalsBody>, Problem> {
    // A limited key gets no answer here, so no value is hidden.
    let wanted = WantedLabel::parse(&node, &StageAccess::default(), query.by.as_ref())?;
    let hub = &node.engine.hub;
    let WithStatus { value: ((count, stages), by), status } = match wanted {
        None => hub.totals().map(|totals| (totals, None)),
        Some(wanted) => hub
            .totals_by_label(&wanted.key, wanted.floor)
            .map(|(totals, counts)| (totals, Some(LabelCountsBody::new(&wanted, counts)))),
    };
    Ok(Json(TotalsBody {
        viewers: count.viewers,
        sessions: count.sessions,
        stages,
        by,
        status: status.into(),
    }))
}

/// Parameters of a subscriber's query. Two tokens are refused as two credentials are (`auth`).
const LIVE_PARAMETERS: [Parameter; 6] = [
    Parameter::repeatable("stage"),
    Parameter::once("totals"),
    Parameter::repeatable("token"),
    Parameter::once("every"),
    Parameter::once("fields"),
    Parameter::once("by"),
];

/// A subscriber's wishes.
#[derive(Debug, PartialEq, Eq)]
struct LiveQuery {
    filter: SubscriptionFilter,
    encoding: CountEncoding,
    every: Duration,
    /// Key of a label whose counts are sent, too.
    by: Option<String>,
}

impl LiveQuery {
    /// Whether the subscriber asks for counts of named stages only, as players do.
    fn is_for_players(&self) -> bool {
        let named = matches!(self.filter, SubscriptionFilter::Stages { with_totals: false, .. });
        named && self.by.is_none()
    }
}

/// Parses a subscriber's query.
fn parse_query(query: &str) -> Result<LiveQuery, Problem> {
    query::check(query, &LIVE_PARAMETERS)?;
    let (mut stages, mut with_totals) = (Vec::new(), false);
    let (mut encoding, mut every, mut by) = (CountEncoding::Full, Duration::ZERO, None);
    for pair in query::pairs(query) {
        let (name, value) = pair?;
        match (&*name, &*value) {
            ("stage", stage) => stages.push(StageId::parse(stage)?),
            ("totals", "true") => with_totals = true,
            ("totals", "false") => {}
            ("totals", _) => return Err(bad_query(format!("totals={value} is not true or false"))),
            ("every", text) => every = parse_every(text)?,
            ("by", key) => by = Some(key.to_string()),
            ("fields", "viewers") => encoding = CountEncoding::Brief,
            ("fields", _) => return Err(bad_query(format!("fields={value} is not viewers"))),
            _ => {}
        }
    }
    stages.sort_unstable();
    stages.dedup();
    if stages.len() > SUBSCRIPTION_STAGES_MAX {
        let detail = format!(
            "{} stages; at most {SUBSCRIPTION_STAGES_MAX} can be named; name none to follow all",
            stages.len()
        );
        return Err(bad_query(detail));
    }
    if by.is_some() && stages.is_empty() && !with_totals {
        return Err(bad_query(
            "by needs stages or totals=true; counts of all stages have no labels",
        ));
    }
    let filter = if stages.is_empty() {
        SubscriptionFilter::All { with_totals }
    } else {
        SubscriptionFilter::Stages { stages, with_totals }
    };
    if encoding == CountEncoding::Brief
        && matches!(&filter, SubscriptionFilter::Stages { stages, .. } if stages.len() == 1)
    {
        encoding = CountEncoding::Unnamed;
    }
    Ok(LiveQuery { filter, encoding, every, by })
}

/// Parses the least time between two messages of a stage.
fn parse_every(text: &str) -> Result<Duration, Problem> {
    let ms = duration_ms("every", text, LIVE_EVERY_MS_MIN)?;
    if ms > LIVE_EVERY_MS_MAX {
        let max_s = LIVE_EVERY_MS_MAX / 1_000;
        return Err(bad_query(format!("every={text} is too long; at most {max_s}s")));
    }
    Ok(Duration::from_millis(ms))
}

/// Whether a query asks for named stages only, as players do. All stages, totals and labels are for
/// operators.
pub(super) fn names_stages(query: &str) -> bool {
    // Any caller may read the error of a wrong query.
    parse_query(query).map_or(true, |wanted| wanted.is_for_players())
}

/// Checks that the caller may watch all that it asks for.
async fn check(node: &Node, request: &Parts, wanted: &LiveQuery) -> Result<CountsGrant, Problem> {
    match &wanted.filter {
        SubscriptionFilter::Stages { stages, with_totals: false } => {
            let mut granted = CountsGrant::default();
            for stage in stages {
                // The same request has the same credential each time.
                granted = authorize_counts(node, request, Some(stage)).await?;
            }
            if wanted.by.is_some() && !granted.is_operator {
                granted = authorize_counts(node, request, None).await?;
            }
            Ok(granted)
        }
        SubscriptionFilter::Stages { .. } | SubscriptionFilter::All { .. } => {
            authorize_counts(node, request, None).await
        }
    }
}

/// Streams counts as they change, as Server-Sent Events.
///
/// `event: count` has a stage's name and count. It is sent at once, then after each change, at most
/// once per second and stage, and less often where many follow it. With `totals=true`,
/// `event: totals` has the answer of `/v1/stats`. With `by`, `event: labels` has the viewers of
/// each named stage by label, and of all stages with `totals=true`. Comments in between keep the
/// connection open.
///
/// A client that reconnects with `Last-Event-ID` gets the changes since then. If these are not
/// known, it gets `event: reset`, and must discard all earlier counts. The stream ends when its
/// token or key has expired or was removed. Then `event: end` has the reason (`code`:
/// `token_expired`, `key_removed`, `link_expired` or `outside_key`).
#[utoipa::path(get, path = "/v1/live", operation_id = "streamCounts", tag = "operators",
    params(("stage" = Option<Vec<String>>, Query, description = "stage to follow, repeatable up to 100 times; all stages if absent"),
        ("token" = Option<String>, Query, description = "viewer's token, for clients that can't send headers"),
        ("totals" = Option<bool>, Query, description = "whether to send the totals of all stages too"),
        ("every" = Option<String>, Query, description = "least time between two events of a stage, 1s to 10s"),
        ("fields" = Option<String>, Query, description = "`viewers` for short data: no sessions, and only what differs from a complete count; no stage either, if the call names one"),
        ("by" = Option<String>, Query, description = "key of a label: sends viewers by value too"),
        ("Last-Event-ID" = Option<String>, Header, description = "id of the last event received")),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn live(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Problem> {
    let (mut request, _) = request.into_parts();
    let query = parse_query(request.uri.query().unwrap_or_default())?;
    let granted = check(&node, &request, &query).await?;
    let labels = WantedLabel::parse(&node, &granted.access, query.by.as_ref())?;
    let last = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let full = || {
        Problem::unavailable(
            "overloaded",
            "too many stages without viewers are followed on this node",
        )
    };
    // A call without a key for named stages is a player's, also on a node without keys.
    let is_operator = granted.is_operator || !query.is_for_players();
    let LiveQuery { filter, encoding, every, .. } = query;
    // The counts by label end with the others.
    let (open, closed) = oneshot::channel::<Infallible>();
    let labels = labels.map(|wanted| {
        live_by_label::events(node.clone(), wanted, followed(&filter), every).take_until(closed)
    });
    let labels = stream::iter(labels).flatten();
    let ended = end_of_grant(&node, granted, &filter);
    let mut subscription = node.engine.live.subscribe(filter, last).ok_or_else(full)?;
    subscription.set_pace(encoding, every);
    if !is_operator {
        let node = node.clone();
        subscription.set_seen(SeenCounts::new(move |stage| node.public_counts.for_players(stage)));
    }
    let connection = request.extensions.remove::<Arc<AddressConnection>>();
    let events = stream::unfold(Some((subscription, ended, (connection, open))), async |open| {
        let (mut subscription, mut ended, connection) = open?;
        tokio::select! {
            biased;
            why = end_of(&mut ended) => Some((Ok::<_, Infallible>(end(&why)), None)),
            text = subscription.next() => {
                text.map(|text| (Ok(text), Some((subscription, ended, connection))))
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Without it, nginx buffers answers.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = stream::select(events, labels);
    Ok((Extension(EndlessAnswer), headers, Body::from_stream(events)).into_response())
}

/// Returns the stages whose counts by label are sent, with `None` for all together.
fn followed(filter: &SubscriptionFilter) -> Vec<Option<StageId>> {
    let (stages, with_totals) = match filter {
        SubscriptionFilter::Stages { stages, with_totals } => (&stages[..], *with_totals),
        SubscriptionFilter::All { with_totals } => (&[][..], *with_totals),
    };
    let totals = with_totals.then_some(None);
    stages.iter().cloned().map(Some).chain(totals).collect()
}

/// Returns the wait for the end of a permission to watch stages, with its reason; `None` if it has
/// no end. A key limited to a customer follows a stage only while it is that customer's.
fn end_of_grant(
    node: &Arc<Node>,
    CountsGrant { credential, access, .. }: CountsGrant,
    filter: &SubscriptionFilter,
) -> Option<Pin<Box<dyn Future<Output = Problem> + Send>>> {
    let credential = credential?;
    let stages = match filter {
        SubscriptionFilter::Stages { stages, .. } if access.customer().is_some() => stages.clone(),
        SubscriptionFilter::Stages { .. } | SubscriptionFilter::All { .. } => Vec::new(),
    };
    let node = node.clone();
    Some(Box::pin(async move {
        tokio::select! {
            biased;
            why = node.auth.ended(&credential) => why.into(),
            left = left_customer(&node, &access, &stages) => Problem::outside_key(&left),
        }
    }))
}

/// Waits until one of the stages is not the customer's any more. While the cold tier is
/// unavailable, each keeps the customer that it had.
async fn left_customer(node: &Node, access: &StageAccess, stages: &[StageId]) -> StageId {
    if stages.is_empty() {
        return std::future::pending().await;
    }
    loop {
        sleep(Duration::from_millis(CONFIG_LIST_MS_MAX)).await;
        for stage in stages {
            if let Ok(false) = access.covers_now(node, stage).await {
                return stage.clone();
            }
        }
    }
}

/// Returns the last event of a stream whose credential has ended.
fn end(problem: &Problem) -> Bytes {
    let data = serde_json::json!({ "code": problem.code(), "detail": problem.detail() });
    format!("event: end\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_every_ms_max_bounds_a_wish() {
        let pace = |query: &str| {
            parse_query(query).map(|wanted| (wanted.encoding, wanted.every.as_millis() as u64))
        };
        assert_eq!(pace("stage=a"), Ok((CountEncoding::Full, 0)));
        assert_eq!(pace("every=1s&fields=viewers"), Ok((CountEncoding::Brief, LIVE_EVERY_MS_MIN)));
        let of_one = pace("stage=a&stage=a&fields=viewers");
        assert_eq!(of_one, Ok((CountEncoding::Unnamed, 0)));
        assert_eq!(pace("every=10s"), Ok((CountEncoding::Full, LIVE_EVERY_MS_MAX)));
        let why = parse_query("every=11s").unwrap_err();
        assert_eq!(why.detail(), "every=11s is too long; at most 10s");
    }

    #[test]
    fn subscription_stages_max_bounds_what_is_named() {
        let stage = |id: &str| StageId::parse(id).unwrap();
        let all = |with_totals| SubscriptionFilter::All { with_totals };
        let some = |stages, with_totals| SubscriptionFilter::Stages { stages, with_totals };
        let parse_filter = |query: &str| parse_query(query).map(|wanted| wanted.filter);
        assert_eq!(parse_filter(""), Ok(all(false)));
        assert_eq!(parse_filter("totals=true&token=x"), Ok(all(true)));
        assert_eq!(
            parse_filter("stage=b&stage=a%2F1&stage=b&totals=false"),
            Ok(some(vec![stage("a/1"), stage("b")], false))
        );
        for bad in [
            "stage=",
            "stage=a%20b",
            "stage[]=a",
            "totals=1",
            "totals=true&totals=true",
            "stage=%zz",
            "every=500ms",
            "every=11s",
            "every=1",
            "every=1s&every=1s",
            "by=country",
            "stage=a&by=country&by=device",
            "fields=",
            "fields=sessions",
        ] {
            assert!(
                parse_filter(bad).is_err() && names_stages(bad),
                "{bad}: players get the error"
            );
        }
        let named =
            |count: usize| (0..count).map(|n| format!("stage=s{n}")).collect::<Vec<_>>().join("&");
        assert!(parse_filter(&named(SUBSCRIPTION_STAGES_MAX)).is_ok());
        assert!(
            parse_filter(&named(SUBSCRIPTION_STAGES_MAX + 1))
                .unwrap_err()
                .detail()
                .contains("name none")
        );
    }
}
