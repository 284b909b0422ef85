//! Terminal output.

use std::io::Write;

use crate::contender::Contender;
use crate::goals::Goal;
use crate::report::{self, Table};
use crate::results::Results;

/// Prints the contenders and their loads.
pub fn list(contenders: &[Contender]) {
    let mut text = String::new();
    for contender in contenders {
        let quick = if contender.is_quick { " (also in --quick)" } else { "" };
        text += &format!("{}: {}{quick}\n", contender.name, contender.what);
        for load in &contender.loads {
            text += &format!("    {load}\n");
        }
    }
    say(&text);
}

/// Prints the tables of the report.
pub fn print(results: &Results, goals: &[Goal]) {
    let tables = report::tables(results).into_iter().chain([report::goals_table(goals)]);
    let mut text: String = tables.map(|table| plain(&table)).collect();
    for (what, lines) in [("Left out", &results.skipped), ("Failed", &results.failures)] {
        if !lines.is_empty() {
            text += &format!("\n{what}:\n");
        }
        for line in lines {
            text += &format!("  {line}\n");
        }
    }
    say(&text);
}

/// Prints a text. A closed pipe, such as `| head`, is not an error.
pub fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn plain(table: &Table) -> String {
    let mut text = format!("\n{}\n\n", table.title);
    let head: Vec<String> = table.head.iter().map(ToString::to_string).collect();
    let rows: Vec<&Vec<String>> = [&head].into_iter().chain(&table.rows).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}
