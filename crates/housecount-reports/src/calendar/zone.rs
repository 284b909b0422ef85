//! Time zones by their IANA names, and their calendar days and months.
//!
//! The zone data is compiled into the binary and comes from no other source. A bare machine has
//! none, and every machine must export the same.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use jiff::civil::Date;
use jiff::tz::{TimeZone, db};

use super::timestamp;
use crate::nearest::distance;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that is not a time zone's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a time zone; did you mean `{nearest}`? Names are those of the IANA database, such as Europe/Berlin"
)]
pub struct ZoneError {
    name: String,
    nearest: String,
}

/// Unit of a calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodUnit {
    /// Calendar days, which may have 23 or 25 hours.
    Day,
    /// Calendar months.
    Month,
}

/// A calendar day or month, clipped to a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Name, such as `2026-10` or `2026-10-25`.
    pub name: String,
    /// Start of the whole period, even if that is before the range.
    pub starts_at: UnixMs,
    /// Part of the period within the range.
    pub span: Span,
}

impl Zone {
    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// Returns the zone of an IANA name, in upper or lower case.
    ///
    /// # Errors
    /// Returns `ZoneError` for any other text; the error names the zone with the nearest name.
    pub fn parse(name: &str) -> Result<Zone, ZoneError> {
        match db().get(name) {
            Ok(zone) if !zone.is_unknown() => Ok(Zone(zone)),
            _ => Err(ZoneError { name: name.to_string(), nearest: nearest(name) }),
        }
    }

    /// First instant of a day in this zone; `day` is its midnight in UTC.
    #[must_use]
    pub fn start_of_day(&self, day: UnixMs) -> UnixMs {
        let date = timestamp(day).map(|at| at.to_zoned(TimeZone::UTC).date());
        date.and_then(|date| self.start(date)).unwrap_or(day)
    }

    /// Formats a time in RFC 3339, to the millisecond, with the zone's offset. A time beyond the
    /// calendar is formatted as milliseconds.
    #[must_use]
    pub fn shown(&self, at: UnixMs) -> String {
        let zoned = timestamp(at).map(|at| at.to_zoned(self.0.clone()));
        zoned.map_or_else(
            || at.to_string(),
            |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        )
    }

    /// Splits a range into calendar days or months.
    #[must_use]
    pub fn periods(&self, range: Span, unit: PeriodUnit) -> Vec<Period> {
        let (mut periods, mut from) = (Vec::new(), range.from);
        while from < range.to {
            let period = self.period_of(from, unit).unwrap_or_else(|| Period {
                name: "beyond the calendar".to_string(),
                starts_at: from,
                span: Span::new(from, UnixMs::MAX),
            });
            let span = Span::new(from, period.span.to.min(range.to));
            from = span.to;
            periods.push(Period { span, ..period });
        }
        periods
    }

    /// Returns the whole period that contains a time.
    fn period_of(&self, at: UnixMs, unit: PeriodUnit) -> Option<Period> {
        let mut day = timestamp(at)?.to_zoned(self.0.clone()).date();
        // Where clocks go back over midnight, a day begins before the previous day has ended. The
        // later day counts.
        while let Some(next) =
            day.tomorrow().ok().filter(|next| self.start(*next).is_some_and(|start| start <= at))
        {
            day = next;
        }
        let (first, next, format) = match unit {
            PeriodUnit::Day => (day, day.tomorrow().ok()?, "%Y-%m-%d"),
            PeriodUnit::Month => {
                (day.first_of_month(), day.last_of_month().tomorrow().ok()?, "%Y-%m")
            }
        };
        let (starts_at, ends_at) = (self.start(first)?, self.start(next)?);
        let name = first.strftime(format).to_string();
        Some(Period { name, starts_at, span: Span::new(starts_at, ends_at) })
    }

    /// First instant of a day. Where midnight is skipped, the instant after the gap; where there
    /// are two midnights, the first.
    fn start(&self, day: Date) -> Option<UnixMs> {
        let start = day.to_zoned(self.0.clone()).ok()?.timestamp();
        u64::try_from(start.as_millisecond()).ok().map(UnixMs)
    }
}

