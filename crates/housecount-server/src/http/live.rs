//! Counts: their common shape, the totals, and the stream of counts that change.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::stream;
use housecount_access::admission::AddressConnection;
use housecount_access::auth::{Credential, CredentialEnd, end_of};
use housecount_core::fold::Count;
use housecount_core::ids::StageId;
use housecount_core::limits::SUBSCRIPTION_STAGES_MAX;
use housecount_engine::internals::SubscriptionFilter;
use housecount_engine::{CountStatus, WithStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::authorize_counts;
use super::error::{Problem, ProblemBody};
use super::extract::bad_query;
use super::query::{self, Parameter};
use super::timeouts::EndlessAnswer;
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

/// A stage's count.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Count)]
pub struct CountBody {
    /// Distinct online viewers.
    pub(super) viewers: u64,
    /// Online sessions.
    pub(super) sessions: u64,
    #[serde(flatten)]
    pub(super) status: CountStatusBody,
}

impl From<WithStatus<Count>> for CountBody {
    fn from(answer: WithStatus<Count>) -> CountBody {
        let Count { viewers, sessions } = answer.value;
        CountBody { viewers, sessions, status: answer.status.into() }
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
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Shows how many viewers are online on all stages.
#[utoipa::path(get, path = "/v1/stats", operation_id = "showStats", tag = "operators",
    responses((status = 200, body = TotalsBody),
        (status = 400, description = "unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn stats(State(node): State<Arc<Node>>) -> Json<TotalsBody> {
    let WithStatus { value: (count, stages), status } = node.engine.hub.totals();
    Json(TotalsBody {
        viewers: count.viewers,
        sessions: count.sessions,
        stages,
        status: status.into(),
    })
}

/// Parameters of a subscriber's query. Two tokens are refused as two credentials are (`auth`).
const LIVE_PARAMETERS: [Parameter; 3] =
    [Parameter::repeatable("stage"), Parameter::once("totals"), Parameter::repeatable("token")];

/// Parses a subscriber's query: any number of `stage`, and `totals`.
fn parse_filter(query: &str) -> Result<SubscriptionFilter, Problem> {
    query::check(query, &LIVE_PARAMETERS)?;
    let (mut stages, mut with_totals) = (Vec::new(), false);
    for pair in query::pairs(query) {
        let (name, value) = pair?;
        match (&*name, &*value) {
            ("stage", stage) => stages.push(StageId::parse(stage)?),
            ("totals", "true") => with_totals = true,
            ("totals", "false") => {}
            ("totals", _) => return Err(bad_query(format!("totals={value} is not true or false"))),
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
    Ok(if stages.is_empty() {
        SubscriptionFilter::All { with_totals }
    } else {
        SubscriptionFilter::Stages { stages, with_totals }
    })
}

/// Whether a query asks for named stages only, as players do. All stages and totals are for
/// operators.
pub(super) fn names_stages(query: &str) -> bool {
    // Any caller may read the error of a wrong query.
    !matches!(
        parse_filter(query),
        Ok(SubscriptionFilter::All { .. } | SubscriptionFilter::Stages { with_totals: true, .. })
    )
}

/// Checks that the caller may watch all that it asks for. Returns the credential, with which the
/// stream must end.
async fn check(
    node: &Node,
    request: &Parts,
    wanted: &SubscriptionFilter,
) -> Result<Option<Credential>, Problem> {
    match wanted {
        SubscriptionFilter::Stages { stages, with_totals: false } => {
            let mut credential = None;
            for stage in stages {
                // The same request has the same credential each time.
                credential = authorize_counts(node, request, Some(stage.as_str())).await?;
            }
            Ok(credential)
        }
        SubscriptionFilter::Stages { .. } | SubscriptionFilter::All { .. } => {
            authorize_counts(node, request, None).await
        }
    }
}

/// Streams counts as they change, as Server-Sent Events.
///
/// `event: count` has a stage's name and count. It is sent at once, then after each change, at most
/// once per second and stage. With `totals=true`, `event: totals` has the answer of `/v1/stats`.
/// Comments in between keep the connection open.
///
/// A client that reconnects with `Last-Event-ID` gets the changes since then. If these are not
/// known, it gets `event: reset`, and must discard all earlier counts. The stream ends when its
/// token or key has expired or was removed. Then `event: end` has the reason (`code`:
/// `token_expired` or `key_removed`).
#[utoipa::path(get, path = "/v1/live", operation_id = "streamCounts", tag = "operators",
    params(("stage" = Option<Vec<String>>, Query, description = "stage to follow, repeatable up to 100 times; all stages if absent"),
        ("token" = Option<String>, Query, description = "viewer's token, for clients that can't send headers"),
        ("totals" = Option<bool>, Query, description = "whether to send the totals of all stages too"),
        ("Last-Event-ID" = Option<String>, Header, description = "id of the last event received")),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn live(State(node): State<Arc<Node>>, request: Request) -> Result<Response, Problem> {
    let (mut request, _) = request.into_parts();
    let wanted = parse_filter(request.uri.query().unwrap_or_default())?;
    let credential = check(&node, &request, &wanted).await?;
    let last = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let full = || {
        Problem::unavailable(
            "overloaded",
            "too many stages without viewers are followed on this node",
        )
    };
    let subscription = node.engine.live.subscribe(wanted, last).ok_or_else(full)?;
    let ended = credential.map(|credential| {
        let node = node.clone();
        Box::pin(async move { node.auth.ended(&credential).await })
    });
    let connection = request.extensions.remove::<Arc<AddressConnection>>();
    let events = stream::unfold(Some((subscription, ended, connection)), async |open| {
        let (mut subscription, mut ended, connection) = open?;
        tokio::select! {
            biased;
            why = end_of(&mut ended) => Some((Ok::<_, Infallible>(end(why)), None)),
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
    Ok((Extension(EndlessAnswer), headers, Body::from_stream(events)).into_response())
}

/// Returns the last event of a stream whose credential has ended.
fn end(why: CredentialEnd) -> Bytes {
    let problem = Problem::from(why);
    let data = serde_json::json!({ "code": problem.code(), "detail": problem.detail() });
    format!("event: end\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_stages_max_bounds_what_is_named() {
        let stage = |id: &str| StageId::parse(id).unwrap();
        let all = |with_totals| SubscriptionFilter::All { with_totals };
        let some = |stages, with_totals| SubscriptionFilter::Stages { stages, with_totals };
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
