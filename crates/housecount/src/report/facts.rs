//! The rows of a report, as every format but JSON shows them.

use housecount_core::time::UnixMs;
use housecount_reports::labelled::ValueReport;
use housecount_server::calendar::{Zone, format_duration};

use super::ReportDocument;

/// Name and value of a figure.
pub type Fact = (&'static str, String);

/// Returns the title of a report.
pub fn title(of: &ReportDocument) -> String {
    of.stage.clone().unwrap_or_else(|| "All stages".to_string())
}

/// Returns the range of a report, and how final it is.
pub fn range(of: &ReportDocument, zone: &Zone) -> String {
    let shown = |at: u64| short_time(zone, at);
    let range = format!("{} to {}", shown(of.from), shown(of.to));
    if of.complete {
        format!("{range}. Final: all of it is in the ledger.")
    } else {
        format!("{range}. In the ledger up to {}.", shown(of.committed_to))
    }
}

/// Returns a time to the second, with the zone's offset.
pub fn short_time(zone: &Zone, at: u64) -> String {
    let shown = zone.shown(UnixMs(at));
    match (shown.get(..10), shown.get(11..19), shown.get(23..)) {
        (Some(day), Some(time), Some(offset)) => format!("{day} {time} {offset}"),
        _ => shown,
    }
}

/// Returns the main figures.
pub fn main(of: &ReportDocument, zone: &Zone) -> Vec<Fact> {
    let head = &of.report.head;
    let mut facts = vec![
        ("Unique viewers", number(head.unique_viewers)),
        ("Watch time", hours(head.watch_ms)),
        ("Average watch time", format_duration(head.average_watch_ms as u64)),
        ("Median watch time", format_duration(head.median_watch_ms)),
        ("90th percentile", format_duration(head.p90_watch_ms)),
        ("Peak viewers", number(head.peak_viewers)),
    ];
    facts.extend(head.peak_at.map(|at| ("Peak at", short_time(zone, at))));
    facts.extend([
        ("Average viewers", tenths(head.average_viewers)),
        ("Views", number(head.views)),
        ("Joins", number(head.joins)),
        ("Leaves", number(head.leaves)),
    ]);
    facts.extend(head.new_viewers.map(|viewers| ("New viewers", number(viewers))));
    facts.extend(head.returning_viewers.map(|viewers| ("Returning viewers", number(viewers))));
    facts
}

/// Returns a number with a comma after each three digits.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn tenths(value: f64) -> String {
    let tenths = (value * 10.0).round() as u64;
    format!("{}.{}", number(tenths / 10), tenths % 10)
}

fn hours(ms: u64) -> String {
    // Rounded to the nearest hundredth.
    let hundredths = (ms + 18_000) / 36_000;
    format!("{}.{:02} h", number(hundredths / 100), hundredths % 100)
}

/// Returns a duration in minutes, if it has no seconds.
pub fn minutes(ms: u64) -> String {
    if ms.is_multiple_of(60_000) {
        format!("{} min", number(ms / 60_000))
    } else {
        format_duration(ms)
    }
}

/// Returns the classes of watch time, and their viewers.
pub fn histogram(of: &ReportDocument) -> Vec<(String, u64)> {
    let shown = |ms: u64| match ms / 60_000 {
        minutes if minutes >= 60 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    };
    let classes = of.report.histogram.iter().map(|class| {
        let name = match class.to_ms {
            Some(to_ms) if class.from_ms == 0 => format!("below {}", shown(to_ms)),
            Some(to_ms) => format!("{} to {}", shown(class.from_ms), shown(to_ms)),
            None => format!("{} and more", shown(class.from_ms)),
        };
        (name, class.viewers)
    });
    classes.collect()
}

/// Heads of the columns of [`by_value`].
pub const VALUE_HEADS: [&str; 4] = ["Viewers", "Watch time", "Average", "Peak"];

/// Returns the title of the figures by label; `None` without them.
pub fn by_label(of: &ReportDocument) -> Option<String> {
    of.by.as_ref().map(|by| format!("By {}", by.key))
}

/// Returns the values of the label with their figures, those with the most watch time first.
pub fn by_value(of: &ReportDocument) -> Vec<(String, [String; 4])> {
    let values = of.by.iter().flat_map(|by| &by.values);
    let row = |of: &ValueReport| {
        let figures = [
            number(of.head.unique_viewers),
            hours(of.head.watch_ms),
            format_duration(of.head.average_watch_ms as u64),
            number(of.head.peak_viewers),
        ];
        (of.value.clone().unwrap_or_else(|| "not set".to_string()), figures)
    };
    values.map(row).collect()
}

/// Sentence that explains the figures by label.
pub const BY_LABEL_NOTE: &str =
    "A viewer with two values is in both rows, so the sum of the rows may exceed the whole.";

/// Returns the times since a viewer came, the shares that are watching, and of how many viewers.
pub fn retention(of: &ReportDocument) -> Vec<(String, f64, u64)> {
    let after = of.report.retention.iter().flat_map(|retention| &retention.after);
    after
        .map(|point| (format!("{} min", point.after_ms / 60_000), point.share, point.viewers))
        .collect()
}

/// Returns the sentence that explains the retention.
pub fn retention_note(of: &ReportDocument) -> String {
    let Some(retention) = &of.report.retention else { return String::new() };
    format!(
        "{} viewers came in the first {} of the broadcast. These shares of them were watching, by \
         the time since each came.",
        number(retention.viewers),
        minutes(retention.cohort_ms)
    )
}

/// Returns a share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
