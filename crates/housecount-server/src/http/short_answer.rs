//! Short answers to heartbeats, for clients that ask for them.
//!
//! A steady answer is an array of two numbers. The headers of its packet are five times as long, so
//! nothing more can be saved. Any other answer is an object that has only what differs. A field
//! that is absent has its usual value: `complete` true, `recovering` and `coalesced` false.

use housecount_core::beat_schedule::TICK_MS;
use serde::Serialize;

use super::beats::HeartbeatResponse;
use super::live::CountStatusBody;
use super::public_count::PlayerCountBody;

/// A short answer to a heartbeat.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShortAnswer<'a> {
    /// Stage of the heartbeat, where the client can't know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    /// Online viewers, unless the stage hides them.
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers: Option<u64>,
    /// Online sessions, for a client that asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
    /// Time of a count that may be low.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovering: Option<bool>,
    next_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    coalesced: Option<bool>,
}

impl<'a> ShortAnswer<'a> {
    /// Shortens an answer.
    pub fn new(
        response: &HeartbeatResponse,
        stage: Option<&'a str>,
        with_sessions: bool,
    ) -> ShortAnswer<'a> {
        let HeartbeatResponse { count, next_ms, coalesced } = response;
        let PlayerCountBody { viewers, sessions, status } = count;
        let CountStatusBody { as_of, complete, recovering } = status;
        ShortAnswer {
            stage,
            viewers: *viewers,
            sessions: sessions.filter(|_| with_sessions),
            as_of: (!complete).then_some(*as_of),
            complete: (!complete).then_some(false),
            recovering: recovering.then_some(true),
            next_ms: *next_ms,
            coalesced: coalesced.then_some(true),
        }
    }

    /// Whether only the viewers and the time of the next heartbeat are in the answer.
    pub fn is_steady(&self) -> bool {
        let ShortAnswer { stage, viewers, sessions, as_of, .. } = self;
        let ShortAnswer { complete, recovering, next_ms: _, coalesced, .. } = self;
        stage.is_none()
            && viewers.is_some()
            && sessions.is_none()
            && as_of.is_none()
            && complete.is_none()
            && recovering.is_none()
            && coalesced.is_none()
    }

    /// Returns the answer as JSON.
    ///
    /// The time of a steady answer is rounded to the tick of the archive, at which beats are
    /// stored. At an interval of 30 s every drawn time is a multiple of it.
    pub fn text(&self) -> String {
        let Some(count) = self.viewers.filter(|_| self.is_steady()) else {
            // These fields can always be serialized.
            return serde_json::to_string(self).unwrap_or_default();
        };
        let ticks = (self.next_ms.saturating_add(TICK_MS / 2) / TICK_MS).max(1);
        let (mut viewers, mut next) = (itoa::Buffer::new(), itoa::Buffer::new());
        ["[", viewers.format(count), ",", next.format(ticks), "]"].concat()
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::fold::Count;
    use housecount_core::public_count::PublicCount;
    use housecount_core::time::UnixMs;
    use housecount_engine::{CountStatus, WithStatus};

    use super::*;

    fn response(complete: bool, recovering: bool, next_ms: u64) -> HeartbeatResponse {
        let status = CountStatus { as_of: UnixMs(7), complete, recovering };
        let count = WithStatus { value: Count { viewers: 1_234, sessions: 2_000 }, status };
        let count = PlayerCountBody::new(count, PublicCount::Exact);
        HeartbeatResponse { count, next_ms, coalesced: false }
    }

    /// The texts are documented, and clients parse them.
    #[test]
    fn short_answers_are_frozen() {
        let text = |response: &HeartbeatResponse, stage, with_sessions| {
            ShortAnswer::new(response, stage, with_sessions).text()
        };
        let steady = response(true, false, 28_700);
        assert_eq!(text(&steady, None, false), "[1234,287]");
        assert_eq!(
            text(&steady, Some("a\"b"), false),
            r#"{"stage":"a\"b","viewers":1234,"nextMs":28700}"#
        );
        assert_eq!(text(&steady, None, true), r#"{"viewers":1234,"sessions":2000,"nextMs":28700}"#);
        assert_eq!(
            text(&response(false, false, 1), None, false),
            r#"{"viewers":1234,"asOf":7,"complete":false,"nextMs":1}"#
        );
        assert_eq!(
            text(&response(true, true, 1), None, false),
            r#"{"viewers":1234,"recovering":true,"nextMs":1}"#
        );
        let mut hidden = response(true, false, 28_700);
        (hidden.count.viewers, hidden.count.sessions) = (None, None);
        assert_eq!(text(&hidden, None, true), r#"{"nextMs":28700}"#);
        assert_eq!(text(&hidden, Some("s"), false), r#"{"stage":"s","nextMs":28700}"#);
        let coalesced = HeartbeatResponse { coalesced: true, ..response(false, true, 900) };
        assert_eq!(
            text(&coalesced, Some("s"), true),
            concat!(
                r#"{"stage":"s","viewers":1234,"sessions":2000,"asOf":7,"complete":false,"#,
                r#""recovering":true,"nextMs":900,"coalesced":true}"#
            )
        );
    }

    #[test]
    fn a_time_is_rounded_to_the_nearest_tick_and_never_to_zero() {
        for (next_ms, ticks) in [
            (0, 1),
            (49, 1),
            (149, 1),
            (150, 2),
            (38_133, 381),
            (38_150, 382),
            (u64::MAX, u64::MAX / 100),
        ] {
            let text = ShortAnswer::new(&response(true, false, next_ms), None, false).text();
            assert_eq!(text, format!("[1234,{ticks}]"), "{next_ms}");
        }
    }
}
