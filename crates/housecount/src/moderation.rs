//! Interrupt moderation, as network cards do it: what comes while batches linger anyway is read at once, a while later.
//!
//! A worker that waits for the next packet is woken for each, and to be woken costs more than a heartbeat (docs/PERFORMANCE.md). None of
//! these is answered before its batch has lingered, though. So while nothing else is waited for, workers sleep for a part of that, whatever
//! comes. No batch waits longer by it, and no answer: the first event of a batch is waited for awake, and so is an append.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The part of `linger` that a worker sleeps for at once: whoever asks it for something else meanwhile waits for no longer.
const PART: u32 = 5;

/// What a lane wants of workers that have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// It is empty: whoever comes first is not to wait.
    Nothing,
    /// Whatever comes until then, and not each by itself.
    More(Instant),
    /// Each event at once: an append is under way, or what comes may make a batch due.
    All,
}

/// See the module's text. Lanes say what they want, and workers ask.
#[derive(Debug)]
pub struct Moderation {
    started: Instant,
    /// By lane: microseconds from then on until when more is wanted, or one of the words below.
    lanes: Box<[AtomicU64]>,
    sleep: Duration,
}

/// For workers that never sleep.
impl Default for Moderation {
    fn default() -> Moderation {
        Moderation::new(0, Duration::ZERO)
    }
}

const NOTHING: u64 = u64::MAX;
const ALL: u64 = 0;

impl Moderation {
    /// For so many lanes, whose batches linger for so long.
    #[must_use]
    pub fn new(lanes: u16, linger: Duration) -> Moderation {
        let lanes = (0..lanes).map(|_| AtomicU64::new(ALL)).collect();
        Moderation { started: Instant::now(), lanes, sleep: linger / PART }
    }

    /// What a lane wants from now on.
    pub fn say(&self, lane: u16, wants: Wants) {
        let word = match wants {
            Wants::Nothing => NOTHING,
            Wants::More(until) => until.saturating_duration_since(self.started).as_micros() as u64,
            Wants::All => ALL,
        };
        if let Some(lane) = self.lanes.get(usize::from(lane)) {
            lane.store(word, Ordering::Relaxed);
        }
    }

    /// For how long a worker that has nothing to do may sleep, whatever comes.
    #[must_use]
    pub fn sleep(&self) -> Duration {
        let mut earliest = NOTHING;
        for lane in &self.lanes {
            earliest = earliest.min(lane.load(Ordering::Relaxed));
            if earliest == ALL {
                return Duration::ZERO;
            }
        }
        if earliest == NOTHING {
            return Duration::ZERO;
        }
        let until = Duration::from_micros(earliest);
        until.saturating_sub(self.started.elapsed()).min(self.sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn workers_sleep_while_all_that_is_waited_for_is_that_batches_linger() {
        let ms = Duration::from_millis;
        let moderation = Moderation::new(2, ms(10));
        assert_eq!(moderation.sleep(), ms(0), "nothing is known yet");
        moderation.say(0, Wants::Nothing);
        moderation.say(1, Wants::Nothing);
        assert_eq!(moderation.sleep(), ms(0), "the first one is not to wait");
        moderation.say(1, Wants::More(Instant::now() + ms(9)));
        assert_eq!(moderation.sleep(), ms(2));
        moderation.say(0, Wants::More(Instant::now() + ms(1)));
        assert_eq!(moderation.sleep(), ms(1), "not longer than any batch lingers");
        tokio::time::advance(ms(5)).await;
        assert_eq!(moderation.sleep(), ms(0), "one has lingered");
        moderation.say(0, Wants::All);
        assert_eq!(moderation.sleep(), ms(0), "its append is under way");
        moderation.say(0, Wants::Nothing);
        assert_eq!(moderation.sleep(), ms(2));
    }

    #[test]
    fn where_nothing_lingers_nobody_sleeps() {
        assert_eq!(Moderation::new(0, Duration::from_secs(1)).sleep(), Duration::ZERO);
        let moderation = Moderation::new(1, Duration::ZERO);
        moderation.say(0, Wants::More(Instant::now() + Duration::from_secs(1)));
        assert_eq!(moderation.sleep(), Duration::ZERO);
    }
}
