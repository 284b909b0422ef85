//! Outcomes: heartbeats and figures by row and binary, and their Markdown tables.

use crate::machine::Machine;
use crate::results::Median;

use super::metrics::Hold;
use super::probe::Samples;

/// Goal for a figure: a limit that it must not exceed.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Text for the table; empty without a goal.
    pub text: String,
    /// Limit of the figure, if it is a number.
    pub limit: Option<f64>,
}

impl Goal {
    /// Returns a goal with this limit.
    pub fn at_most(limit: f64) -> Goal {
        Goal { text: number(limit, 3), limit: Some(limit) }
    }

    /// Returns a goal whose limit follows from another figure of the same binary.
    pub fn at_most_by(limit: Option<f64>, text: &str) -> Goal {
        Goal { text: text.to_string(), limit }
    }

    /// Returns a goal without a limit.
    pub fn none() -> Goal {
        Goal::default()
    }
}

/// A figure of one binary.
#[derive(Clone, Debug, Default)]
struct Cell {
    values: Vec<f64>,
    text: Option<String>,
    goal: Goal,
}

impl Cell {
    fn median(&self) -> Option<f64> {
        Median::of(self.values.clone()).map(|median| median.median)
    }

    fn shown(&self, digits: usize) -> String {
        self.median()
            .map(|m| number(m, digits))
            .or_else(|| self.text.clone())
            .unwrap_or_else(|| "-".to_string())
    }

    /// Returns whether the goal is reached, if it has a limit. A text in place of a figure is
    /// beyond the limit.
    fn is_reached(&self) -> Option<bool> {
        let limit = self.goal.limit?;
        self.median().map(|median| median <= limit).or_else(|| self.text.as_ref().map(|_| false))
    }
}

/// A line of the table of figures.
#[derive(Clone, Debug)]
struct Line {
    row: u8,
    what: String,
    digits: usize,
    cells: Vec<Cell>,
}

/// A line of the table of heartbeats.
#[derive(Clone, Debug)]
struct Beats {
    row: u8,
    beside: String,
    cells: Vec<BeatsCell>,
}

#[derive(Clone, Debug, Default)]
struct BeatsCell {
    heartbeats: Samples,
    workers: Samples,
    others: Vec<f64>,
    goal: Goal,
}

/// A histogram of one phase, for the table.
#[derive(Clone, Debug)]
struct HoldLine {
    row: u8,
    beside: String,
    build: &'static str,
    hold: Hold,
}

/// All measurements of a run.
#[derive(Debug)]
pub struct Outcomes {
    builds: Vec<&'static str>,
    lines: Vec<Line>,
    beats: Vec<Beats>,
    holds: Vec<HoldLine>,
    /// Scenes that were left out or failed, with the reasons.
    pub failures: Vec<String>,
}

/// Row and binary that an outcome belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the binary.
    pub build: usize,
    /// Row of the table.
    pub row: u8,
}

