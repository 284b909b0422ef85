//! Waits between retries of a failed call: the only back-off of a node.
//!
//! The longest wait doubles each time. The second half of a wait is drawn at random, so that nodes
//! which failed together do not retry together.

use std::time::Duration;

use crate::rng;

/// The waits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Returns a back-off whose first wait is at most `first`, and whose later ones are at most
    /// `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { next: first, max }
    }

    /// Waits on the node's clock.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.draw()).await;
    }

    /// Draws a wait, and doubles the bound of the next one.
    fn draw(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(self.max);
        longest.mul_f64(rng::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(1_000));
        for longest_ms in [20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000] {
            let (wait, longest) = (backoff.draw(), Duration::from_millis(longest_ms));
            assert!(longest / 2 <= wait && wait < longest, "{wait:?} of {longest:?}");
        }
    }
}
