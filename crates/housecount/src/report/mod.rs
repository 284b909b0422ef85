//! A report as a document: text, JSON, Markdown, or one HTML page that can be sent to a customer.

mod chart;
mod facts;
mod html;
mod markdown;
mod text;

use housecount_reports::figures::Report;
use housecount_reports::labelled::LabelReport;
use housecount_server::calendar::Zone;
use serde::Serialize;

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// Lines for a terminal.
    Text,
    /// The answer of `GET /v1/report`.
    Json,
    /// Tables for a wiki or an issue.
    Markdown,
    /// A page with charts, which loads nothing.
    Html,
}

/// A report, its stage and its range.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportDocument {
    /// The stage; `None` for all stages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub report: Report,
    /// The main figures by the values of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<LabelReport>,
    /// Start of the range, Unix ms.
    pub from: u64,
    /// End of the range, Unix ms, not included.
    pub to: u64,
    /// Time up to which the ledger has the range, Unix ms.
    pub committed_to: u64,
    /// Whether the ledger has the whole range.
    pub complete: bool,
    /// The setting `ttl`, ms.
    pub ttl_ms: u64,
}

impl ReportDocument {
    /// Returns the document in a format. Times are shown in this zone.
    #[must_use]
    pub fn render(&self, format: ReportFormat, zone: &Zone) -> String {
        match format {
            ReportFormat::Text => text::render(self, zone),
            // The fields can always be serialized.
            ReportFormat::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
            ReportFormat::Markdown => markdown::render(self, zone),
            ReportFormat::Html => html::render(self, zone),
        }
    }
}

#[cfg(test)]
mod tests;