impl Outcomes {
    /// Creates empty outcomes for these binaries.
    pub fn new(builds: Vec<&'static str>) -> Outcomes {
        Outcomes {
            builds,
            lines: Vec::new(),
            beats: Vec::new(),
            holds: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, place: Place, what: &str, value: f64, digits: usize, goal: Goal) {
        if let Some(cell) = self.cell(place, what, Some(digits)) {
            cell.values.push(value);
            cell.goal = goal;
        }
    }

    /// Adds a text in place of a figure whose measurement did not end in time. If the goal has a
    /// limit, the text counts as beyond it.
    pub fn text(&mut self, place: Place, what: &str, text: String, goal: Goal) {
        if let Some(cell) = self.cell(place, what, None) {
            cell.text = Some(text);
            cell.goal = goal;
        }
    }

    fn cell(&mut self, place: Place, what: &str, digits: Option<usize>) -> Option<&mut Cell> {
        let at = self.lines.iter().position(|line| line.row == place.row && line.what == what);
        let at = at.unwrap_or_else(|| {
            let cells = vec![Cell::default(); self.builds.len()];
            self.lines.push(Line { row: place.row, what: what.to_string(), digits: 0, cells });
            self.lines.len() - 1
        });
        let line = self.lines.get_mut(at)?;
        line.digits = digits.unwrap_or(line.digits);
        line.cells.get_mut(place.build)
    }

    /// Adds the heartbeats of a phase.
    pub fn beats(&mut self, place: Place, beside: &str, phase: &Phase, goal: Goal) {
        let at =
            self.beats.iter().position(|beats| beats.row == place.row && beats.beside == beside);
        let at = at.unwrap_or_else(|| {
            let cells = vec![BeatsCell::default(); self.builds.len()];
            self.beats.push(Beats { row: place.row, beside: beside.to_string(), cells });
            self.beats.len() - 1
        });
        if let Some(cell) =
            self.beats.get_mut(at).and_then(|beats| beats.cells.get_mut(place.build))
        {
            cell.heartbeats.0.extend(&phase.heartbeats.0);
            cell.workers.0.extend(&phase.workers.0);
            cell.others.push(phase.others);
            cell.goal = goal;
        }
        let build = self.builds.get(place.build).copied().unwrap_or_default();
        let beside = beside.to_string();
        let hold = |hold: &Hold| HoldLine {
            row: place.row,
            beside: beside.clone(),
            build,
            hold: hold.clone(),
        };
        self.holds.extend(phase.holds.iter().map(hold));
    }

    /// Renders the tables as Markdown.
    pub fn markdown(&self, machine: &Machine, command: &str) -> String {
        let mut text = format!(
            "`{command}`; {} cores, {}, Linux {}; {}; {}. Load average before: {:.2}.\n",
            machine.cores,
            machine.cpu,
            machine.kernel,
            machine.versions.join(", "),
            machine.date,
            machine.load_before
        );
        text += &self.beats_table();
        text += &self.figures_table();
        text += &self.holds_table();
        if !self.failures.is_empty() {
            text += "\nLeft out or failed:\n\n";
            text.extend(self.failures.iter().map(|line| format!("- {line}\n")));
        }
        text
    }

    fn beats_table(&self) -> String {
        let mut head = vec!["row".to_string(), "heartbeats beside".to_string()];
        head.extend(self.builds.iter().map(|b| format!("{b}: p50 / p99 / worst, ms")));
        head.extend(self.builds.iter().map(|b| format!("{b}: /healthz p99 / worst, ms")));
        if self.builds.len() == 2 {
            head.push("p99, after / before".to_string());
        }
        head.extend(
            ["goal, p99 ms", "reached", "sent late p99, ms", "CPU of others, %"].map(String::from),
        );
        let mut lines: Vec<&Beats> = self.beats.iter().collect();
        lines.sort_by_key(|beats| beats.row);
        let rows = lines.into_iter().map(|beats| {
            let mut row = vec![beats.row.to_string(), beats.beside.clone()];
            row.extend(
                beats.cells.iter().map(|cell| quantiles(&cell.heartbeats, &[0.5, 0.99, 1.0])),
            );
            row.extend(beats.cells.iter().map(|cell| quantiles(&cell.workers, &[0.99, 1.0])));
            let p99: Vec<Option<f64>> =
                beats.cells.iter().map(|c| c.heartbeats.quantile(0.99)).collect();
            if let [before, after] = p99.as_slice() {
                row.push(ratio(*before, *after));
            }
            let judged = beats.cells.last();
            let goal = judged.map(|cell| cell.goal.clone()).unwrap_or_default();
            let reached =
                goal.limit.zip(p99.last().copied().flatten()).map(|(limit, p99)| p99 <= limit);
            row.extend([goal.text, yes_or_no(reached)]);
            let own = beats
                .cells
                .iter()
                .map(|c| c.heartbeats.own(0.99).map_or("-".into(), |own| number(own, 1)));
            row.push(own.collect::<Vec<_>>().join(" / "));
            let others = beats.cells.iter().map(|cell| {
                Median::of(cell.others.clone())
                    .map_or("-".into(), |others| number(others.median, 0))
            });
            row.push(others.collect::<Vec<_>>().join(" / "));
            row
        });
        table(&head, rows.collect())
    }

    fn figures_table(&self) -> String {
        let mut head = vec!["row".to_string(), "figure".to_string()];
        head.extend(self.builds.iter().map(ToString::to_string));
        if self.builds.len() == 2 {
            head.push("after / before".to_string());
        }
        head.extend(["goal".to_string(), "reached".to_string()]);
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.row);
        let rows = lines.into_iter().map(|line| {
            let mut row = vec![line.row.to_string(), line.what.clone()];
            row.extend(line.cells.iter().map(|cell| cell.shown(line.digits)));
            if let [before, after] = line.cells.as_slice() {
                row.push(ratio(before.median(), after.median()));
            }
            let judged = line.cells.last();
            row.push(judged.map(|cell| cell.goal.text.clone()).unwrap_or_default());
            row.push(yes_or_no(judged.and_then(Cell::is_reached)));
            row
        });
        table(&head, rows.collect())
    }

