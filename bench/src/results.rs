//! What was measured: samples, one a contender, load, figure and round; and what they come to.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::machine::Machine;

/// A figure that a load yields, as in results.json.
pub mod figure {
    /// CPU microseconds of the server or servers a heartbeat.
    pub const SERVER_US: &str = "server_us";
    /// CPU microseconds of Redis a heartbeat.
    pub const REDIS_US: &str = "redis_us";
    /// Both.
    pub const ALL_US: &str = "all_us";
    /// Heartbeats a second.
    pub const RATE: &str = "rate";
    /// Half the answers took less, ms.
    pub const P50_MS: &str = "p50_ms";
    /// 99 % of the answers took less, ms.
    pub const P99_MS: &str = "p99_ms";
    /// How late the harness itself sent (99 % less), ms: below it no latency can be told.
    pub const OWN_P99_MS: &str = "own_p99_ms";
    /// Answers that were none, or not a success.
    pub const ERRORS: &str = "errors";
    /// Resident bytes a connection.
    pub const CONNECTION_BYTES: &str = "connection_bytes";
    /// Resident bytes a viewer.
    pub const VIEWER_BYTES: &str = "viewer_bytes";
    /// Bytes of Redis a viewer.
    pub const REDIS_VIEWER_BYTES: &str = "redis_viewer_bytes";
    /// CPU microseconds of the server a known viewer's heartbeat in batches, with few viewers.
    pub const FEW_US: &str = "few_us";
    /// The same with many.
    pub const MANY_US: &str = "many_us";
    /// Bytes of records a first heartbeat.
    pub const JOIN_BYTES: &str = "join_bytes";
    /// Bytes of records a later one.
    pub const STEADY_BYTES: &str = "steady_bytes";
    /// Bytes of Redis a first one.
    pub const JOIN_MEMORY: &str = "join_memory_bytes";
    /// Bytes of Redis a later one.
    pub const STEADY_MEMORY: &str = "steady_memory_bytes";
    /// Later ones in a record.
    pub const STEADY_BATCH: &str = "steady_beats_a_record";
}

/// What one measurement yields.
pub type Figures = BTreeMap<&'static str, f64>;

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Median {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Median {
    /// None of nothing.
    pub fn of(mut values: Vec<f64>) -> Option<Median> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Median { median: (low + high) / 2.0, min, max })
    }

    /// In another unit.
    pub fn scaled(self, by: f64) -> Median {
        Median { median: self.median * by, min: self.min * by, max: self.max * by }
    }

    /// From least to greatest, to so many digits; nothing if there is one value.
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
    /// Who.
    pub contender: String,
    /// Said for people.
    pub what: String,
    /// Under which load.
    pub load: String,
    /// By round.
    pub rounds: BTreeMap<u32, Figures>,
}

impl Row {
    /// A figure over all rounds.
    pub fn median(&self, figure: &str) -> Option<Median> {
        Median::of(self.rounds.values().filter_map(|f| f.get(figure).copied()).collect())
    }

    /// A figure as a multiple of another row's, round by round.
    pub fn ratio(&self, figure: &str, to: &Row, of: &str) -> Option<Median> {
        let pairs = self.rounds.iter().filter_map(|(round, figures)| {
            Some(figures.get(figure)? / to.rounds.get(round)?.get(of).filter(|of| **of > 0.0)?)
        });
        Median::of(pairs.collect())
    }
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// On what.
    pub machine: Machine,
    /// How.
    pub command: String,
    /// How often.
    pub rounds: u32,
    /// How long each load.
    pub seconds: u64,
    /// In the order of the contenders and their loads.
    pub rows: Vec<Row>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl Results {
    /// Notes one measurement.
    pub fn add(&mut self, contender: &str, what: &str, load: &str, round: u32, figures: Figures) {
        let is_it = |row: &&mut Row| row.contender == contender && row.load == load;
        if let Some(row) = self.rows.iter_mut().find(is_it) {
            row.rounds.insert(round, figures);
            return;
        }
        let (contender, what, load) = (contender.to_string(), what.to_string(), load.to_string());
        self.rows.push(Row { contender, what, load, rounds: BTreeMap::from([(round, figures)]) });
    }

    /// A row, if it was measured.
    pub fn row(&self, contender: &str, load: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender && row.load == load)
    }

    /// Writes all of it, every round, for programs.
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
