//! Pending answers to a player: one per stage and kind, for any number of messages.
//!
//! An answer is made when it can be sent. So it has the latest count, and a slow reader skips those
//! in between.

use std::collections::VecDeque;

use housecount_core::event::EventKind;
use housecount_core::limits::{WS_PENDING_EVENTS_MAX, WS_PENDING_REPLIES_MAX};
use housecount_engine::internals::{IngestError, PendingAck};

/// An answer that is due once its event is acknowledged.
#[derive(Debug)]
pub struct PendingReply {
    /// Stage of the event.
    pub stage: Box<str>,
    /// Kind of the event.
    pub kind: EventKind,
    /// Receipt of the event.
    pub ack: PendingAck,
    /// Receipt of the latest event since then, of the same stage and kind.
    later: Option<PendingAck>,
    outcome: Option<Result<(), IngestError>>,
}

/// Queue of answers to a player, one per stage.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    answers: VecDeque<PendingReply>,
    /// Receipt of the last event. `pending_events` counts the events up to it since the log was
    /// last known to have all.
    last: PendingAck,
    pending_events: usize,
}

impl ReplyQueue {
    /// Whether more messages may be read. If not, the socket is not read until an answer is sent.
    pub fn has_room(&self) -> bool {
        self.answers.len() < WS_PENDING_REPLIES_MAX && !self.waits_for_the_log()
    }

    fn waits_for_the_log(&self) -> bool {
        self.pending_events >= WS_PENDING_EVENTS_MAX && !self.last.is_resolved()
    }

    /// Waits until the log has the events, if there are too many for more to be read.
    pub async fn wait_for_log(&self) {
        if self.waits_for_the_log() {
            let _ = self.last.wait().await;
        } else {
            std::future::pending().await
        }
    }

    /// Adds the answer to an event that was enqueued or coalesced.
    pub fn add(&mut self, stage: &str, kind: EventKind, ack: PendingAck) {
        // A coalesced beat that waits for nothing shows nothing about those that do.
        if !ack.is_coalesced() || !ack.is_resolved() {
            self.pending_events = if self.last.is_resolved() { 1 } else { self.pending_events + 1 };
            self.last = ack.clone();
        }
        self.due(stage, kind, ack);
    }

    fn due(&mut self, stage: &str, kind: EventKind, ack: PendingAck) {
        match self.answers.iter_mut().find(|due| *due.stage == *stage && due.kind == kind) {
            // One answer serves both. It is coalesced only if both are.
            Some(due)
                if ack.is_coalesced() && due.later.as_ref().is_some_and(|r| !r.is_coalesced()) => {}
            Some(due) => due.later = Some(ack),
            None => {
                let due =
                    PendingReply { stage: stage.into(), kind, ack, later: None, outcome: None };
                self.answers.push_back(due);
            }
        }
    }

    /// Waits until the next answer may be sent, or for ever if none is due.
    pub async fn next_ready(&self) -> Result<(), IngestError> {
        match self.answers.front() {
            Some(due) if due.outcome.is_none() => due.ack.wait().await,
            _ => std::future::pending().await,
        }
    }

    /// Records the outcome of the next answer's event, so that the answer may be sent.
    pub fn mark_ready(&mut self, outcome: Result<(), IngestError>) {
        if let Some(due) = self.answers.front_mut() {
            due.outcome = Some(outcome);
        }
    }

    /// Takes the next answer with the outcome of its event, if it may be sent.
    pub fn take(&mut self) -> Option<(PendingReply, Result<(), IngestError>)> {
        let outcome = self.answers.front()?.outcome?;
        let mut due = self.answers.pop_front()?;
        self.answers.shrink_to_fit();
        if let Some(ack) = due.later.take() {
            self.due(&due.stage, due.kind, ack);
        }
        Some((due, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_test::timed_test;

    #[timed_test]
    async fn ws_pending_replies_max_and_one_answer_a_stage() {
        let mut replies = ReplyQueue::default();
        for _ in 0..100 {
            replies.add("s", EventKind::Beat, PendingAck::default());
        }
        replies.add("s", EventKind::Leave, PendingAck::default());
        // The first one's answer, one for all that came since, and the leave's.
        for expected in [EventKind::Beat, EventKind::Leave, EventKind::Beat] {
            assert!(replies.take().is_none(), "no answer before the log has the event");
            let outcome = replies.next_ready().await;
            replies.mark_ready(outcome);
            let (due, outcome) = replies.take().unwrap();
            assert_eq!((&*due.stage, due.kind, outcome), ("s", expected, Ok(())));
        }
        assert!(replies.take().is_none());
        for n in 0..WS_PENDING_REPLIES_MAX {
            assert!(replies.has_room());
            replies.add(&format!("s{n}"), EventKind::Beat, PendingAck::default());
        }
        assert!(!replies.has_room());
    }

    #[timed_test]
    async fn ws_pending_events_max_is_what_may_wait_for_the_log() {
        let mut replies = ReplyQueue::default();
        let (waiting, tell) = PendingAck::unresolved();
        for _ in 0..WS_PENDING_EVENTS_MAX {
            assert!(replies.has_room());
            replies.add("s", EventKind::Beat, waiting.clone());
        }
        assert!(!replies.has_room());
        tokio::join!(replies.wait_for_log(), async { tell() });
        assert!(replies.has_room(), "the log has the events");
    }
    /// An answer for several is coalesced only if all of them are.
    #[timed_test]
    async fn one_answer_for_a_logged_and_a_coalesced_beat_is_not_coalesced() {
        let (logged, coalesced) = (PendingAck::default, PendingAck::of_coalesced);
        for (later, expected) in [
            (vec![logged(), coalesced()], false),
            (vec![coalesced(), logged()], false),
            (vec![coalesced(), coalesced()], true),
        ] {
            let mut replies = ReplyQueue::default();
            replies.add("s", EventKind::Beat, logged());
            later.into_iter().for_each(|ack| replies.add("s", EventKind::Beat, ack));
            for expected in [false, expected] {
                let outcome = replies.next_ready().await;
                replies.mark_ready(outcome);
                assert_eq!(replies.take().unwrap().0.ack.is_coalesced(), expected);
            }
            assert!(replies.answers.is_empty());
        }
    }

    #[timed_test]
    async fn ws_pending_events_max_holds_while_beats_are_coalesced() {
        let mut replies = ReplyQueue::default();
        let (waiting, tell) = PendingAck::unresolved();
        for _ in 0..WS_PENDING_EVENTS_MAX {
            assert!(replies.has_room());
            replies.add("s", EventKind::Beat, waiting.clone());
            replies.add("s", EventKind::Beat, PendingAck::of_coalesced());
        }
        assert!(!replies.has_room());
        tell();
        assert!(replies.has_room());
    }
}
