//! What a player is still to be answered: one answer a stage, however many heartbeats it is for.
//!
//! An answer is made when it can be sent, so that it is the latest, and a slow reader skips what is in between.

use std::collections::VecDeque;

use housecount_core::event::Kind;
use housecount_core::limits::WS_ANSWERS_WAITING_MAX;

use crate::ingest::{Receipt, Refused};

/// An answer that is due once its receipt is honoured.
#[derive(Debug)]
pub struct Due {
    /// About which stage.
    pub stage: Box<str>,
    /// To what.
    pub kind: Kind,
    receipt: Receipt,
    /// Of what was said since, about the same.
    later: Option<Receipt>,
    outcome: Option<Result<(), Refused>>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Dues(VecDeque<Due>);

impl Dues {
    /// Whether more may come. If not, nothing is read until something is answered.
    pub fn has_room(&self) -> bool {
        self.0.len() < WS_ANSWERS_WAITING_MAX
    }

    /// Something was said, and taken.
    pub fn add(&mut self, stage: &str, kind: Kind, receipt: Receipt) {
        match self.0.iter_mut().find(|due| *due.stage == *stage && due.kind == kind) {
            Some(due) => due.later = Some(receipt),
            None => {
                let due = Due { stage: stage.into(), kind, receipt, later: None, outcome: None };
                self.0.push_back(due);
            }
        }
    }

    /// Waits until the next answer may be given. For ever if none is to come.
    pub async fn told(&self) -> Result<(), Refused> {
        match self.0.front() {
            Some(due) if due.outcome.is_none() => due.receipt.acknowledged().await,
            _ => std::future::pending().await,
        }
    }

    /// The next answer may be given.
    pub fn note(&mut self, outcome: Result<(), Refused>) {
        if let Some(due) = self.0.front_mut() {
            due.outcome = Some(outcome);
        }
    }

    /// The next answer, if it may be given: about which stage, to what, and what became of it.
    pub fn take(&mut self) -> Option<(Box<str>, Kind, Result<(), Refused>)> {
        let outcome = self.0.front()?.outcome?;
        let Due { stage, kind, later, .. } = self.0.pop_front()?;
        if let Some(receipt) = later {
            self.add(&stage, kind, receipt);
        }
        Some((stage, kind, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ws_answers_waiting_max_and_one_answer_a_stage() {
        let mut dues = Dues::default();
        for _ in 0..100 {
            dues.add("s", Kind::Beat, Receipt::default());
        }
        dues.add("s", Kind::Leave, Receipt::default());
        // The first one's answer, one for all that came since, and the leave's.
        for expected in [Kind::Beat, Kind::Leave, Kind::Beat] {
            assert!(dues.take().is_none(), "not told yet");
            let outcome = dues.told().await;
            dues.note(outcome);
            assert_eq!(dues.take(), Some(("s".into(), expected, Ok(()))));
        }
        assert!(dues.take().is_none());
        for n in 0..WS_ANSWERS_WAITING_MAX {
            assert!(dues.has_room());
            dues.add(&format!("s{n}"), Kind::Beat, Receipt::default());
        }
        assert!(!dues.has_room());
    }
}
