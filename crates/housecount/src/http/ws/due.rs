//! What a player is still to be answered: one answer a stage, however many heartbeats it is for.
//!
//! An answer is made when it can be sent, so that it is the latest, and a slow reader skips what is
//! in between.

use std::collections::VecDeque;

use housecount_core::event::EventKind;
use housecount_core::limits::{WS_PENDING_EVENTS_MAX, WS_PENDING_REPLIES_MAX};

use crate::ingest::{Receipt, Refused};

/// An answer that is due once its receipt is honoured.
#[derive(Debug)]
pub struct Due {
    /// About which stage.
    pub stage: Box<str>,
    /// To what.
    pub kind: EventKind,
    /// That it was taken.
    pub receipt: Receipt,
    /// Of what was said since, about the same.
    later: Option<Receipt>,
    outcome: Option<Result<(), Refused>>,
}

/// Queue of answers to a player, one per stage.
#[derive(Debug, Default)]
pub struct Dues {
    answers: VecDeque<Due>,
    /// What was said last, and how much with it since the log was last known to have all.
    last: Receipt,
    said: usize,
}

impl Dues {
    /// Whether more may come. If not, nothing is read until something is answered.
    pub fn has_room(&self) -> bool {
        self.answers.len() < WS_PENDING_REPLIES_MAX && !self.waits_for_the_log()
    }

    fn waits_for_the_log(&self) -> bool {
        self.said >= WS_PENDING_EVENTS_MAX && !self.last.is_settled()
    }

    /// Waits until the log has what was said, if there is so much of it that nothing more may come.
    pub async fn settled(&self) {
        if self.waits_for_the_log() {
            let _ = self.last.acknowledged().await;
        } else {
            std::future::pending().await
        }
    }

    /// Something was said, and taken or coalesced.
    pub fn add(&mut self, stage: &str, kind: EventKind, receipt: Receipt) {
        // A coalesced beat that waits for nothing tells nothing of those that do.
        if !receipt.is_coalesced() || !receipt.is_settled() {
            self.said = if self.last.is_settled() { 1 } else { self.said + 1 };
            self.last = receipt.clone();
        }
        self.due(stage, kind, receipt);
    }

    fn due(&mut self, stage: &str, kind: EventKind, receipt: Receipt) {
        match self.answers.iter_mut().find(|due| *due.stage == *stage && due.kind == kind) {
            // One answer for both. It is coalesced only if both are.
            Some(due)
                if receipt.is_coalesced()
                    && due.later.as_ref().is_some_and(|r| !r.is_coalesced()) => {}
            Some(due) => due.later = Some(receipt),
            None => {
                let due = Due { stage: stage.into(), kind, receipt, later: None, outcome: None };
                self.answers.push_back(due);
            }
        }
    }

    /// Waits until the next answer may be given. For ever if none is to come.
    pub async fn told(&self) -> Result<(), Refused> {
        match self.answers.front() {
            Some(due) if due.outcome.is_none() => due.receipt.acknowledged().await,
            _ => std::future::pending().await,
        }
    }

    /// The next answer may be given.
    pub fn note(&mut self, outcome: Result<(), Refused>) {
        if let Some(due) = self.answers.front_mut() {
            due.outcome = Some(outcome);
        }
    }

    /// The next answer, if it may be given, and what became of what it is to.
    pub fn take(&mut self) -> Option<(Due, Result<(), Refused>)> {
        let outcome = self.answers.front()?.outcome?;
        let mut due = self.answers.pop_front()?;
        if let Some(receipt) = due.later.take() {
            self.due(&due.stage, due.kind, receipt);
        }
        Some((due, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ws_answers_waiting_max_and_one_answer_a_stage() {
        let mut dues = Dues::default();
        for _ in 0..100 {
            dues.add("s", EventKind::Beat, Receipt::default());
        }
        dues.add("s", EventKind::Leave, Receipt::default());
        // The first one's answer, one for all that came since, and the leave's.
        for expected in [EventKind::Beat, EventKind::Leave, EventKind::Beat] {
            assert!(dues.take().is_none(), "not told yet");
            let outcome = dues.told().await;
            dues.note(outcome);
            let (due, outcome) = dues.take().unwrap();
            assert_eq!((&*due.stage, due.kind, outcome), ("s", expected, Ok(())));
        }
        assert!(dues.take().is_none());
        for n in 0..WS_PENDING_REPLIES_MAX {
            assert!(dues.has_room());
            dues.add(&format!("s{n}"), EventKind::Beat, Receipt::default());
        }
        assert!(!dues.has_room());
    }

    #[tokio::test]
    async fn ws_said_waiting_max_is_what_may_wait_for_the_log() {
        let mut dues = Dues::default();
        let (waiting, tell) = Receipt::untold();
        for _ in 0..WS_PENDING_EVENTS_MAX {
            assert!(dues.has_room());
            dues.add("s", EventKind::Beat, waiting.clone());
        }
        assert!(!dues.has_room());
        tokio::join!(dues.settled(), async { tell() });
        assert!(dues.has_room(), "the log has them");
    }
    /// An answer for several is coalesced only if all of them are.
    #[tokio::test]
    async fn one_answer_for_a_logged_and_a_coalesced_beat_is_not_coalesced() {
        let (logged, coalesced) = (Receipt::default, Receipt::of_coalesced);
        for (later, expected) in [
            (vec![logged(), coalesced()], false),
            (vec![coalesced(), logged()], false),
            (vec![coalesced(), coalesced()], true),
        ] {
            let mut dues = Dues::default();
            dues.add("s", EventKind::Beat, logged());
            later.into_iter().for_each(|receipt| dues.add("s", EventKind::Beat, receipt));
            for expected in [false, expected] {
                let outcome = dues.told().await;
                dues.note(outcome);
                assert_eq!(dues.take().unwrap().0.receipt.is_coalesced(), expected);
            }
            assert!(dues.answers.is_empty());
        }
    }

    #[tokio::test]
    async fn ws_said_waiting_max_holds_whatever_is_coalesced_meanwhile() {
        let mut dues = Dues::default();
        let (waiting, tell) = Receipt::untold();
        for _ in 0..WS_PENDING_EVENTS_MAX {
            assert!(dues.has_room());
            dues.add("s", EventKind::Beat, waiting.clone());
            dues.add("s", EventKind::Beat, Receipt::of_coalesced());
        }
        assert!(!dues.has_room());
        tell();
        assert!(dues.has_room());
    }
}
