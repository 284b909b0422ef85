//! A heartbeat as JSON: its ids, borrowed from the body that they came in.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use housecount_access::auth::TokenError;
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_engine::internals::UnstampedEvent;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::body;
use housecount_problem::Problem;

/// A session that watches a stage now, or leaves it. Other fields are ignored.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = HeartbeatRequest)]
pub struct HeartbeatRequest<'a> {
    /// The stage: 1-256 bytes of printable ASCII without spaces.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, nullable = false, min_length = 1, max_length = 256, pattern = "^[!-~]+$")]
    pub stage: Option<Field<'a>>,
    /// The viewer: 1-128 bytes of UTF-8 without control characters.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, nullable = false, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub viewer: Option<Field<'a>>,
    /// The player (tab, device), by the same rule. Without one it is session "".
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub session: Option<Field<'a>>,
    /// A viewer's token as a string, where it cannot be sent as a header (`navigator.sendBeacon`).
    /// Where tokens are off it may be anything.
    #[serde(borrow, default)]
    #[schema(value_type = serde_json::Value, required = false)]
    pub token: Option<RedactedStr<'a>>,
    /// `short` for a short answer. Any other value has no effect. It is not in the OpenAPI
    /// document, since generated clients would get a union of answers instead of one type.
    #[serde(borrow, default)]
    #[schema(ignore)]
    pub answer: Option<Field<'a>>,
    /// Session on the same stage whose place this one takes, such as the one from before a crash.
    /// It matters only where a viewer's streams are limited.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub replaces: Option<Field<'a>>,
    /// Labels of the session, by the keys of the setting `labels`. Each value has at most 32 bytes.
    /// They count only in a session's first heartbeat. A leave has no use for them.
    #[serde(borrow, default)]
    #[schema(value_type = Option<HashMap<String, String>>)]
    pub labels: Option<&'a RawValue>,
}

impl<'a> HeartbeatRequest<'a> {
    /// Reads a heartbeat or leave.
    ///
    /// # Errors
    /// Returns a 400 `Problem` that describes what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<HeartbeatRequest<'a>, Problem> {
        body::check_object(bytes)?;
        // Checked in one pass: serde_json would check each string by itself.
        let text =
            str::from_utf8(bytes).map_err(|_| Problem::body("not a heartbeat: it is not UTF-8"))?;
        serde_json::from_str(text).map_err(|e| Problem::body(format!("not a heartbeat: {e}")))
    }

    /// Returns its token, if it has one, or the error of a malformed one. Where tokens are off, it
    /// is not called.
    pub fn token(&self) -> Option<Result<&str, TokenError>> {
        self.token.as_ref().map(|hidden| match &hidden.0 {
            Field::Text(token) => Ok(&**token),
            Field::Bool(_) | Field::Other(_) => Err(TokenError::Invalid("it is not a string")),
        })
    }

    /// Returns the session whose place its session takes.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if it is not a string.
    pub fn replaces(&self) -> Result<Option<&str>, Problem> {
        text("replaces", "invalid_session", &self.replaces)
    }

    /// Whether the client asks for a short answer.
    pub fn wants_short_answer(&self) -> bool {
        matches!(&self.answer, Some(Field::Text(form)) if form == "short")
    }

    /// Returns the event, with its ids checked.
    ///
    /// # Errors
    /// Returns a 400 `Problem` that names the id.
    pub fn to_event(&self, kind: EventKind) -> Result<UnstampedEvent<'_>, Problem> {
        let missing = |what, code| {
            let detail = format!("{what} is missing; send {{\"stage\", \"viewer\", \"session\"?}}");
            Problem::new(StatusCode::BAD_REQUEST, code, detail)
        };
        let stage = text("stage", "invalid_stage", &self.stage)?;
        let stage = stage.ok_or_else(|| missing("stage", "invalid_stage"))?;
        let viewer = text("viewer", "invalid_viewer", &self.viewer)?;
        let viewer = viewer.ok_or_else(|| missing("viewer", "invalid_viewer"))?;
        let session = text("session", "invalid_session", &self.session)?.unwrap_or("");
        self.replaces()?;
        StageId::check(stage)?;
        ViewerId::check(viewer)?;
        SessionId::check(session)?;
        Ok(UnstampedEvent {
            kind,
            ids: Ids { stage, viewer, session },
            labels: SessionLabels::NONE,
        })
    }
}

/// Returns the text of an id, if the field is there and not null.
fn text<'f>(
    name: &str,
    code: &'static str,
    field: &'f Option<Field<'_>>,
) -> Result<Option<&'f str>, Problem> {
    match field {
        None => Ok(None),
        Some(Field::Text(text)) => Ok(Some(text)),
        Some(other) => {
            let detail = format!("{name} is {}; send a string", other.found());
            Err(Problem::new(StatusCode::BAD_REQUEST, code, detail))
        }
    }
}

