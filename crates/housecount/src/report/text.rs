//! A report for a terminal.

use std::fmt::Write as _;

use housecount_server::calendar::Zone;

use super::{ReportDocument, facts};

/// Cells of the longest bar.
const BAR_CELLS: usize = 40;

/// Returns the report as lines.
pub fn render(of: &ReportDocument, zone: &Zone) -> String {
    let mut text = format!("{}\n{}\n\n", facts::title(of), facts::range(of, zone));
    for (name, value) in facts::main(of, zone) {
        let _ = writeln!(text, "{name:<20}{value}");
    }
    let retention = facts::retention(of);
    if !retention.is_empty() {
        let _ = writeln!(text, "\nStill watching\n{}", facts::retention_note(of));
        for (after, share, viewers) in retention {
            let _ = writeln!(
                text,
                "{after:>12} {:>8} of {:<10} {}",
                facts::percent(share),
                facts::number(viewers),
                bar(share)
            );
        }
    }
    if let Some(title) = facts::by_label(of) {
        let [viewers, watch, average, peak] = facts::VALUE_HEADS;
        let _ = writeln!(text, "\n{title}\n{}", facts::BY_LABEL_NOTE);
        let _ = writeln!(text, "{:<34} {viewers:>10} {watch:>14} {average:>12} {peak:>8}", "");
        for (value, [viewers, watch, average, peak]) in facts::by_value(of) {
            let _ = writeln!(text, "{value:<34} {viewers:>10} {watch:>14} {average:>12} {peak:>8}");
        }
    }
    let histogram = facts::histogram(of);
    let most = histogram.iter().map(|(_, viewers)| *viewers).max().unwrap_or(0).max(1);
    text.push_str("\nViewers by watch time\n");
    for (class, viewers) in histogram {
        let bar = bar(viewers as f64 / most as f64);
        let _ = writeln!(text, "{class:>16} {:>10} {bar}", facts::number(viewers));
    }
    text
}

/// Returns a bar for a part from 0 to 1.
fn bar(part: f64) -> String {
    "#".repeat((part * BAR_CELLS as f64).round() as usize)
}
