//! A message of the board in the form that is sent: a Server-Sent Event.

use std::fmt::Write as _;

use bytes::Bytes;
use housecount_core::fold::Count;
use housecount_core::public_count::PublicCount;
use serde::Serialize;

use super::PublishedCount;
use super::latest::LiveMessage;
use crate::hub::CountStatus;

/// Stands for all stages together. No stage has an empty id.
pub(super) const ALL: &str = "";

/// Form of the messages of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// All fields.
    #[default]
    Full,
    /// The viewers, and what differs from a complete count.
    Brief,
    /// The same without the stage, for a subscriber that follows only this one.
    Unnamed,
}

impl Encoding {
    /// Returns a message of a stage in this form, with what `seen` leaves of its counts. Only the
    /// full form of exact counts is made once for all subscribers.
    pub(super) fn of(self, message: &LiveMessage, stage: &str, seen: PublicCount) -> Bytes {
        let LiveMessage { epoch, number, .. } = *message;
        match (self, &message.shown) {
            (Encoding::Brief | Encoding::Unnamed, Some(shown)) if stage != ALL => {
                let named = (self == Encoding::Brief).then_some(stage);
                brief(epoch, number, named, shown, seen)
            }
            (Encoding::Full, Some(shown)) if seen != PublicCount::Exact => {
                text(epoch, number, stage, shown, seen)
            }
            _ => message.text.clone(),
        }
    }
}

/// Encodes a stage's message in its brief form.
fn brief(
    epoch: u32,
    number: u64,
    stage: Option<&str>,
    shown: &PublishedCount,
    seen: PublicCount,
) -> Bytes {
    let CountStatus { as_of, complete, recovering } = shown.status;
    let data = BriefData {
        stage,
        viewers: seen.of(shown.count.viewers),
        as_of: (!complete).then_some(as_of.0),
        complete: (!complete).then_some(false),
        recovering: recovering.then_some(true),
    };
    event(epoch, number, "count", &data)
}

/// Encodes a message as it is sent.
pub(super) fn text(
    epoch: u32,
    number: u64,
    stage: &str,
    shown: &PublishedCount,
    seen: PublicCount,
) -> Bytes {
    let CountStatus { as_of, complete, recovering } = shown.status;
    let Count { viewers, sessions } = shown.count;
    let data = MessageData {
        stage: (stage != ALL).then_some(stage),
        viewers: seen.of(viewers),
        sessions: seen.of(sessions),
        stages: shown.stages,
        as_of: as_of.0,
        complete,
        recovering,
    };
    let name = if stage == ALL { "totals" } else { "count" };
    event(epoch, number, name, &data)
}

fn event(epoch: u32, number: u64, name: &str, data: &impl Serialize) -> Bytes {
    let mut text = String::with_capacity(192);
    // Neither can fail: both write to memory, and these types can always be serialized.
    let _ = write!(text, "id: {epoch:08x}-{number}\nevent: {name}\ndata: ");
    text.push_str(&serde_json::to_string(data).unwrap_or_default());
    text.push_str("\n\n");
    text.into()
}

/// Data of a message, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<u64>,
    as_of: u64,
    complete: bool,
    recovering: bool,
}

/// Data of a brief message, as JSON. An absent field has its usual value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BriefData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovering: Option<bool>,
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    fn shown(viewers: u64) -> PublishedCount {
        let status = CountStatus { as_of: UnixMs(7), complete: true, recovering: false };
        PublishedCount { count: Count { viewers, sessions: viewers }, stages: None, status }
    }

    #[test]
    fn messages_are_as_event_sources_read_them() {
        let text = text(0xa, 3, "s/1", &shown(2), PublicCount::Exact);
        assert_eq!(
            text,
            "id: 0000000a-3\nevent: count\ndata: {\"stage\":\"s/1\",\"viewers\":2,\"sessions\":2,\"asOf\":7,\
             \"complete\":true,\"recovering\":false}\n\n"
        );
        let totals = PublishedCount { stages: Some(1), ..shown(2) };
        let text = super::text(0xa, 4, ALL, &totals, PublicCount::Exact);
        assert!(
            text.starts_with(b"id: 0000000a-4\nevent: totals\ndata: {\"viewers\":2,"),
            "{text:?}"
        );
    }

    #[test]
    fn a_brief_message_has_what_differs_from_a_complete_count() {
        let of = |complete, recovering| {
            let status = CountStatus { as_of: UnixMs(7), complete, recovering };
            brief(0xa, 3, Some("s/1"), &PublishedCount { status, ..shown(2) }, PublicCount::Exact)
        };
        let head = "id: 0000000a-3\nevent: count\ndata: ";
        assert_eq!(of(true, false), format!("{head}{{\"stage\":\"s/1\",\"viewers\":2}}\n\n"));
        let incomplete = "{\"stage\":\"s/1\",\"viewers\":2,\"asOf\":7,\"complete\":false}";
        assert_eq!(of(false, false), format!("{head}{incomplete}\n\n"));
        let recovering = "{\"stage\":\"s/1\",\"viewers\":2,\"recovering\":true}";
        assert_eq!(of(true, true), format!("{head}{recovering}\n\n"));
    }

    #[test]
    fn players_see_a_rounded_count_or_none() {
        let message = LiveMessage {
            number: 3,
            epoch: 0xa,
            shown: Some(shown(1_234)),
            text: text(0xa, 3, "s", &shown(1_234), PublicCount::Exact),
        };
        let of = |encoding: Encoding, seen| {
            let text = encoding.of(&message, "s", seen);
            let text = String::from_utf8(text.to_vec()).unwrap();
            text.split_once("data: ").unwrap().1.trim_end().to_string()
        };
        let status = r#""asOf":7,"complete":true,"recovering":false}"#;
        let full = format!(r#"{{"stage":"s","viewers":1200,"sessions":1200,{status}"#);
        assert_eq!(of(Encoding::Full, PublicCount::Rounded), full);
        assert_eq!(of(Encoding::Full, PublicCount::Hidden), format!(r#"{{"stage":"s",{status}"#));
        assert_eq!(of(Encoding::Brief, PublicCount::Rounded), r#"{"stage":"s","viewers":1200}"#);
        assert_eq!(of(Encoding::Brief, PublicCount::Hidden), r#"{"stage":"s"}"#);
        assert_eq!(of(Encoding::Unnamed, PublicCount::Exact), r#"{"viewers":1234}"#);
        assert!(of(Encoding::Full, PublicCount::Exact).contains("1234"));
    }
}