/// Returns the known name nearest to `name`, compared with the whole name or with its last part.
fn nearest(name: &str) -> String {
    let wanted = name.to_lowercase();
    let near = db().available().map(|known| {
        let lower = known.as_str().to_lowercase();
        let place = lower.rsplit('/').next().unwrap_or(&lower);
        (distance(&lower, &wanted).min(distance(place, &wanted)), known.as_str().to_string())
    });
    near.min().map_or_else(|| "UTC".to_string(), |(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap()
    }

    fn at(text: &str) -> UnixMs {
        text.parse::<jiff::Timestamp>().map(|at| UnixMs(at.as_millisecond() as u64)).unwrap()
    }

    #[test]
    fn zones_come_with_the_binary() {
        assert_eq!(zone("europe/berlin"), zone("Europe/Berlin"));
        assert!(db().available().count() > 400);
        assert_eq!(zone("UTC").shown(at("2026-10-01T00:00:00Z")), "2026-10-01T00:00:00.000+00:00");
    }

    #[test]
    fn an_unknown_zone_is_named_with_the_nearest() {
        for (name, nearest) in [
            ("Europe/Berln", "Europe/Berlin"),
            ("berlin", "Europe/Berlin"),
            ("Kolkatta", "Asia/Kolkata"),
            ("America/New York", "America/New_York"),
            ("Etc/Unknown", "Etc/"),
            ("", ""),
        ] {
            let error = Zone::parse(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{name}` is not a time zone; did you mean `{nearest}")),
                "{error}"
            );
        }
    }

    /// 2026-03-29 has 23 hours in Berlin, and 2026-10-25 has 25.
    #[test]
    fn days_of_23_and_25_hours() {
        let berlin = zone("Europe/Berlin");
        let day = |text: &str| berlin.start_of_day(at(text));
        assert_eq!(day("2026-03-29T00:00:00Z"), at("2026-03-28T23:00:00Z"));
        assert_eq!(day("2026-10-25T00:00:00Z"), at("2026-10-24T22:00:00Z"));
        let range = Span::new(day("2026-10-24T00:00:00Z"), day("2026-10-27T00:00:00Z"));
        let days: Vec<_> = berlin.periods(range, PeriodUnit::Day);
        let shown: Vec<_> =
            days.iter().map(|day| (day.name.as_str(), day.span.ms() / HOUR_MS)).collect();
        assert_eq!(shown, [("2026-10-24", 24), ("2026-10-25", 25), ("2026-10-26", 24)]);
        assert_eq!(berlin.shown(days[2].starts_at), "2026-10-26T00:00:00.000+01:00");
        let range = Span::new(day("2026-03-29T00:00:00Z"), day("2026-03-30T00:00:00Z"));
        assert_eq!(range.ms(), 23 * HOUR_MS);
        // The same hour twice, distinguished by its offset.
        let hours =
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(|text| berlin.shown(at(text)));
        assert_eq!(hours, ["2026-10-25T02:30:00.000+02:00", "2026-10-25T02:30:00.000+01:00"]);
    }

    #[test]
    fn months_join() {
        let range = Span::new(at("2026-11-15T00:00:00Z"), at("2027-01-02T00:00:00Z"));
        for (zone, december) in
            [(Zone::utc(), "2026-12-01T00:00:00Z"), (zone("Europe/Berlin"), "2026-11-30T23:00:00Z")]
        {
            let months = zone.periods(range, PeriodUnit::Month);
            let names: Vec<&str> = months.iter().map(|month| month.name.as_str()).collect();
            assert_eq!(names, ["2026-11", "2026-12", "2027-01"]);
            assert_eq!((months[0].span.from, months[1].span.from), (range.from, at(december)));
            assert_eq!(months[1].starts_at, at(december));
            assert_eq!(months.iter().map(|month| month.span.ms()).sum::<u64>(), range.ms());
        }
        let day = parse("2026-11-01").unwrap();
        assert!(Zone::utc().periods(Span::new(day, day), PeriodUnit::Month).is_empty());
        let far = Span::new(UnixMs(u64::MAX - 1), UnixMs::MAX);
        assert_eq!(Zone::utc().periods(far, PeriodUnit::Day)[0].name, "beyond the calendar");
    }

    /// In every zone, days tile the time and months consist of days. Skipped midnights, double
    /// midnights and missing days do not change that.
    #[test]
    fn days_tile_the_time_in_every_zone() {
        let range = Span::new(at("2011-10-25T05:17:00Z"), at("2012-01-10T00:00:00Z"));
        for name in db().available() {
            let zone = zone(name.as_str());
            for unit in [PeriodUnit::Day, PeriodUnit::Month] {
                let periods = zone.periods(range, unit);
                assert_eq!(
                    (periods[0].span.from, periods[periods.len() - 1].span.to),
                    (range.from, range.to)
                );
                for two in periods.windows(2) {
                    assert_eq!(two[0].span.to, two[1].span.from, "{name}");
                    assert!(
                        two[0].name < two[1].name && two[1].starts_at == two[1].span.from,
                        "{name}: {two:?}"
                    );
                }
                // Davis Station put its clocks back by two hours, Casey by three.
                let hours_max = if unit == PeriodUnit::Day { 27 } else { 32 * 24 };
                let longest = periods.iter().map(|of| of.span.ms()).max();
                assert!(longest <= Some(hours_max * HOUR_MS), "{name}: {longest:?}");
            }
        }
        let samoa = zone("Pacific/Apia").periods(range, PeriodUnit::Day);
        assert!(samoa.iter().all(|day| day.name != "2011-12-30"), "Samoa had no 2011-12-30");
    }
}
