//! Counts as players and the public see them, and the public call for one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use housecount_core::fold::Count;
use housecount_core::ids::StageId;
use housecount_core::public_count::PublicCount;
use housecount_engine::WithStatus;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Problem, ProblemBody};
use super::extract::ValidQuery;
use super::live::CountStatusBody;
use crate::node::Node;

/// Time for which caches may keep a public count.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=2");

/// View that players and the public have of a stage's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublicCountChoice)]
#[serde(rename_all = "lowercase")]
pub enum PublicCountBody {
    /// The count itself.
    Exact,
    /// The count, rounded down to two significant digits.
    Rounded,
    /// No count.
    Hidden,
}

impl From<PublicCountBody> for PublicCount {
    fn from(value: PublicCountBody) -> PublicCount {
        match value {
            PublicCountBody::Exact => PublicCount::Exact,
            PublicCountBody::Rounded => PublicCount::Rounded,
            PublicCountBody::Hidden => PublicCount::Hidden,
        }
    }
}

/// A stage's count, as players see it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PlayerCount)]
pub struct PlayerCountBody {
    /// Distinct online viewers. Absent where the stage hides them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) viewers: Option<u64>,
    /// Online sessions. Absent where the stage hides them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) sessions: Option<u64>,
    #[serde(flatten)]
    pub(super) status: CountStatusBody,
}

impl PlayerCountBody {
    /// Returns what is seen of a count.
    pub(super) fn new(count: WithStatus<Count>, seen: PublicCount) -> PlayerCountBody {
        let WithStatus { value: Count { viewers, sessions }, status } = count;
        PlayerCountBody {
            viewers: seen.of(viewers),
            sessions: seen.of(sessions),
            status: status.into(),
        }
    }
}

/// Returns the number of a stage's viewers, as players see it.
pub fn viewers_for_players(node: &Node, stage: &str) -> Option<u64> {
    node.public_counts.for_players(stage).of(node.engine.hub.count(stage).value.viewers)
}

/// Parameters of the public call.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PublicCountQuery {
    /// The stage.
    stage: String,
}

/// A stage's public count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicCountResponse)]
pub struct PublicCountAnswer {
    /// The stage.
    stage: String,
    /// Distinct online viewers, rounded if the stage wants that.
    viewers: u64,
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Shows a stage's count to anyone, where the stage allows it.
///
/// No credential is needed. The stage's `publicCount` must be `exact` or `rounded`, or else the
/// node's setting `public_count`. Caches may keep the answer for two seconds.
#[utoipa::path(get, path = "/v1/public/count", operation_id = "showPublicCount", tag = "players", params(PublicCountQuery),
    responses((status = 200, body = PublicCountAnswer),
        (status = 304, description = "unchanged since the answer that `If-None-Match` names"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "the stage has no public count", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn show(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    ValidQuery(query): ValidQuery<PublicCountQuery>,
) -> Result<Response, Problem> {
    let stage = StageId::parse(&query.stage)?;
    let seen = node.public_counts.for_all(stage.as_str());
    let count = node.engine.hub.count(stage.as_str());
    let PlayerCountBody { viewers, status, .. } =
        PlayerCountBody::new(count, seen.unwrap_or(PublicCount::Hidden));
    // The same for a stage that hides its count, and for one that does not exist.
    let viewers = viewers.ok_or_else(|| Problem::no_public_count(&stage))?;
    let tag = tag(viewers, &status);
    let is_known = headers.get_all(header::IF_NONE_MATCH).into_iter().any(|tags| {
        let tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|known| known.trim_start_matches("W/")).any(|known| tag.ends_with(known))
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let stage = stage.to_string();
            Json(PublicCountAnswer { stage, viewers, status }).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    // A page needs a header of CORS, and other callers get none.
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// Returns the tag of an answer. It is weak, because a later time alone makes no other answer.
fn tag(viewers: u64, status: &CountStatusBody) -> String {
    let CountStatusBody { complete, recovering, .. } = status;
    format!("W/\"{viewers}-{}{}\"", u8::from(*complete), u8::from(*recovering))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_changes_with_the_count_and_its_status_and_not_with_time() {
        let of = |viewers, as_of, complete, recovering| {
            tag(viewers, &CountStatusBody { as_of, complete, recovering })
        };
        assert_eq!(of(12, 1, true, false), "W/\"12-10\"");
        assert_eq!(of(12, 1, true, false), of(12, 2, true, false));
        let others = [of(13, 1, true, false), of(12, 1, false, false), of(12, 1, true, true)];
        assert!(others.iter().all(|other| *other != of(12, 1, true, false)));
    }
}
