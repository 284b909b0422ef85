//! The count of a stage that players and the public see: exact, rounded, or hidden.

/// View that players and the public have of a stage's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicCount {
    /// The count itself.
    #[default]
    Exact,
    /// The count, rounded by [`rounded`].
    Rounded,
    /// No count.
    Hidden,
}

impl PublicCount {
    /// All values.
    pub const ALL: [PublicCount; 3] =
        [PublicCount::Exact, PublicCount::Rounded, PublicCount::Hidden];

    /// Name in the API, in settings and in stored items.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PublicCount::Exact => "exact",
            PublicCount::Rounded => "rounded",
            PublicCount::Hidden => "hidden",
        }
    }

    /// Returns the value of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<PublicCount> {
        PublicCount::ALL.into_iter().find(|value| value.name() == name)
    }

    /// Returns what is seen of a count; `None` if that is nothing.
    #[must_use]
    pub fn of(self, count: u64) -> Option<u64> {
        match self {
            PublicCount::Exact => Some(count),
            PublicCount::Rounded => Some(rounded(count)),
            PublicCount::Hidden => None,
        }
    }
}

/// Rounds a count down to two significant digits, and below 100 to a multiple of ten. Counts of 1
/// to 9 become 10: a stage with viewers never shows none.
#[must_use]
pub fn rounded(count: u64) -> u64 {
    match count {
        0 => 0,
        1..20 => 10,
        20..100 => count / 10 * 10,
        100.. => {
            let step = 10_u64.pow(count.ilog10() - 1);
            count / step * step
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_rounded_as_documented() {
        for (count, expected) in [
            (0, 0),
            (1, 10),
            (9, 10),
            (10, 10),
            (19, 10),
            (20, 20),
            (99, 90),
            (100, 100),
            (109, 100),
            (110, 110),
            (999, 990),
            (1_000, 1_000),
            (1_234, 1_200),
            (98_765, 98_000),
            (u64::MAX, 18_000_000_000_000_000_000),
        ] {
            assert_eq!(rounded(count), expected, "{count}");
        }
    }

    proptest! {
        /// So a rounded count of sessions is not below that of viewers, and none is far off.
        #[test]
        fn rounding_keeps_the_order_and_nine_tenths(one: u64, other: u64, shift in 0u32..64) {
            let (one, other) = (one >> shift, other >> shift);
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(rounded(low) <= rounded(high));
            prop_assert_eq!(rounded(rounded(low)), rounded(low));
            if low >= 100 {
                prop_assert!(rounded(low) <= low && low - rounded(low) <= low / 10);
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for value in PublicCount::ALL {
            assert_eq!(PublicCount::parse(value.name()), Some(value));
        }
        assert_eq!(PublicCount::parse("Exact"), None);
        let seen = |count| PublicCount::ALL.map(|value| value.of(count));
        assert_eq!(seen(1_234), [Some(1_234), Some(1_200), None]);
    }
}
