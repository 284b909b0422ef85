//! Short answers of one connection: subprotocol `housecount.2`.

use crate::http::beats::HeartbeatResponse;
use crate::http::short_answer::ShortAnswer;

use super::message::{AnswerOptions, LeaveReply};

/// State of a connection's short answers.
#[derive(Debug, Default)]
pub struct ShortAnswers {
    /// Stage that the last answer with a stage named, or before one, that the client named first.
    /// Answers without a stage are about it.
    stage: Box<str>,
    options: AnswerOptions,
    /// Whether the last heartbeat was acknowledged by an answer, so that the next may have none.
    is_answered: bool,
}

impl ShortAnswers {
    /// Records a stage that the client named. The client knows the first one, so the answer to it
    /// need not name it: that saves some 90 bytes of each stay.
    pub fn note_stage(&mut self, stage: &str) {
        if self.stage.is_empty() {
            self.keep(stage);
        }
    }

    /// Sets what the last heartbeat with ids asked for.
    pub fn set_options(&mut self, options: AnswerOptions) {
        self.options = options;
    }

    /// Records that a heartbeat was refused, so that the next one has an answer.
    pub fn note_refused(&mut self) {
        self.is_answered = false;
    }

    /// Returns the answer to a heartbeat. Returns `None` if the client wants every second steady
    /// answer left out, and this is one. So no acknowledgement is later than one interval.
    pub fn heartbeat(&mut self, stage: &str, response: &HeartbeatResponse) -> Option<String> {
        let AnswerOptions { with_sessions, is_quiet } = self.options;
        let answer = ShortAnswer::new(response, self.name(stage), with_sessions);
        self.is_answered = !(is_quiet && self.is_answered && answer.is_steady());
        let text = self.is_answered.then(|| answer.text());
        self.keep(stage);
        text
    }

    /// Returns the answer to a leave.
    pub fn leave(&mut self, stage: &str) -> String {
        let answer = LeaveReply { stage: self.name(stage), left: true };
        // These fields can always be serialized.
        let text = serde_json::to_string(&answer).unwrap_or_default();
        self.keep(stage);
        text
    }

    /// Returns the stage if an answer has to name it.
    fn name<'a>(&self, stage: &'a str) -> Option<&'a str> {
        (*self.stage != *stage).then_some(stage)
    }

    /// Keeps the stage that was named.
    fn keep(&mut self, stage: &str) {
        if *self.stage != *stage {
            self.stage = stage.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady() -> HeartbeatResponse {
        HeartbeatResponse::example(100, true, false)
    }

    #[test]
    fn a_stage_is_named_when_it_is_another_one() {
        let mut answers = ShortAnswers::default();
        let named = r#"{"stage":"a","viewers":50,"nextMs":20}"#;
        ["a", "b"].iter().for_each(|stage| answers.note_stage(stage));
        assert_eq!(answers.heartbeat("a", &steady()).as_deref(), Some("[50,1]"));
        assert_eq!(answers.leave("a"), r#"{"left":true}"#);
        assert_eq!(answers.leave("b"), r#"{"stage":"b","left":true}"#);
        assert_eq!(answers.heartbeat("a", &steady()).as_deref(), Some(named));
    }

    #[test]
    fn a_quiet_connection_has_every_second_steady_answer() {
        let mut answers = ShortAnswers::default();
        answers.set_options(AnswerOptions { is_quiet: true, with_sessions: false });
        let mut has_answer =
            |response: &HeartbeatResponse| answers.heartbeat("a", response).is_some();
        let sent: Vec<bool> = (0..6).map(|_| has_answer(&steady())).collect();
        assert_eq!(sent, [true, false, true, false, true, false]);
        let incomplete = HeartbeatResponse::example(100, false, false);
        let sent: Vec<bool> = (0..3).map(|_| has_answer(&incomplete)).collect();
        assert_eq!(sent, [true; 3], "only steady answers are left out");
        assert!(!has_answer(&steady()));
        assert!(has_answer(&steady()));
        answers.note_refused();
        let sent: Vec<_> = (0..3).map(|_| answers.heartbeat("a", &steady()).is_some()).collect();
        assert_eq!(sent, [true, false, true], "the one after a refusal has an answer");
    }
}
