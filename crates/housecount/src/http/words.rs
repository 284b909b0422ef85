//! What a heartbeat is as JSON: its ids, borrowed from the body that they came in.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use housecount_core::event::Kind;
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::limits::BATCH_BEATS_MAX;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::body;
use super::error::Problem;
use crate::ingest::Said;

/// "This session watches this stage now." Other fields are ignored.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = HeartbeatRequest)]
pub struct BeatBody<'a> {
    /// The stage: 1-256 bytes of printable ASCII without spaces.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, nullable = false, min_length = 1, max_length = 256, pattern = "^[!-~]+$")]
    pub(super) stage: Option<Word<'a>>,
    /// The viewer: 1-128 bytes of UTF-8 without control characters.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, nullable = false, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub(super) viewer: Option<Word<'a>>,
    /// The player (tab, device); the same rule. Without one it is session "".
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub(super) session: Option<Word<'a>>,
    /// A viewer's token, where it can't be sent as a header (`navigator.sendBeacon`).
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub(super) token: Option<Hidden<'a>>,
}

impl<'a> BeatBody<'a> {
    /// Reads a heartbeat or leave.
    ///
    /// # Errors
    /// 400 that says what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<BeatBody<'a>, Problem> {
        body::check_object(bytes)?;
        // All of it at once: serde_json would look at each string by itself.
        let text = str::from_utf8(bytes).map_err(|_| Problem::body("not a heartbeat: it is not UTF-8"))?;
        serde_json::from_str(text).map_err(|e| Problem::body(format!("not a heartbeat: {e}")))
    }

    /// Its token, if it has one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|hidden| &*hidden.0.0)
    }

    /// What it says, its ids checked.
    ///
    /// # Errors
    /// 400 that names the id.
    pub fn said(&self, kind: Kind) -> Result<Said<'_>, Problem> {
        let missing = |what, code| {
            let detail = format!("{what} is missing; send {{\"stage\", \"viewer\", \"session\"?}}");
            Problem::new(StatusCode::BAD_REQUEST, code, detail)
        };
        let stage = &*self.stage.as_ref().ok_or_else(|| missing("stage", "invalid_stage"))?.0;
        let viewer = &*self.viewer.as_ref().ok_or_else(|| missing("viewer", "invalid_viewer"))?.0;
        let session = self.session.as_ref().map_or("", |word| &word.0);
        StageId::check(stage)?;
        ViewerId::check(viewer)?;
        SessionId::check(session)?;
        Ok(Said { kind, stage, viewer, session })
    }
}

/// A string of the body, as it stands there unless it has escapes in it. (serde borrows a `Cow`, but not in an `Option`.)
#[derive(Clone, Debug)]
pub struct Word<'a>(Cow<'a, str>);

/// A string that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hidden<'a>(#[serde(borrow)] Word<'a>);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word<'a>, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(text.to_string())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// An array of heartbeats in which all is well, read in one go. Where something is wrong, each element must be read by
/// itself to say which.
#[derive(Debug)]
pub struct AllGood<'a>(pub Vec<BeatBody<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for AllGood<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AllGood<'a>, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = AllGood<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<AllGood<'de>, A::Error> {
                let mut beats = Vec::new();
                while let Some(Object(beat)) = elements.next_element()? {
                    if beats.len() == BATCH_BEATS_MAX {
                        return Err(A::Error::custom("too many"));
                    }
                    beats.push(beat);
                }
                Ok(AllGood(beats))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

/// A heartbeat that is an object: serde would also take an array for its fields in their order.
struct Object<'a>(BeatBody<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<'de>, A::Error> {
                BeatBody::deserialize(MapAccessDeserializer::new(fields)).map(Object)
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
        let beat = BeatBody::parse(br#"{"stage":"s","viewer":"Zo\u00eb","session":null,"x":[1]}"#).unwrap();
        assert!(matches!(beat.stage, Some(Word(Cow::Borrowed("s")))));
        assert!(matches!(&beat.viewer, Some(Word(Cow::Owned(viewer))) if viewer == "Zoë"));
        let said = beat.said(Kind::Beat).unwrap();
        assert_eq!((said.stage, said.viewer, said.session), ("s", "Zoë", ""));
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        let beat = BeatBody::parse(b"{\"stage\":\"s\",\"viewer\":\"\xff\"}");
        assert_eq!(beat.map(drop).map_err(|problem| problem.code()), Err("invalid_body"));
    }

    #[test]
    fn only_what_is_good_is_read_in_one_go() {
        let good = |text: &str| serde_json::from_str::<AllGood<'_>>(text).map(|all| all.0.len()).ok();
        assert_eq!(good(r#"[{"stage":"s","viewer":"v"},{}]"#), Some(2));
        for bad in [r#"[["s","v"]]"#, r#"[{"stage":1}]"#, "[{]", "{}", "[{}] x"] {
            assert_eq!(good(bad), None, "{bad}");
        }
        let many = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(good(&many(BATCH_BEATS_MAX)), Some(BATCH_BEATS_MAX));
        assert_eq!(good(&many(BATCH_BEATS_MAX + 1)), None);
    }
}
