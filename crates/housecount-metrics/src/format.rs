//! The two text formats of `/metrics`, and the choice by the scraper's `Accept` header.
//!
//! Only a client that names OpenMetrics in `Accept` gets it. Readers of the older format
//! (`promtool`, many agents) reject its `# UNIT` and `# EOF` lines and its counters' names.

use std::cmp::Reverse;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus's text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Format for an `Accept` header: the named one with the highest `q`, and the first of equals.
    /// A wildcard names neither format. A header without a known format gets the default.
    #[must_use]
    pub fn accepted(accept: &str) -> MetricsFormat {
        let ranges = accept.split(',').filter_map(Range::parse);
        let best =
            ranges.filter(|range| range.weight > 0).min_by_key(|range| Reverse(range.weight));
        best.map_or(MetricsFormat::Text, |range| range.format)
    }

    /// Content type of the format.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }
}

/// One entry of an `Accept` header that names a format (RFC 9110, 12.5.1).
struct Range {
    format: MetricsFormat,
    /// `q` in thousandths.
    weight: u16,
}

impl Range {
    /// Parses an entry. Returns `None` for another media type or an unsupported version.
    fn parse(text: &str) -> Option<Range> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next()?;
        let (mut weight, mut version) = (1_000, "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => weight = thousandths(value)?,
                name if name.eq_ignore_ascii_case("version") => version = value,
                _ => {}
            }
        }
        let format = match version {
            "" | "1.0.0" | "0.0.1"
                if media_type.eq_ignore_ascii_case("application/openmetrics-text") =>
            {
                MetricsFormat::OpenMetrics
            }
            "" | "0.0.4" if media_type.eq_ignore_ascii_case("text/plain") => MetricsFormat::Text,
            _ => return None,
        };
        Some(Range { format, weight })
    }
}

/// Parses a number from 0 to 1, in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let weight: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * 1_000.0).round() as u16)
}

/// Converts OpenMetrics text to Prometheus's text format. A family of counters gets the name of its
/// series, an info becomes a gauge, and the lines for units and the end are dropped.
#[must_use]
pub fn as_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut family = Family { help: "", name: "" };
    for line in open_metrics.lines() {
        match line.strip_prefix("# ").map(|rest| rest.split_once(' ').unwrap_or((rest, ""))) {
            // The family's name in this format depends on the type, which is on the next line.
            Some(("HELP", rest)) => {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                family = Family { name, help };
            }
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                family.write(&mut text, name, kind);
            }
            Some(("UNIT" | "EOF", _)) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// Name and help of a family in OpenMetrics text.
struct Family<'a> {
    name: &'a str,
    help: &'a str,
}

impl Family<'_> {
    fn write(&self, text: &mut String, name: &str, kind: &str) {
        let (ending, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            kind => ("", kind),
        };
        if self.name == name && !self.help.is_empty() {
            push(text, &["# HELP ", name, ending, " ", self.help, "\n"]);
        }
        push(text, &["# TYPE ", name, ending, " ", kind, "\n"]);
    }
}

fn push(text: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.push_str(piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_answered_only_where_it_is_asked_for() {
        // Headers that Prometheus 2.49 and 3.0 send, without and with protobuf.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let with_protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3";
        for accept in [
            prometheus,
            with_protobuf,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8",
            "application/openmetrics-text; version=\"1.0.0\"",
            "text/plain; q=0.5, application/openmetrics-text; q=0.501",
            "application/openmetrics-text, text/plain",
            "text/html, application/openmetrics-text; q=0.1",
        ] {
            assert_eq!(MetricsFormat::accepted(accept), MetricsFormat::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/*",
            "application/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/json",
            "application/openmetrics-text; q=0",
            "application/openmetrics-text; q=0.0, */*",
            "application/openmetrics-text; q=0.4, text/plain; q=0.5",
            "text/plain, application/openmetrics-text",
            "application/openmetrics-text; version=2.0.0",
            "application/openmetrics-text; q=nan",
            "application/openmetrics-text; q=2",
            "application/openmetrics-text; q=",
            "application/openmetrics-texts",
        ] {
            assert_eq!(MetricsFormat::accepted(accept), MetricsFormat::Text, "{accept}");
        }
    }

    #[test]
    fn counters_and_infos_are_renamed_and_all_else_stays() {
        let open_metrics = "# HELP a Some.\n# TYPE a counter\na_total{x=\"# EOF\"} 3\n# HELP b_bytes Other.\n# TYPE b_bytes gauge\n\
                            # UNIT b_bytes bytes\nb_bytes 1.5\n# HELP c Build.\n# TYPE c info\nc_info{v=\"1\"} 1\n\
                            # HELP d Times.\n# TYPE d histogram\nd_bucket{le=\"+Inf\"} 2\nd_sum 1.0\nd_count 2\n# EOF\n";
        let text = "# HELP a_total Some.\n# TYPE a_total counter\na_total{x=\"# EOF\"} 3\n# HELP b_bytes Other.\n# TYPE b_bytes gauge\n\
                    b_bytes 1.5\n# HELP c_info Build.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n\
                    # HELP d Times.\n# TYPE d histogram\nd_bucket{le=\"+Inf\"} 2\nd_sum 1.0\nd_count 2\n";
        assert_eq!(as_text(open_metrics), text);
    }
}
