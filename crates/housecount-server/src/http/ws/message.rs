//! Messages of a WebSocket: those of a player, and the answers.

use axum::http::StatusCode;
use housecount_core::event::EventKind;
use housecount_core::limits::WS_DETAIL_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::beats::HeartbeatResponse;
use crate::http::body;
use crate::http::error::{ActiveStream, Problem};
use crate::http::heartbeat_json::{Field, HeartbeatRequest};

/// A message of a player: a heartbeat or a leave.
#[derive(Debug, Default, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    stage: Option<Field<'a>>,
    #[serde(borrow, default)]
    viewer: Option<Field<'a>>,
    #[serde(borrow, default)]
    session: Option<Field<'a>>,
    #[serde(borrow, default)]
    leave: Option<Field<'a>>,
    #[serde(borrow, default)]
    sessions: Option<Field<'a>>,
    #[serde(borrow, default)]
    quiet: Option<Field<'a>>,
    #[serde(borrow, default)]
    replaces: Option<Field<'a>>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
}

/// Wishes of a client for its short answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Whether answers have the number of sessions.
    pub with_sessions: bool,
    /// Whether every second steady answer is left out.
    pub is_quiet: bool,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// Returns a 400 `Problem` that describes what is wrong with it.
    pub fn parse(text: &'a str) -> Result<Message<'a>, Problem> {
        body::check_object(text.as_bytes())?;
        let message: Message<'_> =
            serde_json::from_str(text).map_err(|e| Problem::body(format!("not a message: {e}")))?;
        match &message.leave {
            None | Some(Field::Bool(_)) => Ok(message),
            Some(other) => {
                Err(Problem::body(format!("leave is {}; send true or false", other.found())))
            }
        }
    }

    /// Returns whether it is a beat or a leave.
    pub fn kind(&self) -> EventKind {
        if matches!(self.leave, Some(Field::Bool(true))) {
            EventKind::Leave
        } else {
            EventKind::Beat
        }
    }

    /// Returns what it asks for. A field that is not `true` has no effect.
    pub fn options(&self) -> AnswerOptions {
        let is_true = |field: &Option<Field<'_>>| matches!(field, Some(Field::Bool(true)));
        AnswerOptions { with_sessions: is_true(&self.sessions), is_quiet: is_true(&self.quiet) }
    }

    /// Returns its ids. Returns `None` if it has none, and so means those of the last heartbeat.
    pub fn ids(self) -> Option<HeartbeatRequest<'a>> {
        let Message { stage, viewer, session, replaces, labels, .. } = self;
        let has_ids = stage.is_some() || viewer.is_some() || session.is_some();
        has_ids.then_some(HeartbeatRequest {
            stage,
            viewer,
            session,
            replaces,
            labels,
            ..HeartbeatRequest::default()
        })
    }
}

/// Creates the problem of a `{}` without an earlier heartbeat to repeat.
pub fn nothing_to_repeat() -> Problem {
    let detail = "stage is missing, and this connection has sent no heartbeat to repeat";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_stage", detail)
}

/// Creates the problem of a message that is not text.
pub fn not_text() -> Problem {
    Problem::body("binary messages are not supported; send JSON as text")
}

/// Answer to a heartbeat.
#[derive(Debug)]
pub struct HeartbeatReply<'a> {
    /// Stage of the heartbeat.
    pub stage: &'a str,
    /// The answer of `POST /v1/heartbeat`.
    pub body: HeartbeatResponse,
}

impl HeartbeatReply<'_> {
    /// Returns its JSON: the body's fields behind the stage.
    pub fn text(&self) -> String {
        // A string can always be serialized.
        let stage = serde_json::to_string(self.stage).unwrap_or_default();
        self.body.json_with_prefix(["{\"stage\":", &stage, ","])
    }
}

/// Answer to a leave.
#[derive(Debug, Serialize)]
pub struct LeaveReply<'a> {
    /// Stage of the leave. A short answer has it only if the client can't know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'a str>,
    /// Always true.
    pub left: bool,
}

/// Answer to a message that was refused.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReply {
    /// The code of a problem.
    code: &'static str,
    /// The detail of a problem.
    detail: String,
    /// Time after which a retry may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The viewer's streams, if it has too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Vec<ActiveStream>>,
}

impl From<Problem> for ErrorReply {
    fn from(problem: Problem) -> ErrorReply {
        let retry_after_ms = problem.retry_after_s().map(|seconds| u64::from(seconds) * 1_000);
        let detail = problem.detail();
        let detail = detail[..detail.floor_char_boundary(WS_DETAIL_BYTES_MAX)].to_string();
        let active = problem.active().map(<[_]>::to_vec);
        ErrorReply { code: problem.code(), detail, retry_after_ms, active }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::WS_WRITE_BUFFER_BYTES_MAX;

    use super::*;

    #[test]
    fn an_answer_is_that_of_a_heartbeat_behind_its_stage() {
        let body = HeartbeatResponse::example(700, true, false);
        let mut expected = serde_json::to_value(&body).unwrap();
        expected["stage"] = r#"a"\b"#.into();
        let text = HeartbeatReply { stage: r#"a"\b"#, body }.text();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected, "{text}");
        assert!(text.starts_with(r#"{"stage":"#));
    }

    /// Uses the character whose JSON is the longest.
    #[test]
    fn ws_detail_bytes_max_makes_every_complaint_fit_the_write_buffer() {
        let cut = ErrorReply::from(Problem::body("\\".repeat(WS_WRITE_BUFFER_BYTES_MAX + 1)));
        assert_eq!(cut.detail.len(), WS_DETAIL_BYTES_MAX);
        assert!(serde_json::to_string(&cut).unwrap().len() < WS_WRITE_BUFFER_BYTES_MAX / 2);
        let split =
            ErrorReply::from(Problem::body(format!("x{}", "é".repeat(WS_DETAIL_BYTES_MAX))));
        assert_eq!(split.detail.len(), WS_DETAIL_BYTES_MAX - 1, "no character is split");
    }

    #[test]
    fn messages_are_read() {
        let read =
            |text| Message::parse(text).map(|message| (message.kind(), message.ids().is_some()));
        assert_eq!(read("{}"), Ok((EventKind::Beat, false)));
        assert_eq!(read(r#"{"leave":true}"#), Ok((EventKind::Leave, false)));
        assert_eq!(read(r#"{"leave":false,"viewer":"v"}"#), Ok((EventKind::Beat, true)));
        assert_eq!(
            read(r#"{"stage":"s","viewer":"v","leave":true,"more":1}"#),
            Ok((EventKind::Leave, true))
        );
        for bad in ["", "[]", "{", r#"{"leave":1}"#, r#"{"leave":"true"}"#] {
            assert_eq!(read(bad).map_err(|problem| problem.code()), Err("invalid_body"), "{bad}");
        }
        let named = Message::parse(r#"{"leave":"true"}"#).unwrap_err();
        assert_eq!(named.detail(), "leave is a string; send true or false");
        let ids = Message::parse(r#"{"stage":5,"viewer":"v"}"#).unwrap().ids().unwrap();
        assert_eq!(
            ids.to_event(EventKind::Beat).map(drop).map_err(|problem| problem.code()),
            Err("invalid_stage")
        );
    }
}
