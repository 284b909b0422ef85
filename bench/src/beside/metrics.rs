//! Reads a node's `/metrics`: single values, and histograms of lock holds and polls.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::http::{Client, get};

/// Parts of the names of histograms that are shown, if the node has them.
const SHOWN: [&str; 2] = ["lock_hold", "poll"];

/// Text of a node's metrics at a moment.
#[derive(Clone, Debug, Default)]
pub struct Scrape(String);

impl Scrape {
    /// Reads the metrics of a node.
    ///
    /// # Errors
    /// Returns an error if the node does not answer.
    pub fn of(address: SocketAddr) -> anyhow::Result<Scrape> {
        Ok(Scrape(Client::connect(address)?.expect(&get("/metrics"))?))
    }

    /// Returns the value of a metric without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.trim().parse().ok()
    }

    /// Returns histograms by name and labels: cumulative counts by upper bound, in the order of the
    /// bounds.
    fn histograms(&self) -> BTreeMap<String, Vec<(f64, u64)>> {
        let mut all: BTreeMap<String, Vec<(f64, u64)>> = BTreeMap::new();
        for line in self.0.lines() {
            let Some((name, rest)) = line.split_once("_bucket{") else { continue };
            let Some((labels, count)) = rest.rsplit_once("} ") else { continue };
            if !SHOWN.iter().any(|shown| name.contains(shown)) {
                continue;
            }
            let (bounds, others): (Vec<&str>, Vec<&str>) =
                labels.split(',').partition(|label| label.starts_with("le="));
            let bound = bounds.first().and_then(|le| {
                match le.trim_start_matches("le=").trim_matches('"') {
                    "+Inf" => Some(f64::INFINITY),
                    le => le.parse().ok(),
                }
            });
            let count = count.split(' ').next().and_then(|count| count.parse::<f64>().ok());
            let (Some(bound), Some(count)) = (bound, count) else { continue };
            let name = format!("{name}{{{}}}", others.join(",")).replace("{}", "");
            all.entry(name).or_default().push((bound, count as u64));
        }
        all
    }

    /// Returns the observations that histograms have counted since `before`.
    pub fn holds_since(&self, before: &Scrape) -> Vec<Hold> {
        let earlier = before.histograms();
        let holds = self.histograms().into_iter().map(|(name, buckets)| {
            let was = |bound: f64| {
                let bucket =
                    earlier.get(&name).and_then(|all| all.iter().find(|(b, _)| *b == bound));
                bucket.map_or(0, |(_, count)| *count)
            };
            let grown: Vec<(f64, u64)> = buckets
                .iter()
                .map(|(bound, count)| (*bound, count.saturating_sub(was(*bound))))
                .collect();
            let count = grown.last().map_or(0, |(_, count)| *count);
            // The first bucket that holds all observations is the largest one reached.
            let largest =
                grown.iter().find(|(_, within)| *within == count).map(|(bound, _)| *bound);
            Hold { name, count, largest_s: largest.unwrap_or_default() }
        });
        holds.filter(|hold| hold.count > 0).collect()
    }
}

/// One histogram over a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Name and labels.
    pub name: String,
    /// Number of observations.
    pub count: u64,
    /// Upper bound of the largest bucket that grew, s.
    pub largest_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bucket_reached_is_of_the_phase() {
        let text = |ten: u32, all: u32| {
            let name = "housecount_lock_hold_seconds_bucket{place=\"fold\",le=";
            Scrape(format!(
                "{name}\"0.001\"}} 5\n{name}\"0.01\"}} {ten}\n{name}\"+Inf\"}} {all}\nx 1\n"
            ))
        };
        let hold = |count, largest_s| {
            vec![Hold {
                name: "housecount_lock_hold_seconds{place=\"fold\"}".to_string(),
                count,
                largest_s,
            }]
        };
        assert_eq!(text(9, 9).holds_since(&text(6, 6)), hold(3, 0.01));
        assert_eq!(text(6, 7).holds_since(&text(6, 6)), hold(1, f64::INFINITY));
        assert_eq!(text(6, 6).holds_since(&text(6, 6)), vec![]);
        assert_eq!(text(6, 7).value("x"), Some(1.0));
    }
}
