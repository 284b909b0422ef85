//! Input of calls of this API: ids in a body or a query, and the days to look back.

use axum::body::Body;
use axum::extract::Request;
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::ids::{IdError, SessionId, StageId, ViewerId};
use housecount_core::limits::{
    BEAT_BODY_BYTES_MAX, DROP_IN_DAYS_MAX, SESSION_ID_BYTES_MAX, STAGE_ID_BYTES_MAX,
    VIEWER_ID_BYTES_MAX,
};
use housecount_core::span::Span;
use housecount_core::time::DAY_MS;
use housecount_engine::internals::{IngestError, UnstampedEvent};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use super::shape::DropInError;
use crate::http::access::StageAccess;
use crate::http::auth::allow_drop_in;
use crate::http::body;
use crate::http::error::Problem;
use crate::http::extract::bad_query;
use crate::node::Node;

/// Largest integer that every JSON reader keeps exactly.
const INTEGER_MAX: u64 = 1 << 53;

/// The body of a player's call. Other fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DropInPlayerRequest)]
#[serde(rename_all = "camelCase", default)]
pub struct DropInRequest {
    /// The viewer.
    #[schema(schema_with = viewer_id, required = true)]
    user_id: Value,
    /// The stage.
    #[schema(schema_with = stage_id, required = true)]
    stage_arn: Value,
    /// The session.
    #[schema(schema_with = session_id, required = false)]
    participant_id: Value,
}

/// Returns the schema of an id: text, or an integer, which is read as its decimal text.
fn id(bytes_max: usize, pattern: &str) -> OneOfBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let text = text.max_length(Some(bytes_max)).pattern(Some(pattern));
    let integer = ObjectBuilder::new().schema_type(Type::Integer);
    let integer =
        integer.minimum(Some(-INTEGER_MAX.cast_signed())).maximum(Some(INTEGER_MAX.cast_signed()));
    OneOfBuilder::new().item(text).item(integer)
}

fn viewer_id() -> Schema {
    id(VIEWER_ID_BYTES_MAX, r"^[^\x00-\x1f\x7f-\x9f]+$").into()
}

fn stage_id() -> Schema {
    id(STAGE_ID_BYTES_MAX, "^[!-~]+$").into()
}

/// Returns the schema of a session: like a viewer's, or null or empty for none.
fn session_id() -> Schema {
    let none = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    id(SESSION_ID_BYTES_MAX, r"^[^\x00-\x1f\x7f-\x9f]+$").item(none).item(null).into()
}

/// The ids of a call, checked.
#[derive(Debug)]
pub struct PlayerIds {
    /// The stage.
    pub stage: StageId,
    /// The viewer of the call.
    pub viewer: ViewerId,
    /// The session, if the caller names one.
    pub session: Option<SessionId>,
}

impl PlayerIds {
    /// Reads the ids of a player's call, and checks that its sender may make it for this viewer.
    /// `needs_session` means that a call without `participantId` is refused.
    ///
    /// # Errors
    /// Returns a 400 [`DropInError`] that names the fields. Returns a 401 or 403 one where a key or
    /// token is needed.
    pub async fn of_player(
        node: &Node,
        request: Request<Body>,
        needs_session: bool,
    ) -> Result<PlayerIds, DropInError> {
        let has_key = allow_drop_in(node, request.headers())?;
        let access = StageAccess::of_guarded(request.extensions())?;
        let given: DropInRequest = body::read_json(request, BEAT_BODY_BYTES_MAX).await?;
        let ids = PlayerIds::parse(given, needs_session)?;
        access.check_now(node, &ids.stage).await?;
        if !has_key {
            node.auth
                .viewers
                .authorize_without_token(ids.viewer.as_str())
                .map_err(Problem::from)?;
        }
        Ok(ids)
    }

