//! A timer that ends after a time without input.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Timer that ends after a time without input. Input does not move the timer; it is moved when it
/// fires too early.
#[derive(Debug)]
pub struct IdleTimer {
    within: Duration,
    last_activity: Instant,
    timer: Pin<Box<Sleep>>,
}

impl IdleTimer {
    /// Creates a timer that ends if no input comes within this time from now on.
    pub fn new(within: Duration) -> IdleTimer {
        let now = Instant::now();
        IdleTimer { within, last_activity: now, timer: Box::pin(sleep_until(now + within)) }
    }

    /// Records input.
    pub fn reset(&mut self) {
        self.last_activity = Instant::now();
    }

    /// Waits until there was no input for too long. May be dropped and called again.
    pub async fn expired(&mut self) {
        loop {
            self.timer.as_mut().await;
            let until = self.last_activity + self.within;
            if until <= Instant::now() {
                return;
            }
            self.timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_test::timed_test;

    #[timed_test(start_paused = true)]
    async fn it_is_silent_from_the_last_word_on() {
        let mut silence = IdleTimer::new(Duration::from_secs(75));
        for _ in 0..5 {
            let half = Duration::from_secs(50);
            assert!(tokio::time::timeout(half, silence.expired()).await.is_err());
            silence.reset();
        }
        let last = Instant::now();
        silence.expired().await;
        assert_eq!(last.elapsed().as_secs(), 75);
    }
}
