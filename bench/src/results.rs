//! Results: samples by contender, load, figure and round, and their medians.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::machine::Machine;

/// Names of the figures that loads return, as in results.json.
pub mod figure {
    /// CPU microseconds of the server or servers per heartbeat.
    pub const SERVER_US: &str = "server_us";
    /// CPU microseconds of Redis per heartbeat.
    pub const REDIS_US: &str = "redis_us";
    /// Sum of the two.
    pub const ALL_US: &str = "all_us";
    /// Heartbeats per second.
    pub const RATE: &str = "rate";
    /// Median time to an answer, ms.
    pub const P50_MS: &str = "p50_ms";
    /// 99 % quantile of the time to an answer, ms.
    pub const P99_MS: &str = "p99_ms";
    /// 99 % quantile of the harness's own lateness, ms. Shorter latencies can't be measured.
    pub const OWN_P99_MS: &str = "own_p99_ms";
    /// Number of answers that did not arrive or were not a success.
    pub const ERRORS: &str = "errors";
    /// Resident bytes per connection.
    pub const CONNECTION_BYTES: &str = "connection_bytes";
    /// Resident bytes per viewer.
    pub const VIEWER_BYTES: &str = "viewer_bytes";
    /// Bytes of Redis per viewer.
    pub const REDIS_VIEWER_BYTES: &str = "redis_viewer_bytes";
    /// CPU microseconds of the server per heartbeat of a known viewer in batches, with few viewers.
    pub const FEW_US: &str = "few_us";
    /// CPU microseconds of the server per heartbeat of a known viewer in batches, with many
    /// viewers.
    pub const MANY_US: &str = "many_us";
    /// Bytes of records per first heartbeat.
    pub const JOIN_BYTES: &str = "join_bytes";
    /// Bytes of records per later heartbeat.
    pub const STEADY_BYTES: &str = "steady_bytes";
    /// Bytes of Redis per first heartbeat.
    pub const JOIN_MEMORY: &str = "join_memory_bytes";
    /// Bytes of Redis per later heartbeat.
    pub const STEADY_MEMORY: &str = "steady_memory_bytes";
    /// Later heartbeats per record.
    pub const STEADY_BATCH: &str = "steady_beats_a_record";
}

/// Figures of one measurement.
pub type Figures = BTreeMap<&'static str, f64>;

/// Median of a figure over all rounds, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Median {
    /// Median value.
    pub median: f64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl Median {
    /// Returns the median, or `None` without values.
    pub fn of(mut values: Vec<f64>) -> Option<Median> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Median { median: (low + high) / 2.0, min, max })
    }

    /// Returns the values multiplied by `by`, for another unit.
    pub fn scaled(self, by: f64) -> Median {
        Median { median: self.median * by, min: self.min * by, max: self.max * by }
    }

    /// Formats the range with `digits` decimal places. Returns an empty text if all values are
    /// equal.
    pub fn range(self, digits: usize) -> String {
        if self.min == self.max {
            return String::new();
        }
        format!(" ({:.digits$}–{:.digits$})", self.min, self.max)
    }
}

/// All measurements of one load on one contender.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the contender.
    pub contender: String,
    /// Description of the contender.
    pub what: String,
    /// Name of the load.
    pub load: String,
    /// Figures by round.
    pub rounds: BTreeMap<u32, Figures>,
}

impl Row {
    /// Returns the median of a figure over all rounds.
    pub fn median(&self, figure: &str) -> Option<Median> {
        Median::of(self.rounds.values().filter_map(|f| f.get(figure).copied()).collect())
    }

    /// Returns the median ratio of a figure to another row's, computed round by round.
    pub fn ratio(&self, figure: &str, to: &Row, of: &str) -> Option<Median> {
        let pairs = self.rounds.iter().filter_map(|(round, figures)| {
            Some(figures.get(figure)? / to.rounds.get(round)?.get(of).filter(|of| **of > 0.0)?)
        });
        Median::of(pairs.collect())
    }
}

/// Results of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Machine and programs.
    pub machine: Machine,
    /// Command of the run.
    pub command: String,
    /// Number of rounds.
    pub rounds: u32,
    /// Seconds for which each load is measured.
    pub seconds: u64,
    /// Rows, in the order of the contenders and their loads.
    pub rows: Vec<Row>,
    /// Loads and contenders that were left out, with the reasons.
    pub skipped: Vec<String>,
    /// Errors of loads.
    pub failures: Vec<String>,
}

impl Results {
    /// Adds the figures of one measurement.
    pub fn add(&mut self, contender: &str, what: &str, load: &str, round: u32, figures: Figures) {
        let is_it = |row: &&mut Row| row.contender == contender && row.load == load;
        if let Some(row) = self.rows.iter_mut().find(is_it) {
            row.rounds.insert(round, figures);
            return;
        }
        let (contender, what, load) = (contender.to_string(), what.to_string(), load.to_string());
        self.rows.push(Row { contender, what, load, rounds: BTreeMap::from([(round, figures)]) });
    }

    /// Returns a row, if it was measured.
    pub fn row(&self, contender: &str, load: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender && row.load == load)
    }

    /// Writes the results of every round as JSON, for programs.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("results as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        let of = |values: &[f64]| Median::of(values.to_vec()).map(|m| (m.median, m.min, m.max));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
    }
}
