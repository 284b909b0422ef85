//! Times as people write them, through the crate `jiff`. All are in UTC.
//!
//! - `zone`: time zones, and their calendar days and months.

mod zone;

use std::ops::Range;

use housecount_core::limits::MOMENT_MS_MIN;
use housecount_core::time::UnixMs;
pub use housecount_engine::internals::format_time;
use housecount_engine::internals::timestamp;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

pub use self::zone::{Period, PeriodUnit, Zone, ZoneError};

/// Numbers that count as seconds: those of 2001-01-01 to 2100-01-01.
const PLAUSIBLE_SECONDS: Range<u64> = MOMENT_MS_MIN / 1_000..4_102_444_800;

/// Reason why a text is not a valid time in a query or a command. The message completes a sentence
/// that begins with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// Neither a number nor a date.
    #[error(
        "is neither RFC 3339 (2026-10-01T12:00:00Z) nor a date (2026-10-01) nor Unix milliseconds"
    )]
    Unreadable,
    /// Eight digits that are not a calendar day.
    #[error("is not a date; write YYYY-MM-DD, YYYYMMDD, RFC 3339 or Unix milliseconds")]
    NotADate,
    /// A number that is a plausible time in seconds.
    #[error("is before 2001-01-01: it looks like seconds; send milliseconds, not seconds: {0}000")]
    Seconds(u64),
    /// Another number below [`MOMENT_MS_MIN`].
    #[error("is before 2001-01-01; send Unix milliseconds, not seconds")]
    EarlyNumber,
    /// A date below [`MOMENT_MS_MIN`].
    #[error("is before 2001-01-01")]
    EarlyDate,
}

/// Parses a time: Unix milliseconds, RFC 3339, or a date (UTC) as `YYYY-MM-DD` or `YYYYMMDD`. Every
/// query and command uses this function.
///
/// # Errors
/// Returns `Unreadable` or `NotADate` for other texts, and the other variants for times before
/// 2001-01-01.
pub fn parse(text: &str) -> Result<UnixMs, MomentError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_digits(text);
    }
    let day = || start_of(text.parse().ok()?);
    let at = text.parse::<Timestamp>().ok().or_else(day).ok_or(MomentError::Unreadable)?;
    not_early(at).ok_or(MomentError::EarlyDate)
}

/// Parses `YYYYMMDD`, or milliseconds of any other number of digits.
fn parse_digits(text: &str) -> Result<UnixMs, MomentError> {
    if text.len() == 8 {
        let day = || start_of(Date::strptime("%Y%m%d", text).ok()?);
        return not_early(day().ok_or(MomentError::NotADate)?).ok_or(MomentError::EarlyDate);
    }
    match text.parse() {
        Ok(ms) if ms >= MOMENT_MS_MIN => Ok(UnixMs(ms)),
        Ok(seconds) if PLAUSIBLE_SECONDS.contains(&seconds) => Err(MomentError::Seconds(seconds)),
        Ok(_) => Err(MomentError::EarlyNumber),
        Err(_) => Err(MomentError::Unreadable),
    }
}

/// First instant of a day (UTC).
fn start_of(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn not_early(at: Timestamp) -> Option<UnixMs> {
    u64::try_from(at.as_millisecond()).ok().filter(|ms| *ms >= MOMENT_MS_MIN).map(UnixMs)
}

/// Whether a time that [`parse`] takes is written as a day. A day begins at another instant in each
/// time zone.
#[must_use]
pub fn is_day(text: &str) -> bool {
    let is_dashless = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_dashless || text.parse::<Date>().is_ok() && text.parse::<Timestamp>().is_err()
}

/// Formats a duration in whole seconds, such as `1h 2m 3s`.
#[must_use]
pub fn format_duration(ms: u64) -> String {
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
            assert_eq!(parse(text), Ok(at), "{text}");
        }
        assert_eq!(format_time(at), "2026-09-21T14:13:20.123Z");
        for day in ["2026-11-01", "20261101"] {
            assert_eq!(format_time(parse(day).unwrap()), "2026-11-01T00:00:00Z");
        }
        for text in
            ["yesterday", "", "+1790000000123", "-1", "1790000000123.5", "99999999999999999999"]
        {
            assert_eq!(parse(text), Err(MomentError::Unreadable), "{text}");
        }
        assert_eq!(format_time(UnixMs::MAX), u64::MAX.to_string());
        assert_eq!(parse(&u64::MAX.to_string()), Ok(UnixMs::MAX));
    }

    #[test]
    fn eight_digits_are_a_date_or_an_error() {
        for text in ["20261301", "20260230", "99999999", "00000000", "17900000"] {
            assert_eq!(parse(text), Err(MomentError::NotADate), "{text}");
        }
        assert_eq!(parse("20001231"), Err(MomentError::EarlyDate));
        assert_eq!(parse("20010101"), Ok(UnixMs(MOMENT_MS_MIN)));
    }

    #[test]
    fn moment_ms_min_catches_seconds() {
        assert_eq!(format_time(UnixMs(MOMENT_MS_MIN)), "2001-01-01T00:00:00Z");
        assert_eq!(format_time(UnixMs(PLAUSIBLE_SECONDS.end * 1_000)), "2100-01-01T00:00:00Z");
        let message = parse("1795948578").unwrap_err().to_string();
        assert!(message.contains("seconds") && message.ends_with("1795948578000"), "{message}");
        for (text, expected) in [
            ("978307200000", Ok(UnixMs(MOMENT_MS_MIN))),
            ("978307199999", Err(MomentError::EarlyNumber)),
            ("4102444800", Err(MomentError::EarlyNumber)),
            ("4102444799", Err(MomentError::Seconds(4_102_444_799))),
            ("978307200", Err(MomentError::Seconds(978_307_200))),
            ("978307199", Err(MomentError::EarlyNumber)),
            ("0", Err(MomentError::EarlyNumber)),
            ("2000-12-31T23:59:59.999Z", Err(MomentError::EarlyDate)),
            ("1969-12-31", Err(MomentError::EarlyDate)),
            ("2001-01-01", Ok(UnixMs(MOMENT_MS_MIN))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn days_are_distinguished_from_other_moments() {
        assert!(["2026-11-01", "20261101"].into_iter().all(is_day));
        assert!(!["2026-11-01T00:00:00Z", "1793491200000"].into_iter().any(is_day));
    }

    #[test]
    fn durations() {
        let texts = [0, 999, 59_999, 60_000, 3_600_000, 93_784_000].map(format_duration);
        assert_eq!(texts, ["0s", "0s", "59s", "1m 0s", "1h 0m 0s", "26h 3m 4s"]);
    }
}
