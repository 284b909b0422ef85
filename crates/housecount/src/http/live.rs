//! Counts: the shape that every one of them has, the totals, and the stream of those that change.

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
use housecount_core::fold::Count;
use housecount_core::ids::StageId;
use housecount_core::limits::SUBSCRIPTION_STAGES_MAX;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::authorize_counts;
use super::error::{Problem, ProblemBody};
use super::extract::bad_query;
use super::query::{self, Parameter};
use super::timeouts::EndlessAnswer;
use crate::admission::AddressConnection;
use crate::auth::{Credential, CredentialEnd, end_of};
use crate::hub::{CountStatus, WithStatus};
use crate::live::SubscriptionFilter;
use crate::node::Node;

/// How far an answer can be trusted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Standing)]
#[serde(rename_all = "camelCase")]
pub struct CountStatusBody {
    /// When it was so: Unix ms on the log's clock.
    pub(super) as_of: u64,
    /// Whether everybody is counted for sure. If not, the count may be low.
    pub(super) complete: bool,
    /// Whether it is bridged from what was known before a loss. Never longer than one ttl.
    pub(super) recovering: bool,
}

impl From<CountStatus> for CountStatusBody {
    fn from(standing: CountStatus) -> CountStatusBody {
        CountStatusBody {
            as_of: standing.as_of.0,
            complete: standing.complete,
            recovering: standing.recovering,
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
    pub(super) standing: CountStatusBody,
}

impl From<WithStatus<Count>> for CountBody {
    fn from(answer: WithStatus<Count>) -> CountBody {
        let Count { viewers, sessions } = answer.value;
        CountBody { viewers, sessions, standing: answer.standing.into() }
    }
}

/// The count over all stages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsResponse)]
pub struct TotalsBody {
    /// Distinct online viewers: one on two stages is one.
    viewers: u64,
    /// Online sessions.
    sessions: u64,
    /// Stages with somebody online.
    stages: u64,
    #[serde(flatten)]
    standing: CountStatusBody,
}

/// How many are online altogether.
#[utoipa::path(get, path = "/v1/stats", operation_id = "showStats", tag = "operators",
    responses((status = 200, body = TotalsBody),
        (status = 400, description = "an unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn stats(State(node): State<Arc<Node>>) -> Json<TotalsBody> {
    let WithStatus { value: (count, stages), standing } = node.hub.totals();
    Json(TotalsBody {
        viewers: count.viewers,
        sessions: count.sessions,
        stages,
        standing: standing.into(),
    })
}

/// The parameters of a subscriber's query. Two tokens are refused as two credentials are (`auth`).
const LIVE_PARAMETERS: [Parameter; 3] =
    [Parameter::repeatable("stage"), Parameter::once("totals"), Parameter::repeatable("token")];

/// What a subscriber's query asks for: `stage`, as often as wanted, and `totals`.
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
            "{} stages; at most {SUBSCRIPTION_STAGES_MAX} can be named: name none to hear of all",
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

/// Whether a query names stages and wants nothing else, as players' do; all stages and totals are
/// the operator's.
pub(super) fn names_stages(query: &str) -> bool {
    // What makes no sense is told so, whoever asks.
    !matches!(
        parse_filter(query),
        Ok(SubscriptionFilter::All { .. } | SubscriptionFilter::Stages { with_totals: true, .. })
    )
}

/// That whoever asks may watch all that is wanted; returns what the watching lasts as long as.
async fn check(
    node: &Node,
    request: &Parts,
    wanted: &SubscriptionFilter,
) -> Result<Option<Credential>, Problem> {
    match wanted {
        SubscriptionFilter::Stages { stages, with_totals: false } => {
            let mut credential = None;
            for stage in stages {
                // The same request has the same one each time.
                credential = authorize_counts(node, request, Some(stage.as_str())).await?;
            }
            Ok(credential)
        }
        SubscriptionFilter::Stages { .. } | SubscriptionFilter::All { .. } => {
            authorize_counts(node, request, None).await
        }
    }
}

/// Counts as they change: Server-Sent Events.
///
/// `event: count` with a stage's count and its name, at once and then when it has changed, at most
/// once a second a stage; with `totals=true` also `event: totals`, as `/v1/stats` answers. Comments
/// in between keep the connection open. Who comes back with `Last-Event-ID` is told what has
/// changed since, or `event: reset` if that can't be told: all that was heard before is to be
/// forgotten then. When the token or key that it was opened with is no longer good, `event: end`
/// says why (`code`: `token_expired` or `key_removed`), and the stream ends.
#[utoipa::path(get, path = "/v1/live", operation_id = "streamCounts", tag = "operators",
    params(("stage" = Option<Vec<String>>, Query, description = "which stage; may be repeated, at most 100 times; all if not given"),
        ("token" = Option<String>, Query, description = "a viewer's token, where headers can't be sent"),
        ("totals" = Option<bool>, Query, description = "also of all together"),
        ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event heard")),
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
            "too many stages that nobody watches are followed already",
        )
    };
    let subscription = node.live.subscribe(wanted, last).ok_or_else(full)?;
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
            text = subscription.next() => text.map(|text| (Ok(text), Some((subscription, ended, connection)))),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx gathers answers otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((Extension(EndlessAnswer), headers, Body::from_stream(events)).into_response())
}

/// The last event of a stream whose credential is no longer good.
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
                "{bad}: players hear what is wrong"
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