    fn holds_table(&self) -> String {
        if self.holds.is_empty() {
            return "\nNo node has histograms of lock holds or polls.\n".to_string();
        }
        let head = ["row", "beside", "binary", "histogram", "count", "largest bucket, ms"]
            .map(String::from);
        let mut lines: Vec<&HoldLine> = self.holds.iter().collect();
        lines.sort_by_key(|line| line.row);
        let rows = lines.into_iter().map(|line| {
            let HoldLine { row, beside, build, hold } = line;
            let largest = number(hold.largest_s * 1e3, 3);
            let name = format!("`{}`", hold.name);
            vec![
                row.to_string(),
                beside.clone(),
                build.to_string(),
                name,
                hold.count.to_string(),
                largest,
            ]
        });
        table(&head, rows.collect())
    }
}

/// Measurements of one phase.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// The probe's heartbeats.
    pub heartbeats: Samples,
    /// The probe's liveness checks.
    pub workers: Samples,
    /// CPU of processes that are not part of the measurement, as % of the machine.
    pub others: f64,
    /// Histograms of the node.
    pub holds: Vec<Hold>,
}

fn quantiles(samples: &Samples, quantiles: &[f64]) -> String {
    let shown: Option<Vec<String>> =
        quantiles.iter().map(|q| samples.quantile(*q).map(|ms| number(ms, 1))).collect();
    let Some(shown) = shown else { return "-".to_string() };
    match samples.errors() {
        0 => shown.join(" / "),
        errors => format!("{}; {errors} of {} failed", shown.join(" / "), samples.0.len()),
    }
}

fn ratio(before: Option<f64>, after: Option<f64>) -> String {
    before.zip(after).filter(|(b, _)| *b > 0.0).map_or(String::new(), |(b, a)| number(a / b, 2))
}

fn yes_or_no(reached: Option<bool>) -> String {
    reached.map_or("", |reached| if reached { "yes" } else { "**no**" }).to_string()
}

/// Formats a number with at most `digits` decimal places and without trailing zeros. From 100 on it
/// has at most one, from 1,000 on none.
fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "above the last bucket".to_string();
    }
    let digits = if value.abs() >= 1_000.0 {
        0
    } else if value.abs() >= 100.0 {
        digits.min(1)
    } else {
        digits
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

fn table(head: &[String], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = head.iter().map(|_| "---".to_string()).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("\n{}|{}|\n{rows}", line(head), rule.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.104, 3, "0.104"),
            (2.0, 3, "2"),
            (123.46, 2, "123.5"),
            (4_321.9, 2, "4322"),
            (40.0, 0, "40"),
        ];
        for (value, digits, text) in cases {
            assert_eq!(number(value, digits), text);
        }
    }

    #[test]
    fn figures_of_two_binaries_are_compared_and_the_second_is_judged() {
        let mut outcomes = Outcomes::new(vec!["before", "after"]);
        for (build, value) in [(0, 100.0), (1, 2.0), (1, 4.0)] {
            outcomes.figure(Place { build, row: 1 }, "a page, ms", value, 1, Goal::at_most(2.0));
        }
        // The first binary has no figure. The digits of the second one's figure apply all the same.
        let place = |build| Place { build, row: 2 };
        outcomes.text(place(0), "all pages, s", "7 of 100 pages in 5 s".to_string(), Goal::none());
        outcomes.figure(place(1), "all pages, s", 0.39, 3, Goal::at_most(0.3));
        let text = outcomes.figures_table();
        assert!(text.contains("| 1 | a page, ms | 100 | 3 | 0.03 | 2 | **no** |"), "{text}");
        let line = "| 2 | all pages, s | 7 of 100 pages in 5 s | 0.39 |  | 0.3 | **no** |";
        assert!(text.contains(line), "{text}");
    }
}
