//! Crossover: the audience size at which two plans cost the same.

use super::Usd;
use super::plans::AudienceProfile;

/// Maximum number of viewers that a search for a crossover considers.
const CROSSOVER_VIEWERS_MAX: u64 = 100_000_000;

/// Returns the largest number of viewers for which `one` costs at most as much as `other`. Returns
/// `None` if `one` costs more even for one viewer. Both costs must grow, `one` faster. Otherwise
/// the search returns its upper end.
#[must_use]
pub fn crossover(
    of: &AudienceProfile,
    one: impl Fn(&AudienceProfile) -> Usd,
    other: impl Fn(&AudienceProfile) -> Usd,
) -> Option<u64> {
    let is_cheaper = |viewers| {
        let of = AudienceProfile { viewers, ..*of };
        one(&of) <= other(&of)
    };
    if !is_cheaper(1) {
        return None;
    }
    let (mut yes, mut no) = (1, CROSSOVER_VIEWERS_MAX);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if is_cheaper(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::{CostPlan, pure_dynamodb, pure_redis};
    use crate::prices::{PriceList, ours};

    #[test]
    fn crossovers_are_where_they_cross() {
        let (prices, of) = (ours(), AudienceProfile::default());
        let total = |plan: CostPlan| plan.bill(&prices, PriceList::Now).total();
        // A viewer of pure DynamoDB costs $0.0657, so 142 of them cost as much as a node of $9.34.
        let found = crossover(&of, |of| total(pure_dynamodb(of)), |of| total(pure_redis(of)));
        assert_eq!(found, Some(142));
        assert_eq!(crossover(&of, |_| Usd(2), |_| Usd(1)), None);
        assert_eq!(crossover(&of, |_| Usd(1), |_| Usd(1)), Some(CROSSOVER_VIEWERS_MAX - 1));
    }
}