    /// Checks the ids of a query.
    ///
    /// # Errors
    /// Returns a 400 [`DropInError`] that names the fields.
    pub fn of_query(
        user_id: Option<String>,
        stage_arn: Option<String>,
    ) -> Result<PlayerIds, DropInError> {
        let value = |text: Option<String>| text.map_or(Value::Null, Value::String);
        let (user_id, stage_arn) = (value(user_id), value(stage_arn));
        PlayerIds::parse(DropInRequest { user_id, stage_arn, participant_id: Value::Null }, false)
    }

    fn parse(given: DropInRequest, needs_session: bool) -> Result<PlayerIds, DropInError> {
        let viewer = text("userId", given.user_id)?;
        let stage = text("stageArn", given.stage_arn)?;
        let session = text("participantId", given.participant_id)?;
        let fields = [
            ("userId", viewer.is_none()),
            ("stageArn", stage.is_none()),
            ("participantId", needs_session && session.is_none()),
        ];
        let missing = fields
            .into_iter()
            .filter(|(_, is_missing)| *is_missing)
            .map(|(name, _)| name)
            .collect();
        let (Some(viewer), Some(stage), true) =
            (viewer, stage, session.is_some() || !needs_session)
        else {
            return Err(DropInError::missing(missing));
        };
        Ok(PlayerIds {
            viewer: ViewerId::parse(&viewer).map_err(invalid("userId"))?,
            stage: StageId::parse(&stage).map_err(invalid("stageArn"))?,
            session: session
                .map(|session| SessionId::parse(&session).map_err(invalid("participantId")))
                .transpose()?,
        })
    }

    /// Returns the event that the call reports.
    pub fn to_event(&self, kind: EventKind) -> UnstampedEvent<'_> {
        let session = self.session.as_ref().map_or("", SessionId::as_str);
        UnstampedEvent {
            kind,
            ids: Ids { stage: self.stage.as_str(), viewer: self.viewer.as_str(), session },
            labels: SessionLabels::NONE,
        }
    }
}

fn invalid(field: &'static str) -> impl Fn(IdError) -> DropInError {
    move |error| DropInError::invalid(field, error)
}

/// Returns an id as text; `None` if it is missing, null or empty.
fn text(field: &'static str, value: Value) -> Result<Option<String>, DropInError> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::String(text) => return Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Number(number) if is_exact(&number) => return Ok(Some(number.to_string())),
        Value::Number(number) if number.is_f64() => "a number with a fraction, or too large",
        Value::Number(_) => "an integer above 2^53",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Err(DropInError::invalid(
        field,
        format!("{found}; send a string, or an integer of at most 2^53"),
    ))
}

fn is_exact(number: &serde_json::Number) -> bool {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size <= INTEGER_MAX)
}

/// Returns the range of the last days up to now.
///
/// # Errors
/// Returns a 400 [`DropInError`] if their number is out of bounds, and a 503 one while the node has
/// not read the log's clock.
pub fn last_days(node: &Node, days: u64) -> Result<Span, DropInError> {
    if !(1..=DROP_IN_DAYS_MAX).contains(&days) {
        return Err(bad_query(format!("days={days} is not from 1 to {DROP_IN_DAYS_MAX}")).into());
    }
    let now = node.engine.clock.now().ok_or(IngestError::Starting)?;
    Ok(Span::new(now.minus(days * DAY_MS), now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_are_their_decimal_text() {
        for (value, expected) in [
            (json!("ann"), Some("ann")),
            (json!(42), Some("42")),
            (json!(-7), Some("-7")),
            (json!(0), Some("0")),
            (json!(9_007_199_254_740_992_u64), Some("9007199254740992")),
            (json!(-9_007_199_254_740_992_i64), Some("-9007199254740992")),
            (json!(""), None),
            (Value::Null, None),
        ] {
            assert_eq!(text("userId", value.clone()).unwrap().as_deref(), expected, "{value}");
        }
        for value in
            ["9007199254740993", "-9007199254740993", "1e300", "18446744073709551616", "4.0", "-0"]
        {
            let value: Value = serde_json::from_str(value).unwrap();
            assert!(text("userId", value.clone()).is_err(), "{value}");
        }
    }
}
