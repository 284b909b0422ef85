//! Time: Unix milliseconds on the log's clock.
//!
//! A plain count of milliseconds, not a calendar. The crate `housecount` parses and prints dates.
//! All arithmetic saturates, because a time may come from outside (a stored record, a query
//! parameter).

use std::fmt;

/// Milliseconds of a UTC day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A moment on the log's clock, in milliseconds since 1970-01-01T00:00:00Z.
///
/// `UnixMs::ZERO` also serves as "never": no event can be that old.
///
/// ```
/// use housecount_core::time::UnixMs;
///
/// let began = UnixMs(1_790_035_200_000);
/// assert_eq!(began.plus(30_000).since(began), 30_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The epoch, which means "never" where a moment is optional.
    pub const ZERO: UnixMs = UnixMs(0);
    /// The maximum, later than any event.
    pub const MAX: UnixMs = UnixMs(u64::MAX);

    /// Returns the moment `ms` later.
    #[must_use]
    pub fn plus(self, ms: u64) -> UnixMs {
        UnixMs(self.0.saturating_add(ms))
    }

    /// Returns the moment `ms` earlier, never before the epoch.
    #[must_use]
    pub fn minus(self, ms: u64) -> UnixMs {
        UnixMs(self.0.saturating_sub(ms))
    }

    /// Returns the milliseconds from `earlier` to here, or 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: UnixMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the last multiple of `step_ms` since the epoch that is not later than this moment.
    ///
    /// A step of 0 counts as 1, so that no setting can divide by zero.
    #[must_use]
    pub fn aligned(self, step_ms: u64) -> UnixMs {
        UnixMs(self.0 - self.0 % step_ms.max(1))
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMs::MAX.plus(1), UnixMs::MAX);
        assert_eq!(UnixMs::ZERO.minus(1), UnixMs::ZERO);
        assert_eq!(UnixMs(5).since(UnixMs(9)), 0);
    }

    #[test]
    fn aligned_is_the_last_multiple() {
        assert_eq!(UnixMs(899_999).aligned(300_000), UnixMs(600_000));
        assert_eq!(UnixMs(900_000).aligned(300_000), UnixMs(900_000));
        assert_eq!(UnixMs(7).aligned(0), UnixMs(7));
    }
}
