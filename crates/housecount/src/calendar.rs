//! Moments as people write them, through the crate `jiff`. All in UTC.
//!
//! - `zone`: time zones, and their calendar days and months.

mod zone;

use housecount_core::time::UnixMs;
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::zone::{Period, PeriodUnit, Zone, ZoneError};

/// A moment as Unix milliseconds or RFC 3339; `None` if it is neither.
#[must_use]
pub fn parse(text: &str) -> Option<UnixMs> {
    if let Ok(ms) = text.parse() {
        return Some(UnixMs(ms));
    }
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let at = text.parse::<Timestamp>().ok().or_else(|| day().map(|day| day.timestamp()))?;
    u64::try_from(at.as_millisecond()).ok().map(UnixMs)
}

/// Whether a moment is written as a day, which begins at another moment in each time zone.
#[must_use]
pub fn is_day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok() && text.parse::<Timestamp>().is_err()
}

fn timestamp(at: UnixMs) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

/// A moment in RFC 3339; its milliseconds if it is beyond the calendar.
#[must_use]
pub fn shown(at: UnixMs) -> String {
    timestamp(at).map_or_else(|| at.to_string(), |at| at.to_string())
}

/// A duration as people say it, such as `1h 2m 3s`, whole seconds of it.
#[must_use]
pub fn spoken(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds}s"),
        _ => format!("{hours}h {minutes}m {seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let at = UnixMs(1_790_000_000_123);
        for text in ["1790000000123", "2026-09-21T14:13:20.123Z", "2026-09-21T16:13:20.123+02:00"] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert_eq!(shown(at), "2026-09-21T14:13:20.123Z");
        assert_eq!(shown(parse("2026-11-01").unwrap()), "2026-11-01T00:00:00Z");
        assert_eq!((parse("yesterday"), parse("")), (None, None));
        assert_eq!(shown(UnixMs::MAX), u64::MAX.to_string());
    }

    #[test]
    fn durations() {
        let said = [0, 999, 59_999, 60_000, 3_600_000, 93_784_000].map(spoken);
        assert_eq!(said, ["0s", "0s", "59s", "1m 0s", "1h 0m 0s", "26h 3m 4s"]);
    }
}