/// Value of a field. A text without escapes stays where it is in the body. Of most other types only
/// the name is kept.
#[derive(Clone, Debug)]
pub enum Field<'a> {
    /// A string. (serde borrows a `Cow`, but not in an `Option`.)
    Text(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// Any other type, by its name.
    Other(&'static str),
}

impl Field<'_> {
    /// Returns the name of the value's type.
    pub fn found(&self) -> &'static str {
        match self {
            Field::Text(_) => "a string",
            Field::Bool(_) => "true or false",
            Field::Other(found) => found,
        }
    }
}

/// A field that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct RedactedStr<'a>(#[serde(borrow)] Field<'a>);

impl fmt::Debug for RedactedStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field<'a>, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
                Ok(Field::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
                Ok(Field::Text(Cow::Owned(text.to_string())))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Field<'de>, E> {
                Ok(Field::Bool(value))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Field<'de>, E> {
                Ok(Field::Other("a number"))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Field<'de>, E> {
                Ok(Field::Other("a number"))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Field<'de>, E> {
                Ok(Field::Other("a number"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Field<'de>, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Field<'de>, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other("an object"))
            }
        }

        deserializer.deserialize_any(Value)
    }
}

/// A heartbeat that is an object: serde would also read an array as its fields in their order.
pub struct ValidHeartbeat<'a>(pub HeartbeatRequest<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for ValidHeartbeat<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ValidHeartbeat<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = ValidHeartbeat<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                fields: A,
            ) -> Result<ValidHeartbeat<'de>, A::Error> {
                HeartbeatRequest::deserialize(MapAccessDeserializer::new(fields))
                    .map(ValidHeartbeat)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_borrowed_unless_they_are_escaped() {
        let beat =
            HeartbeatRequest::parse(br#"{"stage":"s","viewer":"Zo\u00eb","session":null,"x":[1]}"#)
                .unwrap();
        assert!(matches!(beat.stage, Some(Field::Text(Cow::Borrowed("s")))));
        assert!(matches!(&beat.viewer, Some(Field::Text(Cow::Owned(viewer))) if viewer == "Zoë"));
        let parsed_event = beat.to_event(EventKind::Beat).unwrap();
        assert_eq!(
            (parsed_event.ids.stage, parsed_event.ids.viewer, parsed_event.ids.session),
            ("s", "Zoë", "")
        );
    }

    #[test]
    fn an_id_of_another_type_is_named() {
        let parsed_event = |text: &str| {
            let problem = HeartbeatRequest::parse(text.as_bytes())
                .unwrap()
                .to_event(EventKind::Beat)
                .map(drop)
                .unwrap_err();
            (problem.code(), problem.detail().to_string())
        };
        for (value, found) in [
            ("12345", "a number"),
            ("-1", "a number"),
            ("1.5e300", "a number"),
            ("true", "true or false"),
            (r#"["v",{"a":[]}]"#, "an array"),
            (r#"{"id":{"v":1}}"#, "an object"),
        ] {
            for (field, code) in [
                ("stage", "invalid_stage"),
                ("viewer", "invalid_viewer"),
                ("session", "invalid_session"),
            ] {
                let mut beat = serde_json::json!({ "stage": "s", "viewer": "v", "session": "tab" });
                beat[field] = serde_json::from_str(value).unwrap();
                assert_eq!(
                    parsed_event(&beat.to_string()),
                    (code, format!("{field} is {found}; send a string"))
                );
            }
        }
        assert_eq!(parsed_event(r#"{"stage":null,"viewer":"v"}"#).0, "invalid_stage");
        let token = |text| {
            let beat = HeartbeatRequest::parse(text).unwrap();
            assert!(beat.to_event(EventKind::Beat).is_ok());
            beat.token().map(|token| token.map(str::to_string).ok())
        };
        assert_eq!(token(br#"{"stage":"s","viewer":"v","token":7}"#), Some(None));
        assert_eq!(token(br#"{"stage":"s","viewer":"v","token":null}"#), None);
        assert_eq!(
            token(br#"{"stage":"s","viewer":"v","token":"t"}"#),
            Some(Some("t".to_string()))
        );
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        let beat = HeartbeatRequest::parse(b"{\"stage\":\"s\",\"viewer\":\"\xff\"}");
        assert_eq!(beat.map(drop).map_err(|problem| problem.code()), Err("invalid_body"));
    }

    #[test]
    fn only_an_object_is_a_good_beat() {
        let is_good = |text: &str| serde_json::from_str::<ValidHeartbeat<'_>>(text).is_ok();
        assert!(is_good(r#"{"stage":"s","viewer":"v"}"#) && is_good("{}"));
        assert!(is_good(r#"{"stage":1}"#), "ids are checked later");
        for bad in [r#"["s","v"]"#, r#"{"stage":"\ud800"}"#, "{", "7", "{} x"] {
            assert!(!is_good(bad), "{bad}");
        }
    }
}
