//! A report as Markdown.

use std::fmt::Write as _;

use housecount_server::calendar::Zone;

use super::{ReportDocument, facts};

/// Returns the report as Markdown.
pub fn render(of: &ReportDocument, zone: &Zone) -> String {
    let title = escaped(&facts::title(of));
    let mut text = format!("# {title}\n\n{}\n\n| | |\n|---|---:|\n", facts::range(of, zone));
    for (name, value) in facts::main(of, zone) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let retention = facts::retention(of);
    if !retention.is_empty() {
        let note = facts::retention_note(of);
        let _ = writeln!(
            text,
            "\n## Still watching\n\n{note}\n\n| after | share | of |\n|---:|---:|---:|"
        );
        for (after, share, viewers) in retention {
            let _ = writeln!(
                text,
                "| {after} | {} | {} |",
                facts::percent(share),
                facts::number(viewers)
            );
        }
    }
    if let Some(title) = facts::by_label(of) {
        let heads = facts::VALUE_HEADS.join(" | ");
        let _ = writeln!(
            text,
            "\n## {}\n\n{}\n\n| | {heads} |\n|---|---:|---:|---:|---:|",
            escaped(&title),
            facts::BY_LABEL_NOTE
        );
        for (value, figures) in facts::by_value(of) {
            let _ = writeln!(text, "| {} | {} |", escaped(&value), figures.join(" | "));
        }
    }
    text.push_str("\n## Viewers by watch time\n\n| watch time | viewers |\n|---|---:|\n");
    for (class, viewers) in facts::histogram(of) {
        let _ = writeln!(text, "| {class} | {} |", facts::number(viewers));
    }
    text
}

/// Returns a text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let is_special =
        |c: char| c.is_ascii_punctuation() && !matches!(c, '.' | ',' | ':' | '/' | '-');
    let mut safe = String::new();
    for c in text.chars() {
        if is_special(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
