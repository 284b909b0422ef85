//! Settings of events. Those of webhooks are in `webhooks::target`.

use std::sync::Arc;

use crate::webhooks::target::Webhook;

/// Settings of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventSettings {
    /// Rules by which counts become events.
    pub rules: EventRules,
    /// Webhooks that events are delivered to.
    pub webhooks: Vec<Arc<Webhook>>,
}

/// Rules by which counts become events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRules {
    /// Numbers of viewers whose crossing is an event, ascending.
    pub thresholds: Vec<u64>,
    /// Percentage below a threshold that a stage must fall to, to be below it again.
    pub hysteresis_percent: u64,
    /// Percentage of viewers whose loss is an event; 0 for none.
    pub drop_percent: u64,
    /// Time within which they are lost.
    pub drop_within_ms: u64,
    /// Least number of viewers before the loss.
    pub drop_viewers_min: u64,
}

impl EventRules {
    /// Whether `viewers` is so few that a stage that was above `threshold` no longer is.
    #[must_use]
    pub fn is_below(&self, threshold: u64, viewers: u64) -> bool {
        percent_less(viewers, threshold, self.hysteresis_percent, false)
    }

    /// Whether the fall from `peak` to `viewers` is an event.
    #[must_use]
    pub fn is_drop(&self, peak: u64, viewers: u64) -> bool {
        let is_on = self.drop_percent > 0 && peak > 0 && peak >= self.drop_viewers_min;
        is_on && percent_less(viewers, peak, self.drop_percent, true)
    }
}

/// Whether `viewers` is below `of` less `percent`, or also equal to it if `or_equal`.
fn percent_less(viewers: u64, of: u64, percent: u64, or_equal: bool) -> bool {
    let bound = u128::from(of) * u128::from(100_u64.saturating_sub(percent));
    let scaled = u128::from(viewers) * 100;
    scaled < bound || or_equal && scaled == bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        let rules = EventRules {
            hysteresis_percent: 10,
            drop_percent: 30,
            drop_viewers_min: 10,
            ..EventRules::default()
        };
        assert_eq!([90, 89].map(|viewers| rules.is_below(100, viewers)), [false, true]);
        assert_eq!([71, 70].map(|viewers| rules.is_drop(100, viewers)), [false, true]);
        assert!(!rules.is_drop(9, 0), "the audience was too small");
        assert!(!EventRules { drop_percent: 0, ..rules.clone() }.is_drop(100, 0));
        let strict = EventRules { hysteresis_percent: 0, ..rules };
        assert_eq!([100, 99].map(|viewers| strict.is_below(100, viewers)), [false, true]);
        assert!(!strict.is_below(u64::MAX, u64::MAX));
    }
}
