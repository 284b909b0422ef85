//! docs/PERFORMANCE.md: the measured figures in tables. Text that people wrote between the marks of
//! the notes is kept.

use std::path::Path;

use anyhow::Context;

use crate::goals::Goal;
use crate::results::{Median, Results, Row, figure};

const NOTES: &str = "<!-- notes -->";
const NOTES_END: &str = "<!-- /notes -->";

/// A table for a terminal or a document.
#[derive(Debug)]
pub struct Table {
    /// Title above the table.
    pub title: &'static str,
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Rows, with one cell per column.
    pub rows: Vec<Vec<String>>,
}

/// Builds the table of goals.
pub fn goals_table(goals: &[Goal]) -> Table {
    let rows = goals.iter().map(|goal| {
        let reached = match goal.is_reached {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let measured = goal.measured.clone().unwrap_or_else(|| "not measured".to_string());
        vec![goal.what.clone(), measured, goal.limit.clone(), reached.to_string()]
    });
    Table {
        title: "What must be reached",
        head: vec!["what", "measured", "at most", "reached"],
        rows: rows.collect(),
    }
}

/// Builds the tables of all figures.
pub fn tables(results: &Results) -> Vec<Table> {
    let show = |row: &Row, name: &str, digits, scale| {
        cell(row.median(name).map(|m| m.scaled(scale)), digits)
    };
    let with =
        |figure: &'static str| results.rows.iter().filter(move |row| row.median(figure).is_some());
    let cpu = with(figure::SERVER_US).map(|row| {
        vec![
            row.contender.clone(),
            row.load.clone(),
            show(row, figure::SERVER_US, 2, 1.0),
            show(row, figure::REDIS_US, 2, 1.0),
            cell(floor(results, row), 2),
            cell_of_rate(row.median(figure::RATE)),
            show(row, figure::P50_MS, 1, 1.0),
            show(row, figure::P99_MS, 1, 1.0),
            show(row, figure::OWN_P99_MS, 2, 1.0),
            row.median(figure::ERRORS)
                .filter(|m| m.max > 0.0)
                .map_or(String::new(), |m| m.max.to_string()),
        ]
    });
    let connections = with(figure::CONNECTION_BYTES).map(|row| {
        vec![
            row.contender.clone(),
            row.load.clone(),
            show(row, figure::CONNECTION_BYTES, 2, 1.0 / 1024.0),
        ]
    });
    let crowd = with(figure::VIEWER_BYTES).map(|row| {
        vec![
            row.contender.clone(),
            show(row, figure::VIEWER_BYTES, 0, 1.0),
            show(row, figure::REDIS_VIEWER_BYTES, 0, 1.0),
            show(row, figure::FEW_US, 2, 1.0),
            show(row, figure::MANY_US, 2, 1.0),
        ]
    });
    let log = with(figure::STEADY_BYTES).map(|row| {
        vec![
            row.load.clone(),
            show(row, figure::JOIN_BYTES, 1, 1.0),
            show(row, figure::STEADY_BYTES, 1, 1.0),
            show(row, figure::JOIN_MEMORY, 1, 1.0),
            show(row, figure::STEADY_MEMORY, 1, 1.0),
            show(row, figure::STEADY_BATCH, 0, 1.0),
        ]
    });
    let all = [
        Table {
            title: "CPU a heartbeat",
            head: vec![
                "contender",
                "load",
                "server, us",
                "Redis, us",
                "all, x floor",
                "heartbeats/s",
                "p50, ms",
                "p99, ms",
                "sent late, p99, ms",
                "errors",
            ],
            rows: cpu.collect(),
        },
        Table {
            title: "Memory a connection",
            head: vec!["contender", "of", "KiB"],
            rows: connections.collect(),
        },
        Table {
            title: "A crowd on one stage",
            head: vec![
                "contender",
                "node, B a viewer",
                "Redis, B a viewer",
                "known beat in batches, few, us",
                "many, us",
            ],
            rows: crowd.collect(),
        },
        Table {
            title: "Bytes a heartbeat in the log",
            head: vec![
                "how they come",
                "first, B of record",
                "later, B of record",
                "first, B of Redis",
                "later, B of Redis",
                "later a record",
            ],
            rows: log.collect(),
        },
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// Builds the table of the contenders that were measured.
pub fn contenders(results: &Results) -> Table {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in &results.rows {
        if rows.iter().all(|known| known.first() != Some(&row.contender)) {
            rows.push(vec![row.contender.clone(), row.what.clone()]);
        }
    }
    Table { title: "Contenders", head: vec!["contender", "what it is"], rows }
}

/// Returns all CPU of a row as a multiple of the bare stack's under the same load.
fn floor(results: &Results, row: &Row) -> Option<Median> {
    let bare = ["floor", "ws-echo"].into_iter().find_map(|name| results.row(name, &row.load))?;
    row.ratio(figure::ALL_US, bare, figure::ALL_US)
}

fn cell(median: Option<Median>, digits: usize) -> String {
    median.map_or(String::new(), |m| format!("{:.digits$}{}", m.median, m.range(digits)))
}

fn cell_of_rate(median: Option<Median>) -> String {
    let grouped = |n: f64| {
        let digits = format!("{n:.0}");
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    median.map_or(String::new(), |m| grouped(m.median))
}

impl Table {
    fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let mut text = line(&mut self.head.iter().copied());
        text += &format!("|{}\n", "---|".repeat(self.head.len()));
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// Reads the notes that people wrote into the existing document. The harness also calls it before
/// the run, so that a bad document fails early, not after an hour.
pub fn notes(path: &Path) -> anyhow::Result<String> {
    let old = match std::fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok("\n".to_string()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let notes = notes_of(&old).map(str::to_string);
    notes.with_context(|| {
        let path = path.display();
        format!("{path} has no {NOTES} ... {NOTES_END}: bench/run did not make it; move it away, or say --report FILE")
    })
}

/// Writes the document again around its notes.
pub fn write(path: &Path, results: &Results, goals: &[Goal]) -> anyhow::Result<()> {
    let text = document(results, goals, &notes(path)?);
    let half = path.with_extension("md.new");
    std::fs::write(&half, text).with_context(|| format!("writing {}", half.display()))?;
    std::fs::rename(&half, path).with_context(|| format!("writing {}", path.display()))
}

fn notes_of(text: &str) -> Option<&str> {
    Some(text.split_once(NOTES)?.1.split_once(NOTES_END)?.0)
}

fn document(results: &Results, goals: &[Goal], notes: &str) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "# Performance\n\nWritten by `bench/run`; only the notes are by hand. [bench/README.md](../bench/README.md) says how each figure is measured.\n\n\
         ```sh\n{}\n```\n\n\
         Rounds: {}, {} s a load; medians over the rounds, in brackets the least and the greatest. All in one run on one machine, servers and load together: \
         {} cores, {}, Linux {}; {}; {}. Load average before the run: {:.2}.\n",
        results.command,
        results.rounds,
        results.seconds,
        machine.cores,
        machine.cpu,
        machine.kernel,
        machine.versions.join(", "),
        machine.date,
        machine.load_before,
    );
    if let Some(warning) = machine.warning() {
        text += &format!("\n**Not to be relied on: {warning}.**\n");
    }
    text += &format!("\n{NOTES}{notes}{NOTES_END}\n");
    for table in
        [goals_table(goals)].into_iter().chain(tables(results)).chain([contenders(results)])
    {
        text += &format!("\n## {}\n\n{}", table.title, table.markdown());
    }
    for (title, lines) in [("Left out", &results.skipped), ("Failed", &results.failures)] {
        if !lines.is_empty() {
            text += &format!("\n## {title}\n\n");
            for line in lines {
                text += &format!("- {line}\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found() {
        assert_eq!(notes_of("a<!-- notes -->\nb\n<!-- /notes -->c"), Some("\nb\n"));
        assert_eq!(notes_of("a<!-- notes -->b"), None);
    }

    #[test]
    fn rates_are_grouped() {
        let rate = |n| cell_of_rate(Median::of(vec![n]));
        assert_eq!([rate(3_333.0), rate(999.0), rate(1_234_567.4)], ["3,333", "999", "1,234,567"]);
    }
}
