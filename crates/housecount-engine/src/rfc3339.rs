//! Times as text for people.

use housecount_core::time::UnixMs;
use jiff::Timestamp;

/// Converts a time; `None` if it is beyond the calendar.
#[must_use]
pub fn timestamp(at: UnixMs) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

/// Formats a time in RFC 3339, or as milliseconds if it is beyond the calendar.
#[must_use]
pub fn format_time(at: UnixMs) -> String {
    timestamp(at).map_or_else(|| at.to_string(), |at| at.to_string())
}
